"""Turn amounts of two sets, beside what chance gives, into one line for each on a log axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from upstroke.report.inspect_text import figures
from upstroke.report.svg import Drawing, Mark, box

__all__ = ["Amount", "amounts"]

LEFT, WIDE, ROW, RIGHT, BELOW, ABOVE = 104.0, 330.0, 34.0, 22.0, 24.0, 22.0
SIDE = 5.0
# Decades below the largest at which smaller amounts stand.
DECADES = 4


@dataclass(frozen=True, kw_only=True)
class Amount:
    """One line: a name, the amounts of samples and of real pictures, and what chance stays below."""

    name: str
    samples: float
    real: float
    chance: float
    is_marked: bool


def amounts(rows: Sequence[Amount], *, label: str) -> Drawing | None:
    """Draw chance as a bar, real pictures as a ring and samples as a dot, or a square where they are marked.

    >>> row = Amount(name="period 2", samples=1.0, real=0.1, chance=0.2, is_marked=True)
    >>> amounts([row], label="levels").title
    'levels: period 2: samples 1, real pictures 0.1, chance up to 0.2'
    """
    positive = [each for row in rows for each in (row.samples, row.real, row.chance) if each > 0]
    if not positive:
        return None
    last = math.ceil(math.log10(max(positive)) - 1e-9)
    first = min(max(math.floor(math.log10(min(positive)) + 1e-9), last - DECADES), last - 1)

    def place(value: float) -> float:
        share = (math.log10(value) - first) / (last - first) if value > 0 else 0.0
        return LEFT + WIDE * min(1.0, max(0.0, share))

    bottom = ABOVE + ROW * len(rows)
    marks = [
        Mark(kind="grid", path=f"M{place(10.0**at):.5g} {ABOVE:g}V{bottom:g}")
        for at in range(first, last + 1)
    ]
    for number, row in enumerate(rows):
        y = ABOVE + ROW * (number + 0.5)
        kind = "found" if row.is_marked else "dot"
        x = place(row.samples)
        shape = box(x - SIDE, y - SIDE, 2 * SIDE) if row.is_marked else _round(x, y)
        marks += [
            Mark(kind="rail", path=box(LEFT, y - 8, max(place(row.chance) - LEFT, 1.0), 16.0)),
            Mark(kind="name", x=LEFT - 10, y=y, words=row.name),
            Mark(kind="outline", path=_round(place(row.real), y)),
            Mark(kind=kind, path=shape),
        ]
    marks += _key(any(row.is_marked for row in rows))
    marks += [
        Mark(kind="index", x=place(10.0**at), y=bottom + 12, words=figures(10.0**at, 2))
        for at in range(first, last + 1)
    ]
    said = "; ".join(
        f"{row.name}: samples {figures(row.samples, 3)}, real pictures {figures(row.real, 3)}, "
        f"chance up to {figures(row.chance, 3)}"
        for row in rows
    )
    return Drawing(
        width=LEFT + WIDE + RIGHT, height=bottom + BELOW, title=f"{label}: {said}", label=label,
        marks=tuple(marks),
    )  # fmt: skip


def _key(is_marked: bool) -> list[Mark]:
    y = 8.0
    shape = box(LEFT, y - SIDE, 2 * SIDE) if is_marked else _round(LEFT + SIDE, y)
    return [
        Mark(kind="found" if is_marked else "dot", path=shape),
        Mark(kind="start small", x=LEFT + 16, y=y, words="samples"),
        Mark(kind="outline", path=_round(LEFT + 90, y)),
        Mark(kind="start small", x=LEFT + 101, y=y, words="real pictures"),
        Mark(kind="rail", path=box(LEFT + 200, y - 6, 22.0, 12.0)),
        Mark(kind="start small", x=LEFT + 228, y=y, words="chance, 95 %"),
    ]


def _round(x: float, y: float) -> str:
    half = f"a{SIDE:g} {SIDE:g} 0 1 0"
    return f"M{x - SIDE:.5g} {y:.5g}{half} {2 * SIDE:g} 0{half} {-2 * SIDE:g} 0z"
