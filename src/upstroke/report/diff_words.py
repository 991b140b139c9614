"""Turn numbers of a record of two models side by side into the words that text and pages share."""

from collections.abc import Iterator
from typing import Any

from upstroke.report.check_subjects import SEVERITIES
from upstroke.report.check_words import counted
from upstroke.report.fix_words import change, large, reason, shown_sizes, whole
from upstroke.report.html import visible
from upstroke.report.inspect_text import figures

__all__ = [
    "GROUPS",
    "case_lines",
    "contents",
    "costs",
    "findings_summary",
    "moved_joins",
    "outputs_summary",
    "state",
    "summary",
    "worst",
]

Json = dict[str, Any]
# Of findings: the key in the record, and the head under which they stand.
GROUPS = (("new", "Found in the new model alone"), ("gone", "Gone"), ("same", "Found in both"))
# A difference that is no more than the rounding of sums in another order, in single precision.
ROUNDING = 1e-5
# A part of the root mean square from which it is worth saying that a mean moved.
NOTICED = 1e-3


def state(record: Json) -> str:
    """The word for what differs: error, warning or note where something new is found, else ok.

    >>> state({"findings": {"new": [{"severity": "note"}, {"severity": "warning"}]}})
    'warning'
    """
    found = {each["severity"] for each in record["findings"]["new"]}
    return next((each for each in ("error", "warning", "note") if each in found), "ok")


def summary(record: Json) -> str:
    """Say in one line what differs."""
    return f"{findings_summary(record)}; {outputs_summary(record)}"


def findings_summary(record: Json) -> str:
    """Count what is found in one of the models alone, and in both.

    >>> findings_summary({"findings": {"gone": [{}, {}], "new": [], "same": [{}]}})
    '2 findings gone, none new, 1 in both'
    """
    gone, new, same = (len(record["findings"][key]) for key in ("gone", "new", "same"))
    if not gone and not new and not same:
        return "Nothing found in either"
    if not gone and not new:
        return f"{counted(same, 'finding')}, the same in both"
    words = f"{counted(gone, 'finding') if gone else 'No finding'} gone, {new or 'none'} new"
    return f"{words}, {same} in both" if same else words


def outputs_summary(record: Json) -> str:
    """Say how far the outputs are apart at most.

    >>> output = {"relative_difference": 3e-7, "words": None}
    >>> outputs_summary({"cases": [{"refused": {"old": None, "new": None}, "outputs": [output]}]})
    'outputs agree to rounding, 3e-07 of their largest value'
    """
    both = [each for each in record["cases"] if not all(each["refused"].values())]
    outputs = [each for case in both for each in case["outputs"]]
    apart = [each["relative_difference"] for each in outputs if each["relative_difference"] is not None]
    odd = sum(1 for case in both if any(case["refused"].values()) or any(_is_odd(case)))
    parts = []
    if apart:
        most = max(apart)
        how = "agree to rounding," if most <= ROUNDING else "differ by up to"
        parts.append(f"outputs {how} {figure(most)} of their largest value" if most else "outputs are equal")
    if odd:
        parts.append(f"cannot be compared at {counted(odd, 'size')} of the inputs")
    if not parts:
        return "no outputs to compare"
    return " and ".join(parts) if apart else f"outputs {parts[0]}"


def _is_odd(case: Json) -> Iterator[bool]:
    return (each["words"] is not None for each in case["outputs"])


def figure(value: int | float) -> str:
    """A part of something with two figures.

    >>> figure(0.61234), figure(3.04e-7)
    ('61 %', '3e-07')
    """
    return f"{figures(100 * value, 2)} %" if value >= 1e-3 else f"{value:.2g}"


def worst(findings: list[Json]) -> list[Json]:
    """Findings by severity, then by rule."""
    return sorted(findings, key=lambda each: (SEVERITIES.index(each["severity"]), each["code"]))


def contents(side: Json) -> str:
    """Say what a model is.

    >>> contents({"source": "PyTorch", "sites": 2, "joins": 1})
    'PyTorch, 2 upsampling sites, 1 join'
    """
    joins = f", {counted(side['joins'], 'join')}" if side["joins"] else ""
    return f"{side['source']}, {counted(side['sites'], 'upsampling site')}{joins}"


def costs(record: Json) -> Iterator[tuple[str, str, str, str]]:
    """What is counted of either: the word for it, old, new, and what that means."""
    for key, title in (("multiply_adds", "multiply–adds"), ("parameters", "parameters")):
        before, after = record["old"][key], record["new"][key]
        if before is not None or after is not None:
            shown = whole if key == "parameters" else large
            yield title, shown(before), shown(after), change(before, after)
    for key, title in (("inputs", "inputs"), ("outputs", "outputs")):
        old, new = (_shapes(record[side][key]) for side in ("old", "new"))
        yield title, old, new, "the same" if old == new else ""


def _shapes(maps: list[Json]) -> str:
    return ", ".join(
        f"{each['name']} {_shape(each['shape'])}".rstrip() if each["shape"] is not None else each["name"]
        for each in maps
    )


def _shape(shape: list[int | None]) -> str:
    return "x".join("?" if size is None else str(size) for size in shape)


def moved_joins(record: Json) -> Iterator[tuple[str, str, str]]:
    """Joins whose branches sit otherwise now: name, drift before, drift after."""
    old, new = ({each["join"]: each["drift"] for each in record[side]["drifts"]} for side in ("old", "new"))
    for name, drift in old.items():
        if name in new and new[name] != drift:
            yield name, _drift(drift), _drift(new[name])


def _drift(drift: list[int | float] | None) -> str:
    """A distance per axis in input pixels, once where all axes agree.

    >>> _drift([-1.5, -1.5]), _drift([0.0, 2.0]), _drift(None)
    ('−1.5', '0, 2', '–')
    """
    if drift is None:
        return "–"
    axes = [f"{each:.4g}".replace("-", "−") for each in drift]
    return axes[0] if len(set(axes)) == 1 else ", ".join(axes)


def case_lines(case: Json) -> Iterator[tuple[str, str]]:
    """For inputs of one size: the shapes and which they are, and for each output how far it moved."""
    head = shown_sizes(case["sizes"])
    old, new = case["refused"]["old"], case["refused"]["new"]
    if old is not None and new is not None:
        yield head, f"{case['inputs']}: both refuse it: {reason(old)}"
    elif old is not None or new is not None:
        who = "new" if old is None else "old"
        yield head, f"{case['inputs']}: the {who} model alone refuses it: {reason(new or old)}"
    for each in case["outputs"]:
        yield head, f"{case['inputs']}: {_output(each)}"


def _output(output: Json) -> str:
    name = output["name"] or output["new_name"]
    if output["new_name"] not in ("", name):
        name = f"{name}, now {output['new_name']},"
    if output["words"] is not None:
        return visible(f"{name}: {output['words']}")
    if output["relative_difference"] == 0:
        return visible(f"{name} is equal")
    shift = output["mean_shift"]
    words = (
        f"{name} differs by at most {figure(output['relative_difference'])} of its largest value, by "
        f"{figure(output['relative_rms'])} in root mean square"
    )
    moved = f"; its mean moves by {'−' if shift < 0 else ''}{figure(abs(shift))} of that"
    return visible(words + (moved if abs(shift) >= NOTICED else ""))
