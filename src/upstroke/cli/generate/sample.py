"""The verb `generate sample`: numbers become pictures that a trained generator draws."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from upstroke.cli.generate.counted import counted
from upstroke.cli.generate.numbers import sample_numbers
from upstroke.cli.options import Quiet, Seed, file_name
from upstroke.cli.output import deliver, json_text, page_for

__all__ = ["sample"]


def sample(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", parser=file_name, help="A run, or its model.safetensors.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="SHEET.png|DIR",
            parser=file_name,
            help="One picture of all, or a folder that gets a PNG for each.",
        ),
    ],
    count: Annotated[
        int | None,
        typer.Option("-n", "--count", metavar="N", help="How many, from number 0 on (default: 64)."),
    ] = None,
    numbers: Annotated[
        str | None,
        typer.Option("--numbers", metavar="3,17,40-50", help="Which ones instead, in this order."),
    ] = None,
    seed: Seed = 0,
    truncate: Annotated[
        float | None,
        typer.Option(
            "--truncate",
            metavar="PSI",
            help="Share of its length that a latent vector keeps, 0 to 1: pictures vary less.",
        ),
    ] = None,
    columns: Annotated[
        int | None,
        typer.Option(
            "--columns", metavar="N", help="Pictures in a row of a sheet (default: as many as rows)."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let pictures replace those that are there.")
    ] = False,
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cpu|cuda:0", help="What the generator runs on.")
    ] = "cpu",
    shown: Annotated[
        Literal["text", "json"], typer.Option("--format", help="How the result is written.")
    ] = "text",
    quiet: Quiet = False,
) -> None:
    """Draw samples of a trained generator, as one sheet or one file for each.

    Every picture follows from the seed and its number alone, so number 17 is the same one however many are
    drawn. Nothing is written by halves. Exit codes: 0 written; 2 not.

    upstroke generate sample run -n 64 --seed 0 --out grid.png

    upstroke generate sample run --numbers 3,17,40-50 --out pictures
    """
    chosen = None if numbers is None else sample_numbers(numbers)
    from upstroke.apps.generate.sample import sample as draw
    from upstroke.report.generate_drawn_text import generate_sampled_text

    with counted(is_wanted=not quiet) as told:
        found = draw(
            run,
            out,
            count=count,
            numbers=chosen,
            seed=seed,
            truncate=truncate,
            columns=columns,
            overwrite=overwrite,
            device=device,
            told=told,
        )
    record, page = found.as_json(), page_for(None)
    text = (
        json_text(record)
        if shown == "json"
        else generate_sampled_text(record, width=page.width, colour=page.colour)
    )
    if shown == "json" or not quiet:
        deliver(text, output=None, overwrite=False, quiet=quiet)
