import math
import re
import time
from dataclasses import replace

import pytest
import torch
from hypothesis import given

from strategies import fixed_operators, operators, tensors
from upstroke.diagnose import image_gain, strang_fix_order
from upstroke.diagnose.order import _multi_indices
from upstroke.errors import OptionError
from upstroke.ops import upsample
from upstroke.polyphase import (
    bspline,
    compose,
    convolution,
    cubic,
    identity,
    kaiser_sinc,
    linear,
    nearest,
    transposed,
    triangle,
)

SCALES = [(2, 3), (4, 2), (3, 5), (1, 2)]


@pytest.mark.parametrize("scale", SCALES)
def test_orders_of_the_fixed_kernels(scale):
    assert strang_fix_order(nearest(scale)) == 1
    assert strang_fix_order(triangle(scale)) == 2
    assert strang_fix_order(linear(scale, centre="sample")) == 2
    assert strang_fix_order(cubic(scale)) == 1
    assert strang_fix_order(cubic(scale, a=-0.5)) == 3
    assert strang_fix_order(bspline(scale, centre="sample")) == 4
    for axis_scale in scale:
        if axis_scale > 1:
            # at half-pixel centres and x2 one more zero comes for free
            bonus = axis_scale == 2
            assert strang_fix_order(linear(axis_scale, ndim=1)) == 2 + bonus
            assert strang_fix_order(bspline(axis_scale, ndim=1)) == 4 + bonus


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_splines_have_an_order_above_their_degree(degree):
    assert strang_fix_order(bspline((3, 5), degree=degree)) == degree + 1


def test_bilinear_by_two_is_order_three():
    kernel = torch.tensor([[[1.0, 3.0, 3.0, 1.0]]]) / 4
    assert strang_fix_order(transposed(kernel, stride=2, padding=1)) == 3


def test_the_least_order_over_axes_counts():
    lines = torch.outer(torch.tensor([0.5, 1.0, 0.5]), torch.ones(3))[None, None]
    assert strang_fix_order(transposed(lines, stride=(2, 3))) == 1
    assert strang_fix_order(transposed(lines, stride=(2, 1))) == 2
    assert strang_fix_order(transposed(lines.mT, stride=(1, 2))) == 2


def test_the_least_order_over_channel_pairs_counts():
    kernels = torch.tensor([[[0.5, 1.0, 0.5], [1.0, 1.0, 0.0]]])
    assert strang_fix_order(transposed(kernels, stride=2)) == 1
    assert strang_fix_order(transposed(kernels[:, :1], stride=2)) == 2


@given(tensors((2, 3, 4, 4)))
def test_random_kernels_have_order_zero(weight):
    assert strang_fix_order(transposed(weight, stride=2, padding=1)) == 0


@given(operators(ndims=(1, 2, 3)))
def test_order_zero_is_image_gain(operator):
    order = strang_fix_order(operator, tolerance=1e-6)
    found = image_gain(operator)
    if operator.phases == 1:
        assert order is None
    else:
        assert (order == 0) is bool((found.response.flatten(0, operator.ndim - 1)[1:].abs() > 1e-6).any())


@given(fixed_operators(ndims=(1, 2), max_scale=3))
def test_an_order_says_which_polynomials_come_out_without_a_pattern(operator):
    """A polynomial of degree order - 1 comes out as one, so all differences of that degree are constant."""
    order = strang_fix_order(operator)
    if order is None:
        return
    axis = max(range(operator.ndim), key=lambda i: operator.scale[i])
    size = [12] * operator.ndim
    place = torch.arange(12, dtype=torch.float64).reshape(-1, *(1,) * (operator.ndim - 1 - axis))
    for degree in range(order):
        y = upsample((place**degree).expand(1, 1, *size), operator)
        s = operator.scale[axis]
        inner = y[(0, 0, *(slice(4 * t, 8 * t) for t in operator.scale))]
        steps = inner.diff(n=degree, dim=axis) * s**degree
        torch.testing.assert_close(
            steps, torch.full_like(steps, math.factorial(degree)), atol=1e-7, rtol=1e-7
        )


