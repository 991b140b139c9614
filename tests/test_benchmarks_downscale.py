"""What is measured of refining fields: judged by areas, rows that are plain data, a page made of them."""

import json
import sys

import numpy as np
import pytest
import zarr
from benchmarks import downscale, downscale_memory, downscale_page, results
from benchmarks.downscale_fields import KINDS, Made, coarse_fields, fine_axes, grid_description, judged

from upstroke.apps.downscale.run import run


def test_the_page_is_made_of_the_committed_results():
    text = downscale_page.PAGE.read_text()
    assert text == downscale_page.page(text)


def test_fields_are_global_and_only_one_kind_has_land():
    full, masked = (coarse_fields(kind, steps=2, size=(18, 36)) for kind in KINDS)
    assert not np.isnan(full.sst).any()
    land = np.isnan(masked.sst.values)
    assert 0 < land.mean() < 0.6
    assert (land[0] == land[1]).all()
    assert (full.sst.values[0] != full.sst.values[1]).all()
    assert full.sst.dtype == masked.sst.dtype == np.float32


def test_cdo_is_told_the_grid_that_is_judged(tmp_path):
    axes = fine_axes()
    words = dict(line.split(" = ") for line in grid_description(tmp_path / "grid").read_text().splitlines())
    assert (words["xsize"], words["ysize"]) == ("1440", "720")
    for letter, name in (("x", "lon"), ("y", "lat")):
        made = float(words[f"{letter}first"]) + float(words[f"{letter}inc"]) * np.arange(len(axes[name]))
        np.testing.assert_allclose(made, axes[name], rtol=1e-12)


def test_what_was_made_is_judged_by_areas():
    coarse = coarse_fields(KINDS[1], steps=2, size=(18, 36)).sst.values
    fine = coarse.astype(np.float64).repeat(4, axis=1).repeat(4, axis=2)
    made = judged(fine, coarse)
    assert made.error < 1e-14
    assert (made.lacking, made.invented, made.dtype) == (0, 0, "float64")
    row, column = np.argwhere(np.isfinite(coarse[1]))[3]
    fine[1, 4 * row + 2, 4 * column] += 0.5
    edges = np.sin(np.radians(np.linspace(-90, 90, 73)[4 * row : 4 * row + 5]))
    change = 0.5 * (edges[3] - edges[2]) / (edges[4] - edges[0]) / 4
    of = abs(coarse[1, row, column])
    assert judged(fine, coarse).error == pytest.approx(change / of, rel=0.2)
    fine[0, 4 * row, 4 * column] = np.nan
    assert judged(fine, coarse).lacking == pytest.approx(1 / 16 / np.isfinite(coarse).sum())
    fine[np.isnan(fine)] = 0
    assert judged(fine, coarse).invented == 1


def test_what_is_wrong_of_ours_is_not_timed():
    wrong = Made(error=2e-6, lacking=0.0, invented=0.0, dtype="float32")
    downscale._refuse_wrong("cdo remapcon", wrong)
    with pytest.raises(SystemExit, match=r"^upstroke: Made\(error=2e-06.*; wrong, so not timed$"):
        downscale._refuse_wrong("upstroke", wrong)


def test_a_large_store_reads_as_its_size_and_takes_little(tmp_path, monkeypatch):
    monkeypatch.setattr(downscale_memory, "SIZE", (20, 40))
    steps = downscale_memory.large_store(tmp_path / "large.zarr", 32e-6)
    values = zarr.open_array(tmp_path / "large.zarr" / "sst", mode="r")[:]
    assert values.nbytes == 32_000 == 4 * steps * 20 * 40
    for step in range(steps):
        np.testing.assert_array_equal(values[step], values[step % downscale_memory.STORED])
    assert len({path.stat().st_ino for path in (tmp_path / "large.zarr" / "sst" / "c").rglob("0")
                if path.is_file()}) == downscale_memory.STORED  # fmt: skip


def test_the_most_memory_of_a_process_is_read():
    few, many = (
        downscale_memory.peak([sys.executable, "-S", "-c", f"bytearray({size})"]) for size in (1, 10**8)
    )
    assert 0.9e8 < many["peak bytes"] - few["peak bytes"] < 1.1e8
    with pytest.raises(SystemExit, match="ended with 3"):
        downscale_memory.peak([sys.executable, "-S", "-c", "raise SystemExit(3)"])


