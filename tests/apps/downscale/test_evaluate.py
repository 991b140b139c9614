"""Hold the evaluation: what methods get, what is kept, where numbers on real data lie, and what is refused."""

import re

import numpy as np
import pytest
import xarray

from upstroke.apps.downscale.cells import CellAxis
from upstroke.apps.downscale.evaluate import FIXED, evaluate
from upstroke.errors import OptionError, ShapeError
from upstroke.files.fields import open_fields

NAMES = ["nearest", "bilinear", "bicubic", "linear", "cubic"]
KEEPING = {"nearest", "linear", "cubic"}


def globe(ny, nx, *, land=True, dtype=np.float64, name="sst", falling=False):
    """A smooth field over a global grid of ny x nx cells, with an island or two."""
    lat = (np.arange(ny) + 0.5) * 180 / ny - 90
    lon = (np.arange(nx) + 0.5) * 360 / nx
    y, x = np.deg2rad(lat)[:, None], np.deg2rad(lon)
    values = 15 * np.cos(y) ** 2 + np.sin(9 * x) * np.cos(7 * y) + 0.5 * np.cos(11 * x + 2)
    if land:
        values[ny // 3 : ny // 2, nx // 5 : nx // 3] = np.nan
        values[2 * ny // 3, 1] = np.nan
    coords = {
        "lat": ("lat", lat, {"units": "degrees_north"}),
        "lon": ("lon", lon, {"units": "degrees_east"}),
    }
    attrs = {"units": "Celsius", "long_name": "surface temperature"}
    field = xarray.DataArray(values.astype(dtype), dims=("lat", "lon"), coords=coords, name=name, attrs=attrs)
    return field.isel(lat=slice(None, None, -1)) if falling else field


@pytest.fixture(scope="module")
def judged():
    return evaluate(globe(48, 96), (2, 4), source="drawn.nc")


def of(record, name):
    return next(each for each in record["methods"] if each["name"] == name)


def test_every_fixed_method_is_judged(judged):
    record = judged.as_json()
    assert [each["name"] for each in record["methods"]] == NAMES == [each.name for each in FIXED]
    assert record["schema"] == "upstroke.downscale-evaluate/1"
    assert (record["factor"], record["grid"]["fine"], record["grid"]["coarse"]) == (
        [2, 4],
        [48, 96],
        [24, 24],
    )
    assert (record["units"], record["long_name"], record["maps"]) == ("Celsius", "surface temperature", 1)


def test_what_methods_get_are_means_by_area_over_what_is_valid(judged):
    truth, coarse = judged.pictures["truth"], judged.pictures["coarse"]
    edges = np.sin(np.deg2rad(np.linspace(-90, 90, 49)))
    for row, column in ((0, 3), (11, 5), (16, 0), (23, 23)):
        block = truth[2 * row : 2 * row + 2, 4 * column : 4 * column + 4]
        area = np.broadcast_to(np.diff(edges)[2 * row : 2 * row + 2, None], block.shape) * np.isfinite(block)
        expected = np.nansum(block * area) / area.sum() if area.any() else np.nan
        assert coarse[row, column] == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_conserving_methods_keep_means_and_totals_and_plain_ones_do_not(judged):
    for method in judged.as_json()["methods"]:
        kept = method["block_means"]["relative"] < 1e-12
        assert kept == (method["name"] in KEEPING), method["name"]
        assert (abs(method["total"]["relative_change"]) < 1e-12) == kept
        assert method["lost"] == 0


def test_scores_follow_from_the_fields(judged):
    record, shown = judged.as_json(), judged.pictures
    area = np.diff(np.sin(np.deg2rad(np.linspace(-90, 90, 49))))[:, None] * np.isfinite(shown["truth"])
    for name in NAMES:
        error = np.nan_to_num(shown["fields"][name] - shown["truth"])
        assert of(record, name)["scores"]["all"]["rmse"] == pytest.approx(
            np.sqrt((area * error**2).sum() / area.sum())
        )
        rows = of(record, name)
        assert rows["row_bias"][7] == pytest.approx(error[7][np.isfinite(shown["truth"][7])].mean())
        assert rows["row_rmse"][30] == pytest.approx(
            np.sqrt((error[30] ** 2)[np.isfinite(shown["truth"][30])].mean())
        )


def test_the_interior_has_a_value_in_every_fine_cell_around(judged):
    """Counted by a loop: rows end at the poles, columns go round."""
    valid = np.isfinite(judged.pictures["truth"])
    count = 0
    for row in range(24):
        for column in range(24):
            near = [
                (i, j % 24)
                for i in range(max(row - 1, 0), min(row + 2, 24))
                for j in range(column - 1, column + 2)
            ]
            count += all(valid[2 * i : 2 * i + 2, 4 * j : 4 * j + 4].all() for i, j in near)
    assert judged.as_json()["regions"][0]["coarse_cells"] == count < 24 * 24


def test_interior_and_coast_are_all(judged):
    inner, coast, whole = judged.as_json()["regions"]
    assert [each["name"] for each in (inner, coast, whole)] == ["interior", "coast", "all"]
    assert inner["coarse_cells"] + coast["coarse_cells"] == whole["coarse_cells"]
    assert inner["area_share"] + coast["area_share"] == pytest.approx(1)
    for method in judged.as_json()["methods"]:
        parts = [method["scores"][each]["rmse"] ** 2 for each in ("interior", "coast")]
        mean = parts[0] * inner["area_share"] + parts[1] * coast["area_share"]
        assert method["scores"]["all"]["rmse"] ** 2 == pytest.approx(mean)


def test_the_verdict_is_the_least_rmse(judged):
    record = judged.as_json()
    rmse = {each["name"]: each["scores"]["interior"]["rmse"] for each in record["methods"]}
    verdict = record["verdict"]
    assert rmse[verdict["best"]] == min(rmse.values()) == verdict["rmse"] == judged.rmse(verdict["best"])
    assert (verdict["region"], verdict["nearest"]) == ("interior", rmse["nearest"])


def test_a_file_that_runs_the_other_way_is_judged_the_same(judged):
    flipped = evaluate(globe(48, 96, falling=True), (2, 4))
    for name in NAMES:
        for region in ("interior", "coast"):
            assert flipped.rmse(name, region) == pytest.approx(judged.rmse(name, region), rel=1e-9)


def test_totals_are_kept_as_sums():
    field = globe(24, 48)
    record = evaluate(abs(field) + 1, 2, quantity="total").as_json()
    total = float((abs(field) + 1).sum())
    for name in KEEPING:
        assert of(record, name)["total"]["before"] == pytest.approx(total)
        assert of(record, name)["total"]["after"] == pytest.approx(total)
        assert of(record, name)["block_means"]["relative"] < 1e-12


def test_a_mask_says_how_much_of_a_cell_counts():
    field = globe(24, 48, land=False)
    mask = np.random.default_rng(0).random((24, 48))
    mask[4, 6] = 0.0
    result = evaluate(field, 2, mask=mask)
    coarse, area = (
        result.pictures["coarse"],
        np.diff(np.sin(np.deg2rad(np.linspace(-90, 90, 25))))[:, None] * mask,
    )
    block = (slice(4, 6), slice(6, 8))
    assert coarse[2, 3] == pytest.approx((field.values * area)[block].sum() / area[block].sum())
    assert np.isnan(result.pictures["fields"]["cubic"][4, 6])
    assert of(result.as_json(), "cubic")["block_means"]["relative"] < 1e-12
    given = xarray.DataArray(mask, dims=("lat", "lon"), coords=field.coords)
    assert evaluate(field, 2, mask=given).as_json() == result.as_json()
    land = (1 - given).assign_attrs(standard_name="sea_area_fraction")
    assert evaluate(field, 2, mask=land, valid="land").as_json() == result.as_json()


def test_several_maps_of_which_one_is_empty_are_summed_up():
    one, other = globe(24, 48), globe(24, 48) * 2
    gap = one * np.nan
    maps = xarray.concat([one, gap, other], dim="time").assign_attrs(one.attrs)
    both = evaluate(maps, 2).as_json()
    alone = [evaluate(maps, 2, step=step).as_json() for step in (0, 2)]
    assert both["maps"] == 2
    for name in NAMES:
        squares = [of(each, name)["scores"]["interior"]["rmse"] ** 2 for each in alone]
        assert of(both, name)["scores"]["interior"]["rmse"] == pytest.approx(np.sqrt(np.mean(squares)))
    assert both["truth"]["greatest"] == alone[1]["truth"]["greatest"]


def test_a_coarse_model_of_its_own_is_refined_and_its_distance_said():
    field = globe(24, 48)
    exact = evaluate(field, 2)
    coarse = field.coarsen(lat=2, lon=2).mean().copy(data=exact.pictures["coarse"] + 0.25)
    result = evaluate(field, coarse=coarse, coarse_source="coarse.nc")
    pair = result.as_json()["pair"]
    assert result.as_json()["factor"] == [2, 2]
    assert pair["largest"] == pytest.approx(0.25)
    assert list(pair["rms"].values()) == pytest.approx([0.25] * 3)
    for name in KEEPING:
        both = exact.rmse(name), result.rmse(name)
        assert both[1] ** 2 == pytest.approx(both[0] ** 2 + 0.25**2)
    assert exact.as_json()["pair"] is None


def test_coarse_cells_centred_on_the_poles_nest():
    """91 rows of which the outermost are half beyond the poles make 180 rows of fine cells."""
    rows = CellAxis(name="lat", kind="latitude", edges=np.linspace(-91, 91, 92), is_periodic=False)
    fine = globe(180, 16, land=False)
    coarse = xarray.DataArray(
        np.cos(np.deg2rad(rows.centres))[:, None] * np.ones(8),
        dims=("lat", "lon"),
        coords={
            "lat": ("lat", rows.centres, {"units": "degrees_north"}),
            "lon": ("lon", np.arange(8) * 45 + 22.5, {"units": "degrees_east"}),
        },
        name="sst",
    )
    result = evaluate(fine, coarse=coarse)
    assert result.as_json()["grid"]["dropped"] == [1, 1]
    assert of(result.as_json(), "cubic")["block_means"]["relative"] < 1e-12
    assert result.pictures["fields"]["cubic"].shape == (180, 16)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nearest", 0.272), ("bilinear", 0.187), ("bicubic", 0.144), ("linear", 0.132), ("cubic", 0.120)],
)
def test_a_day_of_sea_surface_temperature(sst_day, name, expected):
    assert sst_day.rmse(name) == pytest.approx(expected, abs=5e-4)


def test_a_day_of_sea_surface_temperature_keeps_its_means(sst_day):
    for name in KEEPING:
        method = of(sst_day.as_json(), name)
        assert method["block_means"]["relative"] <= 1e-6
        assert abs(method["total"]["relative_change"]) <= 1e-6


@pytest.fixture(scope="module")
def sst_day(data_dir):
    path = data_dir / "climate" / "oisst_daily_025" / "oisst-avhrr-v02r01.20211025.nc"
    return evaluate(open_fields(path), 4, variable="sst")


ONE_SENTENCE = [
    (
        lambda f: evaluate(f.to_dataset(), 2, variable="salt"),
        OptionError,
        "'salt' must be a variable on the cells of the fine field; got sst; choose one of them",
    ),
    (
        lambda f: evaluate(xarray.Dataset({"a": f, "b": f}), 2),
        OptionError,
        "one variable of the fine field must be named; got several on its cells: a, b; choose one of them",
    ),
    (
        lambda f: evaluate(f * np.nan, 2),
        OptionError,
        "sst must have values to compare with; got none in any map; choose another step or variable",
    ),
    (
        lambda f: evaluate(f, 5),
        OptionError,
        "the factor must divide the 24 cells of lat; got 5, which leaves 4; crop the axis or take another factor",
    ),
    (
        lambda f: evaluate(f, 1),
        OptionError,
        "the factor must be at least 2 along an axis; got 1x1, which leaves nothing to refine",
    ),
    (
        lambda f: evaluate(f, 2, step=1),
        OptionError,
        "the step must be a number from 0 to 0, of the maps in the file, or all; got 1",
    ),
    (
        lambda f: evaluate(f.where(f < 15, np.inf), 2),
        OptionError,
        (
            "sst must be finite where it has a value; got infinity in map 0, row 10, column 7; write NaN where there is no "
            "value"
        ),
    ),
    (
        lambda f: evaluate(f, coarse=f.isel(lat=slice(0, 24, 3))),
        ShapeError,
        (
            "the fine cells of lat must fill the coarse ones; got 24 from -90 to 90, where 23 from -90 to 82.5 would; cut "
            "both to the same region, in the same order"
        ),
    ),
    (
        lambda f: evaluate(f, 3, coarse=f.coarsen(lat=2, lon=2).mean()),
        OptionError,
        "the factor must be 2x2, as the cells of the two fields are; got 3x3; leave it out",
    ),
    (
        lambda f: evaluate(f, coarse=f.interp(lat=np.arange(-80.0, 90, 20), lon=np.arange(7.5, 360, 15))),
        ShapeError,
        (
            "each coarse cell must be made of whole fine ones; got cells of lat of 20 and of 7.5, 2.66667 times as long; "
            "regrid one of them"
        ),
    ),
    (
        lambda f: evaluate(f, 2, mask=np.ones((3, 4))),
        ShapeError,
        "the mask must be on the fine cells, 24x48; got 3x4",
    ),
    (
        lambda f: evaluate(f, 2, methods=["run/a", "run/a"]),
        OptionError,
        "each run must be named once; got 'run/a' again; leave it out",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), ONE_SENTENCE)
def test_what_cannot_be_judged_is_refused_in_a_sentence(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call(globe(24, 48, land=False))
