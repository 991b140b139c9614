"""Turn the record of two models side by side into text for a terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.check_words import measured
from upstroke.report.diff_words import (
    GROUPS,
    case_lines,
    contents,
    costs,
    findings_summary,
    moved_joins,
    outputs_summary,
    state,
    worst,
)
from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["diff_text"]

Json = dict[str, Any]
COLOURS = {"error": "red", "warning": "yellow", "note": "cyan", "ok": "green"}
# Columns from which words stand beside their heads, all in line.
WIDE = 60
HEAD = 14


def diff_text(record: Json, *, width: int = 100, colour: bool = False, verbose: bool = False) -> str:
    """Write an `upstroke.diff/1` record as text; `verbose` lists what both have, and every size."""
    width = min(width, 100)
    return written(lambda console: _write(console, record, verbose=verbose), width=width, colour=colour)


def _write(console: Console, record: Json, *, verbose: bool) -> None:
    for key in ("old", "new"):
        side = record[key]
        head = Text.assemble(f"{key}  ", (visible(side["model"]), "bold"), f"  {visible(contents(side))}")
        say(console, "", head, hang=5)
    for key, title in GROUPS:
        _findings(console, title, record["findings"][key], verbose=verbose or key == "new")
    _numbers(console, record)
    _outputs(console, record, verbose=verbose)
    console.print()
    line = Text.assemble((findings_summary(record), COLOURS[state(record)]), f"; {outputs_summary(record)}")
    say(console, "", line, hang=2)


def _findings(console: Console, title: str, findings: list[Json], *, verbose: bool) -> None:
    """A line for each finding; where there are no more words to say than before, a line for each rule."""
    if not findings:
        return
    console.print()
    say(console, "", Text(title, "bold"))
    if verbose:
        for each in worst(findings):
            _line(console, each["severity"], each["code"], f"{each['site']}: {each['words']}")
        return
    for code in dict.fromkeys(each["code"] for each in worst(findings)):
        alike = [each for each in findings if each["code"] == code]
        names = ", ".join(
            each["site"] if each["measure"] is None
            else f"{each['site']} ({measured(each['measure'], each['unit'])})"
            for each in alike
        )  # fmt: skip
        _line(console, alike[0]["severity"], code, names)


def _line(console: Console, word: str, code: str, words: str) -> None:
    head = Text.assemble("  ", (word, COLOURS.get(word, "")), " ", (visible(code), "bold"), "  ")
    if console.width >= WIDE:
        head.pad_right(max(0, len("  warning UP101  ") - head.cell_len))
    say(console, head, Text(visible(words)), hang=head.cell_len if console.width >= WIDE else 4)


def _numbers(console: Console, record: Json) -> None:
    console.print()
    say(console, "", Text("What they take", "bold"))
    for title, before, after, meaning in costs(record):
        if before == after and meaning == "the same":
            _headed(console, title, f"{before}, the same")
        else:
            _headed(console, title, f"{before} → {after}{f', {meaning}' if meaning else ''}")
    moved = list(moved_joins(record))
    if moved:
        console.print()
        say(console, "", Text("Joins whose branches moved, in input pixels", "bold"))
    for name, before, after in moved:
        say(console, "  ", Text(visible(f"{name}: {before} → {after}")), hang=4)


def _outputs(console: Console, record: Json, *, verbose: bool) -> None:
    """What the outputs are apart, size by size; briefly, of the example and what stands out."""
    console.print()
    say(console, "", Text("Outputs of both on the same inputs", "bold"))
    for number, case in enumerate(record["cases"]):
        is_odd = any(case["refused"].values()) or any(each["words"] for each in case["outputs"])
        if verbose or number == 0 or is_odd:
            for head, words in case_lines(case):
                _headed(console, head, words)
    rest = len(record["cases"]) - 1
    if rest > 0 and not verbose:
        say(console, "  ", Text(f"{rest} more sizes of inputs were tried; -v lists them"), hang=4)


def _headed(console: Console, head: str, words: str) -> None:
    wide = console.width >= WIDE and len(head) <= HEAD
    start = f"  {head.ljust(HEAD)}  " if wide else f"  {head}: "
    say(console, visible(start), Text(visible(words)), hang=len(start) if wide else 4)
