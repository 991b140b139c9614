"""Hold the grid algebra against coordinate ramps pushed through PyTorch, and against ONNX's own Resize."""

import re
from fractions import Fraction
from itertools import pairwise
from math import floor

import numpy as np
import onnx.helper
import onnx.reference
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from upstroke.errors import OptionError, ShapeError
from upstroke.grid import Grid, drift

CONV = (F.conv1d, F.conv2d, F.conv3d)
POOL = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
LINEAR = ("linear", "bilinear", "trilinear")
ROUND = {
    "floor": floor,
    "ceil": lambda x: -floor(-x),
    "round_prefer_ceil": lambda x: floor(x + Fraction(1, 2)),
    "round_prefer_floor": lambda x: -floor(-x + Fraction(1, 2)),
}

ndims = st.integers(1, 2)
fractions = st.fractions(-3, 3, max_denominator=8)


def per_axis(low, high):
    """Draw one number for every axis: each axis draws its own."""
    return ndims.flatmap(lambda ndim: axes(ndim, low, high))


def axes(ndim, low, high):
    return st.tuples(*[st.integers(low, high)] * ndim)


@st.composite
def windows(draw):
    ndim = draw(ndims)
    return {
        "kernel": draw(axes(ndim, 1, 5)),
        "stride": draw(axes(ndim, 1, 4)),
        "padding": draw(axes(ndim, 0, 3)),
        "dilation": draw(axes(ndim, 1, 3)),
    }


@st.composite
def grids(draw, ndim=None):
    """Draw offset and spacing; type checks use `random`, so the Grid is built outside the strategy."""
    ndim = draw(ndims) if ndim is None else ndim
    spacing = st.fractions(Fraction(1, 8), 8, max_denominator=8)
    return draw(st.tuples(*[fractions] * ndim)), draw(st.tuples(*[spacing] * ndim))


def ramps(sizes):
    """Give a batch of one ramp per axis, and a last map of ones: shape (axes + 1, 1, *sizes)."""
    coordinates = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in sizes], indexing="ij")
    return torch.stack([*coordinates, torch.ones(*sizes, dtype=torch.float64)])[:, None]


def misplacement(outputs, grid):
    """Give, per axis, weight * (footprint's centre - position the grid gives), and the weight."""
    *values, weights = outputs[:, 0]
    sums = []
    for axis, value in enumerate(values):
        index = torch.arange(value.shape[axis], dtype=torch.float64)
        said = float(grid.offset[axis]) + float(grid.spacing[axis]) * index
        shape = [-1 if other == axis else 1 for other in range(value.dim())]
        sums.append((value - weights * said.reshape(shape), weights))
    return sums


def interior(outputs, start, length):
    for axis, (first, n) in enumerate(zip(start, length, strict=True)):
        outputs = outputs.narrow(axis, first, n)
    return outputs


@given(windows())
def test_convolution_reads_around_the_position(window):
    ndim = len(window["kernel"])
    sizes = (31, 37)[:ndim]
    weight = torch.ones(1, 1, *window["kernel"], dtype=torch.float64)
    out = CONV[ndim - 1](
        ramps(sizes), weight, stride=window["stride"], padding=window["padding"], dilation=window["dilation"]
    )
    taps = weight.sum()
    reads_no_padding = out[-1, 0] == taps
    assert reads_no_padding.any()
    for error, _ in misplacement(out / taps, Grid.of_input(ndim).conv(**window)):
        assert error[reads_no_padding].abs().max() < 1e-11


@given(windows())
def test_transposed_convolution_writes_around_the_position(window):
    """Over a whole period of phases, the footprint's centre, weighted by taps, is the position."""
    ndim = len(window["kernel"])
    sizes = (17, 19)[:ndim]
    weight = torch.ones(1, 1, *window["kernel"], dtype=torch.float64)
    out = TRANSPOSED[ndim - 1](
        ramps(sizes), weight, stride=window["stride"], padding=window["padding"], dilation=window["dilation"]
    )
    reach = [d * (k - 1) for k, d in zip(window["kernel"], window["dilation"], strict=True)]
    for error, weights in misplacement(out, Grid.of_input(ndim).transposed(**window)):
        inner_error = interior(error, reach, window["stride"])
        inner_weight = interior(weights, reach, window["stride"])
        assert inner_weight.sum() == weight.sum()
        assert abs(inner_error.sum() / inner_weight.sum()) < 1e-11


