"""Hold runs from file to file: what is written, what is kept, and what is left when something goes wrong."""

import contextlib
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from grib_messages import first_messages
from upstroke.errors import BackendError, FileError, OptionError

xarray = pytest.importorskip("xarray")

from upstroke.apps.downscale import run as module  # noqa: E402
from upstroke.apps.downscale.dataset import downscale  # noqa: E402
from upstroke.apps.downscale.pieces import pieces_of, read_blocks, steps_together  # noqa: E402
from upstroke.apps.downscale.run import run  # noqa: E402
from upstroke.files.fields import open_fields  # noqa: E402
from upstroke.files.netcdf_target import NetcdfTarget  # noqa: E402
from upstroke.files.zarr_target import ZarrTarget  # noqa: E402

FACTOR = (2, 3)
SHAPE = (5, 2, 6, 8)


def fields():
    values = np.random.default_rng(3).standard_normal(SHAPE).astype("f4")
    values[1, 1, 2, 3] = np.nan
    values[3] = np.nan
    coords = {
        "time": ("time", [0.0, 1.5, 31, 59, 60], {"units": "days since 2001-02-29", "calendar": "360_day"}),
        "lev": ("lev", [10.0, 20.0], {"units": "m", "positive": "down"}),
        "lat": ("lat", np.arange(75.0, -90, -30), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(22.5, 360, 45), {"units": "degrees_east"}),
        "area_name": ("time", np.array(["a", "bb", "", "c", "d"], object)),
    }
    t = (
        ("time", "lev", "lat", "lon"),
        values,
        {"units": "K", "grid_mapping": "crs", "valid_max": np.float32(9)},
    )
    kind = (
        ("lat", "lon"),
        np.arange(48, dtype="i1").reshape(6, 8),
        {"flag_values": np.arange(3, dtype="i1")},
    )
    crs = ((), np.int32(0), {"grid_mapping_name": "latitude_longitude"})
    made = xarray.Dataset({"t": t, "kind": kind, "crs": crs}, coords, {"title": "drawn", "history": "made"})
    made.t.encoding["_FillValue"] = np.float32(-999)
    for name in ("time", "lev", "lat", "lon"):
        made[name].encoding["_FillValue"] = None
    return made


def source(folder, name="in.nc", made=None, **settings):
    path = folder / name
    made = fields() if made is None else made
    if name.endswith(".zarr"):
        made.t.encoding.pop("_FillValue", None)
        made.to_zarr(path, **{"zarr_format": 3, "consolidated": False, **settings})
    else:
        made.to_netcdf(path, engine="netcdf4", **settings)
    return path


def left(folder):
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("ending", [".nc", ".nc4", ".zarr"])
def test_a_file_becomes_what_the_dataset_becomes(tmp_path, ending):
    path, target = source(tmp_path), tmp_path / f"out{ending}"
    report = run(path, target, factor=FACTOR, chunk=3)
    with open_fields(path) as coarse, open_fields(target) as got:
        wanted = downscale(coarse, FACTOR)
        assert "valid_max" not in got.t.attrs
        history = got.attrs.pop("history")
        wanted.attrs.pop("history")
        xarray.testing.assert_identical(got.load(), wanted.load())
        assert got.time.attrs == {"units": "days since 2001-02-29", "calendar": "360_day"}
        assert got.t.encoding.get("_FillValue") == -999
        assert "area_name" in got.coords
    command = f"upstroke downscale run {path} {target} --factor 2x3 --method cubic"
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ: {re.escape(command)}\nmade", history)
    assert left(tmp_path) == ["in.nc", target.name]
    kept = report.fields["t"]
    assert list(report.fields) == ["t"]
    assert report.copied == ("kind",)
    assert 0 < kept.error < 1e-6
    assert kept.before == pytest.approx(kept.after, abs=1e-6 * kept.largest * 4 * np.pi)
    assert kept.lost == 0
    assert report.pieces == 6
    assert json.loads(json.dumps(report.as_json()))["schema"] == "upstroke.downscale-run/1"


