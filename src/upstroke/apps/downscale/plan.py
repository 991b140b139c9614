"""A coarse dataset and what is asked of it become what refines any slab of its fields."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from upstroke.apps.downscale.cells import Cells
from upstroke.apps.downscale.cf import cells_of, coordinates_of
from upstroke.apps.downscale.downscaler import Quantity, downscaler
from upstroke.apps.downscale.kept import Blocks
from upstroke.apps.downscale.masks import read_fraction
from upstroke.apps.downscale.variables import Sorting, sorting
from upstroke.apps.downscale.wanted import FIXED, Wanted
from upstroke.axes import times
from upstroke.errors import OptionError
from upstroke.files.fields import holds_kinds, open_fields

if TYPE_CHECKING:
    from xarray import Dataset, Variable

__all__ = ["Plan", "Refiner", "Repeated", "plan_for"]

# Integers that float32 holds exactly.
SMALL_INTEGER = 2
# Ranges that were true of the coarse field; a smooth field goes beyond them, and some readers hide what does.
RANGES = ("valid_min", "valid_max", "valid_range", "actual_range")
# What cfgrib notes of the coarse grid, beside its coordinates.
GRID_OF_GRIB = re.compile(
    r"GRIB_(N[xyij]|numberOfPoints|latitudeOf\w+|longitudeOf\w+|[ij]DirectionIncrement\w*|D[xy]\w*)"
)
# A step is refined as a whole; the globe at 0.01 degrees has a third of these cells.
MOST_CELLS = 2**31
# Encodings that describe how the coarse field lay in its file; its type and its numbers are another matter.
PLACES = (
    *("chunksizes", "chunks", "preferred_chunks", "contiguous", "original_shape", "source", "shards"),
    *("scale_factor", "add_offset", "_Unsigned", "filters", "quantize_mode", "significant_digits"),
    *("least_significant_digit", "unlimited_dims", "serializer", "endian"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Repeated:
    """Copies every cell to its parts: for flags, of which no mean can be taken."""

    coarse: Cells
    factor: tuple[int, int]

    def __call__(self, fields: NDArray[Any]) -> NDArray[Any]:
        """Copy fields (..., y, x) to (..., fine y, fine x)."""
        fine, dropped = self.coarse.refined(self.factor)
        rows = np.arange(dropped[0], dropped[0] + fine.shape[0]) // self.factor[0]
        return np.repeat(fields[..., rows, :], self.factor[1], axis=-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Refiner:
    """Refines one variable, whatever its type.

    Attributes:
        refine: from coarse fields to fine ones.
        dtype: of the fine fields.
        quantity: what a value is of its cell; None: it is copied.
        blocks: what each coarse cell holds of the fine field, to measure what was kept.
        token: the same for all refiners that give the same numbers.
    """

    refine: Callable[[NDArray[Any]], NDArray[Any]]
    dtype: np.dtype[Any]
    quantity: Quantity | None
    blocks: Blocks
    token: str

    def __call__(self, fields: NDArray[Any]) -> NDArray[Any]:
        """Refine fields (..., y, x)."""
        if self.quantity is None:
            return self.refine(fields)
        fine = self.refine(np.asarray(fields, dtype=self.working_dtype))
        return fine.astype(self.dtype, copy=False)

    @property
    def working_dtype(self) -> np.dtype[Any]:
        """What is computed in: float32, or float64 where values have more digits."""
        return np.dtype(np.float64 if self.dtype.itemsize > np.dtype(np.float32).itemsize else np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What refines any slab of the fields of a dataset.

    Attributes:
        coarse: the cells that fields come on.
        fine: the cells that they go to.
        factor: parts along y and x.
        refiners: by name of the variable.
        frame: the fine dataset without its fields: coordinates, bounds, what is kept, attributes.
        sorting: what becomes of each variable.
        notes: sentences for the user.
        settings: all that the numbers depend on, beside the fields, as JSON.
    """

    coarse: Cells
    fine: Cells
    factor: tuple[int, int]
    refiners: Mapping[str, Refiner]
    frame: "Dataset"
    sorting: Sorting
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def horizontal(self) -> tuple[str, str]:
        """Names of the dimensions of rows and columns."""
        return self.coarse.y.name, self.coarse.x.name

    def attributes(self, name: str, variable: "Variable") -> dict[str, Any]:
        """What a coarse field's attributes say that is true of the fine one as well."""
        attrs = {
            str(key): value for key, value in variable.attrs.items() if not GRID_OF_GRIB.fullmatch(str(key))
        }
        if self.refiners[name].quantity is None or self.settings["method"] == "nearest":
            return attrs
        return {key: value for key, value in attrs.items() if key not in RANGES}

    def dims(self, dims: Sequence[Any]) -> tuple[str, ...]:
        """Order of a fine field's dimensions: rows and columns last."""
        return (*(str(each) for each in dims if each not in self.horizontal), *self.horizontal)


