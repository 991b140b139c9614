"""Turn numbers of many cases into one strip of dots for each class, over an axis with round numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from upstroke.report.svg import Drawing, Mark, box
from upstroke.report.svg_lines import round_steps

__all__ = ["Strip", "strips"]

WIDE, ROW, LEFT, RIGHT, BELOW = 460.0, 64.0, 10.0, 14.0, 22.0


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One row: a name, the numbers, and the quartiles that are marked."""

    name: str
    values: Sequence[float]
    quartiles: tuple[float, float, float]
    words: str


def strips(rows: Sequence[Strip], *, limits: tuple[float, float] | None, label: str) -> Drawing | None:
    """Draw a dot for each number, over a box from quartile to quartile with the median in it.

    Args:
        rows: in order.
        limits: ends of the axis; None: round numbers from 0 beyond the largest.
        label: what the numbers are.

    >>> drawing = strips([Strip(name="a", values=[1.0, 3.0], quartiles=(1.5, 2.0, 2.5), words="median 2")],
    ...                  limits=None, label="distance, mm")
    >>> drawing.title
    'distance, mm: a, median 2'
    """
    every = [value for row in rows for value in row.values]
    if not every:
        return None
    ticks = round_steps(*(limits or (0.0, max(every) or 1.0)), most=5)
    low, high = ticks[0], ticks[-1]
    inner = WIDE - LEFT - RIGHT

    def place(value: int | float) -> float:
        return LEFT + inner * (value - low) / (high - low)

    bottom = ROW * len(rows)
    marks = [Mark(kind="grid", path=f"M{place(tick):.5g} 0V{bottom:g}") for tick in ticks]
    for number, row in enumerate(rows):
        y = ROW * number
        lower, median, upper = (place(each) for each in row.quartiles)
        marks += [
            Mark(kind="start", x=LEFT, y=y + 12, words=row.name),
            Mark(kind="level small", x=WIDE - RIGHT, y=y + 12, words=row.words),
            Mark(kind="cell shade-2", path=box(lower, y + 26, max(upper - lower, 1.0), 26.0)),
            *(
                Mark(kind="case", path=_dot(place(each), y + 39 + _apart(at)))
                for at, each in enumerate(row.values)
            ),
            Mark(kind="median", path=f"M{median:.5g} {y + 23:g}v32"),
        ]
    marks += [Mark(kind="index", x=place(tick), y=bottom + 12, words=f"{tick:g}") for tick in ticks]
    said = "; ".join(f"{row.name}, {row.words}" for row in rows)
    return Drawing(
        width=WIDE, height=bottom + BELOW, title=f"{label}: {said}", label=label, marks=tuple(marks)
    )  # fmt: skip


def _apart(number: int) -> float:
    """Up or down a little, so that cases of one score are seen one by one."""
    return (-9.0, 3.0, -3.0, 9.0, 0.0, -6.0, 6.0)[number % 7]


def _dot(x: float, y: float) -> str:
    return f"M{x - 2.5:.5g} {y:.5g}a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0 -5 0z"
