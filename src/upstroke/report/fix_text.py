"""Turn the record of a fixed model into text for a terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.fix_words import (
    case_words,
    changed_findings,
    measure_words,
    milliseconds,
    moved_outputs,
    repair_lines,
    sentence,
    shown_sizes,
    site_lines,
    state,
    summary,
    totals,
    verification,
    way,
)
from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["fix_text"]

Json = dict[str, Any]
COLOURS = {"ok": "green", "error": "red", "note": "cyan"}
# Columns from which words stand beside their heads, all in line.
WIDE = 60
HEAD = 14


def fix_text(record: Json, *, width: int = 100, colour: bool = False, verbose: bool = False) -> str:
    """Write an `upstroke.fix/1` record as text; `verbose` lists every size and every form that was timed."""
    width = min(width, 100)
    return written(lambda console: _write(console, record, verbose=verbose), width=width, colour=colour)


def _write(console: Console, record: Json, *, verbose: bool) -> None:
    head = Text.assemble((visible(record["model"]), "bold"), f": {summary(record)}")
    say(console, "", head, hang=2)
    say(console, "", Text(visible(f"{record['source']}; for {record['runtime']}, one thread")), hang=2)
    _sites(console, "Rewritten", "rewritten", record, verbose=verbose)
    _sites(console, "Left as they are", "left", record, verbose=verbose)
    _repairs(console, record)
    _whole(console, record)
    _compared(console, record, verbose=verbose)
    _found(console, record)
    for note in record["notes"]:
        console.print()
        say(console, "", Text(visible(sentence(note))))
    console.print()
    _last(console, record)


def _sites(console: Console, title: str, outcome: str, record: Json, *, verbose: bool) -> None:
    """One paragraph for each site; of those that were left, those with one reason together."""
    sites = [each for each in record["sites"] if each["outcome"] == outcome]
    if not sites:
        return
    console.print()
    say(console, "", Text(title, "bold"))
    told: dict[str, list[Json]] = {}
    for each in sites:
        key = each["words"] if outcome == "left" else f"{each['site']}: {each['words']}"
        told.setdefault(key, []).append(each)
    for alike in told.values():
        names = ", ".join(each["site"] for each in alike)
        codes = ", ".join(dict.fromkeys(code for each in alike for code in each["codes"]))
        say(console, "  ", Text.assemble((visible(names), "bold"), f"  {codes}"), hang=6)
        for words in site_lines(alike[0]):
            say(console, "    ", Text(visible(words)), hang=6)
        if verbose:
            for each in alike:
                if each["how"]:
                    say(console, "      ", Text(visible(sentence(each["how"]))), hang=8)
                for time in each["times"]:
                    line = f"{milliseconds(time['milliseconds'])}  {way(time['form'])}"
                    say(console, "      ", Text(visible(line)), hang=8)


def _repairs(console: Console, record: Json) -> None:
    if not record["repairs"]:
        return
    console.print()
    say(console, "", Text("Repairs, which change what the model computes", "bold"))
    for each in record["repairs"]:
        word = "repaired" if each["outcome"] == "repaired" else "left"
        head = Text.assemble((visible(each["site"]), "bold"), f"  {each['code']}, {word}")
        say(console, "  ", head, hang=6)
        for words in repair_lines(each):
            say(console, "    ", Text(visible(words)), hang=6)
        if measure_words(each):
            say(console, "    ", Text(visible(measure_words(each))), hang=6)
    for words in moved_outputs(record):
        say(console, "  ", Text(visible(words)), hang=6)


def _whole(console: Console, record: Json) -> None:
    rows = list(totals(record))
    if not rows:
        return
    console.print()
    say(console, "", Text("The whole model", "bold"))
    for title, before, after, meaning in rows:
        words = f"{before} before, {after} now" if before != after else before
        _headed(console, title, f"{words}{f', {meaning}' if meaning else ''}")
    if record["totals"]["words"]:
        say(console, "  ", Text(visible(sentence(record["totals"]["words"]))), hang=4)


def _compared(console: Console, record: Json, *, verbose: bool) -> None:
    verified = record["verified"]
    if verified is None:
        return
    console.print()
    say(console, "", Text("Verified" if verified["passed"] else "Not verified", "bold"))
    say(console, "  ", Text(visible(verification(record))), hang=4)
    for precision in verified["precisions"] if verbose else ():
        for case in precision["cases"]:
            head = f"{shown_sizes(case['sizes'])} {precision['dtype']}"
            _headed(console, head, case_words(case))


def _found(console: Console, record: Json) -> None:
    """What the check says of both, where that is not the same."""
    counts = [(code, old, new) for code, old, new in changed_findings(record) if old != new]
    if counts:
        words = ", ".join(f"{code} {old} → {new}" for code, old, new in counts)
        console.print()
        say(console, "", Text("Findings of the check", "bold"))
        say(console, "  ", Text(visible(words)), hang=4)


def _last(console: Console, record: Json) -> None:
    """The line that stays on the screen."""
    word = state(record)
    line = Text(summary(record), COLOURS[word])
    if record["output"] is not None:
        line.append(visible(f"; written to {record['output']}"), "")
    say(console, "", line, hang=2)


def _headed(console: Console, head: str, words: str) -> None:
    wide = console.width >= WIDE and len(head) <= HEAD
    start = f"  {head.ljust(HEAD)}  " if wide else f"  {head}: "
    say(console, visible(start), Text(visible(words)), hang=len(start) if wide else 4)
