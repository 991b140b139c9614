"""Turn what came of a training run of `upstroke segment` into text for a terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["segment_trained_text"]

Json = dict[str, Any]


def segment_trained_text(record: Json, *, width: int = 100, colour: bool = False) -> str:
    """Write an `upstroke.segment-train/1` record as text."""
    return written(lambda console: _write(console, record), width=width, colour=colour)


def _write(console: Console, record: Json) -> None:
    early = ", early, because it got no better" if record["is_early"] else ""
    kept = f"step {record['best_step']} is kept, the best on what is held out"
    lines = [
        f"Trained for {_count(record['steps'], 'step')}{early}; {kept}.",
        f"Dice there, {_count(record['cases'], 'whole case')}: {_dice(record)}.",
        f"Everything needed to apply it is in {record['weights']}, how training went in {record['report']}.",
        f"Next: upstroke segment predict {record['run']} IN OUT",
    ]
    for line in lines:
        say(console, "", Text(visible(line)))


def _count(number: int, words: str) -> str:
    return f"{number} {words}{'' if number == 1 else 's'}"


def _dice(record: Json) -> str:
    """The Dice of each class, and their mean where there are several.

    >>> _dice({"dice": {"a": 0.5, "b": 0.75, "c": None}, "mean_dice": 0.625})
    'a 0.500, b 0.750, c in none of them; mean 0.625'
    """
    each = [
        f"{name} {'in none of them' if value is None else format(value, '.3f')}"
        for name, value in record["dice"].items()
    ]
    return ", ".join(each) + (f"; mean {record['mean_dice']:.3f}" if len(each) > 1 else "")
