"""CF coordinates of a dataset become cells, and cells become CF coordinates with their bounds.

Which coordinates are horizontal is read from standard_name, then units, then axis, then the name; the edges of
their cells from the bounds that a coordinate names, else from its values, as their middles. What does not
describe uniform cells on one axis each is refused, with the reason in a sentence.
"""

from collections.abc import Iterable, Iterator
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
NORTH = ("degrees_north", "degree_north", "degrees_N", "degree_N", "degreesN", "degreeN")
EAST = ("degrees_east", "degree_east", "degrees_E", "degree_E", "degreesE", "degreeE")
ONE_WAY: dict[Way, tuple[str, ...]] = {"y": NORTH, "x": EAST}
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
NAMES: dict[Way, tuple[str, ...]] = {
    "y": ("lat", "latitude", "rlat", "nav_lat", "grid_latitude", "y"),
    "x": ("lon", "longitude", "rlon", "nav_lon", "grid_longitude", "x"),
}
SPHERE: dict[Way, Kind] = {"y": "latitude", "x": "longitude"}
WORDS: dict[Way, str] = {"y": "latitude", "x": "longitude"}
OTHER: dict[Way, Way] = {"y": "x", "x": "y"}
ROUND = 360.0
POLE = 90.0
# A regular Gaussian grid of any size is off by 1.5 % of a row at its poles; written decimals are off by less.
UNEVEN = 1e-3


def cells_of(source: "Dataset | DataArray", *, y: str | None = None, x: str | None = None) -> Cells:
    """Find the horizontal coordinates of a dataset or an array and the cells that they stand for.

    Bounds that a coordinate names are taken as they are: a middle may lie anywhere inside its cell, the two ends
    come in either order, and longitudes may differ by whole turns. Without them each cell ends half way between
    its middle and the next. Coordinates in float32 are rounded to the simplest uniform steps that they can stand
    for, so that 0.1 means 0.1. Longitudes may be wrapped once, as 350 ... 359, 0, 1: the cells go on beyond 360.
    grid_latitude and grid_longitude of a rotated pole are latitude and longitude where areas are concerned.
    An array carries no bounds of its own: where it names some that are not among its coordinates, its middles count.

    Args:
        source: What has the coordinates.
        y: Name of the coordinate of the rows, where it is not to be found by its attributes.
        x: Name of the coordinate of the columns, likewise.

    Raises:
        OptionError: No coordinate was found or more than one, or its units, values or bounds contradict it.
        ShapeError: The grid is curvilinear, irregular or unstructured, or a single row or column without bounds.

    >>> import xarray
    >>> field = xarray.DataArray(
    ...     np.zeros((3, 4)), dims=("lat", "lon"), coords={"lat": [10.0, 9.5, 9.0], "lon": [45.0, 135.0, 225.0, 315.0]}
    ... )
    >>> cells = cells_of(field)
    >>> cells.y, cells.x
    (<lat: 3 cells of latitude, 10.25 to 8.75>, <lon: 4 cells of longitude, 0 to 360, periodic>)
    """
    found = {"y": _coordinate(source, "y", y), "x": _coordinate(source, "x", x)}
    rows, columns = found["y"], found["x"]
    if rows.dimension == columns.dimension:
        msg = (
            f"rows and columns must be two dimensions; got {rows.name} and {columns.name} both on "
            f"{rows.dimension}, which is a list of points; interpolate them to a rectangular grid first"
        )
        raise ShapeError(msg)
    return Cells(y=_axis(source, rows), x=_axis(source, columns))


