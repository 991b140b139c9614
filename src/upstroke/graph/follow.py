"""Turn the layout of a map into that of what a step makes of it."""

from dataclasses import replace
from fractions import Fraction
from functools import singledispatch

from upstroke.graph.form import Shape
from upstroke.graph.layout import (
    COPIES,
    UNKNOWN,
    Factor,
    Layout,
    LostError,
    bare,
    feature,
    length_of,
    sizes_of,
)
from upstroke.graph.steps import (
    Columns,
    Convolution,
    Expansion,
    Filter,
    Lookup,
    Mixing,
    Other,
    Pad,
    PerChannel,
    PixelShuffle,
    PixelUnshuffle,
    Pointwise,
    Pool,
    Reduction,
    Reshape,
    Resize,
    Reversal,
    Roll,
    Same,
    Slice,
    Softmax,
    Stays,
    Step,
    Transpose,
    TransposedConvolution,
    Unread,
    Upsampling,
    Windows,
)
from upstroke.grid import Grid
from upstroke.polyphase import kernel_form, trimmed

__all__ = ["SPATIAL", "followed"]

# These take the axes behind the second for space.
SPATIAL = (
    Columns, Convolution, Filter, PixelShuffle, PixelUnshuffle, Pool, Resize, TransposedConvolution,
    Upsampling,
)  # fmt: skip

# Denominators of scales that are given as floats: beyond any that people write.
_FINEST = 2**16


def followed(step: Step, layout: Layout, *, name: str, operator: str, after: Shape) -> Layout:
    """The layout behind a step that takes one map.

    Args:
        step: the step.
        layout: of the map that it takes.
        name: of the map that it takes.
        operator: what the step is called where it comes from.
        after: shape of the map that it makes.

    Raises:
        LostError: nobody can say where the samples sit afterwards.
    """
    if isinstance(step, SPATIAL) and len(layout.axes) != len(after) and not isinstance(step, Columns):
        msg = f"{operator} on a map without a batch axis"
        raise LostError(msg)
    if isinstance(step, Unread) and step.moves:
        for move, shape in step.moves:
            layout = followed(move, layout, name=name, operator=operator, after=shape)
        return layout
    if isinstance(step, Other | Unread):
        reason = step.reason or f"{operator} moves samples in a way that is not read"
        raise LostError(reason)
    if isinstance(step, Slice):
        return _checked(_sliced(step, layout, name, after), after)
    plain = layout if isinstance(step, Same) else replace(layout, cut=None)
    return _checked(_follow(step, plain, after), after)


def _checked(layout: Layout, after: Shape) -> Layout:
    """The layout, unless it has other sizes than the map."""
    sizes = [length_of(axis) for axis in layout.axes]
    same = len(sizes) == len(after) and all(
        found == size or size is None or found % UNKNOWN == 0
        for found, size in zip(sizes, after, strict=True)
    )
    if not same:
        msg = "its shape is not the one that its step leads to"
        raise LostError(msg)
    return layout


@singledispatch
def _follow(step: Step, layout: Layout, after: Shape) -> Layout:
    msg = f"{type(step).__name__} moves samples in a way that is not read"
    raise LostError(msg)


@_follow.register
def _(step: Same | Pointwise | PerChannel | Stays | Expansion, layout: Layout, after: Shape) -> Layout:
    """Constants beside a map, and copies, may make it wider."""
    layout = replace(layout, axes=((),) * (len(after) - len(layout.axes)) + layout.axes)
    for place, (axis, size) in enumerate(zip(layout.axes, after, strict=True)):
        if size in (None, length_of(axis)):
            continue
        if any(factor.line is not None for factor in axis):
            layout = layout.absorbed(place, sizes_of((size,))[0], why=COPIES)
        layout = layout.with_axis(place, feature(sizes_of((size,))[0]))
    return layout


@_follow.register
def _(step: Reshape, layout: Layout, after: Shape) -> Layout:
    return layout.reshaped(after)


@_follow.register
def _(step: Transpose, layout: Layout, after: Shape) -> Layout:
    return layout.transposed(step.order)


@_follow.register
def _(step: Softmax, layout: Layout, after: Shape) -> Layout:
    if any(factor.line is not None for factor in bare(layout.axes[step.axis])):
        msg = "softmax over positions"
        raise LostError(msg)
    return layout


@_follow.register
def _(step: Mixing, layout: Layout, after: Shape) -> Layout:
    return layout.absorbed(step.axis, sizes_of(after)[step.axis], why=f"{step.what} mixes all positions")


@_follow.register
def _(step: Reduction, layout: Layout, after: Shape) -> Layout:
    for place in step.axes:
        axis = layout.axes[place]
        if not (step.is_kept and len(axis) == 1 and axis[0].size == 1):
            layout = layout.absorbed(place, 1)
    if step.is_kept:
        return layout
    return replace(layout, axes=tuple(axis for at, axis in enumerate(layout.axes) if at not in step.axes))


