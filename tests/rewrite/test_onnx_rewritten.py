"""A rewritten ONNX model keeps all that nobody asked to change, and refuses what it cannot do exactly."""

import re

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, parser

from onnx_changes import (
    assert_alike,
    assert_in_order,
    change_of,
    commuted_changes,
    merged_changes,
    shuffled_changes,
    together,
)
from onnx_models import model, node, normal
from upstroke.errors import NotRepresentableError
from upstroke.graph.onnx import read_onnx
from upstroke.graph.steps import PixelShuffle, Resize
from upstroke.polyphase import Affine, nearest
from upstroke.rewrite.change import Commuted, Shuffled, Together
from upstroke.rewrite.changes import changes
from upstroke.rewrite.onnx import refusal, rewritten, serves

FORMS = ("transposed", "phases", "shuffle")
TWICE = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
SHAPE = {"x": ["N", 4, "H", "W"]}


def twice(source="x", output="u", **attributes):
    return node("Resize", [source, "", "s"], output, **(TWICE | attributes))


def weights(**more):
    return {"s": np.array([1, 1, 2, 2], np.float32), "w": normal(1, 4, 4, 3, 3).numpy(), **more}


def conv(source="u", output="y", weight="w", **attributes):
    return node("Conv", [source, weight], output, pads=[1, 1, 1, 1], **attributes)


def plain():
    return model([twice(), conv()], SHAPE, weights=weights())


def refused(change, form, built, message):
    assert refusal(change, form, built) == message
    assert not serves(form, change, built)
    with pytest.raises(NotRepresentableError, match=f"^{re.escape(message)}$"):
        rewritten(built, [(change, form)])


def test_without_changes_nothing_changes():
    old = plain()
    new = rewritten(old, [])
    assert new is not old
    assert new.SerializeToString(deterministic=True) == old.SerializeToString(deterministic=True)


def test_all_but_the_replaced_nodes_stays():
    nodes = [node("Relu", ["x"], "a"), twice("a"), conv(output="c"), node("Tanh", ["c"], "y")]
    nodes += [node("Constant", [], "lonely", value_float=1.0)]
    old = model(nodes, SHAPE, weights=weights(unused=np.ones(3, np.float32)))
    old.producer_name, old.doc_string, old.model_version = "someone", "about it", 7
    old.metadata_props.add(key="author", value="someone")
    old.graph.doc_string = "a graph"
    for name in "auc":
        old.graph.value_info.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4, None, None])
        )
    before = old.SerializeToString(deterministic=True)
    (change,) = merged_changes(old)
    new = rewritten(old, [(change, "transposed")])
    assert old.SerializeToString(deterministic=True) == before
    for field in (
        "ir_version",
        "opset_import",
        "producer_name",
        "doc_string",
        "model_version",
        "metadata_props",
    ):
        assert getattr(new, field) == getattr(old, field)
    assert (new.graph.name, new.graph.doc_string) == ("drawn", "a graph")
    assert (new.graph.input, new.graph.output) == (old.graph.input, old.graph.output)
    assert [each.name for each in new.graph.node] == [
        "the_a",
        "the_u/transposed/conv_transpose",
        "the_y",
        "the_lonely",
    ]
    assert new.graph.node[0] == old.graph.node[0]
    assert new.graph.node[2] == old.graph.node[3]
    # what nobody needed before is not ours to take away; what only the replaced nodes needed is
    assert [each.name for each in new.graph.initializer] == ["unused", "the_u/transposed/weight"]
    assert [each.name for each in new.graph.value_info] == ["a", "c"]
    assert_alike(old, new, x=normal(0, 2, 4, 5, 7).numpy())


def test_names_that_are_taken_are_not_given_again():
    nodes = [node("Relu", ["x"], "the_u/transposed/weight"), twice("the_u/transposed/weight"), conv()]
    old = model(nodes, SHAPE, weights=weights())
    (change,) = merged_changes(old)
    new = rewritten(old, [(change, "transposed")])
    assert [each.name for each in new.graph.initializer] == ["the_u/transposed/weight_2"]
    assert_in_order(new)
    assert_alike(old, new, x=normal(0, 2, 4, 5, 7).numpy())