def coordinates_of(cells: Cells, *, like: "Dataset | DataArray") -> "dict[str, DataArray]":
    """Make the coordinates of cells with their CF bounds, named and described as in the source they stand for.

    Values are the middles of the cells, of a row across a pole those of the part on this side; bounds end at the
    poles. Both are float64; longitudes rise or fall throughout, beyond 360 where the source wraps. The attributes
    of the source's coordinate are kept; `bounds`, `axis`, `standard_name` and `units` are there in any case.

    Returns:
        The coordinate and the bounds of either axis, by name, ready for `assign_coords`.

    >>> import xarray
    >>> coarse = xarray.Dataset(coords={"lat": [10.0, 9.5, 9.0], "lon": [45.0, 135.0, 225.0, 315.0]})
    >>> fine = coordinates_of(cells_of(coarse).refined(2)[0], like=coarse)
    >>> list(fine), fine["lat"].attrs["bounds"], fine["lat_bnds"].values[0].tolist()
    (['lat', 'lat_bnds', 'lon', 'lon_bnds'], 'lat_bnds', [10.25, 10.0])
    """
    made: dict[str, DataArray] = {}
    for way, axis in (("y", cells.y), ("x", cells.x)):
        made.update(_described(axis, way, like))  # type: ignore[arg-type]
    return made


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
    variable = source.coords[name]
    kind, units = _kind(way, name, variable.attrs)
    raw = variable.values
    if raw.dtype.kind not in "fiu":
        msg = f"{name} must hold numbers; got values of {raw.dtype}; pass {way}= with the name of the coordinate"
        raise OptionError(msg)
    values = raw.astype(np.float64)
    _refuse_values(name, kind, values)
    places = raw.dtype if raw.dtype == np.float32 else np.dtype(np.float64)
    return _Found(
        name=name,
        dimension=str(variable.dims[0]),
        kind=kind,
        units=units,
        values=values,
        rounding=float(np.spacing(np.abs(values).max().astype(places))),
        bounds=variable.attrs.get("bounds", variable.encoding.get("bounds")),
    )


def _named(source: "Dataset | DataArray", way: Way, name: str) -> str:
    if name not in source.coords:
        known = ", ".join(map(str, source.coords)) or "none"
        msg = f"{way} must name a coordinate; got {name!r}, and there are: {known}"
        raise OptionError(msg)
    if source.coords[name].ndim != 1:
        raise ShapeError(_not_one_axis(name, source.coords[name].dims))
    return name


def _searched(source: "Dataset | DataArray", way: Way) -> str:
    """Look for the coordinate by what says it most surely first."""
    flat = {str(name): each.attrs for name, each in source.coords.items() if each.ndim == 1}
    for matches in (_by_standard_name, _by_units, _by_axis, _by_name):
        names = [name for name, attrs in flat.items() if matches(way, name, attrs)]
        own = [name for name in names if name in source.dims]
        names = own or names
        if len(names) > 1:
            msg = (
                f"there must be one coordinate of {WORDS[way]}; got {' and '.join(names)}; "
                f"pass {way}= with the name of one"
            )
            raise OptionError(msg)
        if names:
            return names[0]
    for name, each in source.coords.items():
        if each.ndim > 1 and any(
            m(way, str(name), each.attrs) for m in (_by_standard_name, _by_units, _by_name)
        ):
            raise ShapeError(_not_one_axis(str(name), each.dims))
    known = ", ".join(map(str, source.coords)) or "none"
    msg = (
        f"no coordinate of {WORDS[way]} was found by standard_name, units, axis or name; the coordinates are: "
        f"{known}; pass {way}= with the name of one"
    )
    raise OptionError(msg)


def _not_one_axis(name: str, dims: Iterable[Any]) -> str:
    return (
        f"{name} must have one dimension; got ({', '.join(map(str, dims))}), which is a curvilinear grid; "
        "interpolate to a rectangular grid first"
    )


def _by_standard_name(way: Way, name: str, attrs: dict[Any, Any]) -> bool:
    return attrs.get("standard_name") in STANDARD_NAMES[way]


def _by_units(way: Way, name: str, attrs: dict[Any, Any]) -> bool:
    return attrs.get("units") in ONE_WAY[way]


