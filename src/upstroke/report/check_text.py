"""Turn the record of a checked model into text for a terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.check_subjects import PLURALS, SEVERITIES, Subject, subjects_of
from upstroke.report.check_words import (
    contents,
    counted,
    levels,
    measured,
    of_sites,
    remark,
    shown_measure,
    sizes_to_give,
    verdict_sentence,
    worst_first,
)
from upstroke.report.html import visible
from upstroke.report.page import say, written
from upstroke.report.probe_text import geometry_lines, probe_lines

__all__ = ["check_text"]

Json = dict[str, Any]
COLOURS = {"error": "red", "warning": "yellow", "note": "cyan", "ok": "green", "skipped": "magenta"}
MOST_NAMED = 4
# Findings of one rule with words of their own that get a line each, beyond which one line tells of all.
MOST_APART = 3
THINGS = {"join": "join", "reduction": "strided layer", "output": "output"}
BLOCKS = {
    "join": "Joins",
    "reduction": "Strided layers",
    "output": "Outputs",
    "model": "The model as a whole",
}
# Columns from which words stand beside their heads, all in line.
WIDE = 60


def check_text(record: Json, *, width: int = 100, colour: bool = False, verbose: bool = False) -> str:
    """Write an `upstroke.check/1` record as text; `verbose` lists what is fine, with its numbers."""
    width = min(width, 100)
    return written(lambda console: _write(console, record, verbose=verbose), width=width, colour=colour)


def _write(console: Console, record: Json, *, verbose: bool) -> None:
    subjects, elsewhere = subjects_of(record)
    _head(console, record)
    for subject in subjects:
        if subject.kind == "site" and (
            subject.findings or subject.notes or (verbose and subject.state != "skipped")
        ):
            _site(console, subject, verbose=verbose)
    for kind, title in BLOCKS.items():
        _block(console, title, [each for each in subjects if each.kind == kind], verbose=verbose)
    for finding in elsewhere:
        console.print()
        say(console, "", Text(visible(finding["site"]), "bold"))
        _line(console, finding["severity"], finding["code"], finding["message"])
    _probe(console, record)
    _remedies(console, record)
    _skipped(console, record, subjects)
    _gone(console, record)
    if not verbose:
        _fine(console, subjects)
    console.print()
    _last(console, record)
    if sizes_to_give(record):
        say(console, "", Text(visible(sizes_to_give(record))))


def _head(console: Console, record: Json) -> None:
    source = record["source"]
    operators = "" if source["operators"] is None else f"{counted(source['operators'], 'operator')}, "
    head = Text.assemble((visible(record["model"]), "bold"), f": {operators}{contents(record)}")
    say(console, "", head, hang=2)
    words = [source["words"], *(_input(each) for each in source["inputs"])]
    say(console, "", Text(visible("; ".join(words))), hang=2)


def _input(each: Json) -> str:
    size = _size(each["shape"])
    return f"input '{each['name']}'" + (f" {size}" if size else "")


def _site(console: Console, subject: Subject, *, verbose: bool) -> None:
    console.print()
    site, size = subject.entry, _way(subject.entry)
    what = visible(site["words"]) + (f", {size}" if size else "")
    say(console, "", Text.assemble((visible(site["name"]), "bold"), f"  {what}"), hang=4)
    known = [(of, level) for of, level in levels(site) if level is not None]
    if verbose and known:
        loud = ", ".join(f"of the {of} {measured(level, 'dB')}" for of, level in known)
        say(console, "  ", Text(f"image gain {loud}"), hang=4)
    _verdicts(console, subject, verbose=verbose)


def _verdicts(console: Console, subject: Subject, *, verbose: bool) -> None:
    """The findings of one subject, and of its other verdicts those that are worth it."""
    for finding in subject.findings:
        _line(console, finding["severity"], finding["code"], finding["message"])
    told = {finding["code"] for finding in subject.findings}
    for code, verdict in subject.entry["verdicts"].items():
        if code not in told and (verbose or verdict.get("note")):
            number = shown_measure(verdict)
            aside = f" (measured {number})" if verbose and number is not None else ""
            why = f"; suppressed: {verdict['suppressed']}" if "suppressed" in verdict else ""
            _line(console, verdict["verdict"], code, f"{verdict['words']}{aside}{why}")


def _block(console: Console, title: str, subjects: list[Subject], *, verbose: bool) -> None:
    """What was found of joins, strided layers, outputs or the model; `verbose` lists each of them."""
    judged = [each for each in subjects if each.entry["verdicts"] or each.findings]
    if verbose:
        for subject in judged:
            console.print()
            named = title if subject.kind == "model" else visible(subject.name)
            what = "" if subject.kind == "model" else f"  {THINGS[subject.kind]}"
            say(console, "", Text.assemble((named, "bold"), what), hang=4)
            _verdicts(console, subject, verbose=True)
        return
    if not any(each.findings or each.notes for each in judged):
        return
    console.print()
    say(console, "", Text(title, "bold"))
    groups: dict[tuple[str, str], list[tuple[Subject, Json]]] = {}
    for subject in judged:
        for finding in subject.findings:
            groups.setdefault((finding["code"], finding["severity"]), []).append((subject, finding))
        for code in subject.notes:
            words = subject.entry["verdicts"][code]["words"]
            groups.setdefault((code, "ok"), []).append((subject, {"message": words}))
    order = (*SEVERITIES, "ok")
    for (code, word), found in sorted(groups.items(), key=lambda each: (order.index(each[0][1]), each[0][0])):
        for words in _told_together(found, of=len(judged)):
            _line(console, word, code, words)


def _told_together(found: list[tuple[Subject, Json]], *, of: int) -> list[str]:
    """One rule's findings at many subjects in a line for those that say the same, or for the worst."""
    kind = found[0][0].kind
    by_words: dict[str, list[str]] = {}
    for subject, finding in found:
        by_words.setdefault(finding["message"], []).append(subject.name)
    if kind == "model":
        return list(by_words)
    things = PLURALS[kind]
    if len(by_words) <= MOST_APART:
        return [
            f"{names[0]}: {words}"
            if len(names) == 1
            else f"{len(names)} {things} ({_listed(names)}): {words}"
            for words, names in by_words.items()
        ]
    at = {id(finding): subject.name for subject, finding in found}
    worst, *others = worst_first([finding for _, finding in found])
    named = [
        f"{at[id(each)]} ({measured(each['measure'], each['unit'])})" if each.get("measure") is not None
        else at[id(each)]
        for each in others
    ]  # fmt: skip
    words = f"{len(found)} of {counted(of, things[:-1])}, the worst at {at[id(worst)]}: {worst['message']}"
    return [f"{words}; also at {_listed(named)}"]