@pytest.mark.parametrize("form", FORMS)
def test_weights_of_several_sites_are_stored_once(form):
    nodes = [twice(), conv(output="a"), node("Relu", ["a"], "b"), twice("b", "v"), conv("v")]
    old = model(nodes, SHAPE, weights=weights())
    changes = merged_changes(old)
    assert [change.site for change in changes] == ["the_u", "the_v"]
    new = rewritten(old, [(change, form) for change in changes])
    assert_in_order(new)
    assert not [each.name for each in new.graph.initializer if each.name.startswith("the_v")]
    assert_alike(old, new, x=normal(0, 2, 4, 3, 5).numpy())
    # one of the two alone leaves the other as it is
    half = rewritten(old, [(changes[1], form)])
    assert "w" in {each.name for each in half.graph.initializer}
    assert_alike(old, half, x=normal(0, 2, 4, 3, 5).numpy())


def test_double_stays_double():
    nodes = [twice(), conv()]
    old = model(
        nodes, SHAPE, weights=weights(w=normal(1, 4, 4, 3, 3).double().numpy()), dtype=TensorProto.DOUBLE
    )
    (change,) = merged_changes(old)
    new = rewritten(old, [(change, "phases")])
    kinds = {each.data_type for each in new.graph.initializer}
    assert TensorProto.DOUBLE in kinds
    assert TensorProto.FLOAT not in kinds
    assert_in_order(new)


def test_old_files_name_their_weights_among_the_inputs():
    old = plain()
    old.ir_version = 3
    for tensor in old.graph.initializer:
        old.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    (change,) = merged_changes(old)
    new = rewritten(old, [(change, "transposed")])
    assert [each.name for each in new.graph.input] == ["x", "the_u/transposed/weight"]
    assert_in_order(new)
    assert_alike(old, new, x=normal(0, 2, 4, 5, 7).numpy())


def test_a_weight_that_may_be_given_is_not_baked_in():
    old = plain()
    old.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4, 3, 3]))
    (change,) = merged_changes(old)
    message = "its weight w is an input of the model, which whoever runs it may replace"
    refused(change, "phases", old, message)


def test_a_map_whose_shape_is_asked_for_stays():
    nodes = [twice(), node("Shape", ["u"], "size"), conv(), node("Identity", ["size"], "z")]
    old = model(nodes, SHAPE, ("y", "z"), weights=weights())
    old.graph.output[1].type.tensor_type.elem_type = TensorProto.INT64
    (change,) = merged_changes(old)
    refused(change, "phases", old, "the map u is also taken by Shape the_size")


