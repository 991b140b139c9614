"""Turn a fine field into how well each method finds it again from its coarse means, or from a coarse model.

The fine field is the truth. Its area-weighted means over blocks of cells, over the cells that have a value,
are what the methods get; a coarse field of a model's own may be given in their place. Every method sees the
same: the coarse values and the valid part of each fine cell.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from upstroke._version import __version__
from upstroke.apps.downscale.accounts import REGIONS, Account, Books, Refine, Region, judged
from upstroke.apps.downscale.cases import Grids, cases, maps_of, nested, own_grids
from upstroke.apps.downscale.cells import CellAxis
from upstroke.apps.downscale.downscaler import FixedMethod, Quantity, downscaler
from upstroke.apps.downscale.masks import Surface, fraction_from
from upstroke.apps.downscale.scores import finished
from upstroke.apps.downscale.spectra import resolved
from upstroke.axes import times
from upstroke.errors import OptionError, ShapeError

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["FILL", "FIXED", "Evaluation", "Method", "evaluate"]

Json: TypeAlias = dict[str, Any]

SCHEMA = "upstroke.downscale-evaluate/1"
FACTOR = 4
FILL = (
    "coarse cells without a value are filled from the coast outwards, ring by ring, each with the "
    "weighted mean of "
    "those of its eight neighbours that have one (a side counts 1, a corner 1/2), before the "
    "prefilter and for every "
    "fixed method alike; what the means of blocks with a coast then lack goes through the prefilter again"
)
# Of the window that pages show enlarged: coarse cells of its sides, and the least part of them that has
# values.
WINDOW, LEAST_VALID = (14, 20), 0.75
MOST_POLEWARD = 65.0
REGION_WORDS: dict[Region, str] = {
    "interior": "coarse cells whose 3×3 neighbourhood has a value in every fine cell",
    "coast": "all other cells that have a value: at coasts, and at edges of the grid",
    "all": "all cells that have a value",
}


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to refine a field.

    Attributes:
        name: in the record.
        words: what it is, exactly.
        kind: "conserving" and "plain" for fixed methods, else "learned".
        fixed: the kernel of `downscaler`, where it is one of its own.
        run: the folder or file of a learned one.
    """

    name: str
    words: str
    kind: Literal["conserving", "plain", "learned"]
    fixed: FixedMethod | None = None
    run: Path | None = None