@given(per_axis(1, 5))
def test_nearest_resize_and_shuffle_centre_the_run_on_the_cell(scale):
    sizes = (5, 7)[: len(scale)]
    out = F.interpolate(ramps(sizes), scale_factor=tuple(map(float, scale)), mode="nearest")
    for error, _ in misplacement(out, Grid.of_input(len(scale)).resize(scale)):
        start = [s * 2 for s in scale]
        assert abs(interior(error, start, scale).mean()) < 1e-12


@given(ndims.flatmap(lambda n: st.tuples(*[st.fractions(Fraction(1, 3), 4, max_denominator=4)] * n)))
def test_half_pixel_linear_resize_sits_at_the_position(scale):
    sizes = (24, 36)[: len(scale)]
    out = F.interpolate(
        ramps(sizes), scale_factor=tuple(map(float, scale)), mode=LINEAR[len(scale) - 1], align_corners=False
    )
    grid = Grid.of_input(len(scale)).resize(scale)
    for axis, (error, _) in enumerate(misplacement(out, grid)):
        n = error.shape[axis]
        inner = error.narrow(axis, n // 3, n // 3)
        assert inner.abs().max() < 1e-6


@given(per_axis(1, 4))
def test_unshuffle_sits_at_the_middle_of_the_block(scale):
    ndim = len(scale)
    sizes = tuple(s * n for s, n in zip(scale, (5, 7), strict=False))
    out = POOL[ndim - 1](ramps(sizes), scale)
    for error, _ in misplacement(out, Grid.of_input(ndim).unshuffle(scale)):
        assert error.abs().max() < 1e-12


def test_pixel_unshuffle_of_pytorch_averages_to_the_position():
    out = F.pixel_unshuffle(ramps((6, 9)), 3).mean(1, keepdim=True)
    for error, _ in misplacement(out, Grid.of_input(2).unshuffle(3)):
        assert error.abs().max() < 1e-12


@given(st.tuples(st.integers(2, 9), st.integers(2, 9)), st.tuples(st.integers(2, 19), st.integers(2, 19)))
def test_align_corners_sits_at_the_position(size_in, size_out):
    out = F.interpolate(ramps(size_in), size=size_out, mode="bilinear", align_corners=True)
    grid = Grid.of_input(2).align_corners(size_in, size_out)
    assert grid.size_dependent
    for error, _ in misplacement(out, grid):
        assert error.abs().max() < 1e-11


@st.composite
def chains(draw):
    """Draw layers of which every output sample is a mean around its position, with unequal axes."""
    kinds = st.sampled_from(["conv", "pool", "linear", "crop", "pad"])
    return draw(
        st.lists(st.tuples(kinds, axes(2, 1, 3), axes(2, 1, 3), axes(2, 0, 2)), min_size=1, max_size=4)
    )


@given(chains())
def test_a_chain_of_layers_sits_at_the_position(chain):
    x, known, grid = ramps((64, 72)), torch.ones(1, 1, 64, 72, dtype=torch.float64), Grid.of_input(2)
    x = torch.cat([x, known])
    for kind, a, b, c in chain:
        if min(x.shape[2:]) < 24:
            break  # little would be left that no edge has touched
        if kind == "conv":
            weight = torch.ones(1, 1, *a, dtype=torch.float64) / (a[0] * a[1])
            x = F.conv2d(x, weight, stride=b, padding=c)
            grid = grid.conv(a, stride=b, padding=c)
        elif kind == "pool":
            x, grid = F.avg_pool2d(x, a, b), grid.conv(a, stride=b)
        elif kind == "linear":
            # Clamping at the edge bends the ramp there, so the edge is marked as not known.
            x[-1, 0, [0, -1]] = 0
            x[-1, 0, :, [0, -1]] = 0
            x = F.interpolate(x, scale_factor=tuple(map(float, a)), mode="bilinear")
            grid = grid.resize(a)
        elif kind == "crop":
            x, grid = x[..., c[0] :, c[1] :], grid.crop(c)
        else:
            x, grid = F.pad(x, (c[1], 0, c[0], 0)), grid.pad(c)
    exact = (x[-1, 0] - 1).abs() < 1e-9
    for error, _ in misplacement(x[:-1], grid):
        assert exact.any()
        assert error[exact].abs().max() < 1e-8


@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "half_pixel_symmetric"])
@given(
    scale=st.fractions(Fraction(1, 4), 5, max_denominator=6).filter(lambda s: s > 0),
    rounding=st.sampled_from(sorted(ROUND)),
    grid=grids(ndim=1),
)
def test_onnx_nearest_is_the_mean_over_phases(coordinates, scale, rounding, grid):
    size = 60  # a multiple of every denominator drawn, so that half_pixel_symmetric has nothing to cut off
    grid = Grid(*grid)
    moved = grid.resize_onnx(scale, coordinates=coordinates, rounding=rounding, size=size)
    centre = Fraction(0) if coordinates == "asymmetric" else Fraction(1, 2)
    phases = range(7 * scale.numerator, 8 * scale.numerator)
    read = [ROUND[rounding]((n + centre) / scale - centre) for n in phases]
    actual = sum(grid.position(m)[0] for m in read) / len(read)
    said = sum(moved.position(n)[0] for n in phases) / len(read)
    assert said == actual


