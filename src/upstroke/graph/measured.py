"""Turn the positions of a map's samples into its offset and spacing."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from upstroke.graph.ramp import Ramp, Track, narrowed, rest_of

__all__ = ["Measured", "Unmeasured", "read_off"]

# Pixels by which positions may leave the line through them, from one period to the next.
UNEVEN = 0.01
# Phases that are looked for in positions that are listed.
LONGEST_LISTED = 16
NOT_LAID_OUT = "its samples are not laid out along the axes of the input"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Where the samples of a map were found to sit, in pixels of the model's input: offset + spacing * index.

    Attributes:
        offset: per axis, averaged over the phases and over all that is mixed into the map.
        spacing: per axis.
        first, last: the offset of the leftmost and of the rightmost branch that went into the map, per axis.
    """

    offset: tuple[float, ...]
    spacing: tuple[float, ...]
    first: tuple[float, ...]
    last: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Unmeasured:
    """A map whose samples could not be located.

    Attributes:
        reason: why, in a few words without a full stop.
    """

    reason: str


@dataclass(frozen=True, kw_only=True)
class _Line:
    """Offset and spacing along one axis."""

    offset: float
    spacing: float


def read_off(tracks: Sequence[Track], space: Collection[int]) -> Measured | Unmeasured:
    """Read offset and spacing off the positions of a map's samples.

    Args:
        tracks: one for each axis of the input along which the map is located.
        space: the axes of the input that are space; along the others samples differ by what they are.
    """
    spatial = [track for track in tracks if track.axis in space]
    if {track.axis for track in spatial} != set(space):
        return Unmeasured(reason=NOT_LAID_OUT)
    features = _feature_dims(tracks, space)
    counted = [dim for track in spatial for dim in _varying(track.mean)]
    shared = {dim for dim in counted if counted.count(dim) > 1}
    lines: dict[int, _Line] = {}
    for ramp in (ramp for track in spatial for ramp in (track.mean, track.first, track.last)):
        if id(ramp) not in lines:
            line = _line(ramp, features, shared)
            if isinstance(line, Unmeasured):
                return line
            lines[id(ramp)] = line
    return Measured(
        offset=tuple(lines[id(track.mean)].offset for track in spatial),
        spacing=tuple(lines[id(track.mean)].spacing for track in spatial),
        first=tuple(lines[id(track.first)].offset for track in spatial),
        last=tuple(lines[id(track.last)].offset for track in spatial),
    )


def _feature_dims(tracks: Sequence[Track], space: Collection[int]) -> frozenset[int]:
    """The axes of the map along which samples are told apart by what they are, and not by where."""
    found = {dim for track in tracks if track.axis not in space for dim in _varying(track.mean)}
    shape = tracks[0].mean.values.shape
    told = found.union(*(_varying(track.mean) for track in tracks))
    if found or any(size > 1 and dim not in told for dim, size in enumerate(shape)):
        return frozenset(found)
    # a single channel tells nothing apart: then it is every axis on which no line begins
    return frozenset(told - {_outermost(track.mean) for track in tracks if track.axis in space})


def _varying(ramp: Ramp) -> list[int]:
    """The axes of the map along which positions differ; that some are lost is no difference."""
    small = narrowed(ramp.values)
    high, low = small.nan_to_num(nan=-math.inf), small.nan_to_num(nan=math.inf)
    return [
        dim
        for dim, size in enumerate(small.shape)
        if size > 1 and bool((high.amax(dim) > low.amin(dim)).any())
    ]


def _outermost(ramp: Ramp) -> int | None:
    """The axis of the map along which its samples are furthest apart."""
    if ramp.dim is not None:
        return ramp.dim
    small = narrowed(ramp.values)
    jumps = {dim: float((small.select(dim, 1) - small.select(dim, 0)).nanmean()) for dim in _varying(ramp)}
    return max(jumps, key=lambda dim: jumps[dim], default=None)


