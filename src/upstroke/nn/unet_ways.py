"""Make the layers that lead from one level of a U-Net to the next and back, centred to fit each other."""

import math
from collections.abc import Callable
from typing import Literal, cast

from jaxtyping import Float
from torch import Tensor, nn

from upstroke import plan
from upstroke.errors import OptionError
from upstroke.grid import Grid
from upstroke.layers.convolution import Conv, padding_sides
from upstroke.nn.interpolation import Centre, Interpolation, Mode
from upstroke.nn.resize import ResizeConv
from upstroke.nn.separable import SeparableTransposedConv
from upstroke.nn.subpixel import SubpixelConv
from upstroke.nn.transposed import TransposedConv
from upstroke.nn.upsampler import Layer, Method

__all__ = ["Down", "Trimmed", "behind", "described_down", "described_up", "down_layer", "grid_of", "up_layer"]

Down = Literal["max", "mean", "conv"]
_MAX: dict[int, type[nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_MEAN: dict[int, type[nn.Module]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
_CONV: dict[int, type[Conv]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class Trimmed(nn.Sequential):
    """A resize and convolution without the samples that the resize makes of what lies beyond the edge."""

    def __init__(self, up: ResizeConv, *, left: tuple[int, ...], right: tuple[int, ...]) -> None:
        super().__init__(up)
        self.left, self.right = left, right

    def forward(self, x: Float[Tensor, "b c_in *space"]) -> Float[Tensor, "b c_out *grown"]:
        """Upsample a batch of maps."""
        y: Tensor = self[0](x)
        for axis, (left, right) in enumerate(zip(self.left, self.right, strict=True), start=2):
            if left or right:
                y = y.narrow(axis, left, y.shape[axis] - left - right)
        return y

    @property
    def grid(self) -> Grid:
        """Where the output's samples sit, in input pixels."""
        up = self[0]
        assert isinstance(up, ResizeConv)
        return up.grid.crop(self.left)


def down_layer(down: Down, channels: int, *, stride: tuple[int, ...], pads: bool) -> nn.Module:
    """The layer that leads to the next level, with ceil(n / s) samples where it pads, else floor(n / s).

    A pool's last window is cut short where the size is no multiple of the stride: nothing is padded, nothing
    is dropped. A convolution has an odd kernel as long as the stride or longer, so that it sits on samples.
    """
    ndim = len(stride)
    if down == "conv":
        kernel = tuple(1 if s == 1 else max(3, s + 1 - s % 2) for s in stride)
        padding = tuple(k // 2 if pads else 0 for k in kernel)
        make: Callable[..., nn.Module] = _CONV[ndim]
        return make(channels, channels, kernel, stride=stride, padding=padding)
    pool = (_MAX if down == "max" else _MEAN)[ndim]
    return pool(stride, stride=stride, ceil_mode=pads)


def up_layer(
    method: Method,
    in_channels: int,
    out_channels: int,
    *,
    scale: tuple[int, ...],
    kernel: int | None,
    centre: Centre,
    pads: bool,
) -> Layer | Trimmed:
    """The layer that leads back: on the grid of the level above, with scale * size samples where it pads.

    The kernel is 1 along axes that are not upsampled. Without padding nothing is read beyond the edge, and
    as many samples fewer come out.
    """
    ndim = len(scale)
    if method in ("transposed", "separable", "separable-pointwise-first"):
        least = tuple(s if centre == "cell" else 2 * s - 1 for s in scale)
        kernels = tuple(
            1 if s == 1 else (shortest if kernel is None else kernel)
            for s, shortest in zip(scale, least, strict=True)
        )
        _check_transposed(method, kernels, scale=scale, least=least, centre=centre)
        if not pads:
            padding = tuple(k - s for k, s in zip(kernels, scale, strict=True))
            added = (0,) * ndim
        elif centre == "cell":
            padding = tuple((k - s) // 2 for k, s in zip(kernels, scale, strict=True))
            added = (0,) * ndim
        else:
            padding, added = tuple(k // 2 for k in kernels), tuple(s - 1 for s in scale)
        if method == "transposed":
            return TransposedConv(
                in_channels,
                out_channels,
                kernels,
                stride=scale,
                padding=padding,
                output_padding=added,
                ndim=ndim,
            )
        return SeparableTransposedConv(
            in_channels,
            out_channels,
            kernels,
            stride=scale,
            padding=padding,
            output_padding=added,
            order="depthwise-first" if method == "separable" else "pointwise-first",
            ndim=ndim,
        )
    kernels = tuple(1 if s == 1 else kernel or 1 for s in scale)
    if pads and any(k % 2 == 0 for k in kernels):
        msg = (
            f"up_kernel of up={method!r} must be odd, or maps move by half a sample at every level; "
            f"got {kernel}"
        )
        raise OptionError(msg)
    padding = tuple(k // 2 if pads else 0 for k in kernels)
    if method == "subpixel":
        return SubpixelConv(in_channels, out_channels, kernels, scale=scale, padding=padding, ndim=ndim)
    up = ResizeConv(
        in_channels,
        out_channels,
        kernels,
        scale=scale,
        mode=cast("Mode", method),
        centre=centre,
        padding=padding,
        ndim=ndim,
    )
    if pads or method == "nearest":
        return up
    left, right = _beyond(up.resize)
    return Trimmed(up, left=left, right=right)


def _check_transposed(
    method: Method,
    kernels: tuple[int, ...],
    *,
    scale: tuple[int, ...],
    least: tuple[int, ...],
    centre: Centre,
) -> None:
    for k, s, shortest in zip(kernels, scale, least, strict=True):
        if k >= shortest and (k - shortest) % 2 == 0:
            continue
        where = "on cells" if centre == "cell" else "on samples"
        msg = (
            f"up_kernel of up={method!r} must be {shortest}, {shortest + 2}, {shortest + 4}, ... at stride "
            f"{s}, to be centred {where} as the way down is, and to reach every sample; got {k}"
        )
        raise OptionError(msg)


def _beyond(resize: Interpolation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Samples on the left and on the right for which a resize reads beyond the edge.

    Sample n reads around x = c + n / s, c the position of sample 0: from floor(x) - r to ceil(x) + r with
    r = 0 for linear and 1 for cubic. On N cells that is inside for s (r - c) <= n <= s (N - 1 - r - c).
    """
    reach = 0 if resize.mode == "linear" else 1
    left, right = [], []
    for s, start in zip(resize.scale, resize.grid.offset, strict=True):
        if s == 1:
            left.append(0)
            right.append(0)
            continue
        left.append(max(0, math.ceil(s * (reach - start))))
        right.append(max(0, math.ceil(s * (1 + reach + start)) - 1))
    return tuple(left), tuple(right)


def grid_of(layer: nn.Module) -> Grid:
    """Where the output's samples of a layer that leads up sit, in its input's pixels."""
    assert isinstance(layer, Layer | Trimmed)
    return layer.grid


def described_down(layer: nn.Module) -> plan.Conv | plan.Pool:
    """What a layer that leads down does to sizes and grids, read off the layer."""
    (step,) = _described(layer)
    assert isinstance(step, plan.Conv | plan.Pool)
    return step


def described_up(layer: nn.Module) -> plan.Transposed | plan.Chain:
    """What a layer that leads up does to sizes and grids, read off the layer."""
    steps = _described(layer)
    if len(steps) == 1 and isinstance(steps[0], plan.Transposed):
        return steps[0]
    return plan.Chain(layers=steps)


def _described(layer: nn.Module) -> tuple[plan.Layer, ...]:
    if isinstance(
        layer, nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d | nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d
    ):
        return (plan.Pool(kernel=layer.kernel_size, stride=layer.stride, ceil_mode=layer.ceil_mode),)
    if isinstance(layer, Trimmed):
        return (*_described(layer[0]), plan.Crop(left=layer.left, right=layer.right))
    if isinstance(layer, TransposedConv):
        return (
            plan.Transposed(
                kernel=layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                output_padding=layer.output_padding,
                dilation=layer.dilation,
            ),
        )
    if isinstance(layer, SeparableTransposedConv):
        return _described(layer.depthwise)
    if isinstance(layer, SubpixelConv):
        scale = tuple(s.denominator // s.numerator for s in layer.grid.spacing)
        return (*_described(layer.conv), plan.Shuffle(scale=scale))
    if isinstance(layer, ResizeConv):
        return (*_described(layer.resize), *_described(layer.conv))
    if isinstance(layer, Interpolation):
        return (plan.Resize(scale=layer.scale, mode=layer.mode, centre=layer.centre),)
    assert isinstance(layer, Conv)
    # none of them pads more on one side than on the other
    left = tuple(left for left, _ in padding_sides(layer))
    return (plan.Conv(kernel=layer.kernel_size, stride=layer.stride, padding=left),)


def behind(grid: Grid, layer: Grid) -> Grid:
    """The grid behind a layer, given the layer's own on maps of spacing 1."""
    spacings = zip(grid.spacing, layer.spacing, strict=True)
    offsets = zip(grid.offset, grid.spacing, layer.offset, strict=True)
    return Grid(
        offset=tuple(o + s * moved for o, s, moved in offsets),
        spacing=tuple(s * zoom for s, zoom in spacings),
    )
