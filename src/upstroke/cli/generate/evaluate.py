"""The verb `generate evaluate`: a trained generator's samples are held against real pictures."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from upstroke.cli.options import (
    Output,
    Overwrite,
    Quiet,
    Seed,
    Verbose,
    file_name,
    refuse_existing,
    seed_number,
    whole,
)
from upstroke.cli.output import deliver, json_text, page_for
from upstroke.errors import FileError, OptionError

__all__ = ["evaluate"]

# The head under which help lists what is judged.
JUDGED = "What is judged, and by what"


def evaluate(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", parser=file_name, help="A run, or its model.safetensors."),
    ],
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            parser=file_name,
            help="Real pictures (default: where those are that it was trained on).",
        ),
    ] = None,
    samples: Annotated[
        str,
        typer.Option("--samples", metavar="N", help="How many are drawn.", rich_help_panel=JUDGED),
    ] = "1000",
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            metavar="FILE.onnx",
            parser=file_name,
            help="A feature network (default: a small one, trained on the real pictures).",
            rich_help_panel=JUDGED,
        ),
    ] = None,
    output_name: Annotated[
        str | None,
        typer.Option(
            "--feature-output", metavar="NAME", help="Which output of it (first).", rich_help_panel=JUDGED
        ),
    ] = None,
    scale: Annotated[
        Literal["signed", "unit", "bytes", "imagenet"],
        typer.Option(
            "--feature-scale", help="What it expects: -1 to 1, 0 to 1, 0 to 255.", rich_help_panel=JUDGED
        ),
    ] = "signed",
    device: Annotated[
        str,
        typer.Option(
            "--device", metavar="auto|cpu|cuda:0", help="What the generator runs on.", rich_help_panel=JUDGED
        ),
    ] = "cpu",
    seed: Seed = 0,
    shown: Annotated[
        Literal["text", "json", "html"], typer.Option("--format", help="How the result is written.")
    ] = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Judge a generator: grids, spectra, a detector, FID and KID, diversity, and what was learnt by heart.

    Exit codes: 0 judged, 2 could not be read or written.

    upstroke generate evaluate run --format html --output report.html
    """
    if shown == "html" and output is None:
        msg = "a page is for a browser and not for a terminal; got no --output; give --output report.html"
        raise OptionError(msg)
    refuse_existing(output, overwrite=overwrite)
    read = [os.path.realpath(each) for each in (run, data, features) if each is not None]
    if output is not None and os.path.realpath(output) in read:
        msg = f"a result must not be what is read; got {output} for both; name another file"
        raise FileError(msg)
    from upstroke.apps.generate.evaluate import evaluate as judge

    found = judge(
        run,
        data,
        samples=whole(samples, option="--samples"),
        features=features,
        feature_output=output_name,
        feature_scale=scale,
        seed=seed_number(seed),
        device=device,
        progress=not quiet,
    )
    text = _rendered(found.as_json(), found.pictures, shown, output, verbose=verbose)
    deliver(text, output=output, overwrite=overwrite, quiet=quiet)


def _rendered(
    record: dict[str, Any], pictures: Mapping[str, Any], shown: str, output: Path | None, *, verbose: bool
) -> str:
    if shown == "json":
        return json_text(record)
    if shown == "html":
        from upstroke.report.generate_page import generate_page

        return generate_page(record, pictures)
    from upstroke.report.generate_evaluated_text import generate_evaluated_text

    page = page_for(output)
    return generate_evaluated_text(record, width=page.width, colour=page.colour, verbose=verbose)
