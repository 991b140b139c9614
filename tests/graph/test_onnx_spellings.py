"""Upsamplers that ONNX files spell with axes of length one are read as what they compute."""

import numpy
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tolerance import assert_same
from upstroke import upsample
from upstroke.graph import affine_of, sites
from upstroke.graph.onnx import read_onnx
from upstroke.graph.steps import PixelShuffle, Resize, Unread, Upsampling

GROWN = [1, 4, 10, 21]
CONSTANTS = {
    "both": [3, 5],
    "last": [4],
    "copies": [1, 1, 1, 2, 1, 3],
    "pads": [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2],
    "grown": GROWN,
    "wide": [1, 4, 5, 14],
    "zeros": numpy.zeros((1, 4, 5, 7, 1), dtype=numpy.float32),
    "ones": numpy.ones((1, 4, 5, 7, 1), dtype=numpy.float32),
    "rows": numpy.random.default_rng(0).random((10, 5), dtype=numpy.float32),
}


def spelled(*steps, opset=18):
    """A model: an identity convolution, then these steps from c to y."""
    constants = {"w": numpy.eye(4, dtype=numpy.float32)[:, :, None, None]}
    for name, value in CONSTANTS.items():
        constants[name] = value if isinstance(value, numpy.ndarray) else numpy.array(value, dtype=numpy.int64)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"])]
    for kind, inputs, output, attributes in steps:
        nodes.append(helper.make_node(kind, inputs.split(), [output], **attributes))
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "spelled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 5, 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


READ = {
    "expand": (
        ("Unsqueeze", "c both", "u", {}),
        ("Expand", "u copies", "e", {}),
        ("Reshape", "e grown", "y", {}),
    ),
    "tile": (
        ("Unsqueeze", "c both", "u", {}),
        ("Tile", "u copies", "e", {}),
        ("Reshape", "e grown", "y", {}),
    ),
    "pad": (("Unsqueeze", "c both", "u", {}), ("Pad", "u pads", "e", {}), ("Reshape", "e grown", "y", {})),
    "concatenated copies": (
        ("Unsqueeze", "c last", "u", {}),
        ("Concat", "u u", "e", {"axis": 4}),
        ("Reshape", "e wide", "y", {}),
    ),
    "concatenated zeros": (
        ("Unsqueeze", "c last", "u", {}),
        ("Concat", "zeros u", "e", {"axis": -1}),
        ("Reshape", "e wide", "y", {}),
    ),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_spelled_is_what_the_operator_gives(case):
    model = spelled(*READ[case])
    (site,) = sites(read_onnx(model))
    assert isinstance(site.node.step, Resize | Upsampling)
    x = torch.rand(1, 4, 5, 7)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x.numpy()})
    assert_same(upsample(x, affine_of(site.node.step, ndim=2)), torch.from_numpy(wanted.copy()))


def test_the_pad_of_older_files_is_read():
    older = spelled(
        ("Reshape", "c grown_by_one", "u", {}),
        ("Pad", "u", "e", {"pads": CONSTANTS["pads"]}),
        ("Reshape", "e grown", "y", {}),
        opset=10,
    )
    older.graph.initializer.append(numpy_helper.from_array(numpy.array([1, 4, 5, 1, 7, 1]), "grown_by_one"))
    (site,) = sites(read_onnx(older))
    assert (type(site.node.step), site.size_out) == (Upsampling, (10, 21))


def test_maps_that_take_turns_are_joined_and_shuffled():
    model = spelled(
        ("Relu", "c", "r", {}),
        ("Unsqueeze", "c last", "u", {}),
        ("Unsqueeze", "r last", "v", {}),
        ("Concat", "u v", "e", {"axis": 4}),
        ("Reshape", "e wide", "y", {}),
    )
    (site,) = sites(read_onnx(model))
    assert isinstance(site.node.step, PixelShuffle)
    assert site.node.step.scale == (1, 2)


def test_turns_with_constants_are_named():
    model = spelled(
        ("Unsqueeze", "c last", "u", {}),
        ("Concat", "u ones", "e", {"axis": 4}),
        ("Reshape", "e wide", "y", {}),
    )
    (site,) = sites(read_onnx(model))
    assert isinstance(site.node.step, Unread)
    assert site.node.step.reason == "maps and constants take turns in a larger map, which is not read"


def test_a_product_along_space_is_named():
    (site,) = sites(read_onnx(spelled(("MatMul", "rows c", "y", {}))))
    assert site.node.step.reason == "a matrix product grows 5x7 to 10x7 in a way that is not read"


def test_heads_that_are_repeated_are_no_upsampler():
    model = spelled(
        ("Unsqueeze", "c two", "u", {}),
        ("Expand", "u thrice", "e", {}),
        ("Reshape", "e heads", "y", {}),
    )
    for name, value in {"two": [2], "thrice": [1, 1, 3, 1, 1], "heads": [1, 12, 5, 7]}.items():
        model.graph.initializer.append(numpy_helper.from_array(numpy.array(value), name))
    assert not sites(read_onnx(model))
