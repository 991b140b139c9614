"""Hold the verb `downscale run`: what it prints, what it writes, and how it says what is wrong."""

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from upstroke.cli import app

xarray = pytest.importorskip("xarray")


@pytest.fixture
def coarse(tmp_path):
    axes = {
        "lat": ("lat", np.arange(-60.0, 61, 60), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(45.0, 360, 90), {"units": "degrees_east"}),
    }
    values = np.arange(24, dtype="f4").reshape(2, 3, 4) - 1
    t = (("time", "lat", "lon"), values, {"units": "K"})
    path = tmp_path / "in.nc"
    xarray.Dataset({"t": t, "zonal": ("lat", np.ones(3))}, axes).to_netcdf(path, engine="netcdf4")
    return path


def called(*words):
    return CliRunner().invoke(app, ["downscale", "run", *map(str, words)])


def test_a_run_prints_what_it_did(coarse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = "out.nc"
    done = called("in.nc", target, "--factor", "2x3")
    assert done.exit_code == 0, done.output
    # lines break where the page ends
    kept = re.fullmatch(
        rf"{re.escape(target)}: 3 x 4 cells became 6 x 12 by cubic in \d+\.\d s "
        r"t: block means kept to (\S+); integral (\S+) K sr before, (\S+) K sr after \((\S+)\) "
        r"note: zonal is left out: it lies on the coarse lat",
        " ".join(done.stdout.split()),
    )
    assert float(kept.group(1)) < 1e-6
    assert float(kept.group(2)) == pytest.approx(10.5 * 8 * np.pi, rel=1e-6)
    assert abs(float(kept.group(4))) < 1e-6
    with xarray.open_dataset(target) as fine:
        assert fine.t.shape == (2, 6, 12)
        assert "upstroke downscale run" in fine.attrs["history"]


def test_quiet_leaves_the_notes_out_and_json_is_the_record(coarse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = called("in.nc", "out.nc", "--factor", "2", "-q", "--method", "nearest")
    assert "note" not in done.stdout
    done = called(
        coarse, tmp_path / "out.zarr", "--factor", "2", "--format", "json", "--plain", "--chunk", "1"
    )
    record = json.loads(done.stdout)
    assert record["schema"] == "upstroke.downscale-run/1"
    assert record["conserve"] is False
    assert record["pieces"] == 2
    assert record["fields"]["t"]["error"] > 1e-3
    assert record["fields"]["t"]["quantity"] == "mean"


def test_every_option_arrives(coarse, tmp_path, monkeypatch):
    given = {}

    def run(source, target, **settings):
        given.update(settings, source=source, target=target)
        raise KeyboardInterrupt

    monkeypatch.setattr("upstroke.apps.downscale.run.run", run)
    done = called(
        *(
            coarse,
            tmp_path / "out.nc",
            "--factor",
            "4x2",
            "--method",
            "linear",
            "--plain",
            "--correction",
            "softmax",
        ),
        *(
            "--quantity",
            "total",
            "--mask",
            "m.nc:lsm",
            "--valid",
            "land",
            "--variable",
            "t",
            "--variable",
            "u",
            "--static",
            "s.nc",
        ),
        *("--scheduler", "tcp://host:1", "--chunk", "7", "--overwrite", "--y", "lat", "--x", "lon", "-q"),
    )
    assert done.exit_code == 130
    assert given | {"command": None} == {
        "source": coarse,
        "target": tmp_path / "out.nc",
        "factor": (4, 2),
        "method": "linear",
        "conserve": False,
        "correction": "softmax",
        "quantity": "total",
        "mask": "m.nc:lsm",
        "valid": "land",
        "variables": ["t", "u"],
        "y": "lat",
        "x": "lon",
        "statics": tmp_path.__class__("s.nc"),
        "scheduler": "tcp://host:1",
        "chunk": 7,
        "overwrite": True,
        "progress": False,
        "command": None,
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--factor", "2x3x4"], "--factor must be one number or two, for rows and columns; got '2x3x4'"),
        (
            ["--factor", "1.5"],
            "--factor must be a whole number such as 4, or one for each axis such as 97x131; got '1.5'",
        ),
        (["--factor", "2", "--chunk", "many"], "--chunk must be a whole number such as 4; got 'many'"),
        (
            ["--factor", "2", "--variable", "sst"],
            "there must be a variable 'sst' on lat and lon; got t; name one of these",
        ),
        (
            ["--factor", "2", "--method", "sinc"],
            "the method must be one of nearest, linear, cubic or the folder of a training run; got 'sinc'",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_code_2(coarse, tmp_path, words, message):
    done = called(coarse, tmp_path / "out.nc", *words)
    assert (done.exit_code, done.stderr) == (2, f"upstroke: {message}\n")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.nc"]


def test_a_source_that_is_not_there(tmp_path):
    done = called(tmp_path / "no.nc", tmp_path / "out.nc", "--factor", "2")
    said = (
        f"upstroke: fields must be a NetCDF or GRIB file or a Zarr store; there is no file {tmp_path}/no.nc\n"
    )
    assert (done.exit_code, done.stderr) == (2, said)
