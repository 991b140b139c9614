"""A model that asks for too much, or makes no sense, is read around or refused, in little time and memory."""

import contextlib
import re
import resource
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from onnx_models import model, node, normal
from upstroke.errors import OptionError, UpstrokeError
from upstroke.graph import Graph
from upstroke.graph.onnx import read_onnx
from upstroke.graph.onnx_propagation import may_carry
from upstroke.graph.onnx_shapes import constants_and_shapes
from upstroke.graph.steps import Unread

MAP = (1, 4, 5, 7)
MUCH = 2**19  # ru_maxrss counts in KiB, so this is half a GiB
INT64 = np.iinfo(np.int64)


def read(nodes, *, shape=MAP, **settings):
    return read_onnx(model(nodes, {"x": shape}, **settings))


def reason(nodes, **settings):
    (only,) = read(nodes, **settings).nodes
    assert isinstance(only.step, Unread)
    return only.step.reason


@contextlib.contextmanager
def little_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MUCH


def doubled(first, times):
    """Nodes that join a list with itself again and again."""
    names = [first, *(f"d{place}" for place in range(times))]
    return [node("Concat", [a, a], b, axis=0) for a, b in pairwise(names)]


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_joins_that_double_are_not_computed(dtype):
    with little_memory():
        graph = read([*doubled("c", 40), node("Relu", ["x"], "y")], weights={"c": np.ones(1, dtype=dtype)})
    assert [each.operator for each in graph.nodes] == ["Relu"]


@pytest.mark.parametrize("inside", [False, True])
def test_joins_of_shapes_that_double_are_not_carried(inside):
    nodes = [node("Shape", ["x"], "c"), *doubled("c", 25)]
    if inside:
        end = [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)]
        body = helper.make_graph([*nodes, node("Relu", ["x"], "r")], "body", [], end)
        nodes = [node("If", ["t"], "z", then_branch=body, else_branch=body)]
    with little_memory():
        graph = read(
            [*nodes, node("Relu", ["x"], "y")], shape=("N", 4, "H", 7), weights={"t": np.array(True)}
        )
    assert graph.shapes["y"] == (None, 4, None, 7)


def test_shapes_of_usual_models_are_carried():
    names = [f"m{place}" for place in range(200)]
    growing = []
    for old, new in zip(["x", *names], names, strict=False):
        growing += [
            node("Relu", [old], f"relu of {new}"),
            node("Concat", [old, f"relu of {new}"], f"join of {new}", axis=1),
            node("Conv", [f"join of {new}", "w"], new),
        ]
    weights = {"w": normal(0, 4, 8, 1, 1).numpy(), "table": np.arange(2**19)}
    assert may_carry(model(growing, {"x": MAP}, weights=weights).graph)
    assert may_carry(model(doubled("c", 10), {"x": MAP}, weights={"c": np.ones(1, dtype=np.int64)}).graph)
    assert not may_carry(model(doubled("c", 40), {"x": MAP}, weights={"c": np.ones(1, dtype=np.int64)}).graph)


BOMBS = {
    "Gather": ({"d": np.ones((1, 2**16), np.float32), "i": np.zeros(2**13, np.int64)}, {}),
    "Expand": ({"d": np.ones((2**10, 1), np.float32), "i": np.array([1, 2**18])}, {}),
    "Add": ({"d": np.ones((2**14, 1), np.float32), "i": np.ones(2**14, np.float32)}, {}),
    "ReduceProd": ({"d": np.ones((0, 2**28), np.float32), "i": np.array([0])}, {}),
    "DequantizeLinear": ({"d": np.ones((1, 2**14), np.int8), "i": np.ones(2**14, np.float32)}, {"axis": 0}),
    "Range": ({"a": np.array(0.0), "b": np.array(1.0), "c": np.array(2.0**-28)}, {}),
    "ConstantOfShape": ({"a": np.array([2**14, 2**14])}, {}),
}


