"""Where the maps of ONNX models are found to sit: against the algebra, PyTorch's twin, and ONNX Runtime."""

import importlib.util
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from onnx_models import model, node, run
from upstroke.graph.measured import Measured, Unmeasured
from upstroke.graph.onnx_shadow import measured_onnx
from upstroke.grid import Grid

INPUT = Grid.of_input(2)
SIZE = (1, 4, 24, 36)


def found_in(nodes, *, weights=None, opset=18, size=SIZE, sizes=None):
    built = model(nodes, {"x": size}, weights=weights, opset=opset)
    return measured_onnx(built, sizes=sizes)["y"]


def is_on(found, grid):
    assert isinstance(found, Measured), found
    assert found.offset == pytest.approx([float(each) for each in grid.offset], abs=1e-6)
    assert found.spacing == pytest.approx([float(each) for each in grid.spacing], abs=1e-6)


def kernel(*shape):
    return {"w": np.ones(shape, np.float32)}


def numbers(**lists):
    return {name: np.array(values, np.int64) for name, values in lists.items()}


STEPS = {
    "Conv": (
        [node("Conv", ["x", "w"], "y", strides=[2, 3], pads=[1, 0, 0, 2], dilations=[2, 1])],
        kernel(5, 4, 3, 4),
        INPUT.conv((3, 4), stride=(2, 3), padding=(1, 0), dilation=(2, 1)),
    ),
    "Conv, SAME_UPPER": (
        [node("Conv", ["x", "w"], "y", strides=[2, 2], auto_pad="SAME_UPPER")],
        kernel(5, 4, 4, 3),
        INPUT.conv((4, 3), stride=2, padding=(1, 0)),
    ),
    "Conv, SAME_LOWER": (
        [node("Conv", ["x", "w"], "y", strides=[2, 2], auto_pad="SAME_LOWER")],
        kernel(5, 4, 4, 3),
        INPUT.conv((4, 3), stride=2, padding=(1, 1)),
    ),
    "ConvTranspose": (
        [node("ConvTranspose", ["x", "w"], "y", strides=[2, 3], pads=[1, 0, 0, 2], output_padding=[1, 0])],
        kernel(4, 5, 3, 5),
        INPUT.transposed((3, 5), stride=(2, 3), padding=(1, 0)),
    ),
    "ConvTranspose to a size": (
        [node("ConvTranspose", ["x", "w"], "y", strides=[2, 2], output_shape=[48, 72])],
        kernel(4, 5, 4, 4),
        INPUT.transposed(4, stride=2, padding=1),
    ),
    "MaxPool": (
        [node("MaxPool", ["x"], "y", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0], ceil_mode=1)],
        {},
        INPUT.conv((3, 2), stride=2, padding=(1, 0)),
    ),
    "DepthToSpace": ([node("DepthToSpace", ["x"], "y", blocksize=2)], {}, INPUT.resize(2)),
    "DepthToSpace, CRD": ([node("DepthToSpace", ["x"], "y", blocksize=2, mode="CRD")], {}, INPUT.resize(2)),
    "SpaceToDepth": ([node("SpaceToDepth", ["x"], "d", blocksize=2), node("Conv", ["d", "w"], "y")],
        kernel(3, 16, 1, 1), INPUT.unshuffle(2)),
    "Slice": (
        [node("Slice", ["x", "from", "to", "axes", "by"], "y")],
        numbers(**{"from": [3, 1], "to": [20, 36], "axes": [2, 3], "by": [1, 2]}),
        INPUT.crop((3, 1)).conv(1, stride=(1, 2)),
    ),
    "Pad": ([node("Pad", ["x", "p"], "y", mode="edge")], numbers(p=[0, 0, 2, 3, 0, 0, 1, 0]), INPUT.pad((2, 3))),
    "Gather": ([node("Gather", ["x", "i"], "y", axis=2)], numbers(i=[2, 4, 6]), INPUT.crop((2, 0)).conv(1, stride=(2, 1))),
    "channels last": ([
        node("Transpose", ["x"], "t", perm=[0, 2, 3, 1]), node("MatMul", ["t", "w"], "m"),
        node("Transpose", ["m"], "y", perm=[0, 3, 1, 2])], kernel(4, 7), INPUT),
    "gate": ([
        node("GlobalAveragePool", ["x"], "g"), node("Sigmoid", ["g"], "s"), node("Mul", ["x", "s"], "y")], {}, INPUT),
}  # fmt: skip