FIXED = (
    Method(
        name="nearest",
        words="each fine cell has the value of its coarse cell",
        kind="conserving",
        fixed="nearest",
    ),
    Method(
        name="bilinear",
        words="linear interpolation at half-pixel positions, PyTorch's bilinear; no prefilter, no correction",
        kind="plain",
        fixed="linear",
    ),
    Method(
        name="bicubic",
        words=(
            "cubic convolution, a = −0.75, at half-pixel positions, PyTorch's bicubic; no prefilter, no "
            "correction"
        ),
        kind="plain",
        fixed="cubic",
    ),
    Method(
        name="linear",
        words="linear interpolation of prefiltered coefficients, corrected to the coarse values",
        kind="conserving",
        fixed="linear",
    ),
    Method(
        name="cubic",
        words="cubic B-spline of prefiltered coefficients, corrected to the coarse values",
        kind="conserving",
        fixed="cubic",
    ),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What came out for every method.

    Attributes:
        record: plain data, `upstroke.downscale-evaluate/1`.
        pictures: arrays of one step that pages draw: `reference`, `coarse`, `valid` (fine cells with a
            value), the edges `y` and `x` of the fine cells, and `fields`, by the name of the method.
    """

    record: Json
    pictures: Mapping[str, Any]

    def as_json(self) -> Json:
        """The record."""
        return self.record

    def rmse(self, method: str, region: Region = "interior") -> float | None:
        """Area-weighted RMSE of a method over a region, in the field's units; None where no cell is in it."""
        found = next(each for each in self.record["methods"] if each["name"] == method)
        scores = found["scores"][region]
        return None if scores is None else float(scores["rmse"])


def evaluate(
    fine: "Dataset | DataArray",
    factor: int | tuple[int, int] | None = None,
    *,
    variable: str | None = None,
    methods: Sequence[str | os.PathLike[str]] = (),
    coarse: "Dataset | DataArray | None" = None,
    mask: "DataArray | NDArray[np.floating] | str | os.PathLike[str] | None" = None,
    valid: Surface = "sea",
    step: int | None = None,
    quantity: Quantity = "mean",
    y: str | None = None,
    x: str | None = None,
    source: str = "",
    coarse_source: str = "",
) -> Evaluation:
    """Refine coarse means of a fine field by every fixed method and by learned ones, and compare with it.

    Args:
        fine: the truth, on uniform cells; NaN where there is no value.
        factor: fine cells per coarse cell, one number or (y, x); 4, or with `coarse` what the cells say.
        variable: which field of a dataset; needed where there are several.
        methods: run folders of learned methods, judged beside the fixed ones.
        coarse: a coarse field on cells that nest, such as a coarser model's, to be refined in place of the
            means.
        mask: valid part of each fine cell: an array (y, x) from 0 to 1, or what `fraction_from` reads, an
            array with coordinates or a file; by default a cell is valid where it has a value.
        valid: the surface that the field has values on, for masks that say where land or sea is.
        step: which of the maps, counted over all leading axes; by default all.
        quantity: "mean" where a block has the mean of its cells, "total" where it has their sum.
        y: name of the coordinate of the rows, where it is not to be found by its attributes.
        x: likewise of the columns.
        source: what the record calls the fine field's file.
        coarse_source: likewise of the coarse one.

    Raises:
        OptionError: no such variable or step, no value in it, infinite values, or a factor that does not
            divide.
        ShapeError: a coarse field whose cells do not nest.

    >>> import xarray
    >>> wave = np.sin(np.arange(24) / 4) + np.cos(np.arange(16) / 3)[:, None]
    >>> field = xarray.DataArray(
    ...     wave, dims=("y", "x"), name="height",
    ...     coords={"y": ("y", np.arange(16.0), {"units": "km", "axis": "Y"}),
    ...             "x": ("x", np.arange(24.0), {"units": "km", "axis": "X"})},
    ... )
    >>> result = evaluate(field, 2)
    >>> result.rmse("cubic") < result.rmse("bilinear") < result.rmse("nearest")
    True
    """
    truth = maps_of(fine, variable, y=y, x=x)
    if coarse is None:
        given, grids = None, own_grids(truth.cells, FACTOR if factor is None else factor)
    else:
        given = maps_of(coarse, truth.name, y=y, x=x, called="the coarse field")
        grids = nested(truth.cells, given.cells, factor)
    asked = (*FIXED, *_learned(methods))
    books = judged(
        cases(truth, grids, coarse=given, mask=_fraction(mask, grids, valid), step=step, quantity=quantity),
        grids,
        [each.name for each in asked],
        lambda fraction: {each.name: _refine(each, grids, fraction, truth.name, quantity) for each in asked},
        quantity,
    )
    record = {
        "schema": SCHEMA,
        "version": __version__,
        "source": source,
        "coarse_source": coarse_source if given is not None else None,
        "variable": truth.name,
        "long_name": str(truth.array.attrs.get("long_name", truth.name)),
        "units": str(truth.array.attrs.get("units", "")),
        "quantity": quantity,
        "factor": list(grids.factor),
        "grid": _grid(grids),
        "maps": books.steps,
        "fill": FILL,
        "regions": [_region(name, books) for name in REGIONS],
        "truth": _truth(books, grids),
        "pair": None if given is None else _pair(books),
        "spectra": _spectra(books, grids),
        "methods": [_method(each, books) for each in asked],
    }
    record["verdict"] = _verdict(record)
    return Evaluation(record=record, pictures=_pictures(books, grids))


def _fraction(
    mask: "DataArray | NDArray[np.floating] | str | os.PathLike[str] | None", grids: Grids, valid: Surface
) -> NDArray[np.float64] | None:
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray):
        return fraction_from(mask, grids.fine, valid=valid)
    if mask.shape != grids.fine.shape:
        msg = f"the mask must be on the fine cells, {times(grids.fine.shape)}; got {times(mask.shape)}"
        raise ShapeError(msg)
    return mask.astype(np.float64)


