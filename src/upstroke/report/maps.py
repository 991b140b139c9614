"""Turn fields on a grid, and curves over latitude or wavelength, into the bytes of a PNG or an SVG file."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curve", "Frame", "draw_curves", "draw_map", "nice"]

Floats = NDArray[np.floating]

INK, LAND, COAST, GRID = "#1a1a1a", "#d4d4d0", "#4a4a48", "#dcdcd8"
# Okabe and Ito's colours, told apart by every kind of colour vision, and how the lines are broken besides.
LINES = (
    ("#8c8c8c", "-"),
    ("#56b4e9", (0, (3, 1))),
    ("#009e73", (0, (5, 1.5, 1, 1.5))),
    ("#e69f00", (0, (5, 1.5))),
    ("#0072b2", "-"),
    ("#d55e00", "-"),
    ("#1a1a1a", (0, (1, 1))),
    ("#cc79a7", (0, (1.5, 1.2))),
)
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.linewidth": 0.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 7.5,
    "axes.labelpad": 2,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "legend.fontsize": 7,
    "figure.facecolor": "white",
    # names in the SVG are hashes; without a salt they are different every time
    "svg.hashsalt": "upstroke",
}
RESOLUTION, COLOURS = 160, 224
# Cells up to which each is drawn as it is, whatever the size of a pixel.
FEW = 40_000
# Of the width, the most that a map is high: a long strip is squeezed rather than shown as a thread.
TALLEST = 1.6
# Room in inches around a map: left of it, right, above, between it and the scale, of the scale, and below
# that.
ROOM, ROOM_OF_LENGTHS = (0.38, 0.12, 0.06, 0.22, 0.08, 0.33), (0.52, 0.12, 0.06, 0.42, 0.08, 0.33)
# Latitudes beyond which a map keeps degrees square; a smaller one has its middle in true proportion.
WIDE = 90.0
# Inches below which a map has fewer ticks.
NARROW = 3.0
TICKS = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90)


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """Where a map lies.

    Attributes:
        y: (rows + 1,), edges of the rows.
        x: (columns + 1,), edges of the columns.
        is_sphere: whether these are degrees on a sphere.
        is_compass: whether they are those of the Earth itself, so that they are north and east.
        units: of the edges, where it is no sphere.
    """

    y: Floats
    x: Floats
    is_sphere: bool
    is_compass: bool = True
    units: str = ""

    def part(self, rows: slice, columns: slice) -> "Frame":
        """The frame of a part of the map."""
        y = self.y[rows.start : rows.stop + 1]
        x = self.x[columns.start : columns.stop + 1]
        return Frame(y=y, x=x, is_sphere=self.is_sphere, is_compass=self.is_compass, units=self.units)

    @property
    def stretch(self) -> float:
        """How much higher a cell of equal sides is drawn than it is wide."""
        if not self.is_sphere or abs(self.y[-1] - self.y[0]) > WIDE:
            return 1.0
        middle = float(self.y[0] + self.y[-1]) / 2
        return 1 / max(math.cos(math.radians(middle)), 0.2)

    @property
    def shape(self) -> tuple[float, float]:
        """Height and width in proportion."""
        return abs(float(self.y[-1] - self.y[0])) * self.stretch, abs(float(self.x[-1] - self.x[0]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """One line of a diagram.

    Attributes:
        name: in the legend.
        x: places.
        y: values, None where there is none.
        place: in the row of colours; None for what the others are compared with.
    """

    name: str
    x: Sequence[float | None]
    y: Sequence[float | None]
    place: int | None = None


@contextmanager
def _styled() -> Iterator[None]:
    try:
        import matplotlib.style
    except ImportError as error:
        msg = "drawing maps needs the package matplotlib; pip install 'upstroke[report]'"
        raise MissingExtraError(msg) from error
    with matplotlib.style.context(["default", STYLE]):
        yield


def nice(value: float) -> float:
    """Round up to 1, 1.5, 2, 3, 5 or 7 times a power of ten.

    >>> nice(0.38), nice(12.0), nice(0.0)
    (0.5, 15.0, 1.0)
    """
    if not value > 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        (each * power for each in (1, 1.5, 2, 3, 5, 7) if each * power >= value * (1 - 1e-9)), 10 * power
    )


def draw_map(
    field: Floats,
    frame: Frame,
    *,
    valid: NDArray[np.bool_],
    limits: tuple[float, float],
    unit: str,
    is_difference: bool = False,
    width: float = 4.4,
) -> bytes:
    """Draw one field: land grey, coasts round the cells that have a value, a scale with its unit.

    Colours are perceptually uniform for a field; for a difference they part at 0, and the limits must be
    symmetric.

    Args:
        field: (y, x), NaN where there is no value.
        frame: where its edges lie; a coarse field may have fewer cells than `valid` over the same frame.
        valid: (y, x), fine cells that have a value, for the coast.
        limits: of the colours.
        unit: stands beside the scale.
        is_difference: whether 0 is the middle.
        width: in inches; the height follows from the frame.

    Returns:
        A PNG file of at most 224 colours.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with _styled():
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure, axes, below = _laid_out(Figure(), frame, width)
        colours = matplotlib.colormaps["RdBu_r" if is_difference else "viridis"].with_extremes(bad=LAND)
        extent = (float(frame.x[0]), float(frame.x[-1]), float(frame.y[0]), float(frame.y[-1]))
        drawn = axes.imshow(
            np.ma.masked_invalid(field), origin="lower", extent=extent, cmap=colours, vmin=limits[0],
            vmax=limits[1], aspect="auto", interpolation_stage="data",
            # differences of either sign would average out where a pixel holds several cells
            interpolation="nearest" if is_difference or field.size < FEW else "auto",
        )  # fmt: skip
        # north and east stay up and right whichever way the file runs
        axes.set(xlim=sorted(extent[:2]), ylim=sorted(extent[2:]), facecolor=LAND)
        _coast(axes, valid, frame)
        _ticks(axes, frame, most=6.5 if width > NARROW else 4.0)
        bar = figure.colorbar(drawn, cax=below, orientation="horizontal", extend=_ends(field, limits))
        bar.outline.set_linewidth(0.4)
        bar.locator = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
        bar.update_ticks()
        bar.set_label(unit, fontsize=7.5, parse_math=False)
        return _png(figure)


