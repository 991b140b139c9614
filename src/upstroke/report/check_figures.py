"""Turn what a record says of a subject into drawings with captions, each with the rules that it is about."""

from collections.abc import Sequence
from typing import Any

from upstroke.report import svg
from upstroke.report.check_subjects import Subject
from upstroke.report.check_words import amount, drift_words, levels, number_of
from upstroke.report.inspect_text import figures
from upstroke.report.svg_bars import compared, share, size_strip
from upstroke.report.svg_combs import Comb, combs
from upstroke.report.svg_curves import border_frame, response_curves

__all__ = ["figures_of"]

Json = dict[str, Any]
Panels = Sequence[svg.Drawing | None]
CHEAPER = ("UP301", "UP302")


def figures_of(subject: Subject, rules: Sequence[Json]) -> list[Json]:
    """All pictures of a subject, as far as the record has their numbers."""
    entry = subject.entry
    drawn = [
        _levels(entry, rules),
        _taps(entry, is_gradient=subject.kind == "reduction"),
        _pattern(entry),
        _filter(entry),
        _response(entry),
        _border(entry),
        _grids(entry),
        *(_cost(entry, code) for code in CHEAPER),
        _separable(entry, rules),
        _sizes(entry),
    ]
    return [each for each in drawn if each is not None]


def _figure(codes: Sequence[str], panels: Panels, head: str, words: str) -> Json | None:
    shown = [panel for panel in panels if panel is not None]
    return {"codes": tuple(codes), "panels": shown, "head": head, "words": words} if shown else None


def _levels(site: Json, rules: Sequence[Json]) -> Json | None:
    """The image gains beside the first threshold that is one in decibels."""
    if "image_gain_db" not in site:
        return None
    known = levels(site)
    rule = next((each for each in rules if each["unit"] == "dB" and each["threshold"] is not None), None)
    drawing = svg.level_axis(
        known,
        threshold=None if rule is None else rule["threshold"],
        severity="" if rule is None else rule["severity"],
    )
    louder = "; below them the pattern that the biases add, which is louder" if len(known) > 2 else ""
    words = (
        f", in dB of the constant: of the layer alone, and of its chain up to the next nonlinearity{louder}."
    )
    return _figure(("UP102", "UP105"), (drawing,), "Image gain", words)


def _taps(entry: Json, *, is_gradient: bool) -> Json | None:
    coverage = entry.get("coverage")
    if coverage is None:
        return None
    if is_gradient:
        head, words = "Windows per sample", (
            ": how many windows read each of the samples that share a stride, and so how many terms its "
            "gradient has."
        )  # fmt: skip
        return _figure(("UP103",), svg.tap_grids(coverage), head, words)
    words = ": how many make each of the output samples that one cell becomes."
    return _figure(("UP101",), svg.tap_grids(coverage), "Taps per phase", words)


def _pattern(site: Json) -> Json | None:
    """What a constant in one channel becomes, and how its levels are to be read."""
    pattern = site.get("pattern")
    known = None if pattern is None else svg.grey_levels(pattern["gain"])
    if pattern is None or known is None:
        return None
    tiled = svg.tiled_gains(pattern["gain"])
    if not tiled:
        return None
    pair = _pair(site)
    words = (
        f" this{': ' + pair if pair else ''}. It shows the layer alone, not what the whole network makes of "
        f"a flat picture. Grey levels are gains: {_grey_scale(known, 'gain')}."
    )
    panels = (*tiled, *svg.numbered_gains(pattern["gain"]))
    return _figure(("UP102", "UP105"), panels, "A constant in one channel becomes", words)


def _grey_scale(known: tuple[float, float], of: str) -> str:
    black, white = known
    signed = " in absolute value, middle grey 0" if black else ""
    return f"black is {figures(black, 3)}, white {figures(white, 3)}, the largest {of}{signed}"


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


def _filter(site: Json) -> Json | None:
    worst = site.get("worst_filter")
    known = None if worst is None else svg.grey_levels(worst["taps"])
    if worst is None or known is None:
        return None
    of = "its" if site["kind"] == "resize" else "this channel pair’s"
    words = f": {of} kernel, what one cell adds to the output. {_grey_scale(known, 'tap').capitalize()}."
    return _figure(("UP102", "UP105"), svg.filter_grids(worst["taps"]), "Its most uneven filter", words)


