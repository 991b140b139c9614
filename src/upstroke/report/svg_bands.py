"""Turn decibels over frequency into curves, each with a band around it."""

from collections.abc import Sequence
from dataclasses import dataclass

from upstroke.report.inspect_text import figures
from upstroke.report.svg import Drawing, Mark, box
from upstroke.report.svg_lines import round_steps

__all__ = ["Band", "bands"]

LEFT, TOP, WIDE, HIGH, BELOW = 48.0, 26.0, 400.0, 210.0, 40.0
Levels = Sequence[float | None]


@dataclass(frozen=True, kw_only=True)
class Band:
    """A curve by name, and what 90 per cent of its pictures lie between; None where there is no number."""

    name: str
    level: Levels
    low: Levels
    high: Levels


def bands(
    frequency: Sequence[float], curves: Sequence[Band], *, high_from: float, label: str
) -> Drawing | None:
    """Draw curves in dB over cycles per pixel, and where frequencies count as high.

    >>> curve = Band(name="samples", level=[0.0, -3.0], low=[-1.0, -6.0], high=[1.0, None])
    >>> bands([0.1, 0.5], [curve], high_from=0.25, label="power, dB").title
    'power, dB: samples from 0 at 0.1 to −3 at 0.5 cycles per pixel'
    """
    numbers = [
        each
        for curve in curves
        for part in (curve.level, curve.low, curve.high)
        for each in part
        if each is not None
    ]
    if not numbers:
        return None
    ticks = round_steps(min(numbers), max(numbers), most=6)
    low, high = float(ticks[0]), float(ticks[-1])
    last = max(frequency)

    def x(turns: float) -> float:
        return LEFT + WIDE * turns / last

    def y(decibel: int | float) -> float:
        return TOP + HIGH * (high - decibel) / (high - low)

    across = [each / 10 for each in range(8) if each / 10 <= last]
    marks = [
        Mark(kind="over note", path=box(x(high_from), TOP, LEFT + WIDE - x(high_from), HIGH)),
        Mark(kind="index", x=(x(high_from) + LEFT + WIDE) / 2, y=TOP + 12, words="high frequencies"),
        Mark(kind="grid", path="".join(f"M{LEFT:g} {y(each):.5g}h{WIDE:g}" for each in ticks)),
        Mark(kind="tick", path="".join(f"M{x(each):.5g} {TOP + HIGH:g}v4" for each in across)),
    ]
    marks += [Mark(kind="axis", x=LEFT - 8, y=y(each), words=figures(float(each), 3)) for each in ticks]
    marks += [Mark(kind="index", x=x(each), y=TOP + HIGH + 13, words=figures(each, 2)) for each in across]
    marks.append(Mark(kind="index", x=LEFT + WIDE / 2, y=TOP + HIGH + 30, words="cycles per pixel"))
    for number, curve in enumerate(curves):
        edges = [
            (turns, one, other)
            for turns, one, other in zip(frequency, curve.low, curve.high, strict=True)
            if one is not None and other is not None
        ]
        if edges:
            there = [f"{x(turns):.5g} {y(other):.5g}" for turns, _, other in edges]
            back = [f"{x(turns):.5g} {y(one):.5g}" for turns, one, _ in reversed(edges)]
            marks.append(Mark(kind=f"band band-{number % 2}", path=f"M{'L'.join([*there, *back])}z"))
    for number, curve in enumerate(curves):
        points = [
            f"{x(turns):.5g} {y(level):.5g}"
            for turns, level in zip(frequency, curve.level, strict=True)
            if level is not None
        ]
        if points:
            marks.append(Mark(kind=f"curve curve-{number % 2}", path=f"M{'L'.join(points)}"))
        at = LEFT + 150 * number
        marks.append(Mark(kind=f"curve curve-{number % 2}", path=f"M{at:g} 10h24"))
        marks.append(Mark(kind="start small", x=at + 30, y=10.0, words=curve.name))
    said = "; ".join(filter(None, (_said(frequency, curve) for curve in curves)))
    return Drawing(
        width=LEFT + WIDE + 12, height=TOP + HIGH + BELOW, title=f"{label}: {said} cycles per pixel",
        label=label, marks=tuple(marks),
    )  # fmt: skip


def _said(frequency: Sequence[float], curve: Band) -> str:
    known = [(turns, level) for turns, level in zip(frequency, curve.level, strict=True) if level is not None]
    if not known:
        return ""
    (first, start), (last, end) = known[0], known[-1]
    return (
        f"{curve.name} from {figures(start, 3)} at {figures(first, 2)} to {figures(end, 3)} "
        f"at {figures(last, 2)}"
    )
