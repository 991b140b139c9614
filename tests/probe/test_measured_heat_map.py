import math
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import affines, dense, fixed_operators
from upstroke.diagnose import grid_of, keypoint_error
from upstroke.errors import OptionError
from upstroke.polyphase import Affine, transposed
from upstroke.probe import measured_keypoint_error

FIELDS = ("bias", "spread", "worst")


@settings(max_examples=30)
@given(
    fixed_operators(max_scale=3),
    st.sampled_from(["centre_of_mass", "peak", "log_parabola"]),
    st.sampled_from([0.9, 1.5]),
)
def test_fixed_kernels(operator, decoder, sigma):
    positions = (4, 3)[: operator.ndim]
    grid = grid_of(operator)
    closed = keypoint_error(operator, sigma=sigma, decoder=decoder, positions=positions)
    found = measured_keypoint_error(
        Affine(operator=operator), grid, sigma=sigma, decoder=decoder, positions=positions
    )
    for field in FIELDS:
        torch.testing.assert_close(getattr(found, field), getattr(closed, field), rtol=1e-6, atol=1e-6)


@settings(max_examples=20)
@given(affines(), st.sampled_from(["centre_of_mass", "peak", "log_parabola"]))
def test_learned_kernels_of_positive_weights(affine, decoder):
    operator = dense(affine.operator)
    # weights of one sign in every pair, so that there is a heat map to read
    taps = (operator.taps.abs() + 0.1) * operator.mask[:, None, None]
    operator = replace(operator, taps=taps)
    fn = Affine(operator=operator, bias=affine.bias)
    settings_ = {"sigma": 1.2, "decoder": decoder, "positions": (3, 2)[: operator.ndim]}
    closed = keypoint_error(operator, **settings_)
    found = measured_keypoint_error(
        fn, grid_of(operator), channels=operator.in_channels, cells=(41, 43)[: operator.ndim], **settings_
    )
    for field in FIELDS:
        torch.testing.assert_close(getattr(found, field), getattr(closed, field), rtol=1e-5, atol=1e-5)


def test_a_torch_layer_in_float32():
    torch.manual_seed(0)
    layer = torch.nn.ConvTranspose2d(2, 1, (4, 3), stride=(2, 3))
    torch.nn.init.uniform_(layer.weight)
    operator = transposed(layer.weight.detach(), stride=(2, 3))
    grid = grid_of(operator)
    found = measured_keypoint_error(layer, grid, sigma=1.0, channels=2, positions=(2, 3), dtype=torch.float32)
    closed = keypoint_error(operator, sigma=1.0, positions=(2, 3))
    torch.testing.assert_close(found.bias, closed.bias, rtol=1e-4, atol=1e-4)


def test_a_shifted_grid_is_a_bias():
    operator = transposed(torch.ones(1, 1, 2, 3), stride=(2, 3))
    grid = grid_of(operator).shift((1, 2))
    found = measured_keypoint_error(Affine(operator=operator), grid, sigma=1.0, positions=2)
    assert found.bias.flatten().tolist() == pytest.approx([1, 2], abs=1e-6)


@pytest.mark.parametrize("padding", [0, 5, 21])
@pytest.mark.parametrize("decoder", ["peak", "log_parabola"])
def test_large_crops(padding, decoder):
    operator = transposed(torch.ones(1, 1, 4), stride=2, padding=padding)
    settings_ = {"sigma": 1.5, "decoder": decoder}
    closed = keypoint_error(operator, **settings_)
    found = measured_keypoint_error(
        Affine(operator=operator), grid_of(operator), cells=81, dtype=torch.float64, **settings_
    )
    torch.testing.assert_close(found.worst, closed.worst)


@pytest.mark.parametrize("sigma", [0.0, math.nan, math.inf])
def test_sigma_must_be_positive(sigma):
    message = f"sigma must be above 0 input pixels and finite; got {sigma}"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        measured_keypoint_error(lambda x: x, grid_of(transposed(torch.ones(1, 1, 2), stride=2)), sigma=sigma)
