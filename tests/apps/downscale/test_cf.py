"""Coordinates and cells: what real files hold, what bounds say, laws of the way back, one sentence for the rest."""

import re
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.downscale.cf import cells_of, coordinates_of
from upstroke.errors import OptionError, ShapeError

LAT, LON = np.array([10.0, 10.5, 11.0]), np.array([20.0, 22.0, 24.0, 26.0])
MEND = "mend them, or drop the attribute bounds to take values as middles"


def field(y, x, names=("lat", "lon"), attrs=({}, {})):
    """Make an array with these coordinates and nothing else."""
    axes = {name: (name, values, about) for name, values, about in zip(names, (y, x), attrs, strict=True)}
    return xr.DataArray(np.zeros((len(y), len(x))), axes, names, name="f")


def bounded(y, ends, *, name="lat", other=None, **attrs):
    """Make a dataset whose rows, or columns, have bounds."""
    dims = (name, "lon" if name == "lat" else "lat")
    axes = {name: (name, y, {"bounds": f"{name}_bnds", **attrs})}
    axes[dims[1]] = other if other is not None else (LON if name == "lat" else LAT)
    made = xr.Dataset({"f": (dims, np.zeros((len(y), len(axes[dims[1]]))))}, axes)
    made[f"{name}_bnds"] = ((name, "bnds"), np.asarray(ends))
    return made


def pairs(edges):
    return np.stack([edges[:-1], edges[1:]], axis=-1)


def refuses(error, message, source, **options):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        cells_of(source, **options)


# real files


@pytest.mark.parametrize(("file", "y", "x"), [
    ("oisst_daily_025/oisst-avhrr-v02r01.20211025.nc", (-90, 0.25, 720), (0, 0.25, 1440)),
    ("oisst_daily_025/sst4-metopab-eot-intv2.20160116_Ligang.nc", (-90, 0.25, 720), (0, 0.25, 1440)),
    ("oisst_natl_july_means_025/oisst_natl_2017_m07.nc", (50, 0.25, 120), (-55, 0.25, 360)),
    ("orography_2to1/orog_mod2_rectilinear_grid_2D.nc", (-45.98, 0.44, 201), (-24.86, 0.44, 194)),
    ("orography_2to1/orog_mod3_rectilinear_grid_2D.nc", (-45.98, 0.22, 402), (-24.86, 0.22, 388)),
])  # fmt: skip
def test_real_files(data_dir, file, y, x):
    with xr.open_dataset(data_dir / "climate" / file, decode_times=False) as source:
        cells = cells_of(source)
    for axis, (first, step, size) in ((cells.y, y), (cells.x, x)):
        # the nearest numbers to what is meant, not to what float32 kept of it
        assert axis.edges.tolist() == [round(first + step * k, 10) for k in range(size + 1)]
    assert (cells.y.kind, cells.x.kind) == ("latitude", "longitude")
    assert cells.x.is_periodic == (x[2] == 1440)


def test_one_orography_is_nested_in_the_other(data_dir):
    def cells(which):
        file = data_dir / "climate/orography_2to1" / f"orog_mod{which}_rectilinear_grid_2D.nc"
        with xr.open_dataset(file, decode_times=False) as source:
            return cells_of(source), source.rlat.values, source.rlon.values

    (coarse, _, _), (fine, rlat, rlon) = cells(2), cells(3)
    assert coarse.factor_to(fine) == (2, 2)
    halved, dropped = coarse.refined(2)
    assert dropped == (0, 0)
    for axis, values in ((halved.y, rlat), (halved.x, rlon)):
        np.testing.assert_allclose(axis.centres, values, atol=4e-6)
    assert halved.y.edges.tolist() == fine.y.edges.tolist()
    assert halved.x.edges.tolist() == fine.x.edges.tolist()


def test_era5_runs_from_north_to_south(data_dir):
    path = data_dir / "climate/era5_t2m_uk/era5-2mt-2019-03-uk.grib"
    options = {"engine": "cfgrib", "decode_times": False, "backend_kwargs": {"indexpath": ""}}
    with xr.open_dataset(path, **options) as source:
        cells = cells_of(source.t2m)
    assert (cells.y.name, cells.x.name) == ("latitude", "longitude")
    assert cells.y.edges[[0, 1, -1]].tolist() == [58.125, 57.875, 49.875]
    assert cells.x.edges[[0, -1]].tolist() == [-10.125, 2.125]
    assert not cells.x.is_periodic


