"""Turn the steps of a network in running order into a drawing of their sizes, joins and grids."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from upstroke.report.check_words import drift_words, number_of
from upstroke.report.inspect_text import figures
from upstroke.report.svg import Group, Mark, Network, box

__all__ = ["Stop", "network_drawing", "place_words", "size_words"]

Json = dict[str, Any]

# Width that the steps of a small network fill, in pixels, and what each of them takes at most and at least.
WIDE, MOST, LEAST = 1060.0, 150.0, 58.0
# From this width a step's name stands below it.
NAMED = 96.0
# Steps beyond which equal joins without a word to say, next to each other, share a place.
MANY = 24
HIGH = 132.0
LANE = 19.0
# Pixels that a letter takes at most at 11 px, in whatever font there is.
LETTER = 6.7
# Input pixels that a comb of sample positions shows.
COMB = 8
WORDS = {"input": "in", "site": "up", "join": "join", "reduction": "down", "output": "out"}


@dataclass(frozen=True, kw_only=True)
class Stop:
    """One step of the network as it is drawn.

    Attributes:
        kind: input, site, join, reduction or output.
        number: among those of its kind, counted from 1; of several joins the first one's.
        count: how many joins it stands for.
        name: what the model calls it.
        size: spatial size of the map it gives, as far as known.
        channels: of that map.
        state: what became of it, a word; empty where nothing was judged.
        shape: a sign for that word.
        anchor: of its section; None where it has none.
        sources: places of the steps whose maps arrive.
        drift: of the branches that it joins, per axis, in input pixels; empty where there is none to tell.
        place: where samples of the map sit, as the record has it.
    """

    kind: str
    number: int
    name: str
    size: Sequence[int | None] | None
    channels: int | None
    state: str
    shape: str
    anchor: str | None
    sources: tuple[int, ...]
    count: int = 1
    drift: tuple[str, ...] = ()
    place: Mapping[str, Any] | None = None


def network_drawing(stops: Sequence[Stop]) -> Network | None:
    """Draw every step as a bar as high as its map is large, on a log scale, with arcs to the joins.

    Arcs come from branches that start further left than the step before; None where nothing has a size.
    """
    steps = _joined(stops) if len(stops) > MANY else list(stops)
    sizes = [_side(step.size) for step in steps]
    known = [each for each in sizes if each is not None]
    if not known:
        return None
    words = [len(size_words(step.size)) for step in steps]
    least = max(LEAST, LETTER * max(words) + 7)
    pitch = min(MOST, max(least, WIDE / len(steps)))
    arcs = _lanes(steps)
    top = 16.0 + LANE * max((lane for *_, lane in arcs), default=0) + (LANE if arcs else 0.0)
    ground = top + HIGH
    layout = _Layout(
        pitch=pitch, top=top, ground=ground, most=max(known),
        is_named=pitch >= NAMED, has_combs=any(_grid(step) for step in steps),
    )  # fmt: skip
    groups = [_column(step, place, layout) for place, step in enumerate(steps)]
    lines = tuple(mark for arc in arcs for mark in _arc(steps, arc, layout))
    floor = Mark(kind="floor", path=f"M0 {ground:g}H{pitch * len(steps):g}")
    return Network(
        width=round(pitch * len(steps), 1),
        height=round(layout.bottom, 1),
        title=_title(steps),
        label="",
        marks=(floor, *lines),
        groups=tuple(groups),
    )


@dataclass(frozen=True, kw_only=True)
class _Layout:
    pitch: float
    top: float
    ground: float
    most: float
    is_named: bool
    has_combs: bool

    @property
    def comb(self) -> float:
        """Top of the row of combs."""
        return self.ground + (76.0 if self.is_named else 60.0)

    @property
    def bottom(self) -> float:
        return self.comb + (38.0 if self.has_combs else -6.0)

    def middle(self, place: int) -> float:
        return self.pitch * (place + 0.5)

    def roof(self, step: Stop) -> float:
        """Top of a step's bar."""
        side = _side(step.size)
        if side is None:
            return self.ground - 10.0
        share = math.log2(max(1.0, side)) / max(1.0, math.log2(max(2.0, self.most)))
        return self.ground - 14.0 - (HIGH - 22.0) * share


def size_words(size: Sequence[int | None] | None) -> str:
    """A size in as few signs as it needs.

    >>> size_words([64, 64]), size_words([5, 7]), size_words([8, 8, 8]), size_words(None)
    ('64²', '5×7', '8³', '?')
    """
    if not size:
        return "?"
    if len(set(size)) == 1 and size[0] is not None and 1 < len(size) < 4:
        return f"{size[0]}{'²³'[len(size) - 2]}"
    return "×".join("?" if each is None else str(each) for each in size)


