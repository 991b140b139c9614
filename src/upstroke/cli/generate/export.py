"""The verb `generate export`: a trained generator becomes an ONNX or safetensors file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from upstroke.cli.options import Quiet, file_name
from upstroke.cli.output import deliver, json_text, page_for

__all__ = ["export"]


def export(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", parser=file_name, help="A run, or its model.safetensors."),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUT.onnx|OUT.safetensors", parser=file_name, help="The file to write, of either kind."
        ),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let the file replace one that is there.")
    ] = False,
    shown: Annotated[
        Literal["text", "json"], typer.Option("--format", help="How the result is written.")
    ] = "text",
    quiet: Quiet = False,
) -> None:
    """Write a trained generator as one file: for ONNX runtimes, or its weights by name.

    The file must draw what the run draws, for several numbers of latent vectors, or nothing is written.
    Exit codes: 0 written; 2 not.

    upstroke generate export run generator.onnx

    upstroke generate export run generator.safetensors
    """
    from upstroke.apps.generate.export import export as write
    from upstroke.report.generate_exported_text import generate_exported_text

    record = write(run, target, overwrite=overwrite).as_json()
    page = page_for(None)
    text = (
        json_text(record)
        if shown == "json"
        else generate_exported_text(record, width=page.width, colour=page.colour)
    )
    if shown == "json" or not quiet:
        deliver(text, output=None, overwrite=False, quiet=quiet)
