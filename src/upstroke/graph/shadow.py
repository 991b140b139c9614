"""Define where the samples of a map sit along every axis of the model's input, and those of joined maps."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from upstroke.graph.measured import Measured, Unmeasured, read_off
from upstroke.graph.ramp import (
    CLOSE,
    Ramp,
    Track,
    expanded,
    literally,
    narrowed,
    offset_of,
    ramp_of,
    relisted,
)

__all__ = [
    "SPREAD",
    "Lost",
    "Result",
    "Shadow",
    "Space",
    "concatenated",
    "joined",
    "listed",
    "mixed",
    "moved",
    "pooled",
    "read_all",
    "shadow_of",
    "thinned",
]

MIXED = "all positions are mixed"
SPREAD = "one position is spread over the map"
CUT = "one position is taken out"
# The axis of the input that a track of channels stands for that a layer made: no map is located in a batch.
MADE = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Shadow:
    """Where the samples of a map sit.

    Attributes:
        tracks: one for each axis of the input along which the map is located; the one that stands for the
            batch tells channels apart that a layer made.
        origin: which input of the model that is, the first being 0.
        whole: the map of which this one is every so-manieth sample; None if it is no such part.
    """

    tracks: tuple[Track, ...]
    origin: int
    whole: "Shadow | None" = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the map."""
        return tuple(self.tracks[0].mean.values.shape)

    def axes_at(self, first: int) -> frozenset[int]:
        """The axes of the input that the map's axes count, from one of these on."""
        return frozenset(
            track.axis
            for track in self.tracks
            if track.axis != MADE and any(dim >= first for dim in _dims(track.mean))
        )

    def each(self, change: Callable[[Ramp], Ramp]) -> "Shadow":
        """The shadow with every ramp changed."""
        return replace(self, tracks=tuple(track.each(change) for track in self.tracks))


@dataclass(frozen=True, kw_only=True, eq=False)
class Lost:
    """A map whose samples are not located.

    Attributes:
        reason: why, in a few words without a full stop.
    """

    reason: str


# None stands for a constant, or for a map of at most one sample that starts from the model's own numbers.
Result = Shadow | Lost | None


class Space:
    """Which axes of an input are space: those that kernels slide along, by custom those behind the second.

    Args:
        ndim: of the input.
    """

    def __init__(self, ndim: int) -> None:
        self._usual = range(2, ndim)
        self._slid: set[int] = set()

    def slide(self, shadow: Shadow) -> None:
        """Take a map that a kernel of more than one tap slides over, along its axes behind the second."""
        self._slid |= shadow.axes_at(2)

    @property
    def axes(self) -> tuple[int, ...]:
        """Those axes, in order."""
        return tuple(sorted(self._slid or self._usual))


def read_all(met: Mapping[str, Result], spaces: Mapping[int, Space]) -> dict[str, Measured | Unmeasured]:
    """Read off every map where its samples sit.

    Args:
        met: their shadows, by name.
        spaces: the space of every input, by its number.
    """
    done: dict[int, Measured | Unmeasured] = {}
    for shadow in met.values():
        if id(shadow) in done:
            continue
        if shadow is None:
            done[id(shadow)] = Unmeasured(reason="it has no samples side by side")
        elif isinstance(shadow, Lost):
            done[id(shadow)] = Unmeasured(reason=shadow.reason)
        else:
            done[id(shadow)] = read_off(shadow.tracks, spaces[shadow.origin].axes)
    return {name: done[id(shadow)] for name, shadow in met.items()}


def shadow_of(shape: Sequence[int], origin: int) -> Shadow | None:
    """The shadow of an input; None if it has at most one sample."""
    if len(shape) < 3 or math.prod(shape[2:]) <= 1:
        return None
    ramps = {dim: ramp_of(shape, dim) for dim in range(1, len(shape))}
    tracks = (Track(axis=dim, mean=ramp, first=ramp, last=ramp) for dim, ramp in ramps.items())
    return Shadow(tracks=tuple(tracks), origin=origin)


