"""Files of fine fields become steps of arrays on fine cells that a factor divides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upstroke.apps.downscale.cells import CellAxis, Cells
from upstroke.apps.downscale.cf import cells_of
from upstroke.apps.downscale.learned.statics import Static
from upstroke.errors import FileError, OptionError
from upstroke.files.fields import open_fields

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["Reference", "open_references", "open_static"]

# Coarse cells along an axis below which there is nothing to hold out and nothing to learn from.
LEAST_CELLS = 16
# Counted in cells: fields whose cells differ by more do not look alike to a network.
ALIKE = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """Fine fields of one file.

    Attributes:
        name: Of the file.
        cells: Fine cells, cropped to what the factor divides.
        variables: By name, in the order in which they are read.
        steps: How many there are: all leading axes, such as time and level, counted through.
        read: One step as (variables, fine y, fine x) in float32, NaN where there is no value.
        cropped: Fine rows and columns that the factor leaves over, at the end of each axis.
    """

    name: str
    cells: Cells
    variables: tuple[str, ...]
    steps: int
    read: Callable[[int], NDArray[np.float32]] = field(repr=False)
    cropped: tuple[int, int] = (0, 0)


def open_references(
    files: Sequence[str | Path],
    factor: tuple[int, int],
    variables: Sequence[str] = (),
    *,
    y: str | None = None,
    x: str | None = None,
) -> list[Reference]:
    """Open files of fine fields, each on its own region, all on cells of one size.

    Args:
        files: NetCDF, Zarr or GRIB.
        factor: parts of a coarse cell along y and x.
        variables: what to learn; may be left out where each file has one variable on horizontal cells.
        y: name of the dimension along y, where CF attributes do not tell.
        x: name of the dimension along x.

    Raises:
        FileError: a file cannot be read.
        OptionError: a variable is missing, or not said where there are several; no value is finite; cells of
            different files differ in size; a map is too small.
    """
    if not files:
        msg = "training needs at least one file of fine fields; got none"
        raise OptionError(msg)
    found: list[Reference] = []
    for file in files:
        dataset = open_fields(file)
        names = tuple(variables) or _only_variable(dataset, file)
        found.append(_reference(dataset, Path(file).name, factor, names, y=y, x=x))
    first = found[0]
    for other in found[1:]:
        _check_alike(first, other)
    return found


def open_static(source: str, *, y: str | None = None, x: str | None = None) -> Static:
    """Read a static field: FILE, or FILE:VARIABLE where the file has several; its first step.

    Raises:
        FileError: the file cannot be read.
        OptionError: the variable is missing, or not said where there are several.
    """
    file, _, name = source.rpartition(":")
    if not file or not Path(file).exists():
        file, name = source, ""
    dataset = open_fields(file)
    name = name or _only_variable(dataset, file)[0]
    array = _array(dataset, name, file)
    cells = cells_of(array, y=y, x=x)
    lying = _lying(array, cells)
    first = lying.isel(dict.fromkeys(lying.dims[:-2], 0))
    return Static.of(name, cells, np.asarray(first.values, dtype=np.float64))


def _reference(
    dataset: "Dataset",
    name: str,
    factor: tuple[int, int],
    variables: tuple[str, ...],
    *,
    y: str | None,
    x: str | None,
) -> Reference:
    arrays = []
    for variable in variables:
        array = _array(dataset, variable, name)
        cells = cells_of(array, y=y, x=x)
        arrays.append(_lying(array, cells))
    leading = arrays[0].shape[:-2]
    for variable, array in zip(variables, arrays, strict=True):
        if array.shape != arrays[0].shape:
            msg = (
                f"variables that are learnt together must have the same axes; in {name} {variables[0]} has "
                "shape "
                f"{arrays[0].shape} and {variable} {array.shape}; train them apart"
            )
            raise OptionError(msg)
    rest = cells.y.size % factor[0], cells.x.size % factor[1]
    kept = Cells(y=_first(cells.y, cells.y.size - rest[0]), x=_first(cells.x, cells.x.size - rest[1]))
    for axis, parts in ((kept.y, factor[0]), (kept.x, factor[1])):
        if axis.size < LEAST_CELLS * parts:
            msg = (
                f"a map must have at least {LEAST_CELLS} coarse cells along each axis to learn from, "
                f"{LEAST_CELLS * parts} fine ones along {axis.name}; got {axis.size} in {name}; use larger "
                "maps"
            )
            raise OptionError(msg)

    def read(step: int) -> NDArray[np.float32]:
        at = tuple(int(i) for i in np.unravel_index(step, leading)) if leading else ()
        values = [np.asarray(array[at].values, dtype=np.float32) for array in arrays]
        return np.stack(values)[:, : kept.y.size, : kept.x.size]

    return Reference(
        name=name,
        cells=kept,
        variables=variables,
        steps=int(np.prod(leading, dtype=int)),
        read=read,
        cropped=rest,
    )


def _only_variable(dataset: "Dataset", file: str | Path) -> tuple[str, ...]:
    """The one variable that lies on horizontal cells."""
    # bounds and the like have one horizontal axis at most
    most = max((array.ndim for array in dataset.data_vars.values()), default=0)
    names = [
        str(name)
        for name, array in dataset.data_vars.items()
        if array.ndim >= 2 and array.ndim == most and array.dtype.kind in "fiu"
    ]
    if len(names) != 1:
        what = f"has {', '.join(names)}" if names else "has none"
        msg = f"{Path(file).name} {what}: say which variable to take by its name"
        raise OptionError(msg)
    return (names[0],)


def _array(dataset: "Dataset", name: str, file: str | Path) -> "DataArray":
    if name not in dataset.data_vars:
        there = ", ".join(map(str, dataset.data_vars)) or "none"
        msg = f"there must be a variable {name} in {Path(file).name}; it has {there}; name one of these"
        raise OptionError(msg)
    return dataset[name]


def _lying(array: "DataArray", cells: Cells) -> "DataArray":
    """The array with y and x last."""
    return array.transpose(..., cells.y.name, cells.x.name)


def _first(axis: CellAxis, size: int) -> CellAxis:
    if size == axis.size or not size:
        return axis
    return replace(axis, edges=axis.edges[: size + 1], is_periodic=False)


def _check_alike(first: Reference, other: Reference) -> None:
    pairs: list[tuple[Any, Any]] = [(first.cells.y, other.cells.y), (first.cells.x, other.cells.x)]
    for one, two in pairs:
        if one.kind != two.kind or abs(abs(one.spacing) - abs(two.spacing)) > ALIKE * abs(one.spacing):
            msg = (
                f"fields that are learnt together must lie on cells of one size; {first.name} has {one}, "
                f"{other.name} has {two}; train on them apart, or bring them to one grid first"
            )
            raise OptionError(msg)


def no_value(name: str, variable: str) -> FileError:
    """What is said of a variable that has no value in a file."""
    msg = f"there must be values to learn from; {variable} in {name} is NaN throughout; take another file"
    return FileError(msg)