# values


@pytest.mark.parametrize(
    "step", [Fraction(1, 4), Fraction(1, 10), Fraction(1, 3), Fraction(11, 100), Fraction(45, 16)]
)
@pytest.mark.parametrize("falls", [False, True])
def test_float32_is_rounded_to_even_steps(step, falls):
    longitudes = (np.arange(50) + 0.5) * float(step)
    values = longitudes[::-1] if falls else longitudes
    axis = cells_of(field(LAT, values.astype(np.float32))).x
    edges = axis.edges[::-1] if falls else axis.edges
    assert edges.tolist() == [float(step * k) for k in range(51)]


@given(
    st.sampled_from([0.25, 0.1, 0.44, 1 / 3, 7.5, 1000.0, 4000 / 3]),
    st.integers(-500, 500),
    st.integers(2, 60),
    st.sampled_from([np.float32, np.float64]),
)
def test_edges_stay_within_what_the_digits_leave_open(step, first, size, dtype):
    values = ((first / 8 + np.arange(size)) * step).astype(dtype)
    units = {"units": "km"}
    axis = cells_of(field(values, values, ("y", "x"), (units, units))).x
    last_place = np.spacing(np.abs(values).max().astype(dtype))
    assert np.abs(axis.centres - values).max() <= 4 * last_place
    np.testing.assert_allclose(np.diff(axis.edges), step, rtol=1e-12 if dtype == np.float64 else 2e-5)


@pytest.mark.parametrize("columns", [1440, 360, 7, 1153, 2])
@pytest.mark.parametrize("first", [0.0, -180.0, 0.5])
def test_longitudes_round_the_globe_are_periodic(columns, first):
    values = first + np.arange(columns) * 360 / columns
    for each in (values, values[::-1], values.astype(np.float32)):
        axis = cells_of(field(LAT, each)).x
        assert axis.is_periodic
        assert abs(axis.edges[-1] - axis.edges[0]) == 360
    if columns > 2:
        assert not cells_of(field(LAT, values[:-1])).x.is_periodic


@pytest.mark.parametrize("columns", [1153, 50021, 65537])
def test_steps_over_the_globe_are_exact_however_they_are_written(columns):
    values = (np.arange(columns) + 0.5) * 360 / columns
    for written in (values.astype(np.float32), np.round(values, 6)):
        axis = cells_of(field(LAT, written)).x
        assert axis.edges.tolist() == [k * 360 / columns for k in range(columns + 1)]


@pytest.mark.parametrize("cut", [1, 7, 100, 359])
@pytest.mark.parametrize("first", [0.0, -179.5])
def test_wrapped_longitudes_go_on(cut, first):
    values = first + np.arange(360.0)
    wrapped = np.concatenate([values[cut:], values[:cut]])
    for each, sign in ((wrapped, 1), (wrapped[::-1], -1)):
        axis = cells_of(field(LAT, each)).x
        assert axis.is_periodic
        assert np.sign(axis.spacing) == sign
        assert ((axis.centres - each) % 360 == 0).all()


def test_wrapped_regional_longitudes_go_on():
    axis = cells_of(field(LAT, np.array([358, 359, 0, 1, 2], dtype=np.float32))).x
    assert axis.edges.tolist() == [357.5, 358.5, 359.5, 360.5, 361.5, 362.5]
    assert cells_of(field(LAT, np.array([359.5, 0.5]))).x.edges.tolist() == [359, 360, 361]


@pytest.mark.parametrize("rows", [181, 721, 73])
def test_rows_centred_on_the_poles_reach_beyond_them(rows):
    axis = cells_of(field(np.linspace(90, -90, rows, dtype=np.float32), LON)).y
    assert axis.edges[0] == -axis.edges[-1] == 90 + 90 / (rows - 1)
    np.testing.assert_allclose(axis.weights.sum(), 2, rtol=1e-14)


# what says which coordinate it is


