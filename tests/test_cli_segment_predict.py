"""Hold the verb `segment predict`: what it prints, how its options arrive, and its exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from upstroke.apps.segment import predict as of_predict
from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.predict import Outlined, Predicted
from upstroke.apps.segment.tiles import plan_tiles
from upstroke.cli import app
from upstroke.report.segment_predicted_text import segment_predicted_text

CLASSES = Classes(values=(0, 1, 2), names=("background", "cell", "rim"))
NET = {"in_channels": 1, "classes": 3, "widths": (2, 4, 4)}


def outlined(name, *, unit="pixel", tile=None):
    return Outlined(
        source=Path("in") / name,
        target=Path("out") / name,
        probabilities=None,
        size=(20, 35),
        spacing=(1.0, 1.0) if unit == "pixel" else (0.5, 0.25),
        unit=unit,
        voxels=(560, 105, 35),
        tiles=plan_tiles(NET, (20, 35), tile=tile),
        seconds=0.25,
    )


def predicted(*files, skipped=(), failed=()):
    return Predicted(
        model=Path("run"),
        source=Path("in"),
        target=Path("out"),
        device="cpu",
        classes=CLASSES,
        files=files,
        skipped=skipped,
        failed=failed,
        seconds=1.25,
    )


@pytest.fixture
def answered(monkeypatch):
    """Let the program answer with a record, and keep what it was asked."""
    asked = {}

    def answer(record):
        def predict(model, source, target, **settings):
            asked.update(settings, model=model, source=source, target=target)
            return record

        monkeypatch.setattr(of_predict, "predict", predict)
        return asked

    return answer


def called(*words):
    return CliRunner().invoke(app, ["segment", "predict", *words])


def test_the_text_says_what_was_written_and_how_much_of_each_class(answered):
    answered(predicted(outlined("a.png"), outlined("b.tif", unit="mm", tile=16)))
    done = called("run", "in", "out")
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        "out: 2 masks in 1.2 s\n"
        "  a.png  20x35, in one piece: cell 15 %, rim 5 %\n"
        "  b.tif  20x35, in 8 blended tiles: cell 13.12 mm², rim 4.375 mm²\n"
    )


def test_what_failed_makes_exit_code_2_and_stays_with_quiet(answered):
    record = predicted(
        outlined("a.png"), skipped=(Path("out/c.png"),), failed=((Path("in/d.png"), "in/d.png is empty"),)
    )
    answered(record)
    done = called("run", "in", "out", "-q")
    assert done.exit_code == 2
    assert done.stderr == "upstroke: 1 of 3 images could not be predicted; the result says why\n"
    assert done.stdout == (
        "out: 1 mask in 1.2 s\n  1 was there already and stays\n  not predicted: in/d.png is empty\n"
    )
    done = called("run", "in", "out", "--format", "json")
    assert done.exit_code == 2
    assert json.loads(done.stdout) == record.as_json()


def test_many_files_are_counted_and_listed_where_asked():
    many = predicted(
        *(outlined(f"{n}.png") for n in range(11)),
        failed=tuple((Path(f"x{n}"), f"x{n} is empty") for n in range(10)),
    ).as_json()
    text = segment_predicted_text(many)
    assert text.count(".png") == 8
    assert "and 3 more; -v lists them" in text
    assert "and 2 more that could not be predicted; -v lists them" in text
    text = segment_predicted_text(many, verbose=True)
    assert text.count(".png") == 11
    assert text.count("is empty") == 10
    assert "in one piece: " + many["files"][0]["tiles"]["reason"] in " ".join(text.split())


def test_names_that_could_steer_a_terminal_are_shown_as_they_are():
    text = segment_predicted_text(predicted(outlined("a\x1b[31m.png")).as_json())
    assert "\x1b" not in text


def test_every_option_arrives(answered):
    asked = answered(predicted())
    words = ("--tile", "572x380", "--probabilities", "soft", "--overwrite", "--device", "cuda:1", "-q")
    assert called("run", "in", "out", *words).exit_code == 0
    assert asked == {
        "model": Path("run"),
        "source": Path("in"),
        "target": Path("out"),
        "tile": (572, 380),
        "probabilities": Path("soft"),
        "overwrite": True,
        "skip_existing": False,
        "device": "cuda:1",
        "progress": False,
    }
    called("run", "in", "out", "--skip-existing")
    assert asked["skip_existing"]
    assert asked["tile"] is None
    assert asked["progress"]


def test_a_tile_that_is_no_size_is_bad_usage(answered):
    asked = answered(predicted())
    done = called("run", "in", "out", "--tile", "big")
    assert done.exit_code == 2
    assert "--tile must be a whole number such as 4" in done.output
    assert asked == {}