@pytest.mark.parametrize("case", STEPS)
def test_every_operator_moves_a_map_as_the_algebra_says(case):
    nodes, weights, grid = STEPS[case]
    is_on(found_in(nodes, weights=weights), grid)


def test_the_parts_of_a_map_are_put_together_by_their_channels():
    # a fourth of the channels moves one cell to the right, the others stay
    nodes = [
        node("Slice", ["x", "from", "to", "axes"], "a"),
        node("Slice", ["x", "at", "end", "axes"], "b"),
        node("Split", ["b", "parts"], "c"),
        node("Concat", ["a", "c"], "d", axis=1),
        node("Conv", ["d", "w"], "y"),
    ]
    nodes[2].attribute.add(name="axis", i=1, type=2)
    nodes[2].output.append("rest")
    weights = numbers(**{"from": [1], "to": [36], "axes": [3], "at": [0], "end": [35], "parts": [3, 1]})
    weights["w"] = np.ones((2, 7, 1, 1), np.float32)
    found = found_in(nodes, weights=weights)
    assert isinstance(found, Measured)
    assert found.offset == pytest.approx((0, 4 / 7))
    assert (found.first, found.last) == ((0, 0), (0, 1))


COORDINATES = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric"]


def resize(scale, size, **attributes):
    weights = {"s": np.array([1, 1, *scale], np.float32)}
    return model([node("Resize", ["x", "", "s"], "y", **attributes)], {"x": size}, weights=weights)


@pytest.mark.parametrize(
    ("coordinates", "mode"),
    # with corners aligned the cells that a nearest resize copies follow no period of the scale
    [
        (each, mode)
        for each in COORDINATES
        for mode in ("nearest", "linear")
        if each[:5] != "align" or mode == "linear"
    ],
)
def test_every_resize_lies_where_the_algebra_says(coordinates, mode):
    scale = (2, 3) if coordinates == "align_corners" or mode == "linear" else (Fraction(3, 2), Fraction(4, 3))
    built = resize(scale, SIZE, coordinate_transformation_mode=coordinates, mode=mode)
    found = measured_onnx(built)["y"]
    is_on(found, INPUT.resize_onnx(scale, coordinates=coordinates, mode=mode, size=(24, 36)))


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric"])
def test_every_rounding_lies_where_the_algebra_says(rounding, coordinates):
    built = resize((2, 3), SIZE, coordinate_transformation_mode=coordinates, nearest_mode=rounding)
    found = measured_onnx(built)["y"]
    is_on(found, INPUT.resize_onnx((2, 3), coordinates=coordinates, rounding=rounding))


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resizes_agree_with_a_ramp_through_onnx_runtime(coordinates, mode):
    scale = (2, 3)
    built = resize(scale, (1, 1, 20, 22), coordinate_transformation_mode=coordinates, mode=mode)
    found = measured_onnx(built)["y"]
    assert isinstance(found, Measured)
    for axis, (length, factor) in enumerate(zip((20, 22), scale, strict=True)):
        line = torch.arange(float(length)).reshape((-1, 1) if axis == 0 else (1, -1))
        y = run(built, x=line.expand(1, 1, 20, 22).contiguous())[0, 0].mean(1 - axis)
        # away from the border, at which cells repeat; with corners aligned one period is the whole map
        inside = slice(None) if coordinates == "align_corners" else slice(4 * factor, 14 * factor)
        rest = y - found.spacing[axis] * torch.arange(len(y))
        assert float(rest[inside].mean()) == pytest.approx(found.offset[axis], abs=5e-3)


