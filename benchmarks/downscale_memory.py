"""Refine an input that is larger than memory, and measure the most memory that a process of ours held.

The input is a Zarr store of real chunks, most of which are links to a few files, so that it is read as any
other and takes no disk. What is written is real too; a thread empties each chunk of the output some moments
after it was written, since there would be no disk for it either. Nothing of this is in the measured process:
its highest resident memory, all libraries included, is what the kernel counted when it ended.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import zarr

from benchmarks.results import Row
from upstroke.apps.downscale.synthetic import synthetic_sst

# along latitude and longitude: as much as there is time to write
FACTOR = (1, 2)
SIZE = (720, 1440)
# steps that are stored, to which all others are links
STORED = 4
START = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
LAZILY = """
import sys, numpy, xarray, upstroke.xarray
coarse = xarray.open_zarr(sys.argv[1], decode_times=False, consolidated=False)
fine = coarse.sst.upstroke.downscale((int(sys.argv[2]), int(sys.argv[3])))
sea = fine.count(("lat", "lon")).compute()
assert fine.nbytes > coarse.sst.nbytes and bool((sea > 0).all())
"""


def measured(gigabytes: float, folder: Path) -> Row:
    """The most memory of `upstroke downscale run`, and of the accessor over lazy arrays of dask."""
    source, target = folder / "large.zarr", folder / "fine.zarr"
    steps = large_store(source, gigabytes)
    python = [sys.executable]
    ways = {
        "upstroke downscale run": [
            *python, "-m", "upstroke", "downscale", "run", str(source), str(target),
            "--factor", "x".join(map(str, FACTOR)), "-q",
        ],
        "ds.upstroke.downscale, reduced step by step": [
            *python, "-c", LAZILY, str(source), *map(str, FACTOR),
        ],
    }  # fmt: skip
    with Emptied(folder, keep=source):
        found = [{"who": who, **peak(words)} for who, words in ways.items()]
    size = 4 * steps * SIZE[0] * SIZE[1]
    return {
        "steps": steps,
        "coarse bytes": size,
        "fine bytes": size * FACTOR[0] * FACTOR[1],
        "ways": found,
    }


def large_store(path: Path, gigabytes: float) -> int:
    """Write a store that reads as an input of this size, and return its number of steps."""
    steps = max(STORED, round(gigabytes * 1e9 / (4 * SIZE[0] * SIZE[1])))
    drawn = synthetic_sst(SIZE, seed=5)
    warmer = np.arange(STORED, dtype=np.float32)[:, None, None] / 10
    few = drawn.drop_vars(("sst", "time")).assign(
        sst=(("time", "lat", "lon"), drawn.sst.values + warmer, drawn.sst.attrs)
    )
    few = few.assign_coords(time=("time", np.arange(float(STORED)), {"units": "days since 2000-01-01"}))
    few.to_zarr(
        path, consolidated=False, zarr_format=3, encoding={"sst": {"chunks": (1, *SIZE), "compressors": None}}
    )
    zarr.open_array(path / "sst", mode="r+").resize((steps, *SIZE))
    days = zarr.open_array(path / "time", mode="r+")
    days.resize((steps,))
    days[:] = np.arange(float(steps))
    chunks = path / "sst" / "c"
    for step in range(STORED, steps):
        (chunks / str(step) / "0").mkdir(parents=True)
        os.link(chunks / str(step % STORED) / "0" / "0", chunks / str(step) / "0" / "0")
    return steps


def peak(words: list[str]) -> dict[str, float | int]:
    """Run a program to its end: the most memory that it held, and how long it took."""
    began = time.perf_counter()
    # what starts a program is counted with it, so a small one does
    done = subprocess.run([sys.executable, "-S", "-c", START, *words], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        msg = f"{' '.join(words)} ended with {done.returncode}; its message is above"
        raise SystemExit(msg)
    # the kernel counts in KiB
    return {
        "peak bytes": 1024 * int(done.stdout.split()[-1]),
        "s": round(time.perf_counter() - began, 1),
    }


class Emptied:
    """While it is open, chunks that are written into a folder lose their content some moments later."""

    def __init__(self, folder: Path, *, keep: Path) -> None:
        self.folder, self.keep = folder, keep
        self.bytes = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sweep)

    def __enter__(self) -> "Emptied":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _sweep(self) -> None:
        done: set[str] = set()
        while not self._is_over.wait(1):
            for chunks in self.folder.rglob("sst/c"):
                if self.keep not in chunks.parents:
                    self._empty(chunks, done)

    def _empty(self, chunks: Path, done: set[str]) -> None:
        for each in os.scandir(chunks):
            if each.path in done or time.time() - each.stat().st_mtime < 2:
                continue
            for file in (path for path in Path(each.path).rglob("*") if path.is_file()):
                self.bytes += file.stat().st_size
                os.truncate(file, 0)
            done.add(each.path)