def test_the_report_measures_what_was_written(tmp_path, monkeypatch):
    path = source(tmp_path)
    usual = NetcdfTarget.write

    report = run(path, tmp_path / "plain.nc", factor=FACTOR, conserve=False)
    with open_fields(path) as coarse, open_fields(tmp_path / "plain.nc") as fine:
        area = np.diff(np.sin(np.deg2rad(np.linspace(-90, 90, 13))))[:, None] * np.ones(24) * np.deg2rad(15)
        split = fine.t.values.astype("f8").reshape(5, 2, 6, 2, 8, 3) * area.reshape(6, 2, 8, 3)
        sums, areas = split.sum((3, 5)), area.reshape(6, 2, 8, 3).sum((1, 3))
        off = np.nanmax(np.abs(sums / areas - coarse.t.values))
    assert report.fields["t"].difference == pytest.approx(off, rel=1e-9)
    assert report.fields["t"].after == pytest.approx(np.nansum(sums), rel=1e-9)
    assert report.fields["t"].before == pytest.approx(np.nansum(coarse.t.values * areas), rel=1e-9)
    assert NetcdfTarget.write is usual


@pytest.mark.parametrize("unlimited", [[], ["time"]])
@pytest.mark.parametrize("packing", [{}, {"zlib": True, "complevel": 2, "chunksizes": (2, 1, 6, 8)}])
def test_compression_and_growing_axes_are_kept(tmp_path, unlimited, packing):
    netCDF4 = pytest.importorskip("netCDF4")
    made = fields()
    made.t.encoding |= packing
    path = source(tmp_path, made=made, unlimited_dims=unlimited)
    run(path, tmp_path / "out.nc", factor=FACTOR, chunk=1)
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        assert [name for name, each in file.dimensions.items() if each.isunlimited()] == unlimited
        found = file["t"].filters()
        assert (found["zlib"], found["complevel"], found["shuffle"]) == (
            (True, 2, True) if packing else (False, 0, False)
        )
        assert (file["t"].chunking() == "contiguous") == (not packing and not unlimited)
        assert file["t"]._FillValue == -999
        values = file["t"][:].filled(np.nan)
    with open_fields(path) as coarse:
        np.testing.assert_array_equal(values, downscale(coarse, FACTOR).t.values)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("is_compressed", [True, False])
def test_a_store_is_compressed_as_its_source_was(tmp_path, version, is_compressed):
    zarr = pytest.importorskip("zarr")
    made = fields()[["t"]]
    made.t.encoding = {} if is_compressed else {"compressors": ()}
    made.to_zarr(tmp_path / "in.zarr", zarr_format=version, consolidated=False)
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", factor=FACTOR)
    assert bool(zarr.open_group(tmp_path / "out.zarr", mode="r")["t"].compressors) == is_compressed


def test_packed_integers_are_written_as_numbers(tmp_path):
    made = fields()
    made.t.attrs.pop("valid_max")
    made.t.encoding = {
        "dtype": "int16",
        "scale_factor": 0.001,
        "add_offset": 1.0,
        "_FillValue": np.int16(-32768),
    }
    path = source(tmp_path, made=made)
    report = run(path, tmp_path / "out.nc", factor=FACTOR)
    with open_fields(tmp_path / "out.nc") as got:
        assert got.t.encoding["dtype"] == np.float32
        assert "scale_factor" not in got.t.encoding
    assert report.fields["t"].error < 1e-6
    assert report.notes[0] == "t: packed integers are written as float32, since packing breaks the means"


@pytest.mark.parametrize("version", [2, 3])
def test_a_store_becomes_one_of_its_own_version(tmp_path, version):
    path = source(tmp_path, "in.zarr", zarr_format=version)
    run(path, tmp_path / "out.zarr", factor=FACTOR)
    assert (tmp_path / "out.zarr" / ".zmetadata").exists() == (version == 2)
    with open_fields(path) as coarse, open_fields(tmp_path / "out.zarr") as got:
        np.testing.assert_array_equal(got.t, downscale(coarse, FACTOR).t)
        assert got.kind.dtype == np.int8


