"""Turn the record of what pixels of a generator depend on, and maps of it, into one HTML page."""

from collections.abc import Mapping
from typing import Any

import numpy
from numpy import ndarray

from upstroke.report.check_sections import badge
from upstroke.report.generate_trace_text import (
    WHOLE,
    agreement_words,
    between_words,
    pixel_words,
    reach_words,
)
from upstroke.report.html import page
from upstroke.report.inspect_text import figures
from upstroke.report.svg import Drawing, Mark, box

__all__ = ["generate_trace_page"]

Json = dict[str, Any]
# Pixels of the page: a map, and one of the sixteen small ones.
SIDE, SMALL = 320.0, 76.0
GREYS = 32


def generate_trace_page(record: Json, maps: Mapping[str, ndarray]) -> str:
    """Write an `upstroke.generate-trace/1` record as an HTML page.

    Args:
        record: plain data.
        maps: as `Traced.maps` has them.
    """
    made = record["generator"]
    words = between_words(record)
    return page(
        "generate_trace.html",
        {
            "title": f"{record['run']} – upstroke generate trace",
            "name": record["run"],
            "state": badge("error" if record["beyond"] else "ok" if record["agrees"] else "note"),
            "verdict": f"{words[0].upper()}{words[1:]}.",
            "where": f"{agreement_words(record)[0].upper()}{agreement_words(record)[1:]}.",
            "facts": [
                ("Upsampling", f"{made['method']}, kernel {made['kernel']}"),
                ("Picture", f"{'×'.join(map(str, record['size']))} pixels"),
                ("Measured in", f"{record['pictures']} pictures of seed {record['seed']}"),
            ],
            "whole": WHOLE,
            "seen": _seen_map(maps["seen"], record),
            "counts": [
                (each["cells"], f"{each['pixels']:,}", _measured(record, each["cells"]))
                for each in _all_counts(record)
            ],
            "reach": [_reach_box(each, record) for each in record["reach"]],
            "pixel": {"words": pixel_words(record["pixel"]), "panel": _pixel_map(record)},
            "cell": {"words": reach_words(record["cell"]), "panel": _cell_map(maps["change"], record)},
            "schema": record["schema"],
            "version": record["version"],
        },
    )


def _all_counts(record: Json) -> list[Json]:
    """Of every number of cells that either way found, how many pixels by algebra."""
    allowed = {each["cells"]: each["pixels"] for each in record["algebra"]["counts"]}
    every = sorted({*allowed, *(each["cells"] for each in record["measured"]["counts"])})
    return [{"cells": cells, "pixels": allowed.get(cells, 0)} for cells in every]


def _measured(record: Json, cells: int) -> str:
    found = {each["cells"]: each["pixels"] for each in record["measured"]["counts"]}
    return f"{found.get(cells, 0):,}"


def _paths(values: ndarray, side: float) -> dict[int, str]:
    """For each value a path of all its pixels, those beside each other in a row as one."""
    paths: dict[int, list[str]] = {}
    for row, line in enumerate(values.tolist()):
        start = 0
        for column in range(1, len(line) + 1):
            if column == len(line) or line[column] != line[start]:
                piece = box(start * side, row * side, (column - start) * side, side)
                paths.setdefault(line[start], []).append(piece)
                start = column
    return {value: "".join(each) for value, each in paths.items()}


def _cell_lines(record: Json, side: float) -> Mark:
    """Where the cells of the sketch lie in the picture."""
    rows, columns = record["cells"]
    lines = [f"M0 {side * row / rows:g}h{side:g}" for row in range(1, rows)]
    lines += [f"M{side * column / columns:g} 0v{side:g}" for column in range(1, columns)]
    return Mark(kind="cell-line", path="".join(lines))


