"""Define where a map's samples sit along one axis of the model's input: a ramp that goes on outside it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy
import torch
from torch import Tensor

__all__ = [
    "Ramp",
    "Track",
    "along",
    "expanded",
    "literally",
    "narrowed",
    "offset_of",
    "ramp_of",
    "refound",
    "relisted",
    "reshaped",
    "rest_of",
    "smoothed",
]

# Positions are small sums of small fractions in float64, so what differs by more than this is different.
CLOSE = 1e-6
# The longest period that is looked for in positions that were rearranged.
LONGEST_PERIOD = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Ramp:
    """Where samples sit along one axis of the input, in input pixels.

    Along `dim` positions repeat in steps: position(i + period) = position(i) + step, inside the map and
    outside. That is what a padded map is read by: outside, the ramp goes on.

    Attributes:
        values: the position of every sample of the map, float64; NaN where it is not located. An axis along
            which they do not vary has stride 0, so that it takes no memory.
        dim: the axis of the map along which they repeat in steps; None where they do so along none.
        period: samples from one repetition to the next.
        step: pixels from one repetition to the next; one number, or a tensor that broadcasts.
    """

    values: Tensor
    dim: int | None
    period: int
    step: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """Where samples sit along one axis of the input: on average, and by their leftmost and rightmost branch.

    Attributes:
        axis: which axis of the input.
        mean, first, last: their positions.
    """

    axis: int
    mean: Ramp
    first: Ramp
    last: Ramp

    def each(self, change: Callable[[Ramp], Ramp]) -> "Track":
        """The track with every ramp changed; ramps that are one stay one."""
        done: dict[int, Ramp] = {}
        for ramp in (self.mean, self.first, self.last):
            if id(ramp) not in done:
                done[id(ramp)] = change(ramp)
        mean, first, last = (done[id(ramp)] for ramp in (self.mean, self.first, self.last))
        return replace(self, mean=mean, first=first, last=last)


def ramp_of(shape: Sequence[int], dim: int) -> Ramp:
    """The positions of an input's own samples along one of its axes: 0, 1, 2.

    >>> ramp_of((1, 2, 3), 2).values.tolist()
    [[[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]]
    """
    line = torch.arange(shape[dim], dtype=torch.float64)
    values = line.reshape([-1 if axis == dim else 1 for axis in range(len(shape))]).expand(shape)
    return Ramp(values=values, dim=dim, period=1, step=torch.ones((), dtype=torch.float64))


def narrowed(values: Tensor) -> Tensor:
    """The values with length 1 along every axis along which they do not vary.

    >>> tuple(narrowed(ramp_of((4, 2, 3), 2).values).shape)
    (1, 1, 3)
    """
    for dim, stride in enumerate(values.stride()):
        if stride == 0 and values.shape[dim] > 1:
            values = values.narrow(dim, 0, 1)
    return values


def expanded(values: Tensor, shape: Sequence[int]) -> Tensor:
    """The values in full, without memory for the axes along which they turn out not to vary."""
    values = narrowed(values)
    for dim, size in enumerate(values.shape):
        if size > 1:
            first = values.narrow(dim, 0, 1)
            if bool(((values == first) | (values.isnan() & first.isnan())).all()):
                values = first
    # an axis of length 1 has any stride; 0 says that nothing varies along it
    return values.expand(shape)


def offset_of(ramp: Ramp, spacing: float) -> float:
    """The position of sample 0, averaged over the phases, and over the other axes of the map; NaN if lost."""
    return float(rest_of(ramp, spacing)[: ramp.period].nanmean())


def rest_of(ramp: Ramp, spacing: float) -> Tensor:
    """What positions are beside a line of this spacing, for every sample along the ramp's axis."""
    assert ramp.dim is not None
    small, size = narrowed(ramp.values), ramp.values.shape[ramp.dim]
    others = [axis for axis, length in enumerate(small.shape) if axis != ramp.dim and length > 1]
    line = small.nanmean(others).flatten() if others else small.flatten()
    return line.expand(size) - spacing * torch.arange(size, dtype=torch.float64)


def along(ramp: Ramp, dim: int, index: Tensor, weights: Tensor, ratio: Fraction) -> Ramp:
    """The ramp of samples that are means of cells along one axis, of cells outside the map too.

    sample n = sum over k of weights[n, k] * cell index[n, k] / sum over k of weights[n, k], over the cells
    that are located.

    Args:
        ramp: of the cells.
        dim: the axis.
        index: (samples, taps), whole numbers.
        weights: (samples, taps).
        ratio: cells from one sample to the next.
    """
    samples, taps = index.shape
    shape = [samples if axis == dim else size for axis, size in enumerate(ramp.values.shape)]
    if dim != ramp.dim and narrowed(ramp.values).shape[dim] == 1 and bool((weights.sum(1) != 0).all()):
        values = narrowed(ramp.values).expand(shape)
        return replace(ramp, values=values, step=_fitting(ramp.step, shape))
    aligned = [1] * (len(shape) + 1)
    aligned[dim], aligned[dim + 1] = samples, taps
    cells = _cells(ramp, dim, index.flatten()).unflatten(dim, (samples, taps))  # type: ignore[no-untyped-call]
    used = weights.reshape(aligned) * torch.ones_like(cells)
    used = used.masked_fill(cells.isnan(), 0.0)
    total = used.sum(dim + 1)
    values = (cells.nan_to_num(0.0) * used).sum(dim + 1) / total
    values = values.masked_fill(total.abs() < CLOSE, math.nan)
    found = replace(ramp, values=expanded(values, shape))
    if dim != ramp.dim:
        return replace(found, step=_fitting(ramp.step, shape))
    return _settled(_stepping(found, ratio))


def smoothed(ramp: Ramp) -> Ramp:
    """The ramp with every phase on the line through their mean."""
    if ramp.dim is None or ramp.period == 1:
        return ramp
    size, spacing = ramp.values.shape[ramp.dim], ramp.step / ramp.period
    values = narrowed(ramp.values)
    line = _placed(torch.arange(size, dtype=torch.float64), ramp.dim, values.ndim) * spacing
    offset = (values - line).narrow(ramp.dim, 0, min(ramp.period, size)).nanmean(ramp.dim, keepdim=True)
    return replace(ramp, values=(offset + line).expand(ramp.values.shape), period=1, step=spacing)


def literally(ramp: Ramp, move: Callable[[Tensor], Tensor]) -> Ramp:
    """The ramp of a map whose samples are moved: permuted, cut, rolled, repeated, reshaped."""
    moved = move(ramp.values)
    values = expanded(moved, moved.shape)
    if ramp.dim is None:
        return _found(values, _varying(values), ramp)
    line = torch.arange(ramp.values.shape[ramp.dim], dtype=torch.float64)
    count = ramp.values.ndim
    line = line.reshape([-1 if axis == ramp.dim else 1 for axis in range(count)])
    places = narrowed(expanded(move(line.expand(ramp.values.shape)), moved.shape))
    dims = [axis for axis, size in enumerate(places.shape) if size > 1]
    jumps = {axis: jump for axis in dims if (jump := _jump(places, axis)) > 0 and axis in _varying(values)}
    if jumps:
        # of an axis that was parted in several the first, along which its samples are furthest apart
        axis = max(jumps, key=lambda each: jumps[each])
        kept = replace(ramp, values=values, dim=axis, step=_scalar(ramp.step))
        return _measured_step(_stepping(kept, Fraction(jumps[axis])))
    if not dims and (dim := _dim_of_one(ramp, values, move)) is not None:
        return replace(ramp, values=values, dim=dim, step=_scalar(ramp.step))
    return _found(values, [axis for axis in dims if axis in _varying(values)], ramp)


def relisted(ramp: Ramp, shape: Sequence[int]) -> Ramp:
    """The ramp of the same samples in the same order, in another shape."""
    dim = ramp.dim
    if dim is None or ramp.values.shape[dim] > 1:
        return literally(ramp, lambda values: reshaped(values, shape))
    before = math.prod(ramp.values.shape[:dim])
    free = [at for at, size in enumerate(shape) if size == 1 and math.prod(shape[:at]) == before]
    # no order tells axes of one sample apart; it stands where it stood
    at = dim if dim in free else max(free, default=None)
    return replace(ramp, values=reshaped(ramp.values, shape), dim=at, step=_scalar(ramp.step))


def reshaped(values: Tensor, shape: Sequence[int]) -> Tensor:
    """The values in another shape, without memory for axes along which they do not vary."""
    small = narrowed(values)
    rows: list[int] = []
    pieces: list[tuple[list[int], list[int]]] = []
    before, after = list(values.shape), list(shape)
    i = j = 0
    while i < len(before) or j < len(after):
        old, new = before[i : i + 1], after[j : j + 1]
        i, j = i + 1, j + 1
        while math.prod(old) != math.prod(new) and (i < len(before) or j < len(after)):
            if (math.prod(old) < math.prod(new) or j >= len(after)) and i < len(before):
                old.append(before[i])
                i += 1
            else:
                new.append(after[j])
                j += 1
        pieces.append((old, new))
    start = 0
    for old, new in pieces:
        ends = start + len(old)
        varies = any(size > 1 for size in small.shape[start:ends])
        if varies:
            small = small.expand(*small.shape[:start], *old, *small.shape[ends:])
        rows += new if varies else [1] * len(new)
        start = ends
    return small.reshape(rows).expand(shape)


def _dim_of_one(ramp: Ramp, values: Tensor, move: Callable[[Tensor], Tensor]) -> int | None:
    """The axis of a moved map that the ramp's axis is of which one sample is left; None if it is gone."""
    dim, shape = ramp.dim, list(ramp.values.shape)
    assert dim is not None
    kept = values.ndim == len(shape) and values.shape[dim] == 1
    if shape[dim] > 1:
        # cut down to one sample
        return (
            dim
            if kept
            and all(m == n or at == dim for at, (m, n) in enumerate(zip(shape, values.shape, strict=True)))
            else None
        )
    # where two samples would be, one is
    line = torch.arange(2, dtype=torch.float64).reshape(
        [-1 if axis == dim else 1 for axis in range(len(shape))]
    )
    shape[dim] = 2
    try:
        two = move(line.expand(shape))
    except (RuntimeError, IndexError, ValueError):
        return dim if kept else None
    grown = [at for at, (m, n) in enumerate(zip(two.shape, values.shape, strict=False)) if (m, n) == (2, 1)]
    return grown[0] if two.ndim == values.ndim and len(grown) == 1 else dim if kept else None


def _jump(places: Tensor, dim: int) -> int:
    """How far apart the cells are that neighbours along an axis come from; 0 if that differs."""
    jumps = places.diff(dim=dim)
    first = jumps.flatten()[0]
    return int(first) if bool((jumps == first).all()) else 0


def _cells(ramp: Ramp, dim: int, index: Tensor) -> Tensor:
    """Cells along an axis by their index, those outside the map by going on in steps."""
    size = ramp.values.shape[dim]
    inside = (index >= 0) & (index < size)
    values = narrowed(ramp.values)
    if dim != ramp.dim:
        if values.shape[dim] == 1:
            return values.expand([len(index) if axis == dim else n for axis, n in enumerate(values.shape)])
        found = values.index_select(dim, index.clamp(0, size - 1))
        return found.masked_fill(~_placed(inside, dim, values.ndim), math.nan)
    values = values.expand([size if axis == dim else n for axis, n in enumerate(values.shape)])
    below = (-index).clamp(min=0).add(ramp.period - 1).div(ramp.period, rounding_mode="floor")
    above = (index - size + 1).clamp(min=0).add(ramp.period - 1).div(ramp.period, rounding_mode="floor")
    periods = above - below
    nearest = index - periods * ramp.period
    there = (nearest >= 0) & (nearest < size)
    found = values.index_select(dim, nearest.clamp(0, size - 1))
    found = found + ramp.step * _placed(periods, dim, values.ndim).to(torch.float64)
    return found.masked_fill(~_placed(there, dim, values.ndim), math.nan)


def _placed(line: Tensor, dim: int, ndim: int) -> Tensor:
    return line.reshape([-1 if axis == dim else 1 for axis in range(ndim)])


def _fitting(step: Tensor, shape: Sequence[int]) -> Tensor:
    """The step, as one number where it differs along axes that have changed."""
    if step.ndim == 0:
        return step
    fits = step.ndim == len(shape) and all(n in (1, m) for n, m in zip(step.shape, shape, strict=True))
    return step if fits else _scalar(step)


def _scalar(step: Tensor) -> Tensor:
    return step if step.ndim == 0 else step.nanmean()


def _stepping(ramp: Ramp, ratio: Fraction) -> Ramp:
    """The ramp with the steps of samples that are so many of the former ones apart."""
    period = ratio.denominator * ramp.period // math.gcd(ratio.numerator, ramp.period)
    step = ramp.step * float(period * ratio / ramp.period)
    if ramp.dim is not None and period > ramp.values.shape[ramp.dim] and ramp.period > 1:
        # no period fits into the map; its samples are taken as they come
        period, step = 1, step / period
    return replace(ramp, period=period, step=step)


def _settled(ramp: Ramp) -> Ramp:
    """The ramp with the shortest period that its values have."""
    assert ramp.dim is not None
    size = ramp.values.shape[ramp.dim]
    values = narrowed(ramp.values)
    values = values.expand([size if axis == ramp.dim else n for axis, n in enumerate(values.shape)])
    for period in range(1, min(ramp.period, size)):
        if ramp.period % period:
            continue
        step = ramp.step * (period / ramp.period)
        if _repeats(values, ramp.dim, period, step):
            return replace(ramp, period=period, step=step)
    return ramp


def _repeats(values: Tensor, dim: int, period: int, step: Tensor) -> bool:
    size = values.shape[dim]
    ahead = values.narrow(dim, period, size - period) - values.narrow(dim, 0, size - period)
    here = values.narrow(dim, 0, size - period).isnan()
    there = values.narrow(dim, period, size - period).isnan()
    return bool((((ahead - step).abs() < CLOSE) | (here & there)).all())


def _measured_step(ramp: Ramp) -> Ramp:
    """The ramp with its step as its values have it, where they are long enough to say."""
    assert ramp.dim is not None
    values = narrowed(ramp.values)
    if values.shape[ramp.dim] <= ramp.period:
        return ramp
    step = values.narrow(ramp.dim, ramp.period, 1) - values.narrow(ramp.dim, 0, 1)
    step = torch.where(step.isnan(), ramp.step, step)
    return replace(
        ramp, step=step if bool((step - step.flatten()[0]).abs().max() > CLOSE) else step.flatten()[0]
    )


def _varying(values: Tensor) -> list[int]:
    return [axis for axis, size in enumerate(narrowed(values).shape) if size > 1]


def refound(values: Tensor, hint: Ramp) -> Ramp:
    """The ramp of values that were put together from parts, of which the hint is one."""
    if hint.dim is not None and hint.values.ndim == values.ndim:
        return _found(values, [hint.dim], hint)
    return _found(values, _varying(values), hint)


def _found(values: Tensor, dims: Sequence[int], before: Ramp) -> Ramp:
    """The ramp of values whose steps are looked for along the only axis that they can be along."""
    # the steps that it had are kept, in case they are found again
    lost = Ramp(values=values, dim=None, period=before.period, step=_scalar(before.step))
    if len(dims) != 1:
        return lost
    (dim,) = dims
    small = narrowed(values)
    size = small.shape[dim]
    # one line of samples is enough to say which periods there can be
    others = [axis for axis in range(small.ndim) if axis != dim and small.shape[axis] > 1]
    line = (small.nanmean(others) if others else small).flatten().numpy()
    if _still_steps(small, dim, lost):
        return replace(lost, dim=dim)
    # every phase must be seen to repeat
    for period in range(1, min(size // 2, LONGEST_PERIOD) + 1):
        jumps = line[period:] - line[:-period]
        jumps = jumps[~numpy.isnan(jumps)]
        if not jumps.size or jumps.min() < CLOSE or jumps.max() - jumps.min() > CLOSE:
            continue
        step = torch.tensor(float(jumps.mean()), dtype=torch.float64)
        if _repeats(small, dim, period, step):
            return Ramp(values=values, dim=dim, period=period, step=step)
    return lost


def _still_steps(values: Tensor, dim: int, before: Ramp) -> bool:
    """Whether values along an axis have the steps that they had before they were rearranged."""
    size = values.shape[dim]
    if size > before.period:
        return _repeats(values, dim, before.period, before.step)
    rise = (values.narrow(dim, size - 1, 1) - values.narrow(dim, 0, 1)).nanmean()
    wanted = before.step * ((size - 1) / before.period)
    return size == before.period and bool((rise - wanted).abs() < before.step / 2)
