"""Turn numbers per phase and levels in decibels into the marks of small drawings for a template to write."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from upstroke.report.inspect_text import figures

__all__ = [
    "Drawing",
    "Group",
    "Mark",
    "Network",
    "box",
    "filter_grids",
    "grey_levels",
    "level_axis",
    "numbered_gains",
    "picture_grid",
    "tap_grids",
    "tiled_gains",
]

# Numbers that nest as deep as there are axes.
Nested = Any
Plane = list[list[Any]]

# Phases along an axis beyond which they are drawn without numbers, and beyond which not at all.
NUMBERED, DRAWN = 8, 32
# Planes of a first axis that are drawn side by side.
PLANES = 4
SIDE = 136.0
# Samples along an axis of a picture, and the grey levels that it is drawn in.
PICTURED, GREYS = 64, 32
# Pixels that a digit of a number takes at most, in the type of the stylesheet.
DIGIT = 8.0
FLOOR = -80.0


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A path, or a text where `words` is not empty, in the look that its kind has in the stylesheet."""

    kind: str
    path: str = ""
    x: float = 0.0
    y: float = 0.0
    words: str = ""
    fill: str | None = None


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Marks on a rectangle of so many pixels; `title` says it to who cannot see it, `label` stands below."""

    width: float
    height: float
    title: str
    label: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Marks that belong together, with a title, an area that answers to a pointer, and a place to lead to."""

    title: str
    anchor: str | None
    area: Mark
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class Network(Drawing):
    """A drawing whose parts lead to the sections of a page."""

    groups: tuple[Group, ...]


def box(x: int | float, y: int | float, wide: int | float, high: int | float | None = None) -> str:
    """The path of a rectangle, or of a square."""
    return f"M{x:.5g} {y:.5g}h{wide:.5g}v{wide if high is None else high:.5g}h{-wide:.5g}z"


def tap_grids(coverage: Nested) -> tuple[Drawing, ...]:
    """Draw how many taps make each output phase, one grid for each phase of a first of three axes.

    >>> [drawing.title for drawing in tap_grids([1, 2])]
    ['taps per phase: 1 2']
    """
    planes = _planes(coverage)
    most = max((value for plane in planes for row in plane for value in row if value is not None), default=0)
    return tuple(_tap_grid(plane, most=most, label=label) for label, plane in _labelled(planes, coverage))


def _tap_grid(plane: Plane, *, most: int | float, label: str) -> Drawing:
    rows, columns = len(plane), len(plane[0])
    is_numbered = max(rows, columns) <= NUMBERED
    side = min(34.0, SIDE / max(rows, columns)) if not is_numbered else 34.0 if columns <= 4 else 26.0
    left = 18.0 if is_numbered else 0.0
    marks = []
    shades: dict[int, list[str]] = {}
    for row, column, value in _cells(plane):
        x, y = left + column * side, left + row * side
        gap = 1.0 if is_numbered else 0.0
        shade = 0 if not value or not most else 1 + min(3, int(4 * (value - 1e-9) / most))
        shades.setdefault(shade, []).append(box(x + gap, y + gap, side - 2 * gap))
        if is_numbered:
            marks.append(Mark(kind="number", x=x + side / 2, y=y + side / 2, words=_number(value)))
    if is_numbered:
        for column in range(columns):
            marks.append(Mark(kind="index", x=left + (column + 0.5) * side, y=left / 2, words=str(column)))
        for row in range(rows) if rows > 1 else ():
            marks.append(Mark(kind="index", x=left / 2, y=left + (row + 0.5) * side, words=str(row)))
    cells = [Mark(kind=f"cell shade-{shade}", path="".join(paths)) for shade, paths in shades.items()]
    return Drawing(
        width=left + columns * side, height=left + rows * side, title=_title("taps per phase", plane, label),
        label=label, marks=(*cells, *marks),
    )  # fmt: skip


def grey_levels(gain: Nested) -> tuple[float, float] | None:
    """Gains that are drawn black and white: 0, or where some are negative minus the largest; and the largest.

    >>> grey_levels([0.5, 1.0]), grey_levels([0.5, -1.0]), grey_levels([0.0, 0.0]), grey_levels([None, 1.0])
    ((0.0, 1.0), (-1.0, 1.0), None, None)
    """
    values = list(_leaves(gain))
    if not values or any(value is None for value in values):
        return None
    most = float(max(map(abs, values)))
    return None if most == 0 else (-most if min(values) < 0 else 0.0, most)