# align_corners with nearest has no whole run per cell, so no block of phases to average over.
ONNX_CASES = [
    (coordinates, mode)
    for coordinates in (
        "half_pixel",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
        "asymmetric",
        "align_corners",
    )
    for mode in ("nearest", "linear")
    if (coordinates, mode) != ("align_corners", "nearest")
]


@pytest.mark.parametrize(("coordinates", "mode"), ONNX_CASES)
@pytest.mark.parametrize("scale", [(2, 4), (4, 1), (3, 2)])
@pytest.mark.parametrize("rounding", sorted(ROUND))
def test_onnx_resize_against_the_reference_evaluator(coordinates, rounding, scale, mode):
    sizes = (9, 7)
    out = torch.stack([onnx_resize(each[0], scale, coordinates, rounding, mode) for each in ramps(sizes)])
    grid = Grid.of_input(2).resize_onnx(
        scale, coordinates=coordinates, rounding=rounding, mode=mode, size=sizes
    )
    for error, _ in misplacement(out[:, None], grid):
        inner = interior(error, [3 * s for s in scale], scale)
        assert abs(inner.mean()) < 1e-6
        if mode == "linear":
            assert inner.abs().max() < 1e-6


def onnx_resize(x, scale, coordinates, rounding, mode):
    node = onnx.helper.make_node(
        "Resize",
        ["x", "", "scales"],
        ["y"],
        coordinate_transformation_mode=coordinates,
        nearest_mode=rounding,
        mode=mode,
    )
    evaluator = onnx.reference.ReferenceEvaluator(node)
    (y,) = evaluator.run(None, {"x": x.numpy(), "scales": np.array(scale, dtype=np.float32)})
    return torch.from_numpy(y)


def test_onnx_half_pixel_floor_moves_by_half_a_pixel():
    nominal = Grid.of_input(1).resize(2)
    floored = Grid.of_input(1).resize_onnx(2, coordinates="half_pixel", rounding="floor")
    assert drift(floored, nominal) == (Fraction(-1, 2),)
    assert Grid.of_input(1).resize_onnx(2, coordinates="asymmetric", rounding="floor") == nominal


def test_onnx_half_pixel_symmetric_moves_by_half_of_what_is_cut():
    """Five samples by 5/2 make 12.5, of which 12 are kept: their middle stays the input's middle."""
    grid = Grid.of_input(1).resize_onnx(
        Fraction(5, 2), coordinates="half_pixel_symmetric", mode="linear", size=5
    )
    assert sum(grid.position(n)[0] for n in (0, 11)) / 2 == 2
    assert grid.size_dependent


def test_onnx_pytorch_half_pixel_reads_cell_0_for_a_single_sample():
    shrink = {"coordinates": "pytorch_half_pixel", "mode": "linear"}
    assert Grid.of_input(1).resize_onnx(Fraction(1, 4), size=4, **shrink).offset == (0,)
    assert Grid.of_input(1).resize_onnx(Fraction(1, 4), size=8, **shrink).offset == (Fraction(3, 2),)


