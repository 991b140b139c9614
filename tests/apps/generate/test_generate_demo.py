"""The demonstration of generators: flowers are drawn, learnt, generated and judged, and nothing is overwritten."""

import functools
import json
import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from upstroke.apps.generate import demo as of_demo
from upstroke.apps.generate.demo import demo, draw
from upstroke.apps.generate.gather import gather
from upstroke.cli import app
from upstroke.errors import FileError, OptionError


def test_what_is_drawn_can_be_learnt_from(tmp_path):
    draw(tmp_path / "data", pictures=20, size=24, seed=3)
    found = gather(tmp_path / "data", size=24)
    assert (found.pictures.shape, found.repeated, found.skipped) == ((20, 3, 24, 24), 0, ())
    draw(tmp_path / "again", pictures=20, size=24, seed=3)
    draw(tmp_path / "other", pictures=20, size=24, seed=4)
    assert np.array_equal(gather(tmp_path / "again", size=24).pictures, found.pictures)
    others = {each.tobytes() for each in gather(tmp_path / "other", size=24).pictures}
    assert not others & {each.tobytes() for each in found.pictures}


def test_no_flower_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"^at least 1 flower must be drawn; got 0$"):
        draw(tmp_path / "data", pictures=0)
    assert not (tmp_path / "data").exists()


def test_what_is_there_stays(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "samples.png").write_text("mine")
    message = (
        f"cannot write into {tmp_path}: run, samples.png exist already; choose another folder or allow "
        "overwriting"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        demo(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "samples.png"]


def test_the_verb_trains_draws_and_judges(tmp_path, monkeypatch):
    made = []

    def small(*args, **settings):
        made.append(demo(*args, **settings, pictures=24, steps=2, samples=30))
        return made[0]

    monkeypatch.setattr(of_demo, "demo", functools.partial(small))
    out = tmp_path / "a" / "b"
    done = CliRunner().invoke(app, ["generate", "demo", "--out", str(out), "--seed", "2"])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == ["data", "report.html", "run", "samples.png"]
    with Image.open(out / "samples.png") as sheet:
        assert (sheet.mode, sheet.size) == ("RGB", (8 * 34 - 2, 8 * 34 - 2))
    record = json.loads(json.dumps(made[0].as_json(), allow_nan=False))
    assert (record["train"]["steps"], record["evaluate"]["samples"]) == (2, 30)
    text = " ".join(done.output.split())
    assert "2 steps on 24 drawn flowers took " in text
    for verdict in record["evaluate"]["verdicts"]:
        assert f"{verdict['about']} {verdict['word']}" in text
    assert "samples.png: flowers that nobody drew." in text
