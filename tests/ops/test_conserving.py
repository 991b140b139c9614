"""What is upsampled with prefilters has the block means that went in, in one axis and more."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from blocks_by_hand import seeded
from strategies import BORDERS
from upstroke.errors import ShapeError
from upstroke.ops import block_means, conserving_upsample, prefilter, upsample
from upstroke.polyphase import bspline, linear, nearest

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}


def latitudes(samples):
    """Areas of rows from pole to pole."""
    edges = torch.linspace(-torch.pi / 2, torch.pi / 2, samples + 1, dtype=torch.float64)
    return edges.sin().diff()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@given(
    kernel=st.sampled_from((linear, bspline)),
    scale=st.sampled_from(((2, 3), (4, 1), (3, 4), (1, 1))),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    border=st.tuples(st.sampled_from(BORDERS), st.sampled_from(BORDERS)),
    batch=st.sampled_from(((), (2,), (2, 3))),
    seed=st.integers(0, 2**20),
)
def test_block_means_come_back(dtype, kernel, scale, size, border, batch, seed):
    operators = [replace(kernel(s, ndim=1), border=(b,)) for s, b in zip(scale, border, strict=True)]
    rows = latitudes(scale[0] * size[0])
    prefilters = [prefilter(operators[0], size[0], weights=rows), prefilter(operators[1], size[1])]
    x = torch.randn(*batch, *size, generator=seeded(seed), dtype=torch.float64).to(dtype)
    y = conserving_upsample(x, operators, prefilters)
    assert y.dtype == dtype
    assert y.shape == (*batch, *(s * n for s, n in zip(scale, size, strict=True)))
    found = block_means(y.double(), scale, weights=rows[:, None])
    # beside the mean, what is upsampled may be larger: a border of zeros has it overshoot
    assert (found - x.double()).abs().max() <= TOLERANCE[dtype] * max(x.abs().max(), y.abs().max())


def test_on_the_sphere_the_total_of_a_million_cells_comes_back_in_float32():
    operators = [bspline(4, ndim=1), replace(bspline(4, ndim=1), border=("circular",))]
    rows = latitudes(720)
    prefilters = [prefilter(operators[0], 180, weights=rows), prefilter(operators[1], 360)]
    x = 15 + 12 * torch.randn(2, 180, 360, generator=seeded(1))
    y = conserving_upsample(x, operators, prefilters)
    found = block_means(y.double(), (4, 4), weights=rows[:, None])
    assert (found - x).abs().max() <= 1e-6 * x.abs().max()
    coarse = rows.reshape(180, 4).sum(1)[:, None] * 4
    assert abs((y.double() * rows[:, None]).sum() / (x.double() * coarse).sum() - 1) <= 1e-6


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_without_prefilters_it_is_the_operator_of_all_axes(ndim):
    scale = (2, 3, 4)[:ndim]
    x = torch.randn(2, *(4, 5, 6)[:ndim], generator=seeded(2), dtype=torch.float64)
    y = conserving_upsample(x, [linear(s, ndim=1) for s in scale], [None] * ndim)
    torch.testing.assert_close(y, upsample(x[:, None], linear(scale, ndim=ndim))[:, 0])


def test_axes_may_have_different_operators():
    operators = [bspline(3, ndim=1), replace(nearest(2, ndim=1), border=("zero",))]
    x = torch.randn(5, 7, generator=seeded(3), dtype=torch.float64)
    y = conserving_upsample(x, operators, [prefilter(operators[0], 5), None])
    torch.testing.assert_close(block_means(y, (3, 2)), x, rtol=1e-12, atol=1e-12)
    assert torch.equal(y[:, ::2], y[:, 1::2])


def test_gradients_are_those_of_the_formula():
    operators = [bspline(2, ndim=1), replace(bspline(3, ndim=1), border=("circular",))]
    prefilters = [prefilter(operators[0], 4), prefilter(operators[1], 3)]
    x = torch.randn(2, 4, 3, generator=seeded(4), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: conserving_upsample(x, operators, prefilters), x)


def test_what_does_not_fit_is_refused():
    operator = linear(2, ndim=1)
    message = (
        "conserving_upsample needs one operator and one prefilter (or None) for each of the last 1 to 3 axes "
        "of x; got 2 and 1 for shape (5, 7)"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        conserving_upsample(torch.zeros(5, 7), [operator] * 2, [None])
    message = f"operators must have 1 axis and one channel in and out each; got {linear(2)}"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        conserving_upsample(torch.zeros(5, 7), [linear(2)], [None])
