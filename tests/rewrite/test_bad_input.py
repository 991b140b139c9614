"""Hold that `upstroke fix` answers bad files and odd models in one sentence, and writes nothing then."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from onnx_models import model, node
from upstroke.cli import app
from upstroke.rewrite.fixed import Pair
from upstroke.rewrite.work import Measured
from upstroke.rewrite.work_onnx import WorkOnnx
from upstroke.rewrite.work_torch import WorkTorch

FORM = ("--form", "transposed")
CODE = """
import time

import torch
import torch.nn.functional as F
from torch import nn


def net():
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 2, 3, padding=1))


class Loud(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x):
        print("a word of the model's own")
        return self.conv(F.interpolate(x, scale_factor=2))


class Slow(Loud):
    def forward(self, x):
        print("it runs", flush=True)
        time.sleep(60)
        return x
"""


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch):
    """Leave out what takes seconds and is held elsewhere: times and memory of whole models."""
    nothing = Measured(milliseconds=Pair(), memory=Pair(), memory_of="", share=None, words="")
    for work in (WorkOnnx, WorkTorch):
        monkeypatch.setattr(work, "measured", lambda self, **rest: nothing)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(grows(), "net.onnx")
    return tmp_path


def weights(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def grows(**more):
    nodes = [node("Resize", ["x", "", "s"], "u", mode="nearest"), node("Conv", ["u", "w"], "y", pads=[1] * 4)]
    held = {"s": np.array([1, 1, 2, 3], np.float32), "w": weights(2, 3, 3, 3)}
    return model(nodes, {"x": ["N", 3, "H", "W"]}, weights=held, **more)


def call(*words):
    return CliRunner().invoke(app, ["fix", *map(str, words)], prog_name="upstroke")


def files():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(sentence, *words):
    """Exit code 2, one sentence, and no file is another than before."""
    before = files()
    result = call(*words)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"upstroke: {sentence}\n")
    assert files() == before


def test_targets_that_would_replace_something(folder):
    os.link("net.onnx", "hard.onnx")
    os.symlink("net.onnx", "soft.onnx")
    os.symlink("nowhere.onnx", "dangling.onnx")
    for name in ("net.onnx", "hard.onnx", "soft.onnx", "dangling.onnx"):
        remedy = "give --overwrite to replace it, or another name"
        refused(f"{name} exists already; {remedy}", "net.onnx", "--output", name)
    for name in ("net.onnx", "hard.onnx", "soft.onnx"):
        what = f"must not be what is read; got {name} for both; name another file"
        refused(f"--output {what}", "net.onnx", "--output", name, "--overwrite")
        refused(f"--report {what}", "net.onnx", "--report", name, "--overwrite")
    refused(
        "--output and --report must be two files; got a.onnx for both; name another file",
        "net.onnx", "--output", "a.onnx", "--report", "a.onnx",
    )  # fmt: skip


def test_targets_that_cannot_be_written(folder, monkeypatch):
    os.mkdir("there")
    os.mkfifo("pipe.onnx")
    device = "it is a device or a pipe, not a file; name a file"
    for target, reason in (
        ("there", "it is a folder; name a file inside it"),
        ("none/a.onnx", "the folder none does not exist; create it first"),
        ("pipe.onnx", device),
        ("/dev/null", device),
    ):
        refused(f"cannot write {target}: {reason}", "net.onnx", "--output", target)
    refused("a file must have a name; got ''; name a file", "net.onnx", "--output", "")
    wanted = "--output of an ONNX file must end in .onnx; got a.pt2; name it a.onnx"
    refused(wanted, "net.onnx", "--output", "a.pt2")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    remedy = "choose a folder you may write to"
    refused(f"cannot write a.onnx: Permission denied; {remedy}", "net.onnx", "--output", "a.onnx")


def test_names_that_are_odd_are_names_all_the_same(folder):
    os.rename("net.onnx", "ein nétz ⌘.onnx")
    done = call("ein nétz ⌘.onnx", *FORM, "--output", "öut <put>.onnx")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.endswith("1 site rewritten; written to öut <put>.onnx\n")
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(onnx.load("öut <put>.onnx")))


def test_a_disk_that_is_full_keeps_nothing(folder, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    words = "cannot write a.onnx: No space left on device; free some space or choose another disk"
    refused(words, "net.onnx", *FORM, "--output", "a.onnx")


@pytest.mark.parametrize(
    ("location", "trouble"),
    [
        ("missing.data", "is not regular file"),
        ("../outside.data", "points outside the directory"),
        ("short.data", "exceeds available data"),
    ],
)
def test_weights_in_other_files_that_are_not_there(folder, location, trouble):
    onnx.save(grows(), "held.onnx", save_as_external_data=True, location="held.data", size_threshold=0)
    light = onnx.load("held.onnx", load_external_data=False)
    for tensor in light.graph.initializer:
        for entry in tensor.external_data:
            entry.value = location if entry.key == "location" else entry.value
    onnx.save(light, "bad.onnx")
    Path("short.data").write_bytes(Path("held.data").read_bytes()[:50])
    before = files()
    result = call("bad.onnx", "--output", "a.onnx")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "keeps weights in other files, of which one cannot be read" in result.stderr
    assert trouble in result.stderr
    assert files() == before


def test_weights_beside_stay_beside(folder):
    onnx.save(grows(), "held.onnx", save_as_external_data=True, location="held.data", size_threshold=0)
    before = files()
    done = call("held.onnx", *FORM, "--output", "new.onnx")
    assert done.exit_code == 0
    assert {str(path) for path in set(files()) - set(before)} == {"new.onnx", "new.onnx.data"}
    assert all(files()[path] == content for path, content in before.items())
    again = call("held.onnx", *FORM, "--output", "held.data.onnx", "--report", "held.data")
    assert (
        again.stderr
        == "upstroke: held.data exists already; give --overwrite to replace it, or another name\n"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--least-gain", "0"), "least (--least-gain) must be a number above 0; got 0.0"),
        (("--least-gain", "nan"), "least (--least-gain) must be a number above 0; got nan"),
        (("--tolerance", "-1"), "tolerance must be a number from 0 on; got -1.0"),
        (("--tolerance", "nan"), "tolerance must be a number from 0 on; got nan"),
        (
            ("--site", "the_v"),
            "there is no site 'the_v'; the nearest are 'the_u'; name one as `upstroke check` does",
        ),
        (
            ("--select", "UP999"),
            "exact rewrites are UP301, UP302, UP303, fold, shuffle, native, or none of them: none; got 'UP999'",
        ),
        (
            ("--repair", "UP301"),
            "repairs are of UP201, UP101, UP102, UP105, UP401, UP402, UP203; got 'UP301'",
        ),
        (
            ("--format", "html"),
            "a page is for a browser and not for a terminal; got no --report; give --report fix.html",
        ),
        (("--input", "1x4x8x8"), "input 'x' takes Nx3x?x?; got 1x4x8x8"),
    ],
)
def test_options_that_cannot_be_meant(folder, words, sentence):
    refused(sentence, "net.onnx", *words)


def test_packages_that_are_missing_are_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    words = "measuring for OpenVINO needs the package openvino; pip install openvino"
    refused(words, "net.onnx", "--for", "openvino", "--output", "a.onnx")


def test_json_is_json_although_the_model_prints(folder, monkeypatch):
    Path("some_models.py").write_text(CODE)
    done = call("some_models:Loud", "--input", "1x3x4x5", *FORM, "--format", "json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["changed"]
    refused(
        "--output of what a factory builds must end in .pt2; got a.onnx; name it a.pt2",
        "some_models:net", "--input", "1x3x4x5", "--output", "a.onnx",
    )  # fmt: skip


def test_an_interrupted_fix_leaves_nothing(folder):
    Path("slow_models.py").write_text(CODE)
    words = ("slow_models:Slow", "--input", "1x3x4x5", "--output", "a.pt2")
    command = [sys.executable, "-m", "upstroke", "fix", *words]
    before = files()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr.readline() == "it runs\n"
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in said
    assert {path for path in files() if "__pycache__" not in path.parts} == set(before)


def test_quantised_models_are_left_and_said(folder):
    nodes = [
        node("QuantizeLinear", ["x", "a", "z"], "q"),
        node("Resize", ["q", "", "s"], "u", mode="nearest"),
        node("QLinearConv", ["u", "a", "z", "w", "b", "v", "a", "z"], "c", pads=[1] * 4),
        node("DequantizeLinear", ["c", "a", "z"], "y"),
    ]
    held = {
        "s": np.array([1, 1, 2, 3], np.float32),
        "a": np.float32(0.1),
        "z": np.uint8(128),
        "w": np.random.default_rng(0).integers(-9, 9, (2, 3, 3, 3), dtype=np.int8),
        "b": np.float32(0.1),
        "v": np.int8(0),
    }
    onnx.save(model(nodes, {"x": ["N", 3, "H", "W"]}, weights=held), "q.onnx")
    done = call("q.onnx", "--format", "json")
    assert done.exit_code == 0
    (site,) = json.loads(done.stdout)["sites"]
    assert site["outcome"] == "left"
    assert site["words"].startswith("it is quantised")


def test_models_that_no_runtime_takes(folder):
    future = grows()
    future.opset_import[0].version = 99
    onnx.save(future, "future.onnx")
    result = call("future.onnx")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("upstroke: the model must run in ONNX Runtime, which says: ")
    assert "onnxruntime_src" not in result.stderr
    # an operator that nobody knows gives a map of which no size is known
    own = [helper.make_node("Magic", ["x"], ["h"], domain="its.own"), *grows().graph.node]
    own[1].input[0] = "h"
    strange = grows(domains=("its.own",))
    strange.graph.ClearField("node")
    strange.graph.node.extend(own)
    onnx.save(strange, "own.onnx")
    result = call("own.onnx", "--format", "json")
    assert result.exit_code == 0
    (site,) = json.loads(result.stdout)["sites"]
    assert site["words"] == (
        "the size of the map that comes in is not known, so that no form can be tried on it"
    )


def test_an_input_may_be_a_single_truth_value(folder):
    branch = [
        helper.make_graph(
            [helper.make_node(kind, ["y"], [kind])],
            kind,
            [],
            [helper.make_tensor_value_info(kind, TensorProto.FLOAT, None)],
        )
        for kind in ("Relu", "Neg")
    ]
    nodes = [*grows().graph.node, node("If", ["c"], "z", then_branch=branch[0], else_branch=branch[1])]
    built = grows()
    built.graph.ClearField("node")
    built.graph.node.extend(nodes)
    built.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    built.graph.output[0].name = "z"
    onnx.save(built, "if.onnx")
    done = call("if.onnx", *FORM, "--output", "new.onnx")
    assert (done.exit_code, done.stderr) == (0, "")
    kinds = [each.op_type for each in onnx.load("new.onnx").graph.node]
    assert ("Resize" in kinds, kinds[-1]) == (False, "If")
