"""The verb `downscale demo`: a drawn sea becomes files and a page that show what downscaling keeps."""

from pathlib import Path
from typing import Annotated

import typer

from upstroke.cli.options import Quiet, Seed, file_name
from upstroke.cli.output import deliver, page_for

__all__ = ["demo"]


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", parser=file_name, help="Where the files go.")
    ] = Path("downscale-demo"),
    seed: Seed = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let the files replace those of an earlier demonstration.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Draw a sea with coasts and fronts, coarsen it, refine it again by every fixed method, and compare.

    Writes truth.nc, coarse.nc, fine.nc and report.html. Exit codes: 0 done; 2 could not be written.

    upstroke downscale demo --out downscale-demo
    """
    from upstroke.apps.downscale.demo import demo as make
    from upstroke.report.downscale_demo_text import downscale_demo_text

    made = make(out, seed=seed, overwrite=overwrite)
    page = page_for(None)
    text = downscale_demo_text(made.as_json(), width=page.width, colour=page.colour, quiet=quiet)
    deliver(text, output=None, overwrite=False, quiet=quiet)
    for name in () if quiet else made.as_json()["files"]:
        typer.echo(f"wrote {made.folder / name}", err=True)
