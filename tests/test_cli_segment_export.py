"""`upstroke segment export` on the command line."""

import json

import pytest

from apps.segment.test_segment_export import trained
from upstroke.cli import app


def run(words, capfd):
    with pytest.raises(SystemExit) as ended:
        app(words)
    out, err = capfd.readouterr()
    return ended.value.code, out, err


def test_a_run_is_written_and_what_was_compared_is_said(tmp_path, capfd):
    source, target = trained(tmp_path / "run"), tmp_path / "m.onnx"
    code, out, err = run(["segment", "export", str(source), str(target)], capfd)
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    assert "opset 18, any size from 5x5 up" in words
    assert "as PyTorch at 5x5, 10x7, 21x18, to" in words
    code, out, err = run(["segment", "export", str(source), str(target), "--format", "json"], capfd)
    assert (code, out) == (2, "")
    assert err.startswith("upstroke: cannot write ")
    code, out, err = run(
        ["segment", "export", str(source), str(target), "--format", "json", "--overwrite"], capfd
    )
    record = json.loads(out)
    assert (code, err, record["schema"]) == (0, "", "upstroke.segment-export/1")
    assert record["bytes"] == target.stat().st_size
    assert run(["segment", "export", str(source), str(target), "-q", "--overwrite"], capfd) == (0, "", "")


def test_what_is_no_run_is_one_sentence(tmp_path, capfd):
    code, out, err = run(["segment", "export", str(tmp_path), str(tmp_path / "m.onnx")], capfd)
    assert (code, out) == (2, "")
    assert err == (
        "upstroke: a segmentation model must be a training run, its model.safetensors or an ONNX file; there is no "
        f"{tmp_path}/model.safetensors; train one by upstroke segment train\n"
    )
    assert list(tmp_path.iterdir()) == []
