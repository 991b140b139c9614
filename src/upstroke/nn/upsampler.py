"""Make any of the upsampling layers by the name of its method."""

from typing import Literal, get_args

import torch

from upstroke.axes import whole_per_axis
from upstroke.errors import OptionError
from upstroke.nn._arguments import Padding, check_axes
from upstroke.nn.resize import ResizeConv
from upstroke.nn.separable import SeparableTransposedConv
from upstroke.nn.subpixel import SubpixelConv
from upstroke.nn.transposed import TransposedConv

__all__ = ["Method", "Upsampler"]

Method = Literal[
    "transposed", "nearest", "linear", "cubic", "subpixel", "separable", "separable-pointwise-first"
]
Layer = TransposedConv | ResizeConv | SubpixelConv | SeparableTransposedConv


def Upsampler(  # noqa: N802 (stands where a layer's class would)
    in_channels: int,
    out_channels: int,
    *,
    method: Method,
    scale: int | tuple[int, ...] = 2,
    kernel_size: int | tuple[int, ...] | None = None,
    padding: Padding = "same",
    bias: bool = True,
    ndim: int = 2,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Layer:
    """The upsampling layer of this method, so that methods can be exchanged by one word.

    With the defaults the output is scale * input and sits on the half-pixel grid, for every method.

    Args:
        in_channels: of the maps that come in.
        out_channels: of the maps that go out.
        method: "transposed" `TransposedConv`, "nearest", "linear" or "cubic" `ResizeConv`, "subpixel"
            `SubpixelConv`, "separable" `SeparableTransposedConv`, depthwise or pointwise first.
        scale: output samples per input cell, one number or one per axis.
        kernel_size: of the convolution; by default 3, and for the transposed ones 2 * scale, or 3 * scale
            where the scale is odd: the shortest that overlap, evenly, and are centred on the cell.
        padding: as the layer has it.
        bias: whether the layer has one.
        ndim: number of axes.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        OptionError: there is no such method, or a setting has no meaning.

    >>> layer = Upsampler(8, 4, method="transposed", scale=(2, 3))
    >>> layer.kernel_size, layer.grid == Upsampler(8, 4, method="nearest", scale=(2, 3)).grid
    ((4, 9), True)
    """
    check_axes(ndim)
    scales = whole_per_axis(scale, ndim, name="scale", least=1)
    own = kernel_size if kernel_size is not None else 3
    even = kernel_size if kernel_size is not None else tuple(s * (2 + s % 2) for s in scales)
    if method == "transposed":
        return TransposedConv(
            in_channels,
            out_channels,
            even,
            stride=scales,
            padding=padding,
            bias=bias,
            ndim=ndim,
            device=device,
            dtype=dtype,
        )
    if method in ("separable", "separable-pointwise-first"):
        return SeparableTransposedConv(
            in_channels,
            out_channels,
            even,
            stride=scales,
            padding=padding,
            order="depthwise-first" if method == "separable" else "pointwise-first",
            bias=bias,
            ndim=ndim,
            device=device,
            dtype=dtype,
        )
    if method == "subpixel":
        return SubpixelConv(
            in_channels,
            out_channels,
            own,
            scale=scales,
            padding=padding,
            bias=bias,
            ndim=ndim,
            device=device,
            dtype=dtype,
        )
    if method in ("nearest", "linear", "cubic"):
        return ResizeConv(
            in_channels,
            out_channels,
            own,
            scale=scales,
            mode=method,
            padding=padding,
            bias=bias,
            ndim=ndim,
            device=device,
            dtype=dtype,
        )
    msg = f"method must be one of {', '.join(get_args(Method))}; got {method!r}"
    raise OptionError(msg)