def test_onnx_align_corners_is_align_corners():
    onnx_grid = Grid.of_input(2).resize_onnx((2, 3), coordinates="align_corners", mode="linear", size=(5, 7))
    assert onnx_grid == Grid.of_input(2).align_corners((5, 7), (10, 21))


def test_size_dependence_stays():
    grid = Grid.of_input(1).align_corners(5, 9)
    assert grid.conv(3).resize(2).crop(1).shift(1).resize_onnx(2).size_dependent


@given(st.data())
def test_a_transposed_convolution_undoes_the_convolution_it_is_adjoint_to(data):
    window = data.draw(windows())
    grid = Grid(*data.draw(grids(ndim=len(window["kernel"]))))
    assert grid.conv(**window).transposed(**window) == grid


@given(st.data())
def test_inverses_and_compositions(data):
    grid = Grid(*data.draw(grids()))
    a, b = data.draw(axes(grid.ndim, 1, 5)), data.draw(axes(grid.ndim, 1, 5))
    both = tuple(x * y for x, y in zip(a, b, strict=True))
    assert grid.resize(a).resize(b) == grid.resize(both)
    assert grid.resize(a).unshuffle(a) == grid
    assert grid.crop(a).pad(a) == grid
    assert grid.crop(a).position(0) == grid.position(a)
    # A transposed convolution with K = s is a nearest resize with learned colours.
    assert grid.transposed(a, stride=a) == grid.resize(a)
    assert drift(grid.shift(a), grid) == a
    assert grid.conv(1, stride=a) == grid.conv(3, stride=a, padding=1)


@given(grids())
def test_registered_means_equal_positions(grid):
    grid = Grid(*grid)
    assert grid.is_registered_to(grid)
    assert not grid.shift(Fraction(1, 16)).is_registered_to(grid)
    assert not grid.unshuffle(2).is_registered_to(grid)
    last = tuple(Fraction(axis == grid.ndim - 1) for axis in range(grid.ndim))
    assert not grid.shift(last).is_registered_to(grid)


def stage(grid):
    """Give the grid behind a strided stage of a ResNet: 3x3 stride 2, then 3x3; its 1x1 shortcut agrees."""
    main = grid.conv(3, stride=2, padding=1).conv(3, padding=1)
    assert main == grid.conv(1, stride=2)
    return main


def test_drift_of_a_resnet_encoder_under_a_nearest_decoder():
    half = Grid.of_input(2).conv(7, stride=2, padding=3)
    quarter = half.conv(3, stride=2, padding=1)
    eighth = stage(quarter)
    sixteenth = stage(eighth)
    decoder = stage(sixteenth)
    drifts = []
    for skip in (sixteenth, eighth, quarter, half, Grid.of_input(2)):
        decoder = decoder.resize(2)
        drifts.append(drift(decoder, skip))
        decoder = decoder.conv(3, padding=1)
    assert drifts == [(d, d) for d in (-8, -12, -14, -15, Fraction(-31, 2))]


