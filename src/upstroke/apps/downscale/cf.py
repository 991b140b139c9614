"""CF coordinates of a dataset become cells, and cells become CF coordinates with their bounds.

Which coordinates are horizontal is read from standard_name, then units, then axis, then the name; the edges
of their cells from the bounds that a coordinate names, else from its values, as their middles. What does not
describe uniform cells on one axis each is refused, with the reason in a sentence.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from upstroke.apps.downscale.cells import CellAxis, Cells, Kind, simplest_between
from upstroke.errors import OptionError, ShapeError

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["cells_of", "coordinates_of"]

Way: TypeAlias = Literal["y", "x"]

STANDARD_NAMES: dict[Way, dict[str, Kind]] = {
    "y": {"latitude": "latitude", "grid_latitude": "latitude", "projection_y_coordinate": "projected"},
    "x": {"longitude": "longitude", "grid_longitude": "longitude", "projection_x_coordinate": "projected"},
}
ONE_WAY: dict[Way, tuple[str, ...]] = {
    "y": ("degrees_north", "degree_north", "degrees_N", "degree_N", "degreesN", "degreeN"),
    "x": ("degrees_east", "degree_east", "degrees_E", "degree_E", "degreesE", "degreeE"),
}
DEGREES = ("degrees", "degree", "deg", "arc_degree", "°")
LENGTHS = (
    "m",
    "metre",
    "metres",
    "meter",
    "meters",
    "km",
    "kilometre",
    "kilometres",
    "kilometer",
    "kilometers",
)
# In a file without attributes these mean degrees; x and y mean nothing until units say what.
GEOGRAPHIC: dict[Way, tuple[str, ...]] = {
    "y": ("lat", "latitude", "rlat", "nav_lat", "grid_latitude"),
    "x": ("lon", "longitude", "rlon", "nav_lon", "grid_longitude"),
}
SPHERE: dict[Way, Kind] = {"y": "latitude", "x": "longitude"}
ROUND = 360.0
POLE = 90.0
# Attributes that the finer coordinate does not share: its outermost values are others.
OF_THE_COARSE = ("actual_range", "valid_range", "valid_min", "valid_max")
# Latitudes may be beyond +-90 by what a float32 loses.
PAST_POLE = 1e-4
# A regular Gaussian grid of any size is off by 1 % of a row at its poles; decimals in files are off by less.
UNEVEN = 1e-3


def cells_of(source: "Dataset | DataArray", *, y: str | None = None, x: str | None = None) -> Cells:
    """Find the horizontal coordinates of a dataset or an array and the cells that they stand for.

    Bounds that a coordinate names are taken as they are: a value may lie anywhere inside its cell, the ends
    come in either order, and longitudes may differ by whole turns. Without them values are the middles of
    their cells. Edges are rounded to the simplest even steps that the digits of the file can stand for, so
    that 0.1 in float32 means 0.1. Longitudes may be wrapped once, as 350 ... 359, 0, 1: the cells go on
    beyond 360. The grid_latitude and grid_longitude of a rotated pole are latitude and longitude where areas
    are concerned. An array cannot carry bounds, a dataset can: an array's values are middles.

    Args:
        source: What has the coordinates.
        y: Name of the coordinate of the rows, where it is not to be found by its attributes.
        x: Name of the coordinate of the columns, likewise.

    Raises:
        OptionError: No coordinate was found or more than one, or its units, values or bounds contradict it.
        ShapeError: The grid is curvilinear, irregular or unstructured, or one row or column without bounds.

    >>> import xarray
    >>> axes = {"lat": [10.0, 9.5, 9.0], "lon": [45.0, 135.0, 225.0, 315.0]}
    >>> cells = cells_of(xarray.DataArray(np.zeros((3, 4)), axes))
    >>> cells.y, cells.x
    (<lat: 3 cells of latitude, 10.25 to 8.75>, <lon: 4 cells of longitude, 0 to 360, periodic>)
    """
    rows, columns = _coordinate(source, "y", y), _coordinate(source, "x", x)
    if rows.dimension == columns.dimension:
        msg = (
            f"rows and columns must be two dimensions; got {rows.name} and {columns.name} both on "
            f"{rows.dimension}, which is a list of points; interpolate them to a rectangular grid first"
        )
        raise ShapeError(msg)
    return Cells(y=_axis(source, rows), x=_axis(source, columns))


def coordinates_of(cells: Cells, *, like: "Dataset | DataArray") -> "dict[str, DataArray]":
    """Make the coordinates of cells with their CF bounds, named and described as in their source.

    Values are the middles of the cells, or of the part on this side where a middle would be beyond a pole;
    bounds end at the poles. Both are float64. Longitudes rise or fall throughout, as CF wants it, beyond 360
    where the source wraps. The attributes of the source's coordinate are kept; `bounds`, `axis`,
    `standard_name` and `units` are there in any case.

    Returns:
        The coordinate and the bounds of either axis, by name, ready for `assign_coords`.

    >>> import xarray
    >>> coarse = xarray.Dataset(coords={"lat": [10.0, 9.5, 9.0], "lon": [45.0, 135.0, 225.0, 315.0]})
    >>> fine = coordinates_of(cells_of(coarse).refined(2)[0], like=coarse)
    >>> list(fine), fine["lat"].attrs["bounds"], fine["lat_bnds"].values[0].tolist()
    (['lat', 'lat_bnds', 'lon', 'lon_bnds'], 'lat_bnds', [10.25, 10.0])
    """
    return {**_described(cells.y, "y", like), **_described(cells.x, "x", like)}


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A horizontal coordinate: its name, its one dimension, what it measures, and its values as they came."""

    name: str
    dimension: str
    kind: Kind
    units: str
    values: NDArray[np.float64]
    rounding: float
    bounds: str | None


