"""The verb `generate trace`: a trained generator becomes which pixels each cell of its sketch reaches."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from upstroke.cli.options import Output, Overwrite, Quiet, Seed, file_name, refuse_existing
from upstroke.cli.output import deliver, json_text, page_for
from upstroke.errors import OptionError

__all__ = ["trace"]


def trace(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", parser=file_name, help="A run, or its model.safetensors.")
    ],
    pixel: Annotated[
        str | None,
        typer.Option("--pixel", metavar="20,33", help="Row and column of a pixel (default: the middle)."),
    ] = None,
    cell: Annotated[
        str | None, typer.Option("--cell", metavar="1,2", help="Row and column of a cell (default: 1,1).")
    ] = None,
    seed: Seed = 0,
    shown: Annotated[
        Literal["text", "json", "html"], typer.Option("--format", help="How the result is written.")
    ] = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Tell which pixels each cell of the 4x4 sketch reaches, and which cells a pixel depends on.

    By algebra, from kernels, strides and crops, and measured, by exchanging cells between pictures. Exit
    codes: 0 told; 2 not.

    upstroke generate trace run --pixel 20,33 --cell 1,2

    upstroke generate trace run --format html --output trace.html
    """
    places = _place(pixel, option="--pixel"), _place(cell, option="--cell")
    if shown == "html" and output is None:
        msg = "a page is for a browser and not for a terminal; got no --output; give --output trace.html"
        raise OptionError(msg)
    refuse_existing(output, overwrite=overwrite)
    from upstroke.apps.generate.trace import trace as follow

    found = follow(run, pixel=places[0], cell=places[1], seed=seed)
    record = found.as_json()
    if shown == "json":
        text = json_text(record)
    elif shown == "html":
        from upstroke.report.generate_trace_page import generate_trace_page

        text = generate_trace_page(record, found.maps)
    else:
        from upstroke.report.generate_trace_text import generate_trace_text

        page = page_for(output)
        text = generate_trace_text(record, width=page.width, colour=page.colour)
    deliver(text, output=output, overwrite=overwrite, quiet=quiet)


def _place(words: str | None, *, option: str) -> tuple[int, int] | None:
    if words is None:
        return None
    if re.fullmatch(r"\d{1,9},\s*\d{1,9}", words, flags=re.ASCII) is None:
        msg = f"{option} must be a row and a column, such as 1,2; got {words!r}"
        raise OptionError(msg)
    row, column = words.split(",")
    return int(row), int(column)
