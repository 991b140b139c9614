"""Turn a fine field, or a coarse and a fine one, into steps: what is true, and what a method is given."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from upstroke.apps.downscale.cells import CellAxis, Cells
from upstroke.apps.downscale.cf import cells_of
from upstroke.apps.downscale.downscaler import Quantity
from upstroke.apps.downscale.scores import block_sums, spread
from upstroke.axes import times, whole_per_axis
from upstroke.errors import OptionError, ShapeError

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["Case", "Grids", "Maps", "cases", "maps_of", "nested", "own_grids"]

Floats = NDArray[np.floating]
TURN, POLE = 360.0, 90.0
# Edges of a coarse and a fine model may lie apart by this part of a fine cell: what decimals in files lose.
NESTED = 1e-2
LISTED = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Grids:
    """Fine and coarse cells that nest.

    Attributes:
        fine: cells of the truth.
        coarse: cells of what is refined.
        factor: fine cells per coarse cell, (y, x).
        dropped: fine rows of the first and of the last coarse row that lie beyond a pole.
    """

    fine: Cells
    coarse: Cells
    factor: tuple[int, int]
    dropped: tuple[int, int]

    def sums(self, fine: NDArray[Any]) -> NDArray[np.float64]:
        """Sum over blocks of fine cells (y, x); NaN counts as 0."""
        return block_sums(np.pad(fine, (self.dropped, (0, 0))), self.factor)

    def spread(self, coarse: NDArray[Any]) -> NDArray[Any]:
        """Give every fine cell what its coarse cell has."""
        whole = spread(coarse, self.factor)
        return whole[self.dropped[0] : whole.shape[0] - self.dropped[1]]

    @property
    def poles(self) -> tuple[bool, bool]:
        """Whether the rows begin and whether they end at a pole."""
        first, last = self.fine.y.edges[[0, -1]].tolist()
        is_latitude = self.fine.y.kind == "latitude"
        return is_latitude and abs(first) >= POLE, is_latitude and abs(last) >= POLE


@dataclass(frozen=True, kw_only=True, eq=False)
class Maps:
    """All maps of one variable, read one at a time.

    Attributes:
        array: with the horizontal axes last.
        cells: of these.
        name: of the variable.
    """

    array: "DataArray"
    cells: Cells
    name: str

    @property
    def count(self) -> int:
        """How many there are: the product of the leading axes."""
        return int(np.prod(self.array.shape[:-2], dtype=int))

    def read(self, index: int) -> Floats:
        """One of them, counted over the leading axes in order."""
        place = np.unravel_index(index, self.array.shape[:-2]) if self.array.ndim > 2 else ()
        values = np.asarray(self.array[tuple(int(each) for each in place)].values)
        values = values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
        if np.isinf(values).any():
            row, column = np.argwhere(np.isinf(values))[0]
            msg = (
                f"{self.name} must be finite where it has a value; got infinity in map {index}, row {row}, "
                f"column {column}; write NaN where there is no value"
            )
            raise OptionError(msg)
        return values


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One step.

    Attributes:
        step: which.
        truth: (y, x), fine.
        coarse: (y, x), what the methods are given.
        means: (y, x), what the block means of the truth are; the same but where the coarse field is a
            model's own.
        fraction: (y, x), valid part of each fine cell, 0 where there is no truth.
        weights: (y, x), valid areas of the fine cells.
    """

    step: int
    truth: Floats
    coarse: Floats
    means: Floats
    fraction: NDArray[np.float64]
    weights: NDArray[np.float64]


def maps_of(
    source: "Dataset | DataArray",
    variable: str | None = None,
    *,
    y: str | None = None,
    x: str | None = None,
    called: str = "the fine field",
) -> Maps:
    """Find the variable of a dataset and its cells.

    Raises:
        OptionError: there is no such variable, or there are several and none was named.
    """
    cells = cells_of(source, y=y, x=x)
    dimensions = (cells.y.name, cells.x.name)
    array: DataArray
    if hasattr(source, "data_vars"):
        known = [str(name) for name, each in source.data_vars.items() if set(dimensions) <= set(each.dims)]
        name = _chosen(known, variable, called)
        array = source[name]
    else:
        array, name = cast("DataArray", source), str(source.name or variable or "field")
        if variable not in (None, name):
            msg = f"{called} must be the variable {variable!r}; got an array named {name!r}; pass that one"
            raise OptionError(msg)
    if array.dtype.kind not in "fiu":
        msg = f"{name} must hold numbers; got values of {array.dtype}; name another variable"
        raise OptionError(msg)
    return Maps(array=array.transpose(..., *dimensions), cells=cells, name=name)


def _chosen(known: list[str], variable: str | None, called: str) -> str:
    if variable is None and len(known) == 1:
        return known[0]
    if variable in known:
        return str(variable)
    names = ", ".join(known[:LISTED]) + (" and others" if len(known) > LISTED else "") or "none"
    if variable is None:
        msg = f"one variable of {called} must be named; got several on its cells: {names}; choose one of them"
        if not known:
            msg = f"{called} must have a variable on its cells; got none; name another file"
    else:
        msg = f"{variable!r} must be a variable on the cells of {called}; got {names}; choose one of them"
    raise OptionError(msg)