def folded(kind, weights, **attributes):
    """What reading computes from constants alone; None if it leaves that be."""
    nodes = [node(kind, list(weights), "r", **attributes), node("Relu", ["x"], "y")]
    constants, _ = constants_and_shapes(model(nodes, {"x": MAP}, weights=weights, opset=21), None)
    return constants.get("r")


@pytest.mark.parametrize("kind", BOMBS)
def test_results_longer_than_their_parts_are_not_computed(kind):
    weights, attributes = BOMBS[kind]
    with little_memory():
        assert folded(kind, weights, **attributes) is None


def test_joins_of_one_thing_with_itself_are_not_computed():
    nodes = [node("Concat", ["d"] * 17, "r", axis=0), node("Relu", ["x"], "y")]
    weights = {"d": np.ones(2**12, np.float32)}
    constants, _ = constants_and_shapes(model(nodes, {"x": MAP}, weights=weights, opset=21), None)
    assert constants.get("r") is None


LARGE = np.arange(2**17, dtype=np.float32).reshape(2**9, 2**8)
INT8 = LARGE.astype(np.int8)


@pytest.mark.parametrize(
    ("kind", "weights", "attributes", "wanted"),
    [
        ("Add", {"a": LARGE, "b": LARGE}, {}, 2 * LARGE),
        ("Mul", {"a": LARGE, "b": LARGE[:, :1]}, {}, LARGE * LARGE[:, :1]),
        ("Transpose", {"a": LARGE}, {"perm": [1, 0]}, LARGE.T),
        ("Reshape", {"a": LARGE, "s": np.array([2**8, -1])}, {}, LARGE.reshape(2**8, -1)),
        ("Slice", {"a": LARGE, "s": np.array([3]), "e": np.array([400])}, {}, LARGE[3:400]),
        ("Gather", {"a": LARGE, "i": np.arange(300)}, {}, LARGE[:300]),
        ("Gather", {"a": LARGE, "i": np.array([1, 0])}, {"axis": -1}, LARGE[:, [1, 0]]),
        ("DequantizeLinear", {"a": INT8, "s": LARGE[0]}, {}, INT8 * LARGE[0]),
        ("DequantizeLinear", {"a": INT8, "s": LARGE[:, 0]}, {"axis": 0}, INT8 * LARGE[:, :1]),
        ("DequantizeLinear", {"a": INT8[0], "s": np.float32(0.5)}, {}, INT8[0] / 2),
        ("Range", {"a": np.array(5), "b": np.array(-4), "c": np.array(-2)}, {}, np.arange(5, -4, -2)),
        ("Concat", {"a": LARGE[:3], "b": LARGE[5:9]}, {"axis": 0}, LARGE[[0, 1, 2, 5, 6, 7, 8]]),
        ("Expand", {"a": LARGE[:3, :1], "s": np.array([2, 1, 4])}, {}, np.tile(LARGE[:3, :1], (2, 1, 4))),
    ],
)
def test_results_as_long_as_their_parts_are_computed(kind, weights, attributes, wanted):
    np.testing.assert_array_equal(folded(kind, weights, **attributes), wanted)


def test_many_results_are_not_computed_either():
    nodes = [node("Neg", [f"w{place}"], f"w{place + 1}") for place in range(100)]
    weights = {"w0": np.ones(2**18, np.float32)}
    constants, _ = constants_and_shapes(model(nodes, {"x": MAP}, ["w100"], weights=weights), None)
    # 2^24 numbers, and eight times the weight
    assert [name for name in constants if name != "w0"] == [f"w{place}" for place in range(1, 73)]


NUMBER = np.float32(1)
NONSENSE = [
    ("Range", {"a": NUMBER, "b": np.float32(np.inf), "c": NUMBER}),
    ("Range", {"a": NUMBER, "b": np.float32(np.nan), "c": NUMBER}),
    ("Range", {"a": NUMBER, "b": NUMBER, "c": np.float32(0)}),
    ("Range", {"a": np.zeros(0, np.float32), "b": NUMBER, "c": NUMBER}),
    ("Range", {}),
    ("Expand", {"a": NUMBER, "b": np.array(["x"], dtype=object)}),
    ("Expand", {"a": NUMBER}),
    ("ConstantOfShape", {}),
    ("Concat", {}),
    ("Concat", {"a": np.array(["x"], dtype=object), "b": np.array(["y"], dtype=object)}),
    ("Gather", {"a": NUMBER}),
    ("Shape", {}),
    ("Size", {}),
    ("Constant", {}),
]


