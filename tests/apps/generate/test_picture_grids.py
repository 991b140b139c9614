"""Single pictures have as much of a grid as noise has, by the definition, unless a grid is planted."""

import re

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.generate.picture_grids import picture_grids
from upstroke.errors import OptionError


@given(
    size=st.tuples(st.integers(8, 13), st.integers(8, 13)),
    channels=st.sampled_from([1, 3]),
    period=st.integers(2, 4),
    seed=st.integers(0, 99),
)
def test_it_is_the_variance_over_phases_by_that_of_noise(size, channels, period, seed):
    pictures = numpy.random.default_rng(seed).integers(0, 256, (2, channels, *size), dtype=numpy.uint8)
    wanted = []
    for picture in pictures:
        for channel in picture:
            whole = channel[: size[0] // period * period, : size[1] // period * period].astype(float)
            means = [whole[p::period, q::period].mean() for p in range(period) for q in range(period)]
            wanted.append(numpy.var(means) / (whole.var() * (period**2 - 1) / whole.size))
    (found,) = picture_grids(pictures, pictures[:1], periods=[period])
    assert found.samples == pytest.approx(numpy.mean(wanted), rel=1e-9)
    assert found.real == pytest.approx(numpy.mean(wanted[:channels]), rel=1e-9)


def test_noise_is_at_chance_and_a_grid_above():
    noise = numpy.random.default_rng(0).integers(20, 236, (300, 1, 32, 32), dtype=numpy.uint8)
    found = picture_grids(noise, noise[:50])
    assert [each.period for each in found] == [2, 4, 8, 16]
    for each in found:
        assert each.samples == pytest.approx(1, abs=5 * each.error)
        assert not each.is_above
    grid = numpy.zeros((4, 4), numpy.uint8)
    grid[1, 2] = 18
    # of period 4, and so of 8 and 16, but hardly of 2
    marked = picture_grids(noise + numpy.tile(grid, (8, 8)), noise)
    assert [each.is_above for each in marked] == [False, True, True, True] or marked[0].samples < marked[
        1
    ].samples
    assert marked[1].samples > 1.2


def test_flat_pictures_have_no_grid():
    flat = numpy.full((3, 1, 16, 16), 7, numpy.uint8)
    assert [each.samples for each in picture_grids(flat, flat)] == [0.0] * 4


def test_periods_that_do_not_fit_are_refused():
    pictures = numpy.zeros((2, 1, 8, 12), numpy.uint8)
    message = "periods must be from 2 to the side of a picture, of one picture at least; got 2, 9 for 2 samples of 8x12"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        picture_grids(pictures, pictures, periods=(2, 9))
    with pytest.raises(OptionError, match=r"for 0 real pictures of 8x12$"):
        picture_grids(pictures, pictures[:0], periods=(2,))
