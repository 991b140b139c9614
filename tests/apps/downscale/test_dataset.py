"""Hold what becomes of datasets: fields, coordinates, attributes, and laziness."""

import re

import numpy as np
import pytest

from upstroke.errors import OptionError

xarray = pytest.importorskip("xarray")

from upstroke.apps.downscale.dataset import MOST_OF_A_TASK, downscale, with_history  # noqa: E402
from upstroke.apps.downscale.plan import field_encoding, plan_for  # noqa: E402
from upstroke.apps.downscale.wanted import Wanted  # noqa: E402

FACTOR = (2, 3)


def coarse(steps=2, levels=3, dtype="float32", seed=0):
    values = np.random.default_rng(seed).standard_normal((steps, levels, 6, 8)).astype(dtype)
    coords = {
        "time": ("time", np.arange(steps), {"units": "days since 2001-01-01", "calendar": "360_day"}),
        "lev": ("lev", np.arange(levels) * 10.0),
        "lat": ("lat", np.arange(-75.0, 90.0, 30.0), {"units": "degrees_north", "comment": "kept"}),
        "lon": ("lon", np.arange(22.5, 360.0, 45.0), {"units": "degrees_east"}),
        "height": ((), 2.0, {"units": "m"}),
    }
    t = (("time", "lev", "lat", "lon"), values, {"units": "K", "cell_methods": "time: mean"})
    return xarray.Dataset({"t": t}, coords, {"title": "drawn", "history": "made"})


def means(fine, cells=(6, 8), factor=FACTOR):
    """Area-weighted block means, by a formula of its own."""
    edges = np.deg2rad(np.linspace(-90, 90, cells[0] * factor[0] + 1))
    area = np.diff(np.sin(edges))[:, None]
    split = (*fine.shape[:-2], cells[0], factor[0], cells[1], factor[1])
    weights = np.broadcast_to(area, fine.shape[-2:])
    summed = (fine.astype("f8") * weights).reshape(split).sum((-3, -1))
    return summed / weights.reshape(split[-4:]).sum((1, 3))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("method", ["nearest", "linear", "cubic"])
def test_block_means_come_back_and_the_type_stays(dtype, tolerance, method):
    dataset = coarse(dtype=dtype)
    fine = downscale(dataset, FACTOR, method=method)
    assert fine.t.dtype == dtype
    assert fine.t.shape == (2, 3, 12, 24)
    np.testing.assert_allclose(
        means(fine.t.values), dataset.t.values, atol=tolerance * abs(dataset.t).max().item()
    )


def test_plain_does_not_keep_them():
    dataset = coarse()
    fine = downscale(dataset, FACTOR, conserve=False)
    assert np.abs(means(fine.t.values) - dataset.t.values).max() > 0.01


def test_coordinates_attributes_and_what_is_not_horizontal_are_kept():
    dataset = coarse().assign(
        crs=((), 0, {"grid_mapping_name": "latitude_longitude"}),
        profile=("lev", [1.0, 2.0, 3.0]),
        name=("time", np.array(["one", "two"], object)),
        zonal=("lat", np.ones(6)),
        gw=(("time", "lat"), np.ones((2, 6))),
    )
    fine = downscale(dataset, FACTOR)
    for name in ("time", "lev", "height", "crs", "profile", "name"):
        xarray.testing.assert_identical(fine[name].variable, dataset[name].variable)
    assert "zonal" not in fine.variables
    assert "gw" not in fine.variables
    assert fine.t.attrs == dataset.t.attrs
    np.testing.assert_allclose(fine.lat, np.arange(-82.5, 90, 15), rtol=1e-14)
    assert fine.lat.attrs["comment"] == "kept"
    np.testing.assert_allclose(fine[fine.lon.attrs["bounds"]][0], [0, 15], atol=1e-12)
    assert fine.attrs["title"] == "drawn"
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: upstroke \S+ downscale\(factor=2x3, method='cubic'\)\nmade",
        fine.attrs["history"],
    )
    assert list(fine.data_vars)[:4] == ["t", "crs", "profile", "name"]
    assert dataset.attrs["history"] == "made"


