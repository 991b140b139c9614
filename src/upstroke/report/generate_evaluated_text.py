"""Turn the record of a judged generator into text for a terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.generate_evaluated_words import (
    answers,
    beside_words,
    distance_rows,
    how_judged,
    mark_rows,
    network_words,
    note_words,
    single_rows,
    source_words,
    verdict_words,
)
from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["generate_evaluated_text"]

Json = dict[str, Any]
# Columns of the names at the left.
HEAD = 24
COLOURS = {"ok": "green", "warning": "yellow", "skipped": "dim"}


def generate_evaluated_text(
    record: Json, *, width: int = 100, colour: bool = False, verbose: bool = False
) -> str:
    """Write an `upstroke.generate-evaluate/1` record as text; `verbose` has all periods, and explains."""
    width = min(width, 120)
    return written(lambda console: _write(console, record, verbose=verbose), width=width, colour=colour)


def _write(console: Console, record: Json, *, verbose: bool) -> None:
    say(
        console,
        Text(visible(record["source"]["name"]), "bold"),
        Text(f"  {visible(source_words(record))}"),
        hang=2,
    )
    for note in note_words(record):
        say(console, Text("! ", "yellow"), Text(visible(note)), hang=2)
    console.print()
    for each in answers(record):
        state = each["state"]
        head = Text.assemble(
            (f"{state['shape']} ", COLOURS[state["kind"]]), f"{each['head']:<{HEAD}}", (each["word"], "bold")
        )
        say(console, head, Text(visible(f"  {each['words']}")), hang=HEAD + 2)
    console.print()
    for row in distance_rows(record):
        say(
            console,
            f"  {row['name']}: ",
            Text(f"FID {row['fid']}, KID x 1000 {row['kid']}, of {row['counts']}"),
        )
    if record["distances"] is not None:
        say(console, "  ", Text(visible(network_words(record))), hang=2)
    if verbose:
        _periods(console, record)
        for name, words in how_judged(record):
            say(console, f"  {name}: ", Text(visible(words)), hang=4)
    console.print()
    say(console, "", Text(visible(f"{verdict_words(record)}."), "bold"))
    say(console, "  ", Text(visible(beside_words(record))), hang=2)


def _periods(console: Console, record: Json) -> None:
    console.print()
    for row in single_rows(record):
        words = f"samples {row['samples']}, real pictures {row['real']} times noise"
        say(console, f"  grid of period {row['period']}: ", Text(words), hang=4)
    for row in mark_rows(record):
        name = " ".join(filter(None, (row["name"], f"of period {row['period']} in common", row["channel"])))
        words = f"{row['samples']}, chance up to {row['chance']}, real pictures {row['real']}: {row['word']}"
        say(console, f"  {name}: ", Text(words), hang=4)
    console.print()
