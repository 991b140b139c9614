"""`upstroke segment train` says what it is about to do and what came of it, and what is wrong in one sentence."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from upstroke.apps.segment.presets import PRESETS
from upstroke.cli import app

sys.path.insert(0, str(Path(__file__).parent / "apps" / "segment"))
from small_pictures import write_spots

SMALL = ("--preset", "tiny", "--steps", 3, "--widths", "3,5", "--precision", "32", "--device", "cpu")


def upstroke(*words):
    return CliRunner().invoke(app, ["segment", "train", *map(str, words)])


def test_the_plan_and_what_came_of_it_are_said(tmp_path):
    data, out = write_spots(tmp_path / "data"), tmp_path / "run"
    result = upstroke(data, "--out", out, "--hold-out-last", 2, *SMALL)
    assert result.exit_code == 0, result.output
    plan = " ".join(result.stderr.split())
    for words in (
        "6 cases, 2-D, 1 channel",
        "learnt from 4 cases held out 2 cases, judged whole every 3 steps",
        "padded U-Net, 2 levels of 3, 5 channels, strides 2x2, norm instance",
        "joins level 0: 0x0 pixels apart",
        "patches 2 of 22x26 in a step; augmentation light",
        f"3 steps of adamw, rate {PRESETS['tiny'].rate:g}, on cpu, in float32",
    ):
        assert words in plan
    assert result.stdout.startswith(
        "Trained for 3 steps; step 3 is kept, the best on what is held out.\nDice there, "
    )
    assert f"Next: upstroke segment predict {out} IN OUT" in " ".join(result.stdout.split())
    again = upstroke(
        data, "--out", out, "--hold-out-last", 2, *SMALL, "--overwrite", "-q", "--format", "json"
    )
    assert again.stderr == ""
    assert json.loads(again.stdout)["schema"] == "upstroke.segment-train/1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resume", "--overwrite"], "--resume goes on with a run and --overwrite begins anew; give one of them"),
        (["--hold-out", "0.2", "--hold-out-last", "3"], "cases are held out in one way; got --hold-out and --hold-out-last; give one of them"),
        (["--hold-out", "1.5"], "--hold-out must be a share between 0 and 1 such as 0.2, or a number of cases; got '1.5'"),
        (["--patch", "96"], "--patch must have a number for each axis, such as 96x96; got '96'"),
        (["--spacing", "1xa"], "--spacing must be lengths above 0, one for each axis, such as 1x0.5x0.5; got '1xa'"),
        (["--steps", "3", "--minutes", "1"], "give steps or minutes, not both; got 3 and 1"),
        (["--minutes", "0"], "minutes must be a number above 0; got 0"),
        (["--minutes", "inf"], "minutes must be a number above 0; got inf"),
        (["--device", "gpu", "--minutes", "1"], "device must be auto, cpu, cuda, mps or cuda:1; got 'gpu'; choose one"),
        (["--device", "cpu", "--precision", "16"], "precision 16 needs a GPU; got 16 on the CPU; choose bf16 or 32"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, words, message):
    result = upstroke(tmp_path, "--out", tmp_path / "run", *words)
    assert (result.exit_code, result.stderr) == (2, f"upstroke: {message}\n")
