"""Turn the record of an evaluated segmentation into text for a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written
from upstroke.report.segment_words import (
    beside_words,
    distance,
    found_words,
    how_judged,
    length,
    note_words,
    percent,
    score,
    selection_words,
    several,
    verdict_words,
    with_spread,
)

__all__ = ["segment_text"]

Json = dict[str, Any]
# Cases that are listed, unless all are asked for.
WORST = 5
GAP = 2


def segment_text(record: Json, *, width: int = 100, colour: bool = False, verbose: bool = False) -> str:
    """Write an `upstroke.segment-evaluate/1` record as text; `verbose` lists every case."""
    width = min(width, 120)
    return written(lambda console: _write(console, record, verbose=verbose), width=width, colour=colour)


def _write(console: Console, record: Json, *, verbose: bool) -> None:
    say(
        console,
        Text(visible(record["source"]["name"]), "bold"),
        Text(f"  {visible(selection_words(record))}"),
        hang=2,
    )
    for note in note_words(record):
        say(console, Text("! ", "yellow"), Text(visible(note)), hang=2)
    console.print()
    _table(console, *_classes(record))
    shown = record["cases"] if verbose else record["cases"][:WORST]
    console.print()
    head = (
        f"All {several(len(shown), 'case')}" if len(shown) == len(record["cases"]) else f"Worst {len(shown)}"
    )
    say(console, "", Text(f"{head}, the worst first", "bold"))
    _table(console, *_cases(record, shown))
    if verbose:
        console.print()
        for name, words in how_judged(record):
            say(console, f"  {name}: ", Text(visible(words)), hang=4)
    console.print()
    say(console, "", Text(visible(f"{verdict_words(record)}."), "green"))
    say(console, "  ", Text(visible(beside_words(record))), hang=2)


def _classes(record: Json) -> tuple[list[str], list[list[str]]]:
    unit = length(record)
    heads = ["class", "Dice", "IoU", f"HD95 {unit}".strip(), f"boundary {unit}".strip(), "volume", "cases"]
    rows = [
        [
            visible(each["name"]),
            with_spread(each["dice"], score),
            with_spread(each["iou"], score),
            with_spread(each["hausdorff95"], distance),
            with_spread(each["boundary"], distance),
            with_spread(each["volume_error"], percent),
            found_words(each),
        ]
        for each in record["classes"]
    ]
    return heads, rows


def _cases(record: Json, cases: Sequence[Json]) -> tuple[list[str], list[list[str]]]:
    """A line for each case: its means, then the Dice of each class."""
    is_many = len(record["classes"]) > 1
    unit = length(record)
    heads = ["case", "Dice", f"HD95 {unit}".strip(), f"boundary {unit}".strip()]
    heads += [visible(each["name"]) for each in record["classes"]] if is_many else []
    rows = [
        [
            visible(each["name"]),
            score(each["dice"]),
            distance(each["hausdorff95"]),
            distance(each["boundary"]),
            *([_of_class(part) for part in each["scores"]] if is_many else []),
        ]
        for each in cases
    ]
    return heads, rows


def _of_class(part: Json) -> str:
    return score(part["dice"]) if part["presence"] in ("both", "absent") else part["presence"]


def _table(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns below their heads; where the lines are too short for them, each number behind its head."""
    widths = [max(len(cells[at]) for cells in (heads, *rows)) for at in range(len(heads))]
    if sum(widths) + GAP * len(widths) > console.width:
        for row in rows:
            words = ", ".join(f"{head} {cell}" for head, cell in zip(heads[1:], row[1:], strict=True))
            say(console, f"  {row[0]}: ", Text(words), hang=4)
        return
    for index, cells in enumerate((heads, *rows)):
        line = "  ".join(
            cell.ljust(wide) if at == 0 else cell.rjust(wide)
            for at, (cell, wide) in enumerate(zip(cells, widths, strict=True))
        )
        console.print(Text(f"  {line}", "" if index else "dim"), no_wrap=True, crop=False, overflow="ignore")
