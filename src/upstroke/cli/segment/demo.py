"""The verb `segment demo`: drawn cells become a trained network, its outlines and a page that judges them."""

from pathlib import Path
from typing import Annotated

import typer

from upstroke.cli.options import Quiet, Seed, file_name
from upstroke.cli.output import deliver, page_for

__all__ = ["demo"]


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", parser=file_name, help="Where the files go.")
    ] = Path("segment-demo"),
    seed: Seed = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let the files replace those of an earlier demonstration.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Draw cells under a microscope, learn to outline them, outline new ones, and judge: under a minute.

    Writes data, new, run, predictions and report.html. Exit codes: 0 done; 2 could not be written.

    upstroke segment demo --out segment-demo
    """
    from upstroke.apps.segment.demo import demo as make
    from upstroke.report.segment_demo_text import segment_demo_text

    made = make(out, seed=seed, overwrite=overwrite, progress=not quiet)
    page = page_for(None)
    text = segment_demo_text(made.as_json(), width=page.width, colour=page.colour, quiet=quiet)
    deliver(text, output=None, overwrite=False, quiet=quiet)
