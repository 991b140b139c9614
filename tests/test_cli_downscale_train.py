"""`upstroke downscale train` says what it did in sentences, and what is wrong in one."""

import pytest
from typer.testing import CliRunner

from fine_fields import a_field
from upstroke.apps.downscale.learned.apply import load_learned
from upstroke.cli import app


@pytest.fixture
def file(tmp_path):
    a_field(steps=1).to_netcdf(tmp_path / "fine.nc")
    return tmp_path / "fine.nc"


def upstroke(*words):
    return CliRunner().invoke(app, ["downscale", "train", *map(str, words)])


def test_what_was_trained_is_said_and_can_be_applied(file, tmp_path):
    out = tmp_path / "run"
    small = ("--steps", 2, "--width", 4, "--depth", 1)
    result = upstroke(file, "--factor", "4x2", "--variable", "sst", "--out", out, *small)
    assert result.exit_code == 0, result.output
    (held,) = load_learned(out).metadata["held_out"]["errors"]
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Trained for 2 steps; step ")
    share = f"The residual counts {held['gate']:.2f} of what was learnt."
    if held["gate"] == 0:
        share = "Nothing was learnt that holds there, so the answer is the cubic."
    assert lines[1] == (
        f"Error of sst there, root mean square: {held['learned']:.4g} learned, {held['cubic']:.4g} cubic, "
        f"{held['linear']:.4g} linear, {held['nearest']:.4g} nearest. {share}"
    )
    assert lines[2] == (
        f"Everything needed to apply it is in {out}/model.safetensors: upstroke downscale run IN OUT --factor 4x2 "
        f"--method {out}"
    )
    again = upstroke(file, "--factor", "4x2", "--variable", "sst", "--out", out, *small)
    assert again.exit_code == 2
    assert again.stderr == (
        f"upstroke: a new run needs a new folder; {out} holds a run already; resume it, or choose another name\n"
    )
    quiet = upstroke(file, "--factor", "4x2", "--variable", "sst", "--out", out, *small, "--overwrite", "-q")
    assert (quiet.exit_code, quiet.output) == (0, result.stdout)


def test_the_total_of_one_transposed_convolution_is_said(file, tmp_path):
    words = ("--network", "transposed", "--mass", "1.1", "--steps", 2, "--out", tmp_path / "run")
    result = upstroke(file, "--factor", "4x2", "--variable", "sst", *words)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].endswith(" nearest. Of a total of 1 its kernel makes 1.100000.")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--factor", "4x2x2"], "--factor must be one number or two, for rows and columns; got '4x2x2'"),
        (["--factor", "4", "--resume", "--overwrite"], "--resume goes on with a run and --overwrite begins anew; give one of them"),
        (["--factor", "4"], "fine.nc has sst, ice: say which variable to take by its name"),
        (["--factor", "4", "--variable", "salt"], "there must be a variable salt in fine.nc; it has sst, ice; name one of these"),
        (["--factor", "5x2", "--variable", "sst"], "a map must have at least 16 coarse cells along each axis to learn from, 80 fine ones along lat; got 70 in fine.nc; use larger maps"),
        (["--factor", "4x2", "--variable", "sst", "--minutes", "0"], "minutes must be above 0; got 0"),
        (["--factor", "4x2", "--variable", "sst", "--network", "transposed", "--static", "fine.nc:sst"], "one transposed convolution reads no static fields; got some; take network='residual'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(file, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    result = upstroke(file, "--out", tmp_path / "run", *words)
    assert (result.exit_code, result.stderr) == (2, f"upstroke: {message}\n")
    assert not (tmp_path / "run").exists()
