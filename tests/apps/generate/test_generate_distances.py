"""Hold distances of features against their definitions in float64, and against what chance and change must do."""

import re
import warnings

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from strategies import seeded
from upstroke.apps.generate.distances import feature_distances
from upstroke.errors import MissingExtraError, OptionError, ShapeError


def features(count, *, seed, numbers=6):
    mixing = torch.randn(numbers, numbers, generator=seeded(99), dtype=torch.float64)
    return torch.randn(count, numbers, generator=seeded(seed), dtype=torch.float64) @ mixing + 1


def kernel_distance(x, y):
    """The unbiased estimate, pair by pair."""
    k = [[(float(a @ b) / len(a) + 1) ** 3 for b in torch.cat([x, y])] for a in torch.cat([x, y])]
    n, m = len(x), len(y)
    own = sum(k[i][j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    their = sum(k[n + i][n + j] for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return own + their - 2 * sum(k[i][n + j] for i in range(n) for j in range(m)) / (n * m)


def test_fid_is_that_of_two_normal_distributions():
    """SciPy's root of a matrix is the outsider."""
    ours, theirs = features(50, seed=0), 1.3 * features(70, seed=1) - 0.4
    covariances = [np.cov(each.numpy(), rowvar=False) for each in (ours, theirs)]
    root = sqrtm(covariances[0] @ covariances[1])
    wanted = float((ours.mean(0) - theirs.mean(0)).square().sum()) + np.trace(covariances[0] + covariances[1] - 2 * root.real)  # fmt: skip
    assert feature_distances(ours, theirs).fid == pytest.approx(wanted, rel=1e-9)
    # float32 features are summed in float64
    assert feature_distances(ours.float(), theirs.float()).fid == pytest.approx(wanted, rel=1e-5)


def test_kid_is_the_mean_of_unbiased_estimates():
    ours, theirs = features(12, seed=0), 1.3 * features(12, seed=1)
    whole = feature_distances(ours, theirs, subset_size=12)
    assert whole.kid == pytest.approx(kernel_distance(ours, theirs), rel=1e-9)
    assert whole.kid_spread == pytest.approx(0, abs=1e-9)
    parts = feature_distances(ours, theirs, subsets=2000)
    assert (parts.subset_size, parts.subsets, parts.features, parts.counts) == (6, 2000, 6, (12, 12))
    assert parts.kid == pytest.approx(whole.kid, abs=4 * parts.kid_spread / 2000**0.5)


def test_kid_is_0_on_average_where_the_distributions_are_one():
    found = np.array([feature_distances(features(40, seed=2 * i), features(60, seed=2 * i + 1), subsets=10).kid for i in range(120)])  # fmt: skip
    assert abs(found.mean()) < 4 * found.std() / 120**0.5
    assert (found < 0).mean() > 0.3


def test_both_grow_with_the_distance_and_do_not_know_which_is_which():
    ours, theirs = features(80, seed=0), features(80, seed=1)
    found = [feature_distances(ours + shift, theirs) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert [each.fid for each in found] == sorted(each.fid for each in found)
    assert [each.kid for each in found] == sorted(each.kid for each in found)
    assert found[0].kid < 3 * found[0].kid_spread < found[3].kid
    assert feature_distances(ours, theirs, subset_size=80).kid == pytest.approx(feature_distances(theirs, ours, subset_size=80).kid)  # fmt: skip
    assert feature_distances(ours, ours).fid == pytest.approx(0, abs=1e-6)


def test_the_seed_says_all_and_the_process_keeps_its_own():
    sets = features(30, seed=0), features(30, seed=1)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = feature_distances(*sets, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert feature_distances(*sets, seed=3) == first
    assert feature_distances(*sets, seed=4).kid != first.kid
    assert first.as_json()["counts"] == [30, 30]


def test_without_torchmetrics_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchmetrics.image.fid", None)
    monkeypatch.setitem(__import__("sys").modules, "torchmetrics", None)
    message = "distances of features need the package torchmetrics; pip install 'upstroke[train]'"
    with pytest.raises(MissingExtraError, match=f"^{re.escape(message)}$"):
        feature_distances(features(9, seed=0), features(9, seed=1))


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize(
    ("counts", "options", "error", "message"),
    [
        ((3, 9), {}, OptionError, "a kernel distance needs at least 1 subset, of 2 to 3 pictures, with 3 samples and 9 real pictures; got 100 of 1"),
        ((5, 9), {"subset_size": 6}, OptionError, "a kernel distance needs at least 1 subset, of 2 to 5 pictures, with 5 samples and 9 real pictures; got 100 of 6"),
        ((5, 9), {"subsets": 0}, OptionError, "a kernel distance needs at least 1 subset, of 2 to 5 pictures, with 5 samples and 9 real pictures; got 0 of 2"),
    ],
)  # fmt: skip
def test_sets_that_are_too_small_are_refused(counts, options, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        feature_distances(*(features(count, seed=0) for count in counts), **options)


@pytest.mark.usefixtures("_unchecked")
def test_features_that_do_not_fit_are_refused():
    message = "features that are compared must be of one network; got 6 and 5 numbers"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        feature_distances(features(9, seed=0), features(9, seed=0, numbers=5))
    broken = features(9, seed=0)
    broken[3, 2] = torch.nan
    message = (
        "features must be finite; got NaN or infinity of 1 of 9 real pictures; take another feature network"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        feature_distances(features(9, seed=1), broken)
