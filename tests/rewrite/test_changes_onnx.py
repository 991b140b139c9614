"""Hold what is planned of ONNX models: what is a number of the model, what is rounded, and what real ones have."""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto, helper
from steps_in_torch import largest, run_steps

from onnx_models import model, node
from upstroke.audit import check
from upstroke.graph.onnx import read_onnx
from upstroke.rewrite.change import Change, Left, Together
from upstroke.rewrite.changes import changes

WEIGHT = np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype(np.float32)
TWICE = np.array([1, 1, 2, 2], dtype=np.float32)
MAP = {"x": [1, 4, 5, 7]}
GIVEN = "its weights are an input of the model, which the caller may give otherwise"
STORED = "it is quantised: its weights are stored as whole numbers"
AMONG = "it is quantised: it stands among operators on whole numbers, which round"


def resize(source="x", output="u", *, sizes=False):
    inputs = [source, "", "", "sizes"] if sizes else [source, "", "scales"]
    return node("Resize", inputs, output, mode="nearest", coordinate_transformation_mode="asymmetric",
                nearest_mode="floor")  # fmt: skip


def conv(source="u", weight="w", output="y"):
    return node("Conv", [source, weight], output, pads=[1, 1, 1, 1])


def planned(built, **more):
    return changes(read_onnx(built, **more), target="onnx")


def reasons(built, **more):
    found = planned(built, **more)
    assert all(isinstance(each, Left) for each in found)
    return [each.reason for each in found]


def with_weight_among_inputs(built, *, version):
    stored = (
        built.graph.initializer
        if version < 4
        else [each for each in built.graph.initializer if each.name == "w"]
    )
    built.graph.input.extend(
        helper.make_tensor_value_info(each.name, TensorProto.FLOAT, each.dims) for each in stored
    )
    built.ir_version = version
    return built


def test_a_weight_that_a_caller_may_give_is_no_number_of_the_model():
    def built():
        return model([resize(), conv()], MAP, weights={"scales": TWICE, "w": WEIGHT})

    (change,) = planned(built())
    assert isinstance(change, Change)
    assert reasons(with_weight_among_inputs(built(), version=8)) == [GIVEN]
    # before version 4 of the format, all weights stood there, and none could be given
    (change,) = planned(with_weight_among_inputs(built(), version=3))
    assert isinstance(change, Change)
    through = model(
        [node("Identity", ["w"], "v"), resize(), conv(weight="v")],
        MAP,
        weights={"scales": TWICE, "w": WEIGHT},
    )
    assert isinstance(planned(through)[0], Change)
    assert reasons(with_weight_among_inputs(through, version=8)) == [GIVEN]


def test_whole_numbers_are_left_as_they_are():
    weights = {"scales": TWICE, "q": (WEIGHT * 20).round().astype(np.int8), "s": np.float32(0.05)}
    stored = model([node("DequantizeLinear", ["q", "s"], "w"), resize(), conv()], MAP, weights=weights)
    assert reasons(stored) == [STORED]
    weights |= {"zero": np.uint8(3), "w": WEIGHT}
    among = [
        node("QuantizeLinear", ["x", "s", "zero"], "x8"),
        node("DequantizeLinear", ["x8", "s", "zero"], "xf"),
        resize("xf"),
        node("Identity", ["u"], "v"),
        node("QuantizeLinear", ["v", "s", "zero"], "u8"),
        node("DequantizeLinear", ["u8", "s", "zero"], "uf"),
        conv("uf"),
    ]
    assert reasons(model(among, MAP, weights=weights)) == [AMONG]
    weights |= {"q": weights["q"].astype(np.int8), "wz": np.int8(0)}
    integer = [
        resize(),
        node("QuantizeLinear", ["u", "s", "zero"], "u8"),
        node("ConvInteger", ["u8", "q", "zero", "wz"], "i", pads=[1, 1, 1, 1]),
        node("Cast", ["i"], "y", to=TensorProto.FLOAT),
    ]
    assert reasons(model(integer, MAP, weights=weights)) == [AMONG]


