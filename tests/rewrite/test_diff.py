"""Hold what is said of two models side by side: findings gone and new, costs, and numbers on what they give."""

import io
import json
import math
import re

import onnx
import pytest
import torch
from decoders import Net, ResNetUNet
from torch import nn

from upstroke.errors import OptionError
from upstroke.rewrite.diff import diff
from upstroke.rewrite.reregister_torch import reregistered

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning"
)
X = torch.rand(1, 3, 64, 96)


def exported(net, x):
    buffer = io.BytesIO()
    torch.onnx.export(net.eval(), (x,), buffer, dynamo=False, input_names=["x"], output_names=["y"])
    return onnx.load_from_string(buffer.getvalue())


def small(bias=0.0):
    net = nn.Sequential(nn.Conv2d(2, 2, 3, 1, 1), nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 3, 1, 1))
    for part in (net[0], net[2]):
        nn.init.constant_(part.weight, 0.1)
        nn.init.zeros_(part.bias)
    nn.init.constant_(net[2].bias, bias)
    return net.eval()


def test_a_repair_is_seen_from_both_sides():
    old = ResNetUNet().eval()
    found = diff(old, reregistered(old, [X]).model, X, select=["UP201", "UP204"])
    assert [each.rule.code for each in found.gone] == ["UP201"] * 4 + ["UP204"]
    assert (found.added, found.same) == ((), ())
    record = found.as_json()
    assert [each["drift"] for each in record["old"]["drifts"]] == [[-n, -n] for n in (8.0, 12.0, 14.0, 15.0)]
    assert [each["drift"] for each in record["new"]["drifts"]] == [[0.0, 0.0]] * 4
    assert record["old"]["parameters"] == record["new"]["parameters"]
    assert record["new"]["multiply_adds"] > record["old"]["multiply_adds"]
    assert 0 < found.cases[0].outputs[0].rms < 10


def test_numbers_on_outputs_are_what_they_are_called():
    x = torch.rand(1, 2, 5, 6)
    found = diff(small(), small(bias=0.5), x)
    with torch.no_grad():
        before = small()(x).double()
    (output,) = found.cases[0].outputs
    rms = float(before.square().mean().sqrt())
    assert output.largest == pytest.approx(0.5 / float(before.abs().max()), rel=1e-5)
    assert output.rms == pytest.approx(0.5 / rms, rel=1e-5)
    assert output.mean_shift == pytest.approx(0.5 / rms, rel=1e-5)
    assert diff(small(), small(), x).largest == 0
    assert {each.sizes[0][2:] for each in found.cases} > {(5, 6), (6, 7), (4, 5)}


def test_a_module_and_a_file_are_matched_by_order(tmp_path):
    x, net = torch.rand(1, 2, 5, 6), small()
    onnx.save(exported(net, x), tmp_path / "net.onnx")
    found = diff(net, tmp_path / "net.onnx", x, ignore="UP203")
    (output,) = found.cases[0].outputs
    assert (output.name, output.new_name) == ("output", "y")
    assert output.largest < 1e-5
    # the file has its sizes fixed, so it refuses the others, and that is said
    assert any(case.new_refused and not case.old_refused for case in found.cases)
    assert found.largest == math.inf
    json.dumps(found.as_json(), allow_nan=False)
    both = diff(tmp_path / "net.onnx", exported(small(bias=1.0), x))
    assert both.cases[0].outputs[0].mean_shift > 0
    assert all(not case.new_refused for case in both.cases)


def test_shapes_that_differ_and_outputs_that_are_missing_are_said():
    x = torch.rand(1, 2, 5, 6)
    found = diff(small(), nn.Sequential(*small(), nn.AvgPool2d(2)), x)
    (output,) = found.cases[0].outputs
    assert output.words == "its shape is 1x3x10x12 in the old model and 1x3x5x6 in the new one"
    more = Net(lambda net, x: (net.up(x), x), up=small())
    names = [each.words for each in diff(small(), more, x).cases[0].outputs]
    assert names == ["", "only the new model gives it"]


def test_what_is_no_model_is_refused():
    message = (
        "a model to compare must be a torch.nn.Module, the path of an ONNX file or a model that onnx has "
        "loaded; got int"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        diff(small(), 3, torch.rand(1, 2, 5, 6))
