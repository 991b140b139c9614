"""Describe layers by what they do to the size and the grid of a map.

A description holds one number, or one per axis; how many axes there are is decided by the map it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from math import floor
from typing import Any, TypeVar

from upstroke.axes import fractions_per_axis, times, whole_per_axis
from upstroke.errors import OptionError, ShapeError
from upstroke.grid import Grid

__all__ = [
    "Chain",
    "Conv",
    "Crop",
    "Layer",
    "Pad",
    "Pool",
    "Resize",
    "Shuffle",
    "Step",
    "Transposed",
    "Unshuffle",
    "axes_of",
    "check_choice",
    "check_most",
    "factors_of",
    "on_axis",
    "settings_of",
    "trace",
    "window_of",
]

RESIZE_MODES = ("nearest", "linear", "cubic")
RESIZE_CENTRES = ("cell", "sample")


@dataclass(frozen=True, kw_only=True)
class Conv:
    """A convolution: (n + 2 P - d (K - 1) - 1) // s + 1 samples.

    >>> Conv(kernel=3, stride=2, padding=1).size((97, 131))
    (49, 66)
    """

    kernel: int | tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    dilation: int | tuple[int, ...] = 1

    @property
    def name(self) -> str:
        """The layer in a few letters."""
        return f"conv {_window_name(self)}"

    def size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Give the size of the output."""
        return tuple(room // s + 1 for room, s, _, _ in _rooms(self, size))

    def unread(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Count the samples to the right of the last window."""
        return tuple(max(0, room % s - p) for room, s, p, _ in _rooms(self, size))

    def grid(self, grid: Grid) -> Grid:
        """Give the grid of the output."""
        return grid.conv(self.kernel, stride=self.stride, padding=self.padding, dilation=self.dilation)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A maximum or average pool; the stride is the kernel unless given.

    Sizes as for a convolution, but ceil_mode rounds up, unless the last window would begin in the padding on
    the right.

    >>> Pool(kernel=2).size((97, 131)), Pool(kernel=2, ceil_mode=True).size((97, 131))
    ((48, 65), (49, 66))
    """

    kernel: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None = None
    padding: int | tuple[int, ...] = 0
    dilation: int | tuple[int, ...] = 1
    ceil_mode: bool = False

    @property
    def name(self) -> str:
        """The layer in a few letters."""
        return f"pool {_window_name(self)}{' ceil' if self.ceil_mode else ''}"

    def size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Give the size of the output."""
        sizes = []
        for n, (room, s, p, reach) in zip(size, _rooms(self, size), strict=True):
            if 2 * p > reach + 1:
                message = (
                    "a pool's padding must be at most half of what its kernel covers; "
                    f"got padding {p} for {reach + 1} samples; use padding {(reach + 1) // 2} or less"
                )
                raise OptionError(message)
            extra = self.ceil_mode and room % s > 0 and (room // s + 1) * s < n + p
            sizes.append(room // s + 1 + extra)
        return tuple(sizes)

    def unread(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Count the samples to the right of the last window."""
        last_window_ends = [
            (m - 1) * s + reach + 1 - p
            for m, (_, s, p, reach) in zip(self.size(size), _rooms(self, size), strict=True)
        ]
        return tuple(max(0, n - end) for n, end in zip(size, last_window_ends, strict=True))

    def grid(self, grid: Grid) -> Grid:
        """Give the grid of the output."""
        return grid.conv(self.kernel, stride=_stride(self), padding=self.padding, dilation=self.dilation)


@dataclass(frozen=True, kw_only=True)
class Transposed:
    """A transposed convolution: s (n - 1) + d (K - 1) + 1 - 2 P + output_padding samples.

    >>> Transposed(kernel=4, stride=2, padding=1).size((5, 7))
    (10, 14)
    """

    kernel: int | tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    output_padding: int | tuple[int, ...] = 0
    dilation: int | tuple[int, ...] = 1

    @property
    def name(self) -> str:
        """The layer in a few letters."""
        added = _written(self.output_padding)
        return f"transposed {_window_name(self)}{'' if added == '0' else f' output_padding {added}'}"

    def size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Give the size of the output."""
        added = whole_per_axis(self.output_padding, len(size), name="output_padding", least=0)
        grown = []
        for n, (k, s, p, d), op in zip(size, window_of(self, len(size)), added, strict=True):
            if op >= max(s, d):
                message = (
                    f"output_padding must be smaller than the stride or the dilation; got {op} "
                    f"with stride {s} and dilation {d}; use at most {max(s, d) - 1}"
                )
                raise OptionError(message)
            grown.append(s * (n - 1) + d * (k - 1) + 1 - 2 * p + op)
        if min(grown) < 1:
            message = (
                f"{self.name} must leave at least 1 sample on every axis; "
                f"got {times(grown)} from {times(size)}; use less padding or a larger map"
            )
            raise ShapeError(message)
        return tuple(grown)

    def grid(self, grid: Grid) -> Grid:
        """Give the grid of the output."""
        return grid.transposed(self.kernel, stride=self.stride, padding=self.padding, dilation=self.dilation)


@dataclass(frozen=True, kw_only=True)
class Resize:
    """A resize as PyTorch does it without align_corners: floor(s n) samples.

    With centre="sample", sample s * m of the output sits on cell m, as `upstroke.nn` can have it.

    >>> Resize(scale=(2, 3), mode="linear").size((5, 7))
    (10, 21)
    """

    scale: int | Fraction | tuple[int | Fraction, ...]
    mode: str = "nearest"
    centre: str = "cell"

    @property
    def name(self) -> str:
        """The layer in a few letters."""
        where = "" if self.centre == "cell" else " on samples"
        return f"{self.mode} ×{_written(self.scale)}{where}"

    def size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Give the size of the output."""
        check_choice(self.mode, RESIZE_MODES, name="mode of a resize")
        check_choice(self.centre, RESIZE_CENTRES, name="centre of a resize")
        scales = fractions_per_axis(self.scale, len(size), name="scale", positive=True)
        grown = tuple(floor(s * n) for s, n in zip(scales, size, strict=True))
        if min(grown) < 1:
            message = f"{self.name} must leave at least 1 sample on every axis; got none of {times(size)}"
            raise ShapeError(message)
        return grown

    def grid(self, grid: Grid) -> Grid:
        """Give the grid of the output."""
        if self.centre == "sample":
            return grid.resize_onnx(self.scale, coordinates="asymmetric", mode=self.mode)
        if self.mode == "nearest":
            return grid.resize_onnx(self.scale, coordinates="asymmetric", rounding="floor")
        return grid.resize(self.scale)


@dataclass(frozen=True, kw_only=True)
class Shuffle:
    """A pixel shuffle (depth to space): s n samples.

    >>> Shuffle(scale=2).size((5, 7))
    (10, 14)
    """

    scale: int | tuple[int, ...]

    @property
    def name(self) -> str:
        """The layer in a few letters."""
        return f"shuffle ×{_written(self.scale)}"

    def size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Give the size of the output."""
        scales = whole_per_axis(self.scale, len(size), name="scale", least=1)
        return tuple(s * n for s, n in zip(scales, size, strict=True))

    def grid(self, grid: Grid) -> Grid:
        """Give the grid of the output."""
        return grid.resize(self.scale)


@dataclass(frozen=True, kw_only=True)
class Unshuffle:
    """A pixel unshuffle (space to depth): n / s samples, where s divides n.

    >>> Unshuffle(scale=2).size((10, 14))
    (5, 7)
    """

    scale: int | tuple[int, ...]

    @property
    def name(self) -> str:
        """The layer in a few letters."""
        return f"unshuffle ÷{_written(self.scale)}"

    def size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Give the size of the output."""
        scales = whole_per_axis(self.scale, len(size), name="scale", least=1)
        if any(n % s or n < s for s, n in zip(scales, size, strict=True)):
            message = f"{self.name} needs a size that is a multiple of {times(scales)}; got {times(size)}"
            raise ShapeError(message)
        return tuple(n // s for s, n in zip(scales, size, strict=True))

    def grid(self, grid: Grid) -> Grid:
        """Give the grid of the output."""
        return grid.unshuffle(self.scale)


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Samples dropped on both sides: n - left - right remain.

    >>> Crop(left=4, right=(4, 5)).size((64, 65))
    (56, 56)
    """

    left: int | tuple[int, ...] = 0
    right: int | tuple[int, ...] = 0

    @property
    def name(self) -> str:
        """The layer in a few letters."""
        return f"crop {_written(self.left)}|{_written(self.right)}"

    def size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Give the size of the output."""
        sides = _sides(self, len(size))
        left_over = tuple(n - left - right for n, (left, right) in zip(size, sides, strict=True))
        if min(left_over) < 1:
            message = f"{self.name} must leave at least 1 sample on every axis; got none of {times(size)}"
            raise ShapeError(message)
        return left_over

    def grid(self, grid: Grid) -> Grid:
        """Give the grid of the output."""
        return grid.crop(self.left)


@dataclass(frozen=True, kw_only=True)
class Pad:
    """Samples added on both sides: n + left + right.

    >>> Pad(left=1, right=(1, 2)).size((5, 7))
    (7, 10)
    """

    left: int | tuple[int, ...] = 0
    right: int | tuple[int, ...] = 0

    @property
    def name(self) -> str:
        """The layer in a few letters."""
        return f"pad {_written(self.left)}|{_written(self.right)}"

    def size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Give the size of the output."""
        sides = _sides(self, len(size))
        return tuple(n + left + right for n, (left, right) in zip(size, sides, strict=True))

    def grid(self, grid: Grid) -> Grid:
        """Give the grid of the output."""
        return grid.pad(self.left)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Layers in a row that count as one step.

    >>> Chain(layers=(Resize(scale=2), Conv(kernel=3))).size((5, 7))
    (8, 12)
    """

    layers: tuple["Layer", ...]

    @property
    def name(self) -> str:
        """The layers in a few letters."""
        return ", ".join(layer.name for layer in self.layers)

    def size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Give the size of the output."""
        for layer in self.layers:
            size = layer.size(size)
        return size

    def grid(self, grid: Grid) -> Grid:
        """Give the grid of the output."""
        for layer in self.layers:
            grid = layer.grid(grid)
        return grid


Layer = Conv | Pool | Transposed | Resize | Shuffle | Unshuffle | Crop | Pad | Chain
AnyLayer = TypeVar("AnyLayer", bound=Layer)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One map on the way: what made it, its size and where its samples sit."""

    name: str
    size: tuple[int, ...]
    grid: Grid

    def as_json(self) -> dict[str, Any]:
        """Give the step as plain data."""
        return {"name": self.name, "size": list(self.size), "grid": self.grid.as_json()}


def trace(layers: Sequence[Layer], size: int | tuple[int, ...]) -> tuple[Step, ...]:
    """Follow a map through layers: the input first, then one step per layer.

    >>> for step in trace([Conv(kernel=3), Pool(kernel=2), Resize(scale=2)], (20, 23)):
    ...     print(step.name, step.size, step.grid)
    input (20, 23) Grid(offset=(0, 0), spacing=(1, 1))
    conv k3 (18, 21) Grid(offset=(1, 1), spacing=(1, 1))
    pool k2 s2 (9, 10) Grid(offset=(3/2, 3/2), spacing=(2, 2))
    nearest ×2 (18, 20) Grid(offset=(1, 1), spacing=(1, 1))
    """
    ndim = len(size) if isinstance(size, tuple) else 1
    sizes = whole_per_axis(size, ndim, name="size", least=1)
    steps = [Step(name="input", size=sizes, grid=Grid.of_input(ndim))]
    for layer in layers:
        last = steps[-1]
        steps.append(Step(name=layer.name, size=layer.size(last.size), grid=layer.grid(last.grid)))
    return tuple(steps)


def axes_of(given: dict[str, object]) -> int:
    """Count the axes that named settings agree on; numbers alone stand for one axis.

    >>> axes_of({"size": (97, 131), "kernel": 3})
    2
    """
    counted = {name: value for name, value in given.items() if isinstance(value, tuple)}
    if len({len(value) for value in counted.values()}) > 1:
        listing = ", ".join(f"{name} {times(value)}" for name, value in counted.items())
        message = (
            f"all settings given per axis must have the same number of axes; got {listing}; "
            "give one number for all axes, or one for each"
        )
        raise ShapeError(message)
    return max((len(value) for value in counted.values()), default=1)


def settings_of(layer: Layer, *, role: str) -> dict[str, object]:
    """Name a layer's settings for axes_of.

    >>> settings_of(Crop(left=1), role="first")
    {'first left': 1, 'first right': 0}
    """
    return {f"{role} {field.name}": getattr(layer, field.name) for field in fields(layer)}


def on_axis(layer: AnyLayer, axis: int) -> AnyLayer:
    """Keep what a layer does on one axis.

    >>> on_axis(Conv(kernel=(3, 5), stride=2), 1)
    Conv(kernel=5, stride=2, padding=0, dilation=1)
    """
    if isinstance(layer, Chain):
        return replace(layer, layers=tuple(on_axis(each, axis) for each in layer.layers))
    settings = {field.name: getattr(layer, field.name) for field in fields(layer)}
    return replace(layer, **{name: v[axis] for name, v in settings.items() if isinstance(v, tuple)})


def window_of(layer: Conv | Pool | Transposed, ndim: int) -> list[tuple[int, int, int, int]]:
    """Give kernel, stride, padding, dilation of each axis.

    >>> window_of(Conv(kernel=(3, 5), padding=1), 2)
    [(3, 1, 1, 1), (5, 1, 1, 1)]
    """
    return list(
        zip(
            whole_per_axis(layer.kernel, ndim, name="kernel", least=1),
            whole_per_axis(_stride(layer), ndim, name="stride", least=1),
            whole_per_axis(layer.padding, ndim, name="padding", least=0),
            whole_per_axis(layer.dilation, ndim, name="dilation", least=1),
            strict=True,
        )
    )


def factors_of(layer: Conv | Pool | Transposed | Resize | Shuffle | Chain, ndim: int) -> tuple[Fraction, ...]:
    """Give the number by which a layer divides (or, going up, multiplies) the number of samples per axis.

    >>> factors_of(Pool(kernel=(2, 3)), 2) == factors_of(Resize(scale=(2, 3)), 2)
    True
    """
    if isinstance(layer, Chain):
        return tuple(1 / spacing for spacing in layer.grid(Grid.of_input(ndim)).spacing)
    if isinstance(layer, Resize | Shuffle):
        return fractions_per_axis(layer.scale, ndim, name="scale", positive=True)
    return tuple(Fraction(stride) for _, stride, _, _ in window_of(layer, ndim))


def _stride(layer: Conv | Pool | Transposed) -> int | tuple[int, ...]:
    return layer.kernel if layer.stride is None else layer.stride


def _rooms(layer: Conv | Pool, size: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """Give, for each axis, how far the window can travel, then stride, padding and the window's reach."""
    rooms = []
    for n, (k, s, p, d) in zip(size, window_of(layer, len(size)), strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        # rounded up, a window that the map does not fill counts
        if room < (1 - s if isinstance(layer, Pool) and layer.ceil_mode else 0):
            message = (
                f"{layer.name} needs at least {max(1, n - room)} samples on every axis; "
                f"got {times(size)}; use a larger map or a smaller kernel"
            )
            raise ShapeError(message)
        rooms.append((room, s, p, d * (k - 1)))
    return rooms


def _sides(layer: Crop | Pad, ndim: int) -> list[tuple[int, int]]:
    left = whole_per_axis(layer.left, ndim, name="left", least=0)
    return list(zip(left, whole_per_axis(layer.right, ndim, name="right", least=0), strict=True))


def check_choice(value: str, known: tuple[str, ...], *, name: str) -> None:
    """Refuse a value that is not among the known ones."""
    if value not in known:
        message = f"{name} must be one of {', '.join(known)}; got {value!r}"
        raise OptionError(message)


def check_most(value: int | tuple[int, ...], most: int, *, name: str) -> None:
    """Refuse a value that no net has and that would take forever.

    >>> check_most((3, 5), 1000, name="kernel")
    """
    numbers = value if isinstance(value, tuple) else (value,)
    if max(numbers) > most:
        message = f"{name} must be at most {most}; got {times(numbers)}"
        raise OptionError(message)


def _window_name(layer: Conv | Pool | Transposed) -> str:
    letters = [("s", _stride(layer), 1), ("p", layer.padding, 0), ("d", layer.dilation, 1)]
    shown = [
        f"{letter}{_written(value)}" for letter, value, usual in letters if _written(value) != f"{usual}"
    ]
    return " ".join([f"k{_written(layer.kernel)}", *shown])


def _written(value: int | Fraction | tuple[int | Fraction, ...]) -> str:
    """A number, or one for each axis where they are not all the same."""
    values = value if isinstance(value, tuple) else (value,)
    return times(values[:1] if len(set(values)) == 1 else values)
