"""Nodes become the steps they are, shapes and constants are worked out, and what cannot be read says why."""

import re

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from onnx_models import model, node, normal
from upstroke.errors import OptionError, ShapeError
from upstroke.graph import sites
from upstroke.graph.onnx import read_onnx
from upstroke.graph.steps import (
    Concatenation,
    Convolution,
    Expansion,
    Filter,
    Other,
    Pad,
    PerChannel,
    PixelUnshuffle,
    Pointwise,
    Pool,
    Reduction,
    Reshape,
    Resize,
    Same,
    Softmax,
    Stays,
    Transpose,
    TransposedConvolution,
    Unread,
)

MAP = (2, 4, 5, 7)
FUNCTIONS = [
    "Relu",
    "LeakyRelu",
    "Sigmoid",
    "Tanh",
    "HardSigmoid",
    "HardSwish",
    "Elu",
    "Selu",
    "Softplus",
    "Erf",
    "Exp",
    "Mish",
]


def only_step(nodes, *, shape=MAP, **settings):
    (only,) = read_onnx(model(nodes, {"x": shape}, **settings)).nodes
    return only.step


def reason(nodes, **settings):
    step = only_step(nodes, **settings)
    assert isinstance(step, Unread)
    return step.reason


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_functions_of_a_sample_are_pointwise(kind):
    assert isinstance(only_step([node(kind, ["x"], "y")]), Pointwise)


@pytest.mark.parametrize(("kind", "value"), [("Pow", 2.0), ("PRelu", 0.1), ("Max", 0.0), ("Clip", 0.0)])
def test_functions_with_a_constant_are_pointwise(kind, value):
    constant = np.array([value] if kind == "PRelu" else value, dtype=np.float32)
    assert isinstance(only_step([node(kind, ["x", "c"], "y")], weights={"c": constant}), Pointwise)


@pytest.mark.parametrize(
    ("kind", "attributes", "wanted"),
    [
        ("Identity", {}, Same),
        ("Dropout", {}, Same),
        ("Cast", {"to": TensorProto.DOUBLE}, Same),
        ("Cast", {"to": TensorProto.INT32}, Pointwise),
        ("Flatten", {}, Reshape),
        ("Transpose", {"perm": [0, 2, 3, 1]}, Transpose),
        ("GlobalAveragePool", {}, Reduction),
        ("Softmax", {}, Softmax),
        ("SpaceToDepth", {"blocksize": 1}, PixelUnshuffle),
        ("Sum", {}, Same),
    ],
)
def test_kinds(kind, attributes, wanted):
    assert isinstance(only_step([node(kind, ["x"], "y", **attributes)]), wanted)


@pytest.mark.parametrize(
    ("kind", "attributes", "wanted"),
    [
        ("Add", {}, "add"),
        ("Sub", {}, "add"),
        ("Sum", {}, "add"),
        ("Mul", {}, "multiply"),
        ("Concat", {"axis": 1}, "concatenate"),
        ("Concat", {"axis": -3}, "concatenate"),
        ("Div", {}, "multiply"),
        ("Concat", {"axis": 2}, None),
        ("Max", {}, "choose"),
    ],
)
def test_two_maps(kind, attributes, wanted):
    graph = read_onnx(model([node(kind, ["x", "z"], "y", **attributes)], {"x": MAP, "z": MAP}))
    (only,) = graph.nodes
    assert only.inputs == ("x", "z")
    assert only.step.kind == wanted if wanted else isinstance(only.step, Concatenation)


def test_a_map_times_itself_is_a_function():
    assert isinstance(only_step([node("Mul", ["x", "x"], "y")]), Pointwise)


@pytest.mark.parametrize("shape", [(7,), (5, 1), (2, 1, 1, 1), (1, 4, 5, 7), (4, 1), (1, 1, 1, 1, 1)])
def test_a_constant_that_is_not_per_channel_leaves_samples_where_they_are(shape):
    assert isinstance(
        only_step([node("Add", ["x", "c"], "y")], weights={"c": normal(0, *shape).numpy()}), Stays
    )