def _coordinate(source: "Dataset | DataArray", way: Way, wanted: str | None) -> _Found:
    name = _named(source, way, wanted) if wanted is not None else _searched(source, way)
    variable = source[name]
    _refuse_contradictions(name, variable.attrs)
    kind, units = _kind(way, name, variable.attrs)
    if variable.dtype.kind not in "fiu":
        msg = (
            f"{name} must hold numbers; got {variable.dtype}; pass {way}= with the name of another coordinate"
        )
        raise OptionError(msg)
    values = variable.values.astype(np.float64)
    _refuse_values(name, kind, values)
    return _Found(
        name=name,
        dimension=str(variable.dims[0]),
        kind=kind,
        units=units,
        values=values,
        rounding=_last_place(variable.values),
        bounds=variable.attrs.get("bounds", variable.encoding.get("bounds")),
    )


def _last_place(values: NDArray[Any]) -> float:
    """What the largest of some numbers may have lost in the type that they came in."""
    places = np.float32 if values.dtype.itemsize <= 4 and values.dtype.kind == "f" else np.float64
    return float(np.spacing(np.abs(values).max().astype(places)))


def _named(source: "Dataset | DataArray", way: Way, name: str) -> str:
    known = _variables(source)
    if name not in known:
        msg = f"{way} must name a coordinate; got {name!r}, and there are {', '.join(known) or 'none'}"
        raise OptionError(msg)
    if source[name].ndim != 1:
        raise ShapeError(_not_one_axis(name, source[name].dims))
    return name


def _variables(source: "Dataset | DataArray") -> "dict[str, DataArray]":
    """List what could be a coordinate, whether or not a file declares it as one; no bounds."""
    names = source.variables if hasattr(source, "data_vars") else source.coords
    found = {str(name): source[name] for name in names}
    bounds = {each.attrs.get("bounds", each.encoding.get("bounds")) for each in found.values()}
    return {name: each for name, each in found.items() if name not in bounds}


