"""Turn a slice with its true and predicted labels into an image and lines along the sides of its voxels."""

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import MissingExtraError

__all__ = ["Overlay", "outline", "overlay"]

Point: TypeAlias = tuple[int, int]
# Pixels that a picture is wide, and that it is high at most.
WIDE, HIGH = 320.0, 440.0
# Half the height of a mark with its edge.
HALF = 10.0


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """A picture with two sets of lines over it, in pixels.

    Attributes:
        width: of the picture.
        height: of the picture.
        image: a data URI.
        true: path of the lines between regions of the true labels.
        predicted: likewise of the predicted ones.
        marks: words with a place in the true region that they name.
        sides: words with a place and how they are aligned: what lies at the sides of the picture.
    """

    width: float
    height: float
    image: str
    true: str
    predicted: str
    marks: tuple[tuple[str, float, float], ...]
    sides: tuple[tuple[str, float, float], ...]


def overlay(picture: Mapping[str, Any], *, is_marked: bool) -> Overlay:
    """Draw one picture of an evaluation.

    Args:
        picture: as `Evaluation.pictures` has them.
        is_marked: whether classes are named by their numbers.

    Raises:
        MissingExtraError: pillow is not installed.
    """
    rows, columns = picture["true"].shape
    lengths = rows * picture["spacing"][0], columns * picture["spacing"][1]
    scale = min(WIDE / lengths[1], HIGH / lengths[0])
    high, wide = (each * scale for each in lengths)
    step = high / rows, wide / columns
    left, top, right, bottom = picture["sides"] or ("",) * 4
    ends = (
        (left, 12.0, high / 2),
        (top, wide / 2, 14.0),
        (right, wide - 12, high / 2),
        (bottom, wide / 2, high - 12),
    )
    return Overlay(
        width=round(wide, 1),
        height=round(high, 1),
        image=_uri(picture["image"]),
        true=_path(picture["true"], step),
        predicted=_path(picture["predicted"], step),
        marks=tuple(
            (str(number), _within(column * step[1], wide), _within(row * step[0], high))
            for number, row, column in picture["marks"]
        )
        if is_marked
        else (),
        sides=tuple(each for each in ends if each[0]),
    )


def _within(place: float, length: float) -> float:
    """Where a mark is whole in the picture, as near to its place as may be."""
    return min(max(place, HALF), length - HALF)


def outline(labels: NDArray[np.integer[Any]]) -> Iterator[list[Point]]:
    """Corners of the lines between voxels of different labels, as few lines as the walk finds.

    >>> list(outline(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])))
    [[(1, 1), (1, 2), (2, 2), (2, 1), (1, 1)]]
    """
    ways: dict[Point, list[Point]] = {}
    across = [(int(r) + 1, int(c)) for r, c in np.argwhere(labels[1:] != labels[:-1])]
    along = [(int(r), int(c) + 1) for r, c in np.argwhere(labels[:, 1:] != labels[:, :-1])]
    sides = [((r, c), (r, c + 1)) for r, c in across] + [((r, c), (r + 1, c)) for r, c in along]
    for one, other in sides:
        ways.setdefault(one, []).append(other)
        ways.setdefault(other, []).append(one)
    # lines that end somewhere, at a side of the picture or where three regions meet, are walked from there
    for start in [*(each for each, ends in ways.items() if len(ends) % 2), *ways]:
        while ways[start]:
            yield _corners(_walk(start, ways))


def _walk(start: Point, ways: dict[Point, list[Point]]) -> list[Point]:
    found = [start]
    while ways[found[-1]]:
        here = found[-1]
        there = ways[here].pop(0)
        ways[there].remove(here)
        found.append(there)
    return found


def _corners(points: list[Point]) -> list[Point]:
    """Only where the line turns, and its ends."""
    inner = [
        here
        for before, here, after in zip(points, points[1:], points[2:], strict=False)
        if (here[0] - before[0], here[1] - before[1]) != (after[0] - here[0], after[1] - here[1])
    ]
    return [points[0], *inner, points[-1]]


def _path(labels: NDArray[np.integer[Any]], step: tuple[float, float]) -> str:
    lines = []
    for line in outline(labels):
        lines.append("M" + "L".join(f"{column * step[1]:.5g} {row * step[0]:.5g}" for row, column in line))
    return "".join(lines)


def _uri(image: NDArray[np.uint8]) -> str:
    try:
        from PIL import Image
    except ImportError as error:
        msg = "pictures of cases need the package pillow; pip install 'upstroke[medical]'"
        raise MissingExtraError(msg) from error
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
