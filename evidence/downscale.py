"""Downscaling methods and data become rows of errors on a day that nothing was trained or chosen on.

`make evidence` trains and measures row by row; a run that is ended goes on where it was, within a row as
well. Rows are keyed by all that they depend on, so that only what has changed is measured again.

Data: NOAA OISST, 0.25 degrees. Trained on the analysis of 2016-01-16 (global) and the July means of 2010 to
2018 (North Atlantic); stripes and the last years of these are held out, and everything that is chosen, the
step that is kept and the gate, is chosen there. Measured on 2021-10-25 (global), which no training and no
choice has seen.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upstroke.apps.downscale.cells import Cells
from upstroke.apps.downscale.cf import cells_of
from upstroke.apps.downscale.downscaler import downscaler
from upstroke.apps.downscale.learned.apply import load_learned
from upstroke.apps.downscale.learned.training import train
from upstroke.files.fields import open_fields
from upstroke.files.safetensors import read_safetensors

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "downscale.json"
RUNS = HERE / "runs" / "downscale"
SCHEMA = "upstroke.evidence-downscale/1"
FACTOR = (4, 4)
UNSEEN = "oisst_daily_025/oisst-avhrr-v02r01.20211025.nc"
SEEN = (
    "oisst_daily_025/sst4-metopab-eot-intv2.20160116_Ligang.nc",
    *(f"oisst_natl_july_means_025/oisst_natl_{year}_m07.nc" for year in range(2010, 2019)),
)
SEEDS = (0, 1, 2)
MASSES = (1.0, 1.1, 0.9)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table: its name, what kind it is, and all numbers that it depends on."""

    name: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What must be the same for a row to be the same."""
        return json.dumps({"kind": self.kind, **self.settings}, sort_keys=True)

    @property
    def run(self) -> Path:
        """Where its network is trained."""
        return RUNS / self.name.replace(" ", "-")


def rows() -> list[Row]:
    """The rows of the table."""
    residual = {"network": "residual", "steps": 2500, "width": 24, "depth": 4}
    # another seed, and another quarter of every map held out
    runs = [{**residual, "seed": seed, "fold": (seed + 1) % 4} for seed in SEEDS]
    return [
        *(Row(name=name, kind="fixed", settings={"method": name}) for name in ("nearest", "linear", "cubic")),
        *(
            Row(
                name=f"transposed, mass {mass:g}",
                kind="trained",
                settings={"network": "transposed", "steps": 300, "mass": mass, "seed": 0},
            )
            for mass in MASSES
        ),
        *(Row(name=f"residual, seed {run['seed']}", kind="trained", settings=run) for run in runs),
        Row(name="residual, mean of three", kind="mean", settings={"of": runs}),
        Row(
            name="residual and another day, seed 0",
            kind="trained",
            settings={**runs[0], "statics": [f"{SEEN[0]}:sst"]},
        ),
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Day:
    """The unseen day, coarse and fine, and where errors are counted."""

    coarse: Cells
    fine: Cells
    truth: NDArray[np.float64]
    fraction: NDArray[np.float64]
    means: NDArray[np.float64]
    ocean: NDArray[np.bool_]
    coast: NDArray[np.bool_]

    @classmethod
    def of(cls, path: Path) -> "Day":
        """Read it.

        Open ocean: fine cells of coarse ones whose 3 x 3 neighbourhood is ocean in every fine cell; coast:
        the others.
        """
        with open_fields(path) as dataset:
            sst = dataset["sst"]
            fine = cells_of(sst)
            truth = np.asarray(sst.values, dtype=np.float64).reshape(fine.shape)
        coarse = fine.coarsened(FACTOR)
        fraction = np.isfinite(truth).astype(np.float64)
        (rows, columns), (fy, fx) = coarse.shape, FACTOR
        full = fraction.reshape(rows, fy, columns, fx).all(axis=(1, 3))
        around = np.pad(np.pad(full, ((1, 1), (0, 0))), ((0, 0), (1, 1)), mode="wrap")
        inner = np.logical_and.reduce(
            [around[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
        )
        ocean = inner.repeat(fy, axis=0).repeat(fx, axis=1)
        return cls(
            coarse=coarse,
            fine=fine,
            truth=truth,
            fraction=fraction,
            means=downscaler(coarse, FACTOR, fraction=fraction).block_means(truth),
            ocean=ocean,
            coast=(fraction > 0) & ~ocean,
        )

    def measured(self, refined: NDArray[np.float64]) -> dict[str, float]:
        """Errors in K, weighted by area; the largest error of a block mean; the total over what it was."""
        weights = self.fine.areas()
        off = downscaler(self.coarse, FACTOR, fraction=self.fraction).block_means(refined) - self.means
        known = self.fraction > 0
        total = (weights * refined)[known].sum() / (weights * self.truth)[known].sum()
        return {
            "ocean": _root(weights, refined - self.truth, self.ocean),
            "coast": _root(weights, refined - self.truth, self.coast),
            "block_means": float(np.nanmax(np.abs(off))),
            "total": float(total),
        }


def _root(weights: NDArray[np.float64], away: NDArray[np.float64], where: NDArray[np.bool_]) -> float:
    return float(np.sqrt((weights * away**2)[where].sum() / weights[where].sum()))


def measure_fixed(row: Row, day: Day, data: Path) -> dict[str, Any]:
    """A fixed method that keeps means."""
    refine = downscaler(day.coarse, FACTOR, method=row.settings["method"], fraction=day.fraction)
    return day.measured(refine(day.means))


def measure_trained(row: Row, day: Day, data: Path) -> dict[str, Any]:
    """A network: trained, or the one that a run of the same settings has left, and measured once."""
    held = _trained(row, data)
    learned = load_learned(row.run)
    refine = learned.downscaler(day.coarse, variable="sst", fraction=day.fraction)
    mass = float(row.settings.get("mass", 1.0))
    found = day.measured(refine(day.means))
    if row.settings["network"] == "transposed":
        # what the network makes by itself, of a map without land, so that nothing is lost but by its mass
        bare = learned.downscaler(day.coarse, variable="sst", conserve=False)
        filled = np.nan_to_num(day.means, nan=0.0)
        made = (bare(filled) * day.fine.areas()).sum() / (filled * day.coarse.areas()).sum()
        plain = learned.downscaler(day.coarse, variable="sst", fraction=day.fraction, conserve=False)
        raw = day.measured(plain(day.means))
        found = {**(found if mass == 1 else raw), "uncorrected": raw["ocean"], "total": float(made)}
    return {**found, **held}


def _trained(row: Row, data: Path) -> dict[str, Any]:
    """Train, or take what was trained."""
    weights = row.run / "model.safetensors"
    done = _finished(weights)
    if done is None:
        settings = dict(row.settings)
        statics = [str(data / "climate" / name) for name in settings.pop("statics", ())]
        train(
            [data / "climate" / name for name in SEEN],
            row.run,
            factor=FACTOR,
            variables=["sst"],
            statics=statics,
            resume=(row.run / "config.json").exists(),
            **settings,
        )
        done = _finished(weights)
    assert done is not None
    (errors,) = done["errors"]
    return {
        "held_out": errors["learned"] / errors["cubic"],
        "gate": errors["gate"],
        "best_step": done["step"],
        "cpu_minutes": None if done["cpu_seconds"] is None else round(done["cpu_seconds"] / 60, 1),
    }


def _finished(weights: Path) -> dict[str, Any] | None:
    """What a finished run says of itself; None if it is not finished."""
    if not weights.exists():
        return None
    found: dict[str, Any] | None = read_safetensors(weights)[1]["held_out"]
    return found


def measure_mean(row: Row, day: Day, data: Path) -> dict[str, Any]:
    """The mean of what several networks answer, which keeps means as they do."""
    answers = []
    for each in rows():
        if each.settings in row.settings["of"]:
            _trained(each, data)
            learned = load_learned(each.run)
            refine = learned.downscaler(day.coarse, variable="sst", fraction=day.fraction)
            answers.append(refine(day.means))
    return day.measured(np.mean(answers, axis=0))


MEASURE: dict[str, Callable[[Row, Day, Path], dict[str, Any]]] = {
    "fixed": measure_fixed,
    "trained": measure_trained,
    "mean": measure_mean,
}


def load(path: Path = RESULTS) -> list[dict[str, Any]]:
    """The rows that were measured."""
    found: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    return found


def save(measured: list[dict[str, Any]], path: Path = RESULTS) -> None:
    """Write the rows at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join("  " + json.dumps(each) for each in measured)
    beside = path.with_suffix(".tmp")
    beside.write_text(f'{{"schema": "{SCHEMA}", "rows": [\n{lines}\n]}}\n')
    os.replace(beside, path)


def main() -> None:
    """Measure every row that is not there yet, and write the page."""
    from evidence.page import write

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    asked = parser.parse_args()
    if asked.list:
        print(*(row.name for row in rows()), sep="\n")
        return
    data = Path(os.environ.get("UPSTROKE_DATA", HERE.parent.parent / "shared" / "data"))
    # the tensors are small, and minutes of one core are what is counted
    torch.set_num_threads(1)
    known = {each["key"]: each for each in load()}
    day = None
    for row in rows():
        if row.key not in known and asked.only in row.name:
            day = day or Day.of(data / "climate" / UNSEEN)
            known[row.key] = {"row": row.name, "key": row.key, **MEASURE[row.kind](row, day, data)}
            print(row.name, {name: value for name, value in known[row.key].items() if name != "key"})
            save([known[each.key] for each in rows() if each.key in known])
    write()


if __name__ == "__main__":
    main()
