"""Turn the record of two models side by side into one self-contained HTML page."""

from typing import Any

from upstroke.report.check_sections import badge
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
from upstroke.report.html import page

__all__ = ["diff_page"]

Json = dict[str, Any]


def diff_page(record: Json) -> str:
    """Write an `upstroke.diff/1` record as an HTML page that needs nothing beside it."""
    names = [record[key]["model"] for key in ("old", "new")]
    return page(
        "diff.html",
        {
            "title": f"{names[0]} and {names[1]} – upstroke diff",
            "name": " → ".join(names),
            "verdict": findings_summary(record),
            "where": _sentence(outputs_summary(record)),
            "state": badge(state(record)),
            "sides": [(key.capitalize(), contents(record[key])) for key in ("old", "new")],
            "groups": [
                {
                    "anchor": key,
                    "title": title,
                    "rows": [_finding(each) for each in worst(record["findings"][key])],
                }
                for key, title in GROUPS
                if record["findings"][key]
            ],
            "costs": list(costs(record)),
            "joins": list(moved_joins(record)),
            "cases": [line for case in record["cases"] for line in case_lines(case)],
            "schema": record["schema"],
            "version": record["version"],
        },
    )


def _finding(finding: Json) -> Json:
    measure = finding["measure"]
    return {
        "site": finding["site"],
        "code": finding["code"],
        "status": badge(finding["severity"]),
        "measure": None if measure is None else measured(measure, finding["unit"]),
        "words": finding["words"],
    }


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
