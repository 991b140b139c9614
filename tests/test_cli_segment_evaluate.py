"""Hold what `upstroke segment evaluate` prints, writes and refuses, from the words a user types."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from upstroke.cli import app

RUNNER = CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"})


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data/images", "data/labels", "made"):
        (tmp_path / name).mkdir(parents=True)
    true = np.zeros((9, 14), np.uint8)
    true[2:6, 3:9] = 255
    for name in ("1", "2"):
        Image.fromarray(true).save(f"data/images/{name}.png")
        Image.fromarray(true).save(f"data/labels/{name}.png")
        Image.fromarray(np.roll(true, int(name) - 1, 1)).save(f"made/{name}.png")
    return tmp_path


def said(*words, code=0):
    done = RUNNER.invoke(app, ["segment", "evaluate", *map(str, words)])
    assert done.exit_code == code, done.output
    return done


def test_text_json_page_and_table(here):
    text = said("made", "data").stdout
    assert text.splitlines()[0] == "made  All 2 cases in data."
    assert "Dice 0.917 over 2 cases." in text
    record = json.loads(said("made", "data", "--format", "json", "--cases", "all").stdout)
    assert (record["schema"], record["selection"]["is_asked"]) == ("upstroke.segment-evaluate/1", True)
    assert [case["name"] for case in record["cases"]] == ["2", "1"]
    words = ("made", "data", "--format", "html", "--output", "page.html", "--csv", "rows.csv")
    assert said(*words).stderr == "wrote rows.csv\nwrote page.html\n"
    assert (here / "rows.csv").read_bytes().splitlines()[1].startswith(b"2,2,foreground,255,both,0.8333")
    assert b"Dice 0.917 over 2 cases" in (here / "page.html").read_bytes()
    refused = said(*words, code=2).stderr
    assert refused == "upstroke: page.html exists already; give --overwrite to replace it, or another name\n"
    assert said(*words, "--overwrite", "-q").stderr == ""
    both = json.loads(said("made", "data", "--background", "--format", "json").stdout)
    assert [part["name"] for part in both["classes"]] == ["background", "foreground"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("made", "data", "--format", "html"), "a page is for a browser and not for a terminal; got no --output; give --output scores.html"),
        (("made", "data", "--output", "x", "--csv", "x"), "--output and --csv must be two files; got x for both; name another file"),
        (("nothing", "data"), "nothing must be a run, a model or a folder of predictions; there is nothing of that name"),
        (("made", "data", "--cases", "held-out"), "held-out cases are known of a run that says what it was trained on; got made; ask for all cases"),
        (("made", "data", "--tile", "-3"), "--tile must be at least 1; got '-3'"),
    ],
)  # fmt: skip
def test_what_is_refused(here, words, message):
    assert said(*words, code=2).stderr == f"upstroke: {message}\n"
