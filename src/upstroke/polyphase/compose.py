"""Compose two operators into one, exactly where that can be and with a stated margin where it cannot."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from upstroke.errors import ShapeError
from upstroke.polyphase._channels import swap_channels
from upstroke.polyphase._extent import extent
from upstroke.polyphase.kernel_form import (
    KernelForm,
    from_kernel_form,
    kernel_crop,
    kernel_form,
    kernel_support,
)
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
    crops = zip(second.scale, kernel_crop(first), kernel_crop(second), strict=True)
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
    draw = partial(_CONV_TRANSPOSE[first.ndim], stride=second.scale)
    if not _is_one_kernel(first) and not _is_one_kernel(second):
        return _kernel_over_channels(first, second, draw, dtype)
    # A kernel that every channel shares leaves the channels of the other as they are.
    one, two = kernel_form(first).kernel.to(dtype), kernel_form(second).kernel.to(dtype)
    if _is_one_kernel(first):
        drawn = draw(one, two.flatten(0, 1)[None]).reshape(*two.shape[:2], -1)
        groups = second.groups
    else:
        drawn = draw(one.flatten(0, 1)[:, None], two).reshape(*one.shape[:2], -1)
        groups = first.groups
    length = [t * (a - 1) + b for t, a, b in zip(second.scale, one.shape[2:], two.shape[2:], strict=True)]
    return drawn.reshape(*drawn.shape[:2], *length).to(_common_dtype(first, second)), groups


def _kernel_over_channels(
    first: Polyphase, second: Polyphase, draw: Callable[..., Tensor], dtype: torch.dtype
) -> tuple[Tensor, int]:
    """Draw with sums over the channels between the two."""
    one, two = _on_common_channels(first, second)
    groups = math.gcd(one.groups, two.groups)
    # the second kernel in the layout of a transposed convolution's weight, (middle, out / groups, *length)
    weight = swap_channels(kernel_form(two).kernel.to(dtype), two.groups)
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
    first, second = (kernel_support(op)[None, None].double() for op in (one, two))
    return _CONV_TRANSPOSE[one.ndim](first, second, stride=two.scale)[0, 0] > 0.5


def _edge(first: Polyphase, second: Polyphase, axis: int) -> tuple[Border, Margin]:
    """The border of both along one axis, and how far from either end they differ from the two in a row."""
    border, exact = _border(first, second, axis)
    inner = first.margin[axis]
    if border == "circular" and any(inner):
        exact = (False, False)  # what is spoilt at one end is read at the other
    spoilt = second.samples_reading_beyond(axis, inner)
    own = second.margin[axis]
    left, right = (
        max(mine, 0 if is_exact and not before else more)
        for mine, more, is_exact, before in zip(own, spoilt, exact, inner, strict=True)
    )
    return border, (left, right)


def _border(first: Polyphase, second: Polyphase, axis: int) -> tuple[Border, tuple[bool, bool]]:
    """The border of both along one axis, and whether it makes either end exact."""
    left, right = second.cells_beyond(axis)
    if not left and not right:
        return first.border[axis], (True, True)
    border = second.border[axis]
    # an operator that reads nothing outside its input extends it in any way that suits
    if first.border[axis] != border and first.reads_outside(axis):
        return first.border[axis], (not left, not right)
    if border == "circular":
        periodic = first.excess[axis] == 0
        return border, (periodic, periodic)
    law = _crops_nothing if border == "zero" else _constant_beyond_the_edge
    ends = law(first, second, axis)
    return border, (not left or ends[0], not right or ends[1])


def _crops_nothing(first: Polyphase, second: Polyphase, axis: int) -> tuple[bool, bool]:
    """Whether, at either end, all that the first draws lies inside its output."""
    drawn, crop = extent(kernel_support(first), axis), kernel_crop(first)[axis]
    inside = first.scale[axis] + first.excess[axis]
    return not drawn or drawn.start >= crop, not drawn or drawn.stop - crop <= inside


def _constant_beyond_the_edge(first: Polyphase, second: Polyphase, axis: int) -> tuple[bool, bool]:
    """Whether, at either end, the clamped first operator gives beyond the edge its value at the edge."""
    scale, excess = first.scale[axis], first.excess[axis]
    left, right = second.cells_beyond(axis)
    # samples of the map between: the edge and those read beyond it, counted from 0 and from scale * size
    before = [divmod(sample, scale) for sample in range(-left, 1)]
    after = [divmod(sample, scale) for sample in range(excess - 1, excess + right)]
    reaches = first.reach(axis)

    def constant(samples: list[tuple[int, int]], *, side: int) -> bool:
        for cell, phase in samples:
            reach = reaches[phase]
            # only the first cell, or only the last one, cell size - 1, may be read
            if reach is not None and (cell + reach.highest > 0 if side == 0 else cell + reach.lowest < -1):
                return False
        return _same_gain(first, axis, {phase for _, phase in samples})

    return constant(before, side=0), constant(after, side=1)


def _same_gain(operator: Polyphase, axis: int, phases: set[int]) -> bool:
    """Whether these phases of one axis answer a line along it alike."""
    gains = operator.taps.detach().sum(dim=3 + axis)
    gains = gains.reshape(*operator.scale, *gains.shape[1:]).movedim(axis, 0)[sorted(phases)]
    tolerance = 8 * torch.finfo(gains.dtype).eps * float(operator.taps.detach().abs().max())
    return bool((gains - gains[:1]).abs().max() <= tolerance * operator.kernel[axis])
