"""Overwrite the weights of an upsampling layer with starting values that draw no pattern."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from upstroke.axes import times, whole_per_axis
from upstroke.errors import NotRepresentableError, OptionError, ShapeError
from upstroke.layers.assemble import copy_into
from upstroke.layers.convolution import Conv
from upstroke.nn._recognise import AnyLayer, check_own, check_phases, shuffled, type_names
from upstroke.nn.separable import SeparableTransposedConv
from upstroke.nn.transposed import Transposed
from upstroke.polyphase import (
    Border,
    KernelForm,
    Polyphase,
    as_conv_shuffle,
    as_transposed,
    from_kernel_form,
)

__all__ = ["bilinear_", "icnr_"]

Init = Callable[[Tensor], object]


def icnr_(
    layer: AnyLayer, *, scale: int | Sequence[int] | None = None, init: Init = nn.init.kaiming_normal_
) -> AnyLayer:
    """Start a convolution before a pixel shuffle with one kernel, and one bias, for all phases of a channel.

    weight[o * phases + p] = kernel[o] and bias[o * phases + p] = bias[o] for every phase p, so the layer
    starts as a convolution followed by a nearest resize, and a constant comes out constant. The kernel is
    drawn by `init` with the low-resolution shape (out, in / groups, *K), which is what its fans are counted
    by; the bias as PyTorch draws a convolution's, uniform between -1 / sqrt(fan_in) and 1 / sqrt(fan_in).
    Source: Aitken et al., "Checkerboard artifact free sub-pixel convolution", 2017 (arXiv:1707.02937), for
    the kernel; the bias is tied as well because a bias per phase is a pattern that no input removes.

    Args:
        layer: a `SubpixelConv`, an `nn.Sequential` of a convolution and a pixel shuffle, or the convolution.
        scale: of the shuffle, one number or one per axis, for a convolution that stands alone.
        init: fills a tensor in place, as the functions of `torch.nn.init` do.

    Returns:
        The layer, changed in place.

    Raises:
        OptionError: the layer is none of these, the scale is missing or said twice, or the weight is not the
            layer's own.
        ShapeError: the channels do not divide by the phases, or a channel's phases are of different groups.

    >>> conv = icnr_(nn.Conv2d(3, 12, 3), scale=2)
    >>> bool((conv.weight[0] == conv.weight[3]).all()), bool(conv.bias[0] == conv.bias[3])
    (True, True)
    """
    conv, scales = _conv_and_scale(layer, scale, name="icnr_")
    phases = math.prod(scales)
    with torch.no_grad():
        kernel = conv.weight.new_empty(conv.out_channels // phases, *conv.weight.shape[1:])
        init(kernel)
        bound = 1 / math.sqrt(kernel[0].numel())
        bias = kernel.new_empty(len(kernel)).uniform_(-bound, bound)
        copy_into(
            conv,
            kernel.repeat_interleave(phases, dim=0),
            None if conv.bias is None else bias.repeat_interleave(phases),
        )
    return layer


def bilinear_(
    layer: AnyLayer, *, scale: int | Sequence[int] | None = None, init: Init | None = None
) -> AnyLayer:
    """Start an upsampling layer as linear interpolation on its own grid, with a bias of zero.

    kernel[q] = max(0, 1 - |t|) with t = (q - (L - 1) / 2) / scale, multiplied over axes, where L is K for a
    transposed convolution and scale * K for a convolution before a pixel shuffle: K 4 at stride 2 gives
    1/4 3/4 3/4 1/4, K 3 gives 1/2 1 1/2. The middle of the kernel stays where the layer's padding puts it.
    Every L of at least 2 * scale - 1 holds the whole triangle, so all phases have gain 1 and lines come out
    as lines (Strang-Fix order 2 or more); a shorter one is refused. Every channel goes to itself, unless
    `init` draws the strengths: then weight[o, c] = strength[o, c] * kernel.

    Args:
        layer: a transposed convolution, ours or PyTorch's; a `SeparableTransposedConv`, whose depthwise part
            is set and whose pointwise part is left; or what `icnr_` takes.
        scale: as in `icnr_`.
        init: fills a tensor of shape (out, in / groups) in place, as the functions of `torch.nn.init` do;
            needed where a group has not as many channels going out as coming in.

    Returns:
        The layer, changed in place.

    Raises:
        NotRepresentableError: the kernel is too short, or the convolution has a dilation or a stride.
        OptionError, ShapeError: as in `icnr_`, or the channels of a group do not match and init is missing.

    >>> bilinear_(nn.ConvTranspose1d(1, 1, 4, stride=2)).weight.flatten().tolist()
    [0.25, 0.75, 0.75, 0.25]
    """
    part: nn.Module = layer.depthwise if isinstance(layer, SeparableTransposedConv) else layer
    if isinstance(part, Transposed):
        _refuse_scale(scale, name="bilinear_", layer=layer)
        check_own(part, name="bilinear_")
        one = (1,) * len(part.stride)
        weight = as_transposed(_interpolating(part, tuple(part.stride), one, init)).weight
    else:
        part, scales = _conv_and_scale(part, scale, name="bilinear_", also="a transposed convolution, ")
        _check_steps("stride", part.stride)
        weight = as_conv_shuffle(_interpolating(part, scales, scales, init)).weight
    copy_into(part, weight, None if part.bias is None else torch.zeros_like(part.bias))
    return layer


def _conv_and_scale(
    layer: nn.Module, scale: int | Sequence[int] | None, *, name: str, also: str = ""
) -> tuple[Conv, tuple[int, ...]]:
    """The convolution that makes the phases, and the scale of the pixel shuffle that interleaves them."""
    pair = shuffled(layer)
    if pair is not None:
        _refuse_scale(scale, name=name, layer=layer)
        conv, scales = pair
    elif not isinstance(layer, Conv):
        msg = (
            f"{name} takes {also}SubpixelConv, nn.Sequential of a convolution and a pixel shuffle, or the "
            f"convolution with scale=...; got {type_names(layer)}"
        )
        raise OptionError(msg)
    elif scale is None:
        msg = f"{name} must know the scale of the pixel shuffle after {type_names(layer)}; give scale=..."
        raise OptionError(msg)
    else:
        conv, scales = layer, whole_per_axis(scale, len(layer.kernel_size), name="scale", least=1)
    check_own(conv, name=name)
    check_phases(conv, scales)
    return conv, scales


def _refuse_scale(scale: int | Sequence[int] | None, *, name: str, layer: nn.Module) -> None:
    if scale is not None:
        msg = f"{name} reads the scale off {type_names(layer)}; got scale={scale}, so leave it out"
        raise OptionError(msg)


def _check_steps(word: str, steps: Sequence[int]) -> None:
    if max(steps) > 1:
        msg = f"linear interpolation needs {word} 1 on every axis of the convolution; got {times(steps)}"
        raise NotRepresentableError(msg)


def _interpolating(
    layer: Conv | Transposed, scale: tuple[int, ...], cells: Sequence[int], init: Init | None
) -> Polyphase:
    """The operator that draws a triangle for every channel pair, times its strength.

    Its length is that of the weight's kernel times the cells that one element of it stands for.
    """
    _check_steps("dilation", layer.dilation)
    size = layer.weight.shape[2:]
    least = tuple(-(-(2 * s - 1) // n) for s, n in zip(scale, cells, strict=True))
    if any(k < enough for k, enough in zip(size, least, strict=True)):
        msg = (
            f"linear interpolation at scale {times(scale)} needs a kernel of at least {times(least)} "
            f"in {type(layer).__name__}; got {times(size)}"
        )
        raise NotRepresentableError(msg)
    kernel = torch.ones((), dtype=torch.float64, device=layer.weight.device)
    for k, n, s in zip(size, cells, scale, strict=True):
        place = torch.arange(k * n, device=kernel.device) - (k * n - 1) / 2
        kernel = torch.tensordot(kernel, (1 - place.double().abs() / s).clamp(min=0), dims=0)
    strengths = _strengths(layer, layer.out_channels // math.prod(cells), init)
    form = KernelForm(
        kernel=strengths.reshape(*strengths.shape, *(1,) * kernel.ndim) * kernel,
        support=torch.ones_like(kernel, dtype=torch.bool),
        crop=(0,) * kernel.ndim,
    )
    border: Border = "zero"
    return from_kernel_form(
        form,
        scale=scale,
        excess=(0,) * kernel.ndim,
        border=(border,) * kernel.ndim,
        groups=layer.groups,
    )


def _strengths(layer: Conv | Transposed, out: int, init: Init | None) -> Tensor:
    """How much of each input channel of its group each output channel gets, shape (out, in / groups)."""
    in_group = layer.in_channels // layer.groups
    if init is not None:
        with torch.no_grad():
            drawn = layer.weight.new_empty(out, in_group)
            init(drawn)
        return drawn.double()
    if out != layer.in_channels:
        msg = (
            "bilinear_ sends every channel to itself, which needs as many going out as coming in; got "
            f"{layer.in_channels} in and {out} out, so draw the strengths with init=..."
        )
        raise ShapeError(msg)
    own = torch.eye(in_group, dtype=torch.float64, device=layer.weight.device)
    return own.repeat(layer.groups, 1)
