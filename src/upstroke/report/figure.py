"""Turn measured arrays into one figure, as the bytes of an SVG, PDF or PNG file."""

import io
import math
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from upstroke.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "draw_layer", "draw_picture", "figure_format"]

FORMATS = ("svg", "pdf", "png")
# One column of a paper: 8.6 cm.
WIDTH = 3.39
FLOOR = -60.0
RESOLUTION = 300
# Characters of a title, and inches that one more line of it takes.
TITLE, LINE = 48, 0.17
NUMBERED = 7
# Squares along an axis beyond which they are drawn as pixels, and beyond which without lines between them.
MANY, LARGE = 10, 48
DASHED = (0, (3, 1.5))

# Okabe and Ito's colours, told apart by every kind of colour vision.
INK, GREY, BLUE, ORANGE, PALE = "#1a1a1a", "#8c8c8c", "#0072b2", "#d55e00", "#d6e8f5"

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 6.5,
    "axes.titlesize": 7,
    "axes.titlelocation": "left",
    "axes.titlepad": 4,
    "axes.labelsize": 6.5,
    "axes.labelpad": 2,
    "axes.linewidth": 0.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "legend.fontsize": 6,
    "lines.linewidth": 1.0,
    "pdf.fonttype": 42,
    # names in the SVG are hashes; without a salt they are different every time
    "svg.hashsalt": "upstroke",
}

# Arrays and numbers by name, with the keys of describe's LayerArrays or PictureArrays.
Arrays = Mapping[str, Any]


def figure_format(path: Path) -> str:
    """Which format a figure's file name asks for.

    >>> figure_format(Path("kernel.SVG"))
    'svg'
    """
    ending = path.suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        came = f"{path.name!r}" if ending else f"{path.name!r}, which has no ending"
        msg = f"a figure's file name must end in {', '.join('.' + name for name in FORMATS)}; got {came}"
        raise OptionError(msg)
    return ending


def draw_layer(data: Arrays, *, title: str, file_format: str) -> bytes:
    """Draw the footprint of one cell, the taps per phase and the frequency response of a layer.

    Args:
        data: plain arrays, as `describe.layer_arrays` gives them.
        title: stands above everything, wrapped to the figure.
        file_format: one of `FORMATS`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return _drawn(
        _one_axis if data["footprint"].ndim == 1 else _two_axes, data, title=title, file_format=file_format
    )


def draw_picture(data: Arrays, *, title: str, file_format: str) -> bytes:
    """Draw a picture, the spectrum with its tell-tale peaks and the means of its phases.

    Args:
        data: plain arrays, as `describe.picture_arrays` gives them.
        title: stands above everything, wrapped to the figure.
        file_format: one of `FORMATS`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return _drawn(_picture, data, title=title, file_format=file_format)


def _drawn(
    compose: Callable[["Figure", Arrays], None], data: Arrays, *, title: str, file_format: str
) -> bytes:
    """Run one of the compositions below on a figure of its own, and save that without dates or versions."""
    try:
        import matplotlib.figure
        import matplotlib.style
    except ImportError as error:
        msg = "drawing a figure needs the package matplotlib; pip install 'upstroke[report]'"
        raise MissingExtraError(msg) from error
    # no pyplot: it would keep the figure and choose a window system
    with matplotlib.style.context(["default", STYLE]):
        figure = matplotlib.figure.Figure(figsize=(WIDTH, WIDTH), layout="constrained")
        compose(figure, data)
        lines = textwrap.wrap(title, TITLE) or [title]
        figure.set_figheight(figure.get_figheight() + LINE * (len(lines) - 1))
        # dollars in a file's name are no formula
        figure.suptitle(
            "\n".join(lines), fontsize=7.5, x=0.012, ha="left", fontweight="bold", parse_math=False
        )
        buffer = io.BytesIO()
        undated: dict[str, dict[str, Any]] = {
            "svg": {"Date": None, "Title": title},
            "pdf": {"CreationDate": None, "ModDate": None, "Title": title},
            "png": {"Software": None, "Title": title},
        }
        figure.savefig(buffer, format=file_format, dpi=RESOLUTION, metadata=undated[file_format])
    return buffer.getvalue()