@pytest.mark.parametrize("version", [2, 3])
def test_xarray_opens_the_store_without_a_warning(tmp_path, version):
    run(source(tmp_path, "in.zarr", zarr_format=version), tmp_path / "out.zarr", factor=FACTOR)
    with xarray.open_zarr(tmp_path / "out.zarr", decode_times=False) as fine:
        assert {"t", "kind", "crs", "lat_bnds"} <= set(fine.variables)


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
@pytest.mark.parametrize("unlimited", [[], ["time"]])
def test_no_step_at_all_is_a_file_without_steps(tmp_path, ending, unlimited):
    made = fields().drop_vars("kind").isel(time=slice(0, 0))
    made.encoding["unlimited_dims"] = unlimited
    report = run(source(tmp_path, made=made), tmp_path / f"out{ending}", factor=FACTOR)
    assert report.pieces == 0
    with open_fields(tmp_path / f"out{ending}") as fine:
        assert fine.t.shape == (0, 2, 12, 24)


def test_chunks_that_are_missing_are_said(tmp_path):
    made = fields().fillna(1.0)
    path = source(tmp_path, "in.zarr", made=made, encoding={"t": {"fill_value": 0.0, "chunks": (1, 2, 6, 8)}})
    shutil.rmtree(path / "t" / "c" / "2")
    report = run(path, tmp_path / "out.nc", factor=FACTOR)
    assert "t: 1 of 5 chunks are missing in the source, as 0.0" in report.notes


def test_grib_becomes_netcdf(tmp_path, data_dir):
    pytest.importorskip("cfgrib")
    path = tmp_path / "era5.grib"
    whole = data_dir / "climate" / "era5_t2m_uk" / "era5-2mt-2019-03-uk.grib"
    path.write_bytes(first_messages(whole, 6))
    report = run(path, tmp_path / "out.nc", factor=2)
    assert report.fields["t2m"].error < 1e-6
    assert left(tmp_path) == ["era5.grib", "out.nc"]
    with open_fields(tmp_path / "out.nc") as got:
        assert got.t2m.shape == (6, 66, 98)
        assert got.time.attrs["units"] == "seconds since 1970-01-01T00:00:00"


KILLED = """
import os, signal, sys
from upstroke.apps.downscale import run
from upstroke.files.zarr_target import ZarrTarget
usual, written = ZarrTarget.write, []
def write(self, name, start, block):
    if len(written) >= 4:  # two threads may both have been the fourth
        os.kill(os.getpid(), signal.SIGKILL)
    usual(self, name, start, block)
    written.append(start)
ZarrTarget.write = write
run.run(sys.argv[1], sys.argv[2], factor=(2, 3), chunk=1)
"""


