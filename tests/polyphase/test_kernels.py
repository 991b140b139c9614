"""Fixed kernels are what the world's resizes compute, at every scale and on every number of axes."""

import math
import re
from fractions import Fraction

import numpy as np
import onnx
import pytest
import scipy.interpolate
import scipy.signal
import torch
from onnx.reference import ReferenceEvaluator

from tolerance import assert_same
from upstroke import upsample
from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase import (
    box,
    bspline,
    cubic,
    identity,
    interpolation,
    kaiser_sinc,
    kernel_form,
    linear,
    nearest,
    pad,
    shuffle,
    triangle,
)

SCALES = [(2,), (3,), (4,), (2, 3), (4, 2), (1, 5), (2, 3, 2), (3, 1, 2)]
HALF = Fraction(1, 2)
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def a_map(ndim):
    return torch.randn(2, 3, *(5, 7, 4)[:ndim], dtype=torch.float64)


@pytest.mark.parametrize("scale", SCALES)
def test_nearest_and_linear_are_pytorchs(scale):
    ndim = len(scale)
    x = a_map(ndim)
    resize = torch.nn.functional.interpolate
    assert_same(upsample(x, nearest(scale, ndim=ndim)), resize(x, scale_factor=scale, mode="nearest"))
    assert_same(upsample(x, nearest(scale, ndim=ndim)), resize(x, scale_factor=scale, mode="nearest-exact"))
    assert_same(upsample(x, linear(scale, ndim=ndim)), resize(x, scale_factor=scale, mode=MODES[ndim]))


@pytest.mark.parametrize("scale", [(2, 3), (4, 2), (5, 1), (3, 3)])
def test_cubic_is_pytorchs(scale):
    x = a_map(2)
    resize = torch.nn.functional.interpolate
    assert_same(upsample(x, cubic(scale)), resize(x, scale_factor=scale, mode="bicubic"))
    smooth = resize(x, scale_factor=scale, mode="bicubic", antialias=True)
    # the antialiased one renormalises at its border: equal two cells inside
    away = tuple(slice(2 * s, -2 * s) for s in scale)
    assert_same(upsample(x, cubic(scale, a=-0.5))[:, :, *away], smooth[:, :, *away])


def onnx_resize(x, scale, **attributes):
    """ONNX's own reference evaluator."""
    node = onnx.helper.make_node("Resize", ["x", "", "scales"], ["y"], **attributes)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "resize",
        [value("x", onnx.TensorProto.DOUBLE, x.shape)],
        [value("y", onnx.TensorProto.DOUBLE, None)],
        [onnx.helper.make_tensor("scales", onnx.TensorProto.FLOAT, [x.ndim], [1.0, 1.0, *scale])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)])
    (y,) = ReferenceEvaluator(model).run(None, {"x": x.numpy()})
    return torch.from_numpy(np.asarray(y, dtype=np.float64))


@pytest.mark.parametrize("scale", [(2,), (3,), (4,), (2, 3)])
@pytest.mark.parametrize("centre", ["cell", "sample"])
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest_in_every_onnx_mode(scale, centre, rounding):
    x = a_map(len(scale))[:1, :1]
    names = {"cell": "half_pixel", "sample": "asymmetric"}
    expected = onnx_resize(
        x,
        scale,
        mode="nearest",
        coordinate_transformation_mode=names[centre],
        nearest_mode=rounding,
    )
    operator = nearest(scale, ndim=len(scale), centre=centre, rounding=rounding)
    assert_same(upsample(x, operator), expected)


