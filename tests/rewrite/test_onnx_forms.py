"""Every form of every change gives what the nodes that it replaces gave."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from onnx_changes import (
    assert_alike,
    assert_in_order,
    change_of,
    merged_changes,
    run_all,
)
from onnx_models import model, node, normal
from strategies import affines, depthwise_operators, sizes, tensors
from upstroke import upsample
from upstroke.graph.onnx import read_onnx
from upstroke.polyphase import Affine
from upstroke.rewrite.change import Together
from upstroke.rewrite.onnx import refusal, rewritten
from upstroke.rewrite.rolled import rolled

FORMS = ("transposed", "phases", "shuffle")


def in_place_of_a_relu(affine, channels, form, opset=19):
    """A model of nothing but an affine map in a form."""
    shape = ["N", channels, *(f"n{axis}" for axis in range(affine.operator.ndim))]
    built = model([node("Relu", ["x"], "y")], {"x": shape}, opset=opset)
    (relu,) = read_onnx(built).nodes
    change = change_of((relu,), Together(affine=affine), "site")
    if refusal(change, form, built) is not None:
        return refusal(change, form, built)
    return rewritten(built, [(change, form)])


def assert_computes(built, affine, x):
    assert_in_order(built)
    expected = upsample(x.double(), affine)
    actual = run_all(built, x=x.float().numpy())["y"]
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 3e-6 * float(x.abs().max() * affine.operator.taps.abs().sum())


@pytest.mark.parametrize("form", FORMS)
@given(affine=affines(), plain=st.booleans(), data=st.data())
def test_any_operator_in_any_form(form, affine, plain, data):
    operator = affine.operator
    if plain or form == "transposed":
        # a transposed convolution has one bias for all phases
        affine = Affine(operator=operator, bias=affine.bias[:1].expand_as(affine.bias))
    size = data.draw(sizes(operator.ndim, least=6))
    assume(min(s * n + e for s, n, e in zip(operator.scale, size, operator.excess, strict=True)) > 0)
    # a map is wrapped around at most once
    reads = [operator.cells_beyond(axis) for axis in range(operator.ndim)]
    assume(all(max(read) <= n for read, n in zip(reads, size, strict=True)))
    built = in_place_of_a_relu(affine, operator.in_channels, form)
    assert_computes(built, affine, data.draw(tensors((2, operator.in_channels, *size))).float().double())


@pytest.mark.parametrize("form", FORMS)
@given(operator=depthwise_operators(ndims=(2, 3), borders=("zero", "clamp"), max_scale=2), data=st.data())
def test_one_kernel_for_all_channels_and_opset_7(form, operator, data):
    size = data.draw(sizes(operator.ndim, least=4, most=6))
    assume(min(s * n + e for s, n, e in zip(operator.scale, size, operator.excess, strict=True)) > 0)
    channels = 3 if operator.shared else operator.in_channels
    affine = Affine(operator=operator)
    built = in_place_of_a_relu(affine, channels, form, opset=7)
    assert_computes(built, affine, data.draw(tensors((2, channels, *size))).float().double())


@given(affine=affines(), data=st.data())
def test_a_rolled_operator_makes_the_same_map_later(affine, data):
    operator = affine.operator
    moved, more = rolled(operator)
    size = data.draw(sizes(operator.ndim))
    assume(min(s * n + e for s, n, e in zip(operator.scale, size, operator.excess, strict=True)) > 0)
    x = data.draw(tensors((1, operator.in_channels, *size)))
    behind = upsample(x, moved)[(..., *(slice(r, None) for r in more))]
    torch.testing.assert_close(behind, upsample(x, operator), rtol=1e-12, atol=1e-12)
    assert math.prod(moved.kernel) <= math.prod(operator.kernel)


CASES = {
    "1 axis": ((3,), 1, 1, (1,), ["N", 4, "L"]),
    "2 axes": ((2, 3), 1, 1, (1, 1), ["N", 4, "H", "W"]),
    "square": ((2, 2), 1, 1, (1, 1), ["N", 4, "H", "W"]),
    "3 axes": ((2, 3, 2), 1, 1, (1, 1, 1), ["N", 4, "D", "H", "W"]),
    "groups": ((2, 2), 2, 1, (1, 1), ["N", 4, "H", "W"]),
    "dilation": ((2, 2), 1, 2, (2, 2), ["N", 4, "H", "W"]),
}
EDGES = ("zero", "edge", "uneven", "none")
SHAPES = {1: ((2, 4, 5), (1, 4, 1)), 2: ((2, 4, 5, 7), (1, 4, 1, 3)), 3: ((2, 4, 2, 5, 3),)}


def resize_then_conv(case, edge, opset):
    scale, groups, dilation, pads, shape = CASES[case]
    ndim = len(scale)
    kernel = (3,) * ndim
    weight = normal(1, 6, 4 // groups, *kernel).numpy()
    weights = {
        "s": np.array([1, 1, *scale], np.float32),
        "w": weight,
        "b": normal(2, 6).numpy(),
        "roi": np.zeros(0, np.float32),
    }
    resizing = {"mode": "nearest"}
    if opset >= 11:
        resizing |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    kind, inputs = {7: ("Upsample", ["x"]), 9: ("Upsample", ["x", "s"])}.get(opset, ("Resize", ["x", "s"]))
    if opset == 7:
        resizing["scales"] = weights["s"].tolist()
    nodes = [node(kind, ["x", "roi", "s"] if opset >= 11 else inputs, "u", **resizing)]
    own = [0, 0] * ndim
    name = "u"
    if edge == "zero":
        own = [*pads, *pads]
    elif edge == "uneven":
        own = [1] + [0] * (ndim - 1) + [0] + [1] * (ndim - 1)
    elif edge == "edge":
        amounts = [0, 0, *(1,) * ndim, 0, 0, *(1,) * ndim]
        name = "p"
        if opset < 11:
            nodes.append(node("Pad", ["u"], "p", mode="edge", pads=amounts))
        else:
            weights["amounts"] = np.array(amounts)
            nodes.append(node("Pad", ["u", "amounts"], "p", mode="edge"))
    nodes.append(node("Conv", [name, "w", "b"], "y", pads=own, group=groups, dilations=[dilation] * ndim))
    used = {name for each in nodes for name in each.input}
    return model(nodes, {"x": shape}, weights={k: v for k, v in weights.items() if k in used}, opset=opset)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("case", CASES)
def test_a_resize_and_a_convolution_become_one(case, edge):
    old = resize_then_conv(case, edge, 18)
    (change,) = merged_changes(old)
    ndim = len(CASES[case][0])
    for form in FORMS:
        new = rewritten(old, [(change, form)])
        assert_in_order(new)
        assert not {"Resize", "Pad"} & {each.op_type for each in new.graph.node} or edge == "edge"
        # weights that only the nodes in the middle had are gone; a convolution's may be one phase's as they are
        assert not {"s", "roi", "amounts"} & {each.name for each in new.graph.initializer}
        for place, shape in enumerate(SHAPES[ndim]):
            if min(shape[2:]) * min(CASES[case][0]) > CASES[case][2] * 2:
                assert_alike(old, new, x=normal(place, *shape).numpy())


@pytest.mark.parametrize("opset", [7, 9, 10, 11, 13, 19, 22])
def test_versions_have_what_is_used(opset):
    for edge in ("zero", "edge"):
        for case in ("square", "2 axes"):
            old = resize_then_conv(case, edge, opset)
            (change,) = merged_changes(old)
            for form in FORMS:
                new = rewritten(old, [(change, form)])
                assert_in_order(new)
                assert new.opset_import == old.opset_import
                assert_alike(old, new, x=normal(3, 2, 4, 5, 7).numpy())


@pytest.mark.parametrize("edge", ["zero", "edge", "uneven"])
@pytest.mark.parametrize("case", ["1 axis", "2 axes", "square", "groups"])
def test_openvino_computes_the_same(case, edge):
    from upstroke.rewrite.runtime_openvino import session_of

    old = resize_then_conv(case, edge, 18)
    (change,) = merged_changes(old)
    x = normal(0, *SHAPES[len(CASES[case][0])][0]).numpy()
    expected = run_all(old, x=x)["y"]
    for form in FORMS:
        (actual,) = session_of(rewritten(old, [(change, form)]))([x])
        assert actual.shape == expected.shape
        assert float((torch.from_numpy(actual) - expected).abs().max()) <= 1e-6 * float(expected.abs().max())
