"""Refine 30 global fields from 1 to 0.25 degrees, we and others, each checked first, and write the times."""

import datetime
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray

from benchmarks import downscale_page
from benchmarks.allocation import forget, map_fresh_pages, reuse_pages
from benchmarks.asked import asked, named
from benchmarks.downscale_fields import (
    FACTOR,
    KINDS,
    Made,
    coarse_fields,
    fine_axes,
    grid_description,
    judged,
)
from benchmarks.downscale_memory import measured as measured_memory
from benchmarks.machine import commit, machine
from benchmarks.results import Row, save
from upstroke.apps.downscale.cf import cells_of
from upstroke.apps.downscale.downscaler import downscaler
from upstroke.apps.downscale.run import run
from upstroke.rewrite.measure import one_thread

SUITE = "downscale"
OURS = "upstroke"
# of a block's mean, in float32
BOUND = 1e-6
TURNS, FILE_TURNS, WORKER_TURNS = 9, 3, 3
# of the fields that workers refine, so that starting them is little of the time
WORKER_STEPS, QUICK_WORKER_STEPS = 240, 30
GIGABYTES, QUICK_GIGABYTES = 20.0, 1.0
# glibc keeps this much for reused memory: what a call of any contender holds at its peak, and room
RESERVE = 2**30
MEMORY = ("reused memory", "fresh memory")
FILES = tuple(f"file to file | {kind}" for kind in KINDS)
ARRAYS = tuple(f"in memory | {kind} | {memory}" for kind in KINDS for memory in MEMORY)
WORKERS, VIRTUAL = "workers of dask", "a large virtual input"
ROWS = (*FILES, *ARRAYS, WORKERS, VIRTUAL)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Who refines the fields, on how many threads at most, and how what came of it is read."""

    who: str
    threads: int
    call: Callable[[], object]
    read: Callable[[object], NDArray[np.floating]]
    target: Path | None = None


def main() -> None:
    """Measure the rows asked for and write the results and the page."""
    wanted = asked("downscale", __doc__, quick="few turns and small inputs")
    rows = named(ROWS, wanted.only)
    if wanted.list:
        print("\n".join(rows))
        return
    made: dict[str, Row] = {}
    for place, name in enumerate(rows, start=1):
        print(f"[{place}/{len(rows)}] {name}", flush=True)
        made[name] = measured(name, quick=wanted.quick)
        print(f"    {_said(made[name])}", flush=True)
        if not wanted.quick:
            save(SUITE, _machine(), made.values(), order=ROWS)
            downscale_page.write()


def measured(name: str, *, quick: bool = False) -> Row:
    """One row as plain data."""
    began, load = time.perf_counter(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="upstroke-bench-") as made:
        folder = Path(made)
        if name in FILES:
            found = _of_files(name.split(" | ")[1], folder, quick=quick)
        elif name in ARRAYS:
            _, kind, memory = name.split(" | ")
            is_reused = memory == MEMORY[0]
            reuse_pages(RESERVE) if is_reused else map_fresh_pages()
            found = _of_arrays(kind, quick=quick, before=(lambda: None) if is_reused else forget)
        elif name == WORKERS:
            found = _of_workers(folder, quick=quick)
        else:
            found = measured_memory(QUICK_GIGABYTES if quick else GIGABYTES, folder)
    return {
        "row": name,
        "suite": SUITE,
        **found,
        # of programs that wait for the processor when this row began
        "load": round(load, 2),
        "commit": commit(),
        "date": datetime.datetime.now().isoformat(timespec="minutes"),
        "seconds": round(time.perf_counter() - began, 1),
    }


def _of_files(kind: str, folder: Path, *, quick: bool) -> Row:
    """From a NetCDF file to a NetCDF file, written each time anew."""
    coarse = coarse_fields(kind)
    source, grid, weights = folder / "coarse.nc", folder / "grid", folder / "weights.nc"
    coarse.to_netcdf(source, encoding={"sst": {"_FillValue": np.float32(-999)}})
    grid_description(grid)
    cores = _cores()
    contenders = []

    def add(who: str, threads: int, call: Callable[[Path], object]) -> None:
        target = folder / f"{len(contenders)}.nc"
        contenders.append(
            Contender(
                who=who,
                threads=threads,
                call=lambda: call(target),
                read=lambda _: _read(target),
                target=target,
            )
        )

    def ours(target: Path, method: str = "cubic") -> object:
        return run(source, target, factor=FACTOR, method=method, overwrite=True, progress=False)

    def on_one_core(target: Path) -> object:
        with _one_core():
            return ours(target)

    add(OURS, cores, ours)
    add(f"{OURS}, one core", 1, on_one_core)
    add(f"{OURS} nearest", cores, lambda target: ours(target, "nearest"))
    words = [sys.executable, "-m", "upstroke", "downscale", "run", str(source)]
    after = ["--factor", str(FACTOR), "--overwrite", "-q"]
    add(f"{OURS}, a process of its own", cores, lambda target: _done([*words, str(target), *after]))
    if shutil.which("cdo"):
        began = time.perf_counter()
        _done(["cdo", "-O", f"gencon,{grid}", str(source), str(weights)])
        gencon = time.perf_counter() - began
        for who, threads, options, verb in (
            ("cdo remapcon", 1, [], f"remapcon,{grid}"),
            (f"cdo -P {cores} remapcon", cores, ["-P", str(cores)], f"remapcon,{grid}"),
            ("cdo -f nc4 remapcon", 1, ["-f", "nc4"], f"remapcon,{grid}"),
            ("cdo remap, weights made before", 1, [], f"remap,{grid},{weights}"),
        ):
            add(who, threads, _cdo(options, verb, source))
    found = _timed(contenders, coarse.sst.values, turns=2 if quick else FILE_TURNS)
    if shutil.which("cdo"):
        found["gencon ms"] = round(1e3 * gencon)
    return found


def _cdo(options: list[str], verb: str, source: Path) -> Callable[[Path], object]:
    return lambda target: _done(["cdo", "-O", *options, verb, str(source), str(target)])


def _of_arrays(kind: str, *, quick: bool, before: Callable[[], object]) -> Row:
    """From an array to an array, both in memory."""
    import xarray_regrid  # noqa: F401

    import upstroke.xarray  # noqa: F401

    coarse = coarse_fields(kind)
    values, refine, cores = coarse.sst.values, downscaler(cells_of(coarse), FACTOR), _cores()
    named = coarse.rename({"lat": "latitude", "lon": "longitude"})
    axes = fine_axes()
    target = xarray.Dataset(coords={"latitude": axes["lat"], "longitude": axes["lon"]})

    def on_one_thread() -> object:
        with one_thread():
            return refine(values)

    def regridded(call: Callable[[], xarray.Dataset]) -> Callable[[], object]:
        return lambda: call().sst.transpose("time", "latitude", "longitude").values

    def conservative(*, skipna: bool) -> Callable[[], object]:
        return regridded(lambda: named.regrid.conservative(target, latitude_coord="latitude", skipna=skipna))

    calls: dict[str, tuple[int, Callable[[], object]]] = {
        OURS: (cores, lambda: refine(values)),
        f"{OURS}, one thread": (1, on_one_thread),
        f"{OURS}, the accessor of a dataset": (cores, lambda: coarse.upstroke.downscale(FACTOR).sst.values),
        "xarray-regrid conservative": (cores, conservative(skipna=True)),
        "xarray-regrid conservative, skipna=False": (cores, conservative(skipna=False)),
        "xarray-regrid linear": (cores, regridded(lambda: named.regrid.linear(target))),
    }
    contenders = [
        Contender(who=who, threads=threads, call=call, read=np.asarray)
        for who, (threads, call) in calls.items()
    ]
    return _timed(contenders, values, turns=2 if quick else TURNS, before=before)


def _of_workers(folder: Path, *, quick: bool) -> Row:
    """From Zarr to Zarr by one worker of a dask cluster and by two, each a process of one thread."""
    from dask.distributed import LocalCluster

    steps = QUICK_WORKER_STEPS if quick else WORKER_STEPS
    coarse = coarse_fields(KINDS[1], steps=steps)
    source = folder / "coarse.zarr"
    coarse.to_zarr(source, encoding={"sst": {"chunks": (10, *coarse.sst.shape[1:])}})
    taken: dict[int, list[float]] = {1: [], 2: []}
    with ExitStack() as opened:
        clusters = {
            workers: opened.enter_context(
                LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
            )
            for workers in taken
        }
        for turn in range(1 + (2 if quick else WORKER_TURNS)):
            for workers in taken if turn % 2 == 0 else reversed(taken):
                target = folder / f"{workers}.zarr"
                began = time.perf_counter()
                run(
                    source, target, factor=FACTOR, overwrite=True, progress=False,
                    scheduler=clusters[workers].scheduler_address,
                )  # fmt: skip
                # the first turn imports everything in the workers
                taken[workers] += [time.perf_counter() - began] if turn else []
    checked = {workers: judged(_read(folder / f"{workers}.zarr"), coarse.sst.values) for workers in taken}
    for workers, made in checked.items():
        _refuse_wrong(f"{OURS}, {workers} workers", made)
    fine = 4 * FACTOR**2 * coarse.sst.size
    return {
        "fine bytes": fine,
        "workers": [
            {
                "workers": workers,
                "s": round(statistics.median(runs), 3),
                "least": round(min(runs), 3),
                "runs": len(runs),
                **asdict(checked[workers]),
            }
            for workers, runs in taken.items()
        ],
    }


def _timed(
    contenders: list[Contender],
    coarse: NDArray[np.floating],
    *,
    turns: int,
    before: Callable[[], object] = lambda: None,
) -> dict[str, object]:
    """Run each once and judge what it made, then time all in turns, every second turn backwards."""
    checked: dict[str, Made] = {}
    for each in contenders:
        checked[each.who] = judged(each.read(each.call()), coarse)
        _refuse_wrong(each.who, checked[each.who])
    taken: dict[str, list[float]] = {each.who: [] for each in contenders}
    for turn in range(turns):
        for each in contenders if turn % 2 == 0 else reversed(contenders):
            before()
            start = time.perf_counter()
            made = each.call()
            taken[each.who].append(time.perf_counter() - start)
            del made
    return {
        "times": [
            {
                "who": each.who,
                "threads": each.threads,
                "ms": round(1e3 * statistics.median(taken[each.who]), 2),
                "least": round(1e3 * min(taken[each.who]), 2),
                "runs": len(taken[each.who]),
                **asdict(checked[each.who]),
                "bytes": None if each.target is None else each.target.stat().st_size,
            }
            for each in contenders
        ]
    }


def _refuse_wrong(who: str, made: Made) -> None:
    """Ours is not timed where it is wrong; others' errors are shown beside their times."""
    if who.startswith(OURS) and not (made.error <= BOUND and made.lacking == made.invented == 0):
        msg = f"{who}: {made}; wrong, so not timed"
        raise SystemExit(msg)


