"""Turn the positions of a map's samples into its offset and spacing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from upstroke.graph.ramp import Ramp, rest_of

__all__ = ["Measured", "Unmeasured", "read_off"]

# Pixels by which positions may leave the line through them, from one period to the next.
UNEVEN = 0.01


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


def read_off(tracks: Sequence[tuple[Ramp, Ramp, Ramp]]) -> Measured | Unmeasured:
    """Read offset and spacing off the positions of a map's samples.

    Args:
        tracks: for each axis of the input, positions by mean, first and last branch.
    """
    shape = tracks[0][0].values.shape
    spatial = _of_space(tracks, len(shape))
    if not spatial:
        return Unmeasured(reason="its samples are not laid out along the axes of the input")
    lines: list[list[_Line]] = []
    for track in spatial:
        read = [_line(ramp) for ramp in track]
        for each in read:
            if isinstance(each, Unmeasured):
                return each
        lines.append([each for each in read if isinstance(each, _Line)])
    return Measured(
        offset=tuple(mean.offset for mean, _, _ in lines),
        spacing=tuple(mean.spacing for mean, _, _ in lines),
        first=tuple(first.offset for _, first, _ in lines),
        last=tuple(last.offset for _, _, last in lines),
    )


def _of_space(tracks: Sequence[tuple[Ramp, Ramp, Ramp]], ndim: int) -> list[tuple[Ramp, Ramp, Ramp]]:
    """The tracks along the map's spatial axes, in the order of these; none if one of them has no track."""
    placed = {track[0].dim: track for track in tracks if track[0].dim is not None}
    usual = range(2, ndim)
    if usual and all(dim in placed for dim in usual):
        return [placed[dim] for dim in usual]
    # channels may stand last, or may have been axes themselves
    if len(placed) == ndim - 2:
        return [placed[dim] for dim in sorted(placed)]
    return []


def _line(ramp: Ramp) -> _Line | Unmeasured:
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
        return Unmeasured(reason="the map is smaller than one period of its phases; give a larger --input")
    return _Line(offset=float(rest[: ramp.period].nanmean()), spacing=spacing)


def _spread(rest: Tensor) -> float:
    held = rest[~rest.isnan()]
    return float(held.max() - held.min()) if held.numel() else math.inf


def _shown(rest: Tensor) -> str:
    return f"{_spread(rest):.2g}"