def test_one_channel_that_is_copied_is_not_per_channel():
    weights = {"c": normal(0, 3, 1, 1).numpy()}
    assert isinstance(only_step([node("Mul", ["x", "c"], "y")], shape=(2, 1, 5, 7), weights=weights), Stays)


def test_pools():
    attributes = {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [0, 1, 1, 0]}
    for kind, wanted in [("MaxPool", "max"), ("AveragePool", "mean")]:
        step = only_step([node(kind, ["x"], "y", **attributes)])
        assert isinstance(step, Pool)
        assert (step.kernel, step.stride, step.padding, step.kind) == (
            (2, 3),
            (2, 1),
            ((0, 1), (1, 0)),
            wanted,
        )
    same = only_step(
        [node("MaxPool", ["x"], "y", kernel_shape=[2, 3], strides=[3, 2], auto_pad="SAME_UPPER")]
    )
    # 5 samples by 3: 2 windows reach from 0 to 4; 7 by 2: 4 windows reach from -1 to 7
    assert same.padding == ((0, 0), (1, 1))


def test_a_strided_convolution_keeps_its_numbers():
    attributes = {"strides": [2, 3], "pads": [1, 0, 2, 1], "dilations": [1, 2], "group": 2}
    weights = {"w": normal(0, 6, 2, 3, 2).numpy(), "b": normal(1, 6).numpy()}
    step = only_step([node("Conv", ["x", "w", "b"], "y", **attributes)], weights=weights)
    assert isinstance(step, Convolution)
    assert (step.stride, step.padding, step.dilation, step.groups) == ((2, 3), ((1, 2), (0, 1)), (1, 2), 2)
    assert torch.equal(step.weight, normal(0, 6, 2, 3, 2))
    assert torch.equal(step.bias, normal(1, 6))


@pytest.mark.parametrize(
    ("mode", "value", "border"),
    [("constant", 0.0, "zero"), ("constant", 1.5, None), ("reflect", 0.0, None), ("edge", 0.0, "clamp")],
)
def test_pads_of_old_and_new(mode, value, border):
    pads = [0, 0, 1, 0, 0, 0, 2, 3]
    old = only_step([node("Pad", ["x"], "y", mode=mode, pads=pads, value=value)], opset=10)
    weights = {"p": np.array(pads), "c": np.array(value, dtype=np.float32)}
    new = only_step([node("Pad", ["x", "p", "c"], "y", mode=mode)], weights=weights)
    for step in (old, new):
        assert isinstance(step, Pad)
        assert (step.sides, step.border) == (((1, 2), (0, 3)), border)


def test_padded_channels_are_other_and_nothing_is_same():
    assert isinstance(
        only_step([node("Pad", ["x", "p"], "y")], weights={"p": np.array([0, 1, 0, 0, 0, 0, 0, 0])}), Other
    )
    assert isinstance(
        only_step([node("Pad", ["x", "p"], "y")], weights={"p": np.zeros(8, dtype=np.int64)}), Same
    )


def test_training_batch_normalization_is_other():
    weights = {name: np.ones(4, dtype=np.float32) for name in "gbmv"}
    assert isinstance(
        only_step([node("BatchNormalization", ["x", *"gbmv"], "y", training_mode=1)], weights=weights), Other
    )


def by(*factors):
    return {"s": np.array([1, 1, *factors], dtype=np.float32)}


