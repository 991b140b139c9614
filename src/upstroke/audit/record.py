"""Turn a report into the record `upstroke.check/1`: plain data for JSON."""

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from torch import Tensor

from upstroke._version import __version__
from upstroke.audit.imbalance import loudest
from upstroke.audit.network import network_of
from upstroke.audit.pictures import pictures_of, placed
from upstroke.audit.reading import Reading
from upstroke.audit.rule import Rule, Subject, Verdict
from upstroke.audit.subjects import JoinReading, OutputReading, ReductionReading
from upstroke.audit.words import per_axis
from upstroke.graph import Graph, Site
from upstroke.graph.places import places
from upstroke.graph.sizes import Along, Sizes
from upstroke.graph.steps import (
    Convolution,
    Join,
    PixelShuffle,
    Pool,
    Resize,
    TransposedConvolution,
    Upsampling,
)

if TYPE_CHECKING:
    from upstroke.audit.check import Finding, Judged, Report

__all__ = ["kind_of", "record_of", "verdicts_of"]

Plain = Any

_KINDS = {
    TransposedConvolution: "transposed",
    Resize: "resize",
    Upsampling: "operator",
    PixelShuffle: "shuffle",
}


def record_of(report: "Report") -> dict[str, Plain]:
    """Write all that a report holds; None stands where there is no number.

    >>> from upstroke.graph import Graph
    >>> from upstroke.audit import check
    >>> empty = Graph(model="none", source="made by hand", nodes=(), inputs=(), outputs=(), shapes={})
    >>> record_of(check(empty))["summary"]
    {'sites': 0, 'errors': 0, 'warnings': 0, 'notes': 0, 'skipped': 0, 'suppressed': 0}
    """
    findings, suppressed = report.findings, report.suppressed
    counts = Counter(finding.severity for finding in findings)
    skipped = [judged for judged in report.sites if judged.is_skipped]
    located = places(report.graph)
    return {
        "schema": "upstroke.check/1",
        "version": __version__,
        "model": report.graph.model,
        "source": _source(report.graph),
        "rules": [_rule(rule) for rule in report.rules],
        "sites": [_site(judged, report.rules) for judged in report.sites],
        "joins": [_join(judged, report.rules) for judged in report.joins],
        "reductions": [_reduction(judged, report.rules) for judged in report.reductions],
        "outputs": [
            {**_output(judged, report.rules), "place": placed(located.get(judged.reading.tensor))}
            for judged in report.outputs
        ],
        "sizes": _sizes(report.model.reading.sizes),
        "verdicts": verdicts_of(report.model, report.rules),
        "network": network_of(report, located),
        "findings": [_finding(finding) for finding in findings],
        "suppressed": [{**_finding(each.finding), "reason": each.suppression.reason} for each in suppressed],
        "baseline": None,
        "skipped": [
            {
                "site": judged.reading.site.name,
                "operator": judged.reading.site.operator,
                "reason": judged.reading.reason,
            }
            for judged in report.sites
            if judged.reading.reason
        ],
        "probe": None if report.probe is None else dict(report.probe),
        "summary": {
            "sites": len(report.sites),
            "errors": counts["error"],
            "warnings": counts["warning"],
            "notes": counts["note"],
            "skipped": len(skipped),
            "suppressed": len(suppressed),
        },
    }


def kind_of(reading: Subject) -> str:
    """Name the kind of what a rule judged: of layer, of join, of what makes maps smaller, output or model."""
    if isinstance(reading, Reading):
        return _KINDS.get(type(reading.site.node.step), "unread")
    if isinstance(reading, JoinReading):
        step = reading.branching.node.step
        return step.kind if isinstance(step, Join) else "join"
    if isinstance(reading, ReductionReading):
        return "pool" if isinstance(reading.node.step, Pool) else "strided convolution"
    return "output" if isinstance(reading, OutputReading) else "model"


def _source(graph: Graph) -> dict[str, Plain]:
    shapes = [(name, graph.shapes.get(name)) for name in graph.inputs]
    return {
        "words": graph.source,
        "operators": len(graph.nodes),
        "inputs": [{"name": name, "shape": None if shape is None else list(shape)} for name, shape in shapes],
    }


