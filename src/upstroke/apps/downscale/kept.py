"""Coarse fields and the fine ones that were written become how well block means and totals were kept."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upstroke.apps.downscale.plan import Refiner

__all__ = ["Kept", "kept"]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a field held before and after; adding two gives that of all their steps.

    Attributes:
        difference: largest distance of a block mean, or total, from its coarse value, in units of the field.
        largest: largest coarse value, without its sign.
        before: sum over all coarse cells of value times valid area, or of the totals in them.
        after: the same sum over the fine cells.
        lost: coarse values that no valid fine cell could take.
    """

    difference: float = 0.0
    largest: float = 0.0
    before: float = 0.0
    after: float = 0.0
    lost: int = 0

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(
            difference=max(self.difference, other.difference),
            largest=max(self.largest, other.largest),
            before=self.before + other.before,
            after=self.after + other.after,
            lost=self.lost + other.lost,
        )

    @property
    def error(self) -> float:
        """Largest error of a block, relative to the largest coarse value."""
        return self.difference / self.largest if self.largest > 0 else self.difference


def kept(refiner: Refiner, coarse: NDArray[Any], fine: NDArray[Any]) -> Kept:
    """Measure what was written: fine fields (..., fine y, fine x) against the coarse ones."""
    if refiner.quantity is None:
        return Kept()
    means = refiner.refine.block_means(fine)  # type: ignore[attr-defined]
    wanted = np.asarray(coarse, np.float64)
    known = np.isfinite(wanted)
    both = known & np.isfinite(means)
    if not both.any():
        return Kept(lost=int(known.sum()))
    return Kept(
        difference=float(np.abs(means - wanted).max(where=both, initial=0.0)),
        largest=float(np.abs(wanted).max(where=both, initial=0.0)),
        before=float(np.where(known, wanted * refiner.weights, 0.0).sum()),
        after=float(np.where(both, means * refiner.weights, 0.0).sum()),
        lost=int((known & ~both).sum()),
    )