def test_a_map_that_a_body_takes_stays():
    body = helper.make_graph(
        [helper.make_node("Relu", ["u"], ["inner"])],
        "body",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    branch = node("If", ["flag"], "z", then_branch=body, else_branch=body)
    inputs = SHAPE | {"flag": []}
    old = model([twice(), conv(), branch], inputs, ("y", "z"), weights=weights())
    old.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    # the reader knows of it, so that nobody proposes the change
    assert merged_changes(old) == []
    nodes = read_onnx(old).nodes[:2]
    refused(together(nodes, 2, "u"), "phases", old, "the map u is also taken by If the_z")


def test_a_map_that_goes_out_stays():
    old = model([twice(), conv()], SHAPE, ("y", "u"), weights=weights())
    change = together(read_onnx(old).nodes, 2, "u")
    refused(change, "phases", old, "the map u is also taken by the model as its output")


def test_a_map_that_is_rounded_on_the_way_stays_so():
    nodes = [twice(), node("Cast", ["u"], "h", to=10), node("Cast", ["h"], "f", to=1), conv("f")]
    old = model(nodes, SHAPE, weights=weights())
    (change,) = merged_changes(old)
    refused(change, "phases", old, "the_h rounds the map to FLOAT16 on the way")


def test_a_cast_to_the_type_it_has_goes():
    old = model([twice(), node("Cast", ["u"], "f", to=1), conv("f")], SHAPE, weights=weights())
    (change,) = merged_changes(old)
    new = rewritten(old, [(change, "transposed")])
    assert [each.op_type for each in new.graph.node] == ["ConvTranspose"]
    assert_alike(old, new, x=normal(0, 2, 4, 5, 7).numpy())


def test_phases_with_biases_of_their_own_are_no_transposed_convolution():
    old = model([node("Relu", ["x"], "y")], SHAPE)
    affine = Affine(operator=nearest(2).expand(4), bias=normal(0, 4, 4))
    change = change_of(read_onnx(old).nodes, Together(affine=affine), "u")
    message = "each phase has a bias of its own, and a transposed convolution has one for all"
    refused(change, "transposed", old, message)
    assert serves("phases", change, old)


def test_what_is_no_form_of_a_change_is_said():
    old = plain()
    (change,) = merged_changes(old)
    refused(change, "native", old, "Together has no form 'native' in ONNX")
    refused(change, "commuted", old, "Together has no form 'commuted' in ONNX")
    changed = change_of(change.nodes, Shuffled(shuffle=PixelShuffle(scale=(2, 3))), "u")
    refused(changed, "depth to space", old, "DepthToSpace makes square blocks of two axes, not 2x3")
    refused(changed, "phases", old, "Shuffled has no form 'phases' in ONNX")


def test_a_wrapping_border_needs_its_version():
    from dataclasses import replace

    old = plain()
    (change,) = merged_changes(old)
    operator = replace(change.does.affine.operator, border=("zero", "circular"))
    does = Together(affine=replace(change.does.affine, operator=operator))
    message = "a border that wraps around needs operators of version 19; it has 18"
    refused(replace(change, does=does), "phases", old, message)


def test_a_file_of_an_old_version_stays():
    old = plain()
    (change,) = merged_changes(old)
    old.opset_import[0].version = 6
    refused(change, "phases", old, "operators of version 7 or later are needed; the model has 6")


def test_channels_that_nobody_knows_are_said():
    old = model([node("Relu", ["x"], "y")], {"x": ["N", "C", "H", "W"]})
    change = change_of(read_onnx(old).nodes, Together(affine=Affine(operator=nearest(2))), "u")
    message = "one kernel serves all channels of x, and how many there are is not known"
    refused(change, "phases", old, message)


def test_maps_that_are_no_floats_or_not_in_the_file_are_said():
    old = model([node("Relu", ["x"], "y")], SHAPE, dtype=TensorProto.INT32)
    change = change_of(read_onnx(old).nodes, Together(affine=Affine(operator=nearest(2))), "u")
    message = "the maps x and y must be of one floating type; it is INT32 and INT32"
    refused(change, "phases", old, message)
    from dataclasses import replace

    message = "the map y:1 does not stand in the file, where several nodes spell what makes it"
    refused(replace(change, last="y:1"), "phases", old, message)


def test_functions_of_a_model_come_in_place_of_their_calls():
    text = """<ir_version: 8, opset_import: ["" : 18, "own" : 1]>
    net (float[N, 4, H, W] x) => (float[N, 4, P, Q] y) { y = own.Up (x, s, w) }
    <domain: "own", opset_import: ["" : 18]> Up (a, s, w) => (c) {
      u = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (a, , s)
      c = Conv <pads = [1, 1, 1, 1]> (u, w)
    }"""
    old = parser.parse_model(text)
    for name, array in weights().items():
        old.graph.initializer.append(numpy_helper.from_array(array, name))
    (change,) = merged_changes(old)
    new = rewritten(old, [(change, "transposed")])
    assert [each.op_type for each in new.graph.node] == ["ConvTranspose"]
    assert_alike(old, new, x=normal(0, 2, 4, 5, 7).numpy())


POINTWISE = {"d": normal(5, 3, 4, 1, 1).numpy(), "b": normal(6, 3).numpy()}


def resized_pointwise(resize, *, before=(), bias=True, opset=18, **more):
    inputs = ["u", "d", "b"] if bias else ["u", "d"]
    stored = {"s": np.array([1, 1, 2, 2], np.float32), **POINTWISE, **more}
    nodes = [*before, resize, node("Conv", inputs, "y")]
    used = {name for each in nodes for name in each.input}
    return model(nodes, SHAPE, weights={k: v for k, v in stored.items() if k in used}, opset=opset)


def assert_commutes(old, sizes=None, bias=None):
    (change,) = commuted_changes(old, sizes)
    if bias is not None:
        from dataclasses import replace

        convolution = replace(change.does.convolution, bias=None)
        does = Commuted(convolution=convolution, resize=change.does.resize, bias=bias)
        change = replace(change, does=does)
    new = rewritten(old, [(change, "commuted")])
    assert_in_order(new)
    kinds = [each.op_type for each in new.graph.node]
    assert kinds.index("Conv") < max(kinds.index(each) for each in ("Resize", "Upsample") if each in kinds)
    # what stays the same keeps its name
    assert "d" in {each.name for each in new.graph.initializer}
    for shape in [sizes or (2, 4, 5, 7), *([] if sizes else [(1, 4, 3, 2)])]:
        assert_alike(old, new, x=normal(1, *shape).numpy())
    return new


def test_a_pointwise_convolution_comes_first():
    new = assert_commutes(resized_pointwise(node("Resize", ["x", "", "s"], "u", mode="linear")))
    assert [each.name for each in new.graph.node] == ["the_u/commuted/conv", "the_u/commuted/resize"]
    assert {each.name for each in new.graph.initializer} == {"s", "d", "b"}
    assert_commutes(resized_pointwise(node("Resize", ["x", "s"], "u", mode="nearest"), opset=10))
    assert_commutes(resized_pointwise(node("Upsample", ["x", "s"], "u", mode="linear"), opset=9))
    assert_commutes(resized_pointwise(node("Upsample", ["x"], "u", scales=[1.0, 1.0, 2.0, 3.0]), opset=7))


@pytest.mark.parametrize("opset", [8, 9, 10, 11, 18])
def test_copies_that_are_spelled_are_a_resize_behind_the_convolution(opset):
    stored = {"a": np.array([-1, 4, 5, 1, 7, 1]), "e": np.array([1, 1, 1, 2, 1, 3])}
    ahead = [node("Reshape", ["x", "a"], "p"), node("Expand", ["p", "e"], "q")]
    resize = node("Reshape", ["q", "c"], "u")
    old = resized_pointwise(resize, before=ahead, opset=opset, c=np.array([-1, 4, 10, 21]), **stored)
    new = assert_commutes(old, (2, 4, 5, 7))
    assert [each.op_type for each in new.graph.node] == ["Conv", "Resize" if opset > 9 else "Upsample"]


def test_a_depthwise_upsampler_that_treats_channels_alike_comes_last():
    kernel = normal(1, 1, 1, 4, 3).expand(4, 1, 4, 3).contiguous().numpy()
    grow = node("ConvTranspose", ["x", "t"], "u", group=4, strides=[2, 3], pads=[1, 0, 1, 1])
    old = resized_pointwise(grow, t=kernel)
    (change,) = changes(read_onnx(old, sizes=(2, 4, 5, 7)), target="onnx")
    assert isinstance(change.does, Commuted)
    new = rewritten(old, [(change, "commuted")])
    assert [each.op_type for each in new.graph.node] == ["Conv", "ConvTranspose", "Add"]
    assert_in_order(new)
    assert_alike(old, new, x=normal(1, 2, 4, 5, 7).numpy())


def test_a_bias_that_stays_is_added_last():
    old = resized_pointwise(node("Resize", ["x", "", "s"], "u", mode="cubic"))
    new = assert_commutes(old, bias=torch.from_numpy(POINTWISE["b"]))
    assert [each.op_type for each in new.graph.node] == ["Conv", "Resize", "Add"]


def test_sizes_that_name_channels_are_mended():
    fixed = np.array([2, 4, 9, 13])
    resize = node("Resize", ["x", "", "", "z"], "u", mode="linear")
    new = assert_commutes(resized_pointwise(resize, z=fixed), (2, 4, 5, 7))
    (sizes,) = (each for each in new.graph.initializer if each.name == "the_u/commuted/sizes")
    assert numpy_helper.to_array(sizes).tolist() == [2, 3, 9, 13]
    # without the channels there is nothing to mend
    resize = node("Resize", ["x", "", "", "z"], "u", mode="linear", axes=[2, 3])
    new = assert_commutes(resized_pointwise(resize, z=fixed[2:]), (2, 4, 5, 7))
    assert {each.name for each in new.graph.initializer} == {"z", "d", "b"}
    resize = node("Resize", ["x", "", "", "z"], "u", mode="linear", axes=[-1, 1])
    assert_commutes(resized_pointwise(resize, z=np.array([14, 4])), (2, 4, 5, 7))


def test_sizes_that_are_computed_are_mended_where_they_are():
    ahead = [
        node("Shape", ["x"], "shape"),
        node("Slice", ["shape", "zero", "two"], "head"),
        node("Concat", ["head", "z"], "sizes", axis=0),
    ]
    resize = node("Resize", ["x", "", "", "sizes"], "u", mode="linear")
    old = resized_pointwise(resize, before=ahead, z=np.array([9, 13]), zero=np.array([0]), two=np.array([2]))
    (change,) = commuted_changes(old, (2, 4, 5, 7))
    new = rewritten(old, [(change, "commuted")])
    assert_in_order(new)
    for shape in ((2, 4, 5, 7), (1, 4, 4, 6)):
        assert_alike(old, new, x=normal(1, *shape).numpy())


def spelled(order, split, opset=18):
    stored = {"apart": np.array(split), "together": np.array([0, 3, 10, 14])}
    nodes = [
        node("Reshape", ["x", "apart"], "a"),
        node("Transpose", ["a"], "b", perm=order),
        node("Reshape", ["b", "together"], "y"),
    ]
    return model(nodes, {"x": ["N", 12, 5, 7]}, weights=stored, opset=opset)


CRD = ((0, 1, 4, 2, 5, 3), (0, 3, 2, 2, 5, 7))
DCR = ((0, 3, 4, 1, 5, 2), (0, 2, 2, 3, 5, 7))
TURNED = ((0, 1, 4, 3, 5, 2), (0, 3, 2, 2, 5, 7))


@pytest.mark.parametrize(
    ("spelling", "opset", "kinds"),
    [
        (CRD, 18, ["DepthToSpace"]),
        (DCR, 18, ["DepthToSpace"]),
        (DCR, 9, ["DepthToSpace"]),
        (TURNED, 18, ["Gather", "DepthToSpace"]),
        (CRD, 9, ["Gather", "DepthToSpace"]),
    ],
)
def test_a_spelled_shuffle_is_depth_to_space(spelling, opset, kinds):
    old = spelled(*spelling, opset=opset)
    (change,) = shuffled_changes(old, (2, 12, 5, 7))
    new = rewritten(old, [(change, "depth to space")])
    assert [each.op_type for each in new.graph.node] == kinds
    assert not {"apart", "together"} & {each.name for each in new.graph.initializer}
    assert_in_order(new)
    assert_alike(old, new, most=0.0, x=normal(0, 2, 12, 5, 7).numpy())


def test_the_new_model_is_read_as_what_was_put_in():
    old = plain()
    (change,) = merged_changes(old)
    for form in FORMS:
        graph = read_onnx(rewritten(old, [(change, form)]), sizes=(1, 4, 5, 7))
        assert not [each for each in graph.nodes if isinstance(each.step, Resize)]
        assert merged_changes(rewritten(old, [(change, form)])) == []


def test_no_operator_of_ours_comes_in():
    old = plain()
    (change,) = merged_changes(old)
    for form in FORMS:
        new = rewritten(old, [(change, form)])
        assert {each.domain for each in new.graph.node} == {""}
        assert all(onnx.defs.has(each.op_type, max_inclusive_version=18) for each in new.graph.node)
