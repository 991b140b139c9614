"""Lay out the maps of a U-Net: their sizes, what their joins need, how far the joined grids are apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Any

from upstroke.axes import times, whole_per_axis
from upstroke.errors import OptionError, ShapeError
from upstroke.grid import Grid, drift
from upstroke.plan.layers import (
    Chain,
    Conv,
    Layer,
    Pad,
    Pool,
    Resize,
    Shuffle,
    Step,
    Transposed,
    axes_of,
    check_choice,
    check_most,
    factors_of,
    on_axis,
    settings_of,
    window_of,
)

__all__ = ["Fit", "Need", "Sides", "UnetLevel", "UnetPlan", "plan_unet", "plan_unet_levels"]

SCHEMA = "upstroke.plan/1"
CONV_STYLES = ("valid", "same")
# What a U-Net needs repeats every stride^depth sizes; far beyond this, no size is a practical one.
LONGEST_PERIOD = 4096
MOST_CONVS = 100
LONGEST_KERNEL = 1000
POOL_2 = Pool(kernel=2)
TRANSPOSED_2 = Transposed(kernel=2, stride=2)

Down = Conv | Pool
Up = Transposed | Resize | Shuffle | Chain


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Samples on the left and on the right of one axis."""

    left: int
    right: int

    def as_json(self) -> dict[str, int]:
        """Give the sides as plain data."""
        return {"left": self.left, "right": self.right}


NONE = Sides(left=0, right=0)


@dataclass(frozen=True, kw_only=True)
class Need:
    """What the upsampled map of one level needs on one axis to come to the size of its join.

    Attributes:
        axis: The axis.
        action: "output_padding" (set it to `right`), "pad" or "crop" (by `left` and `right`).
        left: Samples on the left.
        right: Samples on the right.
    """

    axis: int
    action: str
    left: int
    right: int

    def as_json(self) -> dict[str, Any]:
        """Give the need as plain data."""
        return {"axis": self.axis, "action": self.action, "left": self.left, "right": self.right}


