"""Turn the record of a checked model into text for a terminal."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.inspect_text import figures
from upstroke.report.page import written
from upstroke.report.probe_text import probe_lines

__all__ = [
    "check_text",
    "contents",
    "counted",
    "findings_per_site",
    "levels",
    "measured",
    "of_sites",
    "remark",
    "shown_measure",
    "status",
    "verdict_sentence",
]

Json = dict[str, Any]
SEVERITIES = ("error", "warning", "note")
COLOURS = {"error": "red", "warning": "yellow", "note": "cyan", "ok": "green", "skipped": "magenta"}
MOST_NAMED = 4
# Columns from which words stand beside their heads, all in line.
WIDE = 60
EXPORT = "The remedies change the code or the training of the model; an ONNX file has to be exported anew."


def check_text(record: Json, *, width: int = 100, colour: bool = False, verbose: bool = False) -> str:
    """Write an `upstroke.check/1` record as text; `verbose` lists what is fine, with its numbers."""
    width = min(width, 100)
    return written(lambda console: _write(console, record, verbose=verbose), width=width, colour=colour)


def findings_per_site(record: Json) -> tuple[list[list[Json]], list[Json]]:
    """Sort a record's findings by site, in the order of its sites, and those of no listed site apart.

    Two sites may have one name; each then takes the findings that its own verdicts tell of.
    """
    per_site: list[list[Json]] = [[] for _ in record["sites"]]
    elsewhere: list[Json] = []
    for finding in record["findings"]:
        of_name = [i for i, site in enumerate(record["sites"]) if site["name"] == finding["site"]]
        told = [i for i in of_name if _is_found(record["sites"][i], finding["code"])]
        free = [i for i in told if finding["code"] not in {each["code"] for each in per_site[i]}]
        place = next(iter([*free, *told, *of_name]), None)
        (elsewhere if place is None else per_site[place]).append(finding)
    return per_site, elsewhere


def _is_found(site: Json, code: str) -> bool:
    verdict = site["verdicts"].get(code)
    return verdict is not None and verdict["verdict"] == "finding"


def status(site: Json, findings: Sequence[Json]) -> str:
    """Name what became of a site: its worst severity, ok, partly checked, or skipped.

    >>> verdicts = {"UP101": {"verdict": "skipped"}, "UP102": {"verdict": "ok"}}
    >>> status({"skipped": None, "verdicts": verdicts}, [])
    'partly checked'
    """
    found = {finding["severity"] for finding in findings}
    worst = next((severity for severity in SEVERITIES if severity in found), None)
    if worst is not None:
        return worst
    verdicts = {each["verdict"] for each in site["verdicts"].values()}
    if site["skipped"] is not None or verdicts == {"skipped"}:
        return "skipped"
    return "partly checked" if "skipped" in verdicts else "ok"


def verdict_sentence(record: Json) -> str:
    """Say in a few words what was found.

    >>> verdict_sentence({"sites": [], "summary": {"errors": 0, "warnings": 0, "notes": 0}})
    'Nothing to check'
    """
    summary = record["summary"]
    counts = [counted(summary[f"{each}s"], each) for each in SEVERITIES if summary[f"{each}s"]]
    if counts:
        return ", ".join(counts)
    if not record["sites"]:
        return "Nothing to check"
    if all(status(site, []) == "skipped" for site in record["sites"]):
        return "Nothing could be checked"
    return "Nothing wrong found"


def of_sites(record: Json) -> str:
    """Say of how many sites the verdict is, and what became of the others."""
    if not record["sites"]:
        return "no upsampling found"
    per_site, _ = findings_per_site(record)
    states = [status(site, found) for site, found in zip(record["sites"], per_site, strict=True)]
    unread = _unread(record)
    hit = sum(1 for state in states if state in SEVERITIES)
    fine, partly, skipped = (states.count(each) for each in ("ok", "partly checked", "skipped"))
    parts = [f"in {hit} of {counted(len(states) - unread, 'site')}"] if hit else []
    if fine:
        parts.append(f"{counted(fine, 'site')} {'is' if fine == 1 else 'are'} fine")
    if partly:
        parts.append(f"{counted(partly, 'site')} partly checked")
    if skipped > unread:
        parts.append(f"{counted(skipped - unread, 'site')} skipped")
    if unread:
        parts.append(f"{counted(unread, 'operator')} could not be read")
    return "; ".join(parts)


def contents(record: Json) -> str:
    """Count what was looked at: upsampling sites, and operators that may be some but could not be read.

    >>> contents({"sites": [{"kind": "resize"}, {"kind": "unread"}]})
    '1 upsampling site, 1 operator that could not be read'
    """
    unread = _unread(record)
    words = counted(len(record["sites"]) - unread, "upsampling site")
    return f"{words}, {counted(unread, 'operator')} that could not be read" if unread else words


def _unread(record: Json) -> int:
    return sum(1 for site in record["sites"] if site["kind"] == "unread")


def levels(site: Json) -> list[tuple[str, Any]]:
    """The levels of a site's patterns in dB, those of its biases only where they are the louder ones.

    >>> levels({"image_gain_db": -6.0, "chain_image_gain_db": None, "bias_db": -9.0})
    [('layer', -6.0), ('chain', None), ('biases', -9.0)]
    """
    chain, biases = site["chain_image_gain_db"], site["bias_db"]
    known = [("layer", site["image_gain_db"]), ("chain", chain)]
    is_louder = biases is not None and (chain is None or biases > chain)
    return [*known, ("biases", biases)] if is_louder else known


def remark(record: Json) -> str:
    """What has to be known to follow any remedy; empty where nothing has to."""
    return EXPORT if record["source"]["words"].startswith("ONNX") else ""


def shown_measure(verdict: Json) -> str | None:
    """The measure of a verdict in words; None where there is none, or a zero that is only what should be.

    >>> shown_measure({"verdict": "ok", "measure": 0.0, "unit": "taps apart"})
    >>> shown_measure({"verdict": "ok", "measure": 2.0, "unit": "taps apart"})
    '2 taps apart'
    """
    if verdict["measure"] is None or (verdict["verdict"] == "ok" and verdict["measure"] == 0):
        return None
    return measured(verdict["measure"], verdict["unit"])


def measured(value: Any, unit: str) -> str:  # noqa: ANN401 - a number, null, or what a later rule measures
    """Write a measure with its unit, and a dash where there is no number.

    >>> measured(-10.13, "dB"), measured(1, "taps apart"), measured(None, "dB"), measured(0, "")
    ('−10.1 dB', '1 tap apart', '–', '0')
    >>> measured(-9.03, "dB"), measured(-40.0, "dB")
    ('−9.0 dB', '−40 dB')
    """
    if value is None:
        return "–"
    if isinstance(value, str):
        return f"{value} {unit}".rstrip()
    # a threshold is a whole number of decibels, a measure has one more digit
    is_level = unit == "dB" and value != round(value)
    number = f"{value:.1f}".replace("-", "−") if is_level else figures(value)
    return f"{number} {_one(unit) if value == 1 else unit}".rstrip()


def _one(unit: str) -> str:
    """The singular: "1 tap apart", "1 pixel of its input"."""
    return re.sub(r"s\b", "", unit, count=1)


def counted(number: int, thing: str) -> str:
    """Count things in words.

    >>> counted(1, "site"), counted(2, "site")
    ('1 site', '2 sites')
    """
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _write(console: Console, record: Json, *, verbose: bool) -> None:
    _head(console, record)
    per_site, elsewhere = findings_per_site(record)
    for site, found in zip(record["sites"], per_site, strict=True):
        if found or _notes(site) or (verbose and status(site, found) != "skipped"):
            _site(console, site, found, verbose=verbose)
    for finding in elsewhere:
        console.print()
        _say(console, "", Text(visible(finding["site"]), "bold"))
        _line(console, finding["severity"], finding["code"], finding["message"])
    _probe(console, record)
    _remedies(console, record)
    _skipped(console, record)
    if not verbose:
        _fine(console, record, per_site)
    console.print()
    _last(console, record)


def _head(console: Console, record: Json) -> None:
    source = record["source"]
    operators = "" if source["operators"] is None else f"{counted(source['operators'], 'operator')}, "
    head = Text.assemble((visible(record["model"]), "bold"), f": {operators}{contents(record)}")
    _say(console, "", head, hang=2)
    words = [source["words"], *(_input(each) for each in source["inputs"])]
    _say(console, "", Text(visible("; ".join(words))), hang=2)


def _input(each: Json) -> str:
    size = _size(each["shape"])
    return f"input '{each['name']}'" + (f" {size}" if size else "")


def _site(console: Console, site: Json, found: list[Json], *, verbose: bool) -> None:
    console.print()
    size = _way(site)
    what = visible(site["words"]) + (f", {size}" if size else "")
    _say(console, "", Text.assemble((visible(site["name"]), "bold"), f"  {what}"), hang=4)
    known = [(of, level) for of, level in levels(site) if level is not None]
    if verbose and known:
        loud = ", ".join(f"of the {of} {measured(level, 'dB')}" for of, level in known)
        _say(console, "  ", Text(f"image gain {loud}"), hang=4)
    for finding in found:
        _line(console, finding["severity"], finding["code"], finding["message"])
    told = {finding["code"] for finding in found}
    for code, verdict in site["verdicts"].items():
        if code not in told and (verbose or verdict.get("note")):
            number = shown_measure(verdict)
            aside = f" (measured {number})" if verbose and number is not None else ""
            _line(console, verdict["verdict"], code, f"{verdict['words']}{aside}")


def _notes(site: Json) -> list[str]:
    return [code for code, each in site["verdicts"].items() if each["verdict"] == "ok" and each.get("note")]


def _line(console: Console, word: str, code: str, words: str) -> None:
    """One verdict: what it is, of which rule, and why."""
    head = Text.assemble("  ", (word, COLOURS.get(word, "")), " ", (visible(code), "bold"), "  ")
    if console.width >= WIDE:
        head.pad_right(max(0, len("  warning UP101  ") - head.cell_len))
    _say(console, head, Text(visible(words)), hang=head.cell_len if console.width >= WIDE else 4)


def _probe(console: Console, record: Json) -> None:
    """What test signals through the real model show."""
    values = (record.get("probe") or {}).get("values")
    if values is None:
        return
    console.print()
    _say(console, "", Text("Probe", "bold"))
    for head, words in probe_lines(values):
        _say(console, Text(f"    {head.ljust(8)}  " if head else "  "), Text(visible(words)), hang=6)


def _remedies(console: Console, record: Json) -> None:
    """What to do, once for all rules that say the same."""
    codes: dict[str, dict[str, None]] = {}
    for finding in sorted(record["findings"], key=lambda each: str(each["code"])):
        if finding["remedy"]:
            codes.setdefault(finding["remedy"], {})[finding["code"]] = None
    if codes:
        console.print()
        _say(console, "", Text("What to do", "bold"))
    for remedy, rules in codes.items():
        _say(console, Text(f"  {visible(', '.join(rules))}: "), Text(visible(remedy)), hang=4)
    if codes and remark(record):
        _say(console, "  ", Text(remark(record)), hang=4)


def _skipped(console: Console, record: Json) -> None:
    """What could not be read, and which rules could not be applied, once per reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for each in record["skipped"]:
        reasons.setdefault(("", each["reason"]), []).append(each["site"])
    for site in record["sites"]:
        if status(site, []) != "skipped":
            for code, verdict in site["verdicts"].items():
                if verdict["verdict"] == "skipped":
                    reasons.setdefault((code, verdict["words"]), []).append(site["name"])
    if reasons:
        console.print()
        _say(console, "", Text("Skipped", "bold"))
    for (code, reason), names in reasons.items():
        rule = f"{visible(code)} at " if code else ""
        _say(console, "  ", Text(f"{rule}{_named(names)}: {visible(reason)}"), hang=4)


