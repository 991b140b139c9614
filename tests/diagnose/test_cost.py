import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import operators
from upstroke.diagnose import Cost, cost
from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase import compose, convolution, linear, nearest, shuffle, sub_pixel, transposed


@given(operators(ndims=(1, 2, 3), max_scale=2))
def test_an_operator_costs_its_taps_per_input_position(operator):
    found = cost(operator)
    taps = int(operator.mask.sum()) * operator.out_channels * operator.in_channels // operator.groups
    assert found.parameters == found.multiply_adds_per_input == taps
    assert found.bytes_per_input == 4 * (operator.in_channels + operator.phases * operator.out_channels)


def test_a_transposed_convolution_costs_input_positions_times_taps():
    layer = transposed(torch.ones(6, 4, 3, 4), stride=(2, 3), padding=1, groups=2)
    assert cost(layer) == Cost(
        parameters=6 * 4 * 12, multiply_adds_per_input=6 * 4 * 12, bytes_per_input=4 * (6 + 6 * 8)
    )


def test_dilation_adds_no_taps():
    assert cost(transposed(torch.ones(1, 1, 3, 3), stride=2, dilation=3)).parameters == 9


@pytest.mark.parametrize(("ndim", "saving"), [(1, 1.5), (2, 2.25), (3, 3.375)])
def test_nearest_and_convolution_as_one(ndim, saving):
    conv = convolution(torch.ones(5, 4, *(3,) * ndim), padding=1)
    two, one = cost([nearest(2, ndim=ndim), conv]), cost(compose(nearest(2, ndim=ndim), conv))
    assert two.multiply_adds_per_input == 6**ndim * 20
    assert one.multiply_adds_per_input == 4**ndim * 20
    assert two.multiply_adds_per_input / one.multiply_adds_per_input == saving
    assert two.parameters == 3**ndim * 20


def test_a_stage_behind_upsamplers_runs_at_their_rate():
    chain = [
        convolution(torch.ones(4, 2, 3), padding=1),
        transposed(torch.ones(4, 3, 4), stride=2, padding=1),
        linear(3, ndim=1),
        convolution(torch.ones(1, 3, 5), padding=2),
    ]
    found = cost(chain)
    assert found.parameters == 24 + 48 + 5 + 15
    assert found.multiply_adds_per_input == 24 + 48 + 2 * 5 * 3 + 6 * 15
    assert found.bytes_per_input == 4 * ((2 + 4) + (4 + 6) + 2 * (3 + 9) + 6 * (3 + 1))


def test_copies_multiply_nothing():
    assert cost(nearest((2, 3)), channels=7) == Cost(
        parameters=0, multiply_adds_per_input=0, bytes_per_input=4 * 7 * 7
    )
    weight = torch.ones(12, 5, 3, 3)
    chain = [convolution(weight, padding=1), shuffle(2)]
    assert cost(chain).multiply_adds_per_input == cost(sub_pixel(weight, scale=2, padding=1)).parameters
    assert cost(chain).bytes_per_input == 4 * ((5 + 12) + (12 + 4 * 3))
    assert cost(transposed(torch.full((1, 1, 2), 2.0), stride=2)).parameters == 2


@given(st.integers(1, 9))
def test_shared_kernels_run_once_per_channel(channels):
    found = cost(linear(3, ndim=1), channels=channels, bytes_per_value=2)
    assert found.parameters == 5
    assert found.multiply_adds_per_input == 5 * channels
    assert found.bytes_per_input == 2 * 4 * channels
    assert cost(linear(3, ndim=1)) == cost(linear(3, ndim=1), channels=1)


def test_channels_must_fit():
    conv = convolution(torch.ones(3, 2, 3))
    message = (
        "each operator must take the channels that come to it, here 3; got Polyphase(2 -> 3 channels, "
        "scale 1, 3 taps in each of 1 phases, origin 0, excess -2, border zero)"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        cost([conv, conv])


def test_the_channels_that_must_come_in_are_found():
    conv = convolution(torch.ones(8, 3, 1, 1))
    # 12 channels become 3 at x2
    assert cost([nearest(3), shuffle(2), conv]).bytes_per_input == 4 * (12 * 10 + 9 * 24 + 36 * 11)
    assert cost([linear(2), shuffle(2)]).multiply_adds_per_input == 4 * 16
    assert cost([shuffle(2), shuffle(3)]) == cost([shuffle(2), shuffle(3)], channels=36)
    spread = replace(nearest(1), taps=torch.ones(1, 4, 1, 1, 1))
    assert cost([shuffle(2), spread, nearest(1)]) == cost([shuffle(2), spread, nearest(1)], channels=4)
    message = (
        "each operator must take the channels that come to it, here 6; got Polyphase(every 4 -> 1 channels, "
        "scale 2x2, 1x1 taps in each of 4 phases, origin 0x0, excess 0x0, border zero)"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        cost(shuffle(2), channels=6)


def test_no_stage_costs_nothing():
    assert cost([]) == Cost(parameters=0, multiply_adds_per_input=0, bytes_per_input=0)


@pytest.mark.parametrize("name", ["channels", "bytes_per_value"])
@pytest.mark.parametrize("value", [0, -3])
def test_less_than_one_makes_no_sense(name, value):
    message = f"{name} must be at least 1; got {value}"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        cost(linear(2), **{name: value})