def plan_for(dataset: "Dataset", wanted: Wanted) -> Plan:
    """Find the cells, sort the variables, and make what refines each."""
    rows, columns = wanted.parts
    coarse = cells_of(dataset, y=wanted.y, x=wanted.x)
    _refuse_too_fine(coarse, (rows, columns))
    fine, _ = coarse.refined((rows, columns))
    sorted_ = sorting(dataset, coarse, variables=wanted.variables, quantity=wanted.quantity)
    fraction: NDArray[np.float64] | None = None
    said: tuple[str, ...] = ()
    if wanted.mask is not None:
        read = read_fraction(wanted.mask, fine, valid=wanted.valid)
        fraction, said = read.fraction, (read.reading,)
    settings = {
        "factor": [rows, columns],
        "method": str(wanted.method),
        "conserve": wanted.conserve,
        "correction": wanted.correction,
        "coarse": [coarse.y.edges.tolist(), coarse.x.edges.tolist()],
        "fraction": "" if fraction is None else hashlib.sha256(fraction.tobytes()).hexdigest(),
    }
    token = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
    make = _makers(wanted, coarse, fraction)
    blocks = {
        each: Blocks(coarse=coarse, factor=(rows, columns), quantity=each, fraction=fraction)
        for each in get_args(Quantity)
    }
    refiners: dict[str, Refiner] = {}
    without: dict[str, str] = {}
    for name, each in sorted_.refined.items():
        try:
            refine = make(name, each)
        except NotTrainedError as error:
            if wanted.variables is not None or len(without) + 1 == len(sorted_.refined):
                msg = f"{name} cannot be refined: {error}; rename it, or train on it"
                raise OptionError(msg) from error
            without[name] = str(error)
            continue
        refiners[name] = Refiner(
            refine=refine,
            dtype=_float_for(dataset[name].dtype),
            quantity=each,
            blocks=blocks[each],
            token=f"{token}-{name}-{each}",
        )
    for name in sorted_.copied:
        refiners[name] = Refiner(
            refine=Repeated(coarse=coarse, factor=(rows, columns)),
            dtype=dataset[name].dtype,
            quantity=None,
            blocks=blocks["mean"],
            token=f"{times((rows, columns))}-copied",
        )
    return Plan(
        coarse=coarse,
        fine=fine,
        factor=(rows, columns),
        refiners=refiners,
        frame=_frame(dataset, fine, sorted_),
        sorting=sorted_,
        notes=(*said, *_notes(dataset, sorted_, without)),
        settings=settings,
    )


def _refuse_too_fine(coarse: Cells, factor: tuple[int, int]) -> None:
    rows, columns = (size * parts for size, parts in zip(coarse.shape, factor, strict=True))
    if rows * columns > MOST_CELLS:
        msg = (
            f"a step must have at most {MOST_CELLS} fine cells, which are held together; got {rows} x "
            f"{columns}; take a smaller factor or a part of the globe"
        )
        raise OptionError(msg)


class NotTrainedError(OptionError):
    """A learned run knows nothing of a variable."""


def _makers(
    wanted: Wanted, coarse: Cells, fraction: NDArray[np.float64] | None
) -> Callable[[str, Quantity], Callable[[NDArray[Any]], NDArray[Any]]]:
    """What makes the refiner of a variable by its name and quantity; a fixed method has one for all."""
    method, factor = wanted.method, wanted.parts
    if wanted.is_fixed:
        made: dict[Quantity, Callable[[NDArray[Any]], NDArray[Any]]] = {}

        def fixed(name: str, quantity: Quantity) -> Callable[[NDArray[Any]], NDArray[Any]]:
            if quantity not in made:
                made[quantity] = downscaler(
                    coarse,
                    factor,
                    method=method,  # type: ignore[arg-type]
                    conserve=wanted.conserve,
                    correction=wanted.correction,
                    quantity=quantity,
                    fraction=fraction,
                )
            return made[quantity]

        return fixed
    if not os.path.exists(method):
        known = ", ".join(FIXED)
        msg = f"the method must be one of {known} or the folder of a training run; got {str(method)!r}"
        raise OptionError(msg)
    from upstroke.apps.downscale.learned.apply import load_learned

    learned = load_learned(Path(method))
    if learned.factor != factor:
        msg = f"{method} was trained for a factor of {times(learned.factor)}; got {times(factor)}; take that"
        raise OptionError(msg)
    given = None if wanted.statics is None else _statics_on(coarse.refined(factor)[0], wanted.statics)

    def trained(name: str, quantity: Quantity) -> Callable[[NDArray[Any]], NDArray[Any]]:
        if name not in learned.variables:
            msg = f"{method} was trained on {', '.join(learned.variables)} alone"
            raise NotTrainedError(msg)
        refine: Callable[[NDArray[Any]], NDArray[Any]] = learned.downscaler(
            coarse,
            variable=name,
            fraction=fraction,
            quantity=quantity,
            statics=given,
            conserve=wanted.conserve,
        )
        return refine

    return trained


