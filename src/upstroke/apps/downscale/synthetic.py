"""Turn a seed into the sea surface temperature of a planet that does not exist: coasts, fronts and eddies."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["synthetic_sst"]

Map = NDArray[np.float64]

# Of the surface of the Earth; in the archives of sea surface temperature it is a third of all cells.
LAND = 0.29
# Sea water freezes here, in degrees Celsius.
FREEZING = -1.8
# Nodes of the lattice along each axis, after which its noise repeats.
NODES = 48
# Of the variance of the nodes, what the quadratic B-spline leaves along an axis: the quintic one at 0.
LEFT = 66 / 120
# Of eddies and of meanders: how far they drift to the west in a day, in degrees of longitude.
DRIFT = 0.12


def synthetic_sst(
    size: tuple[int, int] = (720, 1440), *, steps: int = 1, seed: int = 0, land: float = LAND
) -> "Dataset":
    """Sea surface temperature, daily, on a global grid of uniform cells; NaN on land.

    It is made, not measured: it belongs to no ocean and holds no data of anybody. What it has is what makes
    refining such a field hard, each by a formula in this file:

    1. Continents and islands: smooth noise on the sphere over a threshold, rough on every scale, with an icy
       continent at the south pole and an open sea at the north one.
    2. A mean temperature that falls from the equator to both poles, colder along the equator and in the east
       of the basins, not below freezing.
    3. Fronts: a western boundary current that leaves each eastern coast at 38 degrees, 9 K in about a degree,
       which fades with the distance from that coast and meanders, and one of 4 K round the south.
    4. Eddies: noise with a red spectrum, the stronger the nearer a front is, which drifts to the west.

    Noise on the sphere is noise on a cubic lattice in space, smoothed by the quadratic B-spline and read
    where the sphere is, octave by octave. So it has neither a seam nor poles, and the same seed gives the
    same planet on every grid.

    Args:
        size: cells in latitude and in longitude.
        steps: days.
        seed: of everything that is drawn.
        land: the part of the surface that is land.

    Returns:
        `sst` (time, lat, lon) float32 in degrees Celsius, with coordinates and their attributes after CF.

    Raises:
        OptionError: where a number of cells or of steps is not positive, or `land` is not between 0 and 1.

    >>> field = synthetic_sst((18, 36), steps=2)
    >>> field.sst.shape, str(field.sst.dtype), field.sst.attrs["units"]
    ((2, 18, 36), 'float32', 'degree_Celsius')
    >>> bool(field.sst.isnull().any()), bool(field.sst.notnull().any())
    (True, True)
    """
    if min(*size, steps) < 1 or not 0 <= land < 1:
        msg = (
            "a synthetic field needs positive numbers of cells and steps and a part of land in [0, 1); "
            f"got size {size}, steps {steps}, land {land}"
        )
        raise OptionError(msg)
    latitude, longitude = _centres(size)
    is_land = _is_land(latitude, longitude, part=land, seed=seed)
    at_sea = [each[~is_land] for each in np.broadcast_arrays(latitude, longitude)]
    climate = _climate(latitude, is_land)[~is_land]
    # a boundary current has land to its west, and is the stronger the nearer
    strength = _decaying(is_land, 45.0)[~is_land]
    fields = np.full((steps, *size), np.nan, np.float32)
    for step in range(steps):
        drifted = at_sea[1] + np.radians(DRIFT * step)
        weather = _fronts_and_eddies(at_sea[0], drifted, strength, seed=seed)
        fields[step, ~is_land] = _not_below_freezing(climate + weather)
    return _dataset(fields, latitude, longitude)


def _centres(size: tuple[int, int]) -> tuple[Map, Map]:
    """Latitudes (ny, 1) and longitudes (1, nx) of the centres of cells, in radians."""
    rows, columns = size
    latitude = np.radians((np.arange(rows) + 0.5) * 180 / rows - 90)
    longitude = np.radians((np.arange(columns) + 0.5) * 360 / columns)
    return latitude[:, None], longitude[None, :]


def _is_land(latitude: Map, longitude: Map, *, part: float, seed: int) -> NDArray[np.bool_]:
    height = _noise(latitude, longitude, octaves=range(1, 8), fall=0.9, seed=(seed, 1))
    height += 4 * _step(-72 - np.degrees(latitude), 4.0) - 2 * _step(np.degrees(latitude) - 74, 6.0)
    return height > _quantile(height, np.cos(latitude), 1 - part)


def _climate(latitude: Map, is_land: NDArray[np.bool_]) -> Map:
    """What a mean over many years would show."""
    degrees = np.degrees(latitude)
    mean = 30.5 * np.exp(-((np.abs(degrees - 4) / 43) ** 2.6)) - 2.2
    # trade winds lift cold water along the equator and at the western coasts of continents
    upwelling = 1.8 * np.exp(-((degrees / 2.5) ** 2)) * (1 - _decaying(is_land, 60.0))
    upwelling = (
        upwelling
        + 4 * np.exp(-(((np.abs(degrees) - 22) / 11) ** 2)) * _decaying(is_land[:, ::-1], 12.0)[:, ::-1]
    )
    temperature: Map = mean - upwelling
    return temperature


def _fronts_and_eddies(latitude: Map, longitude: Map, strength: Map, *, seed: int) -> Map:
    """What the currents do to the climate, in K, cell by cell."""
    degrees = np.degrees(latitude)
    meander = 2.5 * _noise(latitude, longitude, octaves=range(3, 7), fall=0.7, seed=(seed, 2))
    jets = 9 * strength * _front(np.abs(degrees) - 38 + meander, 0.6)
    around = 4 * _front(-50 - degrees + 1.5 * meander, 0.6)
    near = strength * np.exp(-(((np.abs(degrees) - 38) / 9) ** 2)) + 0.6 * np.exp(
        -(((degrees + 50) / 7) ** 2)
    )
    red = _noise(latitude, longitude, octaves=range(3, 7), fall=0.3, seed=(seed, 3))
    return -(jets + around) + (0.3 + 1.2 * near) * red


def _front(distance: Map, width: float) -> Map:
    """0 before the front and 1 behind it, back to 0 far behind, which the climate already holds.

    `distance` in degrees is positive behind; so is `width`.
    """
    return _step(distance, width) * np.exp(-np.maximum(distance, 0) / 12)


def _step(distance: Map, width: float) -> Map:
    return 0.5 + 0.5 * np.tanh(distance / width)


def _not_below_freezing(temperature: Map) -> Map:
    """The larger of both with a rounded corner, as the mean over a cell with some ice has it."""
    return FREEZING + np.logaddexp(0, 2 * (temperature - FREEZING)) / 2


def _decaying(is_land: NDArray[np.bool_], length: float) -> Map:
    """1 at the eastern coasts of wide land, falling with the distance from it, to be read to the east.

    A recursive filter along each circle of latitude, closed around it, then smoothed over three degrees.
    """
    ndimage = _extra("scipy.ndimage")
    rows, columns = is_land.shape
    kept = np.exp(-360 / columns / length)
    # land fills the filter up within four degrees, and the sea empties it with its own length
    filled = np.exp(-360 / columns / 4)
    value = np.zeros(rows)
    result = np.empty(is_land.shape)
    # the first time round gives the value at the seam
    for column in (*range(columns), *range(columns)):
        here = is_land[:, column]
        value = np.where(here, 1 - (1 - value) * filled, value * kept)
        result[:, column] = value
    smooth: Map = ndimage.gaussian_filter1d(result, 3 * rows / 180, axis=0, mode="nearest")
    return smooth


def _noise(latitude: Map, longitude: Map, *, octaves: range, fall: float, seed: tuple[int, ...]) -> Map:
    """Unit variance on the sphere; octave `n` has 2**n nodes for a radius and the amplitude 2**(-fall n)."""
    ndimage = _extra("scipy.ndimage")
    # off the planes of the lattice, which the equator and the poles would otherwise lie in
    place = np.stack(
        np.broadcast_arrays(
            np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)
        )
    )
    place = np.tensordot(_turn(seed), place, axes=1)
    total = np.zeros(place.shape[1:])
    power = 0.0
    for octave in octaves:
        random = np.random.default_rng((*seed, octave))
        nodes = random.standard_normal((NODES,) * 3)
        amplitude = 2.0 ** (-fall * octave) / LEFT**1.5
        total += amplitude * ndimage.map_coordinates(
            nodes, place * 2.0**octave, order=2, mode="grid-wrap", prefilter=False
        )
        power += 4.0 ** (-fall * octave)
    noise: Map = total / np.sqrt(power)
    return noise


def _turn(seed: tuple[int, ...]) -> Map:
    """A drawn rotation."""
    axes, upper = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    turned: Map = axes * np.sign(np.diag(upper))
    return turned


def _quantile(values: Map, weights: Map, part: float) -> float:
    """The value below which this part of the area lies."""
    order = np.argsort(values, axis=None)
    area = np.cumsum(np.broadcast_to(weights, values.shape).ravel()[order])
    place = int(np.searchsorted(area, part * area[-1]))
    return float(values.ravel()[order[min(place, values.size - 1)]])


def _dataset(fields: NDArray[np.float32], latitude: Map, longitude: Map) -> "Dataset":
    xarray = _extra("xarray")
    axes = {
        "time": (
            "time",
            np.arange(len(fields)) + 0.5,
            {"standard_name": "time", "units": "days since 2000-01-01"},
        ),
        "lat": (
            "lat",
            np.degrees(latitude[:, 0]),
            {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
        ),
        "lon": (
            "lon",
            np.degrees(longitude[0]),
            {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
        ),
    }
    about = {
        "standard_name": "sea_surface_temperature",
        "long_name": "synthetic sea surface temperature",
        "units": "degree_Celsius",
    }
    title = {"Conventions": "CF-1.8", "title": "Synthetic sea surface temperature: drawn, not observed"}
    made: Dataset = xarray.Dataset({"sst": (("time", "lat", "lon"), fields, about)}, coords=axes, attrs=title)
    return made


def _extra(name: str) -> ModuleType:
    """A module of the extra, which is loaded only when a field is made."""
    try:
        return import_module(name)
    except ImportError as error:
        msg = f"a synthetic field is made with {name.partition('.')[0]}; pip install 'upstroke[climate]'"
        raise MissingExtraError(msg) from error