@_follow.register
def _(step: Lookup, layout: Layout, after: Shape) -> Layout:
    return replace(layout, axes=(*layout.axes, feature(sizes_of(after)[-1])))


@_follow.register
def _(step: Roll, layout: Layout, after: Shape) -> Layout:
    for place, by in step.moves:
        layout = layout.resampled(place, Fraction(-by), Fraction(1), length_of(layout.axes[place]))
    return layout


@_follow.register
def _(step: Reversal, layout: Layout, after: Shape) -> Layout:
    if any(factor.line is not None for place in step.axes for factor in bare(layout.axes[place])):
        msg = "flipped, so that positions run backwards"
        raise LostError(msg)
    return layout


@_follow.register
def _(step: Windows, layout: Layout, after: Shape) -> Layout:
    layout, sizes = layout.settled(step.axis), sizes_of(after)
    axis = layout.axes[step.axis]
    if not axis or axis[0].line is None:
        return replace(
            layout.with_axis(step.axis, feature(sizes[step.axis])), axes=(*layout.axes, feature(sizes[-1]))
        )
    inside = (replace(axis[0], size=sizes[-1]),)
    layout = layout.resampled(step.axis, Fraction(0), Fraction(step.stride), sizes[step.axis])
    return replace(layout, axes=(*layout.axes, inside))


@_follow.register
def _(step: Columns, layout: Layout, after: Shape) -> Layout:
    inside, outside = list(layout.axes[1]), list[Factor]()
    numbers = zip(step.kernel, step.stride, step.dilation, step.padding, step.count, strict=True)
    for place, (k, s, d, p, count) in enumerate(numbers, start=2):
        layout = layout.settled(place)
        axis = layout.axes[place]
        factor = axis[0] if axis else Factor(size=1)
        if factor.line is not None:
            layout = layout.moved(factor.line, -p * factor.step)
        if k > 1:
            inside.append(replace(factor, size=k, step=factor.step * d))
        if count > 1 or factor.line is not None:
            outside.append(replace(factor, size=count, step=factor.step * s))
    return replace(layout, axes=(layout.axes[0], tuple(inside), tuple(outside)))