def _by_axis(way: Way, name: str, attrs: dict[Any, Any]) -> bool:
    return str(attrs.get("axis", "")).upper() == way.upper()


def _by_name(way: Way, name: str, attrs: dict[Any, Any]) -> bool:
    return name.lower() in NAMES[way]


def _kind(way: Way, name: str, attrs: dict[Any, Any]) -> tuple[Kind, str]:
    """Say what a coordinate measures, where its standard name, its units and its name do not contradict that."""
    units = str(attrs.get("units", "")).strip()
    standard = STANDARD_NAMES[way].get(attrs.get("standard_name", ""))
    if standard == "projected":
        allowed: tuple[str, ...] = (*LENGTHS, "")
    elif standard is not None or name.lower() in NAMES[way][:-1]:
        allowed = (*ONE_WAY[way], *DEGREES, "")
    else:
        allowed = (*ONE_WAY[way], *DEGREES, *LENGTHS)
    if units not in allowed:
        degrees = ONE_WAY[way][0]
        wanted = {0: "metres or kilometres", 1: degrees}.get(
            0 if standard == "projected" else int(bool(units))
        )
        wanted = wanted if allowed[-1] == "" else f"{degrees} or a length such as m"
        msg = (
            f"the units of {name} must be {wanted}; got {units!r}; "
            "convert the coordinate, or set its attribute units to what it holds"
        )
        raise OptionError(msg)
    return ("projected" if units in LENGTHS or standard == "projected" else SPHERE[way]), units


def _refuse_values(name: str, kind: Kind, values: NDArray[np.float64]) -> None:
    if values.size == 0:
        msg = f"{name} must have at least one value; got none"
        raise ShapeError(msg)
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        msg = f"{name} must hold finite numbers; got {values[at]} at place {at}; drop or repair these rows or columns"
        raise OptionError(msg)
    if kind == "latitude" and np.abs(values).max() > POLE * (1 + 1e-6):
        worst = values[np.abs(values).argmax()]
        msg = (
            f"{name} must lie within +-90 degrees; got {worst:.10g}; convert it to degrees, or set its units"
        )
        raise OptionError(msg)


def _axis(source: "Dataset | DataArray", found: _Found) -> CellAxis:
    middles = _unwrapped(found.values) if found.kind == "longitude" else found.values
    _refuse_order(found, middles)
    pairs = _pairs(source, found)
    if pairs is not None:
        edges = _edges_from_bounds(found, middles, pairs)
    elif middles.size > 1:
        edges = _edges_from_middles(found, middles)
    else:
        msg = (
            f"{found.name} has one value, so nothing says how long its cell is; give it bounds, or take more "
            "than one row and column"
        )
        raise ShapeError(msg)
    goes_round = found.kind == "longitude" and abs(abs(edges[-1] - edges[0]) - ROUND) < 1e-9
    return CellAxis(
        name=found.dimension, kind=found.kind, edges=edges, is_periodic=bool(goes_round), units=found.units
    )