def _searched(source: "Dataset | DataArray", way: Way) -> str:
    """Look for the coordinate by what says it most surely first, and of equals for that of a dimension."""
    known = _variables(source)
    maps = [name for name, each in known.items() if each.ndim > 1 and _is_geographic(way, name, each.attrs)]
    flat = {name: each.attrs for name, each in known.items() if each.ndim == 1}
    for matches in (_by_standard_name, _by_units, _by_axis, _by_name):
        names = [name for name, attrs in flat.items() if matches(way, name, attrs)]
        names = [name for name in names if name in source.dims] or names
        if len(names) > 1:
            msg = (
                f"there must be one coordinate of {SPHERE[way]}; got {' and '.join(names)}; "
                f"pass {way}= with the name of one"
            )
            raise OptionError(msg)
        # rows and columns that are only numbered say nothing, where maps say where they are
        if names and (not maps or flat[names[0]].get("units") or names[0].lower() in GEOGRAPHIC[way]):
            return names[0]
    if maps:
        raise ShapeError(_not_one_axis(maps[0], known[maps[0]].dims))
    coordinates = ", ".join(map(str, source.coords)) or "none"
    msg = (
        f"a coordinate of {SPHERE[way]} must be told by standard_name, units, axis or name; got the "
        f"coordinates {coordinates}; pass {way}= with the name of one"
    )
    raise OptionError(msg)


def _not_one_axis(name: str, dims: Iterable[Any]) -> str:
    return (
        f"{name} must have one dimension; got ({', '.join(map(str, dims))}), which is a curvilinear grid; "
        "interpolate to a rectangular grid first"
    )


def _by_standard_name(way: Way, name: str, attrs: Mapping[Any, Any]) -> bool:
    return attrs.get("standard_name") in STANDARD_NAMES[way]


def _by_units(way: Way, name: str, attrs: Mapping[Any, Any]) -> bool:
    return attrs.get("units") in ONE_WAY[way]


def _by_axis(way: Way, name: str, attrs: Mapping[Any, Any]) -> bool:
    return str(attrs.get("axis", "")).upper() == way.upper()


def _by_name(way: Way, name: str, attrs: Mapping[Any, Any]) -> bool:
    return name.lower() in (*GEOGRAPHIC[way], way)


def _is_geographic(way: Way, name: str, attrs: Mapping[Any, Any]) -> bool:
    says = attrs.get("standard_name") == SPHERE[way] or _by_units(way, name, attrs)
    return says or name.lower() in GEOGRAPHIC[way]


def _refuse_contradictions(name: str, attrs: Mapping[Any, Any]) -> None:
    """Refuse a coordinate of which one thing says rows and another columns, such as swapped units."""
    says: dict[Way, str] = {}
    ways: tuple[Way, Way] = ("y", "x")
    for way in ways:
        for key, matches in (("standard_name", _by_standard_name), ("units", _by_units), ("axis", _by_axis)):
            if matches(way, name, attrs):
                says.setdefault(way, f"{key} {attrs[key]!r}")
        if name.lower() in GEOGRAPHIC[way]:
            says.setdefault(way, "its name")
    if len(says) > 1:
        msg = (
            f"{name} must be of rows or of columns; got {says['y']} for rows and {says['x']} for columns; "
            "mend its attributes"
        )
        raise OptionError(msg)


def _kind(way: Way, name: str, attrs: Mapping[Any, Any]) -> tuple[Kind, str]:
    """Say what a coordinate measures by its standard name, its name and its units, which must agree."""
    units = str(attrs.get("units", "")).strip()
    standard = STANDARD_NAMES[way].get(attrs.get("standard_name", ""))
    degrees, length = ONE_WAY[way][0], "a length such as m or km"
    allowed: tuple[str, ...]
    if standard == "projected":
        allowed, wanted = (*LENGTHS, ""), length
    elif standard is not None or name.lower() in GEOGRAPHIC[way]:
        allowed, wanted = (*ONE_WAY[way], *DEGREES, ""), degrees
    else:
        allowed, wanted = (*ONE_WAY[way], *DEGREES, *LENGTHS), f"{degrees} or {length}"
    if units not in allowed:
        came = repr(units) if units else "none"
        msg = f"the units of {name} must be {wanted}; got {came}; convert its values, or mend the attribute"
        raise OptionError(msg)
    return ("projected" if standard == "projected" or units in LENGTHS else SPHERE[way]), units


