"""The verb `segment export`: a training run becomes an ONNX file."""

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
    target: Annotated[Path, typer.Argument(metavar="OUT.onnx", parser=file_name, help="The file to write.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let the file replace one that is there.")
    ] = False,
    shown: Annotated[
        Literal["text", "json"], typer.Option("--format", help="How the result is written.")
    ] = "text",
    quiet: Quiet = False,
) -> None:
    """Write a trained network as ONNX, for images of any size, odd ones included.

    ONNX Runtime must give PyTorch's numbers at several sizes, or nothing is written. The file says itself
    how it is applied, so `predict` and `evaluate` take it in place of RUN. Exit codes: 0 written; 2 not.

    upstroke segment export run model.onnx
    """
    from upstroke.apps.segment.export import export as write
    from upstroke.report.segment_exported_text import segment_exported_text

    record = write(run, target, overwrite=overwrite).as_json()
    page = page_for(None)
    text = (
        json_text(record)
        if shown == "json"
        else segment_exported_text(record, width=page.width, colour=page.colour)
    )
    if shown == "json" or not quiet:
        deliver(text, output=None, overwrite=False, quiet=quiet)
