"""One change stands as a small model of its own, and gives there what it gives in the whole."""

import numpy as np
import pytest

from onnx_changes import (
    assert_alike,
    assert_in_order,
    commuted_changes,
    merged_changes,
    run_all,
    shuffled_changes,
)
from onnx_models import model, node, normal
from upstroke.errors import NotRepresentableError
from upstroke.graph.onnx_shapes import constants_and_shapes
from upstroke.rewrite.onnx_alone import alone

SHAPE = {"x": ["N", 4, "H", "W"]}
TWICE = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


def two_sites():
    nodes = [
        node("Relu", ["x"], "a"),
        node("Resize", ["a", "", "s"], "u", **TWICE),
        node("Conv", ["u", "w"], "c", pads=[1, 1, 1, 1]),
        node("Tanh", ["c"], "y"),
    ]
    weights = {"s": np.array([1, 1, 2, 3], np.float32), "w": normal(1, 4, 4, 3, 3).numpy()}
    return model(nodes, SHAPE, weights=weights)


@pytest.mark.parametrize("form", ["transposed", "phases", "shuffle"])
def test_a_change_alone_is_what_it_is_in_the_model(form):
    whole = two_sites()
    before = whole.SerializeToString(deterministic=True)
    (change,) = merged_changes(whole)
    now, then = (alone(whole, change, each, sizes=(2, 4, 5, 7)) for each in (None, form))
    assert whole.SerializeToString(deterministic=True) == before
    assert [each.op_type for each in now.graph.node] == ["Resize", "Conv"]
    for small in (now, then):
        assert_in_order(small)
        assert [each.name for each in small.graph.input] == ["a"]
        assert [each.dim_value for each in small.graph.input[0].type.tensor_type.shape.dim] == [2, 4, 5, 7]
        assert [each.name for each in small.graph.output] == ["c"]
        used = {name for each in small.graph.node for name in each.input}
        assert {each.name for each in small.graph.initializer} <= used
    a = normal(2, 2, 4, 5, 7).numpy()
    assert_alike(now, then, a=a)
    # in the whole the map is taken through what follows
    x = np.abs(a)
    np.testing.assert_allclose(
        run_all(whole, x=x)["y"], np.tanh(run_all(now, a=x)["c"].numpy()), rtol=1e-5, atol=1e-6
    )


def test_a_resize_to_the_size_of_another_map_has_the_size_that_its_scale_says():
    nodes = [
        node("MaxPool", ["x"], "a", kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", ["x"], "whole"),
        node("Slice", ["whole", "two", "four"], "space"),
        node("Shape", ["a"], "part"),
        node("Slice", ["part", "zero", "two"], "head"),
        node("Concat", ["head", "space"], "z", axis=0),
        node("Resize", ["a", "", "", "z"], "u", mode="linear"),
        node("Conv", ["u", "w"], "y"),
    ]
    weights = {"zero": np.array([0]), "two": np.array([2]), "four": np.array([4])}
    whole = model(nodes, SHAPE, weights={**weights, "w": normal(1, 5, 4, 1, 1).numpy()})
    (change,) = commuted_changes(whole, (1, 4, 6, 10))
    now, then = (alone(whole, change, each, sizes=(1, 4, 3, 5)) for each in (None, "commuted"))
    a = normal(2, 1, 4, 3, 5).numpy()
    assert run_all(now, a=a)["y"].shape == (1, 5, 6, 10)
    assert_alike(now, then, a=a)


def test_a_value_from_elsewhere_is_asked_for():
    nodes = [
        node("Shape", ["x"], "whole"),
        node("Slice", ["whole", "zero", "one"], "batch"),
        node("Concat", ["batch", "rest"], "apart", axis=0),
        node("Relu", ["x"], "a"),
        node("Reshape", ["a", "apart"], "b"),
        node("Transpose", ["b"], "c", perm=[0, 1, 4, 2, 5, 3]),
        node("Reshape", ["c", "together"], "y"),
    ]
    weights = {"zero": np.array([0]), "one": np.array([1]), "rest": np.array([1, 2, 2, 3, 5])}
    whole = model(nodes, SHAPE, weights={**weights, "together": np.array([-1, 1, 6, 10])})
    size = (2, 4, 3, 5)
    (change,) = shuffled_changes(whole, size)
    with pytest.raises(
        NotRepresentableError,
        match=r"^apart is computed elsewhere in the model, from sizes that are not given$",
    ):
        alone(whole, change, None, sizes=size)
    values = constants_and_shapes(whole, size)[0]
    now = alone(whole, change, None, sizes=size, values=values)
    then = alone(whole, change, "depth to space", sizes=size)
    assert_in_order(now)
    assert_alike(now, then, most=0.0, a=normal(0, *size).numpy())