def test_the_same_drift_is_measured_by_a_ramp():
    """Means replace trained kernels and max pools; a ramp goes in; each join shows its difference."""

    def mean(x, kernel, stride, padding):
        weight = torch.ones(1, 1, kernel, dtype=torch.float64) / kernel
        return F.conv1d(x, weight, stride=stride, padding=padding)

    x = torch.arange(2048, dtype=torch.float64)[None, None]
    encoder = [x, mean(x, 7, 2, 3)]
    for _ in range(4):
        encoder.append(mean(encoder[-1], 3, 2, 1))
    decoder = encoder[-1]
    measured = []
    for skip in encoder[-2::-1]:
        decoder = F.interpolate(decoder, scale_factor=2, mode="nearest")
        # Over 32 / spacing samples all phases of all resizes so far have been met once.
        middle = slice(skip.shape[-1] // 2, skip.shape[-1] // 2 + 2048 // 64 * skip.shape[-1] // 1024)
        measured.append(float((decoder - skip)[..., middle].mean()))
    assert measured == pytest.approx([-8, -12, -14, -15, -15.5], abs=1e-9)


def test_a_registered_decoder_for_the_same_encoder():
    encoder = [Grid.of_input(1)]
    for _ in range(3):
        encoder.append(encoder[-1].conv(3, stride=2, padding=1))
    for shallow, deep in pairwise(encoder):
        assert deep.transposed(3, stride=2, padding=1).is_registered_to(shallow)
        assert not deep.resize(2).is_registered_to(shallow)
        assert deep.transposed(4, stride=2, padding=1) == deep.resize(2)


def test_json_has_numbers_and_exact_fractions():
    grid = Grid.of_input(2).resize((3, 2))
    assert grid.as_json() == {
        "offset": [-1 / 3, -0.25],
        "spacing": [1 / 3, 0.5],
        "exact": {"offset": ["-1/3", "-1/4"], "spacing": ["1/3", "1/2"]},
        "size_dependent": False,
    }
    assert repr(grid) == "Grid(offset=(-1/3, -1/4), spacing=(1/3, 1/2))"


REFUSED = {
    "grids of different spacing": (
        lambda g: drift(g, g.resize((2, 3))),
        ShapeError,
        (
            "drift is defined between grids of one spacing on the same axes; "
            "got spacings (1, 1) and (1/2, 1/3); resize one of them first"
        ),
    ),
    "different axes": (
        lambda g: drift(g, Grid.of_input(1)),
        ShapeError,
        (
            "drift is defined between grids of one spacing on the same axes; "
            "got spacings (1, 1) and (1); resize one of them first"
        ),
    ),
    "kernel 0": (
        lambda g: g.conv((3, 0)),
        OptionError,
        "kernel must be at least 1 on every axis; got 3x0",
    ),
    "stride 0": (
        lambda g: g.transposed(3, stride=0),
        OptionError,
        "stride must be at least 1 on every axis; got 0x0",
    ),
    "dilation 0": (
        lambda g: g.conv(3, dilation=(1, 0)),
        OptionError,
        "dilation must be at least 1 on every axis; got 1x0",
    ),
    "three numbers for two axes": (
        lambda g: g.crop((1, 2, 3)),
        ShapeError,
        "left must be one number, or one for each of 2 axes; got 1x2x3",
    ),
    "no numbers": (
        lambda g: g.crop(()),
        ShapeError,
        "left must be one number, or one for each of 2 axes; got none",
    ),
    "scale 0": (
        lambda g: g.resize((Fraction(1, 2), 0)),
        OptionError,
        "scale must be positive on every axis; got 1/2x0",
    ),
    "no axes": (
        lambda g: Grid.of_input(0),
        ShapeError,
        (
            "a grid needs one offset and one spacing per axis, and at least one axis; "
            "got 0 offsets and 0 spacings"
        ),
    ),
    "negative spacing": (
        lambda g: Grid((Fraction(0),), (Fraction(-1),)),
        OptionError,
        "a grid's spacing must be positive on every axis; got (-1)",
    ),
    "coordinates": (
        lambda g: g.resize_onnx(2, coordinates="tf_crop_and_resize"),
        OptionError,
        (
            "coordinates of an ONNX resize must be one of half_pixel, half_pixel_symmetric, "
            "pytorch_half_pixel, asymmetric, align_corners; got 'tf_crop_and_resize'"
        ),
    ),
    "mode": (
        lambda g: g.resize_onnx(2, mode="area"),
        OptionError,
        "mode of an ONNX resize must be one of nearest, linear, cubic; got 'area'",
    ),
    "rounding": (
        lambda g: g.resize_onnx(2, rounding="down"),
        OptionError,
        (
            "rounding of an ONNX resize must be one of round_prefer_floor, round_prefer_ceil, floor, ceil; "
            "got 'down'"
        ),
    ),
    "align_corners without a size": (
        lambda g: g.resize_onnx(2, coordinates="align_corners"),
        OptionError,
        (
            "this resize needs to know the input size, since align_corners samples at a spacing that depends "
            "on it; got none; pass size=..."
        ),
    ),
    "one corner": (
        lambda g: g.align_corners((4, 1), 4),
        ShapeError,
        "aligned corners need at least 2 samples to and from, since a single one has no spacing; got 1 to 4",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_grid_is_refused_in_one_sentence(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call(Grid.of_input(2))
