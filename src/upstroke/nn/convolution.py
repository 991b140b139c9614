"""Make the convolution that a layer holds, whose padding="same" keeps the size of every map."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from upstroke.axes import whole_per_axis
from upstroke.errors import OptionError
from upstroke.layers.convolution import BORDERS, Conv, lift_convolution
from upstroke.layers.family import lifts
from upstroke.nn._arguments import Padding, check_padding
from upstroke.ops.convolutions import CONV

__all__ = ["Fill", "computes_as_pytorchs", "conv_layer"]

Fill = Literal["zeros", "replicate", "circular"]


class _PadsFirst:
    """Pad by zeros before the convolution, where PyTorch's uneven padding="same" would do that and warn."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert isinstance(self, Conv)
        padded = nn.functional.pad(x, self._reversed_padding_repeated_twice)
        ndim = len(self.kernel_size)
        return CONV[ndim](padded, weight, bias, dilation=self.dilation, groups=self.groups)


class EvenConv1d(_PadsFirst, nn.Conv1d):
    """`nn.Conv1d` with padding="same" and a kernel of even length."""


class EvenConv2d(_PadsFirst, nn.Conv2d):
    """`nn.Conv2d` with padding="same" and a kernel of even length on some axis."""


class EvenConv3d(_PadsFirst, nn.Conv3d):
    """`nn.Conv3d` with padding="same" and a kernel of even length on some axis."""


lifts(EvenConv1d, EvenConv2d, EvenConv3d)(lift_convolution)

_CONVS: dict[int, type[Conv]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_EVEN: dict[int, type[Conv]] = {1: EvenConv1d, 2: EvenConv2d, 3: EvenConv3d}


def conv_layer(
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, ...],
    *,
    padding: Padding = "same",
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
    padding_mode: Fill = "zeros",
    bias: bool = True,
    ndim: int,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Conv:
    """PyTorch's convolution; padding="same" keeps the size of the map for even kernels too.

    >>> conv_layer(3, 4, (3, 5), ndim=2)
    Conv2d(3, 4, kernel_size=(3, 5), stride=(1, 1), padding=(1, 2))
    """
    kernel = whole_per_axis(kernel_size, ndim, name="kernel_size", least=1)
    spread = whole_per_axis(dilation, ndim, name="dilation", least=1)
    if padding_mode not in BORDERS:
        msg = f"padding_mode must be one of {', '.join(BORDERS)}; got {padding_mode!r}"
        raise OptionError(msg)
    check_padding(padding)
    make: Callable[..., Conv] = _CONVS[ndim]
    own = padding
    if isinstance(padding, str):
        total = [d * (k - 1) for d, k in zip(spread, kernel, strict=True)]
        if all(n % 2 == 0 for n in total):
            own = tuple(n // 2 for n in total)
        elif padding_mode == "zeros":
            make = _EVEN[ndim]
    else:
        own = whole_per_axis(padding, ndim, name="padding", least=0)
    return make(
        in_channels,
        out_channels,
        kernel,
        padding=own,
        dilation=spread,
        groups=groups,
        padding_mode=padding_mode,
        bias=bias,
        device=device,
        dtype=dtype,
    )


def computes_as_pytorchs(conv: Conv) -> bool:
    """Whether the type of this layer, reparametrized or not, leaves PyTorch's computation as it is."""
    ndim, kind = len(conv.kernel_size), type(conv)
    return any(
        kind.forward is known.forward and kind._conv_forward is known._conv_forward
        for known in (_CONVS[ndim], _EVEN[ndim])
    )
