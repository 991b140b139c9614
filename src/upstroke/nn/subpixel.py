"""Upsample by a convolution that makes every phase as a channel, and a pixel shuffle."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.grid import Grid
from upstroke.layers.convolution import Conv, padding_sides
from upstroke.layers.family import lifts
from upstroke.layers.sequence import lift_sequence
from upstroke.layers.shuffle import shuffle_layer
from upstroke.nn._arguments import Padding, check_axes, check_channels, check_maps
from upstroke.nn._recognise import shuffled
from upstroke.nn._row import Row
from upstroke.nn.convolution import Fill, conv_layer

__all__ = ["SubpixelConv"]


class SubpixelConv(Row):
    """Convolution, then pixel shuffle, in 1, 2 or 3 axes, with any scale per axis.

    A row of a convolution to out_channels * phases ("0") and a shuffle ("1"), so that state dicts load from
    and into `nn.Sequential(nn.Conv2d(...), nn.PixelShuffle(scale))`: channel o * phases + p of the
    convolution is phase p of output channel o. With padding="same" the output is scale * input for every
    kernel, also an even one, which then pads one more on the right. `affine` is exact everywhere.

    Args:
        in_channels: of the maps that come in.
        out_channels: of the maps that go out.
        kernel_size: of the convolution, one number or one per axis, like all settings below.
        scale: output samples per input cell.
        padding: of the convolution: "same", or cells added at either end.
        dilation: of the convolution.
        groups: of the convolution; they divide out_channels too.
        padding_mode: of the convolution: zeros, replicate or circular.
        bias: whether the convolution has one, which is one per phase of the output.
        ndim: number of axes.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        OptionError: a setting has no meaning.
        ShapeError: groups does not divide the channels.

    >>> layer = SubpixelConv(8, 4, scale=(2, 3))
    >>> layer(torch.zeros(1, 8, 5, 7)).shape
    torch.Size([1, 4, 10, 21])
    >>> layer.grid
    Grid(offset=(-1/4, -1/3), spacing=(1/2, 1/3))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...] = 3,
        *,
        scale: int | tuple[int, ...] = 2,
        padding: Padding = "same",
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        padding_mode: Fill = "zeros",
        bias: bool = True,
        ndim: int = 2,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_axes(ndim)
        check_channels(in_channels, out_channels, groups)
        scales = whole_per_axis(scale, ndim, name="scale", least=1)
        conv = conv_layer(
            in_channels,
            out_channels * math.prod(scales),
            kernel_size,
            padding=padding,
            dilation=dilation,
            groups=groups,
            padding_mode=padding_mode,
            bias=bias,
            ndim=ndim,
            device=device,
            dtype=dtype,
        )
        super().__init__(conv, shuffle_layer(scales))
        self.ndim = ndim
        self.scale = scales

    @property
    def conv(self) -> Conv:
        """The layer that convolves."""
        conv = self[0]
        if not isinstance(conv, Conv):
            raise self.refusal(wanted="a convolution")
        return conv

    def is_as_made(self) -> bool:
        """Whether the row is a convolution and a pixel shuffle."""
        return shuffled(self) is not None

    def forward(self, x: Float[Tensor, "b c_in *space"]) -> Float[Tensor, "b c_out *grown"]:
        """Upsample a batch of maps.

        Raises:
            ShapeError: x has other channels or axes.
        """
        if self.is_as_made():
            check_maps(x, channels=self.conv.in_channels, ndim=self.ndim)
        for layer in self:
            x = layer(x)
        return x

    def _grid(self) -> Grid:
        pair = shuffled(self)
        assert pair is not None
        conv, scale = pair
        left = tuple(left for left, _ in padding_sides(conv))
        cells = Grid.of_input(self.ndim).conv(
            conv.kernel_size, stride=conv.stride, padding=left, dilation=conv.dilation
        )
        return cells.resize(scale)


lifts(SubpixelConv)(lift_sequence)
