"""Make operators out of the weights of learned layers: transposed, plain and sub-pixel convolution."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import times, whole_per_axis
from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase._channels import swap_channels
from upstroke.polyphase._extent import dilated
from upstroke.polyphase.compose import compose
from upstroke.polyphase.kernel_form import KernelForm, from_kernel_form
from upstroke.polyphase.operator import Border, Margin, Polyphase

__all__ = ["convolution", "separable", "shuffle", "sub_pixel", "transposed"]


def transposed(
    weight: Float[Tensor, "c_in out_group *kernel"],
    *,
    stride: int | Sequence[int],
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Polyphase:
    """Transposed convolution, with PyTorch's weight layout (in, out / groups, *kernel) and names.

    excess = dilation * (K - 1) + 1 - 2 * padding + output_padding - stride, per axis. Exact everywhere.

    >>> operator = transposed(torch.ones(4, 6, 3, 4), stride=(2, 3), padding=1)
    >>> operator.output_size((5, 7))
    (9, 20)
    """
    ndim = _spatial_axes(weight)
    s = whole_per_axis(stride, ndim, name="stride", least=1)
    p = whole_per_axis(padding, ndim, name="padding", least=0)
    extra = whole_per_axis(output_padding, ndim, name="output_padding", least=0)
    d = whole_per_axis(dilation, ndim, name="dilation", least=1)
    if any(e >= max(step, gap) for e, step, gap in zip(extra, s, d, strict=True)):
        msg = (
            f"output_padding must be smaller than stride or dilation on every axis; "
            f"got {times(extra)} with stride {times(s)} and dilation {times(d)}"
        )
        raise OptionError(msg)
    if groups < 1 or weight.shape[0] % groups:
        msg = f"groups must divide the {weight.shape[0]} input channels; got {groups}"
        raise ShapeError(msg)
    holes, support = dilated(swap_channels(weight, groups), d)
    excess = tuple(
        length - 2 * pad + e - step for length, pad, e, step in zip(holes.shape[2:], p, extra, s, strict=True)
    )
    form = KernelForm(kernel=holes, support=support, crop=p)
    return from_kernel_form(form, scale=s, excess=excess, border=_zeros(ndim), groups=groups)


def convolution(
    weight: Float[Tensor, "c_out in_group *kernel"],
    *,
    padding: int | Sequence[int | Margin] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    border: Border = "zero",
) -> Polyphase:
    """Convolution with stride 1, with PyTorch's weight layout (out, in / groups, *kernel) and names.

    Padding is one number, one per axis, or (left, right) per axis; border says what it is filled with.

    >>> convolution(torch.ones(4, 6, 3, 3), padding=1).output_size((5, 7))
    (5, 7)
    """
    ndim = _spatial_axes(weight)
    sides = [(padding, padding)] * ndim if isinstance(padding, int) else [_both(pad) for pad in padding]
    left = whole_per_axis([one for one, _ in sides], ndim, name="padding", least=0)
    right = whole_per_axis([two for _, two in sides], ndim, name="padding", least=0)
    taps, support = dilated(weight, whole_per_axis(dilation, ndim, name="dilation", least=1))
    return Polyphase(
        taps=taps[None],
        support=support[None],
        scale=(1,) * ndim,
        origin=left,
        excess=tuple(a + b + 1 - n for a, b, n in zip(left, right, taps.shape[2:], strict=True)),
        border=(border,) * ndim,
        groups=groups,
    )


def shuffle(scale: int | Sequence[int], *, ndim: int = 2) -> Polyphase:
    """Pixel shuffle: channel o * phases + p becomes phase p of channel o, for any number of channels.

    >>> shuffle(2).output_size((5, 7)), shuffle(2).expand(12).out_channels
    ((10, 14), 3)
    """
    scales = whole_per_axis(scale, ndim, name="scale", least=1)
    phases = math.prod(scales)
    return Polyphase(
        taps=torch.eye(phases, dtype=torch.float64).reshape(phases, 1, phases, *(1,) * ndim),
        scale=scales,
        origin=(0,) * ndim,
        excess=(0,) * ndim,
        border=_zeros(ndim),
        shared=True,
    )


def sub_pixel(
    weight: Float[Tensor, "c_out in_group *kernel"],
    *,
    scale: int | Sequence[int],
    padding: int | Sequence[int | Margin] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    border: Border = "zero",
) -> Polyphase:
    """Convolution that makes every phase as a channel, then pixel shuffle. Exact everywhere.

    excess = scale * (2 * padding - dilation * (K - 1)), per axis.

    >>> sub_pixel(torch.ones(12, 6, 3, 3), scale=2, padding=1).output_size((5, 7))
    (10, 14)
    """
    ndim = _spatial_axes(weight)
    scales = whole_per_axis(scale, ndim, name="scale", least=1)
    if weight.shape[0] % math.prod(scales):
        msg = (
            f"a pixel shuffle of scale {scales} needs a multiple of {math.prod(scales)} channels; "
            f"got {weight.shape[0]}"
        )
        raise ShapeError(msg)
    before = convolution(weight, padding=padding, dilation=dilation, groups=groups, border=border)
    return compose(before, shuffle(scales, ndim=ndim))


def separable(
    depthwise: Float[Tensor, "channels one *kernel"],
    pointwise: Float[Tensor, "c_out c_in"],
    *,
    stride: int | Sequence[int],
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    depthwise_first: bool = True,
) -> Polyphase:
    """Depthwise transposed convolution and a 1x1 convolution, in either order, as one dense operator.

    The taps are the outer product over channels. Only where nothing nonlinear stands between the two.

    >>> separable(torch.ones(6, 1, 4, 4), torch.ones(8, 6), stride=2, padding=1)
    Polyphase(6 -> 8 channels, scale 2x2, 3x3 taps in each of 4 phases, origin 1x1, excess 0x0, border zero)
    """
    ndim = _spatial_axes(depthwise)
    grow = transposed(
        depthwise,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        groups=depthwise.shape[0],
    )
    mix = convolution(pointwise.reshape(*pointwise.shape, *(1,) * ndim))
    return compose(grow, mix) if depthwise_first else compose(mix, grow)


def _spatial_axes(weight: Tensor) -> int:
    if weight.ndim not in (3, 4, 5) or min(weight.shape) < 1:
        msg = (
            "weight must have two channel axes and 1 to 3 kernel axes, none of them empty; "
            f"got shape {tuple(weight.shape)}"
        )
        raise ShapeError(msg)
    return weight.ndim - 2


def _zeros(ndim: int) -> tuple[Border, ...]:
    zero: Border = "zero"
    return (zero,) * ndim


def _both(pad: int | Margin) -> Margin:
    return (pad, pad) if isinstance(pad, int) else pad