@pytest.mark.parametrize(("names", "attrs", "kind"), [
    (("lat", "lon"), ({}, {}), "latitude"),
    (("Latitude", "Longitude"), ({}, {}), "latitude"),
    (("j", "i"), ({"standard_name": "latitude"}, {"standard_name": "longitude"}), "latitude"),
    (("j", "i"), ({"units": "degrees_north"}, {"units": "degrees_east"}), "latitude"),
    (("y", "x"), ({"units": "degree_N"}, {"units": "degreesE"}), "latitude"),
    (("y", "x"), ({"units": "degrees"}, {"units": "degrees"}), "latitude"),
    (("rlat", "rlon"), ({"units": "degrees"}, {"units": "degrees"}), "latitude"),
    (("j", "i"), ({"standard_name": "grid_latitude", "units": "degrees"},
                  {"standard_name": "grid_longitude", "units": "degrees"}), "latitude"),
    (("j", "i"), ({"axis": "Y", "units": "km"}, {"axis": "X", "units": "km"}), "projected"),
    (("y", "x"), ({"units": "m"}, {"units": "metres"}), "projected"),
    (("yc", "xc"), ({"standard_name": "projection_y_coordinate"}, {"standard_name": "projection_x_coordinate"}),
     "projected"),
])  # fmt: skip
def test_coordinates_are_found(names, attrs, kind):
    cells = cells_of(field(LAT, LON, names, attrs))
    assert (cells.y.name, cells.x.name, cells.y.kind) == (*names, kind)
    assert cells.y.units == attrs[0].get("units", "")
    assert cells.shape == (3, 4)


def test_a_coordinate_may_have_another_name_than_its_dimension():
    source = xr.Dataset({"f": (("j", "i"), np.zeros((3, 4))), "lat": ("j", LAT), "lon": ("i", LON)})
    for each in (source, source.set_coords(["lat", "lon"]), source.set_coords(["lat", "lon"]).f):
        cells = cells_of(each)
        assert (cells.y.name, cells.x.name) == ("j", "i")
        fine = coordinates_of(cells.refined(2)[0], like=each)
        assert [(name, each.dims) for name, each in fine.items()] == [
            ("lat", ("j",)),
            ("lat_bnds", ("j", "bnds")),
            ("lon", ("i",)),
            ("lon_bnds", ("i", "bnds")),
        ]


def test_maps_of_latitude_beside_axes_of_a_rotated_pole_are_no_hindrance():
    about = ({"standard_name": "grid_latitude", "units": "degrees"},
             {"standard_name": "grid_longitude", "units": "degrees"})  # fmt: skip
    source = field(LAT, LON, ("rlat", "rlon"), about)
    maps = {
        name: (("rlat", "rlon"), np.zeros((3, 4)), {"standard_name": name})
        for name in ("latitude", "longitude")
    }
    assert cells_of(source.assign_coords(maps)).y.name == "rlat"


def test_one_of_several_is_chosen_by_name():
    source = xr.Dataset(
        coords={"lat": LAT, "lon": LON, "lat_2": ("lat_2", LAT + 1, {"units": "degrees_north"})}
    )
    source["lat"].attrs["units"] = "degrees_north"
    refuses(
        OptionError,
        "there must be one coordinate of latitude; got lat and lat_2; pass y= with the name of one",
        source,
    )
    assert cells_of(source, y="lat_2").y.edges[0] == 10.75
    refuses(
        OptionError, "y must name a coordinate; got 'lats', and there are lat, lon, lat_2", source, y="lats"
    )


def test_the_coordinate_of_a_dimension_comes_before_others():
    source = field(LAT, LON).to_dataset()
    source["station_lat"] = ("station", LAT, {"units": "degrees_north"})
    source["lat"].attrs["units"] = "degrees_north"
    assert cells_of(source).y.name == "lat"


# bounds


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("falls", [False, True])
def test_bounds_are_honoured(turned, falls):
    # the values stand near the south end of each cell, which only bounds can tell
    edges = np.array([9.9, 10.4, 10.9, 11.4])
    ends, values = pairs(edges), LAT
    if falls:
        ends, values, edges = ends[::-1], values[::-1], edges[::-1]
    source = bounded(values, ends[:, ::-1] if turned else ends)
    assert cells_of(source).y.edges.tolist() == edges.tolist()
    # an array cannot carry them
    assert cells_of(source.f).y.edges.tolist() == (
        [11.25, 10.75, 10.25, 9.75] if falls else [9.75, 10.25, 10.75, 11.25]
    )


def test_bounds_in_float32_are_rounded_to_even_steps():
    edges = np.arange(41) * 0.1
    source = bounded((edges[:-1] + edges[1:]).astype(np.float32) / 2, pairs(edges.astype(np.float32)))
    assert cells_of(source).y.edges.tolist() == [k / 10 for k in range(41)]