def test_what_attributes_say_of_the_coarse_field_alone_is_left_out():
    dataset = coarse()
    of_all = {"units": "K", "GRIB_shortName": "t", "GRIB_typeOfLevel": "surface"}
    of_grid = {"GRIB_Nx": 8, "GRIB_iDirectionIncrementInDegrees": 45.0, "GRIB_numberOfPoints": 32}
    dataset.t.attrs = {**of_all, **of_grid, "GRIB_latitudeOfFirstGridPointInDegrees": 1.0, "valid_max": 3.0}
    dataset.lat.attrs["actual_range"] = [-67.5, 67.5]
    fine = downscale(dataset, FACTOR)
    assert fine.t.attrs == of_all
    assert "actual_range" not in fine.lat.attrs
    assert downscale(dataset, FACTOR, method="nearest").t.attrs == {**of_all, "valid_max": 3.0}


def test_what_is_left_out_is_said():
    dataset = coarse().assign(zonal=("lat", np.ones(6)))
    dataset = dataset.assign_coords(geo=(("lat", "lon"), np.ones((6, 8))))
    notes = plan_for(dataset, Wanted(factor=FACTOR)).notes
    assert "zonal is left out: it lies on the coarse lat" in notes
    assert "geo is left out: it lies on the coarse lat and lon" in notes


def test_rows_and_columns_come_last_whatever_their_order():
    dataset = coarse()
    turned = dataset.transpose("lon", "time", "lat", "lev")
    xarray.testing.assert_identical(
        downscale(turned, FACTOR).t.variable, downscale(dataset, FACTOR).t.variable
    )


def test_flags_are_copied_and_whole_numbers_with_units_refined():
    flags = np.arange(48, dtype=np.int8).reshape(6, 8)
    dataset = coarse().assign(
        kind=(("lat", "lon"), flags, {"flag_values": flags.ravel(), "flag_meanings": "many"}),
        is_land=(("lat", "lon"), flags > 20),
        orog=(("lat", "lon"), flags.astype("int16"), {"units": "m"}),
        count=(("lat", "lon"), flags.astype("int32")),
    )
    fine = downscale(dataset, FACTOR)
    for name in ("kind", "is_land", "count"):
        np.testing.assert_array_equal(fine[name], dataset[name].values.repeat(2, 0).repeat(3, 1))
        assert fine[name].dtype == dataset[name].dtype
    assert fine.orog.dtype == np.float32
    np.testing.assert_allclose(means(fine.orog.values), flags, atol=5e-5)
    assert plan_for(dataset, Wanted(factor=FACTOR)).notes == (
        "orog: whole numbers are refined as numbers with a fraction",
        "kind, is_land, count: flags or counts without units are copied from each cell to its parts",
    )


