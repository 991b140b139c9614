from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import operators
from upstroke.diagnose import centroid, grid_of, mass
from upstroke.grid import Grid
from upstroke.polyphase import (
    bspline,
    compose,
    convolution,
    cubic,
    identity,
    linear,
    nearest,
    pad,
    sub_pixel,
    symmetric,
    transposed,
    triangle,
)

NUMBERS = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3))


@given(NUMBERS, NUMBERS)
def test_transposed_convolutions_sit_where_the_algebra_says(first, second):
    kernel, stride, padding, dilation = zip(first, second, strict=True)
    operator = transposed(torch.zeros(1, 1, *kernel), stride=stride, padding=padding, dilation=dilation)
    assert grid_of(operator) == Grid.of_input(2).transposed(
        kernel, stride=stride, padding=padding, dilation=dilation
    )


@given(NUMBERS, NUMBERS)
def test_convolutions_sit_where_the_algebra_says(first, second):
    kernel, _, padding, dilation = zip(first, second, strict=True)
    operator = convolution(torch.zeros(1, 1, *kernel), padding=padding, dilation=dilation)
    assert grid_of(operator) == Grid.of_input(2).conv(kernel, padding=padding, dilation=dilation)


@given(NUMBERS, NUMBERS)
def test_sub_pixel_convolutions_sit_where_the_algebra_says(first, second):
    kernel, scale, padding, _ = zip(first, second, strict=True)
    phases = scale[0] * scale[1]
    operator = sub_pixel(torch.ones(phases, 1, *kernel), scale=scale, padding=padding)
    assert grid_of(operator) == Grid.of_input(2).conv(kernel, padding=padding).resize(scale)


@given(NUMBERS, NUMBERS)
def test_chains_sit_where_the_algebra_says(first, second):
    kernel, scale, padding, _ = zip(first, second, strict=True)
    operator = compose(nearest(scale), convolution(torch.ones(1, 1, *kernel), padding=padding))
    assert grid_of(operator) == Grid.of_input(2).resize(scale).conv(kernel, padding=padding)


@pytest.mark.parametrize("scale", [(2, 3), (4, 1), (5, 2)])
def test_resizes_sit_where_the_algebra_says(scale):
    for make in (nearest, linear, cubic, bspline):
        assert grid_of(make(scale)) == Grid.of_input(2).resize(scale)
    for operator, mode in ((triangle(scale), "linear"), (linear(scale, centre="sample"), "linear")):
        grid = Grid.of_input(2).resize_onnx(scale, coordinates="asymmetric", mode=mode)
        assert grid_of(operator) == grid
    for centre, coordinates in (("cell", "half_pixel"), ("sample", "asymmetric")):
        for rounding in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
            expected = Grid.of_input(2).resize_onnx(scale, coordinates=coordinates, rounding=rounding)
            assert grid_of(nearest(scale, centre=centre, rounding=rounding)) == expected


def test_pads_and_crops():
    assert grid_of(pad((1, -2), 3)) == Grid.of_input(2).pad((1, -2))
    assert grid_of(identity(ndim=3)) == Grid.of_input(3)


@given(operators())
def test_absent_taps_and_weights_do_not_move_the_grid(operator):
    padded = operator.padded((2,) * operator.ndim, (1,) * operator.ndim)
    assert grid_of(padded) == grid_of(operator)
    assert grid_of(operator).spacing == tuple(Fraction(1, s) for s in operator.scale)


@given(operators(ndims=(1, 2, 3), max_scale=2))
def test_the_centroid_of_a_symmetric_kernel_is_its_middle(operator):
    even = symmetric(operator)
    nominal = torch.tensor([float(offset) for offset in grid_of(even).offset], dtype=torch.float64)
    # where next to no mass is left, rounding decides where it sits
    heavy = mass(even).abs() > 1e-4
    torch.testing.assert_close(centroid(even)[heavy], nominal.expand(*heavy.shape, -1)[heavy])


def test_the_centroid_follows_the_weights_of_its_own_axis():
    weight = torch.zeros(1, 1, 2, 4)
    weight[0, 0, 1, 0], weight[0, 0, 1, 3] = 1, 3
    operator = transposed(weight, stride=(2, 3), padding=(0, 1))
    # centre of gravity at element (1, 9/4), which lands on sample (1, 5/4)
    assert centroid(operator).flatten().tolist() == pytest.approx([-1 / 2, -5 / 12])


def test_without_mass_there_is_no_centroid():
    assert not centroid(transposed(torch.tensor([[[1.0, -1.0]]]), stride=2)).isfinite().any()