def _unwrapped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let longitudes go on beyond where they jump back by a turn, if there is one such place."""
    steps = np.diff(values)
    if values.size < 3 or (steps > 0).all() or (steps < 0).all():
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
            f"every value of {found.name} must come once; got {middles[at]:.10g} at places {at} and {at + 1}; "
            "drop the duplicates"
        )
        raise OptionError(msg)
    if not ((steps > 0).all() or (steps < 0).all()):
        at = int(np.flatnonzero(np.sign(steps) != np.sign(steps[0]))[0])
        came = ", ".join(f"{value:.10g}" for value in found.values[at : at + 3])
        msg = f"{found.name} must rise or fall throughout; got {came} from place {at} on; sort the field along it"
        raise OptionError(msg)


def _edges_from_middles(found: _Found, middles: NDArray[np.float64]) -> NDArray[np.float64]:
    first, step = _even(found, middles)
    edges = [first + step * (k - Fraction(1, 2)) for k in (0, middles.size)]
    return np.linspace(float(edges[0]), float(edges[1]), middles.size + 1)


def _even(found: _Found, values: NDArray[np.float64]) -> tuple[Fraction, Fraction]:
    """Give the simplest start and step of even values, within what their digits leave open."""
    intervals = values.size - 1
    step = (values[-1] - values[0]) / intervals
    rest = values - step * np.arange(values.size)
    off = float(np.abs(rest - values[0]).max())
    largest = np.abs(values).max()
    if off > min(max(UNEVEN * abs(step), 1.5 * float(np.spacing(np.float32(largest)))), abs(step) / 4):
        msg = (
            f"{found.name} must have even steps; got steps from {np.diff(values).min():.7g} to "
            f"{np.diff(values).max():.7g}, which is an irregular grid; interpolate to a uniform one first"
        )
        raise ShapeError(msg)
    slack = max(off, found.rounding)
    exact_step = _simplest_step(found.kind, values.size, step, 2 * slack / intervals)
    rest = values - float(exact_step) * np.arange(values.size)
    half = (rest.max() - rest.min()) / 2 + slack
    middle = (rest.max() + rest.min()) / 2
    return simplest_between(Fraction(middle - half), Fraction(middle + half)), exact_step


def _simplest_step(kind: Kind, size: int, step: float, slack: float) -> Fraction:
    for whole in _whole_spans(kind, size):
        if abs(abs(step) - float(whole)) <= slack:
            return whole if step > 0 else -whole
    return simplest_between(Fraction(step - slack), Fraction(step + slack))


def _whole_spans(kind: Kind, size: int) -> Iterator[Fraction]:
    """Steps of grids that cover the globe: columns once round, rows from pole to pole or centred on both."""
    if kind == "longitude":
        yield Fraction(360, size)
    if kind == "latitude":
        yield Fraction(180, size)
        if size > 1:
            yield Fraction(180, size - 1)


def _pairs(source: "Dataset | DataArray", found: _Found) -> NDArray[np.float64] | None:
    """Read the bounds that a coordinate names, (n, 2)."""
    if found.bounds is None:
        return None
    holder = source.coords if found.bounds in source.coords else getattr(source, "data_vars", {})
    if found.bounds not in holder:
        if not hasattr(source, "data_vars"):
            return None
        msg = (
            f"{found.name} names the bounds {found.bounds!r}, which are not there; "
            "add the variable, or drop the attribute to take cells around the middles"
        )
        raise OptionError(msg)
    variable = holder[found.bounds]
    others = [dim for dim in variable.dims if dim != found.dimension]
    if variable.ndim != 2 or len(others) != 1 or variable.sizes[others[0]] != 2:
        msg = (
            f"the bounds {found.bounds} must be two ends for each of {found.values.size} cells of {found.name}; "
            f"got shape {variable.shape} on ({', '.join(map(str, variable.dims))})"
        )
        raise ShapeError(msg)
    pairs: NDArray[np.float64] = variable.transpose(found.dimension, others[0]).values.astype(np.float64)
    return pairs


def _edges_from_bounds(
    found: _Found, middles: NDArray[np.float64], pairs: NDArray[np.float64]
) -> NDArray[np.float64]:
    if not np.isfinite(pairs).all():
        msg = f"the bounds {found.bounds} must be finite numbers; got {pairs[~np.isfinite(pairs)][0]}"
        raise OptionError(msg)
    if found.kind == "longitude":
        pairs = _turned(middles, pairs)
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    length = (high - low).max()
    slack = max(UNEVEN * length, 1.5 * float(np.spacing(np.float32(np.abs(pairs).max()))))
    outside = (middles <= low + slack) | (middles >= high - slack)
    _refuse_bounds(found, outside & ~_at_pole(found, middles), middles, pairs)
    rising = middles.size == 1 or middles[1] > middles[0]
    starts, ends = (low, high) if rising else (high, low)
    apart = np.flatnonzero(np.abs(starts[1:] - ends[:-1]) > slack)
    if apart.size:
        at = int(apart[0])
        how = "leave a gap" if (starts[at + 1] > ends[at]) == rising else "overlap"
        msg = (
            f"the bounds {found.bounds} must join from cell to cell; got cells {at} and {at + 1} of {found.name} "
            f"that {how} at {ends[at]:.10g} and {starts[at + 1]:.10g}; "
            "mend them, or drop the attribute bounds to take cells around the middles"
        )
        raise OptionError(msg)
    edges = _beyond_the_poles(found, np.concatenate([starts[:1], ends]))
    first, step = (
        _even(found, edges) if edges.size > 2 else (Fraction(edges[0]), Fraction(edges[1] - edges[0]))
    )
    return np.linspace(float(first), float(first + step * middles.size), middles.size + 1)


def _turned(middles: NDArray[np.float64], pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn the ends of cells by whole turns to where their middles are."""
    holds = (pairs.min(axis=1) <= middles) & (middles <= pairs.max(axis=1))
    turns = np.round((middles[:, None] - pairs) / ROUND)
    return np.where(holds[:, None], pairs, pairs + ROUND * turns)


