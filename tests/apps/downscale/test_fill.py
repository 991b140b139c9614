"""Laws of the fill of cells without a value."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.downscale.fill import land_fill
from upstroke.errors import ShapeError


@st.composite
def masks(draw):
    """A mask of any density with at least one valid cell, and which axes are periodic."""
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    random = np.random.default_rng(draw(st.integers(0, 2**31 - 1)))
    valid = random.random(shape) < draw(st.sampled_from([0.05, 0.3, 0.8]))
    valid[tuple(int(random.integers(size)) for size in shape)] = True
    return valid, (draw(st.booleans()), draw(st.booleans()))


def fields_on(valid, steps=2):
    values = np.random.default_rng(int(valid.sum())).standard_normal((steps, *valid.shape))
    return np.where(valid, values, np.nan)


def filled_by_hand(field, is_periodic):
    """Ring by ring, cell by cell."""
    field = field.copy()
    while np.isnan(field).any():
        ring = {}
        for y, x in zip(*np.nonzero(np.isnan(field)), strict=True):
            total = weight = 0.0
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    there = [y + dy, x + dx]
                    for axis in (0, 1):
                        if is_periodic[axis]:
                            there[axis] %= field.shape[axis]
                    inside = all(0 <= t < n for t, n in zip(there, field.shape, strict=True))
                    if inside and not np.isnan(field[tuple(there)]):
                        share = 1.0 if dy == 0 or dx == 0 else 0.5
                        total, weight = total + share * field[tuple(there)], weight + share
            if weight:
                ring[y, x] = total / weight
        for cell, value in ring.items():
            field[cell] = value
    return field


@given(mask=masks())
def test_it_is_the_mean_of_known_neighbours_ring_by_ring(mask):
    valid, is_periodic = mask
    fields = fields_on(valid)
    filled = land_fill(valid, is_periodic=is_periodic)(fields)
    expected = np.stack([filled_by_hand(field, is_periodic) for field in fields])
    np.testing.assert_allclose(filled, expected, rtol=0, atol=1e-13)


@given(mask=masks())
def test_nothing_leaves_the_range_of_the_valid_values_and_they_stay_as_they_are(mask):
    valid, is_periodic = mask
    fields = fields_on(valid)
    filled = land_fill(valid, is_periodic=is_periodic)(fields)
    np.testing.assert_array_equal(filled[:, valid], fields[:, valid])
    for field, whole in zip(fields, filled, strict=True):
        assert np.nanmin(field) - 1e-14 <= whole.min()
        assert whole.max() <= np.nanmax(field) + 1e-14


@given(mask=masks())
def test_what_stands_on_land_never_matters(mask):
    valid, is_periodic = mask
    fill = land_fill(valid, is_periodic=is_periodic)
    fields = fields_on(valid)
    np.testing.assert_array_equal(fill(np.where(valid, fields, np.inf)), fill(fields))
    np.testing.assert_array_equal(fill(np.where(valid, fields, 1e30)), fill(fields))


@given(mask=masks(), a=st.floats(-3, 3))
def test_it_is_linear_and_keeps_constants(mask, a):
    valid, is_periodic = mask
    fill = land_fill(valid, is_periodic=is_periodic)
    one, two = fields_on(valid)
    np.testing.assert_allclose(fill(a * one + two), a * fill(one) + fill(two), rtol=0, atol=1e-12)
    np.testing.assert_allclose(fill(np.where(valid, 7.0, np.nan)), 7.0, rtol=1e-14)


def test_a_sea_is_continued_by_its_own_shore():
    valid = np.ones((3, 12), dtype=bool)
    valid[:, 4:8] = False
    fill = land_fill(valid)
    west = fill(np.where(np.arange(12) < 6, 1.0, 0.0) * np.ones((3, 1)))
    np.testing.assert_allclose(west[:, 4:8], [[1, 1, 0, 0]] * 3, rtol=1e-14, atol=0)


def test_a_sea_is_continued_across_the_seam_where_the_axis_is_periodic():
    valid = np.array([[True, False, False, False, False, False]])
    valid[0, 3] = True
    field = np.array([[5.0, np.nan, np.nan, 2.0, np.nan, np.nan]])
    assert land_fill(valid, is_periodic=(False, True))(field).tolist() == [[5.0, 5.0, 2.0, 2.0, 2.0, 5.0]]
    assert land_fill(valid)(field).tolist() == [[5.0, 5.0, 2.0, 2.0, 2.0, 2.0]]


def test_nothing_valid_gives_zeros_and_nothing_missing_gives_the_field():
    field = np.arange(6.0).reshape(2, 3)
    assert land_fill(np.zeros((2, 3), dtype=bool))(np.full((2, 3), np.nan)).tolist() == [[0.0] * 3] * 2
    np.testing.assert_array_equal(land_fill(np.ones((2, 3), dtype=bool))(field), field)


def test_fields_of_other_cells_are_refused():
    message = "the fields must end in the axes (2, 3) of the mask; got shape (4, 3, 2)"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        land_fill(np.ones((2, 3), dtype=bool))(np.zeros((4, 3, 2)))
