"""Turn the scores of many cases into their mean, spread and quartiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Spread", "spread"]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What numbers of many cases have in common.

    Attributes:
        count: of cases that have the number.
        mean: over these.
        sd: standard deviation from case to case, with n - 1; None of one case.
        least: of the numbers.
        lower: first quartile, linear between ranks.
        median: of the numbers.
        upper: third quartile.
        greatest: of the numbers.
    """

    count: int
    mean: float
    sd: float | None
    least: float
    lower: float
    median: float
    upper: float
    greatest: float


def spread(values: Sequence[float | None]) -> Spread | None:
    """Mean, spread and quartiles of the numbers that there are; None if there are none.

    >>> found = spread([0.5, None, 1.0])
    >>> found.count, found.mean, found.lower
    (2, 0.75, 0.625)
    """
    known = np.array([each for each in values if each is not None], dtype=np.float64)
    if not known.size:
        return None
    least, lower, median, upper, greatest = (
        float(each) for each in np.percentile(known, (0, 25, 50, 75, 100))
    )
    return Spread(
        count=known.size,
        mean=float(known.mean()),
        sd=float(known.std(ddof=1)) if known.size > 1 else None,
        least=least,
        lower=lower,
        median=median,
        upper=upper,
        greatest=greatest,
    )
