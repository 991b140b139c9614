"""Turn the record of the demonstration of segmentation into text for a terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["segment_demo_text"]

Json = dict[str, Any]


def segment_demo_text(record: Json, *, width: int = 100, colour: bool = False, quiet: bool = False) -> str:
    """Write an `upstroke.segment-demo/1` record as text; `quiet` leaves what to look at unsaid."""
    return written(lambda console: _write(console, record, quiet=quiet), width=width, colour=colour)


def _write(console: Console, record: Json, *, quiet: bool) -> None:
    train, predict, folder = record["train"], record["predict"], visible(record["folder"])
    say(
        console,
        "",
        Text(
            f"{train['steps']} steps of the preset tiny on drawn cells took {train['seconds']:.0f} s. On the "
            f"{train['cases']} pictures that were held out, Dice:"
        ),
    )
    for name, dice in train["dice"].items():
        say(console, "  ", Text(f"{visible(name):<12}{_number(dice)}"))
    sizes = ", ".join("x".join(map(str, each["size"])) for each in predict["files"])
    say(console, "", Text(f"New pictures of {sizes} pixels got masks of the same sizes."))
    if quiet:
        return
    say(console, "", Text())
    say(console, "", Text(f"Open {folder}/{record['page']}: the held-out pictures, the worst first."))
    say(console, "", Text(f"Open {folder}/run/report.html: how training went."))
    say(console, "", Text(f"Compare {folder}/new with {folder}/predictions."))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
