"""Turn levels over frequencies, and what is missing at a border, into small plots."""

from collections.abc import Sequence

from upstroke.report.inspect_text import figures
from upstroke.report.svg import Drawing, Mark, box

__all__ = ["border_frame", "response_curves"]

LEFT, TOP, WIDE, HIGH = 40.0, 20.0, 260.0, 120.0
LOW, STEP = -80, 20
NYQUIST = 0.5


def response_curves(
    frequency: Sequence[int | float],
    levels: Sequence[tuple[str, Sequence[int | float | None]]],
    *,
    scale: int,
) -> Drawing:
    """Draw levels in dB over cycles per output sample, the lower half of the band and its replicas marked.

    Args:
        frequency: in cycles per output sample, from 0 to 1/2.
        levels: a name, empty for a single curve, and a level at each frequency.
        scale: output samples per input cell, which says where replicas stand.
    """

    def x(turns: int | float) -> float:
        return LEFT + WIDE * turns / NYQUIST

    def y(decibel: int | float) -> float:
        return TOP + HIGH * max(LOW, min(0.0, decibel)) / LOW

    quarter = 1 / (4 * scale)
    bands = [(j / scale - quarter, min(NYQUIST, j / scale + quarter)) for j in range(1, scale // 2 + 1)]
    marks = [
        Mark(kind="rail", path=box(LEFT, TOP, WIDE, HIGH)),
        Mark(kind="pass", path=box(LEFT, TOP, x(quarter) - LEFT, HIGH)),
        Mark(kind="index", x=max(x(quarter / 2), LEFT + 16), y=TOP - 9, words="input"),
    ]
    if bands:
        path = "".join(box(x(first), TOP, x(last) - x(first), HIGH) for first, last in bands)
        words = "replica" if len(bands) == 1 else "replicas"
        marks.append(Mark(kind="over warning", path=path))
        marks.append(Mark(kind="index", x=x(sum(bands[-1]) / 2), y=TOP - 9, words=words))
    decibels, turns = range(LOW, 1, STEP), (0.0, 0.125, 0.25, 0.375, 0.5)
    ticks = [f"M{LEFT - 4:g} {y(each):.5g}h4" for each in decibels]
    ticks += [f"M{x(each):.5g} {TOP + HIGH:g}v4" for each in turns]
    marks.append(Mark(kind="tick", path="".join(ticks)))
    marks += [Mark(kind="axis", x=LEFT - 8, y=y(each), words=figures(float(each))) for each in decibels]
    marks += [Mark(kind="index", x=x(each), y=TOP + HIGH + 13, words=figures(each, 3)) for each in turns]
    for number, (name, level) in enumerate(levels):
        points = [
            f"{x(at):.4g} {y(LOW if decibel is None else decibel):.4g}"
            for at, decibel in zip(frequency, level, strict=True)
        ]
        marks.append(Mark(kind=f"curve curve-{number % 3}", path=f"M{'L'.join(points)}"))
        if name:
            at = TOP + HIGH - 12 - 14 * (len(levels) - 1 - number)
            marks.append(Mark(kind=f"curve curve-{number % 3}", path=f"M{LEFT + 8:g} {at:g}h22"))
            marks.append(Mark(kind="start small", x=LEFT + 36, y=at, words=name))
    said = "; ".join(_loudest(name, frequency, level, bands) for name, level in levels) if bands else ""
    return Drawing(
        width=LEFT + WIDE + 12, height=TOP + HIGH + 24, label="", marks=tuple(marks),
        title=f"frequency response in dB over cycles per output sample{said and '; ' + said}",
    )  # fmt: skip


def _loudest(
    name: str,
    frequency: Sequence[int | float],
    level: Sequence[int | float | None],
    bands: Sequence[tuple[float, float]],
) -> str:
    heard = [
        value
        for turns, value in zip(frequency, level, strict=True)
        if value is not None and any(first <= turns <= last for first, last in bands)
    ]
    loud = (
        f"up to {figures(max(heard), 3)} dB where replicas stand"
        if heard
        else "no level where replicas stand"
    )
    return f"{name}: {loud}" if name else loud


def border_frame(missing: Sequence[Sequence[int | float | None]]) -> Drawing | None:
    """Draw what is missing of a constant at the ends of the last two axes, as dark edges of a map.

    >>> border_frame([[0.5, 0.0]]).title
    'missing of a constant: axis 0 50 % at its start, 0 % at its end'
    """
    if not missing or any(each is None for ends in missing for each in ends):
        return None
    left, top, side, edge = 58.0, 24.0, 120.0, 14.0
    rows, columns = missing[-2] if len(missing) > 1 else (0.0, 0.0), missing[-1]
    high = side if len(missing) > 1 else side / 2
    edges = (
        (columns[0], box(left, top, edge, high), (left - 8, top + high / 2, "axis")),
        (
            columns[1],
            box(left + side - edge, top, edge, high),
            (left + side + 8, top + high / 2, "start small"),
        ),
        (rows[0], box(left, top, side, edge), (left + side / 2, top - 11, "index")),
        (rows[1], box(left, top + high - edge, side, edge), (left + side / 2, top + high + 12, "index")),
    )
    marks = [Mark(kind="rail", path=box(left, top, side, high))]
    for part, path, (x, y, kind) in edges[: 4 if len(missing) > 1 else 2]:
        share = min(1.0, max(0.0, float(part or 0.0)))
        shade = 0 if share == 0 else 1 + min(3, int(4 * share))
        if shade:
            marks.append(Mark(kind=f"dark-{shade}", path=path))
        marks.append(Mark(kind=kind, x=x, y=y, words=f"{figures(100 * share, 3)} %"))
    marks.append(Mark(kind="frame", path=box(left, top, side, high)))
    said = ", ".join(
        f"axis {axis} {figures(100 * float(ends[0] or 0), 3)} % at its start, "
        f"{figures(100 * float(ends[1] or 0), 3)} % at its end"
        for axis, ends in enumerate(missing)
    )
    return Drawing(
        width=left + side + 58, height=top + high + 24, label="", marks=tuple(marks),
        title=f"missing of a constant: {said}",
    )  # fmt: skip
