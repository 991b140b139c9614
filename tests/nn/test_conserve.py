"""Layers that keep block means do so in a model that is moved, made half, trained and saved."""

import copy
import pickle
import re

import pytest
import torch
from torch import nn

from blocks_by_hand import seeded
from upstroke.errors import OptionError, ShapeError
from upstroke.nn import Conserve, ConservingInterpolation
from upstroke.ops import block_means, corrected


class Downscale(nn.Module):
    """A convolution over a conserving resize, corrected at the end."""

    def __init__(self, form="additive", weights=None):
        super().__init__()
        self.resize = ConservingInterpolation((2, 3), "cubic", border=("clamp", "circular"))
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.conserve = Conserve((2, 3), form=form, weights=weights)

    def forward(self, x):
        return self.conserve(self.conv(self.resize(x)), x)


@pytest.mark.parametrize("form", ["additive", "multiplicative", "softmax"])
def test_a_model_keeps_what_every_cell_holds_and_is_trained(form):
    torch.manual_seed(0)
    weights = torch.rand(10, 1) + 0.5
    model = Downscale(form, weights)
    x = torch.rand(2, 1, 5, 7, generator=seeded(1)) + 1
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    target = torch.rand(2, 1, 10, 21, generator=seeded(2)) + 1
    for _ in range(3):
        y = model(x)
        torch.testing.assert_close(block_means(y, (2, 3), weights=weights), x, rtol=1e-6, atol=1e-6)
        loss = (y - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_a_model_made_half_is_corrected_with_weights_that_are_not(half):
    weights = torch.rand(10, 21, generator=seeded(3), dtype=torch.float64)
    model = Downscale(weights=weights).to(half)
    assert model.conserve.weights.dtype == torch.float64
    x = torch.rand(2, 1, 5, 7, generator=seeded(4)) + 280
    y = model.conserve(model.conv(model.resize(x.to(half))), x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(block_means(y, (2, 3), weights=weights), x, rtol=1e-6, atol=0)


def test_under_autocast_the_correction_is_made_in_float32():
    model, x = Downscale(), torch.rand(2, 1, 5, 7, generator=seeded(5)) + 280
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(block_means(y, (2, 3)), x, rtol=1e-6, atol=0)


def test_weights_move_and_are_no_part_of_what_was_trained():
    layer = Conserve((2, 3), weights=torch.ones(4, 6))
    assert layer.state_dict() == {}
    assert layer.to("meta").weights.device.type == "meta"
    assert repr(layer) == "Conserve(scale=(2, 3), form='additive', weights of shape (4, 6))"


def test_weights_of_a_call_stand_in_place_of_the_layers():
    y, means = torch.rand(4, 6, generator=seeded(6)), torch.rand(2, 2, generator=seeded(7))
    weights = torch.rand(4, 6, generator=seeded(8))
    layer = Conserve((2, 3), weights=torch.ones(4, 6))
    assert torch.equal(layer(y, means, weights), corrected(y, means, (2, 3), weights=weights))


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_an_interpolation_keeps_block_means(mode, ndim):
    scale, size = (2, 3, 4)[:ndim], (5, 7, 3)[:ndim]
    layer = ConservingInterpolation(scale, mode, border=("clamp", "circular", "zero")[:ndim], ndim=ndim)
    x = torch.randn(2, 3, *size, generator=seeded(9), dtype=torch.float64)
    torch.testing.assert_close(block_means(layer(x), scale), x, rtol=1e-12, atol=1e-12)


def test_an_interpolation_keeps_means_over_areas():
    weights = torch.linspace(0, 3.1, 11, dtype=torch.float64).cos().diff().abs()
    layer = ConservingInterpolation(2, weights=(weights, None))
    x = torch.randn(1, 2, 5, 7, generator=seeded(10), dtype=torch.float64)
    means = block_means(layer(x), (2, 2), weights=weights[:, None])
    torch.testing.assert_close(means, x, rtol=1e-12, atol=1e-12)


def test_an_interpolation_takes_half_maps_and_gives_such():
    layer, x = ConservingInterpolation(2), torch.randn(1, 2, 5, 7, generator=seeded(11))
    assert torch.equal(layer(x.bfloat16()), layer(x.bfloat16().float()).bfloat16())


def test_an_interpolation_knows_its_grid_and_is_copied_and_sent():
    layer = ConservingInterpolation((2, 3), border="circular")
    x = torch.randn(1, 1, 5, 7, generator=seeded(12))
    y = layer(x)
    assert repr(layer) == "ConservingInterpolation(scale=2x3, mode='cubic', border=('circular', 'circular'))"
    assert repr(layer.grid) == "Grid(offset=(-1/4, -1/3), spacing=(1/2, 1/3))"
    assert torch.equal(copy.deepcopy(layer)(x), y)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), y)
    assert layer.state_dict() == {}


def test_gradients_pass_an_interpolation():
    layer = ConservingInterpolation((2, 3), border=("clamp", "circular"))
    x = torch.randn(1, 2, 3, 4, generator=seeded(13), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Conserve((2, 3), form="none"),
            OptionError,
            "form must be one of additive, multiplicative, softmax; got 'none'",
        ),
        (
            lambda: ConservingInterpolation(2, "bicubic"),
            OptionError,
            "mode must be one of nearest, linear, cubic; got 'bicubic'",
        ),
        (
            lambda: ConservingInterpolation(2, border=("clamp",)),
            OptionError,
            "border must be one of zero, clamp, circular, or one of these for each of 2 axes; got ('clamp',)",
        ),
        (
            lambda: ConservingInterpolation(2, weights=[None]),
            ShapeError,
            "weights must have one entry for each of 2 axes, a tensor or None; got 1",
        ),
    ],
)
def test_what_means_nothing_is_refused(make, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()