def _rule(rule: Rule) -> dict[str, Plain]:
    return {
        "code": rule.code,
        "title": rule.title,
        "severity": rule.severity,
        "threshold": rule.threshold,
        "unit": rule.unit,
        "reason": rule.reason,
        "remedy": rule.remedy,
        "fix": rule.fix or None,
    }


def _site(judged: "Judged[Reading]", rules: tuple[Rule, ...]) -> dict[str, Plain]:
    reading = judged.reading
    site = reading.site
    was_read = not reading.reason
    # of a pattern that cannot form nothing is shown
    can_form = was_read and not reading.is_one_cell
    uneven = reading.pattern if can_form else None
    own, chain = (reading.own, reading.chain) if can_form else (None, None)
    return {
        "name": site.name,
        "operator": site.operator,
        "kind": kind_of(reading),
        "words": _words(site),
        "scale": list(reading.scale) or None,
        "kernel": _kernel(site),
        "in_channels": _channels(site, reading.channels)[0],
        "out_channels": _channels(site, reading.channels)[1],
        "size_in": None if site.size_in is None else list(site.size_in),
        "size_out": None if site.size_out is None else list(site.size_out),
        "coverage": None if reading.covered is None else reading.covered.counts.tolist(),
        "image_gain_db": None if own is None else _number(own.worst),
        "chain_image_gain_db": None if chain is None else _number(chain.worst),
        "bias_db": None if chain is None else _number(chain.worst_bias),
        "pattern_db": None if chain is None else _number(loudest(chain)),
        "pattern": None
        if uneven is None
        else {"gain": _nested(uneven.gain), "out": uneven.out, "in": uneven.into},
        "strang_fix_order": reading.order if can_form else None,
        "grid": None if reading.grid is None else reading.grid.as_json(),
        "trained": reading.trained,
        "multiply_adds": reading.multiply_adds,
        "chain": [{"name": node.name, "operator": node.operator} for node in site.chain],
        "ends_at": None if site.ends is None else f"{site.ends.operator} {site.ends.name}",
        **pictures_of(reading),
        "verdicts": verdicts_of(judged, rules),
        "skipped": reading.reason or None,
    }


def _words(site: Site) -> str:
    """Name a layer in the shorthand that papers use."""
    step = site.node.step
    if isinstance(step, TransposedConvolution):
        words = f"transposed convolution k{per_axis(step.weight.shape[2:])} s{per_axis(step.stride)}"
        if any(d > 1 for d in step.dilation):
            words += f" d{per_axis(step.dilation)}"
        groups = f" in {step.groups} groups" if step.groups > 1 else ""
        return f"{words}, {step.weight.shape[0]} → {step.weight.shape[1] * step.groups} channels{groups}"
    if isinstance(step, Resize):
        factors = per_axis(tuple(int(s) if s == int(s) else round(s, 4) for s in step.scale))
        corners = ", align_corners" if step.coordinates == "align_corners" else ""
        return f"{step.mode} resize ×{factors}{corners}"
    if isinstance(step, Upsampling):
        taps = "1 tap" if set(step.operator.kernel) == {1} else f"{per_axis(step.operator.kernel)} taps"
        return f"operator of {taps} per phase ×{per_axis(step.operator.scale)}"
    if isinstance(step, PixelShuffle):
        words = f"pixel shuffle ×{per_axis(step.scale)}"
        first = site.layer[0].step
        if isinstance(first, Convolution):
            phases = math.prod(step.scale)
            channels = f"{first.weight.shape[1] * first.groups} → {first.weight.shape[0] // phases} channels"
            return f"convolution k{per_axis(first.weight.shape[2:])}, then {words}, {channels}"
        return words
    return site.operator


def _kernel(site: Site) -> list[int] | None:
    step = site.layer[0].step
    return list(step.weight.shape[2:]) if isinstance(step, Convolution | TransposedConvolution) else None


def _channels(site: Site, channels: tuple[int, int]) -> tuple[int | None, int | None]:
    """Channels in and out, of a layer that has weights of its own."""
    learned = isinstance(site.layer[0].step, Convolution | TransposedConvolution)
    return channels if learned and channels != (0, 0) else (None, None)


