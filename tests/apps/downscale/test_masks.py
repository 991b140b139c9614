"""Masks: each way of writing one gives the same valid fraction, and what can be read in two ways is refused."""

import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.downscale.cf import cells_of
from upstroke.apps.downscale.masks import fraction_from, read_fraction
from upstroke.errors import FileError, OptionError, ShapeError

LAT, LON = np.array([10.0, 10.5, 11.0]), np.arange(0, 360, 90.0)
SEA = np.array([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
PART = np.array([[1.0, 0.25, 0.0, 1.0], [0.5, 1.0, 0.0, 0.0], [1.0, 0.75, 1.0, 0.125]])
UNKNOWN = np.where(SEA == 1, 1.0, np.nan)


def array(values, name="m", **attrs):
    return xr.DataArray(np.asarray(values), {"lat": LAT, "lon": LON}, ("lat", "lon"), name=name, attrs=attrs)


CELLS = cells_of(array(SEA))


def refuses(error, message, mask, cells=CELLS, **options):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        read_fraction(mask, cells, **options)


@pytest.mark.parametrize(("mask", "fraction", "reading"), [
    (array(SEA == 1), SEA, "1 in m was read as valid"),
    (array(SEA.astype("int8")), SEA, "1 in m was read as valid"),
    (array(UNKNOWN), SEA, "1 in m was read as valid"),
    (array(np.where(SEA == 1, 1, -1).astype("int8"), _FillValue=np.int8(-1)), SEA, "1 in m was read as valid"),
    (array(PART), PART, "1 in m was read as valid"),
    (array(PART.astype("float32") * 100, units="%"), PART, "1 in m was read as valid"),
    (array(UNKNOWN * 21.5, "sst"), SEA, "cells where sst has a value are valid"),
    (array(UNKNOWN * 0.5, "sst", units="Celsius"), SEA, "cells where sst has a value are valid"),
    (array(UNKNOWN * 35, "hurs", units="%", standard_name="relative_humidity"), SEA,
     "cells where hurs has a value are valid"),
    (array(PART, standard_name="sea_area_fraction", units="1"), PART,
     "m was read as the fraction of sea, missing values as none, and sea is valid"),
    (array(UNKNOWN, standard_name="sea_binary_mask"), SEA,
     "m was read as the fraction of sea, missing values as none, and sea is valid"),
    (array(1 - PART, standard_name="land_binary_mask", units="(0 - 1)"), PART,
     "m was read as the fraction of land, missing values as none, and sea is valid"),
    (array(100 - 100 * PART, "sftlf", units="%"), PART,
     "sftlf was read as the fraction of land, missing values as none, and sea is valid"),
    (array(np.where(SEA == 1, np.nan, 100), standard_name="land_area_fraction", units="%"), SEA,
     "m was read as the fraction of land, missing values as none, and sea is valid"),
    (array(1 - SEA, "lsm"), SEA, "lsm was read as the fraction of land, missing values as none, and sea is valid"),
    (array(np.where(SEA == 1, 7, 3), flag_values=np.array([3, 7, 9]), flag_meanings="land Ocean lake"), SEA,
     "cells that m flags as Ocean are valid"),
    # 9 is sea with ice, 4 a lake
    (array(np.where(SEA == 1, 9, 4), flag_masks=np.array([1, 2, 4, 8]), flag_meanings="water land lake ice"), SEA,
     "cells that m flags as water are valid"),
    (array(np.where(SEA == 1, 1, np.nan), flag_masks=np.array([1, 2]), flag_meanings="sea land"), SEA,
     "cells that m flags as sea are valid"),
])  # fmt: skip
def test_every_way_of_writing_a_mask(mask, fraction, reading):
    read = read_fraction(mask, CELLS)
    assert read.fraction.dtype == np.float64
    np.testing.assert_allclose(read.fraction, fraction, atol=1e-7)
    assert read.reading == reading


@pytest.mark.parametrize("mask", [
    array(1 - SEA, "lsm"),
    array(SEA, standard_name="sea_binary_mask"),
    array(np.where(SEA == 1, 7, 3), flag_values=np.array([3, 7]), flag_meanings="land sea"),
])  # fmt: skip
def test_fields_on_land_are_valid_there(mask):
    assert fraction_from(mask, CELLS, valid="land").tolist() == (1 - SEA).tolist()


@given(st.booleans(), st.booleans(), st.integers(0, 3), st.sampled_from([-360, 0, 360]), st.booleans())
def test_direction_start_and_order_of_a_mask_do_not_matter(upside, mirrored, start, turns, transposed):
    mask = array(PART).roll(lon=start, roll_coords=True)
    mask = mask.assign_coords(lon=mask.lon + turns)
    mask = mask[:: -1 if upside else 1, :: -1 if mirrored else 1]
    mask = mask.transpose() if transposed else mask
    assert fraction_from(mask, CELLS).tolist() == PART.tolist()


def test_a_mask_may_cover_more_than_the_cells():
    cells = cells_of(array(SEA)[:0:-1, 1:3])
    assert fraction_from(array(PART), cells).tolist() == PART[:0:-1, 1:3].tolist()


def test_other_axes_of_one_entry_are_dropped():
    mask = array(PART).expand_dims(time=[0], zlev=[0.0])
    assert fraction_from(mask, CELLS).tolist() == PART.tolist()
    refuses(
        ShapeError,
        "a mask must be one map of rows and columns; got 2 entries along time; choose one of them",
        xr.concat([mask, mask], "time"),
    )


# files


def test_files(tmp_path):
    path = tmp_path / "masks.nc"
    wet, dry = array(PART, "wet"), array(1 - PART, "sftlf")
    xr.merge([wet, dry]).to_netcdf(path)
    # the one that says what it is, and any by name
    assert fraction_from(path, CELLS).tolist() == PART.tolist()
    assert fraction_from(f"{path}:sftlf", CELLS).tolist() == PART.tolist()
    assert read_fraction(f"{path}:wet", CELLS).reading == "1 in wet was read as valid"
    refuses(
        FileError,
        f"{path} must hold the variable 'sea' of the mask; got wet, sftlf; name one of these",
        f"{path}:sea",
    )
    refuses(
        FileError,
        f"fields must be a NetCDF or GRIB file or a Zarr store; there is no file {tmp_path}/none.nc",
        f"{tmp_path}/none.nc",
    )


def test_a_file_must_hold_one_mask(tmp_path):
    path = tmp_path / "two.nc"
    xr.merge([array(PART, "a"), array(PART, "b")]).to_netcdf(path)
    refuses(FileError, f"a mask must be one variable; {path} holds a, b; name one as {path}:VARIABLE", path)
    array(PART, "a")[0].to_netcdf(path)
    refuses(
        FileError,
        f"a mask must be one variable; {path} holds no variable with rows and columns; name one as {path}:VARIABLE",
        path,
    )


def test_a_file_of_one_row_has_bounds(tmp_path):
    row = array(PART)[:1].to_dataset()
    row["lat"].attrs["bounds"] = "lat_bnds"
    row["lat_bnds"] = ("lat", "bnds"), [[9.75, 10.25]]
    row.to_netcdf(tmp_path / "row.nc")
    assert fraction_from(tmp_path / "row.nc", cells_of(row)).tolist() == PART[:1].tolist()


def test_a_fine_sea_surface_temperature_is_a_mask(data_dir):
    path = data_dir / "climate/oisst_daily_025/oisst-avhrr-v02r01.20211025.nc"
    with xr.open_dataset(path, decode_times=False) as source:
        cells, sst = cells_of(source), source.sst[0, 0].values
    read = read_fraction(f"{path}:sst", cells)
    assert read.reading == "cells where sst has a value are valid"
    np.testing.assert_array_equal(read.fraction, np.isfinite(sst))
    # a third of OISST is land
    assert round(1 - read.fraction.mean(), 3) == 0.333


def test_a_global_mask_serves_a_regional_grid(data_dir):
    whole = data_dir / "climate/oisst_daily_025/oisst-avhrr-v02r01.20211025.nc"
    with xr.open_dataset(
        data_dir / "climate/oisst_natl_july_means_025/oisst_natl_2017_m07.nc", decode_times=False
    ) as source:
        cells, sst = cells_of(source), source.sst[0, 0].values
    # both are of one product and one land mask; longitudes run from -55 here, from 0 there
    np.testing.assert_array_equal(fraction_from(f"{whole}:sst", cells), np.isfinite(sst))


# refusals


@pytest.mark.parametrize(("mask", "message"), [
    (array(PART + 0.5), ("a mask must hold values from 0 to 1; got 1.5 in m; "
     "give a mask, or a field whose missing values are the mask")),
    (array(UNKNOWN * 2, units="1"), ("a mask must hold values from 0 to 1; got 2 in m; "
     "give a mask, or a field whose missing values are the mask")),
    (array(-PART * 100, units="%"), ("a mask must hold values from 0 to 100%; got -100 in m; "
     "give a mask, or a field whose missing values are the mask")),
    (array(100 * PART, "sftlf"), ("a mask must hold values from 0 to 1; got 100 in sftlf; "
     "give a mask, or a field whose missing values are the mask")),
    (array(np.where(SEA == 1, PART, np.nan)),
     ("a mask of fractions with missing values must say what it is; got m, which may be that or a field of which only "
     "the missing values count; set its standard_name to sea_area_fraction or land_area_fraction, or its units to "
     "those of the field")),
    (array(SEA * 0), "a mask must leave at least one cell valid; got none of 12, where 1 in m was read as valid"),
    (array(SEA * np.nan), "a mask must leave at least one cell valid; got none of 12, where 1 in m was read as valid"),
    (array(SEA.astype(str)), "a mask must hold numbers or booleans; got m of <U32; convert it"),
    (array(SEA, flag_values=np.array([0, 1]), flag_meanings="dry wet"),
     ("a mask with flags must have one that means sea, and a value for each meaning; got flag_meanings 'dry wet' and 2 "
     "values in m; make a mask of 0 and 1")),
    (array(SEA, flag_meanings="land sea"),
     ("a mask with flags must have one that means sea, and a value for each meaning; got flag_meanings 'land sea' and 0 "
     "values in m; make a mask of 0 and 1")),
])  # fmt: skip
def test_what_is_no_mask_is_refused(mask, message):
    refuses(OptionError, message, mask)


def test_a_mask_sits_on_the_fine_cells():
    refuses(
        ShapeError,
        "a mask must lie on the fine cells: the 3 cells of lat from 9.75 to 11.25 must be among the 3 cells of lat from 9.875 to 11.375; got others; "
        "interpolate one of the two to the grid of the other first",
        array(SEA).assign_coords(lat=LAT + 0.125),
    )
    refuses(
        ShapeError,
        "a mask must lie on the fine cells: the 6 cells of lat from 9.75 to 11.25 must be among the 3 cells of lat from 9.75 to 11.25; got others; "
        "interpolate one of the two to the grid of the other first",
        array(SEA),
        cells=CELLS.refined(2)[0],
    )
