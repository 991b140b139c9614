"""The page of training comparisons says what the results say, and its rows are those that would be measured."""

import json
from pathlib import Path

import numpy as np
import pytest
from evidence import downscale, page

from upstroke.apps.downscale.cells import CellAxis, Cells


def test_the_page_says_what_the_results_say():
    assert page.PAGE.read_text() == page.page(page.PAGE.read_text())


def test_every_result_is_a_row_that_would_be_measured():
    keys = {row.key: row.name for row in downscale.rows()}
    for each in downscale.load():
        assert keys[each["key"]] == each["row"]


def test_rows_have_names_and_keys_of_their_own():
    rows = downscale.rows()
    assert len({row.name for row in rows}) == len({row.key for row in rows}) == len(rows)


def test_the_day_that_is_measured_is_none_that_is_learnt_from():
    assert downscale.UNSEEN not in downscale.SEEN


def test_a_row_that_lost_is_shown_as_well():
    rows = [
        {"row": "cubic", "ocean": 0.2, "coast": 0.3, "total": 1.0},
        {
            "row": "worse",
            "ocean": 0.3,
            "coast": 0.3,
            "total": 1.1,
            "held_out": 1.05,
            "gate": 0.0,
            "cpu_minutes": 3.04,
        },
    ]
    assert page.downscale_table(rows).splitlines()[2:] == [
        "| cubic | 0.2000 | +0.0 % | 0.3000 | 1.000000 | – | – | – |",
        "| worse | 0.3000 | +50.0 % | 0.3000 | 1.100000 | 1.050 | 0.00 | 3.0 |",
    ]


def test_rows_are_kept_as_they_were_measured(tmp_path):
    rows = [{"row": "a", "key": '{"kind": "fixed"}', "ocean": 0.125}]
    downscale.save(rows, tmp_path / "made" / "downscale.json")
    assert downscale.load(tmp_path / "made" / "downscale.json") == rows
    assert json.loads((tmp_path / "made" / "downscale.json").read_text())["schema"] == downscale.SCHEMA
    assert downscale.load(tmp_path / "none.json") == []


def test_what_is_measured_of_a_field_that_is_off(monkeypatch):
    y = CellAxis(name="lat", kind="latitude", edges=np.linspace(-60, 60, 41), is_periodic=False)
    x = CellAxis(name="lon", kind="longitude", edges=np.linspace(0, 360, 49), is_periodic=True)
    fine = Cells(y=y, x=x)
    truth = np.full(fine.shape, 2.0)
    ocean = np.zeros(fine.shape, bool)
    ocean[8:16] = True
    day = downscale.Day(
        coarse=fine.coarsened((4, 4)),
        fine=fine,
        truth=truth,
        fraction=np.ones(fine.shape),
        means=np.full((10, 12), 2.0),
        ocean=ocean,
        coast=~ocean,
    )
    found = day.measured(truth + np.where(ocean, 0.5, 0.25))
    assert found["ocean"] == pytest.approx(0.5)
    assert found["coast"] == pytest.approx(0.25)
    assert found["block_means"] == pytest.approx(0.5)
    share = (fine.areas() * ocean).sum() / fine.areas().sum()
    assert found["total"] == pytest.approx(1 + (0.5 * share + 0.25 * (1 - share)) / 2)


@pytest.mark.slow
def test_of_the_real_day_the_cubic_is_what_the_table_says(data_dir: Path):
    day = downscale.Day.of(data_dir / "climate" / downscale.UNSEEN)
    (row,) = (row for row in downscale.rows() if row.name == "cubic")
    again = downscale.measure_fixed(row, day, data_dir)
    (found,) = (each for each in downscale.load() if each["key"] == row.key)
    assert again["ocean"] == pytest.approx(found["ocean"], rel=1e-6)