def _refuse_values(name: str, kind: Kind, values: NDArray[np.float64]) -> None:
    if values.size == 0:
        msg = f"{name} must have at least one value; got none; take a larger part of the file"
        raise ShapeError(msg)
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        msg = f"{name} must hold finite numbers; got {values[at]} at place {at}; repair the coordinate"
        raise OptionError(msg)
    worst = float(values[np.abs(values).argmax()])
    if kind == "latitude" and abs(worst) > POLE + PAST_POLE:
        msg = f"{name} must lie within +-90 degrees; got {worst:.10g}; convert its values to degrees"
        raise OptionError(msg)


def _axis(source: "Dataset | DataArray", found: _Found) -> CellAxis:
    values = _unwrapped(found.values) if found.kind == "longitude" else found.values
    _refuse_order(found, values)
    bounds = _bounds(source, found)
    if bounds is not None:
        edges = _edges_from_bounds(found, values, bounds)
    elif values.size > 1:
        edges = _edges_from_middles(found, values)
    else:
        msg = (
            f"{found.name} must have bounds where it has one value; got none, and nothing else says how "
            "long the cell is; take a dataset that holds them, or more rows and columns"
        )
        raise ShapeError(msg)
    length = abs(float(edges[-1] - edges[0]))
    return CellAxis(
        name=found.dimension,
        kind=found.kind,
        edges=edges,
        is_periodic=found.kind == "longitude" and abs(length - ROUND) < 1e-9,
        units=found.units,
    )