def _side(size: Sequence[int | None] | None) -> float | None:
    """The side of a square as large as the map; None where an axis is unknown."""
    if not size or any(each is None for each in size):
        return None
    return float(math.prod(each for each in size if each is not None) ** (1 / len(size)))


def _column(step: Stop, place: int, layout: _Layout) -> Group:
    middle, ground, roof = layout.middle(place), layout.ground, layout.roof(step)
    wide = min(44.0, 0.5 * layout.pitch)
    known = "" if _side(step.size) is not None else " unknown"
    label = f"{step.count} joins" if step.count > 1 else WORDS[step.kind]
    label += f" {step.number}" if step.kind in ("site", "join", "reduction") and step.count == 1 else ""
    marks = [
        Mark(kind=f"bar of-{step.kind}{known}", path=box(middle - wide / 2, roof, wide, ground - roof)),
        Mark(kind="label", x=middle, y=ground + 16, words=label),
        Mark(kind="index", x=middle, y=ground + 31, words=size_words(step.size)),
    ]
    if step.state:
        word = step.state.split()[0]
        marks += [
            Mark(kind=f"underline {word}", path=box(middle - wide / 2, ground, wide, 3.0)),
            Mark(kind=f"state {word}", x=middle, y=ground + 46, words=f"{step.shape} {word}"),
        ]
    if layout.is_named:
        marks.append(Mark(kind="index", x=middle, y=ground + 61, words=_short(step.name, layout.pitch)))
    if all(source >= place - 1 for source in step.sources):
        # no arc comes here that the drift could stand at
        marks += _drift(step, middle + layout.pitch / 2 - 2, roof - 9)
    marks += _comb(step, middle, layout)
    return Group(
        title=_said(step, label),
        anchor=step.anchor,
        area=Mark(kind="area", path=box(middle - layout.pitch / 2 + 1, roof - 6, layout.pitch - 2,
                                        layout.bottom - roof + 6)),
        marks=tuple(marks),
    )  # fmt: skip


def _said(step: Stop, label: str) -> str:
    """A step in words, for who cannot see it."""
    size = "size unknown" if not step.size else "×".join("?" if n is None else str(n) for n in step.size)
    channels = f", {step.channels} channels" if step.channels else ""
    drift = f", drift {drift_words(step.drift)}" if step.drift else ""
    state = f": {step.state}" if step.state else ""
    place = f", {place_words(step.place)}" if step.place else ""
    return f"{label}, {step.name}, {size}{channels}{drift}{place}{state}"


def place_words(place: Mapping[str, Any] | None) -> str:
    """Where samples sit, in words.

    >>> place_words({"grid": {"exact": {"offset": ["-1/4"], "spacing": ["1/2"]}}, "lost": None})
    'sample i at −1/4 + 1/2·i input px'
    """
    if not place:
        return ""
    if place.get("grid") is None:
        return f"not located: {place.get('lost')}"
    exact = place["grid"]["exact"]
    axes = [
        f"{offset} + {spacing}·i".replace("-", "−")
        for offset, spacing in zip(exact["offset"], exact["spacing"], strict=True)
    ]
    return f"sample i at {' and '.join(dict.fromkeys(axes))} input px"


def _short(name: str, room: float) -> str:
    most = max(4, int(room / LETTER) - 1)
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _lanes(steps: Sequence[Stop]) -> list[tuple[int, int, int]]:
    """Where each branch that skips something starts and ends, and how high it runs: inner ones lower."""
    skips = sorted(
        {
            (source, place)
            for place, step in enumerate(steps)
            for source in step.sources
            if source < place - 1 and step.kind == "join"
        },
        key=lambda each: (each[1] - each[0], each),
    )
    placed: list[tuple[int, int, int]] = []
    for start, end in skips:
        below = [lane for a, b, lane in placed if a < end and start < b]
        placed.append((start, end, 1 + max(below, default=0)))
    return placed


def _arc(steps: Sequence[Stop], arc: tuple[int, int, int], layout: _Layout) -> list[Mark]:
    start, end, lane = arc
    step = steps[end]
    y = layout.top - LANE * (lane - 1) - 6.0
    left, right = layout.middle(start) + 5.0, layout.middle(end) - 5.0
    bend = min(6.0, (right - left) / 2)
    word = step.state.split()[0] if step.state else ""
    path = (
        f"M{left:.5g} {layout.roof(steps[start]) - 2:.5g}V{y + bend:.5g}q0 {-bend:.5g} {bend:.5g} {-bend:.5g}"
        f"H{right - bend:.5g}q{bend:.5g} 0 {bend:.5g} {bend:.5g}V{layout.roof(step) - 4:.5g}"
    )
    marks = [
        Mark(kind=f"arc {word}", path=path),
        Mark(kind=f"head {word}", path=f"M{right - 3:.5g} {layout.roof(step) - 8:.5g}l3 6l3 -6z"),
    ]
    if start == min(step.sources):
        marks += _drift(step, right - bend, y - 8)
    return marks