@pytest.mark.parametrize(
    ("factors", "attributes", "why"),
    [
        (
            (2, 3),
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            "its coordinates are tf_crop_and_resize, with nearest by 2x3",
        ),
        (
            (1.5, 2),
            {"coordinate_transformation_mode": "half_pixel_symmetric"},
            "its coordinates are half_pixel_symmetric, with nearest by 1.5x2",
        ),
        (
            (2, 0.2),
            {"coordinate_transformation_mode": "pytorch_half_pixel"},
            "its coordinates are pytorch_half_pixel, with nearest by 2x0.2",
        ),
        (
            (2, 3),
            {"mode": "cubic", "exclude_outside": 1},
            "exclude_outside changes the kernel at the border, as no border of an operator does",
        ),
        (
            (2, 0.5),
            {"mode": "linear", "antialias": 1},
            "antialias stretches the kernel along the axes that become smaller",
        ),
    ],
)
def test_resizes_that_no_operator_describes(factors, attributes, why):
    assert reason([node("Resize", ["x", "", "s"], "y", **attributes)], weights=by(*factors), opset=19) == why


def test_resizes_that_do_not_grow_are_no_site():
    smaller = {"coordinate_transformation_mode": "tf_crop_and_resize"}
    assert isinstance(
        only_step([node("Resize", ["x", "", "s"], "y", **smaller)], weights=by(0.5, 0.4)), Other
    )
    assert isinstance(only_step([node("Resize", ["x", "", "s"], "y")], weights=by(1, 1)), Same)


def test_a_resize_of_other_axes_is_unread():
    weights = {"s": np.array([1, 2, 2, 1], dtype=np.float32)}
    why = "it resizes by 1x2x2x1, not only the axes of a map (batch, channels, *size)"
    assert reason([node("Resize", ["x", "", "s"], "y")], weights=weights) == why


def test_align_corners_and_fractions_keep_their_numbers():
    aligned = only_step(
        [node("Resize", ["x", "", "s"], "y", mode="linear", coordinate_transformation_mode="align_corners")],
        weights=by(2, 1.5),
    )
    assert isinstance(aligned, Resize)
    assert (aligned.scale, aligned.coordinates, aligned.given) == ((2.0, 1.5), "align_corners", True)
    sized = only_step([node("Resize", ["x", "", "", "s"], "y")], weights={"s": np.array([2, 4, 8, 21])})
    assert (sized.scale, sized.rounding, sized.given) == ((1.6, 3.0), "round_prefer_floor", False)


def test_exclude_outside_changes_nothing_for_linear():
    step = only_step(
        [node("Resize", ["x", "", "s"], "y", mode="linear", exclude_outside=1)], weights=by(2, 3)
    )
    assert isinstance(step, Resize)


def doubled_by_its_own_shape():
    """A Resize to twice its input's size, as exporters spell it: the size is computed from the shape."""
    nodes = [
        node("Conv", ["x", "w"], "u"),
        node("Shape", ["u"], "all"),
        node("Slice", ["all", "zero", "two"], "kept"),
        node("Slice", ["all", "two", "four"], "size"),
        node("Mul", ["size", "two"], "larger"),
        node("Concat", ["kept", "larger"], "wanted", axis=0),
        node("Resize", ["u", "", "", "wanted"], "v"),
        node("Shape", ["v"], "again"),
        node("Slice", ["again", "two", "four"], "size again"),
        node("Mul", ["size again", "two"], "larger again"),
        node("Concat", ["kept", "larger again"], "wanted again", axis=0),
        node("Resize", ["v", "", "", "wanted again"], "y"),
    ]
    weights = {name: np.array([value]) for name, value in [("zero", 0), ("two", 2), ("four", 4)]}
    return model(nodes, {"x": ("N", 4, "H", "W")}, weights=weights | {"w": normal(0, 3, 4, 1, 1).numpy()})


def test_sizes_are_computed_from_shapes():
    graph = read_onnx(doubled_by_its_own_shape(), sizes=(2, 4, 5, 7))
    assert [each.operator for each in graph.nodes] == ["Conv", "Resize", "Resize"]
    assert [(each.inputs, each.step.scale) for each in graph.nodes[1:]] == [
        (("u",), (2, 2)),
        (("v",), (2, 2)),
    ]
    assert graph.shapes["y"] == (2, 3, 20, 28)


