"""Minimal filtering is PyTorch's transposed convolution, and what is kept of a weight follows the weight."""

import copy
import gc
import math
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from strategies import seeded
from upstroke import nn as ours
from upstroke.ops import dense, minimal, minimal_choice
from upstroke.ops.convolutions import CONV_TRANSPOSE
from upstroke.ops.kernels import instructions, native
from upstroke.ops.layout import in_layout, is_channels_last
from upstroke.ops.minimal import Filtering, is_served, prepare, run, seen_before
from upstroke.ops.minimal_choice import MinimalChoice, best_use
from upstroke.ops.minimal_measured import MEASURED

pytestmark = pytest.mark.skipif(native() is None, reason="the compiled kernels are not there")

K4 = Filtering((4, 4), (2, 2), (1, 1))


@contextmanager
def allowed(use):
    """The choice made by hand, and no call too small for one."""
    choice = MinimalChoice(use, "said by hand")
    with (
        mock.patch.object(dense, "best_use", return_value=choice),
        mock.patch.object(dense, "WORTH_A_CHOICE", 0),
    ):
        yield


@st.composite
def layers(draw):
    """A call of one or two axes, every axis with its own numbers."""
    ndim = draw(st.integers(1, 2))

    def per_axis(least, most):
        return [draw(st.integers(low, high)) for low, high in zip(least, most, strict=True)]

    none, one = [0] * ndim, [1] * ndim
    stride = per_axis(one, [4] * ndim)
    kernel = per_axis(one, [minimal.MOST_TAPS * s for s in stride])
    padding = per_axis(none, kernel)
    extra = per_axis(none, [s - 1 for s in stride])
    cells = per_axis(one, [11] * ndim)
    each = zip(stride, kernel, padding, extra, cells, strict=True)
    samples = [s * (n - 1) + k - 2 * p + e for s, k, p, e, n in each]
    assume(min(samples) > 0)
    return Filtering(tuple(kernel), tuple(stride), tuple(padding)), tuple(extra), tuple(cells), tuple(samples)


@given(
    layer=layers(),
    seed=st.integers(0, 2**31),
    channels=st.sampled_from([(1, 1), (3, 17), (16, 16), (18, 66), (33, 40)]),
    last=st.booleans(),
    has_bias=st.booleans(),
)
def test_it_is_pytorchs_layer(layer, seed, channels, last, has_bias):
    numbers, extra, cells, samples = layer
    generator = seeded(seed)
    x = torch.randn(2, channels[0], *cells, generator=generator)
    weight = torch.randn(*channels, *numbers.kernel, generator=generator)
    bias = torch.randn(channels[1], generator=generator) if has_bias else None
    y = run(in_layout(x, channels_last=last), prepare(weight, numbers), bias, numbers, channels[1], samples)
    settings = (numbers.stride, numbers.padding, extra)
    operator = CONV_TRANSPOSE[len(cells)]
    right = operator(x.double(), weight.double(), None if bias is None else bias.double(), *settings)
    # sums of cells and of taps are as large as all that a group of samples reads
    size = operator(x.double().abs(), weight.double().abs(), None, *settings).max() + 1
    assert y.shape == right.shape
    assert y.dtype == torch.float32
    assert is_channels_last(y) == (
        last and channels[1] > 1 and is_channels_last(in_layout(x, channels_last=last))
    )
    assert (y - right).abs().max() <= 1e-6 * size


def test_its_error_is_that_of_sums_in_another_order():
    generator = seeded(3)
    x = torch.randn(2, 128, 9, 13, generator=generator)
    weight = torch.randn(128, 64, 4, 4, generator=generator)
    right = CONV_TRANSPOSE[2](x.double(), weight.double(), None, 2, 1)
    filtered = run(x, prepare(weight, K4), None, K4, 64, (18, 26))
    assert (filtered - right).norm() <= 1e-6 * right.norm()


@pytest.mark.parametrize("last", [False, True])
def test_a_weight_that_comes_again_is_used_prepared(last):
    weight = torch.randn(3, 5, 4, 4, generator=seeded(1))
    x = in_layout(torch.randn(2, 3, 5, 7, generator=seeded(2)), channels_last=last)
    numbers = {"stride": (2, 2), "padding": (1, 1), "output_padding": (0, 0), "dilation": (1, 1)}
    right = nn.functional.conv_transpose2d(x, weight, stride=2, padding=1)
    with allowed("prepared"), mock.patch.object(dense, "run", wraps=run) as ran:
        for calls in (0, 1, 2):
            y = dense.conv_transpose(x, weight, None, **numbers)
            assert ran.call_count == calls
            torch.testing.assert_close(y, right)
            assert is_channels_last(y) == last


CHANGES = {
    "in place": lambda layer: layer.weight.mul_(-2),
    "copied into": lambda layer: layer.weight.copy_(torch.ones_like(layer.weight)),
    "loaded": lambda layer: layer.load_state_dict({"weight": torch.ones_like(layer.weight)}),
    "through data": lambda layer: layer.weight.data.normal_(generator=seeded(9)),
    "other data": lambda layer: setattr(layer.weight, "data", torch.ones_like(layer.weight)),
    "a step": lambda layer: _step(layer),
}