def _learned(runs: Sequence[str | os.PathLike[str]]) -> tuple[Method, ...]:
    """Learned methods by the names of their folders; a fixed one that is named is judged in any case."""
    fixed = {each.name for each in FIXED}
    found: list[Method] = []
    for run in runs:
        if str(run) in fixed:
            continue
        path = Path(run)
        if path in {each.run for each in found}:
            msg = f"each run must be named once; got {str(path)!r} again; leave it out"
            raise OptionError(msg)
        # of two runs in folders of one name the second has its path
        taken = fixed | {each.name for each in found}
        name = path.parent.name if path.name == "model.safetensors" else path.name
        name = str(path) if name in taken or not name else name
        found.append(Method(name=name, words="learned", kind="learned", run=path))
    return tuple(found)


def _refine(
    method: Method, grids: Grids, fraction: NDArray[np.float64], variable: str, quantity: Quantity
) -> Refine:
    """Make a method for one mask."""
    if method.run is not None:
        from upstroke.apps.downscale.learned.apply import load_learned

        learned = load_learned(method.run)
        if learned.factor != grids.factor:
            msg = (
                f"{method.run} was trained for a factor of {times(learned.factor)}; "
                f"got {times(grids.factor)}; take that"
            )
            raise OptionError(msg)
        refine: Refine = learned.downscaler(
            grids.coarse, variable=variable, fraction=fraction, quantity=quantity
        )
        return refine
    assert method.fixed is not None
    return downscaler(
        grids.coarse,
        grids.factor,
        method=method.fixed,
        conserve=method.kind == "conserving",
        quantity=quantity,
        fraction=fraction,
    )


def _grid(grids: Grids) -> Json:
    return {
        "kind": grids.fine.y.kind,
        "fine": list(grids.fine.shape),
        "coarse": list(grids.coarse.shape),
        "dropped": list(grids.dropped),
        "is_periodic": grids.fine.x.is_periodic,
        "area_unit": grids.fine.area_unit,
        "y": _axis(grids.fine.y),
        "x": _axis(grids.fine.x),
    }


def _axis(axis: CellAxis) -> Json:
    return {
        "name": axis.name,
        "units": axis.units,
        "first_edge": float(axis.edges[0]),
        "last_edge": float(axis.edges[-1]),
        "spacing": abs(axis.spacing),
    }


def _region(name: Region, books: Books) -> Json:
    whole = books.areas["all"]
    return {
        "name": name,
        "words": REGION_WORDS[name],
        "coarse_cells": books.coarse_cells[name],
        "area_share": books.areas[name] / whole,
    }


def _truth(books: Books, grids: Grids) -> Json:
    area, sums = books.rows
    return {
        "least": books.least,
        "greatest": books.greatest,
        "total": books.total,
        "rows": grids.fine.y.centres.tolist(),
        "row_means": _ratios(sums, area),
    }


def _pair(books: Books) -> Json:
    """What no method that keeps the coarse means can find, by region."""
    return {
        "largest": books.farthest,
        "without_truth": books.without_truth,
        "rms": {
            name: float(np.sqrt(books.unexplained[name] / books.areas[name])) if books.areas[name] else None
            for name in REGIONS
        },
    }


def _spectra(books: Books, grids: Grids) -> Json | None:
    if books.places is None or books.wavelengths is None or books.waves is None:
        return None
    is_sphere = grids.fine.y.kind == "latitude"
    ways = {"zonal": grids.fine.x, "isotropic": grids.fine.y}
    units = {
        "zonal": "degrees of longitude" if is_sphere else grids.fine.x.units,
        "isotropic": "km" if is_sphere else grids.fine.y.units,
    }
    # a whole number of fine cells to the shortest wave of the coarse grid: two of its cells
    factors = {"zonal": grids.factor[1], "isotropic": grids.factor[0]}
    return {
        "window": list(books.places.size),
        "windows": books.windows,
        **{
            way: {
                "unit": units[way],
                "wavelength": getattr(books.wavelengths, way).tolist(),
                "power": (getattr(books.waves, way) / books.steps).tolist(),
                "coarse_limit": float(getattr(books.wavelengths, way)[-1]) * factors[way],
            }
            for way in ways
        },
    }


