import pytest
import torch
from hypothesis import given

from strategies import affines, fixed_operators, operators
from upstroke.diagnose import bias_spread, coverage, gain_spread, phase_gain
from upstroke.polyphase import Affine, balanced, kernel_form, nearest, transposed, triangle


def test_phases_come_in_c_order_and_channels_behind_them():
    weight = torch.arange(24.0).reshape(1, 2, 3, 4)
    gains = phase_gain(transposed(weight, stride=(2, 3)))
    assert gains.shape == (6, 2, 1)
    for first in range(2):
        for second in range(3):
            assert gains[3 * first + second, 1, 0] == weight[0, 1, first::2, second::3].sum()


@given(operators())
def test_gains_sum_the_kernel_elements_of_each_phase(operator):
    form = kernel_form(operator)
    kernel = form.kernel
    for axis, s in enumerate(operator.scale):
        # element i lands on phase (i - crop) mod s
        phase = (torch.arange(kernel.shape[2 + axis]) - form.crop[axis]) % s
        sums = kernel.new_zeros(*kernel.shape[: 2 + axis], s, *kernel.shape[3 + axis :])
        kernel = sums.index_add(2 + axis, phase, kernel)
    torch.testing.assert_close(phase_gain(operator), kernel.flatten(2).permute(2, 0, 1))


@given(fixed_operators(names=("nearest", "linear", "cubic", "bspline", "kaiser_sinc", "triangle")))
def test_interpolation_has_gain_one_in_every_phase(operator):
    torch.testing.assert_close(phase_gain(operator), torch.ones(operator.phases, 1, 1, dtype=torch.float64))
    assert gain_spread(operator) < 1e-12


def test_one_half_one_one_half_is_balanced_though_uneven():
    operator = triangle(2, ndim=1)
    assert not coverage(operator).even
    assert phase_gain(operator).flatten().tolist() == [1, 1]
    assert gain_spread(operator) == 0


def test_even_coverage_does_not_balance():
    operator = transposed(torch.tensor([[[1.0, 2.0, 3.0, 5.0]]]), stride=2)
    assert coverage(operator).even
    assert phase_gain(operator).flatten().tolist() == [4, 7]
    assert gain_spread(operator) == pytest.approx(3 / 7)


def test_the_spread_is_the_worst_over_pairs_relative_to_the_largest_gain():
    weight = torch.tensor([[[1.0, 1.0], [2.0, 4.0], [8.0, 7.5]]])
    assert gain_spread(transposed(weight, stride=2)) == pytest.approx(2 / 8)
    assert gain_spread(transposed(-weight, stride=2)) == pytest.approx(2 / 8)


def test_no_gain_has_no_spread():
    assert gain_spread(transposed(torch.zeros(2, 3, 4), stride=2)) == 0


def test_half_precision_is_summed_in_float64():
    gains = phase_gain(transposed(torch.full((1, 1, 4098), 0.1, dtype=torch.bfloat16), stride=2))
    assert gains.dtype == torch.float64
    assert gains[0].item() == pytest.approx(2049 * torch.tensor(0.1).bfloat16().item())


def test_gains_have_gradients():
    weight = torch.ones(1, 1, 4, requires_grad=True)
    phase_gain(transposed(weight, stride=2))[0].sum().backward()
    assert weight.grad.flatten().tolist() == [1, 0, 1, 0]


@given(operators())
def test_balancing_takes_the_spread_away(operator):
    if coverage(operator).counts.min() > 0:
        assert gain_spread(balanced(operator, mass=1.0)) < 1e-9


@given(affines())
def test_bias_spread_is_zero_exactly_for_equal_phases(affine):
    bias = affine.bias
    wanted = max(max(column) - min(column) for column in bias.T.tolist())
    assert bias_spread(affine).item() == pytest.approx(wanted)
    same = Affine(operator=affine.operator, bias=bias[:1].expand_as(bias))
    assert bias_spread(same) == 0


def test_no_bias_has_no_spread():
    assert bias_spread(Affine(operator=nearest(2))) == 0


def test_a_lost_tap_has_no_spread():
    weight = torch.ones(2, 3, 4)
    weight[1, 2, 0] = torch.nan
    assert gain_spread(transposed(weight, stride=2)).isnan()