def _read(path: Path) -> NDArray[np.floating]:
    opened = (
        xarray.open_zarr(path, decode_times=False)
        if path.suffix == ".zarr"
        else xarray.open_dataset(path, decode_times=False)
    )
    with opened as fine:
        values: NDArray[np.floating] = fine.sst.values
    return values


def _done(words: list[str]) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@contextmanager
def _one_core() -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _machine() -> dict[str, object]:
    """The machine, with the versions of those that are compared."""
    found = machine()
    for name in ("xarray-regrid", "xarray", "netCDF4", "zarr", "dask"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    said = (
        subprocess.run(["cdo", "--version"], capture_output=True, text=True, check=False)
        if shutil.which("cdo")
        else None
    )
    # it says its version on standard error
    first = (said.stdout + said.stderr).splitlines()[0] if said else "not installed"
    return found | {"cdo": first}


def _said(row: Mapping[str, Any]) -> str:
    """The row in one line."""
    if "times" in row:
        return "; ".join(f"{each['who']} {each['ms']:.0f} ms" for each in row["times"])
    if "workers" in row:
        return "; ".join(f"{each['workers']} workers {each['s']:.2f} s" for each in row["workers"])
    return "; ".join(f"{each['who']} {each['peak bytes'] / 1e9:.2f} GB" for each in row["ways"])


if __name__ == "__main__":
    main()
