"""Segment maps by a U-Net whose joined maps sit on one grid, at every size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from upstroke.axes import times, whole_per_axis
from upstroke.errors import OptionError, ShapeError
from upstroke.grid import Grid, drift
from upstroke.layers.convolution import Conv, padding_sides
from upstroke.nn._arguments import check_maps
from upstroke.nn.convolution import conv_layer
from upstroke.nn.interpolation import Centre
from upstroke.nn.unet_blocks import SLOPE, Activation, Block, Norm, check_words, initialise
from upstroke.nn.unet_ways import Down, behind, described_down, described_up, down_layer, grid_of, up_layer
from upstroke.nn.upsampler import Method
from upstroke.ops.recorded import leaves
from upstroke.plan import UnetPlan, plan_unet_levels

__all__ = ["Join", "UNet"]

# Far longer than what any net needs at least, and no multiple of any stride.
LONG = 10**7 + 19
PerLevel = int | Sequence[int | Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class Join:
    """Where the two maps of a join sit, in input pixels.

    Attributes:
        level: 0 is the full resolution.
        skip: The grid of the encoder's map, cropped.
        upsampled: The grid of the map that comes up.
        crop_left: Samples cropped off the left of the encoder's map, per axis.
        drift: How far the two are apart, per axis.
    """

    level: int
    skip: Grid
    upsampled: Grid
    crop_left: tuple[int, ...]
    drift: tuple[Fraction, ...]


class UNet(nn.Module):
    """U-Net in 2 or 3 axes, registered at every join, for any size from `least_size` up.

    conv="same": the output has exactly the input's size. A level has ceil(n / s) samples, so that nothing is
    dropped and nothing padded on one side; the upsampled map, of s * ceil(n / s) samples, is cropped on the
    right to the encoder's, which leaves every sample where it is. conv="valid": nothing is padded, and the
    encoder's map is cropped on the left by what the grid says; 572 becomes 388 at depth 4.

    The positions are those of the layers themselves, in exact fractions: `joins`. Layers that cannot be
    registered are refused. Convolutions are drawn as He and others have it, by PyTorch's generator.

    Args:
        in_channels: of the maps that come in.
        classes: channels of the logits that come out.
        ndim: number of axes, 2 or 3.
        widths: channels of each level, the full resolution first.
        strides: between levels: one number, or one per step, or one per step and axis.
        kernels: of the convolutions: one number, or one per level, or one per level and axis.
        convs: convolutions on each level, on the way down and on the way up.
        conv: "same" or "valid".
        norm: behind each convolution; "group" has groups of 8 channels.
        activation: behind each norm; "leaky" has slope 0.01.
        residual: whether the input of a level's convolutions is added to what they make.
        down: the way to the next level: a pool as wide as the stride, on the half-pixel grid, or a
            convolution, on samples.
        up: the method of the way back, as `Upsampler` names them, centred to fit `down`.
        up_kernel: its kernel on axes that are upsampled; by default the shortest that is registered.
        join: whether the two maps are put side by side or added.
        dropout: share of the channels dropped behind each convolution in training.
        bottom_dropout: share of the samples dropped in training, each by itself, of what the convolutions
            of the two coarsest levels on the way down make, for the way up as for the joins: Ronneberger and
            others have 0.5.
        deep: levels below the full resolution that give logits too, in `forward_deep`.

    Raises:
        OptionError: a setting has no meaning, or the maps of a join would not sit on one grid.
        ShapeError: settings per level or axis are not as many as there are.

    >>> net = UNet(1, 2, widths=(4, 8, 16))
    >>> net(torch.zeros(1, 1, 17, 22)).shape
    torch.Size([1, 2, 17, 22])
    >>> original = UNet(1, 2, widths=(1, 1, 1, 1, 1), conv="valid", norm="none", activation="relu")
    >>> original.output_size(572), [join.crop_left for join in original.joins]
    ((388, 388), [(88, 88), (40, 40), (16, 16), (4, 4)])
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        ndim: int = 2,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        strides: PerLevel = 2,
        kernels: PerLevel = 3,
        convs: int = 2,
        conv: Literal["same", "valid"] = "same",
        norm: Norm = "instance",
        activation: Activation = "leaky",
        residual: bool = False,
        down: Down = "max",
        up: Method = "transposed",
        up_kernel: int | None = None,
        join: Literal["concat", "add"] = "concat",
        dropout: float = 0.0,
        bottom_dropout: float = 0.0,
        deep: int = 0,
    ) -> None:
        super().__init__()
        self.in_channels, self.classes, self.ndim = in_channels, classes, ndim
        self.widths = tuple(widths)
        self.depth = len(self.widths) - 1
        check_words(
            conv=(conv, Literal["same", "valid"]),
            norm=(norm, Norm),
            activation=(activation, Activation),
            down=(down, Down),
            up=(up, Method),
            join=(join, Literal["concat", "add"]),
        )
        self._check_numbers(convs=convs, up_kernel=up_kernel, deep=deep)
        self._check_shares(dropout=dropout, bottom_dropout=bottom_dropout)
        self.strides = _per_level(strides, self.depth, ndim, name="strides")
        self.kernels = _per_level(kernels, self.depth + 1, ndim, name="kernels")
        self.pads = conv == "same"
        self._check_kernels(convs=convs, residual=residual)
        self.convs, self.conv, self.norm, self.activation = convs, conv, norm, activation
        self.residual, self.down, self.up, self.up_kernel = residual, down, up, up_kernel
        self.join, self.dropout, self.bottom_dropout, self.deep = join, dropout, bottom_dropout, deep
        self._make()
        self.joins, self.output_grids = self._registered()
        # of a map that is long enough on every axis
        self._least = tuple(fit.least for fit in self._planned((LONG,) * ndim).fit)

    def _make(self) -> None:
        """Make the layers, the encoder's first."""
        centre: Centre = "sample" if self.down == "conv" else "cell"
        widths = self.widths
        self.encoder = nn.ModuleList(
            self._block(
                widths[level - 1] if level else self.in_channels,
                level,
                end_dropout=self.bottom_dropout if level >= self.depth - 1 else 0.0,
            )
            for level in range(self.depth + 1)
        )
        self.downs = nn.ModuleList(
            down_layer(self.down, width, stride=stride, pads=self.pads)
            for width, stride in zip(widths, self.strides, strict=False)
        )
        self.ups = nn.ModuleList(
            up_layer(
                self.up,
                below,
                width,
                scale=stride,
                kernel=self.up_kernel,
                centre=centre,
                pads=self.pads,
            )
            for width, below, stride in zip(widths, widths[1:], self.strides, strict=False)
        )
        joined = 2 if self.join == "concat" else 1
        self.decoder = nn.ModuleList(
            self._block(joined * widths[level], level) for level in range(self.depth)
        )
        self.heads = nn.ModuleList(
            conv_layer(widths[level], self.classes, 1, ndim=self.ndim) for level in range(self.deep + 1)
        )
        slope = {"relu": 0.0, "leaky": SLOPE, "silu": 0.0}[self.activation]
        blocks = (*self.encoder.modules(), *self.decoder.modules())
        initialise([layer for layer in blocks if isinstance(layer, Conv)], slope=slope)

    def _block(self, in_channels: int, level: int, *, end_dropout: float = 0.0) -> Block:
        return Block(
            in_channels,
            self.widths[level],
            kernel=self.kernels[level],
            convs=self.convs,
            pads=self.pads,
            norm=self.norm,
            activation=self.activation,
            residual=self.residual,
            dropout=self.dropout,
            end_dropout=end_dropout,
        )

    def forward(self, x: Float[Tensor, "b c_in *space"]) -> Float[Tensor, "b classes *out"]:
        """Logits of every class at every sample of the output.

        Raises:
            ShapeError: x has other channels or axes, or is smaller than `least_size`.
        """
        logits: Tensor = self.heads[0](self._decoded(x)[0])
        return logits

    def forward_deep(self, x: Float[Tensor, "b c_in *space"]) -> list[Tensor]:
        """Logits of `forward`, then those of the `deep` levels below, whose grids are `output_grids`.

        Raises:
            ShapeError: x has other channels or axes, or is smaller than `least_size`.
        """
        maps = self._decoded(x)
        return [head(maps[level]) for level, head in enumerate(self.heads)]

    def _decoded(self, x: Tensor) -> list[Tensor]:
        """The decoder's map of every level, the full resolution first, and the bottom's."""
        self._check_maps(x)
        skips = [self.encoder[0](x)]
        for down, block in zip(self.downs, self.encoder[1:], strict=True):
            skips.append(block(down(skips[-1])))
        maps = [skips.pop()]
        for level in reversed(range(self.depth)):
            maps.append(self.decoder[level](self._joined(level, skips.pop(), self.ups[level](maps[-1]))))
        return maps[::-1]

    def _joined(self, level: int, skip: Tensor, up: Tensor) -> Tensor:
        """The two maps of a join, cropped to where both have samples."""
        if self.pads:
            up = _cropped(up, (0,) * self.ndim, skip)
        else:
            skip = _cropped(skip, self.joins[level].crop_left, up)
        return torch.cat((skip, up), dim=1) if self.join == "concat" else skip + up

    @property
    def scale(self) -> tuple[int, ...]:
        """Input pixels per sample of the deepest map, per axis: the product of the strides."""
        return tuple(math.prod(steps) for steps in zip(*self.strides, strict=True))

    @property
    def settings(self) -> dict[str, Any]:
        """What the net is made with, as plain data: UNet(**net.settings) is made alike."""
        return {
            "in_channels": self.in_channels,
            "classes": self.classes,
            "ndim": self.ndim,
            "widths": list(self.widths),
            "strides": [list(stride) for stride in self.strides],
            "kernels": [list(kernel) for kernel in self.kernels],
            "convs": self.convs,
            "conv": self.conv,
            "norm": self.norm,
            "activation": self.activation,
            "residual": self.residual,
            "down": self.down,
            "up": self.up,
            "up_kernel": self.up_kernel,
            "join": self.join,
            "dropout": self.dropout,
            "bottom_dropout": self.bottom_dropout,
            "deep": self.deep,
        }

    @property
    def is_local(self) -> bool:
        """Whether in use an output sample depends on the maps around it alone: no norm over whole maps."""
        return self.norm in ("batch", "none")

    @property
    def border(self) -> tuple[int, ...]:
        """Input pixels on the left of the first output sample, per axis."""
        return tuple(int(offset) for offset in self.output_grids[0].offset)

    @property
    def least_size(self) -> tuple[int, ...]:
        """The smallest size that runs, per axis.

        With conv="valid" there must be an output. With conv="same" and a norm the deepest map must have two
        samples along each axis that is shrunk: of one sample a norm leaves nothing.
        """
        if not self.pads:
            return self._least
        return tuple(1 if self.norm == "none" or s == 1 else s + 1 for s in self.scale)

    def output_size(self, size: int | Sequence[int]) -> tuple[int, ...]:
        """The size of the output for an input of this size.

        Raises:
            ShapeError: it is smaller than `least_size`.
        """
        sizes = whole_per_axis(size, self.ndim, name="size", least=1)
        self._check_size(sizes)
        return sizes if self.pads else self._planned(sizes).output.size

    def plan(self, size: int | Sequence[int]) -> UnetPlan:
        """Every size, crop and grid of the net for an input of this size.

        Raises:
            ShapeError: it is smaller than `least_size`.

        >>> UNet(1, 2, widths=(4, 8, 16)).plan((17, 22)).levels[1].encoder.size
        (9, 11)
        """
        sizes = whole_per_axis(size, self.ndim, name="size", least=1)
        self._check_size(sizes)
        return self._planned(sizes)

    def _planned(self, size: tuple[int, ...]) -> UnetPlan:
        return plan_unet_levels(
            size,
            conv=self.conv,
            convs_per_level=self.convs,
            kernels=self.kernels,
            downs=[described_down(layer) for layer in self.downs],
            ups=[described_up(layer) for layer in self.ups],
        )

    def _registered(self) -> tuple[tuple[Join, ...], tuple[Grid, ...]]:
        """Follow where samples sit through the layers, and crop each join to one grid."""
        skips = []
        grid = Grid.of_input(self.ndim)
        for level, block in enumerate(self.encoder):
            if level:
                grid = described_down(self.downs[level - 1]).grid(grid)
            grid = _behind_block(grid, block)
            skips.append(grid)
        joins, grids = [], [grid]
        for level in reversed(range(self.depth)):
            up = behind(grids[-1], grid_of(self.ups[level]))
            joins.append(self._join(level, skips[level], up))
            grids.append(_behind_block(up, self.decoder[level]))
        return tuple(joins[::-1]), tuple(grids[:0:-1])[: self.deep + 1]

    def _join(self, level: int, skip: Grid, up: Grid) -> Join:
        ahead = [(u - s) / each for u, s, each in zip(up.offset, skip.offset, skip.spacing, strict=True)]
        left = tuple(0 if self.pads else max(0, math.floor(n)) for n in ahead)
        cropped = skip.crop(left)
        apart = drift(up, cropped)
        if any(apart):
            msg = (
                f"the maps joined at level {level} must sit on one grid; got {times(apart)} input pixels "
                f"between them, with conv={self.conv!r}, down={self.down!r}, up={self.up!r}, "
                f"up_kernel={self.up_kernel} and kernels {', '.join(map(times, self.kernels))}; "
                "use odd kernels, and an up that fits the way down"
            )
            raise OptionError(msg)
        return Join(level=level, skip=cropped, upsampled=up, crop_left=left, drift=apart)

    def _check_maps(self, x: Tensor) -> None:
        check_maps(x, channels=self.in_channels, ndim=self.ndim)
        # an exported graph says its least size itself, and one that is traced has tensors for sizes
        if not torch.compiler.is_compiling() and not leaves():
            self._check_size(tuple(x.shape[2:]))

    def _check_size(self, size: tuple[int, ...]) -> None:
        least = self.least_size
        if any(n < m for n, m in zip(size, least, strict=True)):
            msg = (
                f"a U-Net of depth {self.depth} with {self.conv} convolutions needs a size of at least "
                f"{times(least)}; got {times(size)}; use a larger map or fewer levels"
            )
            raise ShapeError(msg)

    def _check_numbers(self, *, convs: int, up_kernel: int | None, deep: int) -> None:
        if self.ndim not in (2, 3):
            msg = f"a U-Net is defined here for 2 or 3 axes; got ndim={self.ndim}"
            raise OptionError(msg)
        channels = {"in_channels": (self.in_channels,), "classes": (self.classes,), "widths": self.widths}
        for name, widths in channels.items():
            if not all(isinstance(width, Integral) and width >= 1 for width in widths):
                msg = f"{name} must be whole and at least 1; got {', '.join(map(str, widths))}"
                raise OptionError(msg)
        if self.depth < 1:
            msg = f"widths must have two levels or more; got {len(self.widths)}"
            raise OptionError(msg)
        for name, number in (("convs", convs), ("up_kernel", 1 if up_kernel is None else up_kernel)):
            if number < 1:
                msg = f"{name} must be at least 1; got {number}"
                raise OptionError(msg)
        if not 0 <= deep < self.depth:
            msg = (
                f"deep must be between 0 and {self.depth - 1}, the levels between the full resolution and "
                f"the bottom; got {deep}"
            )
            raise OptionError(msg)

    def _check_shares(self, **shares: float) -> None:
        for name, share in shares.items():
            if not 0 <= share < 1:
                msg = f"{name} must be at least 0 and below 1; got {share}"
                raise OptionError(msg)

    def _check_kernels(self, *, convs: int, residual: bool) -> None:
        every = [k for kernel in self.kernels for k in kernel]
        got = f"got {', '.join(map(times, self.kernels))}"
        if self.pads and any(k % 2 == 0 for k in every):
            msg = (
                "kernels must be odd with conv='same', or maps are padded by more on one side than on the "
                f"other; {got}"
            )
            raise OptionError(msg)
        if residual and any(convs * (k - 1) % 2 for k in every):
            msg = (
                "what the convolutions of a residual level take must be as much on the left as on the right, "
                f"or the input that is added sits half a sample beside them; {got} and convs={convs}; "
                "use odd kernels, or an even number of convolutions"
            )
            raise OptionError(msg)


