"""Coarse fields and the fine ones that were written become how well block means and totals were kept.

Block means are summed here anew, in float64 throughout, and share no arithmetic with what is measured.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upstroke.apps.downscale.cells import Cells
from upstroke.apps.downscale.downscaler import Quantity

__all__ = ["Blocks", "Kept", "kept"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """What each coarse cell holds of fine fields.

    Attributes:
        coarse: the cells whose parts the fine ones are.
        factor: parts along y and x.
        quantity: whether a value is a mean over its cell or the total in it.
        fraction: of each fine cell, the part that is valid; None: all of it.
    """

    coarse: Cells
    factor: tuple[int, int]
    quantity: Quantity
    fraction: NDArray[np.float64] | None = None

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """What a coarse value counts in the total: valid area (ny, nx), or 1 where it is a total itself."""
        if self.quantity == "total":
            return np.ones(self.coarse.shape)
        return self._of_blocks

    def held(self, fine: NDArray[Any]) -> NDArray[np.float64]:
        """Means, or totals, of blocks of fine fields (..., fine y, fine x); NaN where a part has no value."""
        steps = fine.reshape(-1, *self._shape)
        held = np.empty((len(steps), *self.coarse.shape))
        for step, one in zip(steps, held, strict=True):
            one[...] = self._held(step)
        return held.reshape(*fine.shape[:-2], *self.coarse.shape)

    def _held(self, step: NDArray[Any]) -> NDArray[np.float64]:
        values = step.astype(np.float64)
        if self.fraction is not None:
            # what does not count may be NaN
            values = np.where(self.fraction > 0, values, 0.0)
            if self.quantity == "mean":
                values *= self.fraction
        sums = self._sums(values, by_area=self.quantity == "mean")
        if self.quantity == "mean":
            sums = np.divide(sums, self._of_blocks, out=sums, where=self._counts)
        if self.fraction is not None:
            sums[~self._counts] = np.nan
        return sums

    def _sums(self, values: NDArray[np.float64], *, by_area: bool) -> NDArray[np.float64]:
        """Sum over blocks, columns first, both as products of matrices, which are fast; weighted by area."""
        (ny, nx), (sy, sx) = self.coarse.shape, self.factor
        in_row = (values.reshape(-1, sx) @ np.ones(sx)).reshape(-1, nx)
        if any(self._dropped):
            in_row = np.pad(in_row, (self._dropped, (0, 0)))
        rows = self._rows if by_area else np.ones(ny * sy)
        sums: NDArray[np.float64] = (rows.reshape(ny, 1, sy) @ in_row.reshape(ny, sy, nx))[:, 0]
        return sums

    @cached_property
    def _of_blocks(self) -> NDArray[np.float64]:
        """Valid area of each block."""
        return self._sums(np.ones(self._shape) if self.fraction is None else self.fraction, by_area=True)

    @cached_property
    def _counts(self) -> NDArray[np.bool_]:
        return self._of_blocks > 0

    @cached_property
    def _rows(self) -> NDArray[np.float64]:
        """Area of a cell in each fine row, 0 in rows that were dropped."""
        fine = self.coarse.y.refined(self.factor[0])[0]
        column = self._columns[1]
        return np.pad(fine.weights, self._dropped) * column

    @cached_property
    def _columns(self) -> tuple[int, float]:
        """How many fine columns there are, and how wide they all are, in radians on the sphere."""
        width = float(self.coarse.x.weights[0]) / self.factor[1]
        on_sphere = self.coarse.x.kind == "longitude"
        return self.coarse.x.size * self.factor[1], float(np.deg2rad(width)) if on_sphere else width

    @cached_property
    def _dropped(self) -> tuple[int, int]:
        return self.coarse.y.refined(self.factor[0])[1]

    @cached_property
    def _shape(self) -> tuple[int, int]:
        return self.coarse.y.size * self.factor[0] - sum(self._dropped), self._columns[0]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a field held before and after; adding two gives that of all their steps.

    Attributes:
        difference: largest distance of a block mean, or total, from its coarse value, in units of the field.
        largest: largest coarse value, without its sign.
        before: sum over all coarse cells of value times valid area, or of the totals in them.
        after: the same sum over the fine cells.
        lost: coarse values that no valid fine cell could take.
        least: smallest coarse value; infinite where there is none.
        negative: fine values below zero, counted in steps whose coarse values are not.
    """

    difference: float = 0.0
    largest: float = 0.0
    before: float = 0.0
    after: float = 0.0
    lost: int = 0
    least: float = math.inf
    negative: int = 0

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(
            difference=max(self.difference, other.difference),
            largest=max(self.largest, other.largest),
            before=self.before + other.before,
            after=self.after + other.after,
            lost=self.lost + other.lost,
            least=min(self.least, other.least),
            negative=self.negative + other.negative,
        )

    @property
    def new_below_zero(self) -> int:
        """Fine values below zero of a field that is nowhere below it."""
        return self.negative if self.least >= 0 else 0

    @property
    def error(self) -> float:
        """Largest error of a block, relative to the largest coarse value."""
        return self.difference / self.largest if self.largest > 0 else self.difference


def kept(blocks: Blocks, coarse: NDArray[Any], fine: NDArray[Any]) -> Kept:
    """Measure what was written: fine fields (..., fine y, fine x) against the coarse ones (..., y, x)."""
    wanted, means = np.asarray(coarse, np.float64), blocks.held(fine)
    known = np.isfinite(wanted)
    both = known & np.isfinite(means)
    least = float(wanted.min(where=known, initial=math.inf))
    # a temperature in degrees Celsius may be what it likes; an amount of rain may not
    negative = int((fine < 0).sum()) if least >= 0 else 0
    if both.all():
        return Kept(
            least=least,
            negative=negative,
            difference=float(np.abs(means - wanted).max(initial=0.0)),
            largest=float(np.abs(wanted).max(initial=0.0)),
            before=float((wanted * blocks.weights).sum()),
            after=float((means * blocks.weights).sum()),
        )
    return Kept(
        least=least,
        negative=negative,
        difference=float(np.abs(means - wanted).max(where=both, initial=0.0)),
        largest=float(np.abs(wanted).max(where=both, initial=0.0)),
        before=float(np.where(known, wanted * blocks.weights, 0.0).sum()),
        after=float(np.where(both, means * blocks.weights, 0.0).sum()),
        lost=int((known & ~both).sum()),
    )