def _unwrapped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let longitudes go on beyond where they jump back by a turn, if there is one such place."""
    steps = np.diff(values)
    # two columns 359 degrees apart are neighbours, since cells of 359 degrees would overlap
    across = values.size == 2 and abs(steps[0]) > ROUND / 2
    if not across and ((steps > 0).all() or (steps < 0).all()):
        return values
    short = (steps + ROUND / 2) % ROUND - ROUND / 2
    turns = np.round((short - steps) / ROUND)
    if np.count_nonzero(turns) != 1:
        return values
    return values + ROUND * np.concatenate([[0.0], np.cumsum(turns)])


def _refuse_order(found: _Found, middles: NDArray[np.float64]) -> None:
    steps = np.diff(middles)
    if (steps == 0).any():
        at = int(np.flatnonzero(steps == 0)[0])
        msg = (
            f"every value of {found.name} must come once; got {middles[at]:.10g} at places {at} and "
            f"{at + 1}; drop the duplicates"
        )
        raise OptionError(msg)
    if not ((steps > 0).all() or (steps < 0).all()):
        at = int(np.flatnonzero(np.sign(steps) != np.sign(steps[0]))[0])
        came = ", ".join(f"{value:.10g}" for value in found.values[at : at + 3])
        msg = (
            f"{found.name} must rise or fall throughout; got {came} from place {at} on; sort the field by it"
        )
        raise OptionError(msg)


def _edges_from_middles(found: _Found, middles: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high, step = _even(found.name, found.kind, middles, middles.size, found.rounding)
    return _simplest_edges(low - step / 2, high - step / 2, step, middles.size)


def _simplest_edges(low: Fraction, high: Fraction, step: Fraction, cells: int) -> NDArray[np.float64]:
    """Give the edges whose first lies between two numbers, so that it or the first middle is simplest."""
    edge = simplest_between(low, high)
    middle = simplest_between(low + step / 2, high + step / 2)
    first = edge if edge.denominator <= middle.denominator else middle - step / 2
    return np.linspace(float(first), float(first + step * cells), cells + 1)


def _even(
    name: str, kind: Kind, values: NDArray[np.float64], cells: int, rounding: float
) -> tuple[Fraction, Fraction, Fraction]:
    """Give the least and the most that the first of even values can be, and their simplest step."""
    numbers = np.arange(values.size)
    step = float(values[-1] - values[0]) / (values.size - 1)
    off = float(np.abs(values - values[0] - step * numbers).max())
    written = 1.5 * float(np.spacing(np.float32(np.abs(values).max())))
    if off > min(max(UNEVEN * abs(step), written), abs(step) / 4):
        steps = np.abs(np.diff(values))
        msg = (
            f"{name} must have even steps; got steps from {steps.min():.7g} to {steps.max():.7g}, which is "
            "an irregular grid; interpolate to even steps first"
        )
        raise ShapeError(msg)
    slack = max(off, rounding)
    exact = _simplest_step(kind, cells, step, 2 * slack / (values.size - 1))
    rest = values - float(exact) * numbers
    low, high = float(rest.min()), float(rest.max())
    half = (high - low) / 2 + slack
    return Fraction((low + high) / 2 - half), Fraction((low + high) / 2 + half), exact


def _simplest_step(kind: Kind, cells: int, step: float, slack: float) -> Fraction:
    for whole in _steps_over_the_globe(kind, cells):
        if abs(abs(step) - float(whole)) <= slack:
            return whole if step > 0 else -whole
    return simplest_between(Fraction(step - slack), Fraction(step + slack))


def _steps_over_the_globe(kind: Kind, cells: int) -> Iterator[Fraction]:
    """Columns once round; rows from pole to pole, or with the first and the last centred on them."""
    if kind == "longitude":
        yield Fraction(360, cells)
    if kind == "latitude":
        yield Fraction(180, cells)
        yield Fraction(180, max(cells - 1, 1))


@dataclass(frozen=True, kw_only=True)
class _Bounds:
    """Bounds of a coordinate: their name, both ends of every cell (n, 2), what their digits may have lost."""

    name: str
    ends: NDArray[np.float64]
    rounding: float


def _bounds(source: "Dataset | DataArray", found: _Found) -> _Bounds | None:
    if found.bounds is None:
        return None
    if not hasattr(source, "data_vars"):
        return None
    if found.bounds not in source.variables:
        msg = (
            f"the bounds that {found.name} names must be there; got no variable {found.bounds}; "
            "add it, or drop the attribute bounds to take values as middles"
        )
        raise OptionError(msg)
    variable = source[found.bounds]
    others = [dim for dim in variable.dims if dim != found.dimension]
    if (
        variable.ndim != 2
        or len(others) != 1
        or variable.sizes[others[0]] != 2
        or variable.dtype.kind not in "fiu"
    ):
        msg = (
            f"the bounds {found.bounds} must be two numbers for each of the {found.values.size} cells of "
            f"{found.name}; got {variable.dtype} on ({_sizes(variable)}); "
            "mend them, or drop the attribute bounds to take values as middles"
        )
        raise ShapeError(msg)
    values = variable.transpose(found.dimension, others[0]).values
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        msg = (
            f"the bounds {found.bounds} must be finite numbers; got {_pair(values[at])} at place {at}; "
            "mend them, or drop the attribute bounds to take values as middles"
        )
        raise OptionError(msg)
    return _Bounds(name=found.bounds, ends=values.astype(np.float64), rounding=_last_place(values))


def _sizes(variable: "DataArray") -> str:
    return ", ".join(f"{dim}: {size}" for dim, size in variable.sizes.items())


def _pair(ends: NDArray[Any]) -> str:
    return f"{ends[0]:.10g} and {ends[1]:.10g}"


def _edges_from_bounds(found: _Found, values: NDArray[np.float64], bounds: _Bounds) -> NDArray[np.float64]:
    ends = _turned(values, bounds.ends) if found.kind == "longitude" else bounds.ends
    low, high = ends.min(axis=1), ends.max(axis=1)
    slack = max(UNEVEN * float((high - low).max()), 1.5 * float(np.spacing(np.float32(np.abs(ends).max()))))
    _refuse_outside(found, bounds, values, (values <= low + slack) | (values >= high - slack))
    rises = values.size == 1 or values[1] > values[0]
    starts, stops = (low, high) if rises else (high, low)
    gaps = (starts[1:] - stops[:-1]) * (1 if rises else -1)
    if (np.abs(gaps) > slack).any():
        at = int(np.flatnonzero(np.abs(gaps) > slack)[0])
        how = "a gap" if gaps[at] > 0 else "an overlap"
        msg = (
            f"the bounds {bounds.name} must join from cell to cell; got {how} between {stops[at]:.10g} and "
            f"{starts[at + 1]:.10g} at place {at}; "
            "mend them, or drop the attribute bounds to take values as middles"
        )
        raise OptionError(msg)
    edges = np.concatenate([starts[:1], stops])
    if found.kind == "latitude":
        edges = _beyond_the_poles(edges)
    least, most, step = _even(f"the bounds {bounds.name}", found.kind, edges, values.size, bounds.rounding)
    return _simplest_edges(least, most, step, values.size)


def _turned(values: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move the ends of cells by whole turns to where their values are."""
    holds = (ends.min(axis=1) <= values) & (values <= ends.max(axis=1))
    turns = np.round((values[:, None] - ends) / ROUND)
    return np.where(holds[:, None], ends, ends + ROUND * turns)