@pytest.mark.parametrize("opset", [8, 9, 10])
def test_the_resizes_of_old_models(opset):
    kind = "Upsample" if opset < 10 else "Resize"
    if opset == 8:
        nodes, weights = [node(kind, ["x"], "y", scales=[1.0, 1.0, 2.0, 3.0])], {}
    else:
        nodes, weights = [node(kind, ["x", "s"], "y")], {"s": np.array([1, 1, 2, 3], np.float32)}
    is_on(found_in(nodes, weights=weights, opset=opset), INPUT.resize((2, 3)))


LOST = {
    "attention": ([node("Transpose", ["x"], "t", perm=[0, 1, 3, 2]), node("MatMul", ["x", "t"], "y")],
        "a product of two maps mixes all positions"),
    "pool": ([node("GlobalMaxPool", ["x"], "y")], "pooled to one cell"),
    "mean": ([node("ReduceMean", ["x"], "y", axes=[2, 3])], "pooled to one cell"),
    "sum": ([node("CumSum", ["x", "i"], "y")], "CumSum is not followed"),
    "rows of another length": ([node("Reshape", ["x", "shape"], "r"),
        node("AveragePool", ["r"], "y", kernel_shape=[2, 2])], "its samples are not laid out along the axes of the input"),
}  # fmt: skip


@pytest.mark.parametrize("case", LOST)
def test_what_is_not_located_says_why(case):
    nodes, reason = LOST[case]
    weights = numbers(i=[2], shape=[1, 4, 27, -1])
    weights["i"] = weights["i"].reshape(())
    used = {name for each in nodes for name in each.input}
    weights = {name: array for name, array in weights.items() if name in used}
    assert found_in(nodes, weights=weights, opset=17) == Unmeasured(reason=reason)


def test_a_batch_of_unknown_size_counts_as_one():
    built = model(
        [node("Conv", ["x", "w"], "y", strides=[2, 2])], {"x": ["n", 4, 24, 36]}, weights=kernel(5, 4, 4, 3)
    )
    is_on(measured_onnx(built)["y"], INPUT.conv((4, 3), stride=2))


def test_sizes_that_are_not_known_say_so():
    built = model([node("Relu", ["x"], "y")], {"x": ["n", 4, "h", "w"]})
    unknown = Unmeasured(reason="its size is not known; give the sizes of the inputs")
    assert measured_onnx(built)["y"] == unknown
    is_on(measured_onnx(built, sizes=(1, 4, 5, 7))["y"], INPUT)


# the exporter's own advice to use another one, which needs a package that no other test does
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning"
)
@pytest.mark.parametrize("up", ["nearest", "transposed", "shuffle"])
def test_an_exported_model_is_found_where_pytorch_has_it(up, tmp_path):
    from test_geometry import UPS, Net, output_of

    net = Net(UPS[up]()).eval()
    x = torch.rand(1, 2, 64, 96)
    torch.onnx.export(net, (x,), tmp_path / "net.onnx", dynamo=False, output_names=["y"])
    found, wanted = measured_onnx(tmp_path / "net.onnx")["y"], output_of(net, x)
    assert isinstance(found, Measured)
    for field in ("offset", "spacing", "first", "last"):
        assert getattr(found, field) == pytest.approx(getattr(wanted, field), abs=1e-6)


def test_a_text_detector_drifts_by_what_the_algebra_says():

    package = importlib.util.find_spec("rapidocr_onnxruntime")
    if package is None:
        pytest.skip("rapidocr-onnxruntime is not installed")
    path = Path(package.submodule_search_locations[0]) / "models" / "ch_PP-OCRv4_det_infer.onnx"
    found = measured_onnx(path, sizes=(1, 3, 64, 96))["sigmoid_0.tmp_0"]
    assert isinstance(found, Measured)
    assert (found.first, found.last) == ((-15.5, -15.5), (-1.5, -1.5))


def test_a_super_resolution_model_is_registered(data_dir):
    (path,) = (data_dir / "models" / "espcn").glob("*.onnx")
    is_on(measured_onnx(path)["output"], INPUT.resize(3))