def test_sizes_that_are_not_known_ask_for_the_input():
    conv, first, _ = read_onnx(doubled_by_its_own_shape()).nodes
    assert (
        first.step.reason == "its output size is not known before the model runs; give the size of the input"
    )
    assert first.inputs == ("u",)
    assert conv.output == "u"


def test_weights_are_found_behind_what_exporters_put_there():
    w = normal(0, 4, 3, 3, 2)
    nodes = [
        helper.make_node(
            "Constant", [], ["stored"], value=numpy_helper.from_array(w.half().numpy().reshape(12, 6))
        ),
        helper.make_node("Constant", [], ["shape"], value_ints=[4, 2, 3, 3]),
        node("Cast", ["stored"], "wide", to=TensorProto.FLOAT),
        node("Reshape", ["wide", "shape"], "apart"),
        node("Transpose", ["apart"], "turned", perm=[0, 2, 3, 1]),
        node("Identity", ["turned"], "w"),
        node("ConvTranspose", ["x", "w"], "y", strides=[2, 3]),
    ]
    step = only_step(nodes)
    assert isinstance(step, TransposedConvolution)
    assert torch.equal(step.weight, w.half().float().reshape(4, 2, 3, 3).permute(0, 2, 3, 1))


def test_stored_types_are_kept():
    for dtype, proto in [
        (torch.bfloat16, TensorProto.BFLOAT16),
        (torch.float16, TensorProto.FLOAT16),
        (torch.float64, TensorProto.DOUBLE),
    ]:
        w = normal(0, 4, 3, 3, 2).to(dtype)
        built = model([node("ConvTranspose", ["x", "w"], "y")], {"x": MAP}, dtype=proto, opset=22)
        built.graph.initializer.append(helper.make_tensor("w", proto, w.shape, w.double().flatten().tolist()))
        (only,) = read_onnx(built).nodes
        assert torch.equal(only.step.weight, w)


def test_weights_among_the_inputs_are_weights():
    built = model(
        [node("ConvTranspose", ["x", "w"], "y")],
        {"x": MAP, "w": (4, 3, 3, 2)},
        weights={"w": normal(0, 4, 3, 3, 2).numpy()},
    )
    graph = read_onnx(built, sizes=MAP)
    assert graph.inputs == ("x",)
    assert isinstance(graph.nodes[0].step, TransposedConvolution)


def test_a_weight_that_is_computed_is_unread():
    built = model([node("ConvTranspose", ["x", "w"], "y")], {"x": MAP, "w": (4, 4, 3, 3)})
    (only,) = read_onnx(built).nodes
    assert only.step.reason == "its weight is computed while the model runs"
    assert only.inputs == ("x", "w")


def test_a_convolution_with_a_weight_that_is_computed_is_a_filter():
    attributes = {"strides": [2, 1], "pads": [1, 0, 0, 2]}
    built = model([node("Conv", ["x", "w"], "y", **attributes)], {"x": MAP, "w": (4, 4, 3, 5)})
    (only,) = read_onnx(built).nodes
    assert isinstance(only.step, Filter)
    assert (only.step.kernel, only.step.stride) == ((3, 5), (2, 1))
    assert only.step.padding == ((1, 0), (0, 2))


def test_a_transposed_convolution_to_a_fixed_shape_needs_the_input():
    weights = {"w": normal(0, 4, 3, 3, 2).numpy()}
    why = "its output_shape is fixed, so what it cuts off depends on the size of the input; give it"
    nodes = [node("ConvTranspose", ["x", "w"], "y", strides=[2, 3], output_shape=[10, 20])]
    assert reason(nodes, shape=("N", 4, "H", "W"), weights=weights) == why