def _response(site: Json) -> Json | None:
    response = site.get("response")
    if response is None:
        return None
    axes, scales = response["db"], site["scale"] or [1] * len(response["db"])
    drawn = []
    # replicas stand elsewhere for another scale
    for scale in dict.fromkeys(scales):
        of_scale = [index for index, each in enumerate(scales) if each == scale]
        same = all(axes[index] == axes[of_scale[0]] for index in of_scale)
        named = [(f"axis {index}", axes[index]) for index in of_scale]
        if same:
            named = [("" if len(of_scale) == len(axes) else named[0][0], axes[of_scale[0]])]
        drawn.append(response_curves(response["frequency"], named, scale=scale))
    words = (
        " of the layer, in dB of its largest, over cycles per output sample: what comes through of the lower "
        "half of the input’s band, and of its replicas, which should not."
    )
    return _figure(("UP104",), drawn, "Frequency response", words)


def _border(site: Json) -> Json | None:
    border = site.get("border")
    if not border or not any(each for ends in border for each in ends):
        return None
    words = ": what is missing there of a constant, because zeros stand outside the map that comes in."
    return _figure(("UP205",), (border_frame(border),), "At the border", words)


def _grids(entry: Json) -> Json | None:
    """The branches of a join, or the map itself, over the pixels of the input, one drawing for each axis."""
    rows = [
        (f"branch {number}", branch["grid"])
        for number, branch in enumerate(entry.get("branches") or (), start=1)
        if branch.get("grid") is not None
    ]
    own = entry.get("place") or {}
    if own.get("grid") is not None:
        rows.append(("this map", own["grid"]))
    if not rows:
        return None
    axes = range(len(rows[0][1]["offset"]))
    drift, mean = entry.get("drift") or [], entry.get("mean_drift") or []
    drawn: dict[tuple[Any, ...], list[int]] = {}
    for axis in axes:
        numbers = tuple((name, grid["offset"][axis], grid["spacing"][axis]) for name, grid in rows)
        apart = tuple(each[axis] for each in (drift, mean) if each)
        drawn.setdefault((numbers, apart), []).append(axis)
    panels = []
    for (numbers, apart), same in drawn.items():
        where = "" if len(drawn) == 1 else f"axis {', '.join(map(str, same))}"
        moved = f"drift {drift_words(apart[:1])}" if any(map(number_of, apart)) else ""
        moved += f", {drift_words(apart[1:])} of the means" if len(set(apart)) > 1 else ""
        panels.append(
            combs([Comb(name=name, offset=float(o), spacing=float(s)) for name, o, s in numbers],
                  axis=where, drift=moved)
        )  # fmt: skip
    words = (
        ": each stroke is a sample, at the middle of what it is made of, averaged over phases; a dot marks "
        "sample 0. Branches fit together where their strokes stand above each other."
    )
    words = words if len(rows) > 1 else f"{words.split(';')[0]}; a dot marks sample 0."
    return _figure(("UP201", "UP202", "UP204"), panels, "Samples over the input’s pixels", words)


def _cost(site: Json, code: str) -> Json | None:
    """Multiply–adds as they are and as a rule says they could be."""
    cheaper = (site.get("cheaper") or {}).get(code)
    if cheaper is None:
        return None
    drawing = compared((("now", cheaper["now"]), ("then", cheaper["then"])), unit="multiply–adds")
    words = " as it is now, and in the cheaper form, which gives the same."
    return _figure((code,), (drawing,), f"Multiply–adds, {code}", words)


def _separable(site: Json, rules: Sequence[Json]) -> Json | None:
    verdict = site["verdicts"].get("UP304")
    if verdict is None or amount(verdict["measure"]) is None or not 0 <= verdict["measure"] <= 1:
        return None
    threshold = next((each["threshold"] for each in rules if each["code"] == "UP304"), None)
    words = " that one separable filter per channel holds: 1 is a form without any error."
    drawing = share(verdict["measure"], threshold=threshold, name="energy")
    return _figure(("UP304",), (drawing,), "Energy", words)


def _sizes(entry: Json) -> Json | None:
    """Which sizes work, one strip for each axis, or for all at once."""
    panels = []
    for along in (entry.get("sizes") or {"along": ()})["along"]:
        cells = dict.fromkeys(along["tried"], "unknown") | dict.fromkeys(along["right"], "works")
        for word, examples in (("fails", along["failed"]), ("changes", along["changed"])):
            # examples are sizes of all axes that can vary
            sizes = (each["size"][along["axes"][0]] for each in examples)
            cells |= dict.fromkeys((size for size in sizes if size in cells), word)
        axes = "axis" if len(along["axes"]) == 1 else "axes"
        label = f"{axes} {', '.join(map(str, along['axes']))}"
        panels.append(size_strip(sorted(cells.items()), label=label))
    words = ": what came of each that was tried; others follow with the period."
    return _figure(("UP203",), panels, "Sizes", words)
