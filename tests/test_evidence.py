"""The page of training comparisons says what the results say, and its rows are those that would be measured."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from evidence import downscale, generate, generate_tables, page, segment, segment_tables

from upstroke.apps.downscale.cells import CellAxis, Cells
from upstroke.apps.generate.features import own_features
from upstroke.apps.generate.recipes import recipe_named
from upstroke.nn import Generator


def test_the_page_says_what_the_results_say():
    assert page.PAGE.read_text() == page.page(page.PAGE.read_text())


@pytest.mark.parametrize("table", [downscale, generate, segment])
def test_every_result_is_a_row_that_would_be_measured(table):
    keys = {row.key: row.name for row in table.rows()}
    for each in table.load():
        assert keys[each["key"]] == each["row"]


@pytest.mark.parametrize("table", [downscale, generate, segment])
def test_rows_have_names_and_keys_of_their_own(table):
    rows = table.rows()
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


@pytest.mark.parametrize("data", segment.IMAGES)
def test_the_network_of_another_has_no_fewer_parameters(data):
    (row,) = (row for row in segment.rows() if row.name == f"cost, {data}")
    ours, basic = (
        sum(each.numel() for each in segment.network(which, row.settings).parameters())
        for which in ("ours", "basic")
    )
    assert 0.97 * basic < ours <= basic


def test_joins_that_drift_differ_from_the_registered_ones_in_where_they_sit_alone():
    settings = {
        "images": segment.rows()[0].settings["images"],
        "unet": {"widths": [2, 3, 4], "down": "conv", "up": "linear"},
        "seed": 3,
    }
    nets = {way: segment.network(way, settings) for way in segment.WAYS}
    assert {way: segment.drifts(net) for way, net in nets.items()} == {
        "registered": [0.0, 0.0],
        "nearest": [1.5, 1.0],
        "bilinear": [1.5, 1.0],
    }
    weights = [[each for _, each in sorted(net.state_dict().items())] for net in nets.values()]
    for each in zip(*weights, strict=True):
        assert torch.equal(each[0], each[1])
        assert torch.equal(each[0], each[2])


def test_a_padded_image_comes_back_where_it_was():
    image = torch.arange(5 * 8.0).reshape(1, 1, 5, 8)
    wide = segment.padded(image, (8, 8))
    assert wide.shape == (1, 1, 8, 8)
    assert wide[0, 0, :, 0].tolist() == [16, 8, 0, 8, 16, 24, 32, 24]
    assert torch.equal(segment.inside(wide, (5, 8)), image)


def test_three_tables_of_rows():
    level = {
        "ours": {"parameters": 1000, "steps": 5, "dice": 0.8, "unpadded": 0.81, "hausdorff95": 1.5},
        "basic": {"parameters": 1001, "steps": 5, "dice": 0.7, "hausdorff95": None},
    }
    other = {**level, "ours": {**level["ours"], "dice": 0.9}}
    joins = {"dice": 0.5, "boundary": 2.0, "cpu_seconds": 9.6, "drift": [-1.5, -1.0]}
    rows = [
        {
            "row": "cost, a",
            "ours": {"seconds": 0.25, "memory": 10.4},
            "basic": {"seconds": 0.5, "memory": 12},
        },
        {"row": "level, a, seed 0", **level},
        {"row": "level, a, seed 1", **other},
        {"row": "time, tiny, seed 0", "parameters": 7, "steps": 3, "cpu_seconds": 600.4, "dice": 0.88},
        {"row": "joins, a, registered, seed 0", **joins, "drift": [0.0, 0.0]},
        {"row": "joins, a, nearest, seed 0", **joins, "dice": 0.4375},
    ]
    told = {name: table(rows).splitlines()[2:] for name, table in segment_tables.TABLES.items()}
    assert told == {
        "level": [
            (
                "| a | upstroke | 1,000 | 5 | 0.8500 (0.8000 … 0.9000) | 0.810 (0.810 … 0.810) "
                "| 1.50 (1.50 … 1.50) | 0.250 | 10 |"
            ),
            "| a | BasicUNet | 1,001 | 5 | 0.7000 (0.7000 … 0.7000) | – | – | 0.500 | 12 |",
        ],
        "time": ["| tiny | 7 | 3 | 600 | 0.880 | – | – |"],
        "joins": [
            "| a | registered | 0, 0 | 0.5000 | – | 2.000 | 10 |",
            "| a | nearest | -1.5, -1 | 0.4375 | -0.0625 | 2.000 | 10 |",
        ],
    }


def test_generators_of_a_seed_differ_in_the_way_alone():
    rows = [row for row in generate.rows() if row.kind == "ways" and row.settings["seed"] == 1]
    assert len(rows) == len(generate.WAYS) == 11
    for row in rows:
        settings = {**row.settings, "width": 2}
        generator, judge = generate.at_start(settings)
        assert (
            generator.settings.items()
            >= {**row.settings["way"], "size": 64, "channels": 1, "latent": 100}.items()
        )
        assert generate.as_recipe(row.settings["recipe"]) == recipe_named("r1")
        again, same = generate.at_start(settings)
        for one, other in ((generator, again), (judge, same)):
            assert all(torch.equal(each, other.state_dict()[name]) for name, each in one.state_dict().items())


def test_a_try_has_keys_of_its_own():
    keys = {row.key for row in generate.rows() if row.kind != "cost"}
    with generate.shortened(7):
        tried = [row for row in generate.rows() if row.kind != "cost"]
    assert not keys & {row.key for row in tried}
    assert {row.settings["steps"] for row in tried} == {7}
    assert {row.key for row in generate.rows() if row.kind != "cost"} == keys


def test_what_is_judged_of_a_generator_that_draws_noise(monkeypatch):
    monkeypatch.setattr(generate, "SAMPLES", 40)
    monkeypatch.setattr(generate, "own_features", partial(own_features, steps=2))
    real = np.random.default_rng(0).integers(0, 256, (30, 1, 32, 32), dtype=np.uint8)
    torch.manual_seed(0)
    found, samples = generate.judged(Generator(4, 2, 1, 32).eval(), real)
    assert samples.shape == (40, 1, 32, 32)
    # before training all samples are nearly the same grey
    assert found["diversity"] < 0.2
    assert found["detector"] > 0.9
    assert [each["period"] for each in found["grids"]] == [2, 4, 8, 16]
    assert {each["kind"] for each in found["marks"]} == {"level", "detail"}
    row = {
        "row": "ways, a, seed 0", "start": found["grids"], "upsampling": 10, "cpu_seconds": 3.0, **found,
    }  # fmt: skip
    grids = generate_tables.grids_table([row, {**row, "row": "ways, a, seed 1"}])
    assert len(grids.splitlines()) == 4
    assert "real faces" in grids
    ways = generate_tables.ways_table(
        [row, {"row": "cost", "ways": {"a": {"upsampling": 5000, "seconds": 0.25}}}]
    )
    assert ways.splitlines()[-1].endswith("| 3 | 5,000 | 250 |")