def _refuse_outside(
    found: _Found, bounds: _Bounds, values: NDArray[np.float64], outside: NDArray[np.bool_]
) -> None:
    if found.kind == "latitude":
        # a row at a pole ends there, at its own middle
        outside = outside & (
            (np.abs(values) < POLE - PAST_POLE) | (np.abs(bounds.ends).max(axis=1) < POLE - PAST_POLE)
        )
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        msg = (
            f"the bounds {bounds.name} must have {found.name} inside every cell; got {values[at]:.10g} with "
            f"{_pair(bounds.ends[at])} at place {at}; "
            "mend them, or drop the attribute bounds to take values as middles"
        )
        raise OptionError(msg)


def _beyond_the_poles(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give rows that bounds end at a pole, as they should, the length of the others."""
    if edges.size < 4:
        return edges
    edges = edges.copy()
    step = (edges[-2] - edges[1]) / (edges.size - 3)
    for end, inner, ahead in ((0, 1, -step), (-1, -2, step)):
        at_pole = abs(abs(edges[end]) - POLE) < PAST_POLE
        if at_pole and abs(edges[end] - edges[inner]) < abs(step) * (1 - UNEVEN):
            edges[end] = edges[inner] + ahead
    return edges


def _described(axis: CellAxis, way: Way, like: "Dataset | DataArray") -> "dict[str, DataArray]":
    from xarray import DataArray

    name = _name_on(axis, way, like)
    attrs, bounds, pair = _as_in(like, name)
    attrs.setdefault(
        "standard_name", f"projection_{way}_coordinate" if axis.kind == "projected" else SPHERE[way]
    )
    attrs.setdefault("units", axis.units or ("m" if axis.kind == "projected" else ONE_WAY[way][0]))
    attrs.setdefault("axis", way.upper())
    attrs["bounds"] = bounds
    ends, middles = axis.bounds, axis.centres
    if axis.kind == "latitude":
        middles = np.where(np.abs(middles) > POLE, ends.mean(axis=1), middles)
    return {
        name: DataArray(middles, dims=(axis.name,), attrs=attrs),
        bounds: DataArray(ends, dims=(axis.name, pair)),
    }


def _name_on(axis: CellAxis, way: Way, like: "Dataset | DataArray") -> str:
    """Name the coordinate that an axis came from: the dimension's own, or another that lies on it."""
    on_it = [name for name, each in _variables(like).items() if each.dims == (axis.name,)]
    for matches in (_by_standard_name, _by_units, _by_axis, _by_name):
        names = [name for name in on_it if matches(way, name, like[name].attrs)]
        if names:
            return axis.name if axis.name in names else names[0]
    return axis.name


def _as_in(like: "Dataset | DataArray", name: str) -> tuple[dict[str, Any], str, str]:
    """Give a coordinate's attributes, the name of its bounds and that of the bounds' second dimension."""
    known = _variables(like)
    if name not in known:
        return {}, f"{name}_bnds", "bnds"
    source = known[name]
    attrs = {str(key): value for key, value in source.attrs.items() if key not in OF_THE_COARSE}
    bounds = str(attrs.get("bounds") or source.encoding.get("bounds") or f"{name}_bnds")
    has_them = bounds in getattr(like, "variables", like.coords)
    others = [str(dim) for dim in like[bounds].dims if dim not in source.dims] if has_them else []
    return attrs, bounds, (others or ["bnds"])[0]
