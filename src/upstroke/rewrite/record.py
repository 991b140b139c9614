"""Turn what came of a fix into the record `upstroke.fix/1`: plain data without NaN or infinity."""

import math
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from upstroke._version import __version__

if TYPE_CHECKING:
    from upstroke.audit import Report
    from upstroke.rewrite.fixed import Fixed, Moved, Outcome, Pair, Repaired
    from upstroke.rewrite.verify import Case, Verified

__all__ = ["SCHEMA", "record_of"]

Json = dict[str, Any]
SCHEMA = "upstroke.fix/1"


def record_of(fixed: "Fixed") -> Json:
    """The record of a fix; docs/record.md tells of every key."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "model": fixed.name,
        "source": fixed.source,
        "runtime": fixed.runtime,
        "seed": fixed.seed,
        "changed": fixed.changed,
        "output": None if fixed.path is None else str(fixed.path),
        "rounds": fixed.rounds,
        "sites": [_site(each) for each in fixed.outcomes],
        "repairs": [_repair(each) for each in fixed.repairs],
        "verified": _verified(fixed),
        "outputs_changed": [_moved(each) for each in fixed.outputs_changed],
        "totals": {
            "multiply_adds": _pair(fixed.multiply_adds),
            "parameters": _pair(fixed.parameters),
            "milliseconds": _pair(fixed.milliseconds),
            "ratio": _ratio(fixed.milliseconds),
            "peak_memory": _pair(fixed.memory),
            "memory_of": fixed.memory_of or None,
            "share": _number(fixed.share),
            "words": fixed.gain or None,
        },
        "findings": {"before": _findings(fixed.before), "after": _findings(fixed.after)},
        "notes": list(fixed.notes),
    }


def _site(outcome: "Outcome") -> Json:
    return {
        "site": outcome.site,
        "codes": list(outcome.codes),
        "outcome": outcome.became,
        "form": outcome.form or None,
        "how": outcome.how or None,
        "words": outcome.words,
        "nodes": list(outcome.nodes),
        "times": [asdict(each) for each in outcome.times],
        "ratio": _number(outcome.ratio),
        "multiply_adds": _pair(outcome.multiply_adds),
        "difference": _number(outcome.difference),
    }


def _repair(repaired: "Repaired") -> Json:
    return {
        "code": repaired.code,
        "site": repaired.site,
        "outcome": "repaired" if repaired.is_done else "left",
        "words": repaired.words,
        "relative_change": _number(repaired.relative_change),
        "measure": _pair(repaired.measure),
        "unit": repaired.unit or None,
        "details": _plain(repaired.details),
    }


def _verified(fixed: "Fixed") -> Json | None:
    if not fixed.verified:
        return None
    return {"passed": fixed.is_verified, "precisions": [_precision(each) for each in fixed.verified]}


def _precision(verified: "Verified") -> Json:
    return {
        "dtype": verified.dtype,
        "tolerance": verified.tolerance,
        "largest": _number(verified.largest),
        "words": verified.words or None,
        "cases": [_case(each) for each in verified.cases],
        "untried": list(verified.untried),
    }


def _case(case: "Case") -> Json:
    return {
        "words": case.words,
        "sizes": [list(shape) for shape in case.sizes],
        "largest": None if case.refused else _number(case.largest),
        "outputs": [
            {
                "name": each.name,
                "relative_difference": _number(each.relative),
                "own_error": _number(each.own),
                "words": each.words or None,
            }
            for each in case.outputs
        ],
        "refused": case.refused,
        "fault": case.fault or None,
    }


def _moved(moved: "Moved") -> Json:
    return {
        "name": moved.name,
        "relative_difference": _number(moved.relative),
        "relative_rms": _number(moved.rms),
    }


def _findings(report: "Report | None") -> dict[str, int] | None:
    if report is None:
        return None
    counts = Counter(finding.rule.code for finding in report.findings)
    return {code: counts[code] for code in sorted(counts)}


def _pair(pair: "Pair") -> Json:
    return {"before": _number(pair.before), "after": _number(pair.after)}


def _ratio(pair: "Pair") -> int | float | None:
    return _number(pair.before / pair.after) if pair.before and pair.after else None


def _number(value: int | float | None) -> int | float | None:
    """A number that JSON has; None for NaN and infinity."""
    return None if value is None or not math.isfinite(value) else value


def _plain(value: Any) -> Any:  # noqa: ANN401 - nested plain data
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return _number(value)
    return value if isinstance(value, str | int | bool) or value is None else str(value)