def moved(shadow: Shadow, move: Callable[[Tensor], Tensor]) -> Shadow | Lost:
    """The shadow of a map whose samples are moved, by the same call."""
    return _where_varied(
        shadow, [track.each(lambda ramp: literally(ramp, move)) for track in shadow.tracks], CUT
    )


def thinned(shadow: Shadow, move: Callable[[Tensor], Tensor]) -> Shadow | Lost:
    """The shadow of every so-manieth sample of a map, which knows of what it is a part."""
    part = moved(shadow, move)
    return replace(part, whole=shadow.whole or shadow) if isinstance(part, Shadow) else part


def listed(shadow: Shadow, shape: Sequence[int]) -> Shadow | Lost:
    """The shadow of the same samples in the same order, in another shape."""
    return _where_varied(
        shadow, [track.each(lambda ramp: relisted(ramp, shape)) for track in shadow.tracks], CUT
    )


def mixed(shadow: Shadow, dim: int, channels: int, groups: int = 1) -> Shadow | Lost:
    """The shadow of a map each of whose channels is a mean over all channels of its group."""
    tracks = [_mixed(track, dim, channels, groups) for track in shadow.tracks]
    return _with_made(_where_varied(shadow, tracks, MIXED), dim)


def pooled(shadow: Shadow, dims: Sequence[int], *, keep: bool, reason: str) -> Shadow | Lost:
    """The shadow of a map that is a mean over whole axes; lost where it was located along these alone."""
    tracks = [_reduced(track, dims) for track in shadow.tracks]
    if not keep:
        tracks = [
            track.each(lambda ramp: literally(ramp, lambda values: _without(values, dims)))
            for track in tracks
        ]
    # channels of an input tell samples apart, but not their places
    placed = [track for track in tracks if track.axis != MADE]
    if any(axis > 1 for axis in dims) and all(track.mean.dim in (1, None) for track in placed):
        return Lost(reason=reason)
    return _where_varied(shadow, tracks, reason)


def joined(shadows: Sequence[Shadow | Lost], shape: Sequence[int]) -> Shadow | Lost:
    """The shadow of a map that is made sample by sample of several: a mean of those that are located."""
    located = [each for each in shadows if isinstance(each, Shadow)]
    if not located:
        return shadows[0]
    if len(located) == 1 and located[0].shape == tuple(shape):
        return located[0]
    branches = [each for each in located if not _is_spread(each, shape)] or located
    origin = min(each.origin for each in branches)
    broadcast = [_on(each, shape) for each in branches if each.origin == origin]
    branches = [each for each in broadcast if isinstance(each, Shadow)]
    if not branches:
        return broadcast[0]
    axes = sorted({track.axis for each in branches for track in each.tracks})
    rows = [[track for each in branches for track in each.tracks if track.axis == axis] for axis in axes]
    return Shadow(tracks=tuple(_joined(tracks, shape) for tracks in rows), origin=origin)


def concatenated(
    shadows: Sequence[Shadow | Lost | None], sizes: Sequence[int], dim: int, shape: Sequence[int]
) -> Shadow | Lost | None:
    """The shadow of maps put side by side along an axis; None stands for a constant."""
    located = [each for each in shadows if isinstance(each, Shadow)]
    if not located:
        return next((each for each in shadows if each is not None), None)
    origin = min(each.origin for each in located)
    own = [
        {track.axis: track for track in each.tracks}
        if isinstance(each, Shadow) and each.origin == origin
        else {}
        for each in shadows
    ]
    axes = sorted({axis for tracks in own for axis in tracks})
    rows = [[tracks.get(axis) for tracks in own] for axis in axes]
    tracks = tuple(_beside(parts, sizes, dim, shape) for parts in rows)
    if _make_whole(shadows):
        # what was one map before is no further apart than it was: its samples are channels now
        tracks = tuple(replace(track, first=track.mean, last=track.mean) for track in tracks)
    together = Shadow(tracks=tracks, origin=origin)
    told = any(dim in _dims(track.mean) for each in located if each.origin == origin for track in each.tracks)
    return together if told else _with_made(together, dim)


