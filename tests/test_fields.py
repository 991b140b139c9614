"""Hold the reading of fields: kinds of files, packed numbers, times as they are, and one sentence for bad files."""

import re

import numpy as np
import pytest

from grib_messages import first_messages
from upstroke.errors import FileError
from upstroke.files.fields import field_format, holds_kinds, open_fields

xarray = pytest.importorskip("xarray")


def dataset():
    times = xarray.Variable("time", [0, 31, 59], {"units": "days since 2001-01-01", "calendar": "360_day"})
    lat = xarray.Variable("lat", [10.0, 20.0], {"units": "degrees_north"})
    lon = xarray.Variable("lon", [0.0, 10.0, 20.0], {"units": "degrees_east"})
    sst = np.arange(18, dtype=np.float32).reshape(3, 2, 3)
    sst[0, 0, 0] = np.nan
    return xarray.Dataset(
        {"sst": (("time", "lat", "lon"), sst, {"units": "degC"})}, {"time": times, "lat": lat, "lon": lon}
    )


def written(folder, name, fields=None):
    path = folder / name
    fields = dataset() if fields is None else fields
    if name.startswith("v"):
        fields.to_zarr(path, zarr_format=int(name[1]), consolidated=False)
    elif name.startswith("classic"):
        fields.to_netcdf(path, format="NETCDF3_CLASSIC", engine="netcdf4")
    else:
        fields.to_netcdf(path, engine="netcdf4")
    return path


@pytest.mark.parametrize("name", ["four.nc", "classic.nc", "four.data", "v2.zarr", "v3.zarr"])
def test_every_kind_gives_the_same_fields_and_the_times_as_written(tmp_path, name):
    path = written(tmp_path, name)
    with open_fields(path) as got:
        xarray.testing.assert_identical(got.load(), dataset())
        assert got.time.attrs["calendar"] == "360_day"
        assert got.sst.dtype == np.float32


def test_packed_integers_become_floats_and_ranges_come_along(tmp_path):
    encoding = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 273.15, "_FillValue": -32768}
    fields = dataset().assign(wide=lambda each: each.sst.astype("float64") / 8)
    fields.sst.attrs["valid_range"] = np.array([-300, 4500], np.int16)
    fields.sst.encoding = encoding
    fields.wide.encoding = {"dtype": "int32", "scale_factor": np.float32(0.125), "_FillValue": -1}
    with open_fields(written(tmp_path, "packed.nc", fields)) as got:
        assert got.sst.dtype == np.float32
        assert got.wide.dtype == np.float64
        np.testing.assert_allclose(got.sst, dataset().sst, atol=0.006)
        assert np.isnan(got.sst[0, 0, 0])
        assert np.isnan(got.wide[0, 0, 0])
        np.testing.assert_allclose(got.sst.attrs["valid_range"], [270.15, 318.15], rtol=1e-6)
        assert got.sst.encoding["dtype"] == np.int16


def test_flags_stay_integers_and_whole_metres_do_not(tmp_path):
    fields = xarray.Dataset(
        {
            "kind": ("x", np.array([1, 2], np.int8), {"flag_values": [1, 2], "units": "1"}),
            "height": (("y", "x"), np.array([[7, -1]], np.int16), {"units": "m"}),
            "number": (("y", "x"), np.array([[7, -1]], np.int16)),
            "people": (
                ("y", "x"),
                np.array([[7, -1]], np.int32),
                {"units": "1", "cell_methods": "area: sum"},
            ),
        }
    )
    fields.height.encoding["_FillValue"] = np.int16(-1)
    fields.number.encoding["_FillValue"] = np.int16(-1)
    fields.people.encoding["_FillValue"] = np.int32(-1)
    with open_fields(written(tmp_path, "kinds.nc", fields)) as got:
        assert got.kind.dtype == np.int8
        assert got.number.dtype == np.int16
        assert got.number.values.tolist() == [[7, -1]]
        assert got.height.dtype == np.float32
        assert np.isnan(got.height.values[0, 1])
        assert got.people.dtype == np.float64
        assert got.people.values[0, 0] == 7
        assert np.isnan(got.people.values[0, 1])
        assert holds_kinds(got.kind.variable)
        assert not holds_kinds(got.height.variable)


