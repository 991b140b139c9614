"""Turn the record of a checked model into one self-contained HTML page."""

from collections.abc import Sequence
from typing import Any

from upstroke.report import svg
from upstroke.report.check_text import (
    contents,
    findings_per_site,
    levels,
    measured,
    of_sites,
    remark,
    shown_measure,
    status,
    verdict_sentence,
)
from upstroke.report.html import page
from upstroke.report.inspect_text import figures

__all__ = ["check_page"]

Json = dict[str, Any]
SEVERITIES = ("error", "warning", "note")
# A shape for each word, so that no colour is needed to tell them apart.
SHAPES = {"error": "✕", "warning": "▲", "note": "◆", "ok": "✓", "partly checked": "◐", "skipped": "○"}
MANY_SITES = 24
ORDERS = {
    0: "0: a constant comes out with a pattern",
    1: "1: constants come out constant, lines with a pattern",
    2: "2: lines come out as lines, parabolas with a pattern",
}


def check_page(record: Json) -> str:
    """Write an `upstroke.check/1` record as an HTML page that needs nothing beside it."""
    per_site, elsewhere = findings_per_site(record)
    anchors = {rule["code"]: f"rule-{number}" for number, rule in enumerate(record["rules"], start=1)}
    sites = [
        _site(site, found, number=number, record=record, anchors=anchors)
        for number, (site, found) in enumerate(zip(record["sites"], per_site, strict=True), start=1)
    ]
    findings = [
        _finding(finding, anchors=anchors, site=site)
        for site, found in [*zip(sites, per_site, strict=True), (None, elsewhere)]
        for finding in found
    ]
    findings.sort(key=lambda each: SEVERITIES.index(each["status"]["word"]))
    return page(
        "check.html",
        {
            "title": f"{record['model']} – upstroke check",
            "model": record["model"],
            "source": _source(record),
            "contents": contents(record),
            "verdict": verdict_sentence(record),
            "state": _status(_state(record)),
            "where": of_sites(record),
            "sites": sites,
            "is_long": len(sites) > MANY_SITES,
            "findings": findings,
            "remedies": _remedies(record["findings"], anchors=anchors),
            "remark": remark(record),
            "joins": [_join(join, record=record, sites=sites) for join in record["joins"]],
            "skipped": record["skipped"],
            "rules": [_rule(rule, record["findings"], anchors=anchors) for rule in record["rules"]],
            "schema": record["schema"],
            "version": record.get("version"),
        },
    )


def _state(record: Json) -> str:
    worst = next((each for each in SEVERITIES if record["summary"][f"{each}s"]), None)
    if worst is not None:
        return worst
    states = {status(site, []) for site in record["sites"]}
    return "skipped" if states == {"skipped"} else "ok"


def _status(word: str) -> Json:
    return {"word": word, "shape": SHAPES[word], "kind": word.split()[0]}


def _source(record: Json) -> list[tuple[str, str]]:
    source = record["source"]
    facts = [("Source", source["words"])]
    inputs = [f"{each['name'] or ''} {_size(each['shape'])}".strip() for each in source["inputs"]]
    facts += [("Input" if len(inputs) == 1 else "Inputs", ", ".join(inputs))] if inputs else []
    if source["operators"] is not None:
        facts.append(("Operators", f"{source['operators']:,}"))
    return [*facts, ("Found", contents(record))]


def _site(site: Json, found: list[Json], *, number: int, record: Json, anchors: Json) -> Json:
    state = status(site, found)
    notes = any(each["verdict"] == "ok" and each.get("note") for each in site["verdicts"].values())
    return {
        "anchor": f"site-{number}",
        "number": number,
        "name": site["name"],
        "words": site["words"],
        "sizes": _way(site),
        "status": _status(state),
        "is_open": state not in ("ok", "partly checked") or notes,
        "reason": site["skipped"],
        "verdicts": [_verdict(code, each, found, anchors) for code, each in site["verdicts"].items()],
        "facts": _facts(site),
        "chain": site["chain"],
        "ends_at": site["ends_at"],
        "taps": () if site["coverage"] is None else svg.tap_grids(site["coverage"]),
        "pattern": _pattern(site),
        "levels": _levels(site, record["rules"]),
        "has_biases": len(levels(site)) > 2,
    }


def _verdict(code: str, verdict: Json, found: list[Json], anchors: Json) -> Json:
    severity = next((each["severity"] for each in found if each["code"] == code), None)
    word = verdict["verdict"] if verdict["verdict"] != "finding" else severity or verdict["severity"]
    return {
        "code": code,
        "rule": anchors.get(code),
        "status": _status(word),
        "measure": shown_measure(verdict),
        "words": verdict["words"],
    }


def _finding(finding: Json, *, anchors: Json, site: Json | None) -> Json:
    return {
        "code": finding["code"],
        "rule": anchors.get(finding["code"]),
        "status": _status(finding["severity"]),
        "site": finding["site"],
        "anchor": None if site is None else site["anchor"],
        "measure": measured(finding["measure"], finding["unit"]),
        "threshold": measured(finding["threshold"], finding["unit"]),
        "message": finding["message"],
    }