def own_grids(fine: Cells, factor: int | tuple[int, int]) -> Grids:
    """The fine cells and those that they are coarsened to.

    Raises:
        OptionError: the factor is below 2 on both axes, or does not divide the cells.
    """
    rows, columns = whole_per_axis(factor, 2, name="the factor", least=1)
    if rows == columns == 1:
        msg = "the factor must be at least 2 along an axis; got 1x1, which leaves nothing to refine"
        raise OptionError(msg)
    return Grids(fine=fine, coarse=fine.coarsened((rows, columns)), factor=(rows, columns), dropped=(0, 0))


def nested(fine: Cells, coarse: Cells, factor: int | tuple[int, int] | None = None) -> Grids:
    """The cells of a fine and of a coarse field, each coarse one made of whole fine ones.

    Raises:
        ShapeError: they do not nest.
        OptionError: they nest by another factor than the one that was given.
    """
    found = _ratio(fine.y, coarse.y), _ratio(fine.x, coarse.x)
    wanted = found if factor is None else whole_per_axis(factor, 2, name="the factor", least=1)
    if wanted != found:
        msg = (
            f"the factor must be {times(found)}, as the cells of the two fields are; got {times(wanted)}; "
            "leave it out"
        )
        raise OptionError(msg)
    refined, dropped = coarse.refined(found)
    for have, due in ((fine.y, refined.y), (fine.x, refined.x)):
        _refuse_apart(have, due)
    return Grids(fine=fine, coarse=coarse, factor=found, dropped=dropped)


def _ratio(fine: CellAxis, coarse: CellAxis) -> int:
    ratio = abs(coarse.spacing / fine.spacing)
    if round(ratio) < 1 or abs(ratio - round(ratio)) * coarse.size > NESTED:
        msg = (
            f"each coarse cell must be made of whole fine ones; got cells of {coarse.name} of "
            f"{abs(coarse.spacing):.6g} and of {abs(fine.spacing):.6g}, {ratio:.6g} times as long; "
            "regrid one of them"
        )
        raise ShapeError(msg)
    return round(ratio)


def _refuse_apart(fine: CellAxis, due: CellAxis) -> None:
    have, want = fine.edges[[0, -1]], due.edges[[0, -1]]
    apart = have - want
    if fine.kind == "longitude":
        apart = apart - TURN * np.round(apart[0] / TURN)
    if fine.size == due.size and np.abs(apart).max() <= NESTED * abs(fine.spacing):
        return
    msg = (
        f"the fine cells of {fine.name} must fill the coarse ones; got {fine.size} from {have[0]:.6g} "
        f"to {have[1]:.6g}, "
        f"where {due.size} from {want[0]:.6g} to {want[1]:.6g} would; cut both to the same region, in "
        "the same order"
    )
    raise ShapeError(msg)


def cases(
    truth: Maps,
    grids: Grids,
    *,
    coarse: Maps | None = None,
    mask: NDArray[np.float64] | None = None,
    step: int | None = None,
    quantity: Quantity = "mean",
) -> Iterator[Case]:
    """Read one map after the other; maps without any value are passed over.

    Args:
        truth: the fine maps.
        grids: their cells, and the coarse ones.
        coarse: maps of a coarse field, as many; by default block means of the truth, or sums.
        mask: (y, x), valid part of each fine cell; by default all of every cell that has a value.
        step: one of the maps; by default all.
        quantity: whether a block has the mean of its cells or their sum.

    Raises:
        OptionError: there is no such map, or none has a value.
        ShapeError: a coarse field with another number of maps.
    """
    count = truth.count
    if coarse is not None and coarse.count != count:
        msg = (
            f"the coarse field must have as many maps as the fine one, {count}; got {coarse.count}; "
            "select some"
        )
        raise ShapeError(msg)
    if step is not None and not 0 <= step < count:
        msg = f"the step must be a number from 0 to {count - 1}, of the maps in the file, or all; got {step}"
        raise OptionError(msg)
    is_empty = True
    for index in range(count) if step is None else (step,):
        case = _case(index, truth, grids, coarse, mask, quantity)
        if case is not None:
            is_empty = False
            yield case
    if is_empty:
        which = "in any map" if step is None else f"in map {step}"
        msg = (
            f"{truth.name} must have values to compare with; got none {which}; choose another step or "
            "variable"
        )
        raise OptionError(msg)


def _case(
    index: int,
    truth: Maps,
    grids: Grids,
    coarse: Maps | None,
    mask: NDArray[np.float64] | None,
    quantity: Quantity,
) -> Case | None:
    fine = truth.read(index)
    known = np.isfinite(fine)
    fraction = known.astype(np.float64) if mask is None else np.where(known, mask, 0.0)
    fine = np.where(fraction > 0, fine, np.nan).astype(fine.dtype)
    weights = grids.fine.areas() * fraction
    means = _block_values(fine, weights, grids, quantity)
    given = means if coarse is None else coarse.read(index)
    if not (np.isfinite(given) & (grids.sums(fraction) > 0)).any():
        return None
    return Case(
        step=index,
        truth=fine,
        coarse=given,
        means=means,
        fraction=fraction,
        weights=np.asarray(weights, dtype=np.float64),
    )


def _block_values(fine: Floats, weights: Floats, grids: Grids, quantity: Quantity) -> Floats:
    """What the coarse cells have by the truth: means by valid area or sums, NaN where nothing is valid."""
    area = grids.sums(weights)
    sums = grids.sums(fine * weights if quantity == "mean" else fine)
    over = area if quantity == "mean" else np.ones_like(area)
    return np.divide(sums, over, out=np.full_like(sums, np.nan), where=area > 0).astype(fine.dtype)
