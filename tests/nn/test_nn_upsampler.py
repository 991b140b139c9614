"""Upsampler makes every layer by its method's name; with the defaults they can be exchanged."""

import re
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn_layers import per_axis, random_map
from tolerance import assert_same
from upstroke import diagnose, from_module
from upstroke.errors import OptionError
from upstroke.grid import Grid
from upstroke.nn import ResizeConv, SeparableTransposedConv, SubpixelConv, TransposedConv, Upsampler
from upstroke.nn.upsampler import Method

METHODS = get_args(Method)
KINDS = {
    "transposed": TransposedConv,
    "nearest": ResizeConv,
    "linear": ResizeConv,
    "cubic": ResizeConv,
    "subpixel": SubpixelConv,
    "separable": SeparableTransposedConv,
    "separable-pointwise-first": SeparableTransposedConv,
}


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=8)
@given(data=st.data(), ndim=st.sampled_from([1, 2, 3]))
def test_with_the_defaults_every_method_gives_the_same_size_on_the_same_grid(method, data, ndim):
    scale = data.draw(per_axis(ndim, 1, 4))
    layer = Upsampler(2, 3, method=method, scale=scale, ndim=ndim, dtype=torch.float64)
    x = random_map(ndim, 2, 1)
    assert type(layer) is KINDS[method]
    assert layer(x).shape == (2, 3, *(s * n for s, n in zip(scale, x.shape[2:], strict=True)))
    assert layer.grid == Grid.of_input(ndim).resize(scale)
    assert layer.grid == diagnose.grid_of(layer.polyphase())


@pytest.mark.parametrize("method", ["transposed", "separable", "separable-pointwise-first"])
def test_the_default_kernel_covers_every_phase_alike(method):
    for scale in (1, 2, 3, 4, (2, 3)):
        layer = Upsampler(2, 3, method=method, scale=scale)
        taps = layer.polyphase().mask.flatten(1).sum(dim=1)
        assert (taps == taps[0]).all()


@pytest.mark.parametrize("method", METHODS)
def test_settings_reach_the_layer(method):
    layer = Upsampler(
        2, 3, method=method, scale=(2, 4), kernel_size=(3, 5), padding=0, bias=False, dtype=torch.float64
    )
    x = random_map(2, 2, 3)
    # padding 0 crops nothing of a transposed convolution, and of the others all that reads beyond the edge
    grown = [(11, 29), (8, 24), (6, 12)]
    sizes = dict.fromkeys(METHODS, grown[1]) | dict.fromkeys(METHODS[-2:], grown[0])
    sizes |= {"transposed": grown[0], "subpixel": grown[2]}
    assert layer(x).shape[2:] == sizes[method]
    assert not [name for name, _ in layer.named_parameters() if name.endswith("bias")]
    assert {tuple(p.shape[2:]) for p in layer.parameters()} - {(1, 1)} == {(3, 5)}
    assert_same(from_module(layer)(x).detach(), layer(x).detach())
    meta = Upsampler(2, 3, method=method, device="meta")
    assert {p.device.type for p in meta.parameters()} == {"meta"}


def test_the_two_orders_of_the_separable_one():
    assert Upsampler(2, 3, method="separable").order == "depthwise-first"
    assert Upsampler(2, 3, method="separable-pointwise-first").order == "pointwise-first"


@pytest.mark.usefixtures("_unchecked")
def test_an_unknown_method_is_refused_with_the_names_of_all():
    message = (
        "method must be one of transposed, nearest, linear, cubic, subpixel, separable, "
        "separable-pointwise-first; got 'bilinear'"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        Upsampler(2, 3, method="bilinear")