def test_one_row_or_column_needs_bounds():
    refuses(
        ShapeError,
        "lat must have bounds where it has one value; got none, and nothing else says how long the cell is; "
        "take a dataset that holds them, or more rows and columns",
        field(LAT[:1], LON),
    )
    cells = cells_of(bounded([180.0], [[0, 360]], name="lon"))
    assert cells.x.is_periodic
    assert cells.x.edges.tolist() == [0, 360]


def test_bounds_that_end_at_the_poles_belong_to_rows_centred_on_them():
    values = np.linspace(-90, 90, 19)
    ends = np.clip(pairs(np.linspace(-95, 95, 20)), -90, 90)
    for each in (bounded(values, ends), bounded(values[::-1], ends[::-1, ::-1])):
        assert sorted(cells_of(each).y.edges[[0, -1]]) == [-95, 95]
    # the same with the outermost values in the middle of their halves
    values[[0, -1]] = -87.5, 87.5
    assert cells_of(bounded(values, ends)).y.edges[[0, -1]].tolist() == [-95, 95]


def test_bounds_of_longitudes_differ_by_whole_turns():
    values = np.arange(0.0, 360, 45)
    ends = pairs(np.arange(-22.5, 360, 45))
    for each in (ends, ends % 360, (ends + 180) % 360 - 180, ends + 360):
        axis = cells_of(bounded(values, each, name="lon")).x
        assert axis.edges.tolist() == np.arange(-22.5, 360, 45).tolist()
        assert axis.is_periodic


def test_bounds_must_be_there():
    source = bounded(LAT, pairs(np.arange(9.75, 11.5, 0.5))).drop_vars("lat_bnds")
    refuses(
        OptionError,
        "the bounds that lat names must be there; got no variable lat_bnds; add it, or drop the attribute bounds to take "
        "values as middles",
        source,
    )
    source["lat"].encoding["bounds"] = source["lat"].attrs.pop("bounds")
    with pytest.raises(OptionError, match="the bounds that lat names must be there"):
        cells_of(source)


@pytest.mark.parametrize(("ends", "error", "message"), [
    ([[9.75, 10.25], [10.25, 10.7], [10.75, 11.25]], OptionError,
     f"the bounds lat_bnds must join from cell to cell; got a gap between 10.7 and 10.75 at place 1; {MEND}"),
    ([[9.75, 10.3], [10.25, 10.75], [10.75, 11.25]], OptionError,
     f"the bounds lat_bnds must join from cell to cell; got an overlap between 10.3 and 10.25 at place 0; {MEND}"),
    ([[9.75, 10.25], [10.25, 10.65], [10.65, 11.25]], ShapeError,
     ("the bounds lat_bnds must have even steps; got steps from 0.4 to 0.6, which is an irregular grid; "
      "interpolate to even steps first")),
    ([[10.75, 11.25], [11.25, 11.75], [11.75, 12.25]], OptionError,
     f"the bounds lat_bnds must have lat inside every cell; got 10 with 10.75 and 11.25 at place 0; {MEND}"),
    # off by half a cell, as where a value was taken for an end
    ([[10.0, 10.5], [10.5, 11.0], [11.0, 11.5]], OptionError,
     f"the bounds lat_bnds must have lat inside every cell; got 10 with 10 and 10.5 at place 0; {MEND}"),
    ([[0, 0], [0, 0], [0, 0]], OptionError,
     f"the bounds lat_bnds must have lat inside every cell; got 10 with 0 and 0 at place 0; {MEND}"),
    ([[9.75, 10.25], [10.25, np.nan], [10.75, 11.25]], OptionError,
     f"the bounds lat_bnds must be finite numbers; got 10.25 and nan at place 1; {MEND}"),
    (np.zeros((3, 3)), ShapeError,
     f"the bounds lat_bnds must be two numbers for each of the 3 cells of lat; got float64 on (lat: 3, bnds: 3); {MEND}"),
])  # fmt: skip
def test_wrong_bounds_are_refused(ends, error, message):
    refuses(error, message, bounded(LAT, ends))


def test_bounds_stored_the_other_way_round_are_read():
    source = bounded(LAT, pairs(np.arange(9.75, 11.5, 0.5)))
    source["lat_bnds"] = source.lat_bnds.transpose()
    assert cells_of(source).y.edges.tolist() == [9.75, 10.25, 10.75, 11.25]


# refusals


def gaussian(rows):
    return np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(rows)[0]))


