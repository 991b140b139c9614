"""Turn numbers of a record of a checked model into the words that text and pages share."""

import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from upstroke.report.check_subjects import PLURALS, SEVERITIES, status, subjects_of
from upstroke.report.inspect_text import figures

__all__ = [
    "amount",
    "contents",
    "counted",
    "drift_words",
    "levels",
    "measured",
    "number_of",
    "of_sites",
    "remark",
    "shown_measure",
    "sizes_to_give",
    "verdict_sentence",
    "worst_first",
]

Json = dict[str, Any]
# Numbers that are grouped by thousands.
MANY, MOST = 10_000, 10**15
EXPORT = "The remedies change the code or the training of the model; an ONNX file has to be exported anew."


def verdict_sentence(record: Json) -> str:
    """Say in a few words what was found.

    >>> counts = {"errors": 0, "warnings": 0, "notes": 0}
    >>> verdict_sentence({"model": "m", "sites": [], "findings": [], "summary": counts})
    'Nothing to check'
    """
    summary = record["summary"]
    new = "new " if record.get("baseline") else ""
    counts = [counted(summary[f"{each}s"], f"{new}{each}") for each in SEVERITIES if summary[f"{each}s"]]
    if counts:
        return ", ".join(counts)
    if not record["sites"]:
        return "Nothing to check"
    if all(status(site, []) == "skipped" for site in record["sites"]):
        return "Nothing could be checked"
    return "Nothing new found" if new else "Nothing wrong found"


def of_sites(record: Json) -> str:
    """Say of how many sites the verdict is and of what else, what became of others, and what is not said."""
    subjects, _ = subjects_of(record)
    hit = {kind: sum(1 for each in subjects if each.kind == kind and each.findings) for kind in PLURALS}
    others = [
        "the model as a whole" if kind == "model" else counted(number, PLURALS[kind][:-1])
        for kind, number in hit.items()
        if number and kind != "site"
    ]
    states = [each.state for each in subjects if each.kind == "site"]
    if not states:
        found = f"in {', '.join(others)}; no upsampling found" if others else "no upsampling found"
        return "; ".join(each for each in (found, _left_out(record)) if each)
    unread = _unread(record)
    fine, partly, skipped = (states.count(each) for each in ("ok", "partly checked", "skipped"))
    in_sites = [f"{hit['site']} of {counted(len(states) - unread, 'site')}"] if hit["site"] else []
    parts = [f"in {', '.join([*in_sites, *others])}"] if in_sites or others else []
    if fine:
        parts.append(f"{counted(fine, 'site')} {'is' if fine == 1 else 'are'} fine")
    if partly:
        parts.append(f"{counted(partly, 'site')} partly checked")
    if skipped > unread:
        parts.append(f"{counted(skipped - unread, 'site')} skipped")
    if unread:
        parts.append(f"{counted(unread, 'operator')} could not be read")
    parts += [_left_out(record)] if _left_out(record) else []
    return "; ".join(parts) or f"{counted(len(states), 'upsampling site')}, of which no rule was asked"


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


def _left_out(record: Json) -> str:
    """Count the findings of which nothing is said, and those of the baseline that are gone; empty if none.

    >>> _left_out({"suppressed": [{}, {}], "baseline": {"known": [{}], "gone": []}})
    '2 suppressed; 1 known from the baseline'
    """
    baseline = record.get("baseline") or {"known": [], "gone": []}
    counts = (
        (len(record.get("suppressed") or ()), "suppressed"),
        (len(baseline["known"]), "known from the baseline"),
        (len(baseline["gone"]), "of the baseline gone"),
    )
    return "; ".join(f"{number:,} {words}" for number, words in counts if number)


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


