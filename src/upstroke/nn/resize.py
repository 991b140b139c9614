"""Upsample by a fixed resize and a convolution, computed in whichever way is the fastest."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from upstroke.grid import Grid
from upstroke.layers.convolution import BORDERS, Conv, padding_sides
from upstroke.layers.family import lifts
from upstroke.layers.sequence import lift_sequence
from upstroke.nn._arguments import Padding, check_axes, check_channels, check_maps
from upstroke.nn._row import Row
from upstroke.nn.convolution import Fill, computes_as_pytorchs, conv_layer
from upstroke.nn.interpolation import Centre, Interpolation, Mode
from upstroke.ops.recorded import is_recorded
from upstroke.ops.resize_conv import Convolution, best_form, resize_conv

__all__ = ["ResizeConv"]


class ResizeConv(Row):
    """Nearest, linear or cubic resize, then a convolution, in 1, 2 or 3 axes.

    A row of a resize without parameters ("0") and a convolution ("1"), so that state dicts load from and
    into `nn.Sequential(nn.Upsample(...), nn.Conv2d(...))`. With padding="same" the output is scale * input
    for every kernel, also an even one, which then pads one more on the right.

    Positions are exact, where `nn.Upsample` is off by up to 2e-4 for scales that are no power of two. The
    resize clamps the edge; what the convolution reads beyond it is its padding_mode. `affine` is exact but
    for its margin, which is zero for nearest, and for linear and cubic where the convolution pads nothing.

    Both are one transposed convolution, the outermost samples apart where the border of the one shows in the
    other: for nearest its kernel is box * kernel, (s + K - 1)^d taps in place of (s K)^d, 16 in place of 36
    for 3x3 at scale 2. The layer computes that on the CPU, in float32 and float64, where it was measured to
    be faster, and a convolution of one tap comes first, on the small map; as long as nobody watches the two
    layers by hooks. More layers may be appended, as to any `nn.Sequential`.

    Args:
        in_channels: of the maps that come in.
        out_channels: of the maps that go out.
        kernel_size: of the convolution, one number or one per axis, like all settings below.
        scale: output samples per input cell.
        mode: the resize's kernel; cubic has a = -0.75, as PyTorch has.
        centre: "cell" for half-pixel positions; "sample" where output sample s * m sits on cell m. Nearest
            has a sample there only at odd scales.
        padding: of the convolution: "same", or samples added at either end.
        dilation: of the convolution.
        groups: of the convolution.
        padding_mode: of the convolution: zeros, replicate or circular.
        bias: whether the convolution has one.
        ndim: number of axes.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        OptionError: a setting has no meaning.
        ShapeError: groups does not divide the channels.

    >>> layer = ResizeConv(8, 4, scale=(2, 3), mode="linear")
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
        mode: Mode = "nearest",
        centre: Centre = "cell",
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
        resize = Interpolation(scale, mode=mode, centre=centre, ndim=ndim)
        conv = conv_layer(
            in_channels,
            out_channels,
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
        super().__init__(resize, conv)
        self.ndim = ndim

    @property
    def resize(self) -> Interpolation:
        """The layer that resizes."""
        resize = self[0]
        if not isinstance(resize, Interpolation):
            raise self.refusal(wanted="a resize")
        return resize

    @property
    def conv(self) -> Conv:
        """The layer that convolves."""
        conv = self[1]
        if not isinstance(conv, Conv):
            raise self.refusal(wanted="a convolution")
        return conv

    def is_as_made(self) -> bool:
        """Whether the row is a resize and a convolution over the same axes."""
        if len(self) != 2:
            return False
        resize, conv = self
        return (
            isinstance(resize, Interpolation)
            and isinstance(conv, Conv)
            and len(resize.scale) == len(conv.kernel_size)
        )

    def forward(self, x: Float[Tensor, "b c_in *space"]) -> Float[Tensor, "b c_out *grown"]:
        """Upsample a batch of maps.

        Raises:
            ShapeError: x has other channels or axes.
        """
        if self.is_as_made():
            check_maps(x, channels=self.conv.in_channels, ndim=self.ndim)
            # Both are linear and treat all positions alike => they are one operator, and 1x1 may come first.
            if self._is_plain():
                conv = self._convolution()
                form = best_form(x, self.resize.operator, conv)
                if form == "commuted":
                    return self._commuted(x, conv)
                if form == "one operator":
                    return resize_conv(x, self.resize.operator, conv, form=form)
        for layer in self:
            x = layer(x)
        return x

    def _grid(self) -> Grid:
        conv = self.conv
        left = tuple(left for left, _ in padding_sides(conv))
        return self.resize.grid.conv(
            conv.kernel_size, stride=conv.stride, padding=left, dilation=conv.dilation
        )

    def _convolution(self) -> Convolution:
        conv = self.conv
        return Convolution(
            weight=conv.weight,
            bias=conv.bias,
            padding=padding_sides(conv),
            dilation=conv.dilation,
            groups=conv.groups,
            border=BORDERS[conv.padding_mode],
        )

    def _commuted(self, x: Tensor, conv: Convolution) -> Tensor:
        """A convolution of one tap on the cells, then the resize, which keeps constants, so a bias too."""
        y: Tensor = self.resize(conv(x))
        return y

    def _is_plain(self) -> bool:
        """Whether nobody watches or replaced what the two layers do; a recorded graph keeps both of them."""
        resize, conv = self.resize, self.conv
        return (
            not torch.compiler.is_compiling()
            and not is_recorded()
            and type(resize) is Interpolation
            and computes_as_pytorchs(conv)
            and conv.padding_mode in BORDERS
            and max(conv.stride) == 1
            and not any(_is_watched(part) or "forward" in vars(part) for part in self)
        )


def _is_watched(part: nn.Module) -> bool:
    """Whether anything is called before or after this layer, forward or backward."""
    hooks = (part._forward_pre_hooks, part._forward_hooks, part._backward_pre_hooks, part._backward_hooks)
    return any(hooks) or bool(_has_any_global_hook())  # type: ignore[no-untyped-call]


lifts(ResizeConv)(lift_sequence)
