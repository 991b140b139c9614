"""Turn the grids of maps into combs of sample positions over the pixels of the input."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from upstroke.report.inspect_text import figures
from upstroke.report.svg import Drawing, Mark, box

__all__ = ["Comb", "combs"]

LEFT, WIDE, ROW = 84.0, 250.0, 26.0
# Input pixels that are shown, and spacings beyond the samples that are compared.
LEAST, BEYOND = 8.0, 1.5
LETTERS = 12


@dataclass(frozen=True, kw_only=True)
class Comb:
    """Samples of one map along one axis: sample i at offset + spacing * i, in input pixels."""

    name: str
    offset: float
    spacing: float


def combs(rows: Sequence[Comb], *, axis: str, drift: str = "") -> Drawing:
    """Draw how samples of each map sit over the pixels of the input, sample 0 of each joined by a line.

    >>> row = Comb(name="up", offset=-0.25, spacing=0.5)
    >>> combs([row], axis="").title
    'samples over input pixels: up from −0.25 every 0.5'
    """
    offsets, spacing = [row.offset for row in rows], max(row.spacing for row in rows)
    start = math.floor(min(0.0, *offsets) - min(BEYOND * spacing, LEAST / 2) + 0.5) - 0.5
    end = max(max(offsets) + BEYOND * spacing, start + LEAST)
    end = math.ceil(end - 0.5) + 0.5
    cell = WIDE / (end - start)

    def place(at: int | float) -> float:
        return LEFT + (at - start) * cell

    marks = [
        Mark(kind="name", x=LEFT - 8, y=9.0, words="input px"),
        Mark(kind="rail", path=box(LEFT, 2.0, WIDE, 14.0)),
    ]
    pixels = round(end - start)
    if cell >= 5:
        cuts = "".join(f"M{LEFT + each * cell:.5g} 2v14" for each in range(1, pixels))
        marks.append(Mark(kind="cut", path=cuts))
    every = next(n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if n * cell >= 26)
    for pixel in range(math.ceil(start), math.ceil(end)):
        if pixel % every == 0:
            words = figures(float(pixel))
            marks.append(Mark(kind="pixel", x=place(pixel), y=9.0, words=words))
    for number, row in enumerate(rows):
        marks += _row(row, 16.0 + ROW * (number + 0.5) + 4, start=start, end=end, cell=cell)
    if len(rows) == 2 and rows[0].offset != rows[1].offset:
        high, low = (16.0 + ROW * (number + 0.5) + 4 for number in (0, 1))
        marks.append(
            Mark(kind="link", path=f"M{place(offsets[0]):.5g} {high:g}L{place(offsets[1]):.5g} {low:g}")
        )
    bottom = 16.0 + ROW * len(rows) + 6
    told = "; ".join(f"{row.name} from {figures(row.offset)} every {figures(row.spacing)}" for row in rows)
    label = ", ".join(each for each in (axis, drift) if each)
    return Drawing(
        width=LEFT + WIDE + 4, height=bottom, label=label, marks=tuple(marks),
        title=f"samples over input pixels{', ' + label if label else ''}: {told}",
    )  # fmt: skip


def _row(row: Comb, y: float, *, start: float, end: float, cell: float) -> list[Mark]:
    name = row.name if len(row.name) <= LETTERS else f"…{row.name[1 - LETTERS :]}"
    first = math.ceil((start - row.offset) / row.spacing)
    last = math.floor((end - row.offset) / row.spacing)
    zero = LEFT + (row.offset - start) * cell
    marks = [
        Mark(kind="name", x=LEFT - 8, y=y, words=name),
        Mark(kind="tick", path=f"M{LEFT:g} {y:g}h{WIDE:g}"),
    ]
    if (last - first + 1) * 3 <= WIDE:
        ticks = [
            f"M{LEFT + (row.offset + row.spacing * index - start) * cell:.5g} {y - 6:g}v12"
            for index in range(first, last + 1)
        ]
        marks.append(Mark(kind="sample", path="".join(ticks)))
    return [*marks, Mark(kind="zero", path=f"M{zero - 4:.5g} {y:g}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z")]
