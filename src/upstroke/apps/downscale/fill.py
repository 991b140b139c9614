"""Cells without a value are given one by the valid cells around them, so that a kernel may read over a coast.

Outwards from the coast, ring by ring, each cell takes the weighted mean of those of its eight neighbours
that have a value already: a side counts 1, a corner 1/2. So what is filled lies within the range of what is
beside it, and a sea is continued by its own shore: another sea comes in only where the two continuations
meet. What stood in a cell without a value never matters.

Measured on two global days of SST at 0.25 degrees, coarsened by 4 and refined again by the conserving
cubic: RMSE in K, weighted by area, over the fine cells of those coarse cells that have land within their 3
x 3 neighbourhood; with the fine mask, in brackets without it.

    fill                                   2021-10-25        2016-01-16
    nearest valid cell                     0.163 (0.190)     0.178 (0.219)
    these rings                            0.160 (0.180)     0.173 (0.208)
    harmonic, the solution of Laplace      0.159 (0.182)     0.172 (0.210)

The harmonic fill gains one per cent at most where the fine mask is known and loses one where it is not; it
takes a sparse solve for every new mask and lets every sea look at every other one. The rings take neither.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import ShapeError

__all__ = ["LandFill", "land_fill"]

# The eight neighbours of a cell as steps in y and x, and what each counts.
_NEIGHBOURS = (
    (0, -1, 1.0),
    (0, 1, 1.0),
    (-1, 0, 1.0),
    (1, 0, 1.0),
    (-1, -1, 0.5),
    (-1, 1, 0.5),
    (1, -1, 0.5),
    (1, 1, 0.5),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ring:
    """Cells that are filled at once, by their number in the map, and what each is the mean of."""

    cells: NDArray[np.intp]
    neighbours: NDArray[np.intp]  # (8, cells); one that does not count is any cell
    weights: NDArray[np.float64]  # (8, cells), their sum 1


@dataclass(frozen=True, kw_only=True, eq=False)
class LandFill:
    """A linear operator that fills the cells of one mask; made by `land_fill`."""

    valid: NDArray[np.bool_]
    rings: tuple[_Ring, ...]

    def __call__(self, fields: NDArray[np.floating]) -> NDArray[np.float64]:
        """Fill fields (..., y, x), whose valid cells are those of the mask; zero if no cell is valid.

        Raises:
            ShapeError: the fields are not on the cells of the mask.
        """
        if fields.shape[-2:] != self.valid.shape:
            msg = f"the fields must end in the axes {self.valid.shape} of the mask; got shape {fields.shape}"
            raise ShapeError(msg)
        steps = fields.reshape(-1, *self.valid.shape)
        filled = self.steps_last(np.moveaxis(steps, 0, -1))
        return np.ascontiguousarray(np.moveaxis(filled, -1, 0)).reshape(fields.shape)

    def steps_last(self, fields: NDArray[np.floating]) -> NDArray[np.float64]:
        """Fill fields (y, x, steps): a ring gathers whole rows, the numbers of all steps side by side."""
        filled = np.where(self.valid[..., None], fields, 0.0)
        by_cell = filled.reshape(self.valid.size, -1)
        for ring in self.rings:
            mean = ring.weights[0, :, None] * by_cell[ring.neighbours[0]]
            for neighbour, weight in zip(ring.neighbours[1:], ring.weights[1:], strict=True):
                mean += weight[:, None] * by_cell[neighbour]
            by_cell[ring.cells] = mean
        return filled


def land_fill(valid: NDArray[np.bool_], *, is_periodic: tuple[bool, bool] = (False, False)) -> LandFill:
    """The fill of a mask (y, x) that is true where there is a value.

    Args:
        valid: where there is a value.
        is_periodic: per axis, whether its last cell and its first are neighbours.

    >>> fill = land_fill(np.array([[True, False, False, True]]))
    >>> fill(np.array([[1.0, np.nan, np.inf, 4.0]])).tolist()
    [[1.0, 1.0, 4.0, 4.0]]
    """
    known = np.ascontiguousarray(valid).ravel().copy()
    return LandFill(valid=valid.copy(), rings=tuple(_rings(known, valid.shape, is_periodic)))


def _rings(
    known: NDArray[np.bool_], shape: tuple[int, int], is_periodic: tuple[bool, bool]
) -> Iterator[_Ring]:
    """Grow what is known ring by ring until nothing is left, marking it on the way."""
    front = np.flatnonzero(known)
    if front.size == known.size:
        return
    while front.size:
        reached, inside = _neighbours(front, shape, is_periodic)
        cells = np.unique(reached[inside & ~known[reached]])
        neighbours, inside = _neighbours(cells, shape, is_periodic)
        counts = np.array([weight for *_, weight in _NEIGHBOURS])[:, None]
        weights = counts * (inside & known[neighbours])
        if cells.size:
            yield _Ring(cells=cells, neighbours=neighbours, weights=weights / weights.sum(axis=0))
        known[cells] = True
        front = cells


def _neighbours(
    cells: NDArray[np.intp], shape: tuple[int, int], is_periodic: tuple[bool, bool]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Number the eight neighbours (8, cells) of cells, and say which of them are in the map."""
    number = np.zeros((len(_NEIGHBOURS), cells.size), dtype=np.intp)
    inside = np.ones(number.shape, dtype=np.bool_)
    for axis, (place, size) in enumerate(zip(np.unravel_index(cells, shape), shape, strict=True)):
        steps = np.array([neighbour[axis] for neighbour in _NEIGHBOURS])[:, None]
        there = place + steps
        if not is_periodic[axis]:
            inside &= (there >= 0) & (there < size)
        number = number * size + there % size
    return number, inside
