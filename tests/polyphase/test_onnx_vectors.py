"""The operators against the node test vectors that the onnx package ships."""

import functools
import math
import warnings

import numpy as np
import onnx
import torch
from onnx.backend.test.loader import load_model_tests

from upstroke import upsample
from upstroke.polyphase import TransposedForm, cubic, from_transposed, linear, nearest, shuffle


@functools.cache
def all_vectors():
    with warnings.catch_warnings():
        # onnx divides by zero while it makes the vectors of other nodes
        warnings.simplefilter("ignore")
        return load_model_tests(kind="node")


def vectors(kind):
    cases = [case for case in all_vectors() if [node.op_type for node in case.model.graph.node] == [kind]]
    assert cases
    return cases


def parts(case):
    (node,) = case.model.graph.node
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    (data,) = case.data_sets
    inputs = dict(zip(node.input, [None] * len(node.input), strict=True))
    for name, value in zip([i.name for i in case.model.graph.input], data[0], strict=True):
        inputs[name] = value
    return attributes, [inputs[name] for name in node.input], data[1][0]


def as_tensor(array):
    return torch.from_numpy(np.asarray(array, dtype=np.float64))


def conv_transpose(attributes, x, weight):
    """ONNX's attributes as a transposed form: its pads may differ on either side."""
    ndim, kernel = x.ndim - 2, weight.shape[2:]
    stride = tuple(attributes.get("strides", [1] * ndim))
    dilation = tuple(attributes.get("dilations", [1] * ndim))
    extra = attributes.get("output_padding", [0] * ndim)
    pads = attributes.get("pads", [0] * 2 * ndim)
    begin, end = list(pads[:ndim]), list(pads[ndim:])
    wanted = attributes.get("output_shape")
    if attributes.get("auto_pad") == b"SAME_UPPER":
        wanted = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
    for axis in range(ndim if wanted else 0):
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        total = stride[axis] * (x.shape[2 + axis] - 1) + extra[axis] + reach - wanted[axis]
        smaller, larger = total // 2, total - total // 2
        upper = attributes.get("auto_pad") == b"SAME_UPPER"
        begin[axis], end[axis] = (smaller, larger) if upper else (larger, smaller)
    return from_transposed(
        TransposedForm(
            weight=weight,
            stride=stride,
            dilation=dilation,
            pad=((0, 0),) * ndim,
            crop=tuple((b, e - more) for b, e, more in zip(begin, end, extra, strict=True)),
            border=("zero",) * ndim,
            groups=attributes.get("group", 1),
            shared=False,
        )
    )


def test_conv_transpose():
    for case in vectors("ConvTranspose"):
        attributes, (x, weight), expected = parts(case)
        operator = conv_transpose(attributes, x, as_tensor(weight))
        for impl in ("reference", "transposed", "shuffle", "phases"):
            y = upsample(as_tensor(x), operator, impl=impl)
            assert y.shape == expected.shape, case.name
            assert torch.allclose(y, as_tensor(expected), rtol=1e-5, atol=1e-5), case.name


def test_depth_to_space():
    for case in vectors("DepthToSpace"):
        attributes, (x,), expected = parts(case)
        x, scale = as_tensor(x), attributes["blocksize"]
        if attributes.get("mode", b"DCR") == b"DCR":
            # its channels are phase-major; a pixel shuffle's are channel-major
            x = x.unflatten(1, (scale**2, -1)).transpose(1, 2).flatten(1, 2)
        assert torch.equal(upsample(x, shuffle(scale)), as_tensor(expected)), case.name


def whole_scale(x, y):
    ratios = [b / a for a, b in zip(x.shape[2:], y.shape[2:], strict=True)]
    return tuple(int(r) for r in ratios) if all(r == int(r) for r in ratios) else None


def resize_operator(attributes, scale):
    centre = {"half_pixel": "cell", "half_pixel_symmetric": "cell", "asymmetric": "sample"}[
        attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    ]
    mode = attributes.get("mode", b"nearest")
    if mode == b"nearest":
        rounding = attributes.get("nearest_mode", b"round_prefer_floor").decode()
        return nearest(scale, ndim=len(scale), centre=centre, rounding=rounding)
    if mode == b"linear":
        return linear(scale, ndim=len(scale), centre=centre)
    return cubic(scale, ndim=len(scale), a=attributes.get("cubic_coeff_a", -0.75), centre=centre)


def test_resize_and_upsample():
    tried = 0
    for case in vectors("Resize") + vectors("Upsample"):
        attributes, inputs, expected = parts(case)
        scale = whole_scale(inputs[0], expected) if np.ndim(inputs[0]) == expected.ndim else None
        fixed = attributes.get("coordinate_transformation_mode", b"") not in (
            b"align_corners",
            b"tf_crop_and_resize",
        )
        plain = not attributes.get("exclude_outside") and not attributes.get("antialias")
        if scale is None or math.prod(scale) == 1 or not fixed or not plain:
            continue
        y = upsample(as_tensor(inputs[0]), resize_operator(attributes, scale))
        assert torch.allclose(y, as_tensor(expected), rtol=1e-5, atol=1e-5), case.name
        tried += 1
    assert tried >= 8