def sizes_to_give(record: Json) -> str:
    """Say how to give the sizes that a file leaves open, where something was skipped for want of them.

    >>> source = {"words": "ONNX, opset 18", "inputs": [{"name": "x", "shape": [None, 1, None, 48]}]}
    >>> reason = "its output size is not known before the model runs"
    >>> sizes_to_give({"source": source, "skipped": [{"reason": reason}], "sites": []})
    "the file leaves open how large 'x' is; with --input x=1x1x64x48, as it should be, more can be read"
    """
    is_open = {
        each["name"]: each["shape"]
        for each in record["source"]["inputs"]
        if each["shape"] is None or None in each["shape"][1:]
    }
    if not is_open or not remark(record) or not any(map(_wants_sizes, _reasons(record))):
        return ""
    names = ", ".join(f"'{name}'" for name in is_open)
    given = " ".join(f"--input {name}={_example(shape)}" for name, shape in is_open.items())
    is_many = len(is_open) > 1
    return (
        f"the file leaves open how large {names} {'are' if is_many else 'is'}; with {given}, as "
        f"{'they' if is_many else 'it'} should be, more can be read"
    )


def _reasons(record: Json) -> Iterator[str]:
    """Why sites, and rules at anything, were skipped."""
    yield from (each["reason"] for each in record["skipped"])
    for key in ("sites", "joins", "reductions", "outputs"):
        for entry in record.get(key, ()):
            yield from (
                each["words"]
                for each in entry["verdicts"].values()
                if each["verdict"] == "skipped" and not each.get("aside")
            )


def _wants_sizes(reason: str) -> bool:
    """Whether a reason goes by sizes: all that do say that one is not known, or depends on the input's."""
    return "not known" in reason or "size of the input" in reason


def _example(shape: Sequence[int | None] | None) -> str:
    """Sizes that a map may have, where they are open: one map, of three channels, of 64 samples per axis."""
    usual = (1, 3, 64, 64)
    filled = (
        usual
        if shape is None
        else [(usual[min(place, 3)]) if size is None else size for place, size in enumerate(shape)]
    )
    return "x".join(map(str, filled))


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
    >>> measured(2539520.0, "multiply–adds saved")
    '2,539,520 multiply–adds saved'
    """
    if value is None:
        return "–"
    if isinstance(value, str):
        return f"{value} {unit}".rstrip()
    # a threshold is a whole number of decibels, a measure has one more digit
    is_level = unit == "dB" and value != round(value)
    number = f"{value:.1f}".replace("-", "−") if is_level else figures(value)
    if MANY <= abs(value) < MOST:
        number = f"{value:,.0f}".replace("-", "−")
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


def amount(value: Any) -> float | None:  # noqa: ANN401 - whatever a record holds
    """A number that can be drawn or compared; None for anything else."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def number_of(value: Any) -> float:  # noqa: ANN401 - a number, or a fraction as a string
    """A number, or an exact fraction in words, as a number.

    >>> number_of("-7/2"), number_of(2)
    (-3.5, 2.0)
    """
    return float(Fraction(value)) if isinstance(value, str) else float(value)


def drift_words(drift: Sequence[Any]) -> str:
    """A drift in input pixels, once where all axes share it.

    >>> drift_words(["-8", "-8"]), drift_words(["-1/2", "0"]), drift_words([])
    ('−8 px', '−0.5, 0 px', '')
    """
    words = [figures(number_of(each)) for each in drift]
    return f"{', '.join(words[:1] if len(set(words)) == 1 else words)} px" if words else ""


def worst_first(findings: Sequence[Json]) -> list[Json]:
    """Findings of one rule by severity, and then by how far their measure lies beyond the threshold.

    >>> found = [{"severity": "note", "measure": -8.0, "threshold": 0}, {"severity": "note", "measure": 2.0,
    ...          "threshold": 0}]
    >>> [each["measure"] for each in worst_first(found)]
    [-8.0, 2.0]
    """

    def beyond(finding: Json) -> float:
        measure, threshold = amount(finding["measure"]), amount(finding["threshold"]) or 0.0
        return -math.inf if measure is None else abs(measure - threshold)

    return sorted(findings, key=lambda each: (SEVERITIES.index(each["severity"]), -beyond(each)))