def _join(judged: "Judged[JoinReading]", rules: tuple[Rule, ...]) -> dict[str, Plain]:
    branching = judged.reading.branching
    node = branching.node
    return {
        "name": node.name,
        "operator": node.operator,
        "kind": node.step.kind if isinstance(node.step, Join) else None,
        "sites": [None if site is None else site.name for site in branching.sites],
        "branches": [
            {
                "tensor": branch.tensor,
                "site": None if branch.site is None else branch.site.name,
                **(placed(branch.place) or {}),
            }
            for branch in branching.branches
        ],
        "drift": _distances(branching.drift),
        "mean_drift": _distances(branching.mean_drift),
        "reason": branching.reason or None,
        "verdicts": verdicts_of(judged, rules),
    }


def _distances(drift: Sequence[Fraction] | None) -> list[float] | None:
    return None if drift is None else [float(each) for each in drift]


def _reduction(judged: "Judged[ReductionReading]", rules: tuple[Rule, ...]) -> dict[str, Plain]:
    reading, node = judged.reading, judged.reading.node
    assert isinstance(node.step, Convolution | Pool)
    return {
        "name": node.name,
        "operator": node.operator,
        "kernel": list(_kernel_of(node.step)),
        "stride": list(node.step.stride),
        "coverage": None if reading.covered is None else reading.covered.counts.tolist(),
        "verdicts": verdicts_of(judged, rules),
    }


def _kernel_of(step: Convolution | Pool) -> tuple[int, ...]:
    return step.kernel if isinstance(step, Pool) else tuple(step.weight.shape[2:])


def _output(judged: "Judged[OutputReading]", rules: tuple[Rule, ...]) -> dict[str, Plain]:
    return {"name": judged.reading.name, "verdicts": verdicts_of(judged, rules)}


def _sizes(sizes: Sizes | None) -> dict[str, Plain] | None:
    if sizes is None:
        return None
    return {
        "start": list(sizes.start),
        "tried": sizes.tried,
        "how": sizes.how or None,
        "fixed": sizes.fixed,
        "along": [_along(each) for each in sizes.along],
        "reason": sizes.reason or None,
    }


def _along(along: Along) -> dict[str, Plain]:
    return {
        "axes": list(along.axes),
        "tried": list(along.tried),
        "right": list(along.right),
        "period": along.period,
        "remainders": list(along.remainders),
        "failed": [
            {"size": list(each.size), "error": each.error, "place": each.place or None}
            for each in along.failed
        ],
        "changed": [
            {
                "size": list(each.size),
                "output": each.output,
                "axis": each.axis,
                "came": each.came,
                "due": float(each.due),
            }
            for each in along.changed
        ],
    }


def verdicts_of(judged: "Judged[Any]", rules: tuple[Rule, ...]) -> dict[str, Plain]:
    """What the rules said of one subject, by their codes; of a finding that is meant, why."""
    return {
        rule.code: {
            **_verdict(judged.verdicts[rule.code], rule),
            **({"suppressed": judged.suppressed[rule.code].reason} if rule.code in judged.suppressed else {}),
        }
        for rule in rules
        if rule.code in judged.verdicts
    }


def _verdict(verdict: Verdict, rule: Rule) -> dict[str, Plain]:
    plain = {
        "verdict": verdict.kind,
        "measure": _number(verdict.measure),
        "unit": rule.unit,
        "words": verdict.words,
        "note": verdict.note,
        "aside": verdict.aside,
    }
    if verdict.kind == "finding":
        plain["severity"] = verdict.severity or rule.severity
    return plain


def _finding(finding: "Finding") -> dict[str, Plain]:
    rule = finding.rule
    return {
        "code": rule.code,
        "title": rule.title,
        "severity": finding.severity,
        "site": finding.site,
        "kind": finding.kind,
        "measure": _number(finding.verdict.measure),
        "unit": rule.unit,
        "threshold": rule.threshold,
        "message": finding.verdict.words,
        "remedy": rule.remedy,
        "fix": finding.verdict.fix or rule.fix or None,
    }


def _number(value: float | None) -> float | None:
    """A number JSON has, or None."""
    return value if value is not None and math.isfinite(value) else None


def _nested(values: Tensor) -> Plain:
    return values.double().tolist()
