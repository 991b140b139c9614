"""The demonstration of segmentation: what is drawn is a data set, and every part of it is made."""

import functools
import json
import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from upstroke.apps.segment import demo as of_demo
from upstroke.apps.segment.demo import demo, draw
from upstroke.apps.segment.layouts import find_cases
from upstroke.cli import app
from upstroke.errors import FileError, OptionError


def test_what_is_drawn_is_a_data_set_of_odd_sizes_with_names(tmp_path):
    draw(tmp_path / "data", pictures=5, new=tmp_path / "new", seed=3)
    cases = find_cases(tmp_path / "data")
    assert [case.name for case in cases] == [f"cells_{n:02d}" for n in range(1, 6)]
    assert {dict(case.names)[128] for case in cases} == {"cell"}
    sizes = [case.read().size for case in cases]
    assert len(set(sizes)) == 5
    assert all(n % 2 for size in sizes for n in size)
    assert all(case.read_labels().size == size for case, size in zip(cases, sizes, strict=True))
    assert {case.name for case in find_cases(tmp_path / "new", labelled=False)} == {
        "cells_06",
        "cells_07",
        "cells_08",
    }
    drawn_again = tmp_path / "again"
    draw(drawn_again, pictures=2, seed=3)
    for folder in ("images", "labels"):
        assert (drawn_again / folder / "cells_02.png").read_bytes() == (
            tmp_path / "data" / folder / "cells_02.png"
        ).read_bytes()


def test_one_picture_is_not_enough(tmp_path):
    message = "training needs two pictures, of which one is held out; got 1; draw more"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        draw(tmp_path / "data", pictures=1)
    assert not (tmp_path / "data").exists()


def test_what_is_there_stays(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "report.html").write_text("mine")
    message = (
        f"cannot write into {tmp_path}: new, report.html exist already; choose another folder or allow "
        "overwriting"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        demo(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "report.html"]


def test_the_verb_trains_predicts_and_judges(tmp_path, monkeypatch):
    made = []

    def small(*args, **settings):
        made.append(demo(*args, **settings, pictures=3, steps=2))
        return made[0]

    monkeypatch.setattr(of_demo, "demo", functools.partial(small))
    out = tmp_path / "a" / "b"
    done = CliRunner().invoke(app, ["segment", "demo", "--out", str(out), "--seed", "2"])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == ["data", "new", "predictions", "report.html", "run"]
    for path in (out / "new").iterdir():
        mask, image = (np.asarray(Image.open(each)) for each in (out / "predictions" / path.name, path))
        assert mask.shape == image.shape
        assert set(np.unique(mask)) <= {0, 128, 255}
    record = json.loads(json.dumps(made[0].as_json(), allow_nan=False))
    assert record["train"]["steps"] == 2
    assert record["evaluate"]["selection"]["which"] == "validation"
    (judged,) = record["evaluate"]["cases"]
    assert judged["name"] in (out / "report.html").read_text()
    dice = record["train"]["dice"]["cell"]
    text = " ".join(done.output.split())
    assert f"cell {'–' if dice is None else format(dice, '.3f')} " in text
    assert "report.html: the held-out pictures, the worst first." in text
