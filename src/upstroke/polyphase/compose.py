"""Compose two operators into one, exactly where that can be and with a stated margin where it cannot."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from upstroke.errors import ShapeError
from upstroke.polyphase._extent import extent
from upstroke.polyphase.kernel_form import KernelForm, from_kernel_form, kernel_form
from upstroke.polyphase.operator import Border, Margin, Polyphase

__all__ = ["compose"]

_CONV_TRANSPOSE = {
    1: torch.nn.functional.conv_transpose1d,
    2: torch.nn.functional.conv_transpose2d,
    3: torch.nn.functional.conv_transpose3d,
}


def compose(first: Polyphase, second: Polyphase) -> Polyphase:
    """The operator that does what `first` and then `second` do.

    kernel = (first.kernel with second.scale - 1 zeros between its elements) * second.kernel,
    scale = first.scale * second.scale, excess = second.scale * first.excess + second.excess.

    The one operator extends the input; the two extend the map between them as well. They agree everywhere,
    per axis, if (1) the second reads no cell outside its input, or (2) both extend by zeros and the first
    crops none of its non-zero output, or (3) both clamp and the first's output is constant where it is
    clamped, or (4) both are circular and the first has no excess. Otherwise they agree outside the result's
    `margin`. Derivation: docs/idea.md#composition.

    Raises:
        ShapeError: the channels or the number of axes do not fit.

    >>> from upstroke.polyphase import box, nearest
    >>> compose(nearest(2), nearest(3)).isclose(nearest(6))
    True
    >>> compose(nearest(2), box(1, length=3)).margin
    ((0, 0), (0, 0))
    """
    if first.ndim != second.ndim:
        msg = f"both operators must have the same number of axes; got {first.ndim} and {second.ndim}"
        raise ShapeError(msg)
    kernel, groups = _kernel_of_both(first, second)
    crops = zip(second.scale, kernel_form(first).crop, kernel_form(second).crop, strict=True)
    borders, margins = zip(*(_edge(first, second, axis) for axis in range(first.ndim)), strict=True)
    return from_kernel_form(
        KernelForm(
            kernel=kernel,
            support=_support_of_both(first, second),
            crop=tuple(s * a + b for s, a, b in crops),
        ),
        scale=tuple(a * b for a, b in zip(first.scale, second.scale, strict=True)),
        excess=tuple(s * a + b for s, a, b in zip(second.scale, first.excess, second.excess, strict=True)),
        border=borders,
        groups=groups,
        shared=first.shared and second.shared,
        margin=margins,
    )


def _kernel_of_both(first: Polyphase, second: Polyphase) -> tuple[Tensor, int]:
    """Draw every element of the first kernel with the second kernel; and the groups of the result."""
    dtype = torch.promote_types(first.taps.dtype, second.taps.dtype)
    one, two = kernel_form(first).kernel.to(dtype), kernel_form(second).kernel.to(dtype)
    draw = partial(_CONV_TRANSPOSE[first.ndim], stride=second.scale)
    # A kernel that every channel shares leaves the channels of the other as they are.
    if _is_one_kernel(first):
        drawn = draw(one, two.flatten(0, 1)[None]).reshape(*two.shape[:2], -1)
        groups = second.groups
    elif _is_one_kernel(second):
        drawn = draw(one.flatten(0, 1)[:, None], two).reshape(*one.shape[:2], -1)
        groups = first.groups
    else:
        return _kernel_over_channels(first, second, draw, dtype)
    length = [t * (a - 1) + b for t, a, b in zip(second.scale, one.shape[2:], two.shape[2:], strict=True)]
    return drawn.reshape(*drawn.shape[:2], *length).to(_common_dtype(first, second)), groups


def _kernel_over_channels(
    first: Polyphase, second: Polyphase, draw: Callable[..., Tensor], dtype: torch.dtype
) -> tuple[Tensor, int]:
    """Draw with sums over the channels between the two."""
    one, two = _on_common_channels(first, second)
    groups = math.gcd(one.groups, two.groups)
    kernel = kernel_form(two).kernel.to(dtype)
    # the second kernel in the layout of a transposed convolution's weight, (middle, out / groups, *length)
    weight = kernel.reshape(two.groups, -1, *kernel.shape[1:]).transpose(1, 2).flatten(0, 1)
    # A depthwise first kernel only ever meets its own channel of the second, so nothing is summed.
    if one.taps.shape[2] == 1 and one.groups == one.out_channels:
        drawn = draw(kernel_form(one).kernel.to(dtype).transpose(0, 1), weight, groups=one.out_channels)
        drawn = drawn.reshape(groups, -1, weight.shape[1], *drawn.shape[2:]).transpose(1, 2).flatten(0, 1)
    else:
        # the first kernel as a batch of input channels
        kernel = kernel_form(one.regroup(groups)).kernel.to(dtype)
        drawn = draw(kernel.transpose(0, 1), weight, groups=two.groups).transpose(0, 1)
    return drawn.to(_common_dtype(first, second)), groups


def _on_common_channels(first: Polyphase, second: Polyphase) -> tuple[Polyphase, Polyphase]:
    """Repeat shared operators until both have the channels between them; two shared ones make one group."""
    middle = math.lcm(first.out_channels, second.in_channels)
    one = first.repeat(middle // first.out_channels) if first.shared else first
    two = second.repeat(middle // second.in_channels) if second.shared else second
    if one.out_channels != two.in_channels:
        msg = (
            f"the second operator must take the {first.out_channels} channels that the first gives; "
            f"got one that takes {second.in_channels}"
        )
        raise ShapeError(msg)
    return (one.regroup(1), two.regroup(1)) if first.shared and second.shared else (one, two)


def _is_one_kernel(operator: Polyphase) -> bool:
    return operator.shared and operator.in_channels == operator.out_channels == 1


def _common_dtype(first: Polyphase, second: Polyphase) -> torch.dtype:
    """That of the learned operator, where the other is a fixed kernel; else the wider of the two."""
    if first.shared is not second.shared:
        return second.taps.dtype if first.shared else first.taps.dtype
    return torch.promote_types(first.taps.dtype, second.taps.dtype)


def _support_of_both(one: Polyphase, two: Polyphase) -> Tensor:
    first, second = (kernel_form(op).support[None, None].double() for op in (one, two))
    return _CONV_TRANSPOSE[one.ndim](first, second, stride=two.scale)[0, 0] > 0.5


def _edge(first: Polyphase, second: Polyphase, axis: int) -> tuple[Border, Margin]:
    """The border of both along one axis, and how far from it they differ from the two in a row."""
    inner = first.margin[axis]
    border = _exact_border(first, second, axis)
    spoilt = (0, 0)
    if border is None or inner != (0, 0):
        spoilt = second.samples_reading_beyond(axis, inner)
    own = second.margin[axis]
    return border or first.border[axis], (max(spoilt[0], own[0]), max(spoilt[1], own[1]))


def _exact_border(first: Polyphase, second: Polyphase, axis: int) -> Border | None:
    """The border with which one operator equals the two, or None where there is none."""
    if not second.reads_outside(axis):
        return first.border[axis]
    border = second.border[axis]
    # an operator that reads nothing outside its input extends it in any way that suits
    if first.border[axis] != border and first.reads_outside(axis):
        return None
    law = {"zero": _crops_nothing, "clamp": _constant_beyond_the_edge, "circular": _has_no_excess}[border]
    return border if law(first, second, axis) else None


def _crops_nothing(first: Polyphase, second: Polyphase, axis: int) -> bool:
    """Whether all that the first draws lies inside its output."""
    form = kernel_form(first)
    drawn = extent(form.support, axis)
    if not drawn:
        return True
    crop = form.crop[axis]
    return drawn.start >= crop and drawn.stop - crop <= first.scale[axis] + first.excess[axis]


def _constant_beyond_the_edge(first: Polyphase, second: Polyphase, axis: int) -> bool:
    """Whether the clamped first operator gives, beyond each edge of its output, its value at that edge."""
    scale, excess = first.scale[axis], first.excess[axis]
    grow, more = second.scale[axis], second.excess[axis]
    reads = [(phase, reach) for phase, reach in enumerate(second.reach(axis)) if reach is not None]
    # samples of the map between that are read beyond either edge, counted from 0 and from scale * size
    lowest = min(reach.lowest for _, reach in reads)
    highest = max(excess + (more - 1 - phase) // grow + reach.highest for phase, reach in reads)
    left = [divmod(sample, scale) for sample in range(min(lowest, 0), 1)]
    right = [divmod(sample, scale) for sample in range(excess - 1, max(highest, excess - 1) + 1)]
    reaches = first.reach(axis)
    # left: no cell after the first is read; right: none before the last, cell size - 1
    for cell, phase in left:
        reach = reaches[phase]
        if reach is not None and cell + reach.highest > 0:
            return False
    for cell, phase in right:
        reach = reaches[phase]
        if reach is not None and cell + reach.lowest < -1:
            return False
    return all(_same_gain(first, axis, {phase for _, phase in side}) for side in (left, right))


def _same_gain(operator: Polyphase, axis: int, phases: set[int]) -> bool:
    """Whether these phases of one axis answer a line along it alike."""
    gains = operator.taps.detach().sum(dim=3 + axis)
    gains = gains.reshape(*operator.scale, *gains.shape[1:]).movedim(axis, 0)[sorted(phases)]
    tolerance = 8 * torch.finfo(gains.dtype).eps * float(operator.taps.detach().abs().max())
    return bool((gains - gains[:1]).abs().max() <= tolerance * operator.kernel[axis])


def _has_no_excess(first: Polyphase, second: Polyphase, axis: int) -> bool:
    """Whether the first turns a periodic map into a periodic one."""
    return first.excess[axis] == 0