def _line(console: Console, word: str, code: str, words: str) -> None:
    """One verdict: what it is, of which rule, and why."""
    head = Text.assemble("  ", (word, COLOURS.get(word, "")), " ", (visible(code), "bold"), "  ")
    if console.width >= WIDE:
        head.pad_right(max(0, len("  warning UP101  ") - head.cell_len))
    say(console, head, Text(visible(words)), hang=head.cell_len if console.width >= WIDE else 4)


def _probe(console: Console, record: Json) -> None:
    """What test signals through the real model show."""
    for kind, title, lines in (
        ("values", "Probe", probe_lines),
        ("geometry", "Probe of the geometry", geometry_lines),
    ):
        shown = (record.get("probe") or {}).get(kind)
        if shown is not None:
            console.print()
            say(console, "", Text(title, "bold"))
            for head, words in lines(shown):
                say(console, Text(f"    {head.ljust(8)}  " if head else "  "), Text(visible(words)), hang=6)


def _remedies(console: Console, record: Json) -> None:
    """What to do, once for all rules that say the same."""
    codes: dict[str, dict[str, None]] = {}
    for finding in sorted(record["findings"], key=lambda each: str(each["code"])):
        if finding["remedy"]:
            codes.setdefault(finding["remedy"], {})[finding["code"]] = None
    if codes:
        console.print()
        say(console, "", Text("What to do", "bold"))
    for remedy, rules in codes.items():
        say(console, Text(f"  {visible(', '.join(rules))}: "), Text(visible(remedy)), hang=4)
    if codes and remark(record):
        say(console, "  ", Text(remark(record)), hang=4)