def _line(ramp: Ramp, features: Collection[int], shared: Collection[int]) -> _Line | Unmeasured:
    """The line on which positions lie, along one axis of the map or listed along several.

    Args:
        ramp: the positions.
        features: axes of the map along which samples are told apart by what they are.
        shared: axes of the map that count several axes of space, row by row.
    """
    small = narrowed(ramp.values)
    listed = [dim for dim in _varying(ramp) if dim == ramp.dim or dim not in features]
    averaged = [dim for dim, size in enumerate(small.shape) if size > 1 and dim not in listed]
    if averaged:
        small = small.nanmean(averaged, keepdim=True)
    if ramp.dim is not None and set(listed) <= {ramp.dim} and ramp.dim not in shared:
        return _line_along(ramp)
    return _line_through(small.flatten())


def _line_through(places: Tensor) -> _Line | Unmeasured:
    """The line on which positions lie that are listed row by row, window by window.

    Neighbours in the same position are told apart by nothing here; they count as one sample.
    """
    located = ~places.isnan()
    if not bool(located.any()):
        return Unmeasured(reason="none of its samples is located")
    # what stands in front of a list or behind it, as a class token does, has no position
    first, last = int(located.nonzero()[0]), int(located.nonzero()[-1])
    places = places[first : last + 1]
    for period in range(1, min(LONGEST_LISTED, len(places)) + 1):
        digits = sorted(digit for digit in _digits(places, period) if digit[0] > UNEVEN)
        follow = all(
            abs(outer - within * size) < UNEVEN for (within, size, _), (outer, _, _) in pairwise(digits)
        )
        if not digits or not follow:
            continue
        offset = float(places[0]) + sum(shift for _, _, shift in digits)
        return _Line(offset=offset, spacing=digits[0][0])
    return Unmeasured(reason=NOT_LAID_OUT)


def _digits(places: Tensor, period: int) -> list[tuple[float, int, float]]:
    """Positions as digits of a number: how far apart a digit's values are, how many, the mean of its phases.

    Digits that count something else move nothing; there are none where positions are no such number.

    Args:
        places: the positions.
        period: phases that the values of a digit may have.
    """
    digits: list[tuple[float, int, float]] = []
    while len(places) > 1:
        own = period if abs(float(places[1] - places[0])) > UNEVEN else 1
        jumps = places[own:] - places[:-own]
        even = (jumps - jumps[:1]).abs() < UNEVEN
        length = own + (len(jumps) if bool(even.all()) else int((~even).nonzero()[0]))
        if not len(jumps) or len(places) % length or length % own:
            return []
        rows = places.reshape(-1, length)
        if not bool(((rows - rows[:, :1]) - (rows[0] - rows[0, 0])).abs().max() < UNEVEN):
            return []
        step = float(jumps[0]) / own
        if step < -UNEVEN:
            return []
        phases = places[:own] - places[0] - step * torch.arange(own, dtype=torch.float64)
        digits.append((step, length, float(phases.mean())))
        places = rows[:, 0]
    return digits


def _line_along(ramp: Ramp) -> _Line | Unmeasured:
    """The line through the positions along the axis along which they repeat in steps."""
    assert ramp.dim is not None
    size = ramp.values.shape[ramp.dim]
    spacing = float(ramp.step.nanmean()) / ramp.period
    rest = rest_of(ramp, spacing)
    if bool(rest.isnan().all()):
        return Unmeasured(reason="none of its samples is located")
    if size > ramp.period:
        uneven = float((rest[ramp.period :] - rest[: -ramp.period]).nan_to_num(0.0).abs().max())
        if uneven > UNEVEN:
            return Unmeasured(reason=f"its samples are not evenly spaced: by up to {_shown(rest)} px")
    if size < ramp.period and _spread(rest) > UNEVEN:
        return Unmeasured(reason="the map is smaller than one period of its phases; give a larger input")
    return _Line(offset=float(rest[: ramp.period].nanmean()), spacing=spacing)


def _spread(rest: Tensor) -> float:
    held = rest[~rest.isnan()]
    return float(held.max() - held.min()) if held.numel() else math.inf


def _shown(rest: Tensor) -> str:
    return f"{_spread(rest):.2g}"