@pytest.mark.parametrize("scale", [(2,), (4,), (2, 4)])
@pytest.mark.parametrize("centre", ["cell", "sample"])
def test_linear_and_cubic_in_onnx(scale, centre):
    x = a_map(len(scale))[:1, :1]
    name = {"cell": "half_pixel", "sample": "asymmetric"}[centre]
    expected = onnx_resize(x, scale, mode="linear", coordinate_transformation_mode=name)
    assert_same(upsample(x, linear(scale, ndim=len(scale), centre=centre)), expected)
    for a in (-0.5, -0.75):
        expected = onnx_resize(x, scale, mode="cubic", coordinate_transformation_mode=name, cubic_coeff_a=a)
        operator = cubic(scale, ndim=len(scale), a=a, centre=centre)
        # the evaluator takes a as float32
        assert (upsample(x, operator) - expected).abs().max() < 1e-6


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("centre", ["cell", "sample"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bspline_is_scipys(degree, centre, scale):
    spline = scipy.interpolate.BSpline.basis_element(
        np.arange(degree + 2) - (degree + 1) / 2, extrapolate=False
    )
    operator = bspline(scale, ndim=1, degree=degree, centre=centre)
    for p in range(scale):
        at = p / scale if centre == "sample" else (p + 0.5) / scale - 0.5
        cells = np.arange(operator.kernel[0]) - operator.origin[0]
        expected = np.nan_to_num(spline(at - cells))
        assert_same(operator.taps[p, 0, 0], torch.from_numpy(expected))
    assert torch.allclose(operator.taps.sum(dim=-1), torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize("scale", [2, 3])
def test_kaiser_sinc_is_scipys_window_design(scale):
    radius, attenuation = 4, 70.0
    operator = kaiser_sinc(scale, ndim=1, radius=radius, attenuation=attenuation, centre="sample")
    length = 2 * radius * scale + 1
    window = scipy.signal.windows.kaiser(length, scipy.signal.kaiser_beta(attenuation))
    at = (np.arange(length) - radius * scale) / scale
    expected = np.sinc(at) * window
    form = kernel_form(operator)
    first = radius * scale + form.crop[0]
    ours = np.zeros(length)
    for i, value in enumerate(form.kernel[0, 0].numpy()):
        place = i - form.crop[0] + radius * scale
        if 0 <= place < length:
            ours[place] = value
    assert first >= 0
    for p in range(scale):
        row = expected[p::scale]
        assert np.allclose(ours[p::scale], row / row[: 2 * radius + (p == 0)].sum(), atol=1e-4)
    # where both are exact: the ratio of any two taps of one phase
    row, want = ours[scale // 2 :: scale], expected[scale // 2 :: scale]
    big = np.abs(want) > 1e-2
    assert np.ptp(row[big] / want[big]) < 1e-9


@pytest.mark.parametrize(
    ("attenuation", "beta"),
    [(15.0, 0.0), (30.0, scipy.signal.kaiser_beta(30.0)), (80.0, scipy.signal.kaiser_beta(80.0))],
)
def test_kaisers_beta(attenuation, beta):
    operator = kaiser_sinc(2, ndim=1, radius=2, attenuation=attenuation, centre="sample")
    t = 1.5
    expected = np.sinc(t) * np.i0(beta * math.sqrt(1 - (t / 2) ** 2)) / np.sinc(0.5)
    expected /= np.i0(beta * math.sqrt(1 - (0.5 / 2) ** 2))
    taps = operator.taps[1].flatten()
    ratio = (taps[taps.abs() > 0].min() / taps.max()).item()
    assert ratio == pytest.approx(expected, rel=1e-12)


def test_a_lower_cutoff_widens_the_kernel():
    wide = kaiser_sinc(2, ndim=1, cutoff=0.5).taps.max()
    assert wide < kaiser_sinc(2, ndim=1).taps.max()


@pytest.mark.parametrize("scale", [2, 3, 4, 5])
def test_lengths_of_the_triangle(scale):
    # half-pixel: 2s for even s, 2s - 1 for odd s; on the cells: 2s - 1
    def length(operator):
        return int(kernel_form(operator).support.sum())

    assert length(linear(scale, ndim=1)) == 2 * scale - scale % 2
    assert length(triangle(scale, ndim=1)) == 2 * scale - 1
    assert length(box(scale, ndim=1)) == scale
    assert length(box(scale, ndim=1, length=scale + 2)) == scale + 2


def test_box_and_triangle_are_transposed_convolutions():
    from upstroke.polyphase import transposed

    half = torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64)
    weight = torch.outer(half, half)[None, None]
    learned = transposed(weight, stride=2, padding=1, output_padding=1)
    assert triangle(2).isclose(learned)
    assert box((2, 4), length=(2, 6)).isclose(
        transposed(torch.full((1, 1, 2, 6), 4 / 6).double(), stride=(2, 4), padding=(0, 1))
    )
    assert box(2).isclose(nearest(2))


def test_identity_pad_and_shuffle():
    x = a_map(2)
    assert torch.equal(upsample(x, identity()), x)
    for border, mode in (("zero", "constant"), ("clamp", "replicate"), ("circular", "circular")):
        expected = torch.nn.functional.pad(x, (3, 1, 2, 4), mode=mode)
        assert torch.equal(upsample(x, pad((2, 3), (4, 1), border=border)), expected)
    assert torch.equal(upsample(x, pad((-1, 1), (0, -2)))[:, :, :, 1:], x[:, :, 1:, :-2])
    x = torch.randn(2, 8, 3, 4)
    assert torch.equal(upsample(x, shuffle(2)), torch.nn.functional.pixel_shuffle(x, 2))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: nearest(0), OptionError, "scale must be at least 1 on every axis; got 0x0"),
        (
            lambda: nearest((2, 3, 4)),
            ShapeError,
            "scale must be one number, or one for each of 2 axes; got 2x3x4",
        ),
        (
            lambda: nearest(2, ndim=4),
            OptionError,
            "upsampling is defined here for 1, 2 or 3 axes; got ndim=4",
        ),
        (lambda: nearest(2.5), OptionError, "scale must be made of whole numbers; got 2.5x2.5"),
        (
            lambda: nearest(2, rounding="up"),
            OptionError,
            "rounding must be one of round_prefer_floor, round_prefer_ceil, floor, ceil; got 'up'",
        ),
        (
            lambda: linear(2, centre="corner"),
            OptionError,
            "centre must be 'cell' (half-pixel) or 'sample' (asymmetric); got 'corner'",
        ),
        (lambda: bspline(2, degree=0), OptionError, "degree must be at least 1 (degree 0 is nearest); got 0"),
        (
            lambda: box(2, length=3),
            OptionError,
            (
                "length - scale must be even on every axis, or the box sits half a sample off the cell; "
                "got length=(3, 3), scale=(2, 2)"
            ),
        ),
        (
            lambda: kaiser_sinc(2, cutoff=1.5),
            OptionError,
            (
                "radius must be at least 1, cutoff in (0, 1] and attenuation above 0 dB; "
                "got radius=3, cutoff=1.5, attenuation=60.0"
            ),
        ),
    ],
)
@pytest.mark.usefixtures("_unchecked")
def test_what_makes_no_kernel_is_said(make, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize("scale", [(2,), (3,), (2, 3), (4, 1, 2)])
@pytest.mark.parametrize("offset", [(0, 0, 0), ("1/4", "-1/2", "3/4"), ("-5/6", "1/3", "1")])
def test_linear_at_any_offset_is_numpys(scale, offset):
    ndim = len(scale)
    x, offsets = a_map(ndim), [Fraction(each) for each in offset[:ndim]]
    expected = x.numpy()
    for axis, (s, o) in enumerate(zip(scale, offsets, strict=True)):
        n = expected.shape[2 + axis]
        places = np.arange(s * n) / s + float(o)
        expected = np.apply_along_axis(
            lambda line, p=places, n=n: np.interp(p, np.arange(n), line), 2 + axis, expected
        )
    found = upsample(x, interpolation(scale, offset=offsets, ndim=ndim))
    assert_same(found, torch.from_numpy(expected))


@pytest.mark.parametrize("scale", [(2, 3), (4, 5)])
def test_interpolation_at_the_usual_offsets_is_the_usual_kernel(scale):
    cell = [Fraction(1 - s, 2 * s) for s in scale]
    assert interpolation(scale, offset=cell, mode="nearest").isclose(nearest(scale))
    for mode, make in (("linear", linear), ("cubic", cubic)):
        assert interpolation(scale, offset=cell, mode=mode).isclose(make(scale, centre="cell"))
        assert interpolation(scale, offset=0, mode=mode).isclose(make(scale, centre="sample"))
    # every axis has a kernel of its own
    both = upsample(a_map(2), interpolation(scale, offset=(0, cell[1]), mode=("cubic", "nearest")))
    one = upsample(a_map(2)[:0], nearest(scale))
    assert both.shape[2:] == one.shape[2:]


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_a_whole_sample_more_is_a_shift(mode):
    x, start = a_map(1), Fraction(-1, 4)
    here, on = (upsample(x, interpolation(2, offset=o, mode=mode, ndim=1)) for o in (start, start + HALF))
    assert_same(on[..., 2:-4], here[..., 3:-3])
    if mode != "cubic":
        assert_same(
            upsample(torch.ones(1, 1, 4), interpolation(2, offset=start, ndim=1)), torch.ones(1, 1, 8)
        )


def test_a_nearest_kernel_that_would_need_a_tie_is_refused():
    message = (
        "a cell copied 2 times has its middle on the cell only where scale * offset + (scale - 1) / 2 is "
        "whole; got scale 2 and offset 0, so use mode='linear'"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        interpolation(2, offset=0, mode="nearest")
    message = (
        "mode must be one of nearest, linear, cubic, or one of these for each of 2 axes; got ('linear',)"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        interpolation(2, offset=0, mode=("linear",))
