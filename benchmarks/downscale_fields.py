"""Make the coarse fields that are refined for time, and measure what a refined one made of their means."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray

from upstroke.apps.downscale.synthetic import synthetic_sst

STEPS = 30
FACTOR = 4
COARSE = (180, 360)
# of the weather that parts the steps from each other, in K
WEATHER = 0.5
KINDS = ("every cell has a value", "land has none")


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a program made of the coarse fields.

    Attributes:
        error: largest relative error of a block's area mean, where all its fine cells have a value.
        lacking: part of the fine cells in blocks with a value that have none.
        invented: part of the fine cells in blocks without a value that have one.
        dtype: of the fine values.
    """

    error: float
    lacking: float
    invented: float
    dtype: str


def coarse_fields(kind: str, *, steps: int = STEPS, size: tuple[int, int] = COARSE) -> xarray.Dataset:
    """Global fields in degrees Celsius, float32: a drawn sea, and weather that differs by step."""
    sea = synthetic_sst(size, seed=3)
    climate = sea.sst.values[0]
    if kind == KINDS[0]:
        climate = np.where(np.isnan(climate), np.nanmean(climate), climate)
    random = np.random.default_rng(0)
    fields = climate + WEATHER * random.standard_normal((steps, *size), np.float32)
    made = sea.drop_vars(("sst", "time")).assign(sst=(("time", "lat", "lon"), fields, sea.sst.attrs))
    days = {"standard_name": "time", "units": "days since 2000-01-01"}
    return made.assign_coords(time=("time", np.arange(steps, dtype=np.float64), days))


def fine_axes(size: tuple[int, int] = COARSE, factor: int = FACTOR) -> dict[str, NDArray[np.float64]]:
    """Centres of the fine cells."""
    rows, columns = (factor * each for each in size)
    return {
        "lat": (np.arange(rows) + 0.5) * 180 / rows - 90,
        "lon": (np.arange(columns) + 0.5) * 360 / columns,
    }


def grid_description(path: Path) -> Path:
    """Write the fine grid in the words of CDO."""
    axes = fine_axes()
    words = ["gridtype = lonlat"]
    for letter, name in (("x", "lon"), ("y", "lat")):
        values = axes[name]
        words += [
            f"{letter}size = {len(values)}",
            f"{letter}first = {values[0]}",
            f"{letter}inc = {values[1] - values[0]}",
        ]
    path.write_text("\n".join(words) + "\n")
    return path


def judged(fine: NDArray[Any], coarse: NDArray[Any], factor: int = FACTOR) -> Made:
    """Compare the area means of blocks, in float64, with the coarse values."""
    rows, columns = coarse.shape[-2:]
    edges = np.sin(np.radians(np.linspace(-90, 90, factor * rows + 1)))
    share = np.diff(edges).reshape(rows, factor)
    share /= factor * share.sum(axis=1, keepdims=True)
    worst, lacking, invented = 0.0, 0, 0
    for step, wanted in zip(fine, coarse, strict=True):
        blocks = step.astype(np.float64).reshape(rows, factor, columns, factor)
        means = np.einsum("isjt,is->ij", blocks, share)
        size = np.einsum("isjt,is->ij", np.abs(blocks), share)
        off = np.abs(means - wanted) / np.maximum(np.abs(wanted), size)
        worst = max(worst, float(np.nanmax(off)))
        has = np.isfinite(wanted)
        missing = np.isnan(blocks).sum(axis=(1, 3))
        lacking += int(missing[has].sum())
        invented += int((factor**2 - missing[~has]).sum())
    cells = factor**2 * np.isfinite(coarse).sum()
    others = max(1, factor**2 * coarse.size - cells)
    return Made(
        error=worst, lacking=float(lacking / cells), invented=invented / others, dtype=str(fine.dtype)
    )