def _fine(console: Console, record: Json, per_site: list[list[Json]]) -> None:
    """Sites without a word to say, a line for each kind of them."""
    kinds: dict[str, list[str]] = {}
    for site, found in zip(record["sites"], per_site, strict=True):
        if status(site, found) == "ok" and not _notes(site):
            kinds.setdefault(site["words"], []).append(site["name"])
    if kinds:
        console.print()
        _say(console, "", Text("Fine", "bold"))
    for words, names in kinds.items():
        many = f"{len(names)} times " if len(names) > 1 else ""
        _say(console, "  ", Text(f"{many}{visible(words)}: {_named(names)}"), hang=4)


def _last(console: Console, record: Json) -> None:
    findings = record["findings"]
    if not record["sites"] and not findings:
        _say(console, "", Text("nothing to check: no upsampling found", "green"))
        return
    sentence = verdict_sentence(record)
    found = [severity for severity in SEVERITIES if record["summary"][f"{severity}s"]]
    state = found[0] if found else "ok" if sentence == "Nothing wrong found" else "skipped"
    between = " " if found else ": "
    _say(console, "", Text.assemble((sentence, COLOURS[state]), f"{between}{of_sites(record)}"))
    if findings:
        worst = min(findings, key=lambda each: (SEVERITIES.index(each["severity"]), each["code"]))
        _say(console, "", Text(f"upstroke explain {visible(worst['code'])} says more"))


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(visible(name) for name in names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"


def _way(site: Json) -> str:
    if site["size_in"] is None and site["size_out"] is None:
        return ""
    return f"{_size(site['size_in']) or '?'} → {_size(site['size_out']) or '?'}"


def _size(size: Iterable[Any] | None) -> str:
    """Sizes by axis, with a question mark where one is unknown."""
    return "" if size is None else "x".join("?" if axis is None else visible(str(axis)) for axis in size)


def _say(console: Console, head: Text | str, words: Text, *, hang: int = 0) -> None:
    """Print words in lines that break at blanks alone; one longer than a line is left whole."""
    line = Text.assemble(head)
    is_first, is_bare = True, True
    for word in words.split(" "):
        if not is_bare and line.cell_len + 1 + word.cell_len > console.width:
            console.print(line, no_wrap=True, crop=False, overflow="ignore")
            line, is_bare = Text(" " * hang), True
        if not is_bare:
            line.append(" ")
        elif is_first and line.cell_len + word.cell_len > console.width and line.cell_len > hang:
            console.print(line, no_wrap=True, crop=False, overflow="ignore")
            line = Text(" " * hang)
        line.append_text(word)
        is_first, is_bare = False, False
    console.print(line, no_wrap=True, crop=False, overflow="ignore")