@dataclass(frozen=True, kw_only=True)
class UnetLevel:
    """The maps of one level and their join; at the bottom there is none.

    Attributes:
        level: 0 is the full resolution.
        entry: The map that comes in from above.
        encoder: Behind the level's convolutions; it is what the skip connection carries.
        unread: Samples on the right of it that the downsampling never reads, per axis.
        upsampled: The map that comes up from below, after what it needs was done.
        crop: What is cropped off the encoder's map, per axis.
        needs: What the upsampled map needs; nothing where its size is right as it is.
        drift: How far the upsampled map sits from the cropped encoder map, in input pixels.
        centre_crop_drift: The same, had the encoder's map been cropped by half of the difference on the left,
            rounded down, as most code does.
        decoder: Behind the level's convolutions on the way up.
    """

    level: int
    entry: Step
    encoder: Step
    unread: tuple[int, ...] | None
    upsampled: Step | None
    crop: tuple[Sides, ...] | None
    needs: tuple[Need, ...]
    drift: tuple[Fraction, ...] | None
    centre_crop_drift: tuple[Fraction, ...] | None
    decoder: Step

    def as_json(self) -> dict[str, Any]:
        """Give the level as plain data."""
        return {
            "level": self.level,
            "entry": self.entry.as_json(),
            "encoder": self.encoder.as_json(),
            "unread": None if self.unread is None else list(self.unread),
            "upsampled": None if self.upsampled is None else self.upsampled.as_json(),
            "crop": None if self.crop is None else [sides.as_json() for sides in self.crop],
            "needs": [need.as_json() for need in self.needs],
            "drift": _distance_json(self.drift),
            "centre_crop_drift": _distance_json(self.centre_crop_drift),
            "decoder": self.decoder.as_json(),
        }


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Which sizes fit one axis exactly.

    With valid convolutions: nothing is dropped on the way down, and every crop is the same on both
    sides. With same ones: every upsampled map has the size of its join.

    Attributes:
        exact: Whether the given size does.
        period: With a size that fits, every size that is larger by a multiple of this fits too.
        remainders: Sizes that fit have one of these remainders modulo the period; empty if none fits.
        least: The smallest size that runs at all.
        smallest: The smallest size that fits.
        below: The largest size that fits and is no larger than the given one.
        above: The smallest size that fits and is no smaller than the given one.
    """

    exact: bool
    period: int
    remainders: tuple[int, ...]
    least: int
    smallest: int | None
    below: int | None
    above: int | None

    def as_json(self) -> dict[str, Any]:
        """Give the fit as plain data."""
        return {
            "exact": self.exact,
            "period": self.period,
            "remainders": list(self.remainders),
            "least": self.least,
            "smallest": self.smallest,
            "below": self.below,
            "above": self.above,
        }


@dataclass(frozen=True, kw_only=True)
class UnetPlan:
    """A U-Net laid out for one input size.

    Attributes:
        size: The input size.
        conv: "valid" or "same".
        convs_per_level: Convolutions on each level, on the way down and on the way up.
        kernel: Their kernel, on the full resolution if levels differ.
        down: What leads from level to level, from the full resolution if steps differ.
        up: What leads back, to the full resolution if steps differ.
        levels: From the full resolution (level 0) to the bottom.
        output: The last map, at the size and on the grid of the output.
        output_drift: How far the middle of the output sits from the middle of the input, in input pixels.
        fit: Which sizes fit, per axis.
        untapped: Per axis, what would fill the samples that a needed output_padding adds and that no tap
            reaches, so that they hold the bias alone; None where there are none.
    """

    size: tuple[int, ...]
    conv: str
    convs_per_level: int
    kernel: tuple[int, ...]
    down: Down
    up: Up
    levels: tuple[UnetLevel, ...]
    output: Step
    output_drift: tuple[Fraction, ...]
    fit: tuple[Fit, ...]
    untapped: tuple[Transposed | None, ...]

    def as_json(self) -> dict[str, Any]:
        """Give the plan as plain data."""
        return {
            "schema": SCHEMA,
            "kind": "unet",
            "size": list(self.size),
            "depth": len(self.levels) - 1,
            "conv": self.conv,
            "convs_per_level": self.convs_per_level,
            "kernel": list(self.kernel),
            "down": self.down.name,
            "up": self.up.name,
            "levels": [level.as_json() for level in self.levels],
            "output": {**self.output.as_json(), "drift": _distance_json(self.output_drift)},
            "fit": [fit.as_json() for fit in self.fit],
            "untapped": [None if fill is None else {"fill": fill.name} for fill in self.untapped],
        }


def plan_unet(
    size: int | tuple[int, ...],
    depth: int,
    *,
    conv: str = "valid",
    convs_per_level: int = 2,
    kernel: int | tuple[int, ...] = 3,
    down: Down = POOL_2,
    up: Up = TRANSPOSED_2,
    exact: bool = False,
) -> UnetPlan:
    """Lay out a U-Net: every size, every crop, every grid.

    1. On each level, `convs_per_level` convolutions; `down` leads to the next one.
    2. From the bottom, `up` leads back; the result is joined to the encoder's map of that level.
    3. "valid" convolutions have no padding, and the larger of the two joined maps is cropped. "same" ones
       keep the size, and the upsampled map is brought to the encoder's size: by output_padding if `up` is a
       transposed convolution that can, otherwise by padding or cropping it. Where something is cut or added,
       the sides are chosen so that the two grids come closest; the right one, if that is all the same.

    A size that runs without fitting exactly is planned all the same, and `fit` names the nearest that do fit;
    with exact=True it is refused.

    >>> plan = plan_unet(572, 4)
    >>> plan.output.size, [level.crop[0].left for level in plan.levels[:-1]]
    ((388,), [88, 40, 16, 4])
    >>> plan_unet((97, 131), 1, conv="same").levels[0].needs[0]
    Need(axis=0, action='output_padding', left=0, right=1)
    """
    check_choice(conv, CONV_STYLES, name="conv")
    ndim = axes_of(
        {
            "size": size,
            "kernel": kernel,
            **settings_of(down, role="down"),
            **settings_of(up, role="up"),
        }
    )
    sizes = whole_per_axis(size, ndim, name="size", least=1)
    kernels = whole_per_axis(kernel, ndim, name="kernel", least=1)
    for name, number in (("depth", depth), ("convs_per_level", convs_per_level)):
        if number < 1:
            message = f"{name} must be at least 1; got {number}"
            raise OptionError(message)
    check_most(convs_per_level, MOST_CONVS, name="convs_per_level")
    check_most(kernels, LONGEST_KERNEL, name="kernel")
    return plan_unet_levels(
        sizes,
        conv=conv,
        convs_per_level=convs_per_level,
        kernels=(kernels,) * (depth + 1),
        downs=(down,) * depth,
        ups=(up,) * depth,
        exact=exact,
    )


def plan_unet_levels(
    size: tuple[int, ...],
    *,
    conv: str,
    convs_per_level: int,
    kernels: Sequence[tuple[int, ...]],
    downs: Sequence[Down],
    ups: Sequence[Up],
    exact: bool = False,
) -> UnetPlan:
    """Lay out a U-Net whose levels have kernels, and whose steps have layers, of their own.

    Args:
        size: of the input.
        conv: "valid" or "same".
        convs_per_level: convolutions on each level.
        kernels: of each level's convolutions, the full resolution first.
        downs: what leads down from each level.
        ups: what leads back up to each level.
        exact: whether a size that does not fit exactly is refused.

    >>> plan = plan_unet_levels(
    ...     (20, 44),
    ...     conv="same",
    ...     convs_per_level=2,
    ...     kernels=[(1, 3), (3, 3)],
    ...     downs=[Pool(kernel=(1, 2))],
    ...     ups=[Transposed(kernel=(1, 2), stride=(1, 2))],
    ... )
    >>> plan.levels[1].entry.size
    (20, 22)
    """
    ndim, depth = len(size), len(downs)
    net = _Net(
        convs=tuple(_convs(conv, kernel, count=convs_per_level) for kernel in kernels),
        downs=tuple(downs),
        ups=tuple(ups),
        keeps_size=conv == "same",
    )
    periods = _periods(net, ndim)
    fit = tuple(_fit(net.on_axis(axis), size[axis], period=periods[axis]) for axis in range(ndim))
    _check_size(size, depth, conv=conv, fit=fit, exact=exact)
    levels = _levels(net, size)
    output = replace(levels[0].decoder, name="output")
    return UnetPlan(
        size=size,
        conv=conv,
        convs_per_level=convs_per_level,
        kernel=kernels[0],
        down=net.downs[0],
        up=net.ups[0],
        levels=levels,
        output=output,
        output_drift=tuple(
            o + s * Fraction(m - 1, 2) - Fraction(n - 1, 2)
            for o, s, m, n in zip(output.grid.offset, output.grid.spacing, output.size, size, strict=True)
        ),
        fit=fit,
        untapped=tuple(_untapped(net.on_axis(axis), levels, axis) for axis in range(ndim)),
    )


@dataclass(frozen=True, kw_only=True)
class _Net:
    """What every level does: convolutions, one step down, one step up."""

    convs: tuple[tuple[Layer, ...], ...]
    downs: tuple[Down, ...]
    ups: tuple[Up, ...]
    keeps_size: bool

    @property
    def depth(self) -> int:
        return len(self.downs)

    def on_axis(self, axis: int) -> "_Net":
        return replace(
            self,
            convs=tuple(tuple(on_axis(layer, axis) for layer in level) for level in self.convs),
            downs=tuple(on_axis(layer, axis) for layer in self.downs),
            ups=tuple(on_axis(layer, axis) for layer in self.ups),
        )


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """Sizes of all maps, indexed by level; upsampled has none for the bottom."""

    entry: list[tuple[int, ...]]
    encoder: list[tuple[int, ...]]
    upsampled: list[tuple[int, ...]]
    decoder: list[tuple[int, ...]]


def _convs(conv: str, kernel: tuple[int, ...], *, count: int) -> tuple[Layer, ...]:
    """Give one convolution, as long as all of a level together: they have no stride, so reaches add up."""
    together = Conv(kernel=tuple(count * (k - 1) + 1 for k in kernel))
    if conv == "valid":
        return (together,)
    left = tuple(count * ((k - 1) // 2) for k in kernel)
    return (Pad(left=left, right=tuple(count * (k // 2) for k in kernel)), together)


def _periods(net: _Net, ndim: int) -> tuple[int, ...]:
    """Give the product of the factors between levels, which the way down and the way up must share."""
    periods = [1] * ndim
    for step_down, step_up in zip(net.downs, net.ups, strict=True):
        down = factors_of(step_down, ndim)
        if down != factors_of(step_up, ndim):
            message = (
                "up must multiply the spacing by what down divides it by, or the grids cannot be joined; "
                f"got {step_down.name} and {step_up.name}; give both the same factor on every axis"
            )
            raise ShapeError(message)
        periods = [period * int(factor) for period, factor in zip(periods, down, strict=True)]
    if max(periods) > LONGEST_PERIOD:
        axis = periods.index(max(periods))
        strides = dict.fromkeys(int(factors_of(step, ndim)[axis]) for step in net.downs)
        message = (
            f"depth and stride must shrink a map at most {LONGEST_PERIOD} times; got depth {net.depth} "
            f"with stride {', '.join(map(str, strides))}; use fewer levels"
        )
        raise OptionError(message)
    return tuple(periods)


def _sizes(net: _Net, size: tuple[int, ...]) -> _Sizes:
    """Follow the sizes down and up; ShapeError where nothing is left of a map."""
    entry, encoder = [], []
    for level in range(net.depth + 1):
        size = net.downs[level - 1].size(size) if level else size
        entry.append(size)
        size = _through(net.convs[level], size)
        encoder.append(size)
    upsampled, decoder = [], [size]
    for level in reversed(range(net.depth)):
        skip = encoder[level]
        risen = net.ups[level].size(decoder[-1])
        upsampled.append(risen)
        joined = skip if net.keeps_size else tuple(map(min, skip, risen))
        decoder.append(_through(net.convs[level], joined))
    return _Sizes(entry=entry, encoder=encoder, upsampled=upsampled[::-1], decoder=decoder[::-1])


def _through(layers: tuple[Layer, ...], size: tuple[int, ...]) -> tuple[int, ...]:
    for layer in layers:
        size = layer.size(size)
    return size


def _grid_through(layers: tuple[Layer, ...], grid: Grid) -> Grid:
    for layer in layers:
        grid = layer.grid(grid)
    return grid


def _runs(net: _Net, size: int) -> bool:
    try:
        _sizes(net, (size,))
    except ShapeError:
        return False
    return True


def _fits(net: _Net, size: int) -> bool:
    """Tell whether a size that runs loses nothing on the way down and joins without patching."""
    sizes = _sizes(net, (size,))
    spare = [skip[0] - up[0] for skip, up in zip(sizes.encoder[:-1], sizes.upsampled, strict=True)]
    if net.keeps_size:
        return not any(spare)
    dropped = [down.unread(skip)[0] for down, skip in zip(net.downs, sizes.encoder[:-1], strict=True)]
    return not any(dropped) and not any(n % 2 for n in spare)


@dataclass(frozen=True, kw_only=True)
class _Fitting:
    """The least size that runs on an axis, and those that fit among the first period of sizes that run."""

    least: int
    sizes: tuple[int, ...]


@lru_cache(maxsize=64)
def _fitting(net: _Net, *, period: int) -> _Fitting:
    """Search one axis for the sizes that fit.

    Sizes on the way never fall when the input grows, so the sizes that run are all from `least` on. Adding
    stride^depth to the input adds whole strides on every level, so what fits repeats with that period.
    """
    too_small, least = 0, 1
    while not _runs(net, least):
        too_small, least = least, 2 * least
    while least - too_small > 1:
        middle = (least + too_small) // 2
        too_small, least = (too_small, middle) if _runs(net, middle) else (middle, least)
    return _Fitting(least=least, sizes=tuple(n for n in range(least, least + period) if _fits(net, n)))


def _fit(net: _Net, size: int, *, period: int) -> Fit:
    fitting = _fitting(net, period=period)
    above = [n + period * max(0, ceil(Fraction(size - n, period))) for n in fitting.sizes]
    below = [n + period * ((size - n) // period) for n in fitting.sizes if n <= size]
    return Fit(
        exact=size in below,
        period=period,
        remainders=tuple(sorted(n % period for n in fitting.sizes)),
        least=fitting.least,
        smallest=min(fitting.sizes, default=None),
        below=max(below, default=None),
        above=min(above, default=None),
    )


def _check_size(size: tuple[int, ...], depth: int, *, conv: str, fit: tuple[Fit, ...], exact: bool) -> None:
    net = f"a U-Net of depth {depth} with {conv} convolutions"
    if any(n < each.least for n, each in zip(size, fit, strict=True)):
        least = times(each.least for each in fit)
        smallest = times(each.least if each.smallest is None else each.smallest for each in fit)
        remedy = f"{smallest}, which fits exactly," if smallest != least else f"{least} or more,"
        message = f"{net} needs a size of at least {least}; got {times(size)}; use {remedy} or fewer levels"
        raise ShapeError(message)
    if exact and not all(each.exact for each in fit):
        nearest = [
            times(n for n in sizes if n is not None)
            for sizes in ([each.below for each in fit], [each.above for each in fit])
            if None not in sizes
        ]
        message = f"{net} should fit exactly; got {times(size)}, which does not; "
        message += f"the nearest that do are {' and '.join(nearest)}" if nearest else "no size does"
        raise ShapeError(message)


def _levels(net: _Net, size: tuple[int, ...]) -> tuple[UnetLevel, ...]:
    """Follow the grids beside the sizes, and settle every join."""
    sizes = _sizes(net, size)
    entry_grids, encoder_grids = [], []
    grid = Grid.of_input(len(size))
    for level in range(net.depth + 1):
        grid = net.downs[level - 1].grid(grid) if level else grid
        entry_grids.append(grid)
        grid = _grid_through(net.convs[level], grid)
        encoder_grids.append(grid)
    levels: list[UnetLevel] = []
    for level in reversed(range(net.depth + 1)):
        encoder = Step(name=f"encoder {level}", size=sizes.encoder[level], grid=encoder_grids[level])
        is_bottom = level == net.depth
        join = None
        if not is_bottom:
            below = levels[-1].decoder
            join = _join(
                net,
                level,
                encoder,
                Step(name="", size=sizes.upsampled[level], grid=net.ups[level].grid(below.grid)),
            )
            grid = _grid_through(net.convs[level], join.upsampled.grid)
        levels.append(
            UnetLevel(
                level=level,
                entry=Step(name=f"entry {level}", size=sizes.entry[level], grid=entry_grids[level]),
                encoder=encoder,
                unread=None if is_bottom else net.downs[level].unread(encoder.size),
                upsampled=None if join is None else replace(join.upsampled, name=f"upsampled {level}"),
                crop=None if join is None else join.crop,
                needs=() if join is None else join.needs,
                drift=None if join is None else join.drift,
                centre_crop_drift=None if join is None else join.centre_crop_drift,
                decoder=Step(name=f"decoder {level}", size=sizes.decoder[level], grid=grid),
            )
        )
    return tuple(reversed(levels))


@dataclass(frozen=True, kw_only=True)
class _Join:
    """How two maps meet, and how far apart their grids are then."""

    upsampled: Step
    crop: tuple[Sides, ...]
    needs: tuple[Need, ...]
    drift: tuple[Fraction, ...]
    centre_crop_drift: tuple[Fraction, ...]


@dataclass(frozen=True, kw_only=True)
class _Meeting:
    """How two maps meet on one axis: what the encoder's loses, what the upsampled one needs."""

    crop: Sides = NONE
    need: Need | None = None
    pad_left: int = 0


