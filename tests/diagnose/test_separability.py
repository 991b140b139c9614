import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import seeded
from upstroke.diagnose import separability
from upstroke.errors import ShapeError


def drawn(seed, *shape):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


@given(st.integers(0, 99))
def test_the_energy_is_that_of_the_singular_values(seed):
    weight = drawn(seed, 3, 5, 4, 2)
    kept = separability(weight)
    first = sum(float(torch.linalg.svdvals(each.flatten(1))[0] ** 2) for each in weight)
    last = sum(float(torch.linalg.svdvals(each.flatten(1))[0] ** 2) for each in weight.transpose(0, 1))
    whole = float(weight.square().sum())
    assert kept.depthwise_first == pytest.approx(first / whole)
    assert kept.pointwise_first == pytest.approx(last / whole)


@given(st.integers(0, 99))
def test_separable_weights_keep_all_in_their_own_order(seed):
    mixing = drawn(seed, 3, 5)[:, :, None, None]
    depthwise_first = separability(mixing * drawn(seed + 1, 3, 1, 4, 2))
    pointwise_first = separability(mixing * drawn(seed + 2, 1, 5, 4, 2))
    assert depthwise_first.depthwise_first == pytest.approx(1)
    assert pointwise_first.pointwise_first == pytest.approx(1)
    assert depthwise_first.pointwise_first < 0.999
    assert pointwise_first.depthwise_first < 0.999


def test_the_error_of_the_output_is_what_is_not_kept():
    """The nearest separable weights, made from singular vectors, miss so much of the answer to noise."""
    weight = drawn(0, 4, 6, 4, 4) * 0.1 + drawn(1, 4, 6, 1, 1) * drawn(2, 4, 1, 4, 4)
    nearest = torch.empty_like(weight)
    for channel, rows in enumerate(weight):
        u, s, v = torch.linalg.svd(rows.flatten(1), full_matrices=False)
        nearest[channel] = (s[0] * torch.outer(u[:, 0], v[0])).reshape(rows.shape)
    x = drawn(3, 1, 4, 96, 96)
    wanted, got = (torch.nn.functional.conv_transpose2d(x, each, stride=2) for each in (weight, nearest))
    error = float((wanted - got).norm() / wanted.norm())
    assert error == pytest.approx((1 - separability(weight).depthwise_first) ** 0.5, rel=0.05)


def test_zeros_are_separable_and_lines_have_no_kernel():
    assert separability(torch.zeros(2, 3, 4)).depthwise_first == 1
    message = "weights must have shape (in, out, *kernel); got (2, 3)"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        separability(torch.zeros(2, 3))