def _one_axis(figure: "Figure", data: Arrays) -> None:
    figure.set_size_inches(WIDTH, 0.92 * WIDTH)
    footprint, taps, cut = figure.subplot_mosaic([["footprint", "taps"], ["cut", "cut"]]).values()
    (start,), (scale,), (centre,) = data["start"], data["scale"], data["centre"]
    samples = numpy.arange(len(data["footprint"])) + start
    footprint.axvspan(-0.5, scale - 0.5, color=PALE, lw=0)
    footprint.axhline(0, color=INK, lw=0.5)
    footprint.vlines(samples, 0, data["footprint"], color=BLUE, lw=1.2)
    footprint.plot(samples, data["footprint"], "o", color=BLUE, ms=3, mew=0)
    footprint.plot([centre], [0], marker="+", color=ORANGE, ms=6, mew=1.3, ls="", clip_on=False, zorder=5)
    footprint.set_title("What one cell draws")
    footprint.set_xlabel("output sample")
    _whole_ticks(footprint.xaxis)
    coverage = data["coverage"]
    bars = taps.bar(range(scale), coverage, color=BLUE, width=0.8)
    if scale <= 2 * NUMBERED:
        taps.bar_label(bars, fmt="%d", fontsize=6, padding=1)
    taps.set_ylim(0, 1.25 * max(1.0, float(coverage.max())))
    taps.set_title("Taps per phase")
    taps.set_xlabel("phase")
    _whole_ticks(taps.xaxis)
    _whole_ticks(taps.yaxis)
    _draw_cut(cut, data)
    for axes in (footprint, taps, cut):
        axes.spines[["top", "right"]].set_visible(False)
    _explain(figure, data)


def _two_axes(figure: "Figure", data: Arrays) -> None:
    figure.set_size_inches(WIDTH, 1.19 * WIDTH if data["slice"] else 1.1 * WIDTH)
    panels = figure.subplot_mosaic([["footprint", "taps"], ["map", "cut"]])
    _draw_footprint(panels["footprint"], data)
    _draw_coverage(panels["taps"], data)
    _draw_map(figure, panels["map"], data)
    _draw_cut(panels["cut"], data)
    panels["cut"].spines[["top", "right"]].set_visible(False)
    panels["cut"].set_box_aspect(1)
    _explain(figure, data)