def _join(net: _Net, level: int, encoder: Step, upsampled: Step) -> _Join:
    """Bring two maps to one size, as close to one grid as whole samples allow."""
    meetings = tuple(_meet(net, level, encoder, upsampled, axis) for axis in range(len(encoder.size)))
    crop = tuple(meeting.crop for meeting in meetings)
    met = replace(
        upsampled,
        size=tuple(n - sides.left - sides.right for n, sides in zip(encoder.size, crop, strict=True)),
        grid=upsampled.grid.pad(tuple(meeting.pad_left for meeting in meetings)),
    )
    centre = tuple((sides.left + sides.right) // 2 for sides in crop)
    return _Join(
        upsampled=met,
        crop=crop,
        needs=tuple(meeting.need for meeting in meetings if meeting.need is not None),
        drift=drift(met.grid, encoder.grid.crop(tuple(sides.left for sides in crop))),
        centre_crop_drift=drift(met.grid, encoder.grid.crop(centre)),
    )


def _meet(net: _Net, level: int, encoder: Step, upsampled: Step, axis: int) -> _Meeting:
    spare = encoder.size[axis] - upsampled.size[axis]
    ahead = (upsampled.grid.offset[axis] - encoder.grid.offset[axis]) / encoder.grid.spacing[axis]
    if spare == 0:
        return _Meeting()
    output_padding = _output_padding(net, level, axis, ndim=len(encoder.size), spare=spare)
    if output_padding is not None:
        return _Meeting(need=output_padding)
    if spare < 0:
        sides = _closest(-spare, -ahead)
        need = Need(axis=axis, action="crop", left=sides.left, right=sides.right)
        return _Meeting(need=need, pad_left=-sides.left)
    sides = _closest(spare, ahead)
    if not net.keeps_size:
        return _Meeting(crop=sides)
    return _Meeting(
        need=Need(axis=axis, action="pad", left=sides.left, right=sides.right), pad_left=sides.left
    )


def _closest(total: int, left: Fraction) -> Sides:
    """Split a total so that the left side comes closest to a number; a tie goes to the smaller left side."""
    whole = min(max(ceil(left - Fraction(1, 2)), 0), total)
    return Sides(left=whole, right=total - whole)


def _output_padding(net: _Net, level: int, axis: int, *, ndim: int, spare: int) -> Need | None:
    """Give the output_padding that closes a gap, where there is one to choose and it can."""
    up = net.ups[level]
    if not isinstance(up, Transposed) or not net.keeps_size:
        return None
    _, stride, _, dilation = window_of(up, ndim)[axis]
    wanted = whole_per_axis(up.output_padding, ndim, name="output_padding")[axis] + spare
    if not 0 <= wanted < max(stride, dilation):
        return None
    return Need(axis=axis, action="output_padding", left=0, right=wanted)


def _untapped(net: _Net, levels: tuple[UnetLevel, ...], axis: int) -> Transposed | None:
    """Find a kernel for samples that output_padding adds out of every tap's reach; None where all have one.

    A kernel longer by 1 on both sides, with 1 more padding, gives the same size on the same grid.
    """
    needs = [(net.ups[level.level], need) for level in levels for need in level.needs if need.axis == axis]
    added, up = 0, net.ups[0]
    for own, need in needs:
        if need.action == "output_padding" and need.right > added:
            added, up = need.right, own
    if not isinstance(up, Transposed) or _taps_reach(up, added):
        return None
    kernel, stride, padding, dilation = window_of(up, 1)[0]
    for more in range(1, stride + added + 1):
        fill = replace(up, kernel=kernel + 2 * more, padding=padding + dilation * more, output_padding=0)
        if _taps_reach(fill, added):
            return fill
    return None


def _taps_reach(layer: Transposed, added: int) -> bool:
    """Tell whether each sample added on the right gets a tap, from the last input or one before it."""
    kernel, stride, padding, dilation = window_of(layer, 1)[0]
    ends = dilation * (kernel - 1)
    reached = {tap % stride: tap for tap in range(0, ends + 1, dilation)}
    return all(
        reached.get(end % stride, -1) >= end for end in range(ends - padding + 1, ends - padding + added + 1)
    )


def _distance_json(distances: tuple[Fraction, ...] | None) -> dict[str, Any] | None:
    """Give distances in input pixels as numbers, and exactly as strings."""
    if distances is None:
        return None
    return {"value": [float(d) for d in distances], "exact": [str(d) for d in distances]}