def _skipped(console: Console, record: Json, subjects: list[Subject]) -> None:
    """What could not be read, and which rules could not be applied, once per reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for each in record["skipped"]:
        reasons.setdefault(("", each["reason"]), []).append(each["site"])
    for subject in subjects:
        if subject.entry.get("skipped") is None:
            for code, verdict in subject.entry["verdicts"].items():
                is_told = subject.state == "skipped" or not verdict.get("aside")
                if verdict["verdict"] == "skipped" and is_told:
                    reasons.setdefault((code, verdict["words"]), []).append(subject.name)
    if reasons:
        console.print()
        say(console, "", Text("Skipped", "bold"))
    for (code, reason), names in reasons.items():
        rule = f"{visible(code)} at " if code else ""
        say(console, "  ", Text(f"{rule}{_named(names)}: {visible(reason)}"), hang=4)


def _gone(console: Console, record: Json) -> None:
    """What stood in the baseline and stands no more, so that it can be written anew."""
    gone = (record.get("baseline") or {"gone": []})["gone"]
    if gone:
        console.print()
        say(console, "", Text("Gone since the baseline", "bold"))
    for code in sorted({each["code"] for each in gone}):
        names = [each["site"] for each in gone if each["code"] == code]
        say(console, "  ", Text(f"{visible(code)}: {_named(names)}"), hang=4)


def _fine(console: Console, subjects: list[Subject]) -> None:
    """Subjects without a word to say, a line for each kind of sites and one for all others."""
    kinds: dict[str, list[str]] = {}
    others: dict[str, int] = {}
    for subject in subjects:
        if subject.state == "ok" and not subject.notes:
            if subject.kind == "site":
                kinds.setdefault(subject.entry["words"], []).append(subject.name)
            elif subject.kind != "model":
                others[subject.kind] = others.get(subject.kind, 0) + 1
    if kinds or others:
        console.print()
        say(console, "", Text("Fine", "bold"))
    for words, names in kinds.items():
        many = f"{len(names)} times " if len(names) > 1 else ""
        say(console, "  ", Text(f"{many}{visible(words)}: {_named(names)}"), hang=4)
    if others:
        counts = ", ".join(counted(number, PLURALS[kind][:-1]) for kind, number in others.items())
        say(console, "  ", Text(counts), hang=4)


def _last(console: Console, record: Json) -> None:
    findings = record["findings"]
    if not record["sites"] and not findings:
        say(console, "", Text("nothing to check: no upsampling found", "green"))
        return
    sentence = verdict_sentence(record)
    found = [severity for severity in SEVERITIES if record["summary"][f"{severity}s"]]
    fine = ("Nothing wrong found", "Nothing new found")
    state = found[0] if found else "ok" if sentence in fine else "skipped"
    between = " " if found else ": "
    say(console, "", Text.assemble((sentence, COLOURS[state]), f"{between}{of_sites(record)}"))
    if findings:
        worst = min(findings, key=lambda each: (SEVERITIES.index(each["severity"]), each["code"]))
        say(console, "", Text(f"upstroke explain {visible(worst['code'])} says more"))


def _named(names: Sequence[str]) -> str:
    return _listed([visible(name) for name in names])


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"


def _way(site: Json) -> str:
    if site["size_in"] is None and site["size_out"] is None:
        return ""
    return f"{_size(site['size_in']) or '?'} → {_size(site['size_out']) or '?'}"


def _size(size: Iterable[Any] | None) -> str:
    """Sizes by axis, with a question mark where one is unknown."""
    return "" if size is None else "x".join("?" if axis is None else visible(str(axis)) for axis in size)
