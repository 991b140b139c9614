"""A mask in a file or an array becomes the valid fraction of every fine cell, and a sentence on its reading.

Valid is what the field to be refined has values on: sea by default, as for sea surface temperature. A mask
says what it holds by its standard name, its flags or a name in common use; otherwise 1 means valid.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from upstroke.apps.downscale.cells import Cells
from upstroke.apps.downscale.cf import cells_of
from upstroke.errors import FileError, OptionError, ShapeError

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["Surface", "ValidFraction", "fraction_from", "read_fraction"]

Surface: TypeAlias = Literal["sea", "land"]

STANDARD_NAMES: dict[str, Surface] = {
    "land_binary_mask": "land",
    "land_area_fraction": "land",
    "sea_binary_mask": "sea",
    "sea_area_fraction": "sea",
}
# Names under which masks come without a standard name, as in CMIP, ECMWF's and others' files.
NAMES: dict[str, Surface] = {
    "lsm": "land",
    "sftlf": "land",
    "land": "land",
    "landmask": "land",
    "land_mask": "land",
    "landfrac": "land",
    "land_fraction": "land",
    "sftof": "sea",
    "sea": "sea",
    "ocean": "sea",
    "sea_mask": "sea",
    "ocean_mask": "sea",
}
MEANINGS: dict[Surface, frozenset[str]] = {
    "sea": frozenset({"sea", "ocean", "water", "open_sea", "open_ocean", "open_water", "sea_water"}),
    "land": frozenset({"land", "land_surface", "ground"}),
}
PERCENT = ("%", "percent", "percentage")
DIMENSIONLESS = ("1", "(0 - 1)", "(0-1)", "0-1", "fraction", "")
# Fractions that were packed or summed may leave 0..1 by a rounding.
ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class ValidFraction:
    """Which part of each fine cell is valid, and how the mask was read.

    Attributes:
        fraction: In 0..1 (Ny, Nx), in the order of the fine cells.
        reading: One sentence without a full stop, for reports and the history line.
    """

    fraction: NDArray[np.float64]
    reading: str


def fraction_from(
    mask: "DataArray | str | os.PathLike[str]", cells: Cells, *, valid: Surface = "sea"
) -> NDArray[np.float64]:
    """Give the valid fraction of every fine cell, as `read_fraction` does, without how it was read.

    >>> import xarray
    >>> axes = {"lat": [10.0, 9.5], "lon": [0.0, 0.5, 1.0]}
    >>> land = xarray.DataArray([[0, 1, 1], [0, 0, 1]], axes, name="lsm")
    >>> fraction_from(land, cells_of(land))
    array([[1., 0., 0.],
           [1., 1., 0.]])
    """
    return read_fraction(mask, cells, valid=valid).fraction


def read_fraction(
    mask: "DataArray | str | os.PathLike[str]", cells: Cells, *, valid: Surface = "sea"
) -> ValidFraction:
    """Read a mask on the fine cells, whichever way it runs and however far beyond them.

    1. land_binary_mask, land_area_fraction, sea_binary_mask, sea_area_fraction, or a name such as lsm, sftlf
       or sftof: the fraction of that surface; missing values are none of it; per cent by units.
    2. flag_values or flag_masks with flag_meanings: the cells that are flagged as the valid surface.
    3. Another field with missing values, such as a fine sea surface temperature: valid where it has a value.
    4. Booleans, 0 and 1, fractions without a name: 1 is valid.

    Args:
        mask: An array, or a file as `path` or `path:variable`.
        cells: The fine cells; the mask may cover more than them.
        valid: The surface that the field has values on.

    Raises:
        FileError: The file cannot be read, or holds no such variable, or several that it could be.
        OptionError: Values are outside 0..1, can be read in two ways, or leave no cell valid.
        ShapeError: The mask does not sit on the fine cells, or has another axis of more than one entry.

    >>> import xarray
    >>> axes = {"lat": [0.5, 1.5], "lon": [7.5, 8.5]}
    >>> sst = xarray.DataArray([[21.5, np.nan], [20.5, 20.0]], axes, name="sst")
    >>> read = read_fraction(sst, cells_of(sst))
    >>> read.fraction.tolist(), read.reading
    ([[1.0, 0.0], [1.0, 1.0]], 'cells where sst has a value are valid')
    """
    if isinstance(mask, str | os.PathLike):
        array, own = _from_file(os.fspath(mask))
    else:
        array, own = mask, cells_of(mask)
    array = _squeezed(array, own)
    fraction, reading = _read(array, valid)
    try:
        rows, columns = own.y.places_of(cells.y), own.x.places_of(cells.x)
    except ShapeError as error:
        msg = f"a mask must lie on the fine cells: {error}"
        raise ShapeError(msg) from error
    fraction = np.ascontiguousarray(fraction[np.ix_(rows, columns)])
    if not fraction.any():
        msg = f"a mask must leave at least one cell valid; got none of {fraction.size}, where {reading}"
        raise OptionError(msg)
    return ValidFraction(fraction=fraction, reading=reading)


def _from_file(given: str) -> "tuple[DataArray, Cells]":
    from upstroke.files.fields import open_fields

    path, variable = given, ""
    if not Path(given).exists() and ":" in given:
        path, variable = given.rsplit(":", 1)
    with open_fields(Path(path)) as dataset:
        name = _chosen(dataset, path, variable)
        # the bounds of its coordinates, and no other variable that could lie on other rows and columns
        named = {each.attrs.get("bounds") for each in dataset[name].coords.values()}
        return dataset[name].load(), cells_of(dataset[[name, *sorted(named & set(dataset.variables))]])


def _chosen(dataset: "Dataset", path: str, variable: str) -> str:
    maps = [str(name) for name, each in dataset.data_vars.items() if _could_be_mask(dataset, str(name), each)]
    if variable:
        if variable in dataset.data_vars:
            return variable
        listed = ", ".join(maps) or "no map"
        msg = f"{path} must hold the variable {variable!r} of the mask; got {listed}; name one of these"
        raise FileError(msg)
    said = [
        name for name in maps if _surface(dataset[name]) is not None or "flag_meanings" in dataset[name].attrs
    ]
    names = said or maps
    if len(names) == 1:
        return names[0]
    listed = ", ".join(names) or "no variable with rows and columns"
    msg = f"a mask must be one variable; {path} holds {listed}; name one as {path}:VARIABLE"
    raise FileError(msg)


def _could_be_mask(dataset: "Dataset", name: str, array: "DataArray") -> bool:
    bounds = {each.attrs.get("bounds") for each in dataset.coords.values()}
    return array.ndim >= 2 and array.dtype.kind in "biuf" and name not in bounds


def _surface(array: "DataArray") -> Surface | None:
    standard = str(array.attrs.get("standard_name", ""))
    if standard:
        return STANDARD_NAMES.get(standard)
    return NAMES.get(str(array.name).lower())


def _squeezed(array: "DataArray", own: Cells) -> "DataArray":
    for dim in array.dims:
        if dim not in (own.y.name, own.x.name) and array.sizes[dim] != 1:
            msg = (
                f"a mask must be one map of rows and columns; got {array.sizes[dim]} entries along {dim}; "
                f"choose one of them"
            )
            raise ShapeError(msg)
    rest = [dim for dim in array.dims if dim not in (own.y.name, own.x.name)]
    return array.squeeze(rest, drop=True).transpose(own.y.name, own.x.name)


def _read(array: "DataArray", valid: Surface) -> tuple[NDArray[np.float64], str]:
    """Turn values into fractions of the valid surface, and say by which reading."""
    name = "the mask" if array.name is None else str(array.name)
    if array.dtype.kind not in "biuf":
        msg = f"a mask must hold numbers or booleans; got {name} of {array.dtype}; convert it"
        raise OptionError(msg)
    surface = _surface(array)
    if surface is None and "flag_meanings" in array.attrs:
        return _from_flags(array, name, valid)
    values = _values(array)
    if surface is not None:
        share = np.nan_to_num(_share(array, name, values), nan=0.0)
        how = f"{name} was read as the fraction of {surface}, missing values as none"
        return (share if surface == valid else 1 - share), f"{how}, and {valid} is valid"
    if _is_field(array, values):
        return np.isfinite(values).astype(np.float64), f"cells where {name} has a value are valid"
    share = _share(array, name, values)
    missing = np.isnan(share)
    if missing.any() and not np.isin(share[~missing], (0.0, 1.0)).all():
        msg = (
            f"a mask of fractions with missing values must say what it is; got {name}, which may be that or "
            "a field of which only the missing values count; set its standard_name to sea_area_fraction or "
            "land_area_fraction, or its units to those of the field"
        )
        raise OptionError(msg)
    return np.nan_to_num(share, nan=0.0), f"1 in {name} was read as valid"


def _values(array: "DataArray") -> NDArray[np.float64]:
    """Give values in float64, with NaN where an integer stands for a missing one, as in masks of bytes."""
    values: NDArray[np.float64] = array.values.astype(np.float64)
    for key in ("_FillValue", "missing_value"):
        if array.dtype.kind in "iu" and key in array.attrs:
            values[np.isin(array.values, array.attrs[key])] = np.nan
    return values


def _is_field(array: "DataArray", values: NDArray[np.float64]) -> bool:
    """Tell a field with missing values from a mask by what its attributes and its values say."""
    missing = np.isnan(values)
    if not missing.any() or missing.all():
        return False
    if array.attrs.get("standard_name"):
        return True
    units = array.attrs.get("units")
    if units is not None:
        return str(units).strip() not in (*PERCENT, *DIMENSIONLESS)
    present = values[~missing]
    return bool(present.min() < -ROUNDING or present.max() > 1 + ROUNDING)


def _share(array: "DataArray", name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give values as fractions, from per cent where the units say so."""
    most = 100.0 if str(array.attrs.get("units", "")).strip() in PERCENT else 1.0
    share = values / most
    with np.errstate(invalid="ignore"):
        wrong = (share < -ROUNDING) | (share > 1 + ROUNDING)
    if wrong.any():
        unit = "%" if most > 1 else ""
        msg = (
            f"a mask must hold values from 0 to {most:g}{unit}; got {values[wrong][0]:.6g} in {name}; "
            "give a mask, or a field whose missing values are the mask"
        )
        raise OptionError(msg)
    return np.clip(share, 0.0, 1.0)


def _from_flags(array: "DataArray", name: str, valid: Surface) -> tuple[NDArray[np.float64], str]:
    meanings = str(array.attrs["flag_meanings"]).split()
    wanted = [place for place, word in enumerate(meanings) if word.lower() in MEANINGS[valid]]
    key = "flag_values" if "flag_values" in array.attrs else "flag_masks"
    flags = np.atleast_1d(np.asarray(array.attrs.get(key, ())))
    if not wanted or flags.size != len(meanings):
        msg = (
            f"a mask with flags must have one that means {valid}, and a value for each meaning; got "
            f"flag_meanings {' '.join(meanings)!r} and {flags.size} values in {name}; make a mask of 0 and 1"
        )
        raise OptionError(msg)
    flagged = np.nan_to_num(_values(array), nan=-1.0)
    if key == "flag_values":
        chosen = np.isin(flagged, flags[wanted].astype(np.float64))
    else:
        bits = np.bitwise_or.reduce(flags[wanted].astype(np.int64))
        chosen = (flagged >= 0) & ((flagged.astype(np.int64) & bits) != 0)
    words = " or ".join(meanings[place] for place in wanted)
    return chosen.astype(np.float64), f"cells that {name} flags as {words} are valid"
