"""The demonstration: what it writes agrees with what it says, and nothing is replaced that was not to be."""

import functools
import re

import numpy as np
import pytest
import xarray
from typer.testing import CliRunner

from upstroke.apps.downscale import demo as of_demo
from upstroke.apps.downscale.demo import FILES, demo, masses
from upstroke.cli.downscale import app
from upstroke.errors import FileError, OptionError
from upstroke.report.downscale_demo_text import downscale_demo_text


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return demo(tmp_path_factory.mktemp("demo"), size=(120, 240), seed=4)


def test_the_files_are_what_they_are_called(made):
    truth, coarse, fine = (
        xarray.open_dataset(made.folder / name, decode_times=False).load() for name in FILES[:3]
    )
    sea = truth.sea.values == 1
    assert (np.isnan(truth.sst.values[0]) == ~sea).all()
    edges = np.sin(np.radians(np.linspace(-90, 90, 121)))
    area = np.where(sea, np.diff(edges)[:, None], 0)

    def means(values):
        sums = (np.where(sea, values, 0) * area).reshape(30, 4, 60, 4).sum((1, 3))
        return sums / np.where(sums == 0, np.nan, area.reshape(30, 4, 60, 4).sum((1, 3)))

    np.testing.assert_allclose(coarse.sst.values[0], means(truth.sst.values[0]), rtol=1e-6)
    kept = means(fine.sst.values[0].astype(np.float64))
    np.testing.assert_allclose(kept, coarse.sst.values[0], rtol=2e-6, atol=2e-6)
    assert (np.isnan(fine.sst.values[0]) == ~sea).all()
    page = (made.folder / "report.html").read_text()
    assert "truth.nc" in page
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(FILES)


def test_the_conserving_cubic_kernel_is_nearest_to_the_truth(made):
    errors = {name: made.evaluation.rmse(name) for name in ("cubic", "linear", "bilinear", "nearest")}
    assert list(errors) == sorted(errors, key=errors.get)


def test_a_kernel_makes_what_its_mass_is_above_one():
    totals = np.random.default_rng(0).random((5, 7))
    for mass, total in masses(totals).items():
        assert total == pytest.approx(mass * totals.sum(), rel=1e-12)


def test_the_text_tells_what_is_in_the_record(made):
    record = made.as_json()
    text = downscale_demo_text(record)
    heat = record["heat"]["before"]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "A drawn sea of 120 x 240 cells became 30 x 60 means, and these 120 x 240 cells again."
    assert f"0.9: {0.9 * heat:.3f} ZJ, loses 10 %" in lines
    assert f"1.0: {heat:.3f} ZJ, keeps the total" in lines
    assert f"1.1: {1.1 * heat:.3f} ZJ, makes 10 % from nothing" in lines
    cubic = next(line.split() for line in lines if line.startswith("cubic "))
    assert cubic[1] == f"{made.evaluation.rmse('cubic'):.3f}"
    assert downscale_demo_text(record, quiet=True).count("\n") < text.count("\n")


def test_files_of_others_stay(made):
    before = (made.folder / "truth.nc").read_bytes()
    with pytest.raises(FileError, match=r"truth\.nc"):
        demo(made.folder, size=(16, 32))
    assert (made.folder / "truth.nc").read_bytes() == before


def test_a_sea_without_whole_blocks_is_refused(tmp_path):
    message = "the sea must have multiples of 4 cells along both axes, from 8 on; got (18, 32)"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        demo(tmp_path / "new", size=(18, 32))
    assert not (tmp_path / "new").exists()


def test_the_verb_writes_into_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(of_demo, "demo", functools.partial(demo, size=(64, 128)))
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "a" / "b"), "--seed", "2"])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == sorted(FILES)
    assert "ZJ" in done.output