def test_counts_are_totals_once_they_say_so_and_never_copied_as_totals():
    people = np.arange(48, dtype=np.int32).reshape(6, 8)
    dataset = coarse().assign(people=(("lat", "lon"), people))
    message = (
        "a total must be of numbers; got people, whole numbers without units, which are taken for kinds; give "
        "it units, or cell_methods such as 'area: sum'"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        downscale(dataset, FACTOR, variables=["people"], quantity="total")
    dataset.people.attrs["cell_methods"] = "area: sum"
    fine = downscale(dataset, FACTOR, variables=["people"]).people.values
    np.testing.assert_allclose(fine.reshape(6, 2, 8, 3).sum((1, 3)), people, rtol=1e-12, atol=1e-12)


def test_rows_beyond_a_pole_are_copied_to_those_that_are_there():
    dataset = xarray.Dataset(
        {"kind": (("lat", "lon"), np.arange(28, dtype=np.int8).reshape(7, 4))},
        {"lat": np.arange(90.0, -91, -30), "lon": np.arange(0.0, 360, 90)},
    )
    fine = downscale(dataset, (4, 1)).kind
    assert fine.shape == (24, 4)
    assert fine.values[:, 0].tolist() == [0, 0, *np.repeat([4, 8, 12, 16, 20], 4), 24, 24]


def test_sums_over_area_are_totals_unless_told_otherwise():
    dataset = np.abs(coarse(dtype="float64"))
    dataset.t.attrs["cell_methods"] = "time: mean area: sum"
    fine = downscale(dataset, FACTOR).t.values
    totals = fine.reshape(2, 3, 6, 2, 8, 3).sum((3, 5))
    np.testing.assert_allclose(totals, dataset.t, rtol=1e-12)
    np.testing.assert_allclose(
        means(downscale(dataset, FACTOR, quantity="mean").t.values), dataset.t, atol=1e-12
    )
    dataset.t.attrs["cell_methods"] = "lat: lon: sum time: mean"
    np.testing.assert_array_equal(downscale(dataset, FACTOR).t.values, fine)


def test_a_mask_says_where_the_fine_field_is():
    dataset = coarse(dtype="float64").isel(time=0, lev=0, drop=True)
    fine = downscale(dataset, FACTOR)
    sea = xarray.ones_like(fine.t)
    sea[3, 5] = 0
    sea[4, 7] = 0.25
    got = downscale(dataset, FACTOR, mask=sea.rename("sea_fraction")).t
    assert np.isnan(got.values[3, 5])
    assert int(np.isnan(got).sum()) == 1


def test_fields_of_the_land_are_valid_where_a_mask_says_land():
    dataset = coarse(dtype="float64").isel(time=0, lev=0, drop=True)
    land = xarray.zeros_like(downscale(dataset, FACTOR).t).rename("lsm")
    land[3:, 2:] = 1.0
    for valid, wanted in (("land", land == 1), ("sea", land == 0)):
        fine = downscale(dataset, FACTOR, mask=land, valid=valid).t
        np.testing.assert_array_equal(np.isfinite(fine), wanted)


def test_lazy_and_eager_give_the_same_numbers():
    dask = pytest.importorskip("dask.array")
    dataset = coarse(steps=4)
    dataset.t[1, 0] = np.nan
    dataset.t[:, 1, 2, 3] = np.nan
    lazy = downscale(dataset.chunk(time=3, lev=1, lat=4, lon=5), FACTOR)
    assert isinstance(lazy.t.data, dask.Array)
    assert lazy.t.data.chunks == ((3, 1), (1, 1, 1), (12,), (24,))
    assert lazy.t.data._meta.dtype == np.float32
    assert lazy.t.data._meta.shape == (0, 0, 0, 0)
    eager = downscale(dataset, FACTOR)
    xarray.testing.assert_equal(lazy.compute(), eager)
    assert np.isnan(eager.t.values[1, 0]).all()


def test_a_task_stays_small_and_is_named_by_what_it_makes():
    dask = pytest.importorskip("dask.array")
    zeros = dask.zeros((40, 2, 600, 800), dtype="f4", chunks=(40, 2, 300, 400))
    lat, lon = np.linspace(-44.9, 45, 600), np.linspace(0.2, 160, 800)
    dataset = xarray.Dataset({"t": (("time", "lev", "lat", "lon"), zeros)}, {"lat": lat, "lon": lon})
    one = downscale(dataset, 2).t.data
    assert max(np.prod(each) for each in np.broadcast(*np.ix_(*one.chunks))) * 4 <= MOST_OF_A_TASK
    assert sum(one.chunks[0]) == 40
    assert downscale(dataset, 2).t.data.name == one.name
    assert downscale(dataset, 2, method="linear").t.data.name != one.name


def test_an_array_comes_back_as_an_array():
    dataset = coarse()
    fine = downscale(dataset.t, FACTOR)
    assert isinstance(fine, xarray.DataArray)
    assert fine.name == "t"
    np.testing.assert_array_equal(fine, downscale(dataset, FACTOR).t)
    assert downscale(dataset.t.rename(None), FACTOR).name is None
    assert "bounds" not in fine.lat.attrs
    message = "an array is one variable; got variables=['t']; leave that out"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        downscale(dataset.t, FACTOR, variables=["t"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variables": ["sst"]}, "there must be a variable 'sst' on lat and lon; got t; name one of these"),
        (
            {"method": "sinc"},
            "the method must be one of nearest, linear, cubic or the folder of a training run; got 'sinc'",
        ),
        (
            {"statics": "orography.nc"},
            "static fields are for a training run; got them with the method cubic; leave them out",
        ),
        (
            {"conserve": False, "correction": "softmax"},
            "the plain form has no correction; got softmax; leave out one of the two",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(settings, message):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        downscale(coarse(), FACTOR, **settings)


def test_more_cells_than_can_be_held_are_refused():
    made = coarse()
    rows, columns = made.sizes["lat"] * 100_000, made.sizes["lon"] * 200_000
    message = (
        f"a step must have at most {2**31} fine cells, which are held together; got {rows} x {columns}; "
        "take a smaller factor or a part of the globe"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        downscale(made, (100_000, 200_000))


def test_a_dataset_without_fields_is_refused():
    message = "there must be a variable on lat and lon; the variables are: crs; choose another file"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        downscale(coarse().drop_vars("t").assign(crs=0), FACTOR)


def test_an_infinite_value_is_refused():
    dataset = coarse()
    dataset.t[0, 1, 2, 3] = np.inf
    with pytest.raises(OptionError, match="infinite"):
        downscale(dataset, FACTOR)


def test_packed_fields_are_not_packed_again():
    packed = {"dtype": "int16", "scale_factor": 0.1, "_FillValue": -1, "zlib": True, "chunksizes": (1, 6, 8)}
    assert repr(field_encoding(packed, np.dtype("f4"))) == repr(
        {"dtype": np.dtype("f4"), "zlib": True, "_FillValue": np.nan}
    )
    floats = {"dtype": "float32", "_FillValue": -999.0}
    assert field_encoding(floats, np.dtype("f4")) == {"dtype": np.dtype("f4"), "_FillValue": -999.0}


def test_a_history_begins_where_there_was_none():
    assert re.fullmatch(r"\S+Z: upstroke", with_history({}, "upstroke")["history"])


class Learned:
    """What a training run gives, with the nearest cell for a network."""

    factor = FACTOR
    variables = ("t",)

    def downscaler(self, coarse, **settings):
        from upstroke.apps.downscale.downscaler import downscaler

        self.settings = settings
        return downscaler(coarse, FACTOR, method="nearest", quantity=settings["quantity"])


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """A folder that reads as a training run."""
    import sys
    from types import SimpleNamespace

    learned = Learned()
    name = "upstroke.apps.downscale.learned.apply"
    monkeypatch.setitem(sys.modules, name.rpartition(".")[0], SimpleNamespace())
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(load_learned=lambda path: learned))
    learned.path = tmp_path
    return learned


def test_a_training_run_refines_what_it_knows(trained):
    dataset = coarse().assign(u=lambda each: each.t * 2)
    fine = downscale(dataset, FACTOR, method=trained.path, conserve=False)
    np.testing.assert_array_equal(fine.t, downscale(dataset, FACTOR, method="nearest").t)
    assert list(fine.data_vars) == ["t"]
    wanted = {"variable": "t", "fraction": None, "quantity": "mean", "statics": None, "conserve": False}
    assert trained.settings == wanted
    notes = plan_for(dataset, Wanted(factor=FACTOR, method=trained.path)).notes
    assert notes == (f"u is left out: {trained.path} was trained on t alone",)


def test_a_training_run_gets_its_statics_on_the_fine_cells(trained):
    dataset = coarse()
    fine = downscale(dataset, FACTOR).isel(time=0, lev=0, drop=True).rename(t="orog")
    downscale(dataset, FACTOR, method=trained.path, statics=fine.transpose("lon", ...))
    np.testing.assert_array_equal(trained.settings["statics"]["orog"], fine.orog)
    with pytest.raises(
        OptionError, match=r"^static fields must lie on the fine cells, <lat: 12 .*; got <lat: 6 "
    ):
        downscale(dataset, FACTOR, method=trained.path, statics=dataset.isel(time=0, lev=0))


@pytest.mark.parametrize(
    ("factor", "settings", "message"),
    [
        (2, {}, "{path} was trained for a factor of 2x3; got 2x2; take that"),
        (
            FACTOR,
            {"variables": ["t", "u"]},
            "u cannot be refined: {path} was trained on t alone; rename it, or train on it",
        ),
    ],
)
def test_what_a_training_run_cannot_do_is_refused(trained, factor, settings, message):
    dataset = coarse().assign(u=lambda each: each.t * 2)
    with pytest.raises(OptionError, match=f"^{re.escape(message.format(path=trained.path))}$"):
        downscale(dataset, factor, method=trained.path, **settings)