def _remedies(findings: list[Json], *, anchors: Json) -> list[Json]:
    """The rules with findings whose remedies stand further down, in the order of their codes."""
    codes = sorted({each["code"] for each in findings if each["remedy"] and each["code"] in anchors})
    return [{"code": code, "rule": anchors[code]} for code in codes]


def _facts(site: Json) -> list[tuple[str, str]]:
    facts = [("Operator", site["operator"])]
    if site["scale"] is not None:
        facts.append(("Scale", f"×{_axes([str(axis) for axis in site['scale']])}"))
    if site["kernel"] is not None:
        facts.append(("Kernel", _size(site["kernel"])))
    if site["in_channels"] is not None or site["out_channels"] is not None:
        ways = [each if each is not None else "?" for each in (site["in_channels"], site["out_channels"])]
        facts.append(("Channels", f"{ways[0]} → {ways[1]}"))
    facts.append(("Size", _way(site) or "unknown"))
    if site["grid"] is not None:
        exact = site["grid"]["exact"]
        axes = [
            f"{offset} + {spacing}·i".replace("-", "−")
            for offset, spacing in zip(exact["offset"], exact["spacing"], strict=True)
        ]
        facts.append(("Sample i sits at", f"{_each_axis(axes)} input px"))
    if site["image_gain_db"] is not None or site["chain_image_gain_db"] is not None:
        facts.append(("Image gain, layer", measured(site["image_gain_db"], "dB")))
        facts.append(("Image gain, chain", measured(site["chain_image_gain_db"], "dB")))
    if site["bias_db"] is not None:
        facts.append(("Pattern of the biases", measured(site["bias_db"], "dB")))
    if site["strang_fix_order"] is not None:
        order = site["strang_fix_order"]
        words = ORDERS.get(order, f"{order}: polynomials up to degree {order - 1} come out without a pattern")
        facts.append(("Strang–Fix order", words))
    if site.get("trained") is False:
        facts.append(("Weights", "look untrained"))
    return facts


def _pattern(site: Json) -> Json | None:
    """The drawings of what a constant in one channel becomes, and how their levels are to be read."""
    pattern = site["pattern"]
    if pattern is None:
        return None
    gain = pattern["gain"]
    levels = svg.grey_levels(gain)
    tiled = svg.tiled_gains(gain)
    if levels is None or not tiled:
        return None
    black, white = levels
    scale = f"black is {figures(black, 3)}, white {figures(white, 3)}, the largest gain" + (
        " in absolute value, middle grey 0" if black else ""
    )
    return {
        "pair": _pair(site),
        "scale": scale,
        "tiled": tiled,
        "numbered": svg.numbered_gains(gain),
    }


def _pair(site: Json) -> str:
    """Which pair of channels is drawn, and why this one."""
    into, out = site["pattern"]["in"], site["pattern"]["out"]
    ways = (site["in_channels"], site["out_channels"])
    if site["kind"] == "resize":
        return "in every channel alike"
    if into is None or out is None or ways == (1, 1):
        return ""
    among = "of all pairs" if None in ways else f"of all pairs ({ways[0]} channels in, {ways[1]} out)"
    return f"input channel {into} to output channel {out}, {among} the one whose phases differ most"


def _levels(site: Json, rules: Sequence[Json]) -> svg.Drawing | None:
    """The image gains beside the first threshold that is one in decibels."""
    rule = next((each for each in rules if each["unit"] == "dB" and each["threshold"] is not None), None)
    return svg.level_axis(
        levels(site),
        threshold=None if rule is None else rule["threshold"],
        severity="" if rule is None else rule["severity"],
    )


def _join(join: Json, *, record: Json, sites: list[Json]) -> Json:
    anchors: dict[str, str] = {}
    for site, shown in zip(record["sites"], sites, strict=True):
        anchors.setdefault(site["name"], shown["anchor"])
    branches = [{"name": name, "anchor": anchors.get(name)} for name in join["sites"]]
    return {**join, "branches": branches}


def _rule(rule: Json, findings: list[Json], *, anchors: Json) -> Json:
    remedies = [each["remedy"] for each in findings if each["code"] == rule["code"]]
    remedies += [rule["remedy"]] if rule.get("remedy") and not remedies else []
    return {
        "anchor": anchors[rule["code"]],
        "code": rule["code"],
        "title": rule["title"],
        "severity": _status(rule["severity"]),
        "threshold": measured(rule["threshold"], rule["unit"]),
        "reason": rule["reason"],
        "remedies": [each for each in dict.fromkeys(remedies) if each],
    }


def _way(site: Json) -> str:
    if site["size_in"] is None and site["size_out"] is None:
        return ""
    return f"{_size(site['size_in'])} → {_size(site['size_out'])}"


def _size(size: Sequence[Any] | None) -> str:
    return "?" if size is None else "×".join("?" if axis is None else str(axis) for axis in size)


def _axes(words: list[str]) -> str:
    return words[0] if len(set(words)) == 1 else "×".join(words)


def _each_axis(words: list[str]) -> str:
    if len(set(words)) == 1:
        return words[0]
    return "; ".join(f"axis {index}: {each}" for index, each in enumerate(words))
