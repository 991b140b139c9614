"""Turn the record of a checked model into one self-contained HTML page."""

from collections.abc import Sequence
from typing import Any

from upstroke.report.check_figures import figures_of
from upstroke.report.check_sections import badge, size, subject_parts
from upstroke.report.check_subjects import PLURALS, SEVERITIES, Subject, status, subjects_of
from upstroke.report.check_words import (
    contents,
    counted,
    measured,
    of_sites,
    remark,
    verdict_sentence,
    worst_first,
)
from upstroke.report.html import page
from upstroke.report.probe_page import probe_parts
from upstroke.report.svg_network import Stop, network_drawing

__all__ = ["check_page"]

Json = dict[str, Any]
# Subjects of a kind beyond which none stands open, and findings of a rule beyond which the rest is folded.
MANY, SHOWN = 24, 6
SECTIONS = {
    "site": "Sites",
    "join": "Joins",
    "reduction": "Strided layers",
    "output": "Outputs",
    "model": "The model as a whole",
}


def check_page(record: Json) -> str:
    """Write an `upstroke.check/1` record as an HTML page that needs nothing beside it."""
    subjects, elsewhere = subjects_of(record)
    anchors = {rule["code"]: f"rule-{number}" for number, rule in enumerate(record["rules"], start=1)}
    pictures = {_anchor(each): figures_of(each, record["rules"]) for each in subjects}
    stops = _stops(record, subjects)
    return page(
        "check.html",
        {
            "title": f"{record['model']} – upstroke check",
            "model": record["model"],
            "source": _source(record),
            "verdict": verdict_sentence(record),
            "state": badge(_state(record)),
            "where": of_sites(record),
            "network": network_drawing(stops),
            "findings": _findings(subjects, elsewhere, anchors=anchors, pictures=pictures),
            "remark": remark(record),
            "sections": _sections(subjects, anchors=anchors, pictures=pictures),
            "probe": probe_parts(record.get("probe") or {}),
            "skipped": record["skipped"],
            "suppressed": _suppressed(record.get("suppressed") or ()),
            "rules": [_rule(rule, anchors=anchors) for rule in record["rules"]],
            "has_grids": any((each.place or {}).get("grid") for each in stops),
            "has_words": bool(record["sites"]),
            "schema": record["schema"],
            "version": record.get("version"),
        },
    )


def _anchor(subject: Subject) -> str:
    return f"{subject.kind}-{subject.index + 1}"


def _state(record: Json) -> str:
    worst = next((each for each in SEVERITIES if record["summary"][f"{each}s"]), None)
    if worst is not None:
        return worst
    states = {status(site, []) for site in record["sites"]}
    return "skipped" if states == {"skipped"} else "ok"


def _source(record: Json) -> list[tuple[str, str]]:
    source = record["source"]
    facts = [("Source", source["words"])]
    inputs = [f"{each['name'] or ''} {size(each['shape'])}".strip() for each in source["inputs"]]
    facts += [("Input" if len(inputs) == 1 else "Inputs", ", ".join(inputs))] if inputs else []
    if source["operators"] is not None:
        facts.append(("Operators", f"{source['operators']:,}"))
    return [*facts, ("Found", contents(record))]


def _stops(record: Json, subjects: Sequence[Subject]) -> list[Stop]:
    """The steps of the network; a record without their order has its sites in a row."""
    of = {(each.kind, each.index): each for each in subjects}
    network = record.get("network") or {"steps": _sites_in_a_row(record)}
    stops = []
    for step in network["steps"]:
        subject = of.get((step["kind"], step["index"]))
        state = "" if subject is None else subject.state
        drift = (subject.entry.get("drift") if subject is not None else None) or ()
        stops.append(
            Stop(
                kind=step["kind"], number=step["index"] + 1, name=step["name"], size=step["size"],
                channels=step["channels"], state=state, shape=badge(state)["shape"],
                anchor=None if subject is None else _anchor(subject), sources=tuple(step["from"]),
                drift=tuple(drift), place=step.get("place"),
            )
        )  # fmt: skip
    return stops


def _sites_in_a_row(record: Json) -> list[Json]:
    return [
        {"kind": "site", "index": index, "name": site["name"], "size": site["size_out"], "channels": None,
         "from": [index - 1] if index else []}
        for index, site in enumerate(record["sites"])
    ]  # fmt: skip


def _findings(
    subjects: Sequence[Subject], elsewhere: Sequence[Json], *, anchors: Json, pictures: dict[str, list[Json]]
) -> list[Json]:
    """All findings, those of one rule together, the worst first, each with the picture of its worst."""
    at: dict[int, Subject] = {id(finding): each for each in subjects for finding in each.findings}
    rules: dict[str, list[Json]] = {}
    for finding in [*(each for subject in subjects for each in subject.findings), *elsewhere]:
        rules.setdefault(finding["code"], []).append(finding)
    groups = [worst_first(found) for _, found in sorted(rules.items())]
    groups.sort(key=lambda found: SEVERITIES.index(found[0]["severity"]))
    shown: dict[tuple[str, str], Json] = {}
    return [
        _card(found, at, anchors, pictures, shown, anchor=f"finding-{number}")
        for number, found in enumerate(groups, start=1)
    ]