def _make_whole(parts: Sequence[Shadow | Lost | None]) -> bool:
    """Whether these are all samples of one map, each once, as space to depth is spelled by slices."""
    wholes = [part.whole if isinstance(part, Shadow) else None for part in parts]
    whole = wholes[0]
    if whole is None or len(parts) < 2 or any(each is not whole for each in wholes):
        return False
    if any(track.first is not track.mean or track.last is not track.mean for track in whole.tracks):
        return False
    levels = {
        tuple(round(_level(track.mean), 6) for track in part.tracks)
        for part in parts
        if isinstance(part, Shadow)
    }
    count = sum(math.prod(part.shape) for part in parts if isinstance(part, Shadow))
    return len(levels) == len(parts) and count == math.prod(whole.shape)


def _dims(ramp: Ramp) -> set[int]:
    """The axes of the map along which positions differ."""
    dims = {dim for dim, size in enumerate(narrowed(ramp.values).shape) if size > 1}
    return dims if ramp.dim is None else dims | {ramp.dim}


def _with_made(shadow: Shadow | Lost, dim: int) -> Shadow | Lost:
    """The shadow of a map whose channels along an axis were made, and are told apart as such."""
    if isinstance(shadow, Lost) or shadow.shape[dim] == 1:
        return shadow
    ramp = ramp_of(shadow.shape, dim)
    before = next((track.mean.values for track in shadow.tracks if track.axis == MADE), None)
    if before is not None:
        # what told them apart before counts in whole rounds of the new channels
        rounds = narrowed(before) * shadow.shape[dim]
        values = expanded(narrowed(ramp.values) + rounds, shadow.shape)
        ramp = replace(ramp, values=values, dim=None)
    others = tuple(track for track in shadow.tracks if track.axis != MADE)
    return replace(shadow, tracks=(*others, Track(axis=MADE, mean=ramp, first=ramp, last=ramp)))