def test_an_average_after_nearest_adds_an_order():
    blur = convolution(torch.full((1, 1, 2, 3), 1 / 6, dtype=torch.float64), padding=1)
    assert strang_fix_order(compose(nearest((2, 3)), blur)) == 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_rounding_of_the_dtype_does_not_change_the_order(dtype):
    for operator, order in [
        (nearest(2), 1),
        (nearest(3, ndim=1), 1),
        (linear(2), 3),
        (linear(3, ndim=1), 2),
        (triangle(2), 2),
        (cubic(2, ndim=1), 1),
        (cubic(2, ndim=1, a=-0.5), 3),
        (cubic((5, 3), a=-0.5), 3),
        (bspline(3, ndim=1, degree=2), 3),
        (bspline(2, ndim=1), 5),
        (bspline((3, 5)), 4),
        (bspline(16, ndim=1, degree=5), 6),
        (bspline(5, degree=5), 6),
    ]:
        assert strang_fix_order(transposed_in(operator, dtype)) == order


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_faint_stripes_are_order_zero_in_every_dtype(dtype):
    stripes = torch.tensor([[[1.03, 1.0, 1.03, 1.0]]], dtype=torch.float64) / 2
    assert strang_fix_order(transposed(stripes.to(dtype), stride=2, padding=1)) == 0
    assert strang_fix_order(transposed(stripes.to(dtype), stride=2), tolerance=0.02) > 0


def test_the_tolerance_is_relative_to_the_moment_itself():
    """The ends of the kernel weigh little, but in high moments they are all that weighs."""
    kernel = torch.tensor([[[1e-6, 1.0, 1.0, 2e-6]]], dtype=torch.float64)
    # (1e-6 - 2e-6) / 2 of 1, then the two ends against the middle
    assert strang_fix_order(transposed(kernel, stride=2), tolerance=1e-5) == 1
    kernel = torch.tensor([[[1e-3, 0.5, 1.0, 0.5, 1e-3]]], dtype=torch.float64)
    kernel[0, 0, 2] -= 2e-3
    kernel[0, 0, 1::2] -= 1e-3
    # sums 1, lines 0, and places^2 0.002 against 0.2495: 98 % of the mean apart, whatever the size
    assert strang_fix_order(transposed(kernel, stride=2), tolerance=0.45) == 2


def test_the_tolerance_is_from_the_mean_over_phases():
    kernel = torch.tensor([[[1.0, 1.0, 1.0 + 9e-3]]], dtype=torch.float64)
    operator = transposed(kernel, stride=3)
    # the third phase lies 6e-3 from the mean, and 9e-3 from the first
    assert strang_fix_order(operator, tolerance=5.9e-3) == 0
    assert strang_fix_order(operator, tolerance=6.1e-3) > 0


@pytest.mark.parametrize("tolerance", [-1e-9, math.nan, math.inf])
def test_the_tolerance_must_be_a_size(tolerance):
    message = f"tolerance must be a finite number of at least 0; got {tolerance}"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        strang_fix_order(nearest(2), tolerance=tolerance)
    assert strang_fix_order(nearest(2), tolerance=0.0) == 1


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
def test_taps_must_be_finite(lost):
    weight = torch.ones(1, 1, 4)
    weight[0, 0, 1] = lost
    message = (
        "taps must be finite to have a Strang-Fix order; got NaN or infinity in 1 of 4; take a checkpoint "
        "from before they became so"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        strang_fix_order(transposed(weight, stride=2))


def test_three_axes_are_quick():
    start = time.process_time()
    assert strang_fix_order(kaiser_sinc(4, ndim=3)) == 1
    assert strang_fix_order(bspline(4, ndim=3, degree=5)) == 6
    # milliseconds, so that a slow machine passes too
    assert time.process_time() - start < 2


def transposed_in(operator, dtype):
    return replace(operator, taps=operator.taps.to(dtype))


def test_the_tolerance_is_relative_to_the_largest_sum_of_taps():
    kernel = torch.tensor([[[1.0, 1.0 + 1e-3]]], dtype=torch.float64)
    for factor in (1e-6, 1.0, 1e6):
        operator = transposed(kernel * factor, stride=2)
        assert strang_fix_order(operator) == 0
        assert strang_fix_order(operator, tolerance=4e-4) == 0
        assert strang_fix_order(operator, tolerance=6e-4) == 1


def test_a_shift_and_a_longer_frame_do_not_change_the_order():
    operator = linear((2, 3))
    assert strang_fix_order(operator.padded((1, 0), (0, 2))) == strang_fix_order(operator) == 2


def test_nothing_to_measure():
    assert strang_fix_order(identity()) is None
    assert strang_fix_order(transposed(torch.zeros(1, 1, 4), stride=2)) is None


def test_the_highest_possible_order_is_found():
    # (1 + z)^4 has a zero of order 4 at -1 and no other
    kernel = torch.tensor([[[1.0, 4.0, 6.0, 4.0, 1.0]]])
    assert strang_fix_order(transposed(kernel, stride=2)) == 4
    assert strang_fix_order(transposed(torch.ones(1, 1, 1), stride=2)) == 0


def test_powers_of_three_axes_are_all_there():
    assert sorted(_multi_indices(2, 3)) == [
        (0, 0, 2),
        (0, 1, 1),
        (0, 2, 0),
        (1, 0, 1),
        (1, 1, 0),
        (2, 0, 0),
    ]
