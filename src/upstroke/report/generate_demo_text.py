"""Turn the record of the demonstration of generators into text for a terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written
from upstroke.report.training_words import counted

__all__ = ["generate_demo_text"]

Json = dict[str, Any]


def generate_demo_text(record: Json, *, width: int = 100, colour: bool = False, quiet: bool = False) -> str:
    """Write an `upstroke.generate-demo/1` record as text; `quiet` leaves what to look at unsaid."""
    return written(lambda console: _write(console, record, quiet=quiet), width=width, colour=colour)


def _write(console: Console, record: Json, *, quiet: bool) -> None:
    train, found, folder = record["train"], record["evaluate"], visible(record["folder"])
    pictures = train["plan"]["gathered"]["pictures"]
    say(
        console,
        "",
        Text(
            f"{counted(train['steps'], 'step')} on {counted(pictures, 'drawn flower')} took "
            f"{train['seconds']:.0f} s. Of {counted(found['samples'], 'sample')}:"
        ),
    )
    for verdict in found["verdicts"]:
        say(console, "  ", Text(f"{verdict['about']:<12}{verdict['word']}"))
    if quiet:
        return
    say(console, "", Text())
    say(
        console,
        "",
        Text(f"Open {folder}/{record['sample']['target'].rpartition('/')[2]}: flowers that nobody drew."),
    )
    say(console, "", Text(f"Open {folder}/{record['page']}: all that was measured of them."))
    say(console, "", Text(f"Open {folder}/run/report.html: how training went."))
