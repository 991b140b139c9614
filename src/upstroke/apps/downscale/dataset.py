"""A coarse dataset becomes a fine one that keeps its block means, lazily where it is made of dask arrays."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from upstroke._version import __version__
from upstroke.apps.downscale.downscaler import Quantity
from upstroke.apps.downscale.masks import Surface
from upstroke.apps.downscale.plan import Plan, Refiner, field_encoding, plan_for
from upstroke.apps.downscale.wanted import Mask, Statics, Wanted
from upstroke.axes import times
from upstroke.errors import OptionError
from upstroke.ops import Correction

if TYPE_CHECKING:
    from xarray import DataArray, Dataset, Variable

__all__ = ["downscale", "in_order", "steps_at_once", "with_history"]

# A Dataset or a DataArray, and what comes out is what came in.
Fields = TypeVar("Fields")

# Bytes of fine fields that are made at once: few enough for the allocator to use them again and not to give
# them back to the system, which costs more than the arithmetic, and enough to be worth the administration.
AT_ONCE = 2**24
# Bytes of fine fields in one task of dask at most.
MOST_OF_A_TASK = 2**27


def downscale(
    dataset: Fields,
    factor: int | tuple[int, int],
    *,
    method: str | os.PathLike[str] = "cubic",
    conserve: bool = True,
    correction: Correction = "additive",
    quantity: Quantity | None = None,
    mask: Mask = None,
    valid: Surface = "sea",
    variables: Sequence[str] | None = None,
    y: str | None = None,
    x: str | None = None,
    statics: Statics = None,
) -> Fields:
    """Refine every field on the horizontal cells by a whole factor, so that each coarse cell keeps its mean.

    Fields of dask arrays stay lazy: whole horizontal planes in tasks along the other axes. Coordinates and
    bounds are made for the fine cells; attributes, other coordinates and what is not horizontal are kept;
    flags are copied; what lies on one horizontal axis alone is left out. Rows and columns come last.

    Args:
        dataset: what is refined; of a dataset, every field, or those in `variables`.
        factor: parts of a cell along y and x, or one number for both.
        method: "nearest", "linear", "cubic", or the folder of a training run.
        conserve: keep the block means; False gives the plain kernel for comparison.
        correction: how the last correction changes a block: "additive", "multiplicative" or "softmax".
        quantity: whether values are means over cells or totals in them; by default totals where the cell
            methods say `area: sum`, and means elsewhere.
        mask: the valid fraction of each fine cell: an array, or a file, or file:variable.
        valid: the surface that the fields have values on, for masks that say where land or sea is.
        variables: names of the fields to refine; by default all.
        y: name of the coordinate of rows, where its attributes do not tell.
        x: name of the coordinate of columns, likewise.
        statics: fields that do not change, for a training run that asks for them.

    Raises:
        OptionError: the method, a name or the mask has no meaning here, or a field is infinite somewhere.
        ShapeError: the grid is not made of uniform rows and columns.

    >>> import xarray
    >>> axes = {"lat": [45.0, 15.0], "lon": [15.0, 45.0, 75.0]}
    >>> coarse = xarray.DataArray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], axes, name="sst")
    >>> fine = downscale(coarse, (2, 3))
    >>> fine.shape, fine.lat.values.tolist()
    ((4, 9), [52.5, 37.5, 22.5, 7.5])
    """
    import xarray

    given: Any = dataset
    wanted = Wanted(
        factor=factor,
        method=method,
        conserve=conserve,
        correction=correction,
        quantity=quantity,
        mask=mask,
        valid=valid,
        variables=variables,
        y=y,
        x=x,
        statics=statics,
    )
    made: Any
    if isinstance(given, xarray.DataArray):
        made = _of_array(given, wanted)
        return cast(Fields, made)
    plan = plan_for(given, wanted)
    fields = {name: _refined(plan, name, given.variables[name]) for name in plan.refiners}
    words = f"downscale(factor={times(plan.factor)}, method={str(method)!r})"
    attrs = with_history(plan.frame.attrs, f"upstroke {__version__} {words}")
    made = in_order(plan.frame.assign(fields), like=given).assign_attrs(attrs)
    return cast(Fields, made)


def in_order(made: "Dataset", *, like: "Dataset") -> "Dataset":
    """Bring variables into the order of the dataset that they were made from."""
    import xarray

    names = [name for name in like.data_vars if name in made.data_vars]
    names += [name for name in made.data_vars if name not in like.data_vars]
    ordered = xarray.Dataset({name: made.variables[name] for name in names}, made.coords, made.attrs)
    ordered.encoding = dict(made.encoding)
    return ordered


def with_history(attrs: dict[Any, Any], command: str) -> dict[Any, Any]:
    r"""Put a line about a command in front of a file's history, as CF has it: time stamp, then what was done.

    >>> with_history({"title": "SST", "history": "made"}, "upstroke")["history"].split(": ", 1)[1]
    'upstroke\nmade'
    """
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{stamp}: {command}"
    old = str(attrs.get("history", ""))
    return {**attrs, "history": f"{line}\n{old}" if old else line}


def _of_array(array: "DataArray", wanted: Wanted) -> "DataArray":
    """Refine one array; it cannot carry bounds, which have an axis that it lacks."""
    if wanted.variables is not None:
        msg = f"an array is one variable; got variables={list(wanted.variables)}; leave that out"
        raise OptionError(msg)
    name = "field" if array.name is None else str(array.name)
    plan = plan_for(array.to_dataset(name=name), replace(wanted, variables=[name]))
    fine = plan.frame.assign({name: _refined(plan, name, array.variable)})[name]
    for each in plan.horizontal:
        if each in fine.coords:
            fine[each].attrs.pop("bounds", None)
    return fine.rename(array.name)


def _refined(plan: Plan, name: str, variable: "Variable") -> "Variable":
    import xarray

    refiner = plan.refiners[name]
    dims = plan.dims(variable.dims)
    data = variable.transpose(*dims).data
    fine = (
        _lazily(data, refiner, plan) if hasattr(data, "dask") else in_slabs(np.asarray(data), refiner, plan)
    )
    encoding = field_encoding(variable.encoding, refiner.dtype)
    return xarray.Variable(dims, fine, plan.attributes(name, variable), encoding)


def in_slabs(fields: NDArray[Any], refiner: Refiner, plan: Plan) -> NDArray[Any]:
    """Refine an array a few steps at a time, which is faster than all at once and takes less memory."""
    steps = fields.reshape(-1, *plan.coarse.shape)
    each = steps_at_once(plan, refiner.dtype)
    if len(steps) <= each:
        return refiner(fields)
    fine = np.empty((len(steps), *plan.fine.shape), refiner.dtype)
    for first in range(0, len(steps), each):
        fine[first : first + each] = refiner(steps[first : first + each])
    return fine.reshape(*fields.shape[:-2], *plan.fine.shape)


def steps_at_once(plan: Plan, dtype: np.dtype[Any], *, most: int = AT_ONCE) -> int:
    """How many fine steps have so many bytes; at least one."""
    return max(1, most // max(1, plan.fine.shape[0] * plan.fine.shape[1] * dtype.itemsize))


class InTask:
    """A refiner that leaves the other cores to the other tasks."""

    def __init__(self, refiner: Refiner) -> None:
        self.refiner = refiner

    def __call__(self, fields: NDArray[Any]) -> NDArray[Any]:
        """Refine a chunk on one core."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self.refiner(fields)
        finally:
            torch.set_num_threads(before)