@_follow.register
def _(step: PixelUnshuffle, layout: Layout, after: Shape) -> Layout:
    inside = list(layout.axes[1])
    for place, s in enumerate(step.scale, start=2):
        layout = layout.settled(place)
        axis = layout.axes[place]
        parts = axis[0].split(axis[0].size // s) if axis and s > 1 else None
        if parts is not None:
            inside.append(parts[1])
            layout = layout.with_axis(place, (parts[0],))
    return layout.with_axis(1, tuple(inside))


@_follow.register
def _(step: PixelShuffle, layout: Layout, after: Shape) -> Layout:
    grid = _point().resize
    return _sampled(_mixed(layout, after), [grid(s) for s in step.scale], after)


@_follow.register
def _(step: Convolution, layout: Layout, after: Shape) -> Layout:
    numbers = zip(step.weight.shape[2:], step.stride, step.padding, step.dilation, strict=True)
    grids = [_point().conv(k, stride=s, padding=left, dilation=d) for k, s, (left, _), d in numbers]
    return _sampled(_mixed(layout, after, groups=step.groups), grids, after)


@_follow.register
def _(step: Filter, layout: Layout, after: Shape) -> Layout:
    numbers = zip(step.kernel, step.stride, step.padding, step.dilation, strict=True)
    grids = [_point().conv(k, stride=s, padding=left, dilation=d) for k, s, (left, _), d in numbers]
    return _sampled(_mixed(layout, after), grids, after)


@_follow.register
def _(step: TransposedConvolution, layout: Layout, after: Shape) -> Layout:
    numbers = zip(step.weight.shape[2:], step.stride, step.padding, step.dilation, strict=True)
    grids = [_point().transposed(k, stride=s, padding=left, dilation=d) for k, s, (left, _), d in numbers]
    return _sampled(_mixed(layout, after, groups=step.groups), grids, after)


@_follow.register
def _(step: Upsampling, layout: Layout, after: Shape) -> Layout:
    form = trimmed(kernel_form(step.operator))
    numbers = zip(form.support.shape, step.operator.scale, form.crop, strict=True)
    grids = [_point().transposed(length, stride=s, padding=crop) for length, s, crop in numbers]
    if not step.operator.shared:
        layout = _mixed(layout, after, groups=step.operator.groups)
    return _sampled(layout, grids, after)


@_follow.register
def _(step: Pool, layout: Layout, after: Shape) -> Layout:
    numbers = zip(step.kernel, step.stride, step.padding, strict=True)
    return _sampled(layout, [_point().conv(k, stride=s, padding=left) for k, s, (left, _) in numbers], after)


@_follow.register
def _(step: Resize, layout: Layout, after: Shape) -> Layout:
    grids = []
    for place, scale in enumerate(step.scale, start=2):
        layout = layout.settled(place)
        grids.append(_resized(step, scale, length_of(layout.axes[place]), after[place]))
    return _sampled(layout, grids, after)


@_follow.register
def _(step: Pad, layout: Layout, after: Shape) -> Layout:
    for place, (sides, size) in enumerate(zip(step.sides, after[2:], strict=True), start=2):
        if sides != (0, 0):
            layout = _part(layout, place, -sides[0], sizes_of((size,))[0])
    return layout


def _point() -> Grid:
    """A line whose samples are one apart: what a layer makes of it is how it moves and spaces samples."""
    return Grid.of_input(1)


def _resized(step: Resize, scale: float, before: int, after: int | None) -> Grid:
    """What a resize does along one axis; by the sizes where no scale was given."""
    if before == after and (scale == 1 or not step.given):
        return _point()
    exact = None if after is None or UNKNOWN in (before, after) else Fraction(after, before)
    wanted = Fraction(scale).limit_denominator(_FINEST)
    if exact is not None and (not step.given or abs(float(exact) - scale) < 1e-6):
        wanted = exact
    if step.coordinates == "align_corners" and step.mode != "nearest":
        if exact is None:
            msg = "align_corners at an unknown size"
            raise LostError(msg)
        assert after is not None
        return _point().align_corners(before, after)
    return _point().resize_onnx(
        wanted,
        coordinates=step.coordinates,
        mode=step.mode,
        rounding=step.rounding,
        size=None if before == UNKNOWN else before,
    )


def _sampled(layout: Layout, grids: list[Grid], after: Shape) -> Layout:
    """The last axes sampled as these grids say of samples one apart."""
    first = len(after) - len(grids)  # a pool may come without a batch axis
    for place, (grid, size) in enumerate(zip(grids, sizes_of(after)[first:], strict=True), start=first):
        (cells,), (zoom,) = grid.offset, grid.spacing
        layout = layout.resampled(place, cells, zoom, size, flag=grid.size_dependent)
    return layout


def _mixed(layout: Layout, after: Shape, *, groups: int = 1) -> Layout:
    """Channels mixed; those that each go their own way keep the samples that they hold."""
    out = sizes_of(after)[1]
    if groups > 1 and groups == out == length_of(layout.axes[1]):
        return layout
    return layout.absorbed(1, out, why="mixed as channels")


def _sliced(step: Slice, layout: Layout, name: str, after: Shape) -> Layout:
    if step.is_dropped:
        ((place, index, _),) = step.cuts
        found = _one(layout, place, index)
        return replace(found, axes=(*found.axes[:place], *found.axes[place + 1 :]), cut=None)
    source, cuts = layout.cut or (name, ())
    sizes = sizes_of(after)
    for place, start, stride in step.cuts:
        if stride == 1:
            layout = _part(layout, place, start, sizes[place])
        else:
            layout = layout.resampled(place, Fraction(start), Fraction(stride), sizes[place])
    strided = all(stride > 1 for _, _, stride in step.cuts)
    return replace(layout, cut=(source, (*cuts, *step.cuts)) if strided else None)


def _one(layout: Layout, place: int, index: int) -> Layout:
    """With one index along an axis."""
    axis = layout.axes[place]
    if len(axis) == 1 and axis[0].held is not None:
        front, inside, _ = axis[0].held
        if not front <= index < front + length_of(inside):
            msg = "a token that stands beside the map"
            raise LostError(msg)
        return _one(layout.with_axis(place, inside), place, index - front)
    if all(factor.line is None for factor in axis):
        return layout.with_axis(place, ())
    if len(axis) == 1 and axis[0].size == 1:
        return layout.with_axis(place, ())
    return _part(layout, place, index, 1).absorbed(place, 1, why="one of several positions")


def _part(layout: Layout, place: int, start: int, size: int) -> Layout:
    """So many samples along an axis from this one on; before the first and behind the last, padding."""
    axis = layout.axes[place]
    if len(axis) == 1 and axis[0].held is not None:
        front, inside, _ = axis[0].held
        length = length_of(inside)
        if start + size <= front or start >= front + length or start < 0:
            msg = "tokens that stand beside the map"
            raise LostError(msg)
        begin, end = max(start - front, 0), min(start + size - front, length)
        kept = layout.with_axis(place, inside)
        if (begin, end) != (0, length):
            kept = _part(kept, place, begin, end - begin)
        rest = (max(front - start, 0), kept.axes[place], max(start + size - front - length, 0))
        return kept if rest[0] == rest[2] == 0 else kept.with_axis(place, (Factor(size=size, held=rest),))
    if all(factor.line is None for factor in axis):
        return layout.with_axis(place, feature(size))
    if len(axis) > 1 and axis[0].size > 1:
        # whole rows of what stands outermost
        inner = length_of(axis[1:])
        if start % inner == 0 and size % inner == 0 and start >= 0:
            outer = _part(layout.with_axis(place, axis[:1]), place, start // inner, size // inner)
            return outer.with_axis(place, (*outer.axes[place], *axis[1:]))
    return layout.resampled(place, Fraction(start), Fraction(1), size)
