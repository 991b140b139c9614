"""`upstroke generate train` says what it is about to do and what came of it, and what is wrong in one sentence."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from upstroke.cli import app

sys.path.insert(0, str(Path(__file__).parent / "apps" / "generate"))
from drawn_pictures import drawn, encoded, write_pictures

SMALL = ("--steps", 3, "--size", 32, "--width", 2, "--latent", 5, "--batch", 4, "--precision", "32", "--device", "cpu")  # fmt: skip


def upstroke(*words):
    return CliRunner().invoke(app, ["generate", "train", *map(str, words)])


def test_the_plan_and_what_came_of_it_are_said(tmp_path):
    more = {"bad.png": encoded(drawn(5))[:200], "notes.txt": b"?", "a/again.png": b""}
    more["same.png"] = encoded(drawn(3, channels=1))
    data, out = write_pictures(tmp_path / "data", channels=1, more=more), tmp_path / "run"
    result = upstroke(data, "--out", out, "--kernel", 3, "--flips", *SMALL)
    assert result.exit_code == 0, result.output
    plan = " ".join(result.stderr.split())
    for words in (
        "data: 21 pictures of 12x12 (21 PNG)",
        "read as 32x32, grey, their largest centred squares, every other one mirrored; 21 of them were smaller",
        "note 1 picture the same as one before, pixel by pixel",
        "left alone files that are not named like pictures: 1 .txt",
        "skipped bad.png is not a whole picture: ",
        "skipped a/again.png must be a picture; it is empty (0 bytes); copy it again",
        "recipe r1: a penalty on gradients at real pictures",
        "5 numbers to 32x32, width 2, upsampling transposed with kernel 3, gains of all phases held equal: ",
        "this kernel moves the picture by 0.4375 x 0.4375 cells of the 4x4 sketch off the half-pixel grid",
        "discriminator width 2, norm none, told how much a batch differs: ",
        "3 steps of 4 pictures (0.5 epochs), non-saturating loss, rate 0.0005, 64 samples looked at every 1 step",
        "on cpu, in float32",
    ):
        assert words in plan
    assert result.stdout.startswith("Trained for 3 steps; ")
    assert " times as varied as the pictures, at a KID of " in " ".join(result.stdout.split())
    assert f"Next: upstroke generate sample {out} --out grid.png" in " ".join(result.stdout.split())
    again = upstroke(data, "--out", out, *SMALL, "--overwrite", "-q", "--format", "json")
    assert again.stderr == ""
    assert json.loads(again.stdout)["schema"] == "upstroke.generate-train/1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resume", "--overwrite"], "--resume goes on with a run and --overwrite begins anew; give one of them"),
        (["--steps", "3", "--minutes", "1"], "give steps or minutes, not both; got 3 and 1"),
        (["--minutes", "0"], "minutes must be a number above 0; got 0"),
        (["--average", "1"], "average is a share of the old from 0, which keeps none, to below 1; got 1"),
        (["--rate", "-1"], "a learning rate must be a number above 0; got -1"),
        (["--width", "0"], "width must be at least 1; got 0"),
        (["--device", "gpu"], "device must be auto, cpu, cuda, mps or cuda:1; got 'gpu'; choose one"),
        (["--device", "cpu", "--precision", "16"], "precision 16 needs a GPU; got 16 on the CPU; choose bf16 or 32"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, words, message):
    result = upstroke(tmp_path, "--out", tmp_path / "run", *words)
    assert (result.exit_code, result.stderr) == (2, f"upstroke: {message}\n")
    assert not (tmp_path / "run").exists()


def test_pictures_that_cannot_be_used_leave_no_folder(tmp_path):
    for data, message in (
        (tmp_path / "nothing", "there is no such file"),
        (write_pictures(tmp_path / "few", count=7), "must hold 16 different pictures or more"),
    ):
        result = upstroke(data, "--out", tmp_path / "run", *SMALL)
        assert result.exit_code == 2
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not (tmp_path / "run").exists()
