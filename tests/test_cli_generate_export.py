"""`upstroke generate export` on the command line."""

import json

import pytest

from apps.generate.generate_saved import saved
from upstroke.cli import app


def run(words, capfd):
    with pytest.raises(SystemExit) as ended:
        app(words)
    out, err = capfd.readouterr()
    return ended.value.code, out, err


def test_a_generator_is_written_and_what_was_compared_is_said(tmp_path, capfd):
    source, target = saved(tmp_path / "run"), tmp_path / "m.onnx"
    code, out, err = run(["generate", "export", str(source), str(target)], capfd)
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    assert "parameters, opset 18 from 6 numbers to 32x32 pixels in 1 channel, from -1 to 1" in words
    assert "as the run draws them for 1, 3 and 10 latent vectors at a time, to" in words
    code, out, err = run(["generate", "export", str(source), str(target), "--format", "json"], capfd)
    assert (code, out) == (2, "")
    assert err == (
        f"upstroke: cannot write {target}: it exists already; choose another name or allow overwriting\n"
    )
    words = ["generate", "export", str(source), str(target), "--overwrite"]
    code, out, err = run([*words, "--format", "json"], capfd)
    record = json.loads(out)
    assert (code, err, record["schema"]) == (0, "", "upstroke.generate-export/1")
    assert record["bytes"] == target.stat().st_size
    assert run([*words, "-q"], capfd) == (0, "", "")


def test_what_is_no_run_is_one_sentence(tmp_path, capfd):
    code, out, err = run(["generate", "export", str(tmp_path), str(tmp_path / "m.onnx")], capfd)
    assert (code, out) == (2, "")
    assert err == (
        "upstroke: a model that draws must be a training run or its model.safetensors; there is no "
        f"{tmp_path}/model.safetensors; train one by upstroke generate train\n"
    )
    assert list(tmp_path.iterdir()) == []