def _drift(step: Stop, right: float, y: float) -> list[Mark]:
    """The drift, if any, beside an arrow that points where the samples of the first branch come from."""
    if not any(number_of(each) for each in step.drift):
        return []
    words, word = drift_words(step.drift), step.state.split()[0] if step.state else ""
    left = right - LETTER * len(words) - 19
    is_left = min((number_of(each) for each in step.drift), key=lambda each: -abs(each)) < 0
    tip, tail = (left, left + 11) if is_left else (left + 11, left)
    turn = 3 if is_left else -3
    return [
        Mark(kind=f"arrow {word}", path=f"M{tail:.5g} {y:.5g}H{tip:.5g}m{turn} -3l{-turn} 3l{turn} 3"),
        Mark(kind=f"drift {word}", x=right, y=y, words=words),
    ]


def _grid(step: Stop) -> Mapping[str, Any] | None:
    return None if not step.place else step.place.get("grid")


def _comb(step: Stop, middle: float, layout: _Layout) -> list[Mark]:
    """Samples of the map over the first pixels of the input, along the last axis."""
    grid = _grid(step)
    if grid is None:
        if layout.has_combs and step.place and step.place.get("lost"):
            return [Mark(kind="index", x=middle, y=layout.comb + 8, words="lost")]
        return []
    offset, spacing = float(grid["offset"][-1]), float(grid["spacing"][-1])
    wide = min(112.0, layout.pitch - 10)
    pixels = max(COMB, math.ceil(2 * spacing))
    cell = wide / pixels
    left, y = middle - wide / 2, layout.comb
    start = min(0.0, math.floor(offset + 0.5))
    first = math.ceil((start - 0.5 - offset) / spacing)
    ticks = []
    for index in range(first, first + 4 * COMB + 1):
        at = offset + spacing * index
        if at <= start + pixels - 0.5:
            ticks.append(f"M{left + (at - start + 0.5) * cell:.5g} {y + 1:.5g}v12")
    marks = [Mark(kind="rail", path=box(left, y + 9, wide, 5))]
    if cell >= 4:
        cuts = "".join(f"M{left + each * cell:.5g} {y + 9:.5g}v5" for each in range(1, pixels))
        marks.append(Mark(kind="cut", path=cuts))
    marks.append(Mark(kind="sample", path="".join(ticks)))
    marks.append(Mark(kind="index", x=middle, y=y + 25, words=f"1/{figures(1 / spacing)} px"
                      if spacing < 1 else f"{figures(spacing)} px"))  # fmt: skip
    return marks


def _joined(stops: Sequence[Stop]) -> list[Stop]:
    """Put joins of one size that stand next to each other, and of which nothing is to say, in one place."""
    runs: list[list[int]] = []
    for place, stop in enumerate(stops):
        last = stops[runs[-1][-1]] if runs else None
        if last is not None and _is_plain(last) and _is_plain(stop) and last.size == stop.size:
            runs[-1].append(place)
        else:
            runs.append([place])
    moved = {place: run for run, places in enumerate(runs) for place in places}
    joined = []
    for run, places in enumerate(runs):
        first = stops[places[0]]
        sources = dict.fromkeys(moved[source] for place in places for source in stops[place].sources)
        joined.append(
            Stop(
                kind=first.kind, number=first.number, name=_span([stops[place].name for place in places]),
                size=first.size, channels=stops[places[-1]].channels, state=first.state, shape=first.shape,
                anchor=first.anchor, sources=tuple(each for each in sources if each != run),
                count=len(places), drift=first.drift, place=first.place,
            )
        )  # fmt: skip
    return joined


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _is_plain(stop: Stop) -> bool:
    return stop.kind == "join" and stop.state in ("ok", "") and not any(map(number_of, stop.drift))


def _title(steps: Sequence[Stop]) -> str:
    """The whole drawing in words."""
    counts = {kind: sum(step.count for step in steps if step.kind == kind) for kind in WORDS}
    names = {
        "site": "upsampling sites", "join": "joins", "reduction": "strided layers", "output": "outputs",
    }  # fmt: skip
    told = ", ".join(f"{counts[kind]} {words}" for kind, words in names.items() if counts[kind])
    return f"the network in running order: {told or 'its maps'}; bars are as high as their maps are large"
