"""The verb `segment evaluate`: images with labels become how well a model outlines each of them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from upstroke.cli.options import Output, Overwrite, Quiet, Verbose, file_name, per_axis, refuse_existing
from upstroke.cli.output import deliver, json_text, page_for, printable
from upstroke.errors import FileError, OptionError
from upstroke.files import write_atomically

if TYPE_CHECKING:
    from upstroke.apps.segment.evaluate import Evaluation

__all__ = ["evaluate"]

# The head under which help lists what is judged.
JUDGED = "What is judged"


def evaluate(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            parser=file_name,
            help="A run, model.safetensors, an exported .onnx, or a folder of predictions.",
        ),
    ],
    data: Annotated[
        Path, typer.Argument(metavar="DATA", parser=file_name, help="Images with labels, as for training.")
    ],
    cases: Annotated[
        Literal["held-out", "all"] | None,
        typer.Option(
            "--cases",
            help="Those that the run held out (default where DATA is what it was trained on), or all.",
            rich_help_panel=JUDGED,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="REGEX",
            help="Its first group names what a case belongs to, such as a patient.",
            rich_help_panel=JUDGED,
        ),
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", help="Judge the first class as well.", rich_help_panel=JUDGED)
    ] = False,
    tile: Annotated[
        str | None,
        typer.Option(
            "--tile",
            metavar="N or 97x131",
            help="Size of the tiles in which images are read (default: whole where it fits).",
            rich_help_panel=JUDGED,
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            "--device", metavar="auto|cpu|cuda:0", help="What the network runs on.", rich_help_panel=JUDGED
        ),
    ] = "cpu",
    shown: Annotated[
        Literal["text", "json", "html"], typer.Option("--format", help="How the result is written.")
    ] = "text",
    output: Output = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            parser=file_name,
            help="Also write a row for each case and class, the worst first.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Judge outlines by labels: Dice, IoU and Hausdorff distance of every case and class, the worst first.

    Exit codes: 0 judged, 2 could not be read or written.

    upstroke segment evaluate run data --format html --output scores.html --csv scores.csv

    upstroke segment evaluate predictions data
    """
    _refuse_targets((source, data), shown=shown, targets=(output, table), overwrite=overwrite)
    from upstroke.apps.segment.evaluate import evaluate as judge

    found = judge(
        source,
        data,
        which=None if cases is None else "validation" if cases == "held-out" else "all",
        group=group,
        background=background,
        tile=None if tile is None else per_axis(tile, option="--tile"),
        device=device,
        progress=not quiet,
    )
    if table is not None:
        from upstroke.report.segment_csv import segment_csv

        write_atomically(table, printable(segment_csv(found.as_json())), overwrite=overwrite)
        if not quiet:
            typer.echo(f"wrote {table}", err=True)
    deliver(_rendered(found, shown, output, verbose=verbose), output=output, overwrite=overwrite, quiet=quiet)


def _rendered(found: "Evaluation", shown: str, output: Path | None, *, verbose: bool) -> str:
    record = found.as_json()
    if shown == "json":
        return json_text(record)
    if shown == "html":
        from upstroke.report.segment_page import segment_page

        return segment_page(record, found.pictures)
    from upstroke.report.segment_text import segment_text

    page = page_for(output)
    return segment_text(record, width=page.width, colour=page.colour, verbose=verbose)


def _refuse_targets(
    sources: tuple[Path, ...], *, shown: str, targets: tuple[Path | None, ...], overwrite: bool
) -> None:
    """Refuse before any work what would be refused after it, and what would replace what is read."""
    output, table = targets
    if shown == "html" and output is None:
        msg = "a page is for a browser and not for a terminal; got no --output; give --output scores.html"
        raise OptionError(msg)
    refuse_existing(*targets, overwrite=overwrite)
    places = [os.path.realpath(each) for each in targets if each is not None]
    if len(set(places)) < len(places):
        msg = f"--output and --csv must be two files; got {table} for both; name another file"
        raise FileError(msg)
    for target in filter(None, targets):
        if os.path.realpath(target) in map(os.path.realpath, sources):
            msg = f"a result must not be what is read; got {target} for both; name another file"
            raise FileError(msg)