def _at_pole(found: _Found, middles: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (found.kind == "latitude") & (np.abs(np.abs(middles) - POLE) < 1e-6)


def _refuse_bounds(
    found: _Found, outside: NDArray[np.bool_], middles: NDArray[np.float64], pairs: NDArray[np.float64]
) -> None:
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        msg = (
            f"the bounds {found.bounds} must hold every value of {found.name} inside its cell; got "
            f"{middles[at]:.10g} and the bounds {pairs[at, 0]:.10g} and {pairs[at, 1]:.10g} at place {at}; "
            "mend them, or drop the attribute bounds to take cells around the middles"
        )
        raise OptionError(msg)


def _beyond_the_poles(found: _Found, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give rows that bounds end at a pole, as they should, the length of the others."""
    if found.kind != "latitude" or edges.size < 4:
        return edges
    edges = edges.copy()
    step = (edges[-2] - edges[1]) / (edges.size - 3)
    for end, inner, sign in ((0, 1, -1), (-1, -2, 1)):
        if abs(abs(edges[end]) - POLE) < 1e-6 and abs(edges[end] - edges[inner]) < abs(step) * (1 - UNEVEN):
            edges[end] = edges[inner] + sign * step
    return edges


def _described(axis: CellAxis, way: Way, like: "Dataset | DataArray") -> "dict[str, DataArray]":
    from xarray import DataArray

    name = _name_on(axis, way, like)
    attrs, bounds, pair = _as_in(like, name)
    attrs.setdefault(
        "standard_name", f"projection_{way}_coordinate" if axis.kind == "projected" else WORDS[way]
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
    """Name the coordinate that an axis came from: the dimension's own, or one of another name that lies on it."""
    on_it = [str(name) for name, each in like.coords.items() if each.dims == (axis.name,)]
    for matches in (_by_standard_name, _by_units, _by_axis, _by_name):
        names = [name for name in on_it if matches(way, name, like.coords[name].attrs)]
        if names:
            return axis.name if axis.name in names else names[0]
    return axis.name


def _as_in(like: "Dataset | DataArray", name: str) -> tuple[dict[str, Any], str, str]:
    """Give the attributes of a source's coordinate, the name of its bounds and that of their second dimension."""
    if name not in like.coords:
        return {}, f"{name}_bnds", "bnds"
    source = like.coords[name]
    attrs = {str(key): value for key, value in source.attrs.items()}
    bounds = str(attrs.get("bounds") or source.encoding.get("bounds") or f"{name}_bnds")
    holder = like.coords if bounds in like.coords else getattr(like, "data_vars", {})
    others = [str(dim) for dim in holder[bounds].dims if dim not in source.dims] if bounds in holder else []
    return attrs, bounds, (others or ["bnds"])[0]
