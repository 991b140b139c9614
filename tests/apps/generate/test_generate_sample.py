"""Samples and ways between them: exact pixels, by number, whole or not at all."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from apps.generate.generate_saved import saved
from upstroke.apps.generate.interpolate import interpolate
from upstroke.apps.generate.model import Model, load_model
from upstroke.apps.generate.sample import runs_of, sample
from upstroke.apps.generate.sheets import sheet
from upstroke.apps.generate.slerp import slerp
from upstroke.errors import FileError, OptionError

TOO_LARGE = (
    "a sheet may have at most 67,108,864 pixels; 100,000 pictures would make 13,598x8,498; name a folder, which "
    "gets a file for each"
)


def levels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def alike(got, wanted):
    """Sums over another number of pictures differ in their last bits, so now and then by a level."""
    assert got.shape == wanted.shape
    assert np.abs(got.astype(int) - wanted).max() <= 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("drawing") / "run", width=2, channels=3)


@pytest.fixture(scope="module")
def model(run):
    return load_model(run)


def test_a_sheet_has_the_pixels_of_the_pictures(run, model, tmp_path):
    told = []
    made = sample(
        run, tmp_path / "grid.png", count=5, seed=7, columns=3, told=lambda *each: told.append(each)
    )
    wanted = sheet(model.draw(model.latents(range(5), seed=7)), columns=3)
    np.testing.assert_array_equal(levels(made.target), wanted)
    assert made.size == wanted.shape[:2] == (66, 100)
    assert told == [(0, 5), (5, 5)]


def test_a_folder_has_a_picture_for_each_number_and_the_sheet_the_same(run, model, tmp_path):
    made = sample(run, tmp_path / "many", numbers=[3, 17, 40, 41], seed=7)
    names = ["000003.png", "000017.png", "000040.png", "000041.png"]
    assert sorted(each.name for each in made.target.iterdir()) == names
    for name, number in zip(names, [3, 17, 40, 41], strict=True):
        picture = model.draw(model.latents([number], seed=7))[0]
        alike(levels(made.target / name), np.moveaxis(picture, 0, -1))
    assert made.as_json()["numbers"] == [[3, 3], [17, 17], [40, 41]]


def test_more_pictures_than_are_drawn_at_a_time_are_all_there(run, model, tmp_path):
    told = []
    made = sample(run, tmp_path / "many", count=131, told=lambda *each: told.append(each))
    assert len(list(made.target.iterdir())) == 131
    assert told == [(0, 131), (64, 131), (128, 131), (131, 131)]
    alike(levels(made.target / "000130.png"), np.moveaxis(model.draw(model.latents([130], seed=0))[0], 0, -1))


def test_shortened_vectors_draw_pictures_nearer_to_that_of_none(run, model, tmp_path):
    z = model.latents(range(4), seed=0)
    sample(run, tmp_path / "half.png", count=4, truncate=0.5)
    alike(levels(tmp_path / "half.png"), sheet(model.draw(0.5 * z)))
    made = sample(run, tmp_path / "none", count=4, truncate=0)
    pictures = [levels(each) for each in made.target.iterdir()]
    for each in pictures:
        alike(each, np.moveaxis(model.draw(torch.zeros(1, 6))[0], 0, -1))
    assert made.as_json()["truncate"] == 0.0


def test_a_folder_is_replaced_only_where_it_holds_such_pictures(run, tmp_path):
    target = tmp_path / "many"
    target.mkdir()
    sample(run, target, count=2)
    message = (
        f"cannot write {target}: it is a folder with files in it; choose another name or allow overwriting"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        sample(run, target, count=3)
    sample(run, target, numbers=[9], overwrite=True)
    assert [each.name for each in target.iterdir()] == ["000009.png"]
    (target / "notes.txt").write_text("mine")
    message = (
        f"cannot write {target}: notes.txt, which is there, is none of its pictures; choose another name"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        sample(run, target, count=3, overwrite=True)
    assert sorted(each.name for each in target.iterdir()) == ["000009.png", "notes.txt"]
    assert [each.name for each in tmp_path.iterdir()] == ["many"]


@pytest.mark.parametrize("name", ["grid.png", "many"])
def test_what_is_stopped_half_way_leaves_nothing_and_what_was_there(run, name, tmp_path, monkeypatch):
    sample(run, tmp_path / name, numbers=[5])
    before = sorted(tmp_path.rglob("*"))
    draw, calls = Model.draw, []

    def stopped(self, z):
        calls.append(0)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw(self, z)

    monkeypatch.setattr(Model, "draw", stopped)
    with pytest.raises(KeyboardInterrupt):
        sample(run, tmp_path / name, count=100, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"count": 0}, "at least 1 picture must be drawn; got 0"),
        ({"numbers": []}, "at least 1 picture must be drawn; got no numbers"),
        ({"numbers": [3, -1]}, "numbers of samples are 0 and more; got -1"),
        (
            {"numbers": [3, 5, 3]},
            "each sample may be asked for once; got the number 3 twice; leave one out",
        ),
        ({"count": 3, "numbers": [1, 2]}, "give a count or numbers, not both; got 3 and 2 numbers"),
        ({"columns": 0}, "a sheet must have 1 or more columns; got 0"),
        (
            {"truncate": 1.5},
            "truncate is the share of its length that a latent vector keeps, from 0 to 1; got 1.5",
        ),
        (
            {"truncate": float("nan")},
            "truncate is the share of its length that a latent vector keeps, from 0 to 1; got nan",
        ),
        (
            {"count": 10**18},
            "at most 1,000,000 pictures are drawn at once; got 1,000,000,000,000,000,000; draw them in parts",
        ),
        ({"count": 10**5, "columns": 250}, TOO_LARGE),
        ({"device": "cuda:x"}, None),
    ],
)
def test_what_means_nothing_is_refused_and_nothing_is_written(run, asked, message, tmp_path):
    match = None if message is None else f"^{re.escape(message)}$"
    with pytest.raises(OptionError, match=match):
        sample(run, tmp_path / "grid.png", **asked)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_too_many_or_with_columns_is_refused(run, tmp_path):
    message = "at most 1,000,000 pictures are drawn at once; got 1,000,001; draw them in parts"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        sample(run, tmp_path / "many", count=10**6 + 1)
    message = f"columns are those of a sheet; got 3 and the folder {tmp_path / 'many'}; leave them out"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        sample(run, tmp_path / "many", columns=3)
    assert not list(tmp_path.iterdir())


def test_names_that_cannot_be_written_are_refused(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "grid.png").write_text("mine")
    for name, rest in {
        "grid.jpg": None,
        "none/grid.png": "the folder {0}/none does not exist; create it first",
        "none/many": "the folder {0}/none does not exist; create it first",
        "file": "it is a file, and pictures by number need a folder; choose another name",
        "grid.png": "it exists already; choose another name or allow overwriting",
    }.items():
        path = tmp_path / name
        message = (
            f"pictures are written as PNG; got {path}; name it grid.png for a sheet, or name a folder"
            if rest is None
            else f"cannot write {path}: {rest.format(tmp_path)}"
        )
        with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
            sample(run, path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "grid.png"]


def test_runs_of_numbers_are_told_in_order():
    assert runs_of([5, 4, 5, 6, 9]) == [[5, 5], [4, 6], [9, 9]]
    assert runs_of(range(2, 70)) == [[2, 69]]


def test_a_strip_passes_every_sample_once(run, model, tmp_path):
    made = interpolate(run, tmp_path / "strip.png", numbers=[3, 17, 4], steps=4, seed=7, truncate=0.8)
    ends = 0.8 * model.latents([3, 17, 4], seed=7)
    z = torch.cat([slerp(ends[0], ends[1], 4), slerp(ends[1], ends[2], 4)[1:]])
    wanted = sheet(model.draw(z), columns=7)
    np.testing.assert_array_equal(levels(made.target), wanted)
    assert (made.count, made.size) == (7, wanted.shape[:2])
    single = sheet(model.draw(ends[1:2]))
    alike(levels(made.target)[:, 3 * 34 : 3 * 34 + 32], single)


def test_ways_in_rows_begin_where_the_one_before_ended(run, model, tmp_path):
    made = interpolate(run, tmp_path / "rows.png", numbers=[3, 17, 4], steps=4, rows=True)
    got = levels(made.target)
    assert (made.count, made.size) == (8, (66, 4 * 34 - 2))
    alike(got[34:, :32], got[:32, -32:])
    alike(got[34:, -32:], np.moveaxis(model.draw(model.latents([4], seed=0))[0], 0, -1))


def test_a_folder_of_a_way_is_numbered_in_its_order(run, model, tmp_path):
    made = interpolate(run, tmp_path / "way", numbers=[3, 17], steps=12)
    names = sorted(each.name for each in made.target.iterdir())
    assert names == [f"{number:06d}.png" for number in range(12)]
    alike(levels(made.target / names[-1]), np.moveaxis(model.draw(model.latents([17], seed=0))[0], 0, -1))
    (way,) = made.as_json()["ways"]
    ends = model.latents([3, 17], seed=0)
    assert way["lengths"] == pytest.approx(ends.norm(dim=1).tolist())
    assert way["angle"] == pytest.approx(float(torch.rad2deg(torch.cosine_similarity(*ends, dim=0).acos())))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"numbers": [3]}, "a way needs 2 or more samples, such as 3,17; got 1"),
        ({"numbers": [3, -4]}, "numbers of samples are 0 and more; got -4"),
        (
            {"numbers": [3, 5, 5]},
            "a way leads from one sample to another; got 5 twice in a row; leave one out",
        ),
        (
            {"numbers": [3, 5], "steps": 1},
            "steps must be from 2, because both ends are among them, to 10000; got 1",
        ),
        (
            {"numbers": [3, 5], "steps": 10**5},
            "steps must be from 2, because both ends are among them, to 10000; got 100000",
        ),
    ],
)
def test_a_way_that_means_nothing_is_refused(run, asked, message, tmp_path):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        interpolate(run, tmp_path / "strip.png", **asked)
    assert not list(tmp_path.iterdir())