@pytest.mark.parametrize(("kind", "weights"), NONSENSE)
def test_constants_that_make_no_sense_have_no_value(kind, weights):
    assert folded(kind, weights) is None


def test_a_constant_without_a_name_is_left_out():
    bare = helper.make_node("Constant", [], [], value_int=3)
    (only,) = read([bare, node("Relu", ["x"], "y")]).nodes
    assert only.operator == "Relu"


def test_a_size_beyond_counting_is_not_known():
    (only,) = read([node("Size", ["x"], "n"), node("Relu", ["x"], "y")], shape=(1, 4, 2**40, 2**40)).nodes
    assert only.operator == "Relu"


def test_a_join_without_an_axis_joins_nothing():
    built = model([node("Concat", ["x", "x"], "y")], {"x": ("N", 4, "H", "W")})
    with contextlib.suppress(UpstrokeError):
        assert isinstance(read_onnx(built, sizes=MAP), Graph)


def test_sizes_beyond_counting_are_refused():
    built = model([node("Relu", ["x"], "y")], {"x": ("N", 4, "H", "W")})
    message = "the size of input 'x' must be below 2**63 on every axis; got 1x4x18446744073709551616x3"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        read_onnx(built, sizes=(1, 4, 2**64, 3))


@pytest.mark.parametrize("factor", [np.inf, np.nan, 1e30, 1e6, -2.0, 0.0])
@pytest.mark.parametrize(
    ("kind", "opset"), [("Resize", 18), ("Resize", 10), ("Upsample", 9), ("Upsample", 7)]
)
def test_scales_that_no_upsampler_has_are_unread(kind, opset, factor):
    scales = np.array([1, 1, 2, factor], dtype=np.float32)
    why = f"it has a scale of {factor:g}, which is not above 0 and up to 65536"
    if opset == 7:
        assert reason([node(kind, ["x"], "y", scales=scales.tolist())], opset=opset) == why
    else:
        names = ["x", "", "s"] if opset == 18 else ["x", "s"]
        assert reason([node(kind, names, "y")], weights={"s": scales}, opset=opset) == why


def test_sizes_that_no_upsampler_gives_are_unread():
    weights = {"s": np.array([1, 4, 5, 7 * 2**20])}
    why = "it has a scale of 1.04858e+06, which is not above 0 and up to 65536"
    assert reason([node("Resize", ["x", "", "", "s"], "y")], weights=weights) == why


def test_a_rounding_of_another_name_is_unread():
    why = "its nearest_mode 'up' is none of round_prefer_floor, round_prefer_ceil, floor, ceil"
    weights = {"s": np.array([1, 1, 2, 3], dtype=np.float32)}
    assert reason([node("Resize", ["x", "", "s"], "y", nearest_mode="up")], weights=weights) == why


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"strides": [2, 2**17]}, "its strides 2x131072 are not 2 numbers from 1 to 65536"),
        ({"strides": [0, 2]}, "its strides 0x2 are not 2 numbers from 1 to 65536"),
        ({"strides": [2]}, "its strides 2 are not 2 numbers from 1 to 65536"),
        ({"dilations": [2**40, 2]}, "its dilations 1099511627776x2 are not 2 numbers from 1 to 65536"),
        ({"kernel_shape": [7, 5]}, "its kernel_shape 7x5 is not that of its weight, 3x2"),
    ],
)
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_windows_that_no_layer_has_are_unread(kind, attributes, why):
    weights = {"w": normal(0, 4, 4, 3, 2).numpy()}
    assert reason([node(kind, ["x", "w"], "y", **attributes)], weights=weights) == why


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize(
    ("block", "channels", "why"),
    [
        (2**17, 4, "its blocksize 131072 is no number from 1 to 65536"),
        (0, 4, "its blocksize 0 is no number from 1 to 65536"),
        (2**15, 4, "its 4 channels are no multiple of 32768x32768"),
        (3, 4, "its 4 channels are no multiple of 3x3"),
        (2, 2**40, "its 1099511627776 channels are no multiple of 2x2 up to 1048576"),
    ],
)
def test_blocks_that_no_shuffle_has_are_unread(mode, block, channels, why):
    nodes = [node("DepthToSpace", ["x"], "y", blocksize=block, mode=mode)]
    assert reason(nodes, shape=(1, channels, 5, 7)) == why


