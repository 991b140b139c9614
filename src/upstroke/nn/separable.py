"""Upsample by a depthwise transposed convolution and a convolution over channels alone, in either order."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from upstroke.errors import OptionError
from upstroke.grid import Grid
from upstroke.layers.convolution import Conv, padding_sides
from upstroke.layers.family import lifts
from upstroke.layers.sequence import lift_sequence
from upstroke.nn._arguments import Padding, check_axes, check_channels, check_maps, listed
from upstroke.nn._row import Row
from upstroke.nn.convolution import conv_layer
from upstroke.nn.transposed import TransposedConv

__all__ = ["Order", "SeparableTransposedConv"]

Order = Literal["depthwise-first", "pointwise-first"]


class SeparableTransposedConv(Row):
    """Depthwise transposed convolution and a 1x1 convolution, in either order, in 1, 2 or 3 axes.

    With S phases, K^d taps and C -> O channels, multiply-adds per input cell:

    - "depthwise-first": K^d C + S C O; the pointwise part runs at the high rate, after the upsampling.
    - "pointwise-first": C O + K^d O; it runs at the low rate, S times cheaper there.
    - a dense transposed convolution: K^d C O.

    The first has C kernels to choose from, the second O; without a bias between the two, both are dense
    transposed convolutions whose kernels are outer products over channels. State dicts load from and into
    the pair of PyTorch's layers, `nn.Sequential(nn.ConvTranspose2d(C, C, ..., groups=C), nn.Conv2d(C, O, 1))`
    or `nn.Sequential(nn.Conv2d(C, O, 1), nn.ConvTranspose2d(O, O, ..., groups=O))`.

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: of the transposed convolution, one number or one per axis, like the settings below.
        stride: the scale.
        padding: of the transposed convolution; "same" makes the output scale * input, see `TransposedConv`.
        output_padding: of the transposed convolution; chosen by padding="same".
        dilation: of the transposed convolution.
        order: which of the two comes first.
        inner_bias: whether the first of the two has a bias. Before a transposed convolution it meets a border
            where fewer taps reach, so that `affine` is exact only inside its margin there.
        bias: whether the second has one.
        ndim: number of axes.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        OptionError: a setting has no meaning.
        ShapeError: a channel number is below 1.

    >>> layer = SeparableTransposedConv(8, 4, (4, 6), stride=(2, 3), order="pointwise-first")
    >>> layer(torch.zeros(1, 8, 5, 7)).shape
    torch.Size([1, 4, 10, 21])
    >>> [tuple(parameter.shape) for parameter in layer.parameters()]
    [(4, 8, 1, 1), (4, 1, 4, 6), (4,)]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        *,
        stride: int | tuple[int, ...] = 2,
        padding: Padding = "same",
        output_padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        order: Order = "depthwise-first",
        inner_bias: bool = False,
        bias: bool = True,
        ndim: int = 2,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_axes(ndim)
        check_channels(in_channels, out_channels)
        if order not in get_args(Order):
            msg = f"order must be {' or '.join(map(repr, get_args(Order)))}; got {order!r}"
            raise OptionError(msg)
        depthwise_first = order == "depthwise-first"
        channels = in_channels if depthwise_first else out_channels

        def depthwise(*, has_bias: bool) -> nn.Module:
            return TransposedConv(
                channels,
                channels,
                kernel_size,
                stride=stride,
                padding=padding,
                output_padding=output_padding,
                dilation=dilation,
                groups=channels,
                bias=has_bias,
                ndim=ndim,
                device=device,
                dtype=dtype,
            )

        def pointwise(*, has_bias: bool) -> nn.Module:
            return conv_layer(
                in_channels, out_channels, 1, bias=has_bias, ndim=ndim, device=device, dtype=dtype
            )

        # made in the order in which they stand, as PyTorch's pair would draw its parameters
        first, second = (depthwise, pointwise) if depthwise_first else (pointwise, depthwise)
        super().__init__(first(has_bias=inner_bias), second(has_bias=bias))
        self.order: Order = order
        self.ndim = ndim

    @property
    def depthwise(self) -> TransposedConv:
        """The layer that upsamples."""
        layer = self[self._places[0]]
        if not isinstance(layer, TransposedConv):
            raise self.refusal(wanted="a depthwise part")
        return layer

    def is_as_made(self) -> bool:
        """Whether the row is a transposed convolution and a 1x1 convolution in this order."""
        if len(self) != 2:
            return False
        grows, mixes = (self[place] for place in self._places)
        return (
            isinstance(grows, TransposedConv)
            and isinstance(mixes, Conv)
            and len(mixes.kernel_size) == grows.ndim
            and max(*mixes.kernel_size, *mixes.stride) == 1
            and not any(map(any, padding_sides(mixes)))
        )

    def forward(
        self, x: Float[Tensor, "b c_in *space"], output_size: int | Sequence[int] | None = None
    ) -> Float[Tensor, "b c_out *grown"]:
        """Upsample a batch of maps; output_size as in `TransposedConv`.

        Raises:
            ShapeError: x has other channels or axes, or no output_padding gives this output_size.
            OptionError: output_size is not made of whole numbers.
            NotRepresentableError: output_size is given, and the layer that would take it was replaced.
        """
        if self.is_as_made():
            first, last = self[0], self[1]
            assert isinstance(first, TransposedConv | Conv)
            assert isinstance(last, TransposedConv | Conv)
            check_maps(x, channels=first.in_channels, ndim=self.ndim)
            if output_size is not None:
                output_size = listed(output_size, self.ndim, before=(x.shape[0], last.out_channels))
        grows = None if output_size is None else self.depthwise
        for layer in self:
            x = layer(x, output_size) if layer is grows else layer(x)
        return x

    def extra_repr(self) -> str:
        """Which comes first."""
        return f"order={self.order!r}"

    @property
    def _places(self) -> tuple[int, int]:
        """Where the transposed convolution stands, and where the other."""
        return (0, 1) if self.order == "depthwise-first" else (1, 0)

    def _grid(self) -> Grid:
        return self.depthwise.grid


lifts(SeparableTransposedConv)(lift_sequence)