def test_samples_that_no_kernel_reaches_are_unread():
    weights = {"w": normal(0, 4, 3, 1, 2).numpy()}
    why = "it is asked for more samples than its kernels reach, and no standard says which are empty"
    assert (
        reason(
            [node("ConvTranspose", ["x", "w"], "y", strides=[2, 3], auto_pad="SAME_UPPER")], weights=weights
        )
        == why
    )


def test_what_grows_unread_is_said():
    weights = {"r": np.array([1, 1, 2, 3])}
    assert (
        reason([node("Tile", ["x", "r"], "y")], weights=weights)
        == "Tile grows 5x7 to 10x21 in a way that is not read"
    )


def test_copies_of_an_only_sample_are_no_growth():
    weights = {"r": np.array([1, 1, 5, 7])}
    assert isinstance(
        only_step([node("Tile", ["x", "r"], "y")], shape=(2, 4, 1, 1), weights=weights), Expansion
    )


def branching(*inside):
    """A model that does one of two equal things, which depends on its input."""
    end = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    inner = helper.make_graph(list(inside), "body", [], [end])
    nodes = [node("ReduceSum", ["x"], "sum", keepdims=0), node("Cast", ["sum"], "which", to=TensorProto.BOOL)]
    nodes.append(node("If", ["which"], "y", then_branch=inner, else_branch=inner))
    return read_onnx(model(nodes, {"x": MAP}, weights={"s": np.float32([1, 1, 2, 2])}))


def test_bodies_are_not_looked_into_and_say_what_is_in_them():
    graph = branching(node("Relu", ["x"], "r"), node("Resize", ["r", "", "s"], "inner"))
    branch = graph.nodes[-1]
    assert branch.step.reason == (
        "If runs a body of its own, which is not looked into; in it: Resize the_inner, Resize the_inner"
    )
    assert set(branch.inputs) == {"which", "x", "s"} - {"s"}
    assert [site.name for site in sites(graph)] == ["the_y"]
    unknown = branching(node("Tile", ["x", "s"], "inner")).nodes[-1]
    assert unknown.step.reason == "If runs a body of its own, which is not looked into"


def test_bodies_in_which_nothing_can_grow_are_other():
    assert isinstance(branching(node("Relu", ["x"], "inner")).nodes[-1].step, Other)


@pytest.mark.parametrize("opset", [10, 13, 18, 19, 21, 25])
def test_quantised_weights_are_read(opset):
    whole = np.arange(-32, 32, dtype=np.int8).reshape(2, 2, 4, 4)
    nodes = [
        node("QuantizeLinear", ["w", "ws", "wz"], "q"),
        node("DequantizeLinear", ["q", "ws", "wz"], "dw"),
        node("QuantizeLinear", ["x", "xs", "xz"], "qx"),
        node("DequantizeLinear", ["qx", "xs", "xz"], "dx"),
        node("ConvTranspose", ["dx", "dw"], "y", strides=[2, 2]),
    ]
    weights = {"w": np.float32(whole / 4), "ws": np.float32(0.25), "wz": np.int8(0)}
    weights |= {"xs": np.float32(0.1), "xz": np.uint8(128)}
    graph = read_onnx(model(nodes, {"x": (1, 2, 5, 7)}, weights=weights, opset=opset))
    (site,) = sites(graph)
    assert torch.equal(site.node.step.weight, torch.from_numpy(np.float32(whole / 4)))


def test_a_weight_joined_of_large_parts_is_read():
    part = np.random.default_rng(0).random((64, 64, 5, 5), dtype=np.float32)
    nodes = [node("Concat", ["a", "b"], "w", axis=1), node("ConvTranspose", ["x", "w"], "y", strides=[2, 2])]
    graph = read_onnx(model(nodes, {"x": (1, 64, 5, 7)}, weights={"a": part, "b": 2 * part}))
    (site,) = sites(graph)
    assert torch.equal(site.node.step.weight, torch.from_numpy(np.concatenate([part, 2 * part], 1)))


