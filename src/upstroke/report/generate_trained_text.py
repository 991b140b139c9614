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
    early = ", early, because it got no better" if record["is_early"] else ""
    kept = f"step {record['best_step']:,} is kept, whose samples were nearest to the pictures"
    lines = [
        f"Trained for {counted(record['steps'], 'step')}{early}; {kept}{_kid(record)}.",
        f"All that drawing needs is in {record['weights']}, how training went in {record['report']}.",
        f"Next: upstroke generate sample {record['run']} --out grid.png",
    ]
    for line in lines:
        say(console, "", Text(visible(line)))


def _kid(record: Json) -> str:
    if record["kid"] is None:
        return ""
    return f" (KID {record['kid']:.4g} by a feature network trained on the pictures themselves)"
