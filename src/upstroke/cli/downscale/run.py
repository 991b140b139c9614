"""The verb `downscale run`: a file of coarse fields becomes a file of fine ones that keeps their means."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from upstroke.cli.downscale.options import Columns, Factor, Mask, Rows, Valid, Variables, parts
from upstroke.cli.options import Quiet, Verbose, file_name, whole
from upstroke.cli.output import deliver, json_text, page_for

__all__ = ["run"]

# The heads under which help lists options, beside that of the fields.
METHOD, WORK = "Method", "Work"


def run(
    source: Annotated[
        Path, typer.Argument(metavar="IN", parser=file_name, help="NetCDF, Zarr or GRIB: coarse fields.")
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="OUT", parser=file_name, help="Ends in .nc, .nc4 or .zarr: the fine ones."),
    ],
    factor: Factor,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="cubic|linear|nearest|RUN",
            help="How fields are refined, or the folder of a training run.",
            rich_help_panel=METHOD,
        ),
    ] = "cubic",
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Do not keep the block means, for comparison.", rich_help_panel=METHOD),
    ] = False,
    correction: Annotated[
        Literal["additive", "multiplicative", "softmax"],
        typer.Option("--correction", help="How blocks are brought to their means.", rich_help_panel=METHOD),
    ] = "additive",
    quantity: Annotated[
        Literal["mean", "total"] | None,
        typer.Option(
            "--quantity",
            help="What a value is of its cell (default: as cell_methods says, else the mean).",
            rich_help_panel=METHOD,
        ),
    ] = None,
    mask: Mask = None,
    valid: Valid = "sea",
    variables: Variables = None,
    y: Rows = None,
    x: Columns = None,
    statics: Annotated[
        Path | None,
        typer.Option(
            "--static",
            metavar="FILE",
            parser=file_name,
            help="Fields that do not change, for a training run.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", metavar="tcp://HOST:PORT", help="Run on this dask cluster.", rich_help_panel=WORK
        ),
    ] = None,
    chunk: Annotated[
        str | None,
        typer.Option("--chunk", metavar="N", help="Steps that are refined together.", rich_help_panel=WORK),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Let OUT replace what exists, and begin an unfinished run again."),
    ] = False,
    shown: Annotated[
        Literal["text", "json"], typer.Option("--format", help="How the result is written.")
    ] = "text",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Refine the fields of a file by a whole factor; every coarse cell keeps its mean, or its total.

    OUT appears when it is whole. A killed run into .zarr is finished by the same command. Exit codes: 0 done;
    2 could not be read or written.

    upstroke downscale run sst_1deg.nc sst_025deg.nc --factor 4

    upstroke downscale run pr.zarr fine.zarr --factor 4x2 --correction softmax
    """
    cut = parts(factor)
    steps = None if chunk is None else whole(chunk, option="--chunk")
    from upstroke.apps.downscale.run import run as run_file
    from upstroke.report.refined_text import refined_text

    report = run_file(
        source,
        target,
        factor=cut,
        method=method,
        conserve=not plain,
        correction=correction,
        quantity=quantity,
        mask=mask,
        valid=valid,
        variables=variables,
        y=y,
        x=x,
        statics=statics,
        scheduler=scheduler,
        chunk=steps,
        overwrite=overwrite,
        progress=not quiet,
        command=_command(),
    )
    page = page_for(None)
    record = report.as_json()
    text = (
        json_text(record)
        if shown == "json"
        else refined_text(record, width=page.width, colour=page.colour, verbose=verbose, quiet=quiet)
    )
    deliver(text, output=None, overwrite=False, quiet=quiet)


def _command() -> str | None:
    """What was typed, for the history of the file; None where this was not the command line's doing."""
    words = sys.argv[1:]
    return shlex.join(["upstroke", *words]) if words[:2] == ["downscale", "run"] else None