def _seen_map(seen: ndarray, record: Json) -> Drawing:
    """How many cells each pixel depends on: the more, the darker, with the number in the largest areas."""
    side = SIDE / len(seen)
    most = int(seen.max())
    marks = [
        Mark(kind="grey", path=path, fill=_grey(1 - 0.75 * value / most))
        for value, path in sorted(_paths(seen, side).items())
    ]
    marks += [_cell_lines(record, SIDE), Mark(kind="frame", path=box(0.0, 0.0, SIDE, SIDE))]
    said = ", ".join(f"{each['pixels']} on {each['cells']}" for each in record["algebra"]["counts"])
    title = f"pixels by the number of cells they depend on: {said}"
    return Drawing(width=SIDE, height=SIDE, title=title, label="", marks=tuple(marks))


def _reach_box(reach: Json, record: Json) -> Json:
    """The pixels that one cell reaches, and where the cell itself lies."""
    high, wide = (SMALL / n for n in record["size"])
    (top, bottom), (left, right) = reach["rows"], reach["columns"]
    reached = box(left * wide, top * high, (right - left + 1) * wide, (bottom - top + 1) * high)
    row, column = reach["cell"]
    own = [SMALL / n for n in record["cells"]]
    marks = (
        Mark(kind="pass", path=box(0.0, 0.0, SMALL, SMALL)),
        Mark(kind="cell shade-4", path=reached),
        Mark(kind="own-cell", path=box(column * own[1], row * own[0], own[1], own[0])),
        Mark(kind="frame", path=box(0.0, 0.0, SMALL, SMALL)),
    )
    drawing = Drawing(width=SMALL, height=SMALL, title=reach_words(reach), label="", marks=marks)
    return {"panel": drawing, "words": f"{row},{column}: {reach['pixels']:,}"}


def _pixel_map(record: Json) -> Drawing:
    """The cells of one pixel, each with its share of the change, and where the pixel lies."""
    rows, columns = record["cells"]
    high, wide = SIDE / rows, SIDE / columns
    reads = {tuple(each["cell"]): each["share"] for each in record["pixel"]["reads"]}
    marks = []
    most = max(reads.values(), default=0.0) or 1.0
    for (row, column), share in reads.items():
        shade = 1 + min(3, int(4 * share / most))
        marks.append(Mark(kind=f"cell shade-{shade}", path=box(column * wide, row * high, wide, high)))
    marks.append(_cell_lines(record, SIDE))
    for (row, column), share in reads.items():
        at = ((column + 0.5) * wide, (row + 0.5) * high)
        marks.append(Mark(kind="number", x=at[0], y=at[1], words=f"{figures(100 * share, 2)} %"))
    x, y = ((n + 0.5) * SIDE / most for n, most in zip(reversed(record["pixel"]["pixel"]),
                                                       reversed(record["size"]), strict=True))  # fmt: skip
    marks.append(Mark(kind="own-cell", path=f"M{x - 5:g} {y:g}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z"))
    marks.append(Mark(kind="frame", path=box(0.0, 0.0, SIDE, SIDE)))
    title = pixel_words(record["pixel"])
    return Drawing(width=SIDE, height=SIDE, title=title, label="", marks=tuple(marks))


def _cell_map(change: ndarray, record: Json) -> Drawing:
    """How much one cell changes each pixel, and the border of what it can reach."""
    most = float(change.max()) or 1.0
    # roots: changes far from the cell are hundreds of times smaller
    levels = numpy.rint((GREYS - 1) * numpy.sqrt(change / most)).astype(int)
    side = SIDE / len(change)
    marks = [
        Mark(kind="grey", path=path, fill=_grey(1 - 0.9 * value / (GREYS - 1)))
        for value, path in sorted(_paths(levels, side).items())
    ]
    (top, bottom), (left, right) = record["cell"]["rows"], record["cell"]["columns"]
    reached = box(left * side, top * side, (right - left + 1) * side, (bottom - top + 1) * side)
    marks += [Mark(kind="own-cell", path=reached), Mark(kind="frame", path=box(0.0, 0.0, SIDE, SIDE))]
    title = reach_words(record["cell"])
    return Drawing(width=SIDE, height=SIDE, title=title, label="", marks=tuple(marks))


def _grey(level: float) -> str:
    return f"#{round(255 * level):02x}" + f"{round(255 * level):02x}" * 2
