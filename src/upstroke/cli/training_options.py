"""Options that mean the same wherever something is trained."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from upstroke.cli.options import file_name

__all__ = [
    "TRAINING",
    "Anew",
    "Device",
    "Devices",
    "Minutes",
    "PrecisionOption",
    "Resume",
    "Run",
    "Steps",
    "Workers",
]

# The head under which help lists them.
TRAINING = "Training"

Run = Annotated[Path, typer.Option("--out", metavar="RUN", parser=file_name, help="The folder of the run.")]
Steps = Annotated[
    str | None,
    typer.Option("--steps", metavar="N", help="Batches to learn from.", rich_help_panel=TRAINING),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes", metavar="M", help="As many steps as take about so long.", rich_help_panel=TRAINING
    ),
]
PrecisionOption = Annotated[
    Literal["auto", "32", "bf16", "16"],
    typer.Option("--precision", help="Bits to compute in.", rich_help_panel=TRAINING),
]
Device = Annotated[
    str,
    typer.Option("--device", metavar="auto|cpu|cuda:0", help="What to train on.", rich_help_panel=TRAINING),
]
Devices = Annotated[
    str,
    typer.Option("--devices", metavar="N", help="Processes to train in.", rich_help_panel=TRAINING),
]
Workers = Annotated[
    str,
    typer.Option(
        "--workers", metavar="N", help="Processes that make batches ahead.", rich_help_panel=TRAINING
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in the folder, with the same options.")
]
Anew = Annotated[bool, typer.Option("--overwrite", help="Begin anew where there is a run.")]
