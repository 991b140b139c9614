"""The verb `generate interpolate`: numbers of samples become the pictures on the way between them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from upstroke.cli.generate.counted import counted
from upstroke.cli.generate.numbers import sample_numbers
from upstroke.cli.options import Quiet, Seed, file_name
from upstroke.cli.output import deliver, json_text, page_for
from upstroke.errors import OptionError

__all__ = ["interpolate"]


def interpolate(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", parser=file_name, help="A run, or its model.safetensors.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="STRIP.png|DIR",
            parser=file_name,
            help="One picture of all, or a folder that gets a PNG for each.",
        ),
    ],
    first: Annotated[
        int | None, typer.Option("--from", metavar="N", help="Number of the sample at the beginning.")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--to", metavar="N", help="Number of the sample at the end.")
    ] = None,
    numbers: Annotated[
        str | None,
        typer.Option("--numbers", metavar="3,17,40", help="Instead: samples to pass, in this order."),
    ] = None,
    steps: Annotated[
        int,
        typer.Option("--steps", metavar="N", help="Pictures from each sample to the next, both included."),
    ] = 9,
    rows: Annotated[
        bool,
        typer.Option("--rows", help="A row for each way from one sample to the next, not one long strip."),
    ] = False,
    seed: Seed = 0,
    truncate: Annotated[
        float | None,
        typer.Option(
            "--truncate",
            metavar="PSI",
            help="Share of its length that a latent vector keeps, 0 to 1: pictures vary less.",
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
    """Draw the way from one sample to another, at equal steps of angle between their latent vectors.

    Samples are those of `sample` with the same seed. Lengths change in equal steps from one to the other.
    Exit codes: 0 written; 2 not.

    upstroke generate interpolate run --from 3 --to 17 --steps 9 --seed 0 --out strip.png

    upstroke generate interpolate run --numbers 3,17,40 --rows --out strips.png
    """
    passed = _passed(first, last, numbers)
    from upstroke.apps.generate.interpolate import interpolate as draw
    from upstroke.report.generate_drawn_text import generate_interpolated_text

    with counted(is_wanted=not quiet) as told:
        found = draw(
            run,
            out,
            numbers=passed,
            steps=steps,
            rows=rows,
            seed=seed,
            truncate=truncate,
            overwrite=overwrite,
            device=device,
            told=told,
        )
    record, page = found.as_json(), page_for(None)
    text = (
        json_text(record)
        if shown == "json"
        else generate_interpolated_text(record, width=page.width, colour=page.colour)
    )
    if shown == "json" or not quiet:
        deliver(text, output=None, overwrite=False, quiet=quiet)


def _passed(first: int | None, last: int | None, numbers: str | None) -> list[int]:
    if numbers is None and first is not None and last is not None:
        return [first, last]
    if numbers is not None and first is None and last is None:
        return sample_numbers(numbers)
    given = {"--from": first, "--to": last, "--numbers": numbers}
    words = " and ".join(f"{name} {value}" for name, value in given.items() if value is not None)
    msg = f"a way is said by --from and --to, or by --numbers alone; got {words or 'none of them'}"
    raise OptionError(msg)
