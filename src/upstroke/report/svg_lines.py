"""Turn numbers by step into a line chart with axes in round numbers."""

import math
from collections.abc import Sequence

from upstroke.report.inspect_text import figures
from upstroke.report.svg import Drawing, Mark, box

__all__ = ["line_chart", "round_steps"]

LEFT, TOP, WIDE, HIGH = 56.0, 12.0, 440.0, 200.0
# Numbers this far apart are drawn on a log scale, if none is 0 or less.
LOG_RATIO = 30.0
# Points of a curve; more would not be seen.
DRAWN = 600
Points = Sequence[tuple[int, int | float]]


def line_chart(
    curves: Sequence[tuple[str, Points]],
    *,
    marked: tuple[int, int | float] | None = None,
    mark_words: str = "",
) -> Drawing | None:
    """Draw curves over the step, with a ring around one point; None where there is no number.

    >>> line_chart([("loss", [(1, 4.0), (2, 2.0)])]).title
    'loss from 4 at step 1 to 2 at step 2, least 2 at step 2'
    """
    finite = [(name, _finite(points)) for name, points in curves]
    known = [(name, points) for name, points in finite if points]
    if not known:
        return None
    values = [value for _, points in known for _, value in points]
    last = max(step for _, points in known for step, _ in points)
    least, most = min(values), max(values)
    is_log = least > 0 and most / least > LOG_RATIO
    ticks = _log_ticks(least, most) if is_log else round_steps(least, most)
    low, high = (min(least, ticks[0]), max(most, ticks[-1])) if ticks else (least, most)
    place = math.log if is_log else float

    def x(step: int | float) -> float:
        return LEFT + WIDE * step / last

    def y(value: int | float) -> float:
        return TOP + HIGH * (1 - (place(value) - place(low)) / ((place(high) - place(low)) or 1.0))

    across = [step for step in round_steps(0, last) if step <= last]
    marks = [Mark(kind="rail", path=box(LEFT, TOP, WIDE, HIGH))]
    strokes = [f"M{LEFT - 4:g} {y(each):.5g}h4" for each in ticks]
    strokes += [f"M{x(each):.5g} {TOP + HIGH:g}v4" for each in across]
    marks.append(Mark(kind="tick", path="".join(strokes)))
    marks += [Mark(kind="axis", x=LEFT - 8, y=y(each), words=figures(float(each), 3)) for each in ticks]
    marks += [
        Mark(kind="index", x=x(each), y=TOP + HIGH + 13, words=figures(float(each), 6)) for each in across
    ]
    for number, (name, points) in enumerate(known):
        drawn = _thinned(points)
        path = "L".join(f"{x(step):.5g} {y(value):.5g}" for step, value in drawn)
        # a single point is a short stroke
        path = f"M{path}" if len(drawn) > 1 else f"M{path}h3"
        marks.append(Mark(kind=f"curve curve-{number % 3}", path=path))
        if len(known) > 1:
            down = TOP + 14 + 15 * number
            marks.append(Mark(kind=f"curve curve-{number % 3}", path=f"M{LEFT + WIDE - 108:g} {down:g}h22"))
            marks.append(Mark(kind="start small", x=LEFT + WIDE - 80, y=down, words=name))
    if marked is not None and low <= marked[1] <= high:
        at, down = x(marked[0]), y(marked[1])
        marks.append(
            Mark(kind="curve curve-1 ring", path=f"M{at - 5:.5g} {down:.5g}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z")
        )
    said = "; ".join(_said(name, points) for name, points in known)
    return Drawing(
        width=LEFT + WIDE + 12, height=TOP + HIGH + 24, marks=tuple(marks),
        title=f"{said}; {mark_words}" if mark_words else said,
        label=f"over the step{', log scale' if is_log else ''}",
    )  # fmt: skip


def _finite(points: Points) -> list[tuple[int, int | float]]:
    return [(step, value) for step, value in points if math.isfinite(value)]


def _thinned(points: list[tuple[int, int | float]]) -> list[tuple[int, int | float]]:
    """Of many points the means of neighbours, the ends kept."""
    if len(points) <= DRAWN:
        return points
    size = math.ceil(len(points) / DRAWN)
    groups = [points[at : at + size] for at in range(1, len(points) - 1, size)]
    means = [
        (group[len(group) // 2][0], math.fsum(value for _, value in group) / len(group)) for group in groups
    ]
    return [points[0], *means, points[-1]]


def round_steps(low: int | float, high: int | float, *, most: int = 6) -> list[int | float]:
    """At most so many and one round numbers that reach from below the least to above the largest.

    >>> round_steps(0, 1300), round_steps(0.11, 0.14)
    ([0, 250, 500, 750, 1000, 1250, 1500], [0.11, 0.12, 0.13, 0.14])
    """
    span = (high - low) or abs(high) or 1.0
    unit = 10.0 ** math.floor(math.log10(span / most))
    step = next(unit * each for each in (1, 2, 2.5, 5, 10, 20) if span / (unit * each) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    found = [round(number * step, 12) for number in range(first, last + 1)]
    return [int(each) if each == int(each) else each for each in found]


def _log_ticks(low: int | float, high: int | float) -> list[int | float]:
    decades = range(math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9) + 1)
    apart = math.ceil(len(decades) / 7)
    return [10.0**each for each in decades[::apart]]


def _said(name: str, points: list[tuple[int, int | float]]) -> str:
    (first, start), (last, end) = points[0], points[-1]
    best, least = min(points, key=lambda each: each[1])
    return (
        f"{name} from {figures(start, 3)} at step {first} to {figures(end, 3)} at step {last}, "
        f"least {figures(least, 3)} at step {best}"
    )
