"""Upsample by a transposed convolution whose output is scale times the input, or as its padding says."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from upstroke.axes import times, whole_per_axis
from upstroke.errors import OptionError, ShapeError
from upstroke.grid import Grid
from upstroke.layers.bias import with_bias
from upstroke.layers.family import lifts
from upstroke.nn._arguments import Padding, check_axes, check_channels, check_maps, check_padding, listed
from upstroke.nn._lifted import Lifted
from upstroke.ops import dense, depthwise
from upstroke.ops.transposed import draw
from upstroke.polyphase import Affine, Border, TransposedForm, from_transposed

__all__ = ["Transposed", "TransposedConv"]


class TransposedConv(Lifted):
    """Transposed convolution in 1, 2 or 3 axes, with padding="same" for output = scale * input.

    Parameters, their shapes, names and initialisation are those of `nn.ConvTranspose2d` and its siblings, so
    state dicts load from and into those. `affine` is exact everywhere. Per axis, with K' = d (K - 1) + 1
    samples from first to last tap, output size = s (n - 1) + K' - 2 P + output_padding.

    padding="same" makes that s * n for every K, s and d: P = ceil((K' - s) / 2), output_padding = (K' - s)
    mod 2. Where PyTorch refuses these (P below 0, because the kernel is shorter than the stride; or an
    output_padding of 1 at stride 1) a pad or crop does it; the bias is on every sample, also on those that
    no tap reaches. The grid that results: where K' - s is even, offset (1 - s) / (2 s), half-pixel, like a
    resize; where it is odd, (2 - s) / (2 s), which for s = 2 sits on the input's samples.

    Args:
        in_channels: of the maps that come in.
        out_channels: of the maps that go out.
        kernel_size: K, one number or one per axis, like all settings below.
        stride: s, the scale.
        padding: "same", or samples cut off either end, as PyTorch has it.
        output_padding: samples added at the end; chosen by padding="same".
        dilation: d.
        groups: as in PyTorch.
        bias: whether there is one.
        ndim: number of axes.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        OptionError: a setting has no meaning, such as output_padding beside padding="same".
        ShapeError: groups does not divide the channels.

    >>> layer = TransposedConv(8, 4, (3, 4), stride=(2, 3))
    >>> layer(torch.zeros(1, 8, 5, 7)).shape
    torch.Size([1, 4, 10, 21])
    >>> layer.grid
    Grid(offset=(0, -1/6), spacing=(1/2, 1/3))
    """

    bias: nn.Parameter | None

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
        groups: int = 1,
        bias: bool = True,
        ndim: int = 2,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_axes(ndim)
        check_channels(in_channels, out_channels, groups)
        self.ndim = ndim
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = whole_per_axis(kernel_size, ndim, name="kernel_size", least=1)
        self.stride = whole_per_axis(stride, ndim, name="stride", least=1)
        self.dilation = whole_per_axis(dilation, ndim, name="dilation", least=1)
        self.groups = groups
        self.same = isinstance(padding, str)
        given = whole_per_axis(output_padding, ndim, name="output_padding", least=0)
        check_padding(padding)
        if isinstance(padding, str):
            self.padding, self.output_padding = self._same(given)
        else:
            self.padding = whole_per_axis(padding, ndim, name="padding", least=0)
            self.output_padding = self._checked(given)
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = nn.Parameter(torch.empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias as PyTorch's transposed convolutions do, from the same random numbers."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(
        self, x: Float[Tensor, "b c_in *space"], output_size: int | Sequence[int] | None = None
    ) -> Float[Tensor, "b c_out *grown"]:
        """Upsample a batch of maps.

        Args:
            x: the maps, of any size.
            output_size: the size wanted, one number or one per axis, with or without batch and channels,
                which then chooses the output_padding: any of the s sizes that an input of this size may have
                come from.

        Raises:
            ShapeError: x has other channels or axes, or no output_padding gives this output_size.
            OptionError: output_size is not made of whole numbers.
        """
        check_maps(x, channels=self.in_channels, ndim=self.ndim)
        extra = self.output_padding
        if output_size is not None:
            wanted = listed(output_size, self.ndim, before=(x.shape[0], self.out_channels))
            extra = self._output_padding_for(tuple(x.shape[2:]), wanted)
        weight = self.weight
        numbers = {
            "stride": self.stride,
            "padding": self.padding,
            "output_padding": extra,
            "dilation": self.dilation,
        }
        if depthwise.serves(x, weight, self.groups):
            return depthwise.conv_transpose(x, weight, self.bias, **numbers)
        # PyTorch takes a padding that cuts and an output_padding below stride or dilation => no pad, no crop.
        if min(self.padding) >= 0 and self._is_pytorchs(extra):
            return dense.conv_transpose(x, weight, self.bias, groups=self.groups, **numbers)
        # whole, as PyTorch's layers give it, and not a view that was cropped
        return draw(x, _form(self, weight, extra), bias=self.bias).clone(memory_format=torch.preserve_format)

    @property
    def grid(self) -> Grid:
        """Where the output's samples sit, in input pixels."""
        start = Grid.of_input(self.ndim)
        return start.transposed(
            self.kernel_size, stride=self.stride, padding=self.padding, dilation=self.dilation
        )

    def extra_repr(self) -> str:
        """The settings, and the grid that results."""
        padding = f"'same' = {self.padding}" if self.same else f"{self.padding}"
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={padding}, output_padding={self.output_padding}"
        )
        if max(self.dilation) > 1:
            text += f", dilation={self.dilation}"
        if self.groups > 1:
            text += f", groups={self.groups}"
        return f"{text}, bias={self.bias is not None}, grid={self.grid}"

    def _lengths(self) -> tuple[int, ...]:
        """K', the samples from a kernel's first to its last tap."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True))

    def _same(self, given: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The padding and output_padding for which the output is stride times the input."""
        if any(given):
            msg = f"padding='same' chooses the output_padding; got {times(given)}, so leave it out"
            raise OptionError(msg)
        missing = [length - s for length, s in zip(self._lengths(), self.stride, strict=True)]
        return tuple(-(-n // 2) for n in missing), tuple(n % 2 for n in missing)

    def _checked(self, extra: tuple[int, ...]) -> tuple[int, ...]:
        if not self._is_pytorchs(extra):
            msg = (
                "output_padding must be smaller than stride or dilation on every axis; "
                f"got {times(extra)} with stride {times(self.stride)} and dilation {times(self.dilation)}"
            )
            raise OptionError(msg)
        return extra

    def _is_pytorchs(self, extra: tuple[int, ...]) -> bool:
        return all(e < max(s, d) for e, s, d in zip(extra, self.stride, self.dilation, strict=True))

    def _output_padding_for(self, size: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
        """What is to be added at the end for this output size: less than the stride, as PyTorch has it."""
        sizes = zip(size, self.stride, self.padding, self._lengths(), strict=True)
        least = tuple(s * (n - 1) + length - 2 * p for n, s, p, length in sizes)
        # at stride 1 the output_padding of "same" may be 1, and s * n is always a size of the layer
        own = self.output_padding if self.same else (0,) * self.ndim
        most = tuple(n + max(s - 1, e) for n, s, e in zip(least, self.stride, own, strict=True))
        if not all(low <= n <= high for low, n, high in zip(least, wanted, most, strict=True)):
            msg = (
                f"output_size must lie between {times(least)} and {times(most)} for an input of "
                f"{times(size)}; got {times(wanted)}"
            )
            raise ShapeError(msg)
        return tuple(n - low for n, low in zip(wanted, least, strict=True))


Transposed = TransposedConv | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d


def _form(layer: TransposedConv, weight: Tensor, output_padding: tuple[int, ...]) -> TransposedForm:
    """The layer as a pad, a transposed convolution without output_padding, and a crop."""
    pads, crops = [], []
    for s, p, e in zip(layer.stride, layer.padding, output_padding, strict=True):
        # where the output starts before the kernel, or ends after it, cells of zeros around the input draw it
        before, after = max(0, -(p // s)), max(0, -((p - e) // s))
        pads.append((before, after))
        crops.append((p + s * before, p - e + s * after))
    zero: Border = "zero"
    return TransposedForm(
        weight=weight,
        stride=layer.stride,
        dilation=layer.dilation,
        pad=tuple(pads),
        crop=tuple(crops),
        border=(zero,) * layer.ndim,
        groups=layer.groups,
        shared=False,
    )


@lifts(TransposedConv)
def lift_transposed_conv(layer: nn.Module, ndim: int | None = None) -> Affine:
    """The affine map of the layer, exact everywhere."""
    assert isinstance(layer, TransposedConv)
    return with_bias(from_transposed(_form(layer, layer.weight, layer.output_padding)), layer.bias)