def test_a_run_holds_no_more_of_a_longer_input(tmp_path, monkeypatch):
    """Peaks of the resident memory of two runs in this process, the second over four times the steps."""
    monkeypatch.setattr(downscale_memory, "SIZE", (360, 720))
    # a tenth of what is read together else, so that several blocks are read
    monkeypatch.setattr("upstroke.apps.downscale.run.MOST_READ", 2**23)
    peaks, steps = [], []
    for place, gigabytes in enumerate((0.02, 0.02, 0.08)):
        source, target = tmp_path / f"{place}.zarr", tmp_path / f"fine{place}.zarr"
        steps.append(downscale_memory.large_store(source, gigabytes))
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        run(source, target, factor=2, chunk=4, progress=False)
        peaks.append(_kilobytes("VmHWM"))
    longer = 1024 * (peaks[2] - peaks[1])
    assert steps[2] > 3 * steps[1]
    # 0.06 GB more came in and 0.24 GB more went out; 0.08 were seen where thousands of tests ran before
    assert longer < 0.12e9


def _kilobytes(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))


def a_time(who, ms, *, size=None, error=1e-7, lacking=0.0):
    return {
        "who": who, "threads": 2, "ms": ms, "least": ms, "runs": 3, "error": error, "lacking": lacking,
        "invented": 0.0, "dtype": "float32", "bytes": size,
    }  # fmt: skip


def test_the_page_says_what_was_reached_and_what_was_not(tmp_path):
    known = {"commit": "abc", "date": "2026-01-02T03:04", "load": 0.5}
    files, arrays = downscale.FILES[0], downscale.ARRAYS[0]
    rows = [
        {"row": files, "times": [a_time("upstroke", 250.0, size=124e6), a_time("cdo remapcon", 5000.0),
                                 a_time("other", 100.0)], "gencon ms": 5100},
        {"row": arrays, "times": [a_time("upstroke", 100.0),
                                  a_time("xarray-regrid conservative", 480.0, error=2e-3, lacking=0.0111)]},
        {"row": downscale.WORKERS, "fine bytes": 10**9, "workers": [
            {"workers": 1, "s": 4.0, "least": 3.9, "error": 1e-7},
            {"workers": 2, "s": 2.5, "least": 2.4, "error": 1e-7}]},
        {"row": downscale.VIRTUAL, "steps": 4800, "coarse bytes": 2e10, "fine bytes": 8e10, "ways": [
            {"who": "run", "peak bytes": 1.25e9, "s": 160.0},
            {"who": "lazily", "peak bytes": 2.5e9, "s": 100.0}]},
    ]  # fmt: skip
    rows = [json.loads(json.dumps({**row, **known})) for row in rows]
    results.save("downscale", {"processor": "p"}, rows, order=downscale.ROWS, folder=tmp_path)
    made = downscale_page.page(f"{downscale_page.START}old{downscale_page.END}", tmp_path)
    lines = made.splitlines()
    reused = "every cell has a value, reused memory"
    for line in (
        "| processor | p |",
        "| file to file, against `cdo remapcon` | ≥ 10× | yes: 20× every cell has a value |",
        f"| in memory, against xarray-regrid `conservative` | ≥ 5× | **no**: 4.8× {reused} |",
        "| run, an input of 20 GB | in 2 GB | yes: 1.25 GB |",
        "| lazily, an input of 20 GB | in 2 GB | **no**: 2.50 GB |",
        "| 2 workers of dask, against 1 | more throughput | yes: 1.60× |",
        "| other | 2 | 100 | 100 | 0.4 **slower** | 1e-07 | 0 | 0 | float32 | – |",
        "| upstroke | 2 | 250 | 250 | – | 1e-07 | 0 | 0 | float32 | 124 |",
        "| xarray-regrid conservative | 2 | 480 | 480 | 4.8 | 2e-03 | 1.1 % | 0 | float32 | – |",
        "| 2 | 2.50 | 2.40 | 400 MB | 1.6 | 1e-07 |",
        "| run | 1.25 GB | 160 | 500 MB |",
        "The weights of CDO, made before, took 5100 ms to make.",
    ):
        assert line in lines
    assert "old" not in made


def test_nothing_measured_is_said(tmp_path):
    made = downscale_page.page(f"{downscale_page.START}{downscale_page.END}", tmp_path)
    assert "Nothing was measured yet." in made


def test_rows_that_nobody_knows_are_refused(monkeypatch):
    monkeypatch.setattr("sys.argv", ["downscale", "--only", "cubical"])
    with pytest.raises(SystemExit, match=r"^no row's name holds 'cubical'; --list prints them all$"):
        downscale.main()