@pytest.mark.parametrize("rows", [32, 96, 320])
def test_gaussian_latitudes_are_irregular(rows):
    with pytest.raises(
        ShapeError, match=r"^lat must have even steps; got steps from .* which is an irregular grid"
    ):
        cells_of(field(gaussian(rows), LON))


@pytest.mark.parametrize(("values", "error", "message"), [
    ([10, 11, 11, 12], OptionError, "every value of lat must come once; got 11 at places 1 and 2; drop the duplicates"),
    ([10, 11, 10.5, 12], OptionError,
     "lat must rise or fall throughout; got 11, 10.5, 12 from place 1 on; sort the field by it"),
    ([10, 11, 12.5], ShapeError,
     "lat must have even steps; got steps from 1 to 1.5, which is an irregular grid; interpolate to even steps first"),
    ([10, np.nan, 12], OptionError, "lat must hold finite numbers; got nan at place 1; repair the coordinate"),
    ([80, 90, 100], OptionError, "lat must lie within +-90 degrees; got 100; convert its values to degrees"),
    (["a", "b"], OptionError, "lat must hold numbers; got <U1; pass y= with the name of another coordinate"),
    ([], ShapeError, "lat must have at least one value; got none; take a larger part of the file"),
])  # fmt: skip
def test_values_that_are_no_rows_are_refused(values, error, message):
    refuses(error, message, field(np.array(values, dtype=None if values else float), LON))


def test_columns_that_come_twice_are_refused():
    refuses(
        OptionError,
        "lon must go round the globe once at most; got cells over 361 degrees; drop the columns that come twice",
        field(LAT, np.arange(361.0)),
    )


CONVERT = "convert its values, or mend the attribute"
CONTRADICTION = "must be of rows or of columns; got {} for rows and {} for columns; mend its attributes"


@pytest.mark.parametrize(("names", "attrs", "message"), [
    (("lat", "lon"), ({"units": "degrees_east"}, {"units": "degrees_north"}),
     "lon " + CONTRADICTION.format("units 'degrees_north'", "its name")),
    (("a", "b"), ({"standard_name": "latitude", "units": "degrees_east"}, {"standard_name": "longitude"}),
     "a " + CONTRADICTION.format("standard_name 'latitude'", "units 'degrees_east'")),
    (("lat", "lon"), ({"axis": "X"}, {"axis": "Y"}), "lon " + CONTRADICTION.format("axis 'Y'", "its name")),
    (("lat", "lon"), ({"units": "radians"}, {"units": "radians"}),
     "the units of lat must be degrees_north; got 'radians'; convert its values, or mend the attribute"),
    (("y", "x"), ({"units": "1"}, {"units": "1"}),
     "the units of y must be degrees_north or a length such as m or km; got '1'; " + CONVERT),
    (("y", "x"), ({}, {}),
     "the units of y must be degrees_north or a length such as m or km; got none; " + CONVERT),
    (("b", "a"), ({"standard_name": "projection_y_coordinate", "units": "rad"}, {"axis": "X"}),
     "the units of b must be a length such as m or km; got 'rad'; convert its values, or mend the attribute"),
    (("lat", "x"), ({}, {"units": "m"}),
     "cells are latitudes by longitudes or two lengths of a projection; got lat of latitude by x of projected"),
])  # fmt: skip
def test_attributes_that_contradict_are_refused(names, attrs, message):
    refuses(OptionError, message, field(LAT, LON, names, attrs))


def test_no_coordinates_are_refused():
    refuses(
        OptionError,
        "a coordinate of latitude must be told by standard_name, units, axis or name; got the coordinates none; "
        "pass y= with the name of one",
        xr.DataArray(np.zeros((3, 4)), dims=("y", "x")),
    )
    refuses(
        OptionError,
        "a coordinate of longitude must be told by standard_name, units, axis or name; got the coordinates lat, time; "
        "pass x= with the name of one",
        xr.Dataset(coords={"lat": LAT, "time": [0, 1]}),
    )


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("declared", [False, True])
def test_curvilinear_grids_are_refused(numbered, declared):
    about = {"nav_lat": {"standard_name": "latitude"}, "nav_lon": {"units": "degrees_east"}}
    source = xr.Dataset({name: (("y", "x"), np.zeros((3, 4)), attrs) for name, attrs in about.items()})
    if numbered:
        source = source.assign_coords(y=np.arange(3), x=np.arange(4))
    if declared:
        source = source.set_coords(list(about))
    refuses(
        ShapeError,
        "nav_lat must have one dimension; got (y, x), which is a curvilinear grid; "
        "interpolate to a rectangular grid first",
        source,
    )
    with pytest.raises(ShapeError, match=r"^nav_lon must have one dimension"):
        cells_of(source, y="nav_lon")


