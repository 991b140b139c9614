"""Follow where a tensor's samples sit, layer by layer, in exact fractions of an input pixel.

Per axis, sample i sits at offset + spacing * i, counted in input pixels with pixel centres at whole numbers.
A position is the centre of a footprint, averaged over output phases: the middle of the input samples that a
uniform kernel reads, whatever the trained weights make of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

from upstroke.axes import fractions_per_axis, whole_per_axis
from upstroke.errors import OptionError, ShapeError

__all__ = ["Grid", "drift"]

HALF = Fraction(1, 2)
COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners")
MODES = ("nearest", "linear", "cubic")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@dataclass(frozen=True)
class Grid:
    """Positions of samples on every axis: position(i) = offset + spacing * i, in input pixels.

    Every method returns the grid behind one more layer; settings are one number, or one per axis.

    >>> Grid.of_input(2).conv(kernel=(3, 4), stride=2, padding=1)
    Grid(offset=(0, 1/2), spacing=(2, 2))

    Attributes:
        offset: Position of sample 0 on each axis.
        spacing: Distance between neighbouring samples on each axis.
        size_dependent: Whether a layer on the way samples at a spacing that depends on the size of the input.
    """

    offset: tuple[Fraction, ...]
    spacing: tuple[Fraction, ...]
    size_dependent: bool = False

    def __post_init__(self) -> None:
        if not self.offset or len(self.offset) != len(self.spacing):
            message = (
                "a grid needs one offset and one spacing per axis, and at least one axis; "
                f"got {len(self.offset)} offsets and {len(self.spacing)} spacings"
            )
            raise ShapeError(message)
        if min(self.spacing) <= 0:
            message = f"a grid's spacing must be positive on every axis; got ({_listed(self.spacing)})"
            raise OptionError(message)

    def __repr__(self) -> str:
        flag = ", size_dependent=True" if self.size_dependent else ""
        return f"Grid(offset=({_listed(self.offset)}), spacing=({_listed(self.spacing)}){flag})"

    @classmethod
    def of_input(cls, ndim: int) -> "Grid":
        """Give the grid of the input itself: offset 0, spacing 1.

        >>> Grid.of_input(2)
        Grid(offset=(0, 0), spacing=(1, 1))
        """
        return cls(offset=(Fraction(0),) * ndim, spacing=(Fraction(1),) * ndim)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.offset)

    def position(self, index: int | Fraction | tuple[int | Fraction, ...]) -> tuple[Fraction, ...]:
        """Locate a sample: offset + spacing * index, in input pixels.

        >>> Grid.of_input(2).resize((2, 4)).position((1, 0))
        (Fraction(1, 4), Fraction(-3, 8))
        """
        numbers = fractions_per_axis(index, self.ndim, name="index")
        return tuple(o + s * i for o, s, i in zip(self.offset, self.spacing, numbers, strict=True))

    def conv(
        self,
        kernel: int | tuple[int, ...],
        *,
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
    ) -> "Grid":
        """Pass a convolution or a pool: each window is located at its middle.

        offset + spacing * (d (K - 1) / 2 - P), spacing * s. The padding is the one on the left; what stands
        on the right changes the size, not the grid. A negative padding is a crop.

        >>> Grid.of_input(1).conv(2, stride=2)
        Grid(offset=(1/2), spacing=(2))
        """
        kernels, strides, paddings, dilations = self._window(kernel, stride, padding, dilation)
        middles = [HALF * d * (k - 1) - p for k, p, d in zip(kernels, paddings, dilations, strict=True)]
        return self._moved(middles, [Fraction(s) for s in strides])

    def transposed(
        self,
        kernel: int | tuple[int, ...],
        *,
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
    ) -> "Grid":
        """Pass a transposed convolution: the middle of what each cell writes sits on the cell.

        offset + (spacing / s) * (P - d (K - 1) / 2), spacing / s. output_padding adds samples on the right
        and leaves the grid alone.

        >>> Grid.of_input(2).transposed((4, 3), stride=2, padding=1)
        Grid(offset=(-1/4, 0), spacing=(1/2, 1/2))
        """
        kernels, strides, paddings, dilations = self._window(kernel, stride, padding, dilation)
        moves = [
            (p - HALF * d * (k - 1)) / s
            for k, s, p, d in zip(kernels, strides, paddings, dilations, strict=True)
        ]
        return self._moved(moves, [Fraction(1, s) for s in strides])

    def resize(self, scale: int | Fraction | tuple[int | Fraction, ...]) -> "Grid":
        """Pass a resize with half-pixel centres, a nearest resize by a whole scale, or a pixel shuffle.

        offset - (spacing / s) * (s - 1) / 2, spacing / s: the s samples that a cell becomes are centred on
        the cell. PyTorch's nearest resize by a scale that is not whole is resize_onnx(...,
        coordinates="asymmetric", rounding="floor").

        >>> Grid.of_input(1).resize(2).resize(2) == Grid.of_input(1).resize(4)
        True
        """
        scales = fractions_per_axis(scale, self.ndim, name="scale", positive=True)
        return self._moved([HALF / s - HALF for s in scales], [1 / s for s in scales])

    def unshuffle(self, scale: int | tuple[int, ...]) -> "Grid":
        """Pass a pixel unshuffle (space to depth): each block of s samples is located at its middle.

        offset + spacing * (s - 1) / 2, spacing * s.

        >>> Grid.of_input(1).resize(3).unshuffle(3) == Grid.of_input(1)
        True
        """
        return self.conv(scale, stride=scale)

    def resize_onnx(
        self,
        scale: int | Fraction | tuple[int | Fraction, ...],
        *,
        coordinates: str = "half_pixel",
        mode: str = "nearest",
        rounding: str = "round_prefer_floor",
        size: int | tuple[int, ...] | None = None,
    ) -> "Grid":
        """Pass ONNX's Resize, whose samples sit where `coordinates`, `mode` and `rounding` put them.

        Output sample n reads the input around x(n) = c + n / s: c is (1 / s - 1) / 2 for half_pixel, 0 for
        asymmetric and align_corners, and align_corners replaces s by (M - 1) / (N - 1). Linear and cubic: the
        grid is x(n) itself. Nearest reads cell round(x(n)), so the grid is n / s plus the mean of round(x(n))
        - n / s over all phases n: the middle of the run of samples that copy a cell sits on the cell.

        half_pixel_symmetric and pytorch_half_pixel equal half_pixel but for, in turn, an output size s N that
        is not whole and an output of one sample; both need `size`, the input size N, to be told apart.

        >>> Grid.of_input(1).resize_onnx(2, coordinates="asymmetric", rounding="floor")
        Grid(offset=(-1/4), spacing=(1/2))
        >>> Grid.of_input(1).resize_onnx(2, coordinates="half_pixel", rounding="floor")
        Grid(offset=(-3/4), spacing=(1/2))
        >>> Grid.of_input(1).resize_onnx(2, coordinates="asymmetric", mode="linear")
        Grid(offset=(0), spacing=(1/2))
        """
        for name, value, known in (
            ("coordinates", coordinates, COORDINATES),
            ("mode", mode, MODES),
            ("rounding", rounding, ROUNDINGS),
        ):
            if value not in known:
                message = f"{name} of an ONNX resize must be one of {', '.join(known)}; got {value!r}"
                raise OptionError(message)
        scales = fractions_per_axis(scale, self.ndim, name="scale", positive=True)
        sizes = (None,) * self.ndim if size is None else whole_per_axis(size, self.ndim, name="size", least=1)
        views = [_onnx_view(coordinates, s, n) for s, n in zip(scales, sizes, strict=True)]
        moves = [
            view.origin if mode != "nearest" else _mean_of_rounded(view.origin, view.scale, rounding=rounding)
            for view in views
        ]
        flag = self.size_dependent or any(view.size_dependent for view in views)
        return replace(self._moved(moves, [1 / view.scale for view in views]), size_dependent=flag)

    def align_corners(self, size_in: int | tuple[int, ...], size_out: int | tuple[int, ...]) -> "Grid":
        """Pass a linear or cubic resize from N to M samples that keeps the outermost samples in place.

        Same offset, spacing * (N - 1) / (M - 1): it depends on the size, so the grid is flagged.

        >>> Grid.of_input(1).align_corners(5, 9)
        Grid(offset=(0), spacing=(1/2), size_dependent=True)
        """
        sizes = zip(
            whole_per_axis(size_in, self.ndim, name="size_in", least=1),
            whole_per_axis(size_out, self.ndim, name="size_out", least=1),
            strict=True,
        )
        grid = self._moved([Fraction(0)] * self.ndim, [_corner_ratio(n, m) for n, m in sizes])
        return replace(grid, size_dependent=True)

    def crop(self, left: int | tuple[int, ...]) -> "Grid":
        """Drop samples on the left: offset + spacing * left. What is dropped on the right changes nothing.

        >>> Grid.of_input(2).crop((1, 0))
        Grid(offset=(1, 0), spacing=(1, 1))
        """
        cells = [Fraction(n) for n in whole_per_axis(left, self.ndim, name="left")]
        return self._moved(cells, [Fraction(1)] * self.ndim)

    def pad(self, left: int | tuple[int, ...]) -> "Grid":
        """Add samples on the left: offset - spacing * left. What is added on the right changes nothing.

        >>> Grid.of_input(1).resize(2).pad(1).crop(1) == Grid.of_input(1).resize(2)
        True
        """
        return self.crop(tuple(-n for n in whole_per_axis(left, self.ndim, name="left")))

    def shift(self, distance: int | Fraction | tuple[int | Fraction, ...]) -> "Grid":
        """Move every sample by a distance in input pixels.

        >>> Grid.of_input(2).shift((0, Fraction(1, 2)))
        Grid(offset=(0, 1/2), spacing=(1, 1))
        """
        distances = fractions_per_axis(distance, self.ndim, name="distance")
        return replace(self, offset=tuple(o + d for o, d in zip(self.offset, distances, strict=True)))

    def is_registered_to(self, other: "Grid") -> bool:
        """Tell whether every sample sits exactly where the other grid's sample of the same index sits.

        >>> encoder = Grid.of_input(1).conv(2, stride=2)
        >>> encoder.resize(2).is_registered_to(Grid.of_input(1))
        True
        """
        return self.offset == other.offset and self.spacing == other.spacing

    def as_json(self) -> dict[str, Any]:
        """Give the grid as plain data: numbers to compute with, and the exact fractions as strings.

        >>> Grid.of_input(1).resize(2).as_json()["exact"]
        {'offset': ['-1/4'], 'spacing': ['1/2']}
        """
        return {
            "offset": [float(o) for o in self.offset],
            "spacing": [float(s) for s in self.spacing],
            "exact": {"offset": [str(o) for o in self.offset], "spacing": [str(s) for s in self.spacing]},
            "size_dependent": self.size_dependent,
        }

    def _window(
        self,
        kernel: int | tuple[int, ...],
        stride: int | tuple[int, ...],
        padding: int | tuple[int, ...],
        dilation: int | tuple[int, ...],
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        return (
            whole_per_axis(kernel, self.ndim, name="kernel", least=1),
            whole_per_axis(stride, self.ndim, name="stride", least=1),
            whole_per_axis(padding, self.ndim, name="padding"),
            whole_per_axis(dilation, self.ndim, name="dilation", least=1),
        )

    def _moved(self, cells: list[Fraction], zoom: list[Fraction]) -> "Grid":
        """Move by a number of cells of this grid, then stretch the spacing."""
        return replace(
            self,
            offset=tuple(o + s * c for o, s, c in zip(self.offset, self.spacing, cells, strict=True)),
            spacing=tuple(s * z for s, z in zip(self.spacing, zoom, strict=True)),
        )


def drift(a: Grid, b: Grid) -> tuple[Fraction, ...]:
    """Measure how far grid a sits from grid b on each axis, in input pixels: a.offset - b.offset.

    Only grids of one spacing have a drift; two branches may be joined where it is 0 on every axis. Negative:
    the samples of a come from further left than those of b.

    >>> skip = Grid.of_input(1).conv(3, stride=2, padding=1)
    >>> drift(skip.conv(3, stride=2, padding=1).resize(2), skip)
    (Fraction(-1, 1),)
    """
    if a.spacing != b.spacing:
        message = (
            "drift is defined between grids of one spacing on the same axes; "
            f"got spacings ({_listed(a.spacing)}) and ({_listed(b.spacing)}); resize one of them first"
        )
        raise ShapeError(message)
    return tuple(x - y for x, y in zip(a.offset, b.offset, strict=True))


class _View(NamedTuple):
    """Where an ONNX resize looks on one axis: around origin + n / scale for output sample n."""

    origin: Fraction
    scale: Fraction
    size_dependent: bool


def _onnx_view(coordinates: str, scale: Fraction, size: int | None) -> _View:
    half_pixel = (1 / scale - 1) / 2
    if coordinates == "asymmetric":
        return _View(Fraction(0), scale, size_dependent=False)
    if coordinates == "align_corners":
        size = _known(size, why="align_corners samples at a spacing that depends on it")
        return _View(Fraction(0), 1 / _corner_ratio(size, floor(scale * size)), size_dependent=True)
    if coordinates == "half_pixel_symmetric" and scale.denominator > 1:
        size = _known(
            size, why="half_pixel_symmetric moves by half of what rounding the output size cuts off"
        )
        cut = 1 - floor(scale * size) / (scale * size)
        return _View(half_pixel + HALF * size * cut, scale, size_dependent=True)
    if coordinates == "pytorch_half_pixel" and size is not None and floor(scale * size) == 1:
        return _View(Fraction(0), scale, size_dependent=True)
    return _View(half_pixel, scale, size_dependent=False)


def _mean_of_rounded(origin: Fraction, scale: Fraction, *, rounding: str) -> Fraction:
    """Average round(origin + n / s) - n / s over all phases n.

    With s = a / b in lowest terms, origin + n / s has the fractional parts (j + frac(a * origin)) / a for
    j = 0 .. a - 1, so floor takes away (a - 1) / (2 a) + frac(a * origin) / a on average. The other roundings
    are floors of a moved or mirrored argument.
    """
    if rounding == "round_prefer_ceil":
        return _mean_of_rounded(origin + HALF, scale, rounding="floor")
    if rounding == "round_prefer_floor":
        return _mean_of_rounded(origin - HALF, scale, rounding="ceil")
    if rounding == "ceil":
        return -_mean_of_rounded(-origin, scale, rounding="floor")
    phases = scale.numerator
    return origin - Fraction(phases - 1, 2 * phases) - (phases * origin) % 1 / phases


def _corner_ratio(size_in: int, size_out: int) -> Fraction:
    """Give the spacing of M samples laid over N with both ends in place."""
    if size_in == size_out:
        return Fraction(1)
    if min(size_in, size_out) < 2:
        message = (
            "aligned corners need at least 2 samples to and from, since a single one has no spacing; "
            f"got {size_in} to {size_out}"
        )
        raise ShapeError(message)
    return Fraction(size_in - 1, size_out - 1)


def _known(size: int | None, *, why: str) -> int:
    if size is None:
        message = f"this resize needs to know the input size, since {why}; got none; pass size=..."
        raise OptionError(message)
    return size


def _listed(numbers: Iterable[int | Fraction]) -> str:
    return ", ".join(map(str, numbers))
