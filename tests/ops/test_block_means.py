"""Block means are weighted means over blocks, whatever stands in samples that do not count."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks_by_hand import blocks, seeded
from upstroke.errors import OptionError, ShapeError
from upstroke.ops import block_means


@settings(max_examples=15)
@given(case=blocks())
def test_they_are_the_means_of_the_blocks_by_hand(case):
    y, scale, weights = case
    means = block_means(y, scale, weights=weights)
    w = torch.ones_like(y) if weights is None else weights.expand_as(y)
    assert means.shape == (*y.shape[:-2], y.shape[-2] // scale[0], y.shape[-1] // scale[1])
    for place in np.ndindex(*means.shape):
        *batch, row, column = place
        window = (
            *batch,
            slice(row * scale[0], (row + 1) * scale[0]),
            slice(column * scale[1], (column + 1) * scale[1]),
        )
        total = w[window].sum()
        if total == 0:
            assert means[place].isnan()
        else:
            torch.testing.assert_close(means[place], (y * w)[window].sum() / total, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_every_number_of_axes_has_blocks(ndim):
    scale, cells = (2, 3, 5)[:ndim], (3, 2, 4)[:ndim]
    means = torch.randn(2, *cells, dtype=torch.float64, generator=seeded(0))
    y = means
    for axis, s in enumerate(scale):
        y = y.repeat_interleave(s, dim=1 + axis)
    torch.testing.assert_close(block_means(y, scale), means, rtol=1e-14, atol=1e-14)


@given(case=blocks(weighted=True), bad=st.sampled_from((torch.nan, torch.inf, 1e30)))
def test_what_has_no_weight_is_not_looked_at_and_gets_no_gradient(case, bad):
    y, scale, weights = case
    spoilt = torch.where(weights.expand_as(y) > 0, y, bad).requires_grad_()
    means = block_means(spoilt, scale, weights=weights)
    torch.testing.assert_close(means, block_means(y, scale, weights=weights), equal_nan=True)
    means.nan_to_num().sum().backward()
    assert spoilt.grad.isfinite().all()
    assert (spoilt.grad[weights.expand_as(y) == 0] == 0).all()


def test_a_weight_that_is_nan_or_negative_counts_as_none():
    y = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
    weights = torch.tensor([torch.nan, 1.0, -1.0, 2.0])
    assert block_means(y, (1, 2), weights=weights).tolist() == [[2.0, 8.0]]


def test_half_types_are_summed_in_float32():
    y = torch.full((1, 4096), 1.0078125, dtype=torch.bfloat16)
    means = block_means(y, (1, 4096))
    assert means.dtype == torch.float32
    torch.testing.assert_close(means, torch.full((1, 1), 1.0078125), rtol=1e-6, atol=0)


def test_the_total_of_a_million_cells_is_kept_in_float32():
    y = torch.rand(1000, 1000, generator=seeded(1)) + 270
    weights = torch.rand(1000, 1, generator=seeded(2)) + 0.1
    means = block_means(y, (4, 5), weights=weights)
    totals = block_means(weights.expand_as(y), (4, 5)) * 20
    kept = (means.double() * totals.double()).sum()
    there = (y.double() * weights.double()).sum()
    assert abs(kept / there - 1) <= 1e-6


def test_weights_in_float64_are_not_rounded():
    # in float32 the second weight would be 1, too
    y = torch.tensor([[2.0**30, -(2.0**30)]])
    means = block_means(y, (1, 2), weights=torch.tensor([1.0, 1 - 2**-30], dtype=torch.float64))
    assert means.dtype == torch.float32
    torch.testing.assert_close(means, torch.tensor([[0.5]]), rtol=1e-6, atol=0)


@settings(max_examples=4)
@given(case=blocks())
def test_gradients_are_those_of_the_formula(case):
    y, scale, weights = case
    assert torch.autograd.gradcheck(
        lambda z: block_means(z, scale, weights=weights).nan_to_num(), y.clone().requires_grad_()
    )


@pytest.mark.parametrize(
    ("y", "scale", "weights", "error", "message"),
    [
        (
            torch.zeros(4, 7),
            (2, 3),
            None,
            ShapeError,
            "the last 2 axes of y must be filled by blocks of 2x3 samples; got shape (4, 7)",
        ),
        (
            torch.zeros(6),
            (2, 3),
            None,
            ShapeError,
            "the last 2 axes of y must be filled by blocks of 2x3 samples; got shape (6,)",
        ),
        (
            torch.zeros(4, 6),
            (2, 0),
            None,
            OptionError,
            "scale must be one whole number of at least 1 for each of the last axes; got (2, 0)",
        ),
        (
            torch.zeros(4, 6),
            (2, 3),
            torch.ones(3, 6),
            ShapeError,
            "weights must have a shape that broadcasts to (4, 6), that of y; got (3, 6)",
        ),
        (
            torch.zeros(4, 6),
            (2, 3),
            torch.ones(4, 6, dtype=torch.bool),
            OptionError,
            "weights must have a floating dtype; got torch.bool, so convert it by .float()",
        ),
    ],
)
def test_what_does_not_fit_is_refused(y, scale, weights, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        block_means(y, scale, weights=weights)