def _explain(figure: "Figure", data: Arrays) -> None:
    """One legend for all panels, and what was chosen to be shown."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    line = len(data["scale"]) == 1
    cell = (
        Line2D([], [], color=ORANGE, ls="", marker="+", ms=5, mew=1.3)
        if line
        else Line2D([], [], color=ORANGE, ls="", marker="o", ms=3, mew=0)
    )
    own: Any = Patch(color=PALE) if line else Line2D([], [], color=INK, lw=0.9, ls=DASHED)
    entries = [
        (cell, "place of the cell"),
        (own, "one cell's own samples"),
        (Line2D([], [], ls="", marker="o", mfc="white", mec=ORANGE, ms=4, mew=1), "image frequency"),
        (Patch(color=PALE), "the input's own band"),
    ]
    if line:
        # the band and the cell's own samples share their shade
        entries = [entries[0], (own, "the cell's samples; the input's band"), entries[2]]
    figure.legend(
        *zip(*entries, strict=True), loc="outside lower left", ncols=2, frameon=False,
        handlelength=1.6, columnspacing=1.2, borderpad=0.2, title=data["slice"] or None,
        title_fontsize=6, alignment="left",
    )  # fmt: skip


def _draw_footprint(axes: "Axes", data: Arrays) -> None:
    """Kernel elements as squares, dark for large; orange where negative."""
    values = data["footprint"]
    down, right = data["start"]
    rows, columns = values.shape
    edges = (numpy.arange(columns + 1) + right - 0.5, numpy.arange(rows + 1) + down - 0.5)
    largest = float(numpy.abs(values).max()) or 1.0
    signed = bool((values < 0).any())
    axes.pcolormesh(
        *edges, values, cmap="PuOr_r" if signed else "Blues",
        vmin=-largest if signed else -0.15 * largest, vmax=largest,
        rasterized=max(values.shape) > MANY, edgecolors="none" if max(values.shape) > LARGE else "white",
        linewidth=0.4,
    )  # fmt: skip
    centre = data["centre"]
    exponent = math.floor(math.log10(largest))
    exponent = 0 if -1 <= exponent <= 1 else exponent
    if max(rows, columns) <= NUMBERED:
        # below the dot, where the dot stands in the middle of a square
        lower = 0.27 if all(abs(place - round(place)) < 0.25 for place in centre) else 0.0
        for row in range(rows):
            for column in range(columns):
                dark = abs(values[row, column]) > 0.55 * largest
                axes.text(
                    column + right, row + down + lower, _short(float(values[row, column]) / 10**exponent),
                    fontsize=5, ha="center", va="center", color="white" if dark else INK,
                )  # fmt: skip
    height, width = data["scale"]
    own = ([-0.5, width - 0.5, width - 0.5, -0.5, -0.5], [-0.5, -0.5, height - 0.5, height - 0.5, -0.5])
    axes.plot(*own, color="white", lw=2.0, solid_joinstyle="miter", clip_on=False)
    axes.plot(*own, color=INK, lw=0.9, ls=DASHED, clip_on=False)
    axes.plot([centre[1]], [centre[0]], "o", color="white", ms=4.2, mew=0, zorder=5)
    axes.plot([centre[1]], [centre[0]], "o", color=ORANGE, ms=3, mew=0, zorder=6)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    power = f", × 10$^{{{exponent}}}$" if exponent and max(rows, columns) <= NUMBERED else ""
    axes.set_title(f"What one cell draws{power}")
    axes.set_xlabel("output sample")
    axes.spines[:].set_visible(False)
    _whole_ticks(axes.xaxis)
    _whole_ticks(axes.yaxis)


def _draw_coverage(axes: "Axes", data: Arrays) -> None:
    """Taps of every sample of a few cells: what a constant turns into, where all taps are alike."""
    coverage = data["coverage"]
    rows, columns = coverage.shape
    times = [max(1, -(-8 // size)) for size in coverage.shape]
    tiled = numpy.tile(coverage, times)
    largest = max(1.0, float(coverage.max()))
    edges = [numpy.arange(size + 1) - 0.5 for size in tiled.shape]
    axes.pcolormesh(
        edges[1], edges[0], tiled, cmap="Blues", vmin=-0.15 * largest, vmax=1.15 * largest,
        rasterized=max(tiled.shape) > MANY, edgecolors="none" if max(tiled.shape) > LARGE else "white",
        linewidth=0.4,
    )  # fmt: skip
    if max(tiled.shape) <= 12:
        for row in range(rows):
            for column in range(columns):
                dark = coverage[row, column] > 0.6 * largest
                axes.text(
                    column, row, f"{coverage[row, column]:.0f}", fontsize=6, ha="center", va="center",
                    color="white" if dark else INK,
                )  # fmt: skip
    frame = ([-0.5, columns - 0.5, columns - 0.5, -0.5, -0.5], [-0.5, -0.5, rows - 0.5, rows - 0.5, -0.5])
    axes.plot(*frame, color=INK, lw=0.9, ls=DASHED, clip_on=False)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_title("Taps per output sample")
    axes.set_xlabel("output sample")
    axes.spines[:].set_visible(False)
    _whole_ticks(axes.xaxis)
    _whole_ticks(axes.yaxis)


def _draw_map(figure: "Figure", axes: "Axes", data: Arrays) -> None:
    """Level lines of the response, 6 dB apart, with a ring at every image frequency."""
    down, right = data["frequencies"]
    levels = numpy.linspace(FLOOR, 0, 11)
    shown = axes.contourf(
        right / math.pi, down / math.pi, numpy.clip(data["response"], FLOOR, 12), levels=levels,
        cmap="cividis", extend="max",
    )  # fmt: skip
    shown.set_edgecolor("face")
    shown.set_linewidth(0.2)
    # thousands of corners of level lines are better pixels than shapes
    shown.set_rasterized(True)
    marks = [
        (wy, wx)
        for wy in _image_places(data["scale"][0])
        for wx in _image_places(data["scale"][1])
        if (wy, wx) != (0.0, 0.0)
    ]
    if marks and len(marks) <= 80:
        size = 4.0 if len(marks) <= 24 else 2.5
        for colour, width in (("white", 1.7), (ORANGE, 0.9)):
            axes.plot(
                [wx for _, wx in marks], [wy for wy, _ in marks], "o", mfc="none", mec=colour, ms=size,
                mew=width, clip_on=False, zorder=5,
            )  # fmt: skip
    axes.set_aspect("equal")
    axes.set_xlim(-1, 1)
    axes.set_ylim(1, -1)
    axes.set_title("Response, dB")
    axes.set_xlabel("frequency, × π per sample")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([-1, 0, 1], ["−1", "0", "1"])
    bar = figure.colorbar(shown, ax=axes, ticks=[FLOOR, FLOOR / 2, 0], aspect=22, pad=0.03, shrink=0.9)
    bar.outline.set_linewidth(0.4)
    bar.ax.set_yticklabels([f"{FLOOR:.0f}".replace("-", "−"), f"{FLOOR / 2:.0f}".replace("-", "−"), "0"])


def _draw_cut(axes: "Axes", data: Arrays) -> None:
    """The response along one axis, with the input's own band shaded and the image frequencies marked."""
    band = 1 / data["scale"][-1]
    axes.axvspan(0, band, color=PALE, lw=0)
    axes.plot(data["cut_frequencies"] / math.pi, data["cut"], color=BLUE, zorder=3)
    top = max(6.0, float(numpy.max(data["cut"])) + 4)
    levels = numpy.maximum(numpy.asarray(data["cut_image_levels"], dtype=float), FLOOR)
    places = numpy.asarray(data["cut_images"], dtype=float) / math.pi
    if len(places):
        axes.vlines(places, FLOOR, top, color=ORANGE, lw=0.6, ls=(0, (2, 2)))
        for colour, width in (("white", 2.0), (ORANGE, 1.1)):
            axes.plot(places, levels, "o", mfc="white", mec=colour, ms=4, mew=width, clip_on=False, zorder=5)
    axes.set_xlim(0, 1)
    axes.set_ylim(FLOOR, top)
    axes.set_yticks([-60, -40, -20, 0], ["−60", "−40", "−20", "0"])
    axes.set_title("Response along one axis, dB" if len(data["scale"]) == 1 else "Along one axis, dB")
    axes.set_xlabel("frequency, × π per sample")
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