WHOLE = st.integers(-3, 5) | st.sampled_from([2**15, 2**16, 2**31, 2**40, INT64.min, INT64.max])
REAL = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, -2.0, 1e6, 1e30, np.inf, -np.inf, np.nan])
WORDS = ["", "up", "CRD", "DCR", "nearest", "linear", "cubic", "asymmetric", "align_corners", "SAME_UPPER"]
ANYTHING = st.one_of(
    WHOLE,
    REAL,
    st.sampled_from(WORDS),
    st.lists(WHOLE, min_size=1, max_size=6),
    st.lists(REAL, min_size=1, max_size=6),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
)
ATTRIBUTES = {
    "Resize": "antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside "
    "keep_aspect_ratio_policy mode nearest_mode",
    "Upsample": "mode scales",
    "Conv": "auto_pad dilations group kernel_shape pads strides",
    "ConvTranspose": "auto_pad dilations group kernel_shape output_padding output_shape pads strides",
    "DepthToSpace": "blocksize mode",
    "Concat": "axis",
    "Gather": "axis",
    "Range": "",
    "Expand": "",
    "ConstantOfShape": "value",
    "DequantizeLinear": "axis block_size output_dtype",
    "Shape": "start end",
    "Constant": "value value_float value_floats value_int value_ints",
}


@st.composite
def arrays(draw):
    kind = draw(st.sampled_from(["whole", "real", "text", "weight", "empty"]))
    if kind == "weight":
        return normal(0, 4, 4, 3, 2).numpy()
    if kind == "empty":
        return np.zeros(draw(st.sampled_from([(0,), (0, 2**40), (4, 0, 3, 2)])), dtype=np.float32)
    if kind == "text":
        return np.array(["x", "y"], dtype=object)
    values = draw(st.lists(WHOLE if kind == "whole" else REAL, min_size=1, max_size=6))
    values = values[0] if draw(st.booleans()) and len(values) == 1 else values
    return np.array(values, dtype=np.int64 if kind == "whole" else np.float32)


@pytest.mark.parametrize("kind", ATTRIBUTES)
@settings(max_examples=60)
@given(data=st.data())
def test_whatever_stands_in_a_node_is_read_or_refused(kind, data):
    names = data.draw(st.lists(st.sampled_from(["x", "a", "b", "c", ""]), max_size=5))
    names = data.draw(st.sampled_from([names, ["x", "a"], ["x", "", "a"], ["a", "b"], ["a", "b", "c"]]))
    weights = {name: data.draw(arrays()) for name in ("a", "b", "c")}
    known = st.sampled_from(ATTRIBUTES[kind].split() or ["none"])
    attributes = data.draw(st.dictionaries(known, ANYTHING, max_size=5))
    opset = data.draw(st.sampled_from([1, 7, 9, 10, 11, 13, 18, 21]))
    sizes = data.draw(st.sampled_from([None, MAP, (1, 4, 2**33, 2**33)]))
    nodes = [node(kind, names, "u", **attributes), node("Relu", ["u"], "y")]
    built = model(nodes, {"x": ("N", 4, "H", "W")}, weights=weights, opset=opset)
    started = time.monotonic()
    with little_memory(), contextlib.suppress(UpstrokeError):
        assert isinstance(read_onnx(built, sizes=sizes), Graph)
    assert time.monotonic() - started < 5
