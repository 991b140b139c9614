"""Hold repaired ONNX models to their rules, to onnxruntime and to what must stay as it was."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, checker, helper, numpy_helper
from torch import nn

from onnx_models import model, node, normal, run
from upstroke.audit import check
from upstroke.graph import onnx_file
from upstroke.graph.torch import record
from upstroke.rewrite.balance import Refused, Repair
from upstroke.rewrite.balance_onnx import repaired_onnx
from upstroke.rewrite.balance_torch import repaired_module
from upstroke.rewrite.outputs import moved
from upstroke.rewrite.verify_onnx import runner as of_onnx
from upstroke.rewrite.verify_torch import runner as of_module

SIZES = {"x": (1, 2, 17, 19)}


def found(built, tmp_path, codes, sizes=None):
    path = tmp_path / "repaired.onnx"
    onnx.save(built, path)
    return [each.site for each in check(path, sizes, select=codes).findings]


def weights(**given):
    return {name: normal(place, *shape).numpy() for place, (name, shape) in enumerate(given.items())}


def up(taken, given, weight="w", **more):
    return node("ConvTranspose", [taken, weight], given, strides=[2, 2], **more)


def test_a_kernel_is_replaced_under_its_name(tmp_path):
    built = model([up("x", "a"), node("Relu", ["a"], "y")], SIZES, weights=weights(w=(2, 3, 4, 3)))
    before = built.SerializeToString()
    made = repaired_onnx(built, ["UP102", "UP105"])
    assert built.SerializeToString() == before
    assert [each.name for each in made.model.graph.initializer] == ["w"]
    checker.check_model(onnx.shape_inference.infer_shapes(made.model))
    assert found(made.model, tmp_path, ["UP102", "UP105"]) == []
    # a constant comes out constant, as onnxruntime says
    flat = run(made.model, x=torch.ones(1, 2, 17, 19))[..., 6:-6, 6:-6]
    assert float((flat - flat[..., :1, :1]).abs().max()) < 1e-5
    assert float((run(built, x=torch.ones(1, 2, 17, 19))[..., 6:-6, 6:-6] - flat).abs().max()) > 0.1


def test_a_constant_node_gives_way_to_a_weight(tmp_path):
    value = numpy_helper.from_array(normal(0, 2, 3, 4, 4).numpy())
    nodes = [node("Constant", [], "w", value=value), up("x", "a"), node("Relu", ["a"], "y")]
    made = repaired_onnx(model(nodes, SIZES), ["UP102"])
    assert [each.op_type for each in made.model.graph.node] == ["ConvTranspose", "Relu"]
    assert [each.name for each in made.model.graph.initializer] == ["w_repaired"]
    assert found(made.model, tmp_path, ["UP102"]) == []


def test_a_weight_with_another_use_is_kept_for_that(tmp_path):
    nodes = [up("x", "a"), node("Relu", ["a"], "b"), node("Conv", ["b", "w"], "y")]
    made = repaired_onnx(model(nodes, SIZES, weights=weights(w=(2, 2, 4, 4))), ["UP102"])
    old = numpy_helper.to_array(made.model.graph.initializer[0])
    assert np.array_equal(old, normal(0, 2, 2, 4, 4).numpy())
    assert [list(each.input) for each in made.model.graph.node] == [["x", "w_repaired"], ["a"], ["b", "w"]]
    assert found(made.model, tmp_path, ["UP102"]) == []


def test_sites_that_share_a_weight_are_all_repaired(tmp_path):
    nodes = [up("x", "a"), node("Relu", ["a"], "b"), up("b", "c"), node("Relu", ["c"], "y")]
    made = repaired_onnx(model(nodes, SIZES, weights=weights(w=(2, 2, 4, 4))), ["UP102"])
    assert [isinstance(each, Repair) for each in made.outcomes] == [True, True]
    assert [each.name for each in made.model.graph.initializer] == ["w"]
    assert found(made.model, tmp_path, ["UP102"]) == []


def test_a_computed_weight_gets_its_value_written_down(tmp_path):
    nodes = [node("Mul", ["v", "g"], "w"), up("x", "a"), node("Relu", ["a"], "y")]
    built = model(nodes, SIZES, weights=weights(v=(2, 3, 4, 4), g=(2, 1, 1, 1)))
    made = repaired_onnx(built, ["UP102"])
    assert [each.op_type for each in made.model.graph.node] == ["ConvTranspose", "Relu"]
    assert [each.name for each in made.model.graph.initializer] == ["w_repaired"]
    assert found(made.model, tmp_path, ["UP102"]) == []


def test_quantised_weights_and_inputs_are_refused():
    nodes = [node("DequantizeLinear", ["q", "s"], "w"), up("x", "a"), node("Relu", ["a"], "y")]
    numbers = {"q": (30 * normal(0, 2, 3, 4, 4)).to(torch.int8).numpy(), "s": np.float32(0.03)}
    (outcome,) = repaired_onnx(model(nodes, SIZES, weights=numbers), ["UP102"]).outcomes
    assert isinstance(outcome, Refused)
    assert outcome.reason == "its weight w is quantised, and whole numbers hold no such small changes"

    built = model([up("x", "a"), node("Relu", ["a"], "y")], SIZES, weights=weights(w=(2, 3, 4, 4)))
    built.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2, 3, 4, 4]))
    (outcome,) = repaired_onnx(built, ["UP102"]).outcomes
    assert isinstance(outcome, Refused)
    assert outcome.reason == "its weight w is an input of the model, which whoever runs it may give"

    given = model([up("x", "a"), node("Relu", ["a"], "y")], {**SIZES, "w": (2, 3, 4, 4)})
    (outcome,) = repaired_onnx(given, ["UP102"]).outcomes
    assert outcome.reason == "its weight is computed while the model runs"


@pytest.mark.parametrize("mode", ["CRD", "DCR"])
def test_a_convolution_before_a_shuffle_is_balanced(tmp_path, mode):
    nodes = [
        node("Conv", ["x", "w", "b"], "a", dilations=[1, 2]),
        node("DepthToSpace", ["a"], "c", blocksize=2, mode=mode),
        node("Relu", ["c"], "y"),
    ]
    built = model(nodes, SIZES, weights=weights(w=(12, 2, 3, 2), b=(12,)))
    made = repaired_onnx(built, ["UP102"])
    assert [part.part for part in made.outcomes[0].parts] == ["weight", "bias"]
    assert found(made.model, tmp_path, ["UP102", "UP105"]) == []
    flat = run(made.model, x=torch.ones(1, 2, 17, 19))
    assert float((flat - flat[..., :1, :1]).abs().max()) < 1e-5


def text_detector():
    place = importlib.util.find_spec("rapidocr_onnxruntime")
    assert place is not None
    return Path(str(place.origin)).parent / "models" / "ch_PP-OCRv4_det_infer.onnx"


def test_the_text_detector_is_repaired(tmp_path):
    old = onnx.load(text_detector())
    made = repaired_onnx(old, ["UP102", "UP105"], sizes=(1, 3, 96, 160))
    assert [each.site for each in made.outcomes] == ["p2o.ConvTranspose.0", "p2o.ConvTranspose.2"]
    before = [measured.before for each in made.outcomes for measured in each.measured]
    assert before == pytest.approx([-2.81, -2.81, -9.03, -9.03], abs=0.01)
    assert found(made.model, tmp_path, ["UP102", "UP105"], (1, 3, 96, 160)) == []
    x = normal(0, 1, 3, 96, 160)
    (changed,) = moved(of_onnx(old)(x), of_onnx(made.model)(x))
    assert changed.name == "sigmoid_0.tmp_0"
    assert changed.rms > 0


def test_super_resolution_is_repaired(tmp_path, data_dir):
    old = onnx.load(data_dir / "models/espcn/super_resolution.onnx")
    made = repaired_onnx(old, ["UP102", "UP105"])
    (outcome,) = made.outcomes
    assert outcome.relative_change == pytest.approx(0.277, abs=0.001)
    assert found(made.model, tmp_path, ["UP102", "UP105"]) == []
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        made.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    # a flat picture comes out flat away from its border
    (y,) = session.run(None, {"input": np.full((1, 1, 224, 224), 0.5, dtype=np.float32)})
    inside = y[..., 60:-60, 60:-60]
    assert float(np.ptp(inside)) < 1e-5
    (before,) = of_onnx(old)(torch.full((1, 1, 224, 224), 0.5)).values()
    assert float(np.ptp(before[..., 60:-60, 60:-60].numpy())) > 1e-3


def test_digits_are_repaired(data_dir):
    sizes = ((64, 256, 3, 2), (256, 128, 4, 1), (128, 64, 3, 2), (64, 1, 4, 2))
    blocks = []
    for place, (into, out, kernel, stride) in enumerate(sizes):
        rest = [nn.Tanh()] if place == 3 else [nn.BatchNorm2d(out), nn.ReLU()]
        blocks.append(nn.Sequential(nn.ConvTranspose2d(into, out, kernel, stride), *rest))
    net = nn.Sequential()
    net.add_module("gen", nn.Sequential(*blocks))
    net.load_state_dict(torch.load(data_dir / "models/dcgan_mnist/generator.pth", weights_only=True))
    net.eval()
    latent = normal(0, 2, 64, 1, 1)
    made = repaired_module(net, record(net, [latent]), ["UP101", "UP102"])
    assert [(each.site, each.codes) for each in made.outcomes] == [
        ("gen.2.0", ("UP101", "UP102")),
        ("gen.3.0", ("UP102",)),
    ]
    report = check(made.model, latent, select=["UP101", "UP102", "UP105"])
    assert [(each.rule.code, each.site) for each in report.findings] == [("UP101", "gen.2.0")]
    (changed,) = moved(of_module(net)(latent), of_module(made.model)(latent))
    assert 0.05 < changed.rms < 1


def test_a_model_that_is_too_large_for_bytes_stays_as_it_is(monkeypatch):
    built = model([up("x", "a"), node("Relu", ["a"], "y")], SIZES, weights=weights(w=(2, 3, 4, 3)))
    before = built.SerializeToString()
    small = repaired_onnx(built, ["UP102"])
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 10)
    large = repaired_onnx(built, ["UP102"])
    assert built.SerializeToString() == before
    assert large.model.SerializeToString() == small.model.SerializeToString() != before
