"""The verbs of `upstroke segment`, one file each."""

import typer

from upstroke.cli.segment import demo, evaluate, export, predict, train

__all__ = ["app"]

app = typer.Typer(
    name="segment",
    help="Outline parts of images and volumes by a U-Net whose skips line up, at any size.",
    no_args_is_help=True,
)
app.command("train")(train.train)
app.command("predict")(predict.predict)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("demo")(demo.demo)