def _step(layer):
    layer.weight.grad = torch.ones_like(layer.weight)
    torch.optim.SGD(layer.parameters(), lr=0.5).step()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_weight_that_is_changed_is_prepared_anew(change):
    layer = ours.TransposedConv(3, 5, 4, padding=1, bias=False)
    x = torch.randn(2, 3, 5, 7, generator=seeded(2))
    with torch.no_grad(), allowed("prepared"):
        before = [layer(x) for _ in range(3)][-1]
        change(layer)
        right = nn.functional.conv_transpose2d(x, layer.weight, stride=2, padding=1)
        for _ in range(3):
            torch.testing.assert_close(layer(x), right)
        assert not torch.allclose(before, right)


def test_what_is_kept_goes_with_its_weight():
    weight = torch.ones(2, 3, 4, 4)
    gc.collect()
    kept = len(minimal._PREPARED)
    assert seen_before(weight, K4) is None
    assert seen_before(weight, K4) is not None
    assert len(minimal._PREPARED) == kept + 1
    del weight
    gc.collect()
    assert len(minimal._PREPARED) == kept


def test_a_weight_whose_changes_are_not_counted_is_never_kept():
    with torch.inference_mode():
        weight = torch.ones(2, 3, 4, 4)
        assert [seen_before(weight, K4) for _ in range(3)] == [None] * 3


@pytest.mark.parametrize("use", ["prepared", "always"])
def test_gradients_are_pytorchs(use):
    layer = ours.TransposedConv(3, 5, 4, padding=1)
    theirs = nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1)
    theirs.load_state_dict(layer.state_dict())
    for frozen in (False, True):
        layer.requires_grad_(not frozen)
        x = torch.randn(2, 3, 5, 7, generator=seeded(2))
        with allowed(use):
            for _ in range(3):
                mine, yours = (x.clone().requires_grad_() for _ in range(2))
                y = layer(mine)
                torch.testing.assert_close(y, theirs(yours))
                y.square().sum().backward()
                theirs(yours).square().sum().backward()
                torch.testing.assert_close(mine.grad, yours.grad)
                if not frozen:
                    torch.testing.assert_close(layer.weight.grad, theirs.weight.grad)
                    torch.testing.assert_close(layer.bias.grad, theirs.bias.grad)
                layer.zero_grad()
                theirs.zero_grad()


def test_a_weight_that_is_trained_is_never_prepared_ahead():
    layer = ours.TransposedConv(3, 5, 4, padding=1)
    with allowed("prepared"), mock.patch.object(dense, "seen_before", side_effect=AssertionError):
        for _ in range(3):
            layer(torch.ones(1, 3, 5, 7)).sum().backward()


def test_a_module_that_was_used_can_be_copied():
    layer = ours.TransposedConv(3, 5, 4, padding=1).requires_grad_(False)
    x = torch.randn(2, 3, 5, 7, generator=seeded(2))
    with allowed("prepared"):
        right = [layer(x) for _ in range(3)][-1]
        twin = copy.deepcopy(layer)
        torch.testing.assert_close(twin(x), right)
        assert set(twin.state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize(
    ("x", "numbers", "dilation", "groups"),
    [
        (torch.ones(1, 2, 5, 7, dtype=torch.float64), K4, (1, 1), 1),
        (torch.ones(1, 2, 5, 7, dtype=torch.bfloat16), K4, (1, 1), 1),
        (torch.ones(1, 2, 5, 7), K4, (2, 1), 1),
        (torch.ones(1, 2, 5, 7), K4, (1, 1), 2),
        (torch.ones(1, 2, 5, 7), Filtering((4, 7), (2, 2), (1, 1)), (1, 1), 1),
        (torch.ones(0, 2, 5, 7), K4, (1, 1), 1),
        (torch.ones(1, 2, 5, 7, 3), Filtering((4,) * 3, (2,) * 3, (1,) * 3), (1,) * 3, 1),
    ],
)
def test_what_is_not_served(x, numbers, dilation, groups):
    assert not is_served(x, numbers, dilation, groups)


@pytest.mark.parametrize("row", MEASURED)
def test_the_choice_at_a_measured_size_is_what_was_faster_there(row):
    size, kernel, scale = (round(n ** (1 / row.axes)) for n in (row.cells, row.taps, row.phases))
    with mock.patch.object(minimal_choice, "INSTRUCTIONS", ("any",)):
        choice = best_use(
            batch=row.batch,
            channels=row.channels[0],
            out=row.channels[1],
            cells=(size,) * row.axes,
            kernel=(kernel,) * row.axes,
            stride=(scale,) * row.axes,
            channels_last=row.layout == "channels-last",
            instructions="any",
        )
    assert math.prod((size,) * row.axes) == row.cells
    if row.filtered > row.otherwise:
        assert choice.use == "never"
    if row.filtered + row.preparing < 0.9 * row.otherwise:
        assert choice.use == "always"


def test_other_instructions_were_not_measured():
    call = {"batch": 1, "channels": 64, "out": 64, "cells": (64, 64), "kernel": (4, 4), "stride": (2, 2)}
    choice = best_use(**call, channels_last=True, instructions="baseline")
    assert choice == MinimalChoice("never", "channels-last: it was not measured with baseline")
    assert instructions() is not None
