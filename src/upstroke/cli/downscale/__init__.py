"""The verbs of `upstroke downscale`, one file each."""

import typer

from upstroke.cli.downscale import demo, evaluate, run, train

__all__ = ["app"]

app = typer.Typer(
    name="downscale",
    help="Refine coarse fields so that every coarse cell keeps its mean.",
    no_args_is_help=True,
)
app.command("run")(run.run)
app.command("evaluate")(evaluate.evaluate)
app.command("train")(train.train)
app.command("demo")(demo.demo)