def _laid_out(figure: "Figure", frame: Frame, width: float) -> "tuple[Figure, Axes, Axes]":
    """Size a figure by its map, and place the map and its scale below it, equally wide."""
    left, right, above, between, scale, below = ROOM if frame.is_sphere else ROOM_OF_LENGTHS
    high, wide = frame.shape
    inner = width - left - right
    tall = min(inner * high / wide, TALLEST * width)
    height = above + tall + between + scale + below
    figure.set_size_inches(width, height)
    axes = figure.add_axes((left / width, 1 - (above + tall) / height, inner / width, tall / height))
    return figure, axes, figure.add_axes((left / width, below / height, inner / width, scale / height))


def _ends(field: Floats, limits: tuple[float, float]) -> Literal["neither", "min", "max", "both"]:
    known = field[np.isfinite(field)]
    low, high = (False, False) if not known.size else (known.min() < limits[0], known.max() > limits[1])
    return "both" if low and high else "min" if low else "max" if high else "neither"


def _coast(axes: "Axes", valid: NDArray[np.bool_], frame: Frame) -> None:
    """Draw the sides that a cell with a value shares with one without."""
    from matplotlib.collections import LineCollection

    y, x = (
        np.linspace(edges[0], edges[-1], size + 1)
        for edges, size in zip((frame.y, frame.x), valid.shape, strict=True)
    )
    rows, columns = np.nonzero(valid[1:] != valid[:-1])
    flat = np.stack([np.stack([x[columns], y[rows + 1]], -1), np.stack([x[columns + 1], y[rows + 1]], -1)], 1)
    rows, columns = np.nonzero(valid[:, 1:] != valid[:, :-1])
    upright = np.stack(
        [np.stack([x[columns + 1], y[rows]], -1), np.stack([x[columns + 1], y[rows + 1]], -1)], 1
    )
    width = 0.3 if valid.size > 100_000 else 0.6
    axes.add_collection(LineCollection([*flat, *upright], colors=COAST, linewidths=width), autolim=False)


