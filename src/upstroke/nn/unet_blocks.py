"""Make the convolutions of one level of a U-Net."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from upstroke.errors import OptionError
from upstroke.layers.convolution import Conv
from upstroke.nn.convolution import conv_layer

__all__ = [
    "SLOPE",
    "Activation",
    "Block",
    "InstanceNorm",
    "Norm",
    "activation_layer",
    "initialise",
    "norm_layer",
]

Norm = Literal["instance", "batch", "group", "none"]
Activation = Literal["relu", "leaky", "silu"]
# The slope for negative values that nnU-Net has.
SLOPE = 0.01
_BATCH: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_DROPOUT: dict[int, type[nn.Module]] = {1: nn.Dropout1d, 2: nn.Dropout2d, 3: nn.Dropout3d}


class InstanceNorm(nn.Module):
    """Mean 0 and variance 1 for each channel of each map, then a trained factor and offset per channel.

    The same in training and in use. A map of one sample has no spread and comes out as the offset, where
    `nn.InstanceNorm2d` raises.
    """

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Normalise a batch of maps."""
        return torch.instance_norm(x, self.weight, self.bias, None, None, True, 0.0, self.eps, False)

    def extra_repr(self) -> str:
        """The settings, as PyTorch's layers print theirs."""
        return f"{len(self.weight)}, eps={self.eps}"


def norm_layer(norm: Norm, channels: int, ndim: int) -> nn.Module:
    """The normalisation of this name; groups of 8, or as many as divide the channels."""
    if norm == "instance":
        return InstanceNorm(channels)
    if norm == "batch":
        return _BATCH[ndim](channels)
    if norm == "group":
        return nn.GroupNorm(next(n for n in (8, 4, 2, 1) if channels % n == 0), channels)
    return nn.Identity()


def activation_layer(activation: Activation) -> nn.Module:
    """The nonlinearity of this name, computed in place."""
    if activation == "relu":
        return nn.ReLU(inplace=True)
    if activation == "leaky":
        return nn.LeakyReLU(SLOPE, inplace=True)
    return nn.SiLU()


class Unit(nn.Sequential):
    """Convolution, normalisation, nonlinearity, dropout of whole channels."""


class Block(nn.Module):
    """Convolutions in a row, each followed by what the net is made with; residual ones add the input.

    Args:
        in_channels: of the maps that come in.
        out_channels: of the maps that go out.
        kernel: of each convolution, per axis.
        convs: how many.
        pads: whether maps keep their size; otherwise each loses kernel - 1 samples per axis.
        norm: the normalisation.
        activation: the nonlinearity.
        residual: whether the input, by a convolution of one tap where the channels differ, is added before
            the last nonlinearity.
        dropout: the share of channels dropped in training.
        end_dropout: the share of the samples of what goes out that is dropped in training, each by itself.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: tuple[int, ...],
        convs: int,
        pads: bool,
        norm: Norm,
        activation: Activation,
        residual: bool,
        dropout: float,
        end_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        ndim = len(kernel)
        units = []
        for number in range(convs):
            conv = conv_layer(
                out_channels if number else in_channels,
                out_channels,
                kernel,
                padding="same" if pads else 0,
                # a norm subtracts what a bias adds
                bias=norm == "none",
                ndim=ndim,
            )
            unit = Unit(conv, norm_layer(norm, out_channels, ndim))
            if not (residual and number == convs - 1):
                unit.append(activation_layer(activation))
                if dropout:
                    unit.append(_DROPOUT[ndim](dropout))
            units.append(unit)
        self.units = nn.Sequential(*units)
        self.residual = residual
        if residual:
            lost = tuple(0 if pads else convs * (k - 1) for k in kernel)
            self.cut = tuple((n // 2, n - n // 2) for n in lost)
            self.shortcut: nn.Module = (
                nn.Identity()
                if in_channels == out_channels
                else conv_layer(in_channels, out_channels, 1, bias=norm == "none", ndim=ndim)
            )
            last = [activation_layer(activation)] + ([_DROPOUT[ndim](dropout)] if dropout else [])
            self.last = nn.Sequential(*last)
        self.end = nn.Dropout(end_dropout) if end_dropout else nn.Identity()

    @property
    def convs(self) -> tuple[Conv, ...]:
        """The convolutions in a row, without the shortcut's."""
        convs = [unit[0] for unit in self.units if isinstance(unit, Unit)]
        return tuple(conv for conv in convs if isinstance(conv, Conv))

    def forward(self, x: Float[Tensor, "b c_in *space"]) -> Float[Tensor, "b c_out *kept"]:
        """Convolve a batch of maps."""
        y: Tensor = self.units(x)
        if self.residual:
            y = self.last(y + self.shortcut(self._cut(x)))
        z: Tensor = self.end(y)
        return z

    def _cut(self, x: Tensor) -> Tensor:
        """The middle of the input, as large as what the convolutions make."""
        for axis, (left, right) in enumerate(self.cut):
            if left or right:
                x = x.narrow(2 + axis, left, x.shape[2 + axis] - left - right)
        return x


def check_words(**given: tuple[str, object]) -> None:
    """Refuse words that have no meaning: name=(value, Literal)."""
    for name, (value, known) in given.items():
        if value not in get_args(known):
            msg = f"{name} must be one of {', '.join(map(repr, get_args(known)))}; got {value!r}"
            raise OptionError(msg)


def initialise(convs: Sequence[nn.Module], *, slope: float) -> None:
    """Draw weights for which a nonlinearity of this slope keeps the variance of maps.

    Source: He, Zhang, Ren, Sun, Delving deep into rectifiers, 2015.
    """
    for conv in convs:
        assert isinstance(conv, Conv)
        nn.init.kaiming_normal_(conv.weight, a=slope)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
