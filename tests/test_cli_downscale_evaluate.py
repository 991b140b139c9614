"""Hold what `upstroke downscale evaluate` prints, writes and refuses, from the words a user types."""

import json

import numpy as np
import pytest
import xarray
from typer.testing import CliRunner

from upstroke.cli import app

RUNNER = CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"})


def dataset(ny=24, nx=40):
    y, x = np.arange(ny) + 0.5, np.arange(nx) + 0.5
    height = 100 + 50 * np.sin(x / 4) * np.cos(y / 5)[:, None]
    height = np.stack([height, height * 2])
    coords = {
        "y": ("y", y, {"units": "km", "axis": "Y"}),
        "x": ("x", x, {"units": "km", "axis": "X"}),
    }
    fields = {
        "height": (("time", "y", "x"), height, {"units": "m"}),
        "nothing": (("y", "x"), np.full((ny, nx), np.nan)),
    }
    return xarray.Dataset(fields, coords)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset().to_netcdf("fine.nc")
    return tmp_path


def said(*words, code=0):
    done = RUNNER.invoke(app, ["downscale", "evaluate", *map(str, words)])
    assert done.exit_code == code, done.output
    return done


def test_json_and_text_say_the_same(here):
    record = json.loads(said("fine.nc", "--variable", "height", "--factor", "2x4", "--format", "json").stdout)
    assert (record["schema"], record["factor"], record["maps"]) == (
        "upstroke.downscale-evaluate/1",
        [2, 4],
        2,
    )
    text = said("fine.nc", "--variable", "height", "--factor", "2x4").stdout
    lines = text.splitlines()
    assert lines[0] == "fine.nc  height, 12×10 coarse cells to 24×40 fine ones, factor 2×4"
    rmse = {each["name"]: each["scores"]["interior"]["rmse"] for each in record["methods"]}
    assert [line.split()[0] for line in lines[3:8]] == sorted(rmse, key=rmse.get)
    assert f"Closest to the truth: {record['verdict']['best']}, RMSE" in text
    assert text.endswith(".\n")


def test_one_map_is_asked_for(here):
    one = json.loads(
        said("fine.nc", "--variable", "height", "--factor", "2", "--step", "1", "--format", "json").stdout
    )
    assert one["maps"] == 1
    assert one["truth"]["greatest"] > 250


def test_a_page_is_written_and_not_over_what_is_there(here, monkeypatch):
    monkeypatch.setattr("upstroke.report.downscale_page.draw_map", lambda *_, **__: bytes(24))
    monkeypatch.setattr("upstroke.report.downscale_page.draw_curves", lambda *_, **__: b"<svg/>")
    words = ("fine.nc", "--variable", "height", "--factor", "4", "--format", "html", "--output", "page.html")
    assert said(*words).stderr == "wrote page.html\n"
    page = (here / "page.html").read_text(encoding="utf-8")
    assert "Closest to the truth: " in page
    refused = said(*words, code=2).stderr
    assert refused == "upstroke: page.html exists already; give --overwrite to replace it, or another name\n"
    assert said(*words, "--overwrite", "-q").stderr == ""


def test_a_coarse_file_of_its_own(here):
    coarse = dataset()[["height"]].coarsen(y=2, x=2).mean()
    for name in "yx":
        coarse[name].attrs = dict(dataset()[name].attrs)
    coarse.to_netcdf("coarse.nc")
    record = json.loads(
        said("fine.nc", "--variable", "height", "--coarse", "coarse.nc", "--format", "json").stdout
    )
    assert (record["factor"], record["coarse_source"]) == ([2, 2], "coarse.nc")
    assert record["pair"]["largest"] < 1e-9


REFUSED = [
    (
        ("fine.nc", "--variable", "salt"),
        "'salt' must be a variable on the cells of the fine field; got height, nothing; choose one of them",
    ),
    (
        ("fine.nc",),
        "one variable of the fine field must be named; got several on its cells: height, nothing; choose one of them",
    ),
    (
        ("fine.nc", "--variable", "nothing"),
        "nothing must have values to compare with; got none in any map; choose another step or variable",
    ),
    (
        ("fine.nc", "--variable", "height", "--factor", "5"),
        "the factor must divide the 24 cells of y; got 5, which leaves 4; crop the axis or take another factor",
    ),
    (
        ("fine.nc", "--variable", "height", "--factor", "2x2x2"),
        "--factor must be one number or two, for rows and columns; got '2x2x2'",
    ),
    (
        ("fine.nc", "--variable", "height", "--step", "two"),
        "--step must be a whole number such as 4; got 'two'",
    ),
    (
        ("fine.nc", "--variable", "height", "--step", "2"),
        "the step must be a number from 0 to 1, of the maps in the file, or all; got 2",
    ),
    (
        ("fine.nc", "--variable", "height", "--coarse", "other.nc"),
        (
            "the fine cells of y must fill the coarse ones; got 24 from 0 to 24, where 24 from 1 to 25 would; cut both to the "
            "same region, in the same order"
        ),
    ),
    (
        ("fine.nc", "--variable", "height", "--format", "html"),
        "a page is for a browser and not for a terminal; got no --output; give --output evaluation.html",
    ),
    (
        ("fine.nc", "--variable", "height", "--output", "fine.nc", "--overwrite"),
        "--output must not be what is read; got fine.nc for both; name another file",
    ),
    (
        ("gone.nc",),
        "fields must be a NetCDF or GRIB file or a Zarr store; there is no file gone.nc",
    ),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_cannot_be_judged_is_refused_in_a_sentence(here, words, message):
    coarse = dataset(12, 20)
    for name in "yx":
        values = coarse[name].values * 2 + 1
        coarse[name] = (name, values, dict(dataset()[name].attrs))
    coarse.to_netcdf("other.nc")
    before = (here / "fine.nc").read_bytes()
    done = said(*words, code=2)
    assert done.stderr == f"upstroke: {message}\n"
    assert done.stdout == ""
    assert (here / "fine.nc").read_bytes() == before
