"""Turn what test signals show of a whole model into lines of text."""

from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["geometry_lines", "probe_lines"]

Json = dict[str, Any]
# Chance gives as much in one case of a hundred.
RARE = 0.01


def probe_lines(values: Json) -> Iterator[tuple[str, str]]:
    """Heads and sentences for the `values` of a record's probe, an empty head for each output's name.

    >>> drift = {"offset": 3.0, "error": None, "reason": None}
    >>> output = {"name": "", "shape": [1, 1, 9], "size": [5], "noise": [], "constant": [], "drift": [drift]}
    >>> list(probe_lines({"outputs": [output], "reason": None}))
    [('', 'the output, 1x1x9, read in its middle 5'), ('ramp', 'sample 0 sits at 3.00 input pixels')]
    """
    for output in values["outputs"]:
        name = f"output {output['name']}" if output["name"] else "the output"
        yield "", f"{name}, {_times(output['shape'])}, read in its middle {_times(output['size'])}"
        for each in output["noise"]:
            yield "noise", f"period {_times(each['period'])}: {_noise(each)}"
        for each in output["constant"]:
            yield "constant", f"period {_times(each['period'])}: {_constant(each)}"
        if output["drift"]:
            yield "ramp", _drift(output["drift"])
    if values["reason"]:
        yield "", values["reason"] if values["outputs"] else f"not measured: {values['reason']}"


def geometry_lines(geometry: Json) -> Iterator[tuple[str, str]]:
    """Heads and sentences for the `geometry` of a record's probe: what agrees in a word, the rest by name.

    >>> join = {"name": "cat", "nominal": [-8.0], "measured": [-8.0], "difference": 0.0, "reason": None}
    >>> list(geometry_lines({"tolerance": 0.05, "joins": [{**join, "agrees": True}], "outputs": []}))
    [('', '1 join measured with uniform kernels, as its grids say to 0.05 px')]
    """
    if geometry.get("reason"):
        yield "", f"not measured: {geometry['reason']}"
        return
    if not geometry["joins"] and not geometry["outputs"]:
        yield "", "there is no join and no output whose position could be measured"
    for kind, of in (("join", geometry["joins"]), ("output", geometry["outputs"])):
        agreeing = [each for each in of if each["agrees"]]
        if agreeing:
            count, own = (f"1 {kind}", "its") if len(agreeing) == 1 else (f"{len(agreeing)} {kind}s", "their")
            yield (
                "",
                f"{count} measured with uniform kernels, as {own} grids say to {geometry['tolerance']} px",
            )
        for each in of:
            if each["agrees"] is False:
                said, seen = (_pixels(each[name]) for name in ("nominal", "measured"))
                words = "apart by" if kind == "join" else "at"
                yield "", f"{kind} {each['name']}: grids say {words} {said} px, measured {seen} px"
        for reason, names in _by_reason(of).items():
            yield "", f"not compared: {kind} {', '.join(names[:4])}{_more(names)}: {reason}"


def _by_reason(of: Sequence[Json]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for each in of:
        if each["agrees"] is None:
            reasons.setdefault(each["reason"], []).append(each["name"])
    return reasons


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 4} more" if len(names) > 4 else ""


def _pixels(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.2f}" for number in numbers).replace("-", "−")


def _noise(noise: Json) -> str:
    if noise["reason"]:
        return f"not measured: {noise['reason']}"
    part = f"{100 * noise['relative'] ** 0.5:.2g} % of its amplitude"
    rare = noise["p_value"] <= RARE
    verdict = "a fixed pattern" if rare else "no more than chance"
    ratio = noise["ratio_to_chance"]
    times = f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"
    return f"{verdict}: {part}, PSV {times} times that of white noise, p {noise['p_value']:.2g}"


def _constant(constant: Json) -> str:
    if constant["reason"]:
        return f"not measured: {constant['reason']}"
    if constant["worst_db"] is None and constant["worst_gain_db"] is None:
        return "no image"
    words = []
    if constant["worst_db"] is not None:
        words.append(f"loudest image {_db(constant['worst_db'])} against what noise makes")
    if constant["worst_gain_db"] is not None:
        words.append(f"image gain {_db(constant['worst_gain_db'])}")
    return "; ".join(words)


def _drift(axes: Sequence[Json]) -> str:
    measured = [_position(axis) for axis in axes if axis["offset"] is not None]
    missing = {f"axis {i}: {axis['reason']}" for i, axis in enumerate(axes) if axis["offset"] is None}
    words = f"sample 0 sits at {', '.join(measured)} input pixels" if measured else ""
    return "; ".join(
        [*([words] if words else []), *(f"not measured along {each}" for each in sorted(missing))]
    )


def _position(axis: Json) -> str:
    error = "" if axis["error"] is None else f" ± {axis['error']:.2f}"
    return f"{axis['offset']:.2f}{error}".replace("-", "−")


def _db(level: float) -> str:
    return f"{level:.1f} dB".replace("-", "−")


def _times(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))