def test_lists_of_points_are_refused():
    refuses(
        ShapeError,
        "rows and columns must be two dimensions; got lat and lon both on ncells, which is a list of points; "
        "interpolate them to a rectangular grid first",
        xr.Dataset({"lat": ("ncells", LON), "lon": ("ncells", LON)}),
    )


# the way back


@st.composite
def grids(draw):
    size = [draw(st.integers(2, 12)) for _ in range(2)]
    step = [draw(st.sampled_from([0.25, 0.44, 1 / 3, 1.0])) for _ in range(2)]
    first = [draw(st.sampled_from([-10.0, 0.125, 30.0])) for _ in range(2)]
    values = [f + s * np.arange(n) for f, s, n in zip(first, step, size, strict=True)]
    return field(*(each[::-1] if draw(st.booleans()) else each for each in values))


@given(grids(), st.integers(1, 4), st.integers(1, 4))
def test_coordinates_are_read_as_the_cells_they_were_made_of(source, rows, columns):
    fine, _ = cells_of(source).refined((rows, columns))
    made = xr.Dataset(coordinates_of(fine, like=source))
    for each in (made, made.drop_vars(["lat_bnds", "lon_bnds"]).assign(made[["lat", "lon"]])):
        if "lat_bnds" not in each:
            for name in ("lat", "lon"):
                del each[name].attrs["bounds"]
        if min(fine.shape) > 1 or "lat_bnds" in each:
            again = cells_of(each)
            assert again.y.edges.tolist() == fine.y.edges.tolist()
            assert again.x.edges.tolist() == fine.x.edges.tolist()


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_polar_rows_come_back_from_their_coordinates(factor):
    coarse = cells_of(field(np.linspace(90, -90, 37), np.arange(0, 360, 5.0)))
    fine, _ = coarse.refined((factor, 1))
    made = xr.Dataset(coordinates_of(fine, like=field(LAT, LON)))
    assert np.abs(made.lat).max() <= 90
    assert np.abs(made.lat_bnds).max() == 90
    assert cells_of(made).y.edges.tolist() == fine.y.edges.tolist()
    # and without a factor the values are those of the source
    assert (
        coordinates_of(coarse, like=field(LAT, LON))["lat"].values.tolist()
        == np.linspace(90, -90, 37).tolist()
    )


def test_attributes_are_kept_and_completed():
    source = bounded(
        LAT.astype(np.float32), pairs(np.arange(9.75, 11.5, 0.5)), long_name="Breite", units="degree_N"
    )
    source = source.rename(bnds="nv", lat_bnds="edges_of_lat")
    source["lat"].attrs["bounds"] = "edges_of_lat"
    made = coordinates_of(cells_of(source).refined(2)[0], like=source)
    assert list(made) == ["lat", "edges_of_lat", "lon", "lon_bnds"]
    assert made["lat"].attrs == {
        "bounds": "edges_of_lat",
        "long_name": "Breite",
        "units": "degree_N",
        "standard_name": "latitude",
        "axis": "Y",
    }
    assert made["lon"].attrs == {
        "bounds": "lon_bnds",
        "units": "degrees_east",
        "standard_name": "longitude",
        "axis": "X",
    }
    assert made["edges_of_lat"].dims == ("lat", "nv")
    assert all(each.dtype == np.float64 for each in made.values())
    assert "axis" not in source["lat"].attrs


def test_projected_coordinates_are_completed():
    source = field(LAT, LON, ("y", "x"), ({"units": "km"}, {"units": "km"}))
    made = coordinates_of(cells_of(source), like=source)
    assert made["x"].attrs == {
        "units": "km",
        "standard_name": "projection_x_coordinate",
        "axis": "X",
        "bounds": "x_bnds",
    }


def test_wrapped_longitudes_come_out_rising():
    source = field(LAT, np.array([350.0, 0.0, 10.0]))
    made = coordinates_of(cells_of(source).refined((1, 2))[0], like=source)
    assert made["lon"].values.tolist() == [347.5, 352.5, 357.5, 362.5, 367.5, 372.5]
