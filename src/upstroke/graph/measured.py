"""Turn the positions of a map's samples into its offset and spacing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from upstroke.graph.ramp import Ramp, Track, rest_of

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


def read_off(tracks: Sequence[Track]) -> Measured | Unmeasured:
    """Read offset and spacing off the positions of a map's samples, one track for each axis of the input."""
    spatial = _of_space(tracks, tracks[0].mean.values.ndim)
    if not spatial:
        return Unmeasured(reason="its samples are not laid out along the axes of the input")
    lines: dict[int, _Line] = {}
    for ramp in (ramp for track in spatial for ramp in (track.mean, track.first, track.last)):
        if id(ramp) not in lines:
            line = _line(ramp)
            if isinstance(line, Unmeasured):
                return line
            lines[id(ramp)] = line
    return Measured(
        offset=tuple(lines[id(track.mean)].offset for track in spatial),
        spacing=tuple(lines[id(track.mean)].spacing for track in spatial),
        first=tuple(lines[id(track.first)].offset for track in spatial),
        last=tuple(lines[id(track.last)].offset for track in spatial),
    )


def _of_space(tracks: Sequence[Track], ndim: int) -> list[Track]:
    """The tracks along the map's spatial axes, in the order of these; none if one of them has no track."""
    placed = {track.mean.dim: track for track in tracks if track.mean.dim is not None}
    if sum(track.axis > 1 for track in tracks) > sum(track.axis > 1 for track in placed.values()):
        return []
    usual = [placed[dim] for dim in range(2, ndim) if dim in placed]
    # channels may have been taken away, so that space begins where they were
    if ndim == 3 and 1 in placed and placed[1].axis > 1 and usual:
        return [placed[1], *usual]
    if ndim > 2 and len(usual) == ndim - 2:
        return usual
    # or they stand last, or an axis of length one is gone
    known = len(placed) > ndim - 2 and all(track.axis > 1 for track in placed.values())
    return [placed[dim] for dim in sorted(placed)] if known or len(placed) == ndim - 2 else []


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