def _lazily(data: Any, refiner: Refiner, plan: Plan) -> Any:  # noqa: ANN401 - dask's arrays, which have no types
    """Refine chunk by chunk: whole planes, and no more of them than a task should hold."""
    most = steps_at_once(plan, refiner.dtype, most=MOST_OF_A_TASK)
    whole = data.rechunk({**_few(data.chunks[:-2], most), data.ndim - 2: -1, data.ndim - 1: -1})
    return whole.map_blocks(
        InTask(refiner),
        dtype=refiner.dtype,
        chunks=(*whole.chunks[:-2], (plan.fine.shape[0],), (plan.fine.shape[1],)),
        meta=np.empty((0,) * data.ndim, refiner.dtype),
        name=f"downscale-{_token(whole.name, refiner.token)}",
    )


def _token(*parts: str) -> str:
    from dask.base import tokenize

    return str(tokenize(*parts))


def _few(chunks: Sequence[Sequence[int]], most: int) -> dict[int, Any]:
    """Cut the chunks of leading axes, from the first on, until no block has more steps than is allowed."""
    sizes = [max(each, default=1) for each in chunks]
    cut: dict[int, Any] = {}
    for axis, lengths in enumerate(chunks):
        too_many = int(np.prod(sizes)) / most
        if too_many <= 1:
            break
        size = max(1, int(sizes[axis] / too_many))
        cut[axis] = tuple(
            part
            for length in lengths
            for part in [size] * (length // size) + [length % size] * (length % size > 0)
        )
        sizes[axis] = size
    return cut
