"""The step read from a node does what ONNX Runtime makes of the node, whatever its attributes."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from onnx_models import model, node, normal, run, run_reference
from tolerance import assert_same
from upstroke import upsample
from upstroke.graph import affine_of
from upstroke.graph.onnx import read_onnx
from upstroke.graph.steps import PerChannel, Resize

SIZES = {1: (7,), 2: (5, 7), 3: (5, 4, 6)}
COORDINATES = ["half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "asymmetric"]
# these stand for every pair of modes, so that fewer of each are enough
SOME = settings(max_examples=20)
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def per_axis(ndim, least, most):
    return st.lists(st.integers(least, most), min_size=ndim, max_size=ndim)


def step_of(built):
    (only,) = read_onnx(built).nodes
    return only.step


def assert_reads_what_runs(built, x, outsider=run):
    affine = affine_of(step_of(built), ndim=x.ndim - 2)
    assert_same(upsample(x, affine), outsider(built, x=x))


@st.composite
def windows(draw, *, transposed):
    """Attributes and weights of a convolution, each axis with its own numbers and sides."""
    ndim = draw(st.sampled_from([1, 2, 3]))
    kernel, dilation = draw(per_axis(ndim, 1, 4)), draw(per_axis(ndim, 1, 2))
    stride = draw(per_axis(ndim, 1, 3)) if transposed else [1] * ndim
    groups = draw(st.sampled_from([1, 2]))
    out = groups * draw(st.integers(1, 2))
    attributes = {"dilations": dilation, "strides": stride, "group": groups}
    attributes |= draw(st.sampled_from([{}, {"kernel_shape": kernel}]))
    how = draw(st.sampled_from(["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if how == "NOTSET":
        attributes["pads"] = draw(per_axis(2 * ndim, 0, 2))
    else:
        attributes["auto_pad"] = how
    if transposed:
        attributes["output_padding"] = [draw(st.integers(0, s - 1)) for s in stride]
    shape = (2, out // groups, *kernel) if transposed else (out, 2 // groups, *kernel)
    seed = draw(st.integers(0, 999))
    weights = {"w": normal(seed, *shape)}
    if draw(st.booleans()):
        weights["b"] = normal(seed + 1, out)
    return attributes, weights, normal(seed + 2, 2, 2, *SIZES[ndim])


def convolved(kind, attributes, weights, x, **settings):
    arrays = {name: weight.numpy() for name, weight in weights.items()}
    return model([node(kind, ["x", *weights], "y", **attributes)], {"x": x.shape}, weights=arrays, **settings)


@given(drawn=windows(transposed=False))
def test_conv(drawn):
    attributes, weights, x = drawn
    reach = [d * (k - 1) for d, k in zip(attributes["dilations"], weights["w"].shape[2:], strict=True)]
    assume("SAME" not in attributes.get("auto_pad", "") or max(attributes["dilations"]) == 1)  # refused by it
    assume(all(n > r for n, r in zip(x.shape[2:], reach, strict=True)))
    assert_reads_what_runs(convolved("Conv", attributes, weights, x), x)


@given(drawn=windows(transposed=True))
def test_conv_transpose(drawn):
    attributes, weights, x = drawn
    reach = [d * (k - 1) for d, k in zip(attributes["dilations"], weights["w"].shape[2:], strict=True)]
    rest = [r + more for r, more in zip(reach, attributes["output_padding"], strict=True)]
    grown = [s * (n - 1) + 1 + r for s, n, r in zip(attributes["strides"], x.shape[2:], rest, strict=True)]
    pads, ndim = attributes.get("pads", [0] * 2 * len(rest)), len(rest)
    assume(all(n > left + right for n, left, right in zip(grown, pads[:ndim], pads[ndim:], strict=True)))
    # asks for more samples than there are, which is refused
    short = [r + 1 < s for r, s in zip(rest, attributes["strides"], strict=True)]
    assume("SAME" not in attributes.get("auto_pad", "") or not any(short))
    assert_reads_what_runs(convolved("ConvTranspose", attributes, weights, x), x)


@given(drawn=windows(transposed=True), data=st.data())
def test_conv_transpose_to_a_given_shape(drawn, data):
    attributes, weights, x = drawn
    attributes.pop("pads", None)
    assume(attributes.get("auto_pad") != "VALID")
    numbers = (attributes[name] for name in ("strides", "dilations", "output_padding"))
    grown = [
        s * (n - 1) + d * (k - 1) + 1 + more
        for n, k, s, d, more in zip(x.shape[2:], weights["w"].shape[2:], *numbers, strict=True)
    ]
    attributes["output_shape"] = [n - data.draw(st.integers(0, min(5, n - 1))) for n in grown]
    assert_reads_what_runs(convolved("ConvTranspose", attributes, weights, x), x)


@st.composite
def scales(draw, ndim, most):
    return draw(per_axis(ndim, 1, most).filter(lambda scale: max(scale) > 1))


def resized(scale, size, *, by_sizes=False, opset=18, **attributes):
    """A Resize of a map with 2 channels, by scales or by the sizes they make."""
    if by_sizes:
        weights = {"s": np.array([2, 2, *(s * n for s, n in zip(scale, size, strict=True))])}
        inputs = ["x", "", "", "s"]
    else:
        weights = {"s": np.array([1, 1, *scale], dtype=np.float32)}
        inputs = ["x", "roi", "s"]
        weights["roi"] = np.zeros(0, dtype=np.float32)
    return model(
        [node("Resize", inputs, "y", **attributes)], {"x": (2, 2, *size)}, weights=weights, opset=opset
    )


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("coordinates", COORDINATES)
@SOME
@given(data=st.data(), ndim=st.sampled_from([1, 2, 3]), by_sizes=st.booleans())
def test_nearest_resize(coordinates, rounding, data, ndim, by_sizes):
    # ONNX Runtime divides by the scale in float32, which is exact enough for these
    scale = data.draw(scales(ndim, 5))
    built = resized(
        scale,
        SIZES[ndim],
        by_sizes=by_sizes,
        opset=19,
        coordinate_transformation_mode=coordinates,
        nearest_mode=rounding,
    )
    assert_reads_what_runs(built, normal(1, 2, 2, *SIZES[ndim]))


@pytest.mark.parametrize("coordinates", COORDINATES)
@SOME
@given(data=st.data(), ndim=st.sampled_from([1, 2, 3]), by_sizes=st.booleans())
def test_linear_resize(coordinates, data, ndim, by_sizes):
    built = resized(
        data.draw(scales(ndim, 4)),
        SIZES[ndim],
        by_sizes=by_sizes,
        opset=19,
        mode="linear",
        coordinate_transformation_mode=coordinates,
    )
    assert_reads_what_runs(built, normal(1, 2, 2, *SIZES[ndim]))


@pytest.mark.parametrize("coordinates", COORDINATES)
@SOME
@given(data=st.data(), a=st.sampled_from([None, -0.5, -0.3]))
def test_cubic_resize(coordinates, data, a):
    chosen = {} if a is None else {"cubic_coeff_a": a}
    built = resized(
        data.draw(scales(2, 4)),
        SIZES[2],
        opset=19,
        mode="cubic",
        coordinate_transformation_mode=coordinates,
        **chosen,
    )
    assert_reads_what_runs(built, normal(1, 2, 2, *SIZES[2]))


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@given(data=st.data())
def test_antialias_does_nothing_to_maps_that_grow(mode, data):
    scale = data.draw(scales(2, 4))
    step = step_of(resized(scale, SIZES[2], mode=mode, antialias=1))
    assert isinstance(step, Resize)
    # away from the border, where ONNX Runtime renormalises antialiased kernels and the standard does not
    x = normal(1, 2, 2, 9, 11)
    rim = [slice(3 * s, -3 * s) for s in scale]
    expected = run(resized(scale, (9, 11), mode=mode, antialias=1), x=x)[:, :, *rim].contiguous()
    assert_same(upsample(x, affine_of(step, ndim=2, interior=True))[:, :, *rim].contiguous(), expected)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "floor"])
@given(data=st.data())
def test_half_pixel_positions_that_are_not_moved_back(rounding, data):
    built = resized(
        data.draw(scales(2, 4)),
        SIZES[2],
        opset=11,
        coordinate_transformation_mode="tf_half_pixel_for_nn",
        nearest_mode=rounding,
    )
    assert_reads_what_runs(built, normal(1, 2, 2, *SIZES[2]))


@given(data=st.data(), mode=st.sampled_from(["nearest", "linear"]), opset=st.sampled_from([7, 9, 10]))
def test_resizes_of_old(data, mode, opset):
    scale = [1.0, 1.0, *map(float, data.draw(scales(2, 4)))]
    kind = "Resize" if opset == 10 else "Upsample"
    if opset == 7:
        built = model([node(kind, ["x"], "y", mode=mode, scales=scale)], {"x": (2, 2, 5, 7)}, opset=7)
    else:
        weights = {"s": np.array(scale, dtype=np.float32)}
        built = model(
            [node(kind, ["x", "s"], "y", mode=mode)], {"x": (2, 2, 5, 7)}, weights=weights, opset=opset
        )
    assert_reads_what_runs(built, normal(1, 2, 2, 5, 7))


@given(block=st.integers(2, 3), out=st.integers(1, 3), mode=st.sampled_from([None, "DCR", "CRD"]))
def test_depth_to_space(block, out, mode):
    chosen = {} if mode is None else {"mode": mode}
    shape = (2, block * block * out, 5, 7)
    built = model([node("DepthToSpace", ["x"], "y", blocksize=block, **chosen)], {"x": shape})
    assert_reads_what_runs(built, normal(1, *shape))


def depth_to_space_spelled(block, out, mode, batch):
    middle = {"DCR": [batch, block, block, out, 5, 7], "CRD": [batch, out, block, block, 5, 7]}[mode]
    order = {"DCR": [0, 3, 4, 1, 5, 2], "CRD": [0, 1, 4, 2, 5, 3]}[mode]
    nodes = [
        node("Reshape", ["x", "a"], "u"),
        node("Transpose", ["u"], "v", perm=order),
        node("Reshape", ["v", "b"], "y"),
    ]
    weights = {"a": np.array(middle), "b": np.array([batch, out, 5 * block, 7 * block])}
    return model(nodes, {"x": (2, block * block * out, 5, 7)}, weights=weights)


@given(
    block=st.integers(2, 3),
    out=st.integers(1, 3),
    mode=st.sampled_from(["DCR", "CRD"]),
    batch=st.sampled_from([0, -1, 2]),
)
def test_depth_to_space_spelled_out(block, out, mode, batch):
    assert_reads_what_runs(
        depth_to_space_spelled(block, out, mode, batch), normal(1, 2, block * block * out, 5, 7)
    )


@given(seed=st.integers(0, 999), ndim=st.sampled_from([1, 2, 3]), epsilon=st.sampled_from([None, 0.1]))
def test_batch_normalization(seed, ndim, epsilon):
    weights = {name: normal(seed + i, 3).numpy() for i, name in enumerate(["g", "b", "m", "v"])}
    weights["v"] = weights["v"] ** 2 + 0.3
    chosen = {} if epsilon is None else {"epsilon": epsilon}
    shape = (2, 3, *SIZES[ndim])
    built = model([node("BatchNormalization", ["x", *weights], "y", **chosen)], {"x": shape}, weights=weights)
    assert_reads_what_runs(built, normal(seed, *shape))


@given(data=st.data(), ndim=st.sampled_from([1, 2, 3]), mode=st.sampled_from(["constant", "edge", "wrap"]))
def test_pad(data, ndim, mode):
    sides = st.tuples(*[st.integers(0 if mode == "wrap" else -1, 3)] * ndim)
    amounts = [0, 0, *data.draw(sides), 0, 0, *data.draw(sides)]
    shape = (2, 3, *SIZES[ndim])
    built = model(
        [node("Pad", ["x", "p"], "y", mode=mode)], {"x": shape}, weights={"p": np.array(amounts)}, opset=19
    )
    assert_reads_what_runs(built, normal(1, *shape))


def test_pad_of_named_axes():
    weights = {"p": np.array([1, 2, 0, 3]), "c": np.array(0.0, dtype=np.float32), "a": np.array([-1, 2])}
    built = model([node("Pad", ["x", "p", "c", "a"], "y")], {"x": (2, 3, 5, 7)}, weights=weights)
    assert step_of(built).sides == ((2, 3), (1, 0))
    assert_reads_what_runs(built, normal(1, 2, 3, 5, 7))


def test_resize_of_named_axes():
    weights = {"s": np.array([3, 2], dtype=np.float32)}
    built = model([node("Resize", ["x", "", "s"], "y", axes=[3, 2])], {"x": (2, 3, 5, 7)}, weights=weights)
    assert step_of(built).scale == (2.0, 3.0)
    assert_reads_what_runs(built, normal(1, 2, 3, 5, 7))


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1, 1), (3, 1, 1), (1, 3, 1, 1)])
@pytest.mark.parametrize("first", ["map", "constant"])
def test_arithmetic_with_a_constant(kind, shape, first):
    inputs = ["x", "c"] if first == "map" else ["c", "x"]
    built = model([node(kind, inputs, "y")], {"x": (2, 3, 5, 7)}, weights={"c": normal(5, *shape).numpy()})
    if (kind, first) == ("Div", "constant"):
        assert type(step_of(built)).__name__ == "Pointwise"
    else:
        assert isinstance(step_of(built), PerChannel)
        assert_reads_what_runs(built, normal(1, 2, 3, 5, 7))


def test_negation():
    assert_reads_what_runs(model([node("Neg", ["x"], "y")], {"x": (2, 3, 5, 7)}), normal(1, 2, 3, 5, 7))


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_double_weights_stay_double(kind):
    w, x = normal(1, 2, 2, 3, 4, dtype=torch.float64), normal(2, 1, 2, 5, 7, dtype=torch.float64)
    built = convolved(kind, {}, {"w": w}, x, dtype=11)
    assert step_of(built).weight.dtype == torch.float64
    assert_reads_what_runs(built, x, run_reference)
