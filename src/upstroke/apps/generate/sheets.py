"""Pictures of one size become one picture, in rows and columns."""

import numpy
from jaxtyping import UInt8
from numpy.typing import NDArray

from upstroke.errors import OptionError

__all__ = ["columns_for", "sheet"]

# Pixels between pictures, and their level.
GAP, LEVEL = 2, 255


def columns_for(count: int) -> int:
    """Columns of a sheet that is about as wide as high, at least as wide.

    >>> [columns_for(count) for count in (1, 3, 10, 64)]
    [1, 2, 4, 8]
    """
    columns = 1
    while columns * columns < count:
        columns += 1
    return columns


def sheet(
    pictures: UInt8[numpy.ndarray, "n channels height width"], *, columns: int | None = None, gap: int = GAP
) -> UInt8[NDArray[numpy.uint8], "rows columns *rgb"]:
    """All pictures in rows, from left to right, pixel by pixel; white between them and where none is left.

    Args:
        pictures: levels, grey or red, green and blue.
        columns: how many stand in a row; about as many as rows unless given.
        gap: pixels between two.

    Returns:
        grey levels by row and column, or red, green and blue.

    Raises:
        OptionError: there is no picture, or no column.

    >>> sheet(numpy.zeros((3, 1, 4, 6), numpy.uint8), gap=2).shape
    (10, 14)
    """
    count, channels, height, width = pictures.shape
    columns = columns_for(count) if columns is None else columns
    if count < 1 or columns < 1 or gap < 0:
        msg = (
            "a sheet has 1 or more pictures in 1 or more columns; "
            f"got {count} pictures, {columns} columns and a gap of {gap}"
        )
        raise OptionError(msg)
    columns = min(columns, count)
    rows = -(-count // columns)
    made = numpy.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, channels), LEVEL, numpy.uint8
    )
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        top, left = row * (height + gap), column * (width + gap)
        made[top : top + height, left : left + width] = numpy.moveaxis(picture, 0, -1)
    return made[..., 0] if channels == 1 else made
