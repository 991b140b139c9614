"""Turn the record of a fixed model into one self-contained HTML page."""

from dataclasses import replace
from typing import Any

from upstroke.report.check_sections import badge
from upstroke.report.fix_words import (
    before_and_after,
    case_words,
    changed_findings,
    gain,
    moved_outputs,
    repair_lines,
    sentence,
    shown_sizes,
    site_lines,
    state,
    summary,
    totals,
    verification,
)
from upstroke.report.html import page
from upstroke.report.svg_bars import compared

__all__ = ["fix_page"]

Json = dict[str, Any]
# Sites that are shown with a figure; with more of them the page would be of figures alone.
MOST_BARS = 12
# Forms in a word, for the figures.
SHORT = {"native": "compiled", "depth to space": "shuffle", "commuted": "1×1 first"}


def fix_page(record: Json) -> str:
    """Write an `upstroke.fix/1` record as an HTML page that needs nothing beside it."""
    return page(
        "fix.html",
        {
            "title": f"{record['model']} – upstroke fix",
            "model": record["model"],
            "verdict": summary(record),
            "state": badge(state(record)),
            "where": verification(record) or _not_compared(record),
            "source": _source(record),
            "totals": list(totals(record)),
            "figure": _whole_figure(record),
            "gain": sentence(record["totals"]["words"] or ""),
            "rewritten": [_site(each, number) for number, each in enumerate(_of(record, "rewritten"))],
            "left": [_site(each, MOST_BARS) for each in _of(record, "left")],
            "repairs": [_repair(each) for each in record["repairs"]],
            "moved": list(moved_outputs(record)),
            "verification": verification(record),
            "cases": [
                _case(case, each["dtype"])
                for each in (record["verified"] or {"precisions": ()})["precisions"]
                for case in each["cases"]
            ],
            "findings": list(changed_findings(record)),
            "notes": [sentence(each) for each in record["notes"]],
            "schema": record["schema"],
            "version": record["version"],
        },
    )


def _source(record: Json) -> list[tuple[str, str]]:
    facts = [("Source", record["source"]), ("For", f"{record['runtime']}, one thread")]
    return [*facts, ("Written to", record["output"])] if record["output"] else facts


def _of(record: Json, outcome: str) -> list[Json]:
    return [each for each in record["sites"] if each["outcome"] == outcome]


def _not_compared(record: Json) -> str:
    if record["changed"]:
        return "Repairs change what the model computes; by how much stands below."
    return "Nothing was changed, so nothing had to be compared."


def _site(site: Json, number: int) -> Json:
    return {
        "name": site["site"],
        "codes": ", ".join(site["codes"]),
        "gain": f"{gain(site['ratio'])} as fast" if site["ratio"] else None,
        "lines": list(site_lines(site)),
        "how": site["how"] or "",
        "nodes": ", ".join(site["nodes"]),
        "figure": _site_figure(site) if number < MOST_BARS else None,
    }


def _whole_figure(record: Json) -> Json | None:
    """The whole model's time before and after."""
    whole = record["totals"]["milliseconds"]
    if not whole["before"] or not whole["after"]:
        return None
    rows = [("before", whole["before"]), ("after", whole["after"])]
    return _figure(rows, head="One call of the model", words=", milliseconds")


def _site_figure(site: Json) -> Json | None:
    """The time of a site in each form that was tried."""
    rows = [(SHORT.get(time["form"], time["form"]), time["milliseconds"]) for time in site["times"]]
    return _figure(rows, head="One call of the site", words=" in each form that was tried, milliseconds")


def _figure(rows: list[tuple[str, float]], *, head: str, words: str) -> Json | None:
    drawing = compared(rows, unit="ms")
    # the unit is in the caption
    return None if drawing is None else {"panels": [replace(drawing, label="")], "head": head, "words": words}


def _repair(repair: Json) -> Json:
    before, after = before_and_after(repair)
    is_done = repair["outcome"] == "repaired"
    return {
        "site": repair["site"],
        "code": repair["code"],
        "status": badge("ok" if is_done else "skipped") | {"word": "repaired" if is_done else "left"},
        "before": before,
        "after": after,
        "lines": list(repair_lines(repair)),
    }


def _case(case: Json, dtype: str) -> Json:
    largest = case["largest"]
    return {
        "sizes": shown_sizes(case["sizes"]),
        "dtype": dtype,
        "difference": None if largest is None else f"{largest:.2g}",
        "words": case_words(case),
    }
