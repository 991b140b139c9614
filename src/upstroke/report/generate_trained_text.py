"""Turn what came of a training run of `upstroke generate` into text for a terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written
from upstroke.report.training_words import counted

__all__ = ["generate_trained_text"]

Json = dict[str, Any]


def generate_trained_text(record: Json, *, width: int = 100, colour: bool = False) -> str:
    """Write an `upstroke.generate-train/1` record as text."""
    return written(lambda console: _write(console, record), width=width, colour=colour)


def _write(console: Console, record: Json) -> None:
    last = record["best_step"] == record["steps"]
    kept = "the last step" if last else f"step {record['best_step']:,}, the last before a collapse,"
    varied = f"{record['diversity']:.2f} times as varied as the pictures"
    lines = [
        f"Trained for {counted(record['steps'], 'step')}; {kept} is kept.",
        f"Its samples are {varied}, at a KID of {record['kid']:.4g} from them.",
        "KID is by a feature network that was trained on the pictures themselves.",
        f"All that drawing needs is in {record['weights']}, how training went in {record['report']}.",
        f"Next: upstroke generate sample {record['run']} --out grid.png",
    ]
    for line in lines:
        say(console, "", Text(visible(line)))