def test_names_are_given_and_unique():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"], name="n"),
        helper.make_node("Exp", ["b"], ["y"], name="n"),
    ]
    assert [each.name for each in read_onnx(model(nodes, {"x": MAP})).nodes] == ["Relu:a", "n", "n:y"]


def test_a_site_stands_in_its_chain():
    nodes = [
        node("ConvTranspose", ["x", "w"], "u", strides=[2, 3]),
        node("Add", ["u", "b"], "v"),
        node("Relu", ["v"], "y"),
    ]
    weights = {"w": normal(0, 4, 3, 3, 2).numpy(), "b": normal(1, 1, 3, 1, 1).numpy()}
    (site,) = sites(read_onnx(model(nodes, {"x": MAP}, weights=weights)))
    assert [each.operator for each in site.chain] == ["ConvTranspose", "Add"]
    assert isinstance(site.after[0].step, PerChannel)
    assert site.ends.operator == "Relu"
    assert (site.size_in, site.size_out) == ((5, 7), (11, 20))


def test_large_results_are_not_computed():
    nodes = [node("ConstantOfShape", ["s"], "huge"), node("Add", ["x", "huge"], "y")]
    built = model(nodes, {"x": MAP}, weights={"s": np.array([2**40, 2**20])})
    (only,) = read_onnx(built).nodes
    assert isinstance(only.step, Stays)


def two_inputs():
    return model([node("Add", ["x", "z"], "y")], {"x": ("N", 4, "H", "W"), "z": ("N", 4, "H", "W")})


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        (
            (1, 4, 5, 7),
            OptionError,
            "a size without a name is for a model with one input; this one has 2: x, z",
        ),
        (
            {"x": (0, 4, 5, 7)},
            OptionError,
            "the size of input 'x' must be at least 1 on every axis; got 0x4x5x7",
        ),
        ({"z": (4, 5, 7)}, ShapeError, "input 'z' takes Nx4x?x?; got 4x5x7"),
        (
            {"x": (1, 4, 5, 7), "z": (1, 4, 5, 6)},
            ShapeError,
            (
                "the model cannot take x = 1x4x5x7, z = 1x4x5x6: the maps 1x4x5x7 and 1x4x5x6 do not meet at "
                "the_y (Add); give a size that all its strides divide"
            ),
        ),
    ],
)
def test_sizes_are_checked(sizes, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        read_onnx(two_inputs(), sizes=sizes)


def test_a_map_too_small_for_a_kernel_is_refused():
    built = model(
        [node("Conv", ["x", "w"], "y")],
        {"x": ("N", 4, "H", "W")},
        weights={"w": normal(0, 3, 4, 3, 5).numpy()},
    )
    assert read_onnx(built, sizes=(1, 4, 3, 5)).shapes["y"] == (1, 3, 1, 1)
    message = "the model cannot take x = 1x4x3x4: the_y (Conv) would leave nothing of its map of 1x4x3x4; give a larger size"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        read_onnx(built, sizes=(1, 4, 3, 4))


def test_shapes_noted_for_another_size_are_not_believed():
    built = model([node("Relu", ["x"], "u"), node("Exp", ["u"], "y")], {"x": ("N", 4, "H", "W")})
    built.graph.value_info.append(helper.make_tensor_value_info("u", TensorProto.FLOAT, (1, 4, 9, 9)))
    assert read_onnx(built).shapes["u"] == (1, 4, 9, 9)
    assert read_onnx(built, sizes=MAP).shapes["u"] == MAP


def test_outer_products_of_weights_are_not_computed():
    weights = {"a": normal(0, 1, 1, 300, 1).numpy(), "b": normal(1, 1, 1, 1, 400).numpy()}
    nodes = [node("Mul", ["a", "b"], "w"), node("Conv", ["x", "w"], "y")]
    assert (
        reason(nodes, shape=(1, 1, 500, 500), weights=weights)
        == "its weight is computed while the model runs"
    )