def tiled_gains(gain: Nested) -> tuple[Drawing, ...]:
    """Draw what a constant becomes: the gains of all phases as grey levels, over a few periods.

    Beside it stands the same constant where every phase has the mean of the gains.
    """
    levels = grey_levels(gain)
    planes = _planes(gain)
    if levels is None or max(len(planes), *map(len, planes), *(len(row) for row in planes[0])) > DRAWN:
        return ()
    values = list(_leaves(gain))
    high = SIDE if _depth(gain) > 1 else SIDE / 2
    flat = Drawing(
        width=SIDE, height=high, title="a constant, for comparison",
        label="were all phases alike",
        marks=(Mark(kind="grey", path=box(0.0, 0.0, SIDE, high),
                    fill=_grey(sum(values) / len(values), levels)),
               Mark(kind="frame", path=box(0.0, 0.0, SIDE, high))),
    )  # fmt: skip
    return (flat, *(_tiled(plane, levels=levels, label=label) for label, plane in _labelled(planes, gain)))


def _tiled(plane: Plane, *, levels: tuple[float, float], label: str) -> Drawing:
    rows, columns = len(plane), len(plane[0])
    times = [max(2 if size <= 16 else 1, round(6 / size)) for size in (rows, columns)]
    down, right = rows * times[0], columns * times[1]
    # one axis: stripes as long as half a patch is high
    is_line = rows == 1
    wide = SIDE / right if is_line else SIDE / max(down, right)
    high = SIDE / 2 if is_line else wide
    down = 1 if is_line else down
    paths: dict[str, list[str]] = {}
    for row in range(down):
        for column in range(right):
            fill = _grey(plane[row % rows][column % columns], levels)
            paths.setdefault(fill, []).append(box(column * wide, row * high, wide, high))
    return Drawing(
        width=right * wide, height=down * high, label=label or "with these weights",
        title=_title("a constant comes out as this pattern", plane, label),
        marks=(*(Mark(kind="grey", path="".join(path), fill=fill) for fill, path in paths.items()),
               Mark(kind="frame", path=box(0.0, 0.0, right * wide, down * high))),
    )  # fmt: skip


def numbered_gains(gain: Nested) -> tuple[Drawing, ...]:
    """Draw one period of `tiled_gains`, large enough to read the gain of each phase."""
    levels = grey_levels(gain)
    planes = _planes(gain)
    if levels is None or max(*map(len, planes), *(len(row) for row in planes[0])) > NUMBERED // 2:
        return ()
    drawings = []
    longest = max(len(_number(value)) for value in _leaves(gain))
    wide, high = max(40.0, DIGIT * longest + 16), 40.0
    for label, plane in _labelled(planes, gain):
        marks = []
        for row, column, value in _cells(plane):
            x, y = column * wide, row * high
            marks.append(Mark(kind="grey", path=box(x, y, wide, high), fill=_grey(value, levels)))
            ink = "on-light" if _level(value, levels) > 0.46 else "on-dark"
            marks.append(Mark(kind=f"number {ink}", x=x + wide / 2, y=y + high / 2, words=_number(value)))
        size = (wide * len(plane[0]), high * len(plane))
        marks.append(Mark(kind="frame", path=box(0.0, 0.0, *size)))
        title = _title("gain per phase", plane, label)
        label = f"gain per phase, {label}" if label else "gain per phase"
        drawings.append(Drawing(width=size[0], height=size[1], title=title, label=label, marks=tuple(marks)))
    return tuple(drawings)


def filter_grids(taps: Nested) -> tuple[Drawing, ...]:
    """Draw a kernel as grey levels, one square for each tap; of three axes one grid for each first tap."""
    levels, planes = grey_levels(taps), _planes(taps)
    if levels is None or max(*map(len, planes), *(len(row) for row in planes[0])) > DRAWN:
        return ()
    drawings = []
    for index, plane in enumerate(planes):
        side = min(24.0, SIDE / max(len(plane), len(plane[0])))
        paths: dict[str, list[str]] = {}
        for row, column, value in _cells(plane):
            paths.setdefault(_grey(value, levels), []).append(box(column * side, row * side, side))
        wide, high = side * len(plane[0]), side * len(plane)
        label = f"first axis, tap {index}" if len(planes) > 1 else f"{len(plane[0])} taps"
        label = f"{len(plane)}×{len(plane[0])} taps" if len(plane) > 1 and len(planes) == 1 else label
        marks = [Mark(kind="grey", path="".join(path), fill=fill) for fill, path in paths.items()]
        marks.append(Mark(kind="frame", path=box(0.0, 0.0, wide, high)))
        title = _title("taps of the kernel", plane, label if len(planes) > 1 else "")
        drawings.append(Drawing(width=wide, height=high, title=title, label=label, marks=tuple(marks)))
    return tuple(drawings)


