"""Hold the scores: known fields have known errors, areas weigh, and the interior is what a loop finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.downscale.scores import (
    MeanErrors,
    Tally,
    block_sums,
    finished,
    interior,
    mean_errors,
    quantiles,
    spread,
    tallied,
)


def scored(field, truth, weights):
    return finished(tallied(Tally(), np.asarray(field), np.asarray(truth), np.asarray(weights)))


def test_scores_of_a_field_that_is_known():
    truth = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, np.nan]])
    field = np.array([[2.0, 2.0, 1.0], [4.0, 8.0, 7.0]])
    weights = np.array([[2.0, 1.0, 1.0], [3.0, 1.0, 5.0]])
    scores = scored(field, truth, weights)
    # errors 1, 0, -2, 0, 3 of areas 2, 1, 1, 3, 1; the cell without a truth is left out
    assert scores.cells == 5
    assert scores.rmse == pytest.approx(np.sqrt((2 * 1 + 1 * 4 + 1 * 9) / 8))
    assert scores.mae == pytest.approx((2 * 1 + 2 + 3) / 8)
    assert scores.bias == pytest.approx((2 - 2 + 3) / 8)
    assert (scores.most_over, scores.most_under) == (3.0, -2.0)
    assert (scores.least_error, scores.greatest_error) == (0.0, 3.0)
    # the truth goes from 1 to 5; one cell of area 1 of 8 has 8
    assert (scores.overshoot, scores.beyond) == (3.0, 1 / 8)


def test_cells_of_no_weight_count_nothing_whatever_they_hold():
    truth, field = np.array([1.0, 100.0, np.nan]), np.array([1.5, -np.inf, 3.0])
    assert scored(field, truth, [2.0, 0.0, 0.0]) == scored([1.5], [1.0], [2.0])


def test_no_cell_has_no_scores():
    assert scored([1.0], [np.nan], [1.0]) is None


def test_a_true_field_has_no_error():
    truth = np.random.default_rng(0).normal(size=(5, 7))
    scores = scored(truth, truth, np.ones((5, 7)))
    errors = {name: value for name, value in vars(scores).items() if name != "cells"}
    assert scores.cells == 35
    assert set(errors.values()) == {0.0}


def test_steps_add_up_to_the_score_of_all():
    random = np.random.default_rng(1)
    truth, field, weights = (
        random.normal(size=(3, 2, 4, 6))[:, 0],
        random.normal(size=(3, 4, 6)),
        random.random((3, 4, 6)),
    )
    tally = Tally()
    for each in zip(field, truth, weights, strict=True):
        tally = tallied(tally, *each)
    scores, error = finished(tally), field - truth
    assert scores.rmse == pytest.approx(np.sqrt(np.average(error**2, weights=weights)))
    assert scores.mae == pytest.approx(np.average(np.abs(error), weights=weights))
    assert scores.bias == pytest.approx(np.average(error, weights=weights))
    assert scores.most_over == error.max()
    # tails are means over steps
    low = [
        quantiles(f.ravel(), w.ravel()) - quantiles(t.ravel(), w.ravel())
        for f, t, w in zip(field, truth, weights, strict=True)
    ]
    assert (scores.low_error, scores.high_error) == pytest.approx(tuple(np.mean(low, axis=0)))
    assert scores.greatest_error == pytest.approx(np.mean(field.max(axis=(1, 2)) - truth.max(axis=(1, 2))))


def test_rounding_is_no_overshoot():
    truth = np.full(4, -1.8, dtype=np.float32)
    scores = scored(np.nextafter(truth, np.float32(-9)), truth, np.ones(4))
    assert (scores.overshoot, scores.beyond) == (0.0, 0.0)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=30), st.floats(0, 1))
def test_quantiles_of_equal_areas_are_hazens(values, at):
    found = quantiles(np.array(values), np.full(len(values), 2.5), (at,))
    assert found[0] == pytest.approx(np.quantile(values, at, method="hazen"), abs=1e-9)


def test_a_larger_area_pulls_a_quantile():
    values = np.array([0.0, 1.0, 2.0, 3.0])
    assert (
        quantiles(values, np.array([1.0, 1.0, 1.0, 9.0]), (0.5,))[0]
        > quantiles(values, np.ones(4), (0.5,))[0]
    )


def test_block_sums_and_their_spread():
    values = np.arange(2 * 6 * 8.0).reshape(2, 6, 8)
    sums = block_sums(values, (3, 2))
    expected = [
        [[values[b, 3 * i : 3 * i + 3, 2 * j : 2 * j + 2].sum() for j in range(4)] for i in range(2)]
        for b in range(2)
    ]
    assert np.array_equal(sums, expected)
    assert np.array_equal(block_sums(spread(sums, (3, 2)), (3, 2)), 6 * sums)


@given(
    st.integers(1, 5),
    st.integers(1, 6),
    st.booleans(),
    st.tuples(st.booleans(), st.booleans()),
    st.integers(0, 2**30),
)
def test_interior_is_what_a_loop_finds(ny, nx, is_periodic, poles, seed):
    whole = np.random.default_rng(seed).random((ny, nx)) < 0.85

    def at(row, column):
        if row < 0 or row >= ny:
            return poles[0] if row < 0 else poles[1]
        if is_periodic:
            return whole[row, column % nx]
        return 0 <= column < nx and whole[row, column]

    def around(row, column):
        # beyond a pole there is no column either
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                beyond = not 0 <= row + dy < ny
                off = not is_periodic and not 0 <= column + dx < nx
                if off or (beyond and not at(row + dy, column)) or not (beyond or at(row + dy, column + dx)):
                    return False
        return True

    expected = [[around(row, column) for column in range(nx)] for row in range(ny)]
    assert np.array_equal(interior(whole, is_periodic=is_periodic, poles=poles), expected)


def test_block_means_are_compared_where_both_are():
    means, coarse = np.array([1.0, np.nan, -8.0, 3.0]), np.array([1.5, 100.0, -8.0, np.nan])
    assert mean_errors(means, coarse) == MeanErrors(largest=0.5, relative=0.5 / 8)
    assert mean_errors(means[1:2], coarse[1:2]) == MeanErrors(largest=0.0, relative=0.0)
