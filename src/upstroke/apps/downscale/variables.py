"""The variables of a dataset are sorted into those to refine, to copy, to keep and to leave out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from upstroke.apps.downscale.cells import Cells
from upstroke.apps.downscale.downscaler import Quantity
from upstroke.errors import OptionError
from upstroke.files.fields import holds_kinds

if TYPE_CHECKING:
    from xarray import Dataset, Variable

__all__ = ["Sorting", "sorting"]

# cell_methods such as "time: mean area: sum" or "lat: lon: sum": what was summed over the cells is a total
SUMMED = re.compile(r"(?:\barea:|(\w+): (\w+):) sum\b")
# Attributes by which one variable names others that describe its cells.
BOUNDS = ("bounds", "climatology")
EXTENSIVE = {"cell_area"}


@dataclass(frozen=True, kw_only=True)
class Sorting:
    """What becomes of each variable.

    Attributes:
        refined: numbers on the horizontal cells, with what a value is of its cell.
        copied: flags and other kinds on the horizontal cells.
        kept: what does not lie on the horizontal cells.
        left_out: what cannot be made finer, with the reason.
    """

    refined: Mapping[str, Quantity]
    copied: tuple[str, ...]
    kept: tuple[str, ...]
    left_out: Mapping[str, str]


def sorting(
    dataset: "Dataset", cells: Cells, *, variables: Sequence[str] | None, quantity: Quantity | None
) -> Sorting:
    """Sort the variables of a dataset on these cells.

    1. Numbers on both horizontal axes are refined; as totals where the cell methods say `area: sum`, or where
       they are the cells' own areas, unless `quantity` says otherwise for all.
    2. Flags, booleans, times and text on both axes are copied from each cell to its parts.
    3. What lies on one of the axes, or is a coordinate on both, belongs to the coarse grid and is left out.
    4. All else is kept.

    Args:
        dataset: with its coordinates.
        cells: of its horizontal axes.
        variables: names of those to refine or copy; None: all.
        quantity: what a value is of its cell; None: as each variable says.

    Raises:
        OptionError: A name is not one of a variable on the cells, or there is no such variable, or one that
            is named holds kinds, which are no quantity.
    """
    y, x = cells.y.name, cells.x.name
    own = _own_coordinates(dataset, cells)
    on_cells = [
        str(name) for name, each in dataset.data_vars.items() if {y, x} <= set(each.dims) and name not in own
    ]
    _refuse_names(dataset, on_cells, variables, y=y, x=x)
    _refuse_kinds(dataset, variables, quantity)
    chosen = on_cells if variables is None else list(dict.fromkeys(variables))
    refined: dict[str, Quantity] = {}
    copied, kept, left_out = [], [], {}
    for key, each in dataset.variables.items():
        name = str(key)
        horizontal = {y, x} & set(each.dims)
        if name in own:
            continue
        if name in chosen:
            if _is_refined(each):
                refined[name] = quantity or _quantity(each, y=y, x=x)
            else:
                copied.append(name)
        elif name in on_cells:
            continue
        elif horizontal:
            left_out[name] = f"it lies on the coarse {' and '.join(sorted(map(str, horizontal)))}"
        else:
            kept.append(name)
    return Sorting(refined=refined, copied=tuple(copied), kept=tuple(kept), left_out=left_out)


def _own_coordinates(dataset: "Dataset", cells: Cells) -> set[str]:
    """Names of the horizontal coordinates and their bounds, which are made anew."""
    own = set()
    for axis in (cells.y, cells.x):
        for name, each in dataset.coords.items():
            if each.dims == (axis.name,) and _describes(each.variable, axis.centres.size, name, axis.name):
                own.add(str(name))
                own |= {
                    str(each.attrs.get(key) or each.encoding.get(key))
                    for key in BOUNDS
                    if each.attrs.get(key) or each.encoding.get(key)
                }
    return own


def _describes(variable: "Variable", size: int, name: object, dimension: str) -> bool:
    """Whether a coordinate on one horizontal axis is the one of the cells."""
    return name == dimension or str(variable.attrs.get("standard_name", "")) in {
        *("latitude", "longitude", "grid_latitude", "grid_longitude"),
        *("projection_x_coordinate", "projection_y_coordinate"),
    }


def _is_refined(variable: "Variable") -> bool:
    return variable.dtype.kind in "fiu" and not holds_kinds(variable)


def _quantity(variable: "Variable", *, y: str, x: str) -> Quantity:
    found = SUMMED.search(str(variable.attrs.get("cell_methods", "")))
    over_cells = found is not None and (found.group(1) is None or {found.group(1), found.group(2)} == {y, x})
    return "total" if over_cells or variable.attrs.get("standard_name") in EXTENSIVE else "mean"


def _refuse_names(
    dataset: "Dataset", on_cells: Sequence[str], variables: Sequence[str] | None, *, y: str, x: str
) -> None:
    if not on_cells:
        there = ", ".join(map(str, dataset.data_vars)) or "none"
        msg = f"there must be a variable on {y} and {x}; the variables are: {there}; choose another file"
        raise OptionError(msg)
    for name in variables or ():
        if name not in on_cells:
            there = ", ".join(on_cells)
            msg = f"there must be a variable {name!r} on {y} and {x}; got {there}; name one of these"
            raise OptionError(msg)


def _refuse_kinds(dataset: "Dataset", variables: Sequence[str] | None, quantity: Quantity | None) -> None:
    """Refuse to copy what is named as a quantity: copies of a total are a multiple of it."""
    for name in variables or ():
        if quantity is not None and holds_kinds(dataset[name].variable):
            msg = (
                f"a {quantity} must be of numbers; got {name}, whole numbers without units, which are taken "
                "for kinds; give it units, or cell_methods such as 'area: sum'"
            )
            raise OptionError(msg)
