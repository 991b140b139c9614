"""Upsample by a fixed resize and a convolution, as one transposed convolution where that is cheaper."""

import math
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from upstroke.grid import Grid
from upstroke.layers.convolution import Conv, padding_sides
from upstroke.layers.family import lifts
from upstroke.layers.sequence import lift_sequence
from upstroke.nn._arguments import Padding, check_axes, check_channels, check_maps
from upstroke.nn._row import Row
from upstroke.nn.convolution import Fill, computes_as_pytorchs, conv_layer
from upstroke.nn.interpolation import Centre, Interpolation, Mode
from upstroke.ops.convolutions import CONV_TRANSPOSE
from upstroke.polyphase import swap_channels

__all__ = ["ResizeConv"]

# Multiply-adds per pair of channels that one transposed convolution must save to be worth the making of its
# kernel in every call; and the channels with which PyTorch's transposed convolution is fast enough to gain by
# it. Measured on one CPU thread for k3 s2 on 64 x 64 cells, it takes 0.1 to 0.9 of the time of the two layers
# for 16 -> 8, 32 -> 3, 64 -> 32, 64 -> 64, 64 -> 128 and 256 -> 128 channels, and more than theirs for 1 to 8
# coming in, however many go out. To be measured anew, by the benchmark, with every version of PyTorch.
WORTH_FUSING = 20_000
LEAST_CHANNELS = 16
MOST_GROWTH = 4


class ResizeConv(Row):
    """Nearest, linear or cubic resize, then a convolution, in 1, 2 or 3 axes.

    A row of a resize without parameters ("0") and a convolution ("1"), so that state dicts load from and
    into `nn.Sequential(nn.Upsample(...), nn.Conv2d(...))`. With padding="same" the output is scale * input
    for every kernel, also an even one, which then pads one more on the right.

    Positions are exact, where `nn.Upsample` is off by up to 2e-4 for scales that are no power of two. The
    resize clamps the edge; what the convolution reads beyond it is its padding_mode. `affine` is exact but
    for its margin, which is zero for nearest, and for linear and cubic where the convolution pads nothing.

    Nearest and an undilated convolution over zeros are one transposed convolution, border included: its
    kernel is box * kernel, (s + K - 1)^d taps in place of (s K)^d, 16 in place of 36 for 3x3 at scale 2. The
    layer computes that on the CPU, in float32 and float64, where channels and maps are large enough to pay
    for the kernel and nobody watches the two layers by hooks. More layers may be appended, as to any
    `nn.Sequential`.

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
        self._saved = _multiply_adds_saved(resize, conv)

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
            # A nearest resize draws every cell as a box => with the convolution it is one transposed one.
            if self._saved and self._pays(x) and self._is_plain() and self._fits(x):
                return self._transposed(x)
        for layer in self:
            x = layer(x)
        return x

    def _grid(self) -> Grid:
        conv = self.conv
        left = tuple(left for left, _ in padding_sides(conv))
        return self.resize.grid.conv(
            conv.kernel_size, stride=conv.stride, padding=left, dilation=conv.dilation
        )

    def _transposed(self, x: Tensor) -> Tensor:
        """The two layers as one transposed convolution with the kernel box * kernel.

        On the left it crops K - 1 less what the convolution pads there, on the right up to one less, which is
        PyTorch's output_padding.
        """
        conv, scale = self.conv, self.resize.scale
        sides = padding_sides(conv)
        return CONV_TRANSPOSE[self.ndim](
            x,
            _box_times(conv.weight, scale, conv.groups),
            conv.bias,
            stride=scale,
            padding=tuple(k - 1 - left for k, (left, _) in zip(conv.kernel_size, sides, strict=True)),
            output_padding=tuple(right - left for left, right in sides),
            groups=conv.groups,
        )

    def _pays(self, x: Tensor) -> bool:
        """Whether one transposed convolution is faster and as exact; a recorded graph keeps both layers."""
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return False
        cells = x.shape[0] * math.prod(x.shape[2:])
        if x.device.type != "cpu" or cells * self._saved < WORTH_FUSING:
            return False
        # in fewer bits the taps of box * kernel are rounded one by one => phases of unequal gain, a pattern
        return x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")

    def _is_plain(self) -> bool:
        """Whether nobody watches or replaced what the two layers do."""
        resize, conv = self.resize, self.conv
        return (
            type(resize) is Interpolation
            and computes_as_pytorchs(conv)
            and self._saved == _multiply_adds_saved(resize, conv)
            and not any(_is_watched(part) or "forward" in vars(part) for part in self)
        )

    def _fits(self, x: Tensor) -> bool:
        """Whether the resized and padded map holds the kernel; else it is the convolution that refuses it."""
        conv = self.conv
        sizes = zip(x.shape[2:], self.resize.scale, padding_sides(conv), conv.kernel_size, strict=True)
        return all(k <= s * n + sum(sides) for n, s, sides, k in sizes)


def _is_watched(part: nn.Module) -> bool:
    """Whether anything is called before or after this layer, forward or backward."""
    hooks = (part._forward_pre_hooks, part._forward_hooks, part._backward_pre_hooks, part._backward_hooks)
    return any(hooks) or bool(_has_any_global_hook())  # type: ignore[no-untyped-call]


def _multiply_adds_saved(resize: Interpolation, conv: Conv) -> int:
    """Multiply-adds per cell and pair of channels that one transposed convolution saves; 0: no gain."""
    in_group, out_group = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    if in_group < LEAST_CHANNELS or out_group > MOST_GROWTH * in_group:
        return 0
    boxes = resize.mode == "nearest" and resize.centre == "cell"
    pads_by_zeros = conv.padding_mode == "zeros"
    # what PyTorch's transposed convolution crops: some of what it draws, less on the right by under a stride
    crops = all(
        left <= k - 1 and right - left < s
        for k, s, (left, right) in zip(conv.kernel_size, resize.scale, padding_sides(conv), strict=True)
    )
    if not (boxes and pads_by_zeros and crops) or max(*conv.dilation, *conv.stride) > 1:
        return 0
    both = math.prod(s * k for s, k in zip(resize.scale, conv.kernel_size, strict=True))
    one = math.prod(s + k - 1 for s, k in zip(resize.scale, conv.kernel_size, strict=True))
    return both - one


def _box_times(weight: Tensor, scale: tuple[int, ...], groups: int) -> Tensor:
    """A box of this scale drawn with a convolution's kernel, as the weight of a transposed convolution."""
    ndim = len(scale)
    kernel = weight.flip(dims=tuple(range(2, 2 + ndim)))
    for axis, s in enumerate(scale):
        unmoved = [0] * (2 * (ndim - 1 - axis))
        moved = [nn.functional.pad(kernel, [*unmoved, r, s - 1 - r]) for r in range(s)]
        kernel = reduce(torch.add, moved)
    return swap_channels(kernel, groups)


lifts(ResizeConv)(lift_sequence)
