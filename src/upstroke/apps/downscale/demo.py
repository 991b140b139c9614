"""A drawn sea is coarsened, refined and compared with itself: what is kept, and what is not, is counted."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from upstroke.apps.downscale.cells import Cells
from upstroke.apps.downscale.cf import cells_of, coordinates_of
from upstroke.apps.downscale.downscaler import Downscaler, downscaler
from upstroke.apps.downscale.evaluate import Evaluation, evaluate
from upstroke.apps.downscale.run import RunReport, run
from upstroke.apps.downscale.synthetic import synthetic_sst
from upstroke.errors import OptionError
from upstroke.files.place import check_target, write_atomically
from upstroke.nn import TransposedConv, constrain
from upstroke.report.downscale_page import downscale_page

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["FILES", "Demo", "demo", "masses", "synthetic_sst"]

FACTOR = 4
SIZE = (720, 1440)
FILES = ("truth.nc", "coarse.nc", "fine.nc", "report.html")
# Of the kernels that refine totals: one that keeps them, and two that are off by a tenth.
MASSES = (0.9, 1.0, 1.1)
# Sea water, in kg/m3 and J/(kg K); the Earth's radius in m; where it freezes, in degrees Celsius.
DENSITY, CAPACITY, RADIUS, FREEZING = 1025.0, 3990.0, 6.371e6, -1.8
ZETTA = 1e21


@dataclass(frozen=True, kw_only=True, eq=False)
class Demo:
    """What the demonstration made and found.

    Attributes:
        folder: where its files are.
        run: what refining the coarse file by the conserving cubic kernel kept.
        evaluation: how far each fixed method is from the truth.
        heat: heat above freezing in the uppermost metre, in ZJ: of the coarse field, and of what kernels of
            each mass make of it.
    """

    folder: Path
    run: RunReport
    evaluation: Evaluation
    heat: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Plain data, schema upstroke.downscale-demo/1."""
        return {
            "schema": "upstroke.downscale-demo/1",
            "folder": str(self.folder),
            "files": list(FILES),
            "run": self.run.as_json(),
            "evaluation": self.evaluation.as_json(),
            "heat": dict(self.heat),
        }


def demo(
    folder: str | os.PathLike[str], *, size: tuple[int, int] = SIZE, seed: int = 0, overwrite: bool = False
) -> Demo:
    """Draw a sea, coarsen it by 4, refine it, compare, and write all of it into a folder, made if need be.

    1. `truth.nc`: `synthetic_sst`, with `sea`, the valid part of each of its cells.
    2. `coarse.nc`: its means over 4 x 4 cells, by area, over what is sea.
    3. `fine.nc`: `coarse.nc` refined by `run`, the conserving cubic kernel, told of the coast by `truth.nc`.
    4. `report.html`: every fixed method against the truth.

    Args:
        folder: where the files go.
        size: cells of the truth, multiples of 4.
        seed: of the sea.
        overwrite: whether these files may be replaced.

    Raises:
        OptionError: the size has no whole blocks.
        FileError: a file is there, or cannot be written.
        MissingExtraError: the extra `climate` or matplotlib is not installed.
    """
    if any(cells < 2 * FACTOR or cells % FACTOR for cells in size):
        msg = (
            f"the sea must have multiples of {FACTOR} cells along both axes, from {2 * FACTOR} on; got {size}"
        )
        raise OptionError(msg)
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    truth_file, coarse_file, fine_file, page_file = (out / name for name in FILES)
    for each in (truth_file, coarse_file, fine_file, page_file):
        check_target(each, overwrite=overwrite)
    truth = _with_sea(synthetic_sst(size, seed=seed))
    refine = _refiner(truth)
    coarse = _coarse(truth, refine)
    for path, dataset in ((truth_file, truth), (coarse_file, coarse)):
        write_atomically(path, bytes(dataset.to_netcdf(engine="h5netcdf")), overwrite=overwrite)
    done = run(
        coarse_file, fine_file, factor=FACTOR, mask=f"{truth_file}:sea", overwrite=overwrite, progress=False
    )
    found = evaluate(truth, FACTOR, variable="sst", source=truth_file.name)
    write_atomically(page_file, downscale_page(found.as_json(), found.pictures), overwrite=overwrite)
    return Demo(folder=out, run=done, evaluation=found, heat=_heat(coarse, refine))


def masses(totals: NDArray[np.float64], *, seed: int = 0) -> dict[float, float]:
    """The total of what transposed convolutions make of cells' totals (y, x), by the mass of their kernels.

    Each is one stride-4 transposed convolution whose weights were drawn and are held to the mass by
    `upstroke.nn.constrain`: every cell's total is dealt to its 4 x 4 parts, and its kernel's sum is how much
    of it arrives.

    >>> {mass: round(total, 6) for mass, total in masses(np.full((3, 5), 2.0)).items()}
    {0.9: 27.0, 1.0: 30.0, 1.1: 33.0}
    """
    given = torch.from_numpy(np.asarray(totals, np.float64))[None, None]
    found = {}
    for mass in MASSES:
        layer = TransposedConv(1, 1, FACTOR, stride=FACTOR, bias=False, ndim=2, dtype=torch.float64)
        drawn = torch.rand(
            layer.weight.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        with torch.no_grad():
            layer.weight.copy_(drawn)
            found[mass] = float(constrain(layer, mass=mass)(given).sum())
    return found


def _with_sea(truth: "Dataset") -> "Dataset":
    """The field with the valid part of each cell."""
    about = {"standard_name": "sea_area_fraction", "long_name": "part of the cell that is sea", "units": "1"}
    sea = truth.sst[0].notnull().astype("int8").variable
    return truth.assign(sea=(("lat", "lon"), sea.values, about))


def _refiner(truth: "Dataset") -> Downscaler:
    fine = cells_of(truth)
    coarse = Cells(y=fine.y.coarsened(FACTOR), x=fine.x.coarsened(FACTOR))
    return downscaler(coarse, FACTOR, fraction=truth.sea.values.astype(np.float64))


def _coarse(truth: "Dataset", refine: Downscaler) -> "Dataset":
    """Means over the sea in each block."""
    means = refine.block_means(truth.sst.values).astype(np.float32)
    bare = truth.drop_vars(("sst", "sea", "lat", "lon"))
    coordinates = coordinates_of(refine.coarse, like=truth)
    made: Dataset = bare.assign_coords(coordinates).assign(
        sst=(("time", "lat", "lon"), means, {**truth.sst.attrs, "cell_methods": "area: mean where sea"})
    )
    return made


def _heat(coarse: "Dataset", refine: Downscaler) -> dict[str, float]:
    """Heat above freezing in the uppermost metre of the sea, in ZJ, before and after kernels of each mass."""
    area = refine.fine.areas() * (1.0 if refine.fraction is None else refine.fraction)
    rows, columns = refine.coarse.shape
    sea = RADIUS**2 * area.reshape(rows, FACTOR, columns, FACTOR).sum(axis=(1, 3))
    warmth = np.nan_to_num(coarse.sst.values[0].astype(np.float64) - FREEZING)
    totals = DENSITY * CAPACITY * sea * warmth / ZETTA
    after = {f"{mass:g}": total for mass, total in masses(totals).items()}
    return {"before": float(totals.sum()), **after}