def _card(
    found: list[Json],
    at: dict[int, Subject],
    anchors: Json,
    pictures: dict[str, list[Json]],
    shown: dict[tuple[str, str], Json],
    *,
    anchor: str,
) -> Json:
    """One rule's findings; pictures that stand with an earlier rule are not shown again."""
    rows = [_row(finding, at.get(id(finding))) for finding in found]
    code = found[0]["code"]
    figures, worst = _picture(code, found, at, pictures)
    place = "" if worst is None else worst["anchor"]
    again = next((shown[place, each["head"]] for each in figures if (place, each["head"]) in shown), None)
    here = {"code": code, "anchor": anchor}
    figures = [each for each in figures if shown.setdefault((place, each["head"]), here) is here]
    kinds = [at[id(each)].kind if id(each) in at else "site" for each in found]
    counts = [
        counted(kinds.count(kind), PLURALS[kind][:-1])
        for kind in PLURALS
        if kind in kinds and kind != "model"
    ]
    return {
        "code": code,
        "rule": anchors.get(code),
        "title": found[0]["title"],
        "status": rows[0]["status"],
        "count": ", ".join(counts) or "the model as a whole",
        "threshold": measured(found[0]["threshold"], found[0]["unit"]),
        "rows": rows[:SHOWN],
        "more": rows[SHOWN:],
        "figures": figures,
        "worst": worst if len(found) > 1 and figures else None,
        "again": again,
        "anchor": anchor,
        "remedies": list(dict.fromkeys(each["remedy"] for each in found if each["remedy"])),
        "fixes": list(dict.fromkeys(_fix_words(each["fix"]) for each in found if each["fix"])),
    }


def _row(finding: Json, subject: Subject | None) -> Json:
    return {
        "code": finding["code"],
        "status": badge(finding["severity"]),
        "site": finding["site"],
        "anchor": None if subject is None else _anchor(subject),
        "measure": measured(finding["measure"], finding["unit"]),
        "threshold": measured(finding["threshold"], finding["unit"]),
        "message": finding["message"],
    }


def _picture(
    code: str, found: Sequence[Json], at: dict[int, Subject], pictures: dict[str, list[Json]]
) -> tuple[list[Json], Json | None]:
    """The pictures of the worst finding that has any, and where it is."""
    for finding in found:
        subject = at.get(id(finding))
        if subject is not None:
            drawn = [each for each in pictures[_anchor(subject)] if code in each["codes"]]
            if drawn:
                return drawn, {"name": subject.name, "anchor": _anchor(subject)}
    return [], None


def _fix_words(fix: Any) -> str:  # noqa: ANN401 - words, or a plan that has some
    return str(fix.get("words", fix)) if isinstance(fix, dict) else str(fix)


def _sections(subjects: Sequence[Subject], *, anchors: Json, pictures: dict[str, list[Json]]) -> list[Json]:
    """Everything that was judged, kind by kind, in running order; of what is no site the fine ones apart."""
    names: dict[str, str] = {}
    for each in subjects:
        if each.kind == "site":
            names.setdefault(each.name, _anchor(each))
    sections = []
    for kind, title in SECTIONS.items():
        of_kind = [each for each in subjects if each.kind == kind]
        if kind == "model":
            of_kind = [each for each in of_kind if each.entry["verdicts"] or each.entry.get("sizes")]
        if not of_kind:
            continue
        parts = [
            subject_parts(
                each, anchor=_anchor(each), rules=anchors, sites=names, figures=pictures[_anchor(each)]
            )
            for each in of_kind
        ]
        quiet = [
            part for part, each in zip(parts, of_kind, strict=True)
            if kind in ("join", "reduction", "output") and each.state in ("ok", "") and not each.notes
        ]  # fmt: skip
        loud = [part for part in parts if part not in quiet]
        sections.append(
            {
                "kind": kind,
                "title": title,
                "is_long": len(loud) > MANY,
                "subjects": loud,
                "quiet": quiet,
                "quiet_words": counted(len(quiet), PLURALS[kind][:-1]),
            }
        )
    return sections


def _suppressed(suppressed: Sequence[Json]) -> list[Json]:
    return [
        {"code": each.get("code"), "site": each.get("site"), "reason": each.get("reason")}
        for each in suppressed
    ]


def _rule(rule: Json, *, anchors: Json) -> Json:
    return {
        "anchor": anchors[rule["code"]],
        "code": rule["code"],
        "title": rule["title"],
        "severity": badge(rule["severity"]),
        "threshold": measured(rule["threshold"], rule["unit"]),
        "reason": rule["reason"],
        "remedy": rule.get("remedy"),
    }
