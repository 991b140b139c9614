import torch
from hypothesis import given

from strategies import fixed_operators, operators
from upstroke.diagnose import image_gain, phase_gain, subgrid_variance
from upstroke.polyphase import nearest, transposed, triangle


@given(operators(ndims=(1, 2, 3), max_scale=2))
def test_the_constant_part_is_the_power_at_the_images(operator):
    found = subgrid_variance(operator)
    response = image_gain(operator).response.sum(dim=-1).flatten(0, -2)
    expected = response[1:].abs().square().sum(dim=0) / operator.phases**2
    torch.testing.assert_close(found.constant, expected)


@given(operators())
def test_white_channels_add_up_without_mixing(operator):
    found = subgrid_variance(operator)
    gains = phase_gain(operator)
    expected = ((gains - gains.mean(dim=0)) ** 2).mean(dim=0).sum(dim=-1)
    torch.testing.assert_close(found.white, expected)


@given(operators())
def test_phase_variance_is_the_power_of_each_phase(operator):
    found = subgrid_variance(operator)
    assert found.phase_variance.shape == (*operator.scale, operator.out_channels)
    flat = found.phase_variance.flatten(0, -2)
    for p in range(operator.phases):
        torch.testing.assert_close(flat[p], operator.taps[p].pow(2).flatten(1).sum(1))
    torch.testing.assert_close(found.spread, 1 - flat.amin(dim=0) / flat.amax(dim=0))


@given(fixed_operators())
def test_interpolation_adds_none(operator):
    found = subgrid_variance(operator)
    assert found.constant.max() < 1e-24
    assert found.white.max() < 1e-24


def test_by_hand():
    weight = torch.tensor([[[1.0, 3.0]], [[2.0, 0.0]]])
    found = subgrid_variance(transposed(weight, stride=2))
    assert (found.constant.item(), found.white.item(), found.spread.item()) == (0.0, 2.0, 4 / 9)
    assert found.phase_variance.flatten().tolist() == [5, 9]
    # the order of the summands: phases 5 and 9
    assert subgrid_variance(transposed(weight[:1], stride=2)).constant.item() == 1


def test_noise_is_louder_in_one_phase_of_the_triangle_and_alike_in_nearest():
    assert subgrid_variance(triangle(2, ndim=1)).spread.item() == 0.5
    assert subgrid_variance(nearest((2, 3))).spread.item() == 0


def test_silence_has_no_spread():
    assert subgrid_variance(transposed(torch.zeros(1, 2, 4), stride=2)).spread.tolist() == [0, 0]


def test_a_lost_tap_is_lost_in_its_own_channel():
    weight = torch.ones(1, 2, 4)
    weight[0, 1, 0] = torch.nan
    found = subgrid_variance(transposed(weight, stride=2))
    assert found.spread.isnan().tolist() == found.white.isnan().tolist() == [False, True]


def test_white_is_summed_over_the_channels_that_come_in():
    weight = torch.zeros(2, 3, 2)
    weight[0, :, 0] = torch.tensor([2.0, 4.0, 6.0])
    weight[1, :, 1] = torch.tensor([0.0, 2.0, 8.0])
    # half the difference squared, channel by channel that comes in
    assert subgrid_variance(transposed(weight, stride=2)).white.tolist() == [1, 5, 25]