def test_scales_that_follow_from_sizes_are_sizes():
    nodes = [
        node("Shape", ["x"], "shape"),
        node("Cast", ["shape"], "before", to=TensorProto.FLOAT),
        node("Mul", ["before", "scales"], "after"),
        node("Div", ["after", "before"], "ratio"),
        node("Resize", ["x", "", "ratio"], "u", mode="nearest", coordinate_transformation_mode="asymmetric",
             nearest_mode="floor"),
        conv(),
    ]  # fmt: skip
    weights = {"scales": TWICE, "w": WEIGHT}
    fixed = read_onnx(model(nodes, MAP, weights=weights))
    assert (fixed.is_fixed, fixed.makers["u"].step.given) == (True, False)
    assert isinstance(changes(fixed, target="onnx")[0], Change)
    free = model(nodes, {"x": [1, 4, "h", "w"]}, weights=weights)
    graph = read_onnx(free, sizes=(1, 4, 5, 7))
    assert (graph.is_fixed, graph.makers["u"].step.given) == (False, False)
    (left,) = changes(graph, target="onnx")
    assert left.reason.startswith("it is given a size and no scale")
    others = [read_onnx(free, sizes=(1, 4, 9, 8))]
    assert isinstance(changes(graph, target="onnx", others=others)[0], Change)
    given = read_onnx(model([resize(), conv()], {"x": [1, 4, "h", "w"]}, weights=weights))
    assert (given.is_fixed, given.makers["u"].step.given) == (False, True)


def test_a_size_that_names_channels_keeps_a_matrix_behind_it():
    weights = {"sizes": np.array([1, 4, 10, 14]), "w": WEIGHT[:, :, :1, :1].copy()}
    matrix = [resize(sizes=True), node("Conv", ["u", "w"], "y")]
    named = "it is given a size, which names 4 channels, and in front of it the convolution would give 6"
    assert reasons(model(matrix, MAP, weights=weights)) == [named]
    weights["w"] = weights["w"][:4]
    (change,) = planned(model(matrix, MAP, weights=weights))
    assert change.codes == ("UP302",)


def test_reflection_is_told_from_other_constants():
    weights = {"scales": TWICE, "w": WEIGHT, "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "one": np.float32(1)}
    for mode, inputs, kind in (("reflect", ["u", "pads"], Change), ("constant", ["u", "pads", "one"], Left)):
        nodes = [resize(), node("Pad", inputs, "p", mode=mode), node("Conv", ["p", "w"], "y")]
        graph = read_onnx(model(nodes, MAP, weights=weights))
        assert graph.makers["p"].step.mirrored is (mode == "reflect")
        (found,) = changes(graph, target="onnx")
        assert isinstance(found, kind)


def test_a_norm_with_fixed_statistics_is_folded():
    weights = {"scales": TWICE, "w": WEIGHT}
    weights |= {name: np.linspace(0.5, 2, 6, dtype=np.float32) for name in ("g", "b", "m", "v")}
    nodes = [resize(), conv(output="c"), node("BatchNormalization", ["c", "g", "b", "m", "v"], "y")]
    (change,) = planned(model(nodes, MAP, weights=weights))
    assert change.codes == ("UP301", "fold")
    x = torch.randn(1, 4, 5, 7, dtype=torch.float64)
    assert largest(change.does.affine(x), run_steps([each.step for each in change.nodes], x)) <= 1e-12


def detector():
    place = importlib.util.find_spec("rapidocr_onnxruntime")
    assert place is not None
    assert place.origin is not None
    return Path(place.origin).parent / "models" / "ch_PP-OCRv4_det_infer.onnx"


def test_of_a_text_detector_biases_and_norms_are_folded():
    graph = read_onnx(detector(), sizes=(1, 3, 64, 96))
    found = changes(graph, target="onnx")
    assert [each.codes for each in found] == [("fold",), ("fold",)]
    assert [[each.operator for each in change.nodes] for change in found] == [
        ["ConvTranspose", "Add", "BatchNormalization"], ["ConvTranspose", "Add"]
    ]  # fmt: skip
    for change in found:
        assert isinstance(change.does, Together)
        x = torch.randn(1, change.does.affine.operator.in_channels, 5, 7, dtype=torch.float64)
        assert largest(change.does.affine(x), run_steps([each.step for each in change.nodes], x)) <= 1e-12
    told = {each.site for each in found}
    assert {finding.site for finding in check(graph, select=["UP301", "UP302"]).findings} <= told


def test_of_espcn_the_spelled_shuffle_is_one(data_dir):
    (change,) = changes(read_onnx(data_dir / "models/espcn/super_resolution.onnx"), target="onnx")
    assert (change.codes, change.forms) == (("shuffle",), ("depth to space",))
    assert change.nodes[0].operator == "Reshape–Transpose–Reshape"