def _per_level(given: PerLevel, count: int, ndim: int, *, name: str) -> tuple[tuple[int, ...], ...]:
    """One number per level and axis."""
    each = tuple(given) if isinstance(given, Sequence) else (given,) * count
    if len(each) != count:
        msg = f"{name} must be one number, or one for each of {count} levels; got {len(each)}"
        raise ShapeError(msg)
    return tuple(whole_per_axis(number, ndim, name=name, least=1) for number in each)


def _cropped(x: Tensor, left: tuple[int, ...], like: Tensor) -> Tensor:
    """The samples of x from `left` on, as many as the other map has."""
    for axis, first in enumerate(left, start=2):
        size = like.shape[axis]
        if torch.compiler.is_compiling():
            # a slice would hold a graph whose sizes may change to those where something is cut, or nothing is
            x = x.index_select(axis, torch.arange(first, first + size, device=x.device))
        else:
            x = x.narrow(axis, first, size)
    return x


def _behind_block(grid: Grid, block: nn.Module) -> Grid:
    """The grid behind the convolutions of a level."""
    assert isinstance(block, Block)
    for conv in block.convs:
        assert isinstance(conv, Conv)
        left = tuple(left for left, _ in padding_sides(conv))
        grid = grid.conv(conv.kernel_size, stride=conv.stride, padding=left)
    return grid
