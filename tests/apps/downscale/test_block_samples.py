"""Laws of the samples of blocks and of the shift that gives them their means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.downscale.block_samples import give_means, samples_of


@given(
    scale=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    size=st.tuples(st.integers(1, 4), st.integers(1, 5)),
)
def test_blocks_hold_the_samples_that_a_reshape_puts_there(scale, size):
    rows, columns = size
    numbers = np.arange(rows * scale[0] * columns * scale[1]).reshape(rows, scale[0], columns, scale[1])
    expected = numbers.swapaxes(1, 2).reshape(rows * columns, -1)
    np.testing.assert_array_equal(samples_of(np.arange(rows * columns), columns, scale), expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-13)])
def test_a_block_far_from_its_mean_loses_no_digits_on_the_way(dtype, tolerance):
    random = np.random.default_rng(0)
    fine = np.full((6, 10), 1e9 / 3, dtype=dtype)
    blocks = np.array([0, 3, 4])
    samples = samples_of(blocks, 2, (2, 5))
    shares = random.uniform(0, 1, samples.shape)
    shares /= shares.sum(axis=1, keepdims=True)
    means = np.array([1e-3, -2e-3, 0.7])
    before = fine.copy()
    give_means(fine, means, samples, shares)
    there = (fine.ravel()[samples] * shares).sum(axis=1)
    np.testing.assert_allclose(there, means, rtol=tolerance)
    np.testing.assert_allclose(fine.ravel()[samples], means[:, None] * np.ones(10), rtol=tolerance)
    others = np.setdiff1d(np.arange(fine.size), samples)
    np.testing.assert_array_equal(fine.ravel()[others], before.ravel()[others])