def _image_places(scale: int) -> list[float]:
    """Image frequencies of one axis in units of pi, both ends of the band where pi is one; and 0."""
    places = [2 * j / scale for j in range(scale)]
    folded = [place if place <= 1 else place - 2 for place in places]
    return [*folded, -1.0] if 1.0 in folded else folded


def _picture(figure: "Figure", data: Arrays) -> None:
    figure.set_size_inches(WIDTH, 1.1 * WIDTH)
    panels = figure.subplot_mosaic([["picture", "detail"], ["spectrum", "phases"]])
    for name, title in (("picture", "Picture"), ("detail", "Its pixels, middle")):
        values = data["picture"] if name == "picture" else data["detail"]
        panels[name].imshow(values, cmap="gray", interpolation="nearest")
        panels[name].set_title(title)
        panels[name].set_xticks([])
        panels[name].set_yticks([])
    _draw_spectrum(panels["spectrum"], data)
    _draw_phases(panels["phases"], data)


def _draw_spectrum(axes: "Axes", data: Arrays) -> None:
    spectrum = data["spectrum"]
    axes.imshow(
        spectrum, cmap="cividis", interpolation="nearest", extent=(-0.5, 0.5, 0.5, -0.5), aspect="equal",
        vmin=float(numpy.quantile(spectrum, 0.02)), vmax=float(numpy.quantile(spectrum, 0.998)),
    )  # fmt: skip
    measured = [level for *_, level in data["peaks"] if level is not None]
    for down, right, level in data["peaks"]:
        for y in {down, -0.5 if down == 0.5 else down}:
            for x in {right, -0.5 if right == 0.5 else right}:
                for colour, width in (("white", 1.9), (ORANGE, 1.0)):
                    axes.plot([x], [y], "o", mfc="none", mec=colour, ms=6, mew=width, clip_on=False, zorder=5)
        if level is not None and (len(measured) <= 3 or level == max(measured)):
            _label_peak(axes, x=right, y=down, text=f"{level:.0f} dB")
    axes.set_xlim(-0.5, 0.5)
    axes.set_ylim(0.5, -0.5)
    axes.set_title("Log spectrum, period's peaks")
    axes.set_xlabel("cycles per pixel")
    axes.set_xticks([-0.5, 0, 0.5], ["−½", "0", "½"])
    axes.set_yticks([-0.5, 0, 0.5], ["−½", "0", "½"])