def _ticks(axes: "Axes", frame: Frame, *, most: float) -> None:
    if not frame.is_sphere:
        axes.set_xlabel(frame.units, parse_math=False)
        axes.set_ylabel(frame.units, parse_math=False)
        axes.locator_params(nbins=5)
        return
    longest = max(abs(frame.y[-1] - frame.y[0]), abs(frame.x[-1] - frame.x[0]))
    step = next((each for each in TICKS if longest / each <= most), 90)
    for axis, edges, letters in ((axes.xaxis, frame.x, "EW"), (axes.yaxis, frame.y, "NS")):
        low, high = sorted((float(edges[0]), float(edges[-1])))
        places = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
        if not len(places):
            places = np.array([round((low + high) / 2, 2)])
        axis.set_ticks(
            places, [_degrees(float(each), letters if frame.is_compass else "") for each in places.tolist()]
        )


def _degrees(value: float, letters: str) -> str:
    """Degrees as maps have them."""
    if not letters:
        return f"{value:g}°".replace("-", "−")
    if letters == "EW":
        value = (value + 180) % 360 - 180
    if value == 0 or abs(value) == 180:
        return f"{abs(value):g}°"
    return f"{abs(value):g}°{letters[int(value < 0)]}"


def _png(figure: "Figure") -> bytes:
    """Save without dates, with as many colours as a scale and its letters need: a third of the bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=RESOLUTION, metadata={"Software": None})
    with Image.open(buffer) as image:
        small = io.BytesIO()
        flat = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        flat.save(small, format="png", optimize=True)
    return small.getvalue()


def draw_curves(
    curves: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    scales: tuple[str, str] = ("linear", "linear"),
    limits: tuple[float, float] | None = None,
    marks: Mapping[str, float] | None = None,
    level: float | None = None,
    is_falling: bool = False,
    size: tuple[float, float] = (4.4, 2.9),
) -> bytes:
    """Draw lines over one axis, with a legend.

    Args:
        curves: in the order of the legend.
        x_label: of the places.
        y_label: of the values.
        scales: "linear" or "log", of the places and of the values.
        limits: of the values.
        marks: upright lines by their words.
        level: a flat line.
        is_falling: whether places fall from left to right.
        size: in inches.

    Returns:
        An SVG file.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with _styled():
        from matplotlib.figure import Figure

        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        axes.grid(visible=True, color=GRID, linewidth=0.4)
        for order, curve in enumerate(curves):
            colour, dashes = (INK, "-") if curve.place is None else LINES[curve.place % len(LINES)]
            places, values = (
                np.array([math.nan if each is None else each for each in of]) for of in (curve.x, curve.y)
            )
            # the first is the one to look at, so it lies on top
            axes.plot(
                places, values, color=colour, ls=dashes, lw=1.3, label=curve.name, zorder=3 - order / 100
            )
        axes.set_xscale(scales[0])
        axes.set_yscale(scales[1])
        if limits is not None:
            axes.set_ylim(*limits)
        if level is not None:
            axes.axhline(level, color=INK, lw=0.6)
        axes.margins(x=0)
        if is_falling:
            axes.invert_xaxis()
        for words, place in (marks or {}).items():
            axes.axvline(place, color=COAST, lw=0.7, ls=(0, (2, 2)))
            axes.annotate(
                words, (place, 1), xycoords=("data", "axes fraction"), xytext=(3, -3),
                textcoords="offset points", va="top", ha="left", fontsize=6.5, color=COAST, parse_math=False,
            )  # fmt: skip
        axes.set_xlabel(x_label, parse_math=False)
        axes.set_ylabel(y_label, parse_math=False)
        _plain_numbers(axes, scales)
        legend = figure.legend(
            loc="outside lower center", ncols=3, frameon=False, handlelength=2.2, columnspacing=1.2
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _plain_numbers(axes: "Axes", scales: tuple[str, str]) -> None:
    """Write numbers on a log scale out, not as powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis, scale in zip((axes.xaxis, axes.yaxis), scales, strict=True):
        if scale != "log":
            continue
        low, high = sorted(axis.get_view_interval())
        few = low > 0 and high / low < 200
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
