"""The way between two latent vectors: exact ends, equal steps of angle and of length, for any two vectors."""

import math
import re
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.generate.slerp import arc_between, slerp
from upstroke.errors import OptionError


def drawn(seed, size, length):
    z = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return z * (length / z.norm())


ways = given(
    seed=st.integers(0, 10**6),
    size=st.integers(2, 40),
    lengths=st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)),
    steps=st.integers(2, 15),
)


def angles(z):
    return torch.tensor([arc_between(one, other).angle for one, other in pairwise(z)])


@ways
def test_ends_are_exact_and_lengths_and_angles_change_in_equal_steps(seed, size, lengths, steps):
    first, last = drawn(seed, size, lengths[0]), drawn(seed + 1, size, lengths[1])
    z = slerp(first, last, steps)
    assert z.shape == (steps, size)
    assert bool((z[0] == first).all())
    assert bool((z[-1] == last).all())
    torch.testing.assert_close(z.norm(dim=1), torch.linspace(*lengths, steps, dtype=torch.float64))
    whole = torch.dot(first, last) / (first.norm() * last.norm())
    wanted = torch.full((steps - 1,), float(whole.clamp(-1, 1).acos()) / (steps - 1))
    # of the cosine half of the digits are left where vectors are nearly parallel
    torch.testing.assert_close(angles(z), wanted, atol=1e-6, rtol=1e-6)


@ways
def test_the_way_back_is_the_way_there(seed, size, lengths, steps):
    first, last = drawn(seed, size, lengths[0]), drawn(seed + 1, size, lengths[1])
    there, back = slerp(first, last, steps), slerp(last, first, steps)
    torch.testing.assert_close(back.flip(0), there, atol=1e-6 * max(lengths), rtol=0)


def test_half_way_between_vectors_of_one_length_is_their_mean_made_as_long():
    first, last = drawn(0, 100, 10.0), drawn(1, 100, 10.0)
    mean = (first + last) / 2
    torch.testing.assert_close(slerp(first, last, 3)[1], mean * (10 / mean.norm()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("longer", [1.0, 3.0])
@pytest.mark.parametrize("size", [2, 3, 100])
def test_opposite_vectors_are_half_a_turn_apart(size, longer, dtype):
    first = drawn(4, size, 2.0).to(dtype)
    last = -longer * first
    z = slerp(first, last, 7)
    assert bool(z.isfinite().all())
    assert bool((z[-1] == last).all())
    torch.testing.assert_close(angles(z), torch.full((6,), math.pi / 6), atol=1e-6, rtol=0)
    torch.testing.assert_close(z.norm(dim=1), torch.linspace(2, 2 * longer, 7, dtype=dtype))


@pytest.mark.parametrize("longer", [1.0, 3.0])
def test_vectors_of_one_direction_stay_in_it(longer):
    first = drawn(4, 9, 2.0).float()
    z = slerp(first, longer * first, 5)
    share = torch.linspace(1, longer, 5)[:, None]
    torch.testing.assert_close(z, share * first)


def test_vectors_that_are_hardly_apart_are_not_mixed_up():
    first = drawn(4, 9, 2.0)
    turned = first + 1e-7 * drawn(5, 9, 1.0)
    z = slerp(first, turned, 5)
    share = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    # so near the arc is its chord
    torch.testing.assert_close(z - first, share * (turned - first), atol=1e-13, rtol=1e-6)


def test_from_no_length_the_way_is_straight():
    last = drawn(2, 5, 3.0)
    nothing = torch.zeros(5, dtype=torch.float64)
    share = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)[:, None]
    torch.testing.assert_close(slerp(nothing, last, 3), share * last)
    torch.testing.assert_close(slerp(last, nothing, 3), (1 - share) * last)
    assert not slerp(nothing, nothing, 3).any()


def test_one_number_has_no_arc():
    z = slerp(torch.tensor([2.0]), torch.tensor([-1.0]), 4)
    torch.testing.assert_close(z[:, 0], torch.tensor([2.0, 1.0, 0.0, -1.0]))


@pytest.mark.parametrize("angle", [1e-12, 1e-5, 1.0, 3.0, math.pi - 1e-12])
def test_small_angles_and_nearly_half_turns_are_measured(angle):
    first = torch.tensor([2.0, 0.0], dtype=torch.float64)
    last = 5 * torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    found = arc_between(first, last)
    assert found.angle == pytest.approx(angle, rel=1e-3 if angle < 1e-9 else 1e-9)
    assert found.lengths == pytest.approx((2, 5))


def test_a_way_of_fewer_steps_than_ends_is_refused():
    message = "steps must be 2 or more, because both ends are among them; got 1"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        slerp(torch.ones(3), torch.zeros(3), 1)