def _label_peak(axes: "Axes", *, x: float, y: float, text: str) -> None:
    """Write inside the panel, towards its middle from the peak, on white so that it reads on any spectrum."""
    axes.annotate(
        text, (x, y), xytext=(-7 if x > 0 else 7, 9 if y > 0 else -9), textcoords="offset points",
        ha="right" if x > 0 else "left", va="center", fontsize=5.5, zorder=6,
        bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.9},
    )  # fmt: skip


def _draw_phases(axes: "Axes", data: Arrays) -> None:
    values = data["phase_means"]
    largest = float(numpy.abs(values).max()) or 1.0
    rows, columns = values.shape
    edges = [numpy.arange(size + 1) - 0.5 for size in values.shape]
    axes.pcolormesh(
        edges[1],
        edges[0],
        values,
        cmap="PuOr_r",
        vmin=-largest,
        vmax=largest,
        edgecolors="white",
        linewidth=0.6,
    )
    if max(rows, columns) <= 5:
        for row in range(rows):
            for column in range(columns):
                dark = abs(values[row, column]) > 0.6 * largest
                axes.text(
                    column, row, f"{values[row, column]:+.2f}".replace("-", "−"), fontsize=6, ha="center",
                    va="center", color="white" if dark else INK,
                )  # fmt: skip
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_title("Phase means, grey levels")
    axes.set_xlabel("phase")
    axes.spines[:].set_visible(False)
    _whole_ticks(axes.xaxis)
    _whole_ticks(axes.yaxis)


def _whole_ticks(axis: "Axis") -> None:
    from matplotlib.ticker import MaxNLocator

    # three digits and a sign need more room
    count = 8 if max(map(abs, axis.get_view_interval())) < 99 else 4
    axis.set_major_locator(MaxNLocator(nbins=count, integer=True, min_n_ticks=1))


def _short(value: float) -> str:
    """Two digits behind the point and no zero before it, so that it fits a square."""
    text = f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}"
    if float(text) == 0:
        return "0"
    return text.replace("-", "−").replace("0.", ".", 1) if abs(value) < 1 else text.replace("-", "−")