def test_grib_is_read_and_no_index_stays_beside_it(tmp_path, data_dir):
    pytest.importorskip("cfgrib")
    path = tmp_path / "era5.grib"
    whole = data_dir / "climate" / "era5_t2m_uk" / "era5-2mt-2019-03-uk.grib"
    path.write_bytes(first_messages(whole, 6))
    with open_fields(path) as got:
        assert got.t2m.shape == (6, 33, 49)
        assert got.time.attrs["units"] == "seconds since 1970-01-01T00:00:00"
        assert 260 < float(got.t2m[0].mean()) < 300
    assert [each.name for each in tmp_path.iterdir()] == ["era5.grib"]


def test_several_files_follow_each_other(tmp_path):
    parts = [dataset().isel(time=slice(0, 1)), dataset().isel(time=slice(1, 3))]
    paths = [written(tmp_path, f"{k}.nc", part) for k, part in enumerate(parts)]
    with open_fields(paths) as got:
        xarray.testing.assert_identical(got.load(), dataset())
    parts[1].time.attrs["units"] = "hours since 2001-01-01"
    paths[1].unlink()
    written(tmp_path, "1.nc", parts[1])
    message = (
        "files that follow each other must have one units of time; got 'days since 2001-01-01' in "
        f"{paths[0]} and 'hours since 2001-01-01' in {paths[1]}; convert one of them"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        open_fields(paths)


WANTED = "fields must be a NetCDF or GRIB file or a Zarr store"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no file {path}"),
        (lambda path: path.write_bytes(b""), "{path} is empty; write it again"),
        (
            lambda path: path.write_text("lat,lon\n"),
            "{path} begins like none of these; name another file or convert it",
        ),
        (lambda path: path.mkdir(), "{path} is a folder without Zarr's metadata; name a file or a store"),
        (
            lambda path: path.symlink_to("nothing"),
            "{path} is a device, a pipe or a link to nothing; name a file",
        ),
    ],
)
def test_what_is_no_file_of_fields_is_said_in_one_sentence(tmp_path, make, message):
    path = tmp_path / "a.nc"
    make(path)
    whole = f"{WANTED}; {message.format(path=path)}"
    with pytest.raises(FileError, match=f"^{re.escape(whole)}$"):
        open_fields(path)


@pytest.mark.parametrize("name", ["four.nc", "classic.nc"])
def test_a_file_that_was_cut_is_refused(tmp_path, name):
    path = written(tmp_path, name)
    path.write_bytes(path.read_bytes()[:200])
    start = re.escape(f"{path} could not be read as NetCDF: ")
    with pytest.raises(FileError, match=f"^{start}[^\n]*; write it again or check how it was made$"):
        open_fields(path)


def test_a_store_whose_metadata_is_no_json_is_refused(tmp_path):
    path = written(tmp_path, "v3.zarr")
    (path / "zarr.json").write_text("{")
    assert field_format(path) == "zarr"
    start = re.escape(f"{path} could not be read as Zarr: ")
    with pytest.raises(FileError, match=f"^{start}[^\n]*; write it again or check how it was made$"):
        open_fields(path)


def test_a_list_without_files_is_refused():
    with pytest.raises(FileError, match=f"^{WANTED}; got an empty list; name at least one$"):
        open_fields([])


@pytest.mark.parametrize(
    ("name", "groups", "remedy"),
    [
        ("a.nc", "model/ocean", "bring one to the root, as ncks -G : does"),
        ("a.zarr", "model", "name one as {path}/model"),
    ],
)
def test_variables_in_groups_are_not_taken_for_none(tmp_path, name, groups, remedy):
    path = tmp_path / name
    made = xarray.Dataset({"sst": (("lat", "lon"), np.ones((2, 3)))})
    if name.endswith(".nc"):
        made.to_netcdf(path, group="model/ocean", engine="netcdf4")
    else:
        made.to_zarr(path, group="model", zarr_format=3, consolidated=False)
    message = f"{WANTED} with its variables at the root; {path} has them in {groups}; {remedy}"
    with pytest.raises(FileError, match=f"^{re.escape(message.format(path=path))}$"):
        open_fields(path)