def _statics_on(fine: Cells, statics: "str | os.PathLike[str] | Dataset") -> dict[str, NDArray[Any]]:
    """Static fields by name, which must lie on the fine cells."""
    opened = open_fields(statics) if isinstance(statics, str | os.PathLike) else statics
    cells = cells_of(opened)
    for wanted, got in ((fine.y, cells.y), (fine.x, cells.x)):
        if got.size != wanted.size or not np.allclose(
            got.edges, wanted.edges, atol=1e-6 * abs(wanted.spacing)
        ):
            msg = f"static fields must lie on the fine cells, {wanted!r}; got {got!r}; interpolate them first"
            raise OptionError(msg)
    names = [
        name for name, each in opened.data_vars.items() if {cells.y.name, cells.x.name} <= set(each.dims)
    ]
    squeezed = {str(name): opened[name].squeeze() for name in names}
    return {
        name: each.transpose(cells.y.name, cells.x.name).values
        for name, each in squeezed.items()
        if each.ndim == 2
    }


def _float_for(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of the fine fields: that of the coarse ones, and for whole numbers a float that holds them."""
    if dtype.kind == "f":
        return np.dtype(f"f{min(dtype.itemsize, np.dtype(np.float64).itemsize)}")
    return np.dtype(np.float32 if dtype.itemsize <= SMALL_INTEGER else np.float64)


def _frame(dataset: "Dataset", fine: Cells, sorted_: Sorting) -> "Dataset":
    """The fine dataset without its fields."""
    gone = [name for name in dataset.variables if name not in sorted_.kept]
    frame = dataset.drop_vars(gone).drop_dims(
        [dim for dim in (fine.y.name, fine.x.name) if dim in dataset.dims], errors="ignore"
    )
    frame = frame.assign_coords(coordinates_of(fine, like=dataset))
    frame.attrs = dict(dataset.attrs)
    frame.encoding = {
        key: value for key, value in dataset.encoding.items() if key in ("unlimited_dims", "source")
    }
    for each in frame.variables.values():
        each.encoding = {
            key: value
            for key, value in each.encoding.items()
            if key not in PLACES or key in ("scale_factor", "add_offset")
        }
    return frame


def field_encoding(encoding: Mapping[Any, Any], dtype: np.dtype[Any]) -> dict[str, Any]:
    """What stays true of a coarse field's encoding: compression, and the number for no value.

    >>> packed = {"dtype": "int16", "scale_factor": 0.1, "_FillValue": -1, "zlib": True}
    >>> field_encoding(packed, np.dtype("f4"))
    {'dtype': dtype('float32'), 'zlib': True, '_FillValue': nan}
    """
    kept = {str(key): value for key, value in encoding.items() if key not in (*PLACES, "coordinates")}
    was_packed = any(each in encoding for each in ("scale_factor", "add_offset"))
    was_integer = np.dtype(encoding.get("dtype", dtype)).kind not in "f"
    kept["dtype"] = dtype
    if dtype.kind == "f" and (was_packed or was_integer):
        # the number stood for no value among packed ones
        for name in ("_FillValue", "missing_value"):
            kept.pop(name, None)
        if "_FillValue" in encoding or "missing_value" in encoding:
            kept["_FillValue"] = np.nan
    return kept


def _notes(dataset: "Dataset", sorted_: Sorting, without: Mapping[str, str]) -> list[str]:
    notes = []
    packed = [
        name
        for name in sorted_.refined
        if any(each in dataset[name].encoding for each in ("scale_factor", "add_offset"))
    ]
    if packed:
        kinds = ", ".join(sorted({str(_float_for(dataset[name].dtype)) for name in packed}))
        notes.append(
            f"{', '.join(packed)}: packed integers are written as {kinds}, since packing breaks the means"
        )
    whole = [name for name in sorted_.refined if dataset[name].dtype.kind in "iu"]
    if whole:
        notes.append(f"{', '.join(whole)}: whole numbers are refined as numbers with a fraction")
    flags = [name for name in sorted_.copied if holds_kinds(dataset[name].variable)]
    if flags:
        notes.append(
            f"{', '.join(flags)}: flags or counts without units are copied from each cell to its parts"
        )
    others = [name for name in sorted_.copied if name not in flags]
    if others:
        notes.append(f"{', '.join(others)}: no numbers, so they are copied from each cell to its parts")
    notes.extend(f"{name} is left out: {reason}" for name, reason in sorted_.left_out.items())
    notes.extend(f"{name} is left out: {reason}" for name, reason in without.items())
    return notes
