"""`upstroke generate sample` and `upstroke generate interpolate` on the command line."""

import json

import pytest

from apps.generate.generate_saved import saved
from upstroke.cli import app


def run(words, capfd):
    with pytest.raises(SystemExit) as ended:
        app(words)
    out, err = capfd.readouterr()
    return ended.value.code, out, err


@pytest.fixture
def source(tmp_path):
    return str(saved(tmp_path / "run"))


def test_a_sheet_is_drawn_and_said(source, tmp_path, capfd):
    target = tmp_path / "grid.png"
    words = ["generate", "sample", source, "--numbers", "3, 7-9", "--seed", "5", "--out", str(target)]
    code, out, err = run(words, capfd)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    assert f"{target}: a sheet of 66x66 pixels, 4 pictures of 32x32 in" in said
    assert said.endswith("samples 3, 7-9 of seed 5")
    code, out, err = run(words, capfd)
    assert (code, out) == (2, "")
    assert err == (
        f"upstroke: cannot write {target}: it exists already; choose another name or allow overwriting\n"
    )
    code, out, err = run([*words, "--overwrite", "--format", "json"], capfd)
    record = json.loads(out)
    assert (code, err, record["schema"]) == (0, "", "upstroke.generate-sample/1")
    assert record["numbers"] == [[3, 3], [7, 9]]
    assert run([*words, "--overwrite", "-q"], capfd) == (0, "", "")


def test_a_way_is_drawn_and_said(source, tmp_path, capfd):
    target = tmp_path / "strip.png"
    words = ["generate", "interpolate", source, "--steps", "3", "--out", str(target)]
    code, out, err = run([*words, "--from", "3", "--to", "17"], capfd)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    assert f"{target}: a sheet of 32x100 pixels, 3 pictures of 32x32 in" in said
    assert "from sample 3 to 17 of seed 0: " in said
    words = [*words, "--overwrite", "--numbers", "3,17,3", "--format", "json"]
    code, out, err = run(words, capfd)
    record = json.loads(out)
    assert (code, err, record["schema"]) == (0, "", "upstroke.generate-interpolate/1")
    assert [(way["first"], way["last"]) for way in record["ways"]] == [(3, 17), (17, 3)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["sample", "--numbers", "3;4"],
            "--numbers must be numbers and ranges of them, such as 3,17,40-50; got '3;4'",
        ),
        (["sample", "--numbers", "9-5"], "a range of --numbers must go up, such as 5-9; got '9-5'"),
        (
            ["sample", "--numbers", "0-1000000"],
            "--numbers must be at most 1,000,000 numbers; got '0-1000000'; draw them in parts",
        ),
        (
            ["interpolate", "--from", "3"],
            "a way is said by --from and --to, or by --numbers alone; got --from 3",
        ),
        (
            ["interpolate"],
            "a way is said by --from and --to, or by --numbers alone; got none of them",
        ),
        (
            ["interpolate", "--to", "3", "--numbers", "1,2"],
            "a way is said by --from and --to, or by --numbers alone; got --to 3 and --numbers 1,2",
        ),
    ],
)
def test_words_without_meaning_are_one_sentence(words, message, tmp_path, capfd):
    verb, *more = words
    code, out, err = run(["generate", verb, "run", *more, "--out", str(tmp_path / "x.png")], capfd)
    assert (code, out, err) == (2, "", f"upstroke: {message}\n")
    assert not list(tmp_path.iterdir())
