"""The verb `generate demo`: drawn flowers become a trained generator, its samples and a page about them."""

from pathlib import Path
from typing import Annotated

import typer

from upstroke.cli.options import Quiet, Seed, file_name, seed_number
from upstroke.cli.output import deliver, page_for

__all__ = ["demo"]


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", parser=file_name, help="Where the files go.")
    ] = Path("generate-demo"),
    seed: Seed = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let the files replace those of an earlier demonstration.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Draw flowers, learn to generate others, and judge these: about a minute.

    Writes data, run, samples.png and report.html. Exit codes: 0 done; 2 could not be written.

    upstroke generate demo --out generate-demo
    """
    from upstroke.apps.generate.demo import demo as make
    from upstroke.report.generate_demo_text import generate_demo_text

    made = make(out, seed=seed_number(seed), overwrite=overwrite, progress=not quiet)
    page = page_for(None)
    text = generate_demo_text(made.as_json(), width=page.width, colour=page.colour, quiet=quiet)
    deliver(text, output=None, overwrite=False, quiet=quiet)
