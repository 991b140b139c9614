"""Hold the spectral detector by what it must find, by what it must not, and by what it must not see."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat
from scipy.optimize import minimize

from strategies import seeded
from upstroke.apps.generate import detector
from upstroke.apps.generate.detector import detector_accuracy
from upstroke.errors import OptionError

GRID = np.array([[0, 1], [1, 0]], dtype=np.uint8)


def pictures(count, *, seed, size=(16, 20), channels=1):
    """Smooth content with some noise, as bytes."""
    generator = np.random.default_rng(seed)
    smooth = generator.normal(size=(count, channels, *size)).cumsum(2).cumsum(3)
    return np.clip(128 + 4 * smooth + generator.normal(size=smooth.shape), 0, 255).astype(np.uint8)


def test_halves_of_one_set_of_faces_are_not_told_apart(data_dir):
    faces = loadmat(data_dir / "faces" / "olivetti" / "olivettifaces.mat")["faces"]
    order = np.random.default_rng(1).permutation(400)[:120]
    some = faces.T.reshape(400, 1, 64, 64).swapaxes(2, 3)[order]
    found = detector_accuracy(some[:60], some[60:], shuffles=39)
    assert found.chance_low <= found.accuracy <= found.chance_high
    assert found.low < found.chance < found.high
    assert found.p_value > 0.05
    planted = detector_accuracy(some[:60] // 2 + 2 * np.tile(GRID, (32, 32)), some[60:] // 2, shuffles=39)
    assert planted.accuracy > 0.97
    assert planted.p_value == 1 / 40


def test_p_values_of_sets_that_do_not_differ_are_spread_over_all_of_0_to_1():
    found = [
        detector_accuracy(
            pictures(20, seed=2 * i), pictures(20, seed=2 * i + 1), seed=i, repeats=1, shuffles=19
        )
        for i in range(30)
    ]
    p = np.array([each.p_value for each in found])
    assert abs(p.mean() - 0.525) < 4 * 0.29 / 30**0.5
    assert (p <= 0.05).sum() <= 6
    assert abs(np.mean([each.accuracy for each in found]) - 0.5) < 0.06


@pytest.mark.parametrize("channel", [0, 2])
def test_a_grid_in_one_channel_is_found(channel):
    samples, real = pictures(40, seed=0, channels=3), pictures(40, seed=1, channels=3)
    samples[:, channel] += 6 * np.tile(GRID, (8, 10))
    found = detector_accuracy(samples, real, shuffles=19)
    assert found.accuracy > 0.9
    assert found.p_value == 0.05
    assert (found.pictures, found.samples, found.real, found.copies) == (40, 40, 40, 0)


def test_the_same_seed_gives_the_same_and_another_other_folds():
    sets = pictures(24, seed=0), pictures(31, seed=1)
    first = detector_accuracy(*sets, seed=4, shuffles=9)
    assert detector_accuracy(*sets, seed=4, shuffles=9) == first
    assert detector_accuracy(*sets, seed=5, shuffles=9) != first
    assert (first.pictures, first.samples, first.real) == (24, 24, 31)
    assert first.as_json()["accuracy"] == first.accuracy
    fewer = detector_accuracy(*sets, seed=4, shuffles=9, most=12)
    assert (fewer.pictures, fewer.samples, fewer.real) == (12, 24, 31)


def test_samples_that_are_all_copies_are_right_as_often_as_wrong():
    real = pictures(30, seed=3)
    found = detector_accuracy(real[::-1].copy(), real, shuffles=9)
    assert found.copies == 30
    assert (found.accuracy, found.chance_low, found.chance_high) == (0.5, 0.5, 0.5)
    assert found.p_value == 1


def test_a_picture_that_is_repeated_counts_once():
    samples, real = pictures(20, seed=4), pictures(20, seed=5)
    found = detector_accuracy(samples.repeat(3, axis=0), real, shuffles=3)
    assert (found.pictures, found.samples) == (20, 20)
    message = (
        "to tell samples from real pictures at least 10 distinct ones of each are needed for 5 folds; "
        "got 1 and 20; give more pictures or fewer folds"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        detector_accuracy(samples[:1].repeat(20, axis=0), real)


def test_pictures_without_content_are_no_trouble():
    flat = np.arange(30, dtype=np.uint8).repeat(64).reshape(30, 1, 8, 8)
    found = detector_accuracy(flat[:15], flat[15:], shuffles=9)
    assert found.accuracy == 0.5


@given(st.integers(0, 10**6))
def test_a_held_out_picture_is_judged_by_the_other_folds_alone(seed):
    generator = seeded(seed)
    spectra = torch.randn(40, 5, generator=generator, dtype=torch.float64)
    label = torch.arange(40) < 20
    fold = torch.arange(40) % 4
    before = detector._held_out_scores(spectra, label, fold)
    other, wrong = spectra.clone(), label.clone()
    held = torch.nonzero(fold == 2).flatten()
    # nothing of a held-out fold, neither values nor labels, changes what is said of its other pictures
    other[held[0]] = 1e6 * torch.randn(5, generator=generator, dtype=torch.float64)
    wrong[held] = ~wrong[held]
    after = detector._held_out_scores(other, wrong, fold)
    assert torch.equal(after[held[1:]], before[held[1:]])
    # and it does change what is said of the others
    assert not torch.equal(after[fold == 1], before[fold == 1])


@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(12, 30), st.data())
def test_folds_hold_as_many_of_either_set_and_copies_together(seed, folds, few, data):
    copies = data.draw(st.integers(0, few))
    generator = seeded(seed)
    partner = torch.full((2 * few,), -1)
    ours, theirs = (torch.randperm(few, generator=generator)[:copies] + start for start in (0, few))
    partner[ours], partner[theirs] = theirs, ours
    order, moved = detector._mixed(partner, generator)
    assert sorted(order.tolist()) == list(range(2 * few))
    for at, other in enumerate(moved.tolist()):
        if other < 0:
            assert partner[order[at]] < 0
        else:
            assert partner[order[at]] == order[other]
            assert (at < few) != (other < few)
    for each in (partner, moved):
        fold = detector._folds(each, folds, generator)
        for part in (fold[:few], fold[few:]):
            counts = part.bincount(minlength=folds)
            assert counts.max() - counts.min() <= 1
        paired = each >= 0
        assert torch.equal(fold[paired], fold[each[paired]])


@pytest.mark.parametrize("separable", [False, True])
def test_the_rule_is_the_one_of_least_loss(separable):
    """SciPy is the outsider."""
    generator = seeded(6)
    features = torch.randn(60, 4, generator=generator, dtype=torch.float64)
    label = (features[:, 0] > 0.2) if separable else torch.rand(60, generator=generator) < 0.4
    sign = label.numpy() * 2.0 - 1

    def loss(weight):
        margins = sign * (features.numpy() @ weight[1:] + weight[0])
        return np.logaddexp(0, -margins).sum() + (weight[1:] ** 2).sum() / 2

    wanted = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose(detector._logistic(features, label), wanted, atol=1e-4)


def test_newton_steps_that_overshoot_are_halved():
    features = torch.tensor([[1e4], [-1e4], [2e4], [3.0]], dtype=torch.float64)
    label = torch.tensor([True, False, False, True])
    weight = detector._logistic(features, label)
    margins = (label.double() * 2 - 1) * (features[:, 0] * weight[1] + weight[0])
    wrong = torch.sigmoid(-margins) * (label.double() * 2 - 1)
    assert abs(float(wrong.sum())) < 1e-6
    assert abs(float(weight[1] - (wrong * features[:, 0]).sum())) < 1e-3


@pytest.mark.parametrize(("share", "count", "wanted"), [(0.5, 100, (0.4038, 0.5962)), (1.0, 10, (0.7225, 1.0)), (0.9, 40, (0.7695, 0.9604))])  # fmt: skip
def test_the_interval_is_wilsons(share, count, wanted):
    assert detector._wilson(share, count) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((20, 1, 8, 8), (20, 3, 8, 8)), {}, "samples and real pictures must have the same channels and size; got 1x8x8 and 3x8x8; resize one set"),
        (((20, 1, 8, 8), (20, 1, 8, 8)), {"folds": 1}, "at least 2 folds, 1 repeat and 1 shuffle are needed; got 1, 2 and 99"),
        (((20, 1, 8, 8), (20, 1, 8, 8)), {"most": 9}, "at least 10 pictures of each set must take part for 5 folds; got most 9"),
        (((20, 1, 8, 8), (20, 1, 8, 8)), {"shuffles": 0}, "at least 2 folds, 1 repeat and 1 shuffle are needed; got 5, 2 and 0"),
    ],
)  # fmt: skip
def test_sets_that_cannot_be_compared_are_refused(shapes, options, message):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        detector_accuracy(*(np.zeros(shape, np.uint8) for shape in shapes), **options)