def picture_grid(values: Nested, *, title: str) -> Drawing | None:
    """Draw a map as grey levels between its least and its largest value; None if all are alike.

    >>> picture_grid([0.25, 0.75], title="a map").width
    136.0
    """
    leaves = list(_leaves(values))
    if _depth(values) > 2 or not leaves or any(value is None for value in leaves):
        return None
    plane, least, most = _planes(values)[0], float(min(leaves)), float(max(leaves))
    if least == most or max(len(plane), len(plane[0])) > PICTURED:
        return None
    side = SIDE / max(len(plane), len(plane[0]))
    high = side if len(plane) > 1 else SIDE / 4
    paths: dict[str, list[str]] = {}
    for row, column, value in _cells(plane):
        level = round((GREYS - 1) * (value - least) / (most - least)) / (GREYS - 1)
        paths.setdefault(_grey(level, (0.0, 1.0)), []).append(box(column * side, row * high, side, high))
    wide, tall = side * len(plane[0]), high * len(plane)
    marks = [Mark(kind="grey", path="".join(path), fill=fill) for fill, path in paths.items()]
    marks.append(Mark(kind="frame", path=box(0.0, 0.0, wide, tall)))
    return Drawing(width=wide, height=tall, title=title, label="", marks=tuple(marks))


def level_axis(
    levels: Sequence[tuple[str, int | float | None]], *, threshold: int | float | None, severity: str
) -> Drawing | None:
    """Draw levels on an axis from -80 to 0 dB, with the threshold of a rule; None where no level is known."""
    known = [(name, value) for name, value in levels if value is not None]
    if not known:
        return None
    left, right, top, step = 46.0, 252.0, 22.0, 26.0
    bottom = top + step * len(known)

    def place(value: int | float) -> float:
        return left + (right - left) * (min(0.0, max(FLOOR, value)) - FLOOR) / -FLOOR

    marks = [Mark(kind="rail", path=box(left, top, right - left, bottom - top))]
    if threshold is not None:
        at = place(threshold)
        marks += [
            Mark(kind=f"over {severity}", path=box(at, top, right - at, bottom - top)),
            Mark(kind=f"limit {severity}", path=f"M{at:g} {top - 4:g}V{bottom:g}"),
            Mark(kind="index", x=at, y=top - 12, words=f"{severity} above {_decibels(threshold)} dB"),
        ]
    for tick in (-80, -60, -40, -20, 0):
        marks.append(Mark(kind="tick", path=f"M{place(tick):g} {bottom:g}v4"))
        marks.append(Mark(kind="index", x=place(tick), y=bottom + 13, words=str(tick).replace("-", "−")))
    for row, (name, value) in enumerate(known):
        x, y = place(value), top + step * (row + 0.5)
        words = f"{_decibels(value)} dB"
        marks += [
            Mark(kind="name", x=left - 8, y=y, words=name),
            Mark(kind="stem", path=f"M{left:g} {y:g}H{x:g}"),
            Mark(kind="dot", path=f"M{x - 5:g} {y:g}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z"),
            Mark(kind="level", x=right + 72, y=y, words=words),
        ]
    said = ", ".join(f"{name} {_decibels(value)} dB" for name, value in known)
    limit = "" if threshold is None else f"; {severity} above {_decibels(threshold)} dB"
    return Drawing(
        width=right + 74, height=bottom + 22, title=f"image gain: {said}{limit}", label="",
        marks=tuple(marks),
    )  # fmt: skip


def _labelled(planes: list[Plane], nested: Nested) -> Iterator[tuple[str, Plane]]:
    """The planes that are drawn, named where there are several."""
    for index, plane in enumerate(planes[:PLANES]):
        more = f" ({len(planes) - PLANES} more not drawn)" if index == PLANES - 1 < len(planes) - 1 else ""
        yield (f"first axis, phase {index}{more}" if _depth(nested) == 3 else ""), plane


def _planes(nested: Nested) -> list[Plane]:
    """Three axes as planes of rows; fewer axes are one plane, or one row of one plane."""
    depth = _depth(nested)
    return nested if depth == 3 else [nested] if depth == 2 else [[nested]]


def _depth(nested: Nested) -> int:
    return 1 + _depth(nested[0]) if isinstance(nested, list) else 0


def _leaves(nested: Nested) -> Iterator[Any]:
    if isinstance(nested, list):
        for each in nested:
            yield from _leaves(each)
    else:
        yield nested


def _cells(plane: Plane) -> Iterator[tuple[int, int, Any]]:
    for row, values in enumerate(plane):
        for column, value in enumerate(values):
            yield row, column, value


def _title(what: str, plane: Plane, label: str) -> str:
    of = f", {label}" if label else ""
    if max(len(plane), len(plane[0])) > NUMBERED:
        return f"{what}{of}"
    return f"{what}{of}: {'; '.join(' '.join(_number(value) for value in row) for row in plane)}"


def _number(value: int | float | None) -> str:
    return "–" if value is None else figures(value, 3)


def _decibels(value: int | float) -> str:
    return f"{value:.{0 if value == round(value) else 1}f}".replace("-", "−")


def _level(value: int | float, levels: tuple[float, float]) -> float:
    black, white = levels
    return (value - black) / (white - black)


def _grey(value: int | float, levels: tuple[float, float]) -> str:
    return f"#{round(255 * _level(value, levels)):02x}" + f"{round(255 * _level(value, levels)):02x}" * 2
