"""The verb `downscale evaluate`: a fine field becomes how well each method finds it again."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from upstroke.cli.downscale.options import FIELDS, Mask, Valid, parts
from upstroke.cli.options import (
    Output,
    Overwrite,
    Quiet,
    Verbose,
    file_name,
    refuse_existing,
    whole,
)
from upstroke.cli.output import deliver, json_text, page_for
from upstroke.errors import FileError, OptionError

if TYPE_CHECKING:
    from upstroke.apps.downscale.evaluate import Evaluation

__all__ = ["evaluate"]


def evaluate(
    fine: Annotated[
        Path,
        typer.Argument(
            metavar="FINE", parser=file_name, help="A fine field to be found again: NetCDF, Zarr or GRIB."
        ),
    ],
    factor: Annotated[
        str | None,
        typer.Option(
            "--factor",
            metavar="4 or 4x2",
            help="Fine cells per coarse cell, of y and x (default: 4, or what --coarse says).",
            rich_help_panel=FIELDS,
        ),
    ] = None,
    variable: Annotated[
        str | None,
        typer.Option("--variable", metavar="NAME", help="Which field of the file.", rich_help_panel=FIELDS),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="RUN",
            help="A learned run to judge beside the fixed methods, which are all judged in any case.",
            rich_help_panel=FIELDS,
        ),
    ] = None,
    coarse: Annotated[
        Path | None,
        typer.Option(
            "--coarse",
            metavar="FILE",
            parser=file_name,
            help="A coarser model's own field, to be refined in place of the means of FINE.",
            rich_help_panel=FIELDS,
        ),
    ] = None,
    mask: Mask = None,
    valid: Valid = "sea",
    step: Annotated[
        str,
        typer.Option(
            "--step", metavar="N|all", help="One of the maps, counted from 0.", rich_help_panel=FIELDS
        ),
    ] = "all",
    quantity: Annotated[
        Literal["mean", "total"],
        typer.Option(
            "--quantity",
            help="Whether a coarse cell has the mean of its fine cells or their sum.",
            rich_help_panel=FIELDS,
        ),
    ] = "mean",
    shown: Annotated[
        Literal["text", "json", "html"], typer.Option("--format", help="How the result is written.")
    ] = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Judge every method by a field that is known: coarsen it, refine it again, compare.

    Scores are by area, away from coasts and at coasts. Exit codes: 0 judged, 2 could not be read.

    upstroke downscale evaluate sst.nc --variable sst --factor 4 --format html --output sst.html

    upstroke downscale evaluate fine.nc --coarse coarse.nc
    """
    _refuse_targets((fine, coarse), shown=shown, output=output, overwrite=overwrite)
    found = _found(
        fine,
        coarse,
        factor=None if factor is None else parts(factor),
        variable=variable,
        methods=methods or [],
        mask=mask,
        valid=valid,
        step=_step(step),
        quantity=quantity,
    )
    deliver(_rendered(found, shown, output, verbose=verbose), output=output, overwrite=overwrite, quiet=quiet)


def _found(
    fine: Path,
    coarse: Path | None,
    *,
    factor: int | tuple[int, int] | None,
    variable: str | None,
    methods: list[str],
    mask: str | None,
    valid: Literal["sea", "land"],
    step: int | None,
    quantity: Literal["mean", "total"],
) -> "Evaluation":
    from upstroke.apps.downscale.evaluate import evaluate as judge
    from upstroke.files.fields import open_fields

    given = None if coarse is None else open_fields(coarse)
    return judge(
        open_fields(fine),
        factor,
        variable=variable,
        methods=methods,
        coarse=given,
        mask=mask,
        valid=valid,
        step=step,
        quantity=quantity,
        source=fine.name,
        coarse_source="" if coarse is None else coarse.name,
    )


def _step(words: str) -> int | None:
    return None if words == "all" else whole(words, option="--step")


def _rendered(found: "Evaluation", shown: str, output: Path | None, *, verbose: bool) -> str:
    record = found.as_json()
    if shown == "json":
        return json_text(record)
    if shown == "html":
        from upstroke.report.downscale_page import downscale_page

        return downscale_page(record, found.pictures)
    from upstroke.report.downscale_text import downscale_text

    page = page_for(output)
    return downscale_text(record, width=page.width, colour=page.colour, verbose=verbose)


def _refuse_targets(
    sources: tuple[Path | None, ...], *, shown: str, output: Path | None, overwrite: bool
) -> None:
    """Refuse before any work what would be refused after it, and what would replace what is read."""
    if shown == "html" and output is None:
        msg = "a page is for a browser and not for a terminal; got no --output; give --output evaluation.html"
        raise OptionError(msg)
    refuse_existing(output, overwrite=overwrite)
    for source in sources:
        if output is not None and source is not None and os.path.realpath(output) == os.path.realpath(source):
            msg = f"--output must not be what is read; got {output} for both; name another file"
            raise FileError(msg)