def _method(method: Method, books: Books) -> Json:
    account = books.accounts[method.name]
    scores = {name: finished(account.tallies[name]) for name in REGIONS}
    area, signed, squared = account.rows
    return {
        "name": method.name,
        "kind": method.kind,
        "words": method.words,
        "scores": {name: None if each is None else asdict(each) for name, each in scores.items()},
        "block_means": asdict(account.means),
        "total": _total(account, books),
        "lost": account.lost,
        "row_bias": _ratios(signed, area),
        "row_rmse": [None if each is None else each**0.5 for each in _ratios(squared, area)],
        "spectra": _method_spectra(account, books),
    }


def _total(account: Account, books: Books) -> Json:
    change = account.total - books.total
    return {
        "before": books.total,
        "after": account.total,
        "change": change,
        "relative_change": change / abs(books.total) if books.total else None,
    }


def _method_spectra(account: Account, books: Books) -> Json | None:
    if account.waves is None or account.errors is None or books.waves is None or books.wavelengths is None:
        return None
    return {
        way: {
            "ratio": _ratios(getattr(account.waves, way), getattr(books.waves, way)),
            "error_ratio": _ratios(getattr(account.errors, way), getattr(books.waves, way)),
            "resolved": resolved(
                getattr(books.wavelengths, way), getattr(books.waves, way), getattr(account.errors, way)
            ),
        }
        for way in ("zonal", "isotropic")
    }


def _ratios(over: NDArray[np.float64], under: NDArray[np.float64]) -> list[float | None]:
    """Divide; null where there is nothing to divide by."""
    return [float(a / b) if b > 0 else None for a, b in zip(over, under, strict=True)]


def _verdict(record: Json) -> Json:
    """The method of the least RMSE, away from coasts where any cell is, and that of nearest beside it."""
    first = record["methods"][0]["scores"]
    region = "interior" if first["interior"] is not None else "all"
    rmse = {
        each["name"]: each["scores"][region]["rmse"]
        for each in record["methods"]
        if each["scores"][region] is not None
    }
    best = min(rmse, key=rmse.__getitem__)
    return {"region": region, "best": best, "rmse": rmse[best], "nearest": rmse.get("nearest")}


def _pictures(books: Books, grids: Grids) -> dict[str, Any]:
    assert books.shown is not None
    case, made = books.shown
    return {
        "map": case.step,
        "truth": case.truth,
        "coarse": case.coarse,
        "valid": case.fraction > 0,
        "y": grids.fine.y.edges,
        "x": grids.fine.x.edges,
        "zoom": _steepest(case.truth, grids),
        "fields": made,
    }


def _steepest(truth: NDArray[np.floating], grids: Grids) -> tuple[slice, slice]:
    """Rows and columns of the fine cells of the window with the largest steps from cell to cell."""
    steps = np.zeros(truth.shape)
    steps[1:] += np.nan_to_num(np.diff(truth, axis=0)) ** 2
    steps[:, 1:] += np.nan_to_num(np.diff(truth, axis=1)) ** 2
    if grids.fine.y.kind == "latitude":
        steps[np.abs(grids.fine.y.centres) > MOST_POLEWARD] = 0.0
    energy = grids.sums(steps)
    valid = grids.sums(np.isfinite(truth).astype(np.float64)) / np.prod(grids.factor)
    size = tuple(min(most, n) for most, n in zip(WINDOW, energy.shape, strict=True))
    # so many coasts and no more: what is land shows no difference between methods
    counts = _windowed(energy, size) * (_windowed(valid, size) >= LEAST_VALID * np.prod(size))
    counts = counts if counts.any() else _windowed(valid, size)
    corner = np.unravel_index(int(np.argmax(counts)), counts.shape)
    spans = []
    for start, length, each, most, drop in zip(
        corner, size, grids.factor, truth.shape, (grids.dropped[0], 0), strict=True
    ):
        spans.append(slice(max(int(start) * each - drop, 0), min((int(start) + length) * each - drop, most)))
    return spans[0], spans[1]


def _windowed(values: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    """Sums over all windows of a size."""
    return np.asarray(np.lib.stride_tricks.sliding_window_view(values, size).sum(axis=(-2, -1)))