def test_a_killed_run_is_finished_by_the_same_call(tmp_path, monkeypatch):
    path, target = source(tmp_path), tmp_path / "out.zarr"
    whole = run(path, tmp_path / "whole.zarr", factor=FACTOR, chunk=1)
    ended = subprocess.run([sys.executable, "-c", KILLED, path, target], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert left(tmp_path) == [".out.zarr.upstroke", "in.nc", "whole.zarr"]

    message = (
        f"{tmp_path}/.out.zarr.upstroke holds an unfinished run with other settings (fields, method); "
        "repeat that run to finish it, or allow overwriting to start again"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        run(path, target, factor=FACTOR, chunk=1, method="linear")

    report = run(path, target, factor=FACTOR, chunk=1)
    assert 0 < report.resumed < report.pieces
    assert report.fields["t"].error == whole.fields["t"].error
    assert report.fields["t"].after == pytest.approx(whole.fields["t"].after, rel=1e-12)
    assert left(tmp_path) == ["in.nc", "out.zarr", "whole.zarr"]
    with open_fields(target) as got, open_fields(tmp_path / "whole.zarr") as wanted:
        for each in (got, wanted):
            each.attrs.pop("history")
        xarray.testing.assert_identical(got.load(), wanted.load())
    for chunk in (tmp_path / "whole.zarr" / "t" / "c").rglob("*"):
        if chunk.is_file():
            assert chunk.read_bytes() == (target / chunk.relative_to(tmp_path / "whole.zarr")).read_bytes()


def interrupted(monkeypatch, target_class, *, after, error):
    usual, written = target_class.write, []

    def write(self, name, start, block):
        if len(written) >= after:
            raise error
        usual(self, name, start, block)
        written.append(start)

    monkeypatch.setattr(target_class, "write", write)


def test_an_interrupted_store_is_kept_and_can_be_begun_again(tmp_path, monkeypatch):
    path, target = source(tmp_path), tmp_path / "out.zarr"
    with monkeypatch.context() as patch:
        interrupted(patch, ZarrTarget, after=3, error=KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(path, target, factor=FACTOR, chunk=1)
    assert left(tmp_path) == [".out.zarr.upstroke", "in.nc"]
    report = run(path, target, factor=FACTOR, chunk=1, method="linear", overwrite=True)
    assert report.resumed == 0
    assert left(tmp_path) == ["in.nc", "out.zarr"]


def test_a_source_that_was_written_again_is_not_gone_on_with(tmp_path, monkeypatch):
    path, target = source(tmp_path), tmp_path / "out.zarr"
    with monkeypatch.context() as patch:
        interrupted(patch, ZarrTarget, after=3, error=KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(path, target, factor=FACTOR, chunk=1)
    os.utime(path, ns=(0, 0))
    with pytest.raises(FileError, match=r"with other settings \(state\)"):
        run(path, target, factor=FACTOR, chunk=1)


@pytest.mark.parametrize(("name", "target_class"), [("out.nc", NetcdfTarget), ("out.zarr", ZarrTarget)])
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, name, target_class):
    path, target = source(tmp_path), tmp_path / name
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    interrupted(monkeypatch, target_class, after=2, error=full)
    message = f"cannot write {target}: No space left on device; free some space or choose another disk"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        run(path, target, factor=FACTOR, chunk=1)
    assert left(tmp_path) == ["in.nc"]


@contextlib.contextmanager
def files_of_at_most(size):
    """What the system does when a file cannot grow, which is what a full disk looks like to libraries."""
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)


@pytest.mark.parametrize("packing", [{}, {"zlib": True}])
@pytest.mark.parametrize(("name", "size"), [("out.nc", 3000), ("out.nc", 40_000), ("out.zarr", 40_000)])
def test_a_file_that_cannot_grow_is_one_sentence(tmp_path, name, size, packing):
    made = fields()
    made.t.encoding |= packing
    path = source(tmp_path, made=made)
    message = (
        f"cannot write {tmp_path / name}: File too large; choose a disk, or a limit of the shell (ulimit -f), "
        "that allows such files"
    )
    with files_of_at_most(size), pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        run(path, tmp_path / name, factor=(24, 27))
    assert left(tmp_path) == ["in.nc"]


@pytest.mark.parametrize("packing", [{}, {"zlib": True}])
def test_a_disk_without_room_is_found_before_it_is_full(tmp_path, monkeypatch, packing):
    made = fields()
    made.t.encoding |= packing
    path, asked = source(tmp_path, made=made), []
    usual = os.statvfs

    def statvfs(folder):
        asked.append(folder)
        found = list(usual(folder))
        if len(asked) > (3 if packing else 0):
            found[4] = 2**20 // found[1]
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "statvfs", statvfs)
    message = (
        f"cannot write {tmp_path}/out.nc: No space left on device; free some space or choose another disk"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        run(path, tmp_path / "out.nc", factor=FACTOR, chunk=1)
    assert left(tmp_path) == ["in.nc"]


def test_what_exists_stays_unless_it_may_go(tmp_path):
    path = source(tmp_path)
    for name in ("out.nc", "out.zarr"):
        run(path, tmp_path / name, factor=FACTOR)
        message = (
            f"cannot write {tmp_path / name}: it exists already; choose another name or allow overwriting"
        )
        with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
            run(path, tmp_path / name, factor=1)
        with open_fields(tmp_path / name) as got:
            assert got.t.shape == (5, 2, 12, 24)
        run(path, tmp_path / name, factor=1, overwrite=True)
        with open_fields(tmp_path / name) as got:
            assert got.t.shape == SHAPE
    assert left(tmp_path) == ["in.nc", "out.nc", "out.zarr"]


def test_a_failed_overwrite_leaves_what_was_there(tmp_path, monkeypatch):
    path, target = source(tmp_path), tmp_path / "out.nc"
    run(path, target, factor=FACTOR)
    before = target.read_bytes()
    interrupted(monkeypatch, NetcdfTarget, after=1, error=OSError(errno.EIO, os.strerror(errno.EIO)))
    with pytest.raises(FileError, match="Input/output error"):
        run(path, target, factor=FACTOR, overwrite=True)
    assert target.read_bytes() == before
    assert left(tmp_path) == ["in.nc", "out.nc"]


def test_a_folder_that_is_no_store_is_never_replaced(tmp_path):
    path, target = source(tmp_path), tmp_path / "out.zarr"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    message = f"cannot write {target}: what is there is no Zarr store and stays; choose another name"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        run(path, target, factor=FACTOR, overwrite=True)
    assert (target / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(("correction", "is_said"), [("additive", True), ("softmax", False)])
def test_rain_that_becomes_negative_is_said(tmp_path, correction, is_said):
    made = fields().drop_vars("kind").fillna(0.0).clip(0.0).rename(t="rain")
    made["mirror"] = (made.rain.dims, -made.rain.values, {"units": "K"})
    path, target = source(tmp_path, made=made), tmp_path / "out.nc"
    report = run(path, target, factor=FACTOR, chunk=2, correction=correction)
    with open_fields(target) as fine:
        count = int((fine.rain < 0).sum())
    assert (count > 0) == is_said
    assert report.fields["rain"].new_below_zero == count
    assert report.fields["mirror"].new_below_zero == 0
    said = f"rain: {count} fine values are below zero, where no coarse value is; the correction softmax makes none"
    assert report.notes == ((said,) if is_said else ())


def test_two_runs_do_not_write_one_target(tmp_path, monkeypatch):
    path, target = source(tmp_path), tmp_path / "out.nc"
    usual = NetcdfTarget.write
    told = []

    def write(self, name, start, block):
        if not told:
            with pytest.raises(FileError) as error:
                run(path, target, factor=FACTOR)
            told.append(str(error.value))
        usual(self, name, start, block)

    monkeypatch.setattr(NetcdfTarget, "write", write)
    monkeypatch.setattr(module, "_cores", lambda: 1)
    run(path, target, factor=FACTOR)
    assert told == [f"cannot write {target}: another run is writing it; wait for that or choose another name"]


@pytest.mark.parametrize(
    ("target", "settings", "kind", "message"),
    [
        (
            "in.nc",
            {},
            FileError,
            "the target must be another file than the source, and outside it; got {path}/in.nc; name another",
        ),
        (
            "out.txt",
            {},
            OptionError,
            "the target must end in .nc, .nc4, .zarr, which says what is written; got {path}/out.txt; name it so",
        ),
        (
            "no/out.nc",
            {},
            FileError,
            "cannot write {path}/no/out.nc: the folder {path}/no does not exist; create it first",
        ),
        ("out.nc", {"chunk": 0}, OptionError, "chunk must be at least 1 step; got 0"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(tmp_path, target, settings, kind, message):
    path = source(tmp_path)
    with pytest.raises(kind, match=f"^{re.escape(message.format(path=tmp_path))}$"):
        run(path, tmp_path / target, factor=FACTOR, overwrite=True, **settings)
    assert left(tmp_path) == ["in.nc"]


def test_an_infinite_value_is_said_with_its_field(tmp_path):
    made = fields()
    made.t[2, 1, 0, 0] = np.inf
    path = source(tmp_path, made=made)
    with pytest.raises(OptionError, match=r"^t, from step \(2, 1\): fields must be finite"):
        run(path, tmp_path / "out.nc", factor=FACTOR, chunk=1)
    assert left(tmp_path) == ["in.nc"]


def test_a_file_that_is_damaged_inside_is_one_sentence(tmp_path):
    made = fields()
    made.t.encoding |= {"zlib": True, "fletcher32": True, "chunksizes": (1, 2, 6, 8)}
    path = source(tmp_path, made=made)
    data = bytearray(path.read_bytes())
    with pytest.importorskip("h5py").File(path) as file:
        place = file["t"].id.get_chunk_info(3)
    data[place.byte_offset : place.byte_offset + place.size] = b"x" * place.size
    path.write_bytes(data)
    start = re.escape(f"t of {path} could not be read, steps ")
    with pytest.raises(FileError, match=f"^{start}[^\n]*; write the file again$"):
        run(path, tmp_path / "out.nc", factor=FACTOR)
    assert left(tmp_path) == ["in.nc"]


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_a_cluster_gives_the_same_numbers(tmp_path, ending):
    distributed = pytest.importorskip("distributed")
    path = source(tmp_path)
    settings = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**settings, protocol="tcp", silence_logs=50) as cluster:
        report = run(
            path, tmp_path / f"out{ending}", factor=FACTOR, chunk=1, scheduler=cluster.scheduler_address
        )
    with open_fields(path) as coarse, open_fields(tmp_path / f"out{ending}") as got:
        np.testing.assert_array_equal(got.t, downscale(coarse, FACTOR).t)
    assert report.fields["t"].error < 1e-6


def test_a_scheduler_that_does_not_answer_is_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("upstroke.apps.downscale.cluster.SECONDS_TO_CONNECT", 0.2)
    path = source(tmp_path)
    start = r"no dask scheduler answers at tcp://127\.0\.0\.1:9: "
    with pytest.raises(
        BackendError, match=rf"^{start}[^\n]*; start one with `dask scheduler`, or leave --scheduler out$"
    ):
        run(path, tmp_path / "out.zarr", factor=FACTOR, scheduler="tcp://127.0.0.1:9")
    assert left(tmp_path) == ["in.nc"]


@pytest.mark.parametrize("address", ["somewhere", "smtp://host:25", "tcp://host", "tcp://host:port"])
def test_what_is_no_address_is_refused_without_asking(tmp_path, address):
    pytest.importorskip("distributed")
    path = source(tmp_path)
    message = f"a scheduler is named by its address, such as tcp://host:8786; got {address!r}; give that"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        run(path, tmp_path / "out.zarr", factor=FACTOR, scheduler=address)
    assert left(tmp_path) == ["in.nc"]


@pytest.mark.parametrize(
    ("lead", "most"),
    [((7,), 3), ((4, 5), 7), ((4, 5), 3), ((2, 3, 4), 12), ((), 5), ((0, 3), 4), ((0,), 3), ((3, 0), 4)],
)
@pytest.mark.parametrize("stored", [1, 3])
def test_blocks_and_pieces_cover_every_step_once(lead, most, stored):
    together = steps_together(lead, most)
    assert np.prod(together) <= max(most, 1)
    seen = np.zeros(lead, int)
    blocks = list(read_blocks("t", lead, together, [stored] * len(lead), most=2 * most))
    for block in blocks:
        here = np.zeros([b - a for a, b in zip(block.start, block.stop, strict=True)], int)
        for piece in block.pieces:
            here[piece.within(block)] += 1
            seen[tuple(map(slice, piece.start, piece.stop))] += 1
        assert (here == 1).all()
    assert (seen == 1).all()
    pieces = [piece for block in blocks for piece in block.pieces]
    assert sorted(pieces, key=lambda p: p.start) == sorted(
        pieces_of("t", lead, together), key=lambda p: p.start
    )
    assert len({piece.key for piece in pieces}) == len(pieces)
