"""Turn the record of a fixed model into one self-contained HTML page."""

from collections.abc import Iterator
from typing import Any

from upstroke.report.check_sections import badge
from upstroke.report.check_words import measured
from upstroke.report.fix_words import (
    case_words,
    gain,
    shown_sizes,
    site_lines,
    state,
    summary,
    totals,
    verification,
)
from upstroke.report.html import page
from upstroke.report.inspect_text import figures
from upstroke.report.svg_bars import compared

__all__ = ["fix_page"]

Json = dict[str, Any]
GROUPS = (("rewritten", "Rewritten"), ("left", "Left as they are"))
# Sites that a figure shows; with more of them its names would be too small to read.
MOST_BARS = 12


def fix_page(record: Json) -> str:
    """Write an `upstroke.fix/1` record as an HTML page that needs nothing beside it."""
    return page(
        "fix.html",
        {
            "title": f"{record['model']} – upstroke fix",
            "model": record["model"],
            "verdict": summary(record),
            "state": badge(state(record)),
            "where": verification(record) or "nothing was changed, so nothing had to be compared",
            "source": _source(record),
            "totals": list(totals(record)),
            "figures": list(_figures(record)),
            "gain": record["totals"]["words"] or "",
            "groups": [_group(record, outcome, title) for outcome, title in GROUPS if _of(record, outcome)],
            "repairs": [_repair(each) for each in record["repairs"]],
            "moved": list(_moved(record)),
            "verification": verification(record),
            "cases": [
                _case(case, each["dtype"])
                for each in (record["verified"] or {"precisions": ()})["precisions"]
                for case in each["cases"]
            ],
            "findings": list(_findings(record)),
            "notes": record["notes"],
            "schema": record["schema"],
            "version": record["version"],
        },
    )


def _source(record: Json) -> list[tuple[str, str]]:
    facts = [("Source", record["source"]), ("For", f"{record['runtime']}, one thread")]
    return [*facts, ("Written to", record["output"])] if record["output"] else facts


def _of(record: Json, outcome: str) -> list[Json]:
    return [each for each in record["sites"] if each["outcome"] == outcome]


def _group(record: Json, outcome: str, title: str) -> Json:
    rows = [
        {
            "site": each["site"],
            "codes": ", ".join(each["codes"]),
            "gain": gain(each["ratio"]) or None,
            "lines": list(site_lines(each)),
        }
        for each in _of(record, outcome)
    ]
    return {"title": title, "anchor": outcome, "rows": rows}


def _figures(record: Json) -> Iterator[Json]:
    """The whole model's time, and that of each site, before and after."""
    whole = record["totals"]["milliseconds"]
    if whole["before"] and whole["after"]:
        rows = [("before", whole["before"]), ("after", whole["after"])]
        yield _figure(rows, head="The whole model", words=", milliseconds for one call")
    for each in sorted(_of(record, "rewritten"), key=lambda site: -(site["ratio"] or 0))[:MOST_BARS]:
        rows = [(time["form"], time["milliseconds"]) for time in each["times"]]
        if rows:
            yield _figure(rows, head=each["site"], words=", milliseconds in each form that was tried")


def _figure(rows: list[tuple[str, float]], *, head: str, words: str) -> Json:
    drawing = compared(rows, unit="ms")
    return {"panels": [] if drawing is None else [drawing], "head": head, "words": words}


def _repair(repair: Json) -> Json:
    unit = repair["unit"] or ""
    lines = [repair["words"]]
    if repair["relative_change"] is not None:
        lines.append(f"weights changed by {figures(100 * repair['relative_change'], 3)} % of their norm")
    before, after = (
        None if each is None else measured(each, unit)
        for each in (repair["measure"]["before"], repair["measure"]["after"])
    )
    return {
        "site": repair["site"],
        "code": repair["code"],
        "status": badge("ok" if repair["outcome"] == "repaired" else "skipped"),
        "before": before,
        "after": after,
        "lines": lines,
    }


def _moved(record: Json) -> Iterator[str]:
    for each in record["outputs_changed"]:
        rms = each["relative_rms"]
        moved = "cannot be compared" if rms is None else f"changed by {figures(100 * rms, 3)} % (RMS)"
        yield f"Output {each['name']} {moved}."


def _case(case: Json, dtype: str) -> Json:
    largest = case["largest"]
    return {
        "sizes": shown_sizes(case["sizes"]),
        "dtype": dtype,
        "difference": None if largest is None else f"{largest:.2g}",
        "words": case_words(case),
    }


def _findings(record: Json) -> Iterator[tuple[str, int, int]]:
    before, after = record["findings"]["before"], record["findings"]["after"]
    if before is None or after is None:
        return
    for code in sorted({*before, *after}):
        yield code, before.get(code, 0), after.get(code, 0)