def _mixed(track: Track, dim: int, channels: int, groups: int) -> Track:
    def mix(ramp: Ramp) -> Ramp:
        small = narrowed(ramp.values)
        shape = [channels if axis == dim else size for axis, size in enumerate(ramp.values.shape)]
        at = None if ramp.dim == dim else ramp.dim
        if small.shape[dim] == 1:
            return replace(ramp, values=small.expand(shape), dim=at)
        parted = small.unflatten(dim, (groups, -1))  # type: ignore[no-untyped-call]
        means = parted.nanmean(dim + 1, keepdim=True)
        repeated = [channels // groups if axis == dim + 1 else size for axis, size in enumerate(means.shape)]
        values = means.expand(repeated).flatten(dim, dim + 1) if groups > 1 else means.squeeze(dim + 1)
        step = ramp.step
        if step.ndim and step.shape[dim] > 1:
            step = step.nanmean(dim, keepdim=True)
        return replace(ramp, values=expanded(values, shape), dim=at, step=step)

    return track.each(mix)


def _reduced(track: Track, dims: Sequence[int]) -> Track:
    def reduce(ramp: Ramp) -> Ramp:
        shape = [1 if axis in dims else size for axis, size in enumerate(ramp.values.shape)]
        at = None if ramp.dim in dims else ramp.dim
        values = narrowed(ramp.values).nanmean(tuple(dims), keepdim=True)
        return replace(ramp, values=expanded(values, shape), dim=at, step=_scalar(ramp.step))

    return track.each(reduce)


def _level(ramp: Ramp) -> float:
    """Where sample 0 sits, averaged over the phases and channels."""
    if ramp.dim is None:
        return float(ramp.values.nanmean())
    return offset_of(ramp, float(_scalar(ramp.step)) / ramp.period)


def _where_varied(shadow: Shadow, tracks: Sequence[Track], reason: str) -> Shadow | Lost:
    """The shadow without the tracks that no longer tell samples apart."""
    left = [
        track
        for track in tracks
        if track.mean.dim is not None or any(size > 1 for size in narrowed(track.mean.values).shape)
    ]
    placed = any(track.axis != MADE for track in left)
    return replace(shadow, tracks=tuple(left), whole=None) if placed else Lost(reason=reason)


def _same(one: Ramp, two: Ramp) -> bool:
    """Whether two ramps say the same of the same map."""
    if one is two:
        return True
    if one.values.shape != two.values.shape or one.dim != two.dim:
        return False
    a, b = _together([narrowed(one.values), narrowed(two.values)])
    if not bool((((a - b).abs() < CLOSE) | (a.isnan() & b.isnan())).all()):
        return False
    return bool((one.step / one.period - two.step / two.period).abs().max() < CLOSE)


def _together(tensors: Sequence[Tensor]) -> list[Tensor]:
    shape = [max(sizes) for sizes in zip(*(tensor.shape for tensor in tensors), strict=True)]
    return [tensor.expand(shape) for tensor in tensors]


def _without(values: Tensor, dims: Sequence[int]) -> Tensor:
    for dim in sorted(dims, reverse=True):
        values = values.squeeze(dim)
    return values


def _is_spread(shadow: Shadow, shape: Sequence[int]) -> bool:
    """Whether a map has one sample along every spatial axis, of which the other has more."""
    own = shadow.shape
    size = own[max(0, len(own) - len(shape) + 2) :] if len(shape) > 2 else own
    return math.prod(size) == 1 and math.prod(shape[2:]) > 1


def _on(shadow: Shadow, shape: Sequence[int]) -> Shadow | Lost:
    """The shadow broadcast to a shape."""
    if shadow.shape == tuple(shape):
        return shadow
    more = len(shape) - len(shadow.shape)

    def widen(ramp: Ramp) -> Ramp:
        dim = None if ramp.dim is None else ramp.dim + more
        values = ramp.values.expand(shape)
        if dim is not None and ramp.values.shape[dim - more] != shape[dim]:
            dim = None
        return replace(
            ramp, values=values, dim=dim, step=ramp.step if ramp.step.ndim == 0 else ramp.step.nanmean()
        )

    return _where_varied(shadow, [track.each(widen) for track in shadow.tracks], SPREAD)


def _joined(tracks: Sequence[Track], shape: Sequence[int]) -> Track:
    if all(_same(tracks[0].mean, each.mean) for each in tracks[1:]) and all(
        each.first is each.mean and each.last is each.mean for each in tracks
    ):
        return tracks[0]
    mean = _met([track.mean for track in tracks], shape)

    def of_one(ramp: Ramp) -> Ramp:
        return replace(ramp, values=ramp.values.expand(shape))

    return _between(tracks, mean, of_one)


def _between(tracks: Sequence[Track], mean: Ramp, of_one: Callable[[Ramp], Ramp]) -> Track:
    """The track of what several make, with the first of their first branches and the last of their last."""
    lows, highs = [_level(track.first) for track in tracks], [_level(track.last) for track in tracks]
    if max(highs) - min(lows) < CLOSE:
        return Track(axis=tracks[0].axis, mean=mean, first=mean, last=mean)
    first, last = (
        of_one(ramp) if abs(_spacing(ramp) - _spacing(mean)) < CLOSE else _shifted(mean, _level(ramp))
        for ramp in (tracks[lows.index(min(lows))].first, tracks[highs.index(max(highs))].last)
    )
    return Track(axis=tracks[0].axis, mean=mean, first=first, last=last)


def _spacing(ramp: Ramp) -> float:
    return float(_scalar(ramp.step)) / ramp.period


def _shifted(ramp: Ramp, level: float) -> Ramp:
    """The ramp moved to where its sample 0 sits here: branches of other spacings begin where they begin."""
    by = level - _level(ramp)
    return replace(ramp, values=(narrowed(ramp.values) + by).expand(ramp.values.shape))


def _steps(ramps: Sequence[Ramp], period: int) -> list[Tensor]:
    """The steps of several ramps over one period."""
    steps = [ramp.step * (period / ramp.period) for ramp in ramps]
    return steps if len({step.ndim for step in steps}) == 1 else [_scalar(step) for step in steps]


def _met(ramps: Sequence[Ramp], shape: Sequence[int]) -> Ramp:
    dims = {ramp.dim for ramp in ramps if ramp.dim is not None}
    dim = dims.pop() if len(dims) == 1 else None
    period = math.lcm(*(ramp.period for ramp in ramps))
    together = _together([narrowed(ramp.values) for ramp in ramps])
    values = torch.stack(together).nanmean(0)
    steps = torch.stack(_together(_steps(ramps, period)))
    return Ramp(values=expanded(values, shape), dim=dim, period=period, step=steps.mean(0))


def _beside(parts: Sequence[Track | None], sizes: Sequence[int], dim: int, shape: Sequence[int]) -> Track:
    known = [part for part in parts if part is not None]
    alike = all(_alike(known[0].mean, part.mean, dim) for part in known[1:])
    single = all(part.first is part.mean and part.last is part.mean for part in known)
    if len(known) == len(parts) and alike and single and known[0].mean.dim != dim:
        ramp = known[0].mean
        if narrowed(ramp.values).shape[dim] == 1:
            ramp = replace(ramp, values=narrowed(ramp.values).expand(shape))
            return Track(axis=known[0].axis, mean=ramp, first=ramp, last=ramp)
    mean = _put_beside([None if part is None else part.mean for part in parts], sizes, dim, shape)
    if known[0].mean.dim == dim:
        if single:
            return Track(axis=known[0].axis, mean=mean, first=mean, last=mean)
        first = _put_beside([None if part is None else part.first for part in parts], sizes, dim, shape)
        last = _put_beside([None if part is None else part.last for part in parts], sizes, dim, shape)
        return Track(axis=known[0].axis, mean=mean, first=first, last=last)

    def of_one(ramp: Ramp) -> Ramp:
        small = narrowed(ramp.values).nanmean(dim, keepdim=True)
        return replace(ramp, values=small.expand(shape), step=_scalar(ramp.step))

    return _between(known, mean, of_one)


def _alike(one: Ramp, two: Ramp, dim: int) -> bool:
    """Whether two maps are located alike, whatever their lengths along an axis along which neither varies."""
    a, b = narrowed(one.values), narrowed(two.values)
    if a.shape[dim] != 1 or b.shape[dim] != 1:
        return False
    return _same(
        replace(one, values=one.values.narrow(dim, 0, 1)), replace(two, values=two.values.narrow(dim, 0, 1))
    )


def _put_beside(ramps: Sequence[Ramp | None], sizes: Sequence[int], dim: int, shape: Sequence[int]) -> Ramp:
    known = [ramp for ramp in ramps if ramp is not None]
    dims = {ramp.dim for ramp in known}
    at = dims.pop() if len(dims) == 1 else None
    period = math.lcm(*(ramp.period for ramp in known))
    step = torch.stack([_scalar(ramp.step) / ramp.period for ramp in known]).mean() * period
    smalls = [None if ramp is None else narrowed(ramp.values) for ramp in ramps]
    rows = [max(small.shape[axis] for small in smalls if small is not None) for axis in range(len(shape))]
    pieces, steps = [], []
    for ramp, small, size in zip(ramps, smalls, sizes, strict=True):
        rows[dim] = size
        if ramp is None or small is None:
            pieces.append(torch.full(rows, math.nan, dtype=torch.float64))
        else:
            pieces.append(small.expand(rows))
        own = [size if axis == dim else 1 for axis in range(len(shape))]
        steps.append((step if ramp is None else _scalar(ramp.step) * (period / ramp.period)).expand(own))
    values = expanded(torch.cat(pieces, dim), shape)
    if at == dim:
        return literally(Ramp(values=values, dim=None, period=1, step=step / period), lambda given: given)
    each = torch.cat(steps, dim)
    if bool((each - step).abs().max() < CLOSE):
        each = step
    return Ramp(values=values, dim=at, period=period, step=each)


def _scalar(step: Tensor) -> Tensor:
    return step if step.ndim == 0 else step.nanmean()
