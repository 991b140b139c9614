"""Turn a fine field and the true one into the numbers that say how far they are apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "PERCENTILES",
    "MeanErrors",
    "Scores",
    "Tally",
    "block_sums",
    "finished",
    "interior",
    "mean_errors",
    "quantiles",
    "spread",
    "tallied",
]

Floats = NDArray[np.floating]
# Of a field's values, the tails that a smooth field loses first.
PERCENTILES = (0.01, 0.99)
# Of the largest value: what arithmetic in float32 may add.
ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How far a field is from the true one over one region; differences are field minus truth, in its units.

    Attributes:
        cells: fine cells that were compared, over all steps.
        rmse: root of the mean squared difference.
        mae: mean absolute difference.
        bias: mean difference.
        most_over: the largest difference.
        most_under: the smallest, negative where the field is anywhere too low.
        low_error: 1st percentile of the field minus that of the truth, mean over steps.
        high_error: the same of the 99th percentile.
        least_error: the field's least value minus the truth's, mean over steps.
        greatest_error: the same of the greatest value.
        overshoot: how far the field leaves the range of the truth at most, over all steps; 0 where it does
            not.
        beyond: part of the area where it does.
    """

    cells: int
    rmse: float
    mae: float
    bias: float
    most_over: float
    most_under: float
    low_error: float
    high_error: float
    least_error: float
    greatest_error: float
    overshoot: float
    beyond: float


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What has been summed up so far, step by step; every mean is by area."""

    cells: int = 0
    steps: int = 0
    weight: float = 0.0
    squared: float = 0.0
    absolute: float = 0.0
    signed: float = 0.0
    outside: float = 0.0
    most_over: float = -np.inf
    most_under: float = np.inf
    overshoot: float = 0.0
    # of low percentile, high percentile, least and greatest value
    tails: tuple[float, ...] = (0.0,) * 4


@dataclass(frozen=True, kw_only=True)
class MeanErrors:
    """How far block means are from the coarse values.

    Attributes:
        largest: largest absolute difference, in the field's units.
        relative: the same by the largest absolute coarse value, dimensionless.
    """

    largest: float
    relative: float


def tallied(tally: Tally, field: Floats, truth: Floats, weights: Floats) -> Tally:
    """Add one step of a region; cells where the field, the truth or the weight has no value are left out.

    Args:
        tally: of the steps before.
        field: values that are judged, any shape.
        truth: values that are true, same shape.
        weights: areas of the cells that count, 0 for others, same shape.
    """
    counts = (weights > 0) & np.isfinite(field) & np.isfinite(truth)
    if not counts.any():
        return tally
    value, true, weight = (each[counts].astype(np.float64) for each in (field, truth, weights))
    error = value - true
    low, high = true.min(), true.max()
    outside = np.maximum(value - high, low - value)
    # a constant field that comes back with rounding is within its range
    outside[outside <= ROUNDING * max(abs(low), abs(high))] = 0.0
    tails = (
        *(quantiles(value, weight) - quantiles(true, weight)),
        value.min() - low,
        value.max() - high,
    )
    return Tally(
        cells=tally.cells + int(counts.sum()),
        steps=tally.steps + 1,
        weight=tally.weight + float(weight.sum()),
        squared=tally.squared + float(weight @ error**2),
        absolute=tally.absolute + float(weight @ np.abs(error)),
        signed=tally.signed + float(weight @ error),
        outside=tally.outside + float(weight[outside > 0].sum()),
        most_over=max(tally.most_over, float(error.max())),
        most_under=min(tally.most_under, float(error.min())),
        overshoot=max(tally.overshoot, float(outside.max())),
        tails=tuple(sum_ + float(one) for sum_, one in zip(tally.tails, tails, strict=True)),
    )


def finished(tally: Tally) -> Scores | None:
    """The scores of all steps, or None where no cell was compared.

    >>> one = tallied(Tally(), np.array([1.0, 5.0]), np.array([1.0, 3.0]), np.array([3.0, 1.0]))
    >>> scores = finished(one)
    >>> scores.rmse, scores.mae, scores.bias
    (1.0, 0.5, 0.5)
    """
    if not tally.cells:
        return None
    low, high, least, greatest = (each / tally.steps for each in tally.tails)
    return Scores(
        cells=tally.cells,
        rmse=float(np.sqrt(tally.squared / tally.weight)),
        mae=tally.absolute / tally.weight,
        bias=tally.signed / tally.weight,
        most_over=tally.most_over,
        most_under=tally.most_under,
        low_error=low,
        high_error=high,
        least_error=least,
        greatest_error=greatest,
        overshoot=tally.overshoot,
        beyond=tally.outside / tally.weight,
    )


def quantiles(values: Floats, weights: Floats, at: tuple[float, ...] = PERCENTILES) -> NDArray[np.float64]:
    """Quantiles of values of which each stands for an area.

    Sorted, value i lies at (w_0 + ... + w_i - w_i / 2) / sum of w; between them is interpolated (of equal
    areas: Hazen's rule), and outside the first or the last holds.

    Args:
        values: one axis, finite.
        weights: areas, positive, same shape.
        at: which, from 0 to 1.

    >>> quantiles(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]), (0.0, 0.5, 1.0)).tolist()
    [1.0, 2.0, 3.0]
    """
    order = np.argsort(values)
    weight = weights[order].astype(np.float64)
    reached = np.cumsum(weight)
    return np.interp(at, (reached - weight / 2) / reached[-1], values[order].astype(np.float64))


def block_sums(values: Floats, factor: tuple[int, int]) -> NDArray[np.float64]:
    """Sums over blocks of `factor` cells of the last two axes, which it must divide; NaN counts as 0.

    >>> block_sums(np.arange(8.0).reshape(2, 4), (2, 2)).tolist()
    [[10.0, 18.0]]
    """
    *batch, ny, nx = values.shape
    blocks = np.nan_to_num(values.astype(np.float64), nan=0.0).reshape(
        *batch, ny // factor[0], factor[0], nx // factor[1], factor[1]
    )
    return np.asarray(blocks.sum(axis=(-3, -1)))


def mean_errors(means: Floats, coarse: Floats) -> MeanErrors:
    """How far block means are from the coarse values, at cells where both have one.

    >>> mean_errors(np.array([1.0, 4.5, np.nan]), np.array([1.0, 5.0, 2.0]))
    MeanErrors(largest=0.5, relative=0.1)
    """
    known = np.isfinite(means) & np.isfinite(coarse)
    if not known.any():
        return MeanErrors(largest=0.0, relative=0.0)
    value, true = means[known].astype(np.float64), coarse[known].astype(np.float64)
    largest, size = float(np.abs(value - true).max()), float(np.abs(true).max())
    return MeanErrors(largest=largest, relative=largest / size if size else largest)


def interior(
    whole: NDArray[np.bool_], *, is_periodic: bool = False, poles: tuple[bool, bool] = (False, False)
) -> NDArray[np.bool_]:
    """Coarse cells that are whole, as are their eight neighbours.

    Args:
        whole: (y, x), coarse cells of which every fine cell has a value.
        is_periodic: whether the last column is a neighbour of the first.
        poles: whether nothing can lie beyond the first and beyond the last row, which then need no neighbour
            there; any other edge of the grid does, so that its cells are not interior.

    >>> interior(np.ones((3, 4), dtype=bool)).astype(int).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    width = ((1, 1), (0, 0))
    rows = [np.pad(whole, width, constant_values=False)[k : k + whole.shape[0]] for k in (0, 2)]
    rows[0][:1] |= poles[0]
    rows[1][-1:] |= poles[1]
    upright = whole & rows[0] & rows[1]
    columns = np.pad(upright, width[::-1], mode="wrap" if is_periodic else "constant")
    return np.asarray(upright & columns[:, :-2] & columns[:, 2:])


def spread(coarse: NDArray[np.generic], factor: tuple[int, int]) -> NDArray[np.generic]:
    """Give every fine cell the value of its coarse one.

    >>> spread(np.array([[1, 2]]), (1, 2)).tolist()
    [[1, 1, 2, 2]]
    """
    return coarse.repeat(factor[0], axis=-2).repeat(factor[1], axis=-1)
