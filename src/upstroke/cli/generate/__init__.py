"""The verbs of `upstroke generate`, one file each."""

import typer

from upstroke.cli.generate import demo, evaluate, export, interpolate, sample, trace, train

__all__ = ["app"]

app = typer.Typer(
    name="generate",
    help="Draw pictures from latent vectors by a generator without a grid in them.",
    no_args_is_help=True,
)
app.command("train")(train.train)
app.command("sample")(sample.sample)
app.command("interpolate")(interpolate.interpolate)
app.command("trace")(trace.trace)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("demo")(demo.demo)
