"""Hold diversity and nearest neighbours against pairs one by one, and against collapse and copying."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.distance import cdist, pdist
from scipy.stats import mannwhitneyu

from strategies import seeded
from upstroke.apps.generate import diversity as module
from upstroke.apps.generate.diversity import (
    copies,
    diversity,
    nearest_neighbours,
    pixel_rows,
    repeated,
)
from upstroke.errors import OptionError, ShapeError


def rows(count, *, seed, numbers=5):
    return torch.randn(count, numbers, generator=seeded(seed), dtype=torch.float64) + 3


@pytest.fixture(scope="module")
def faces(data_dir):
    held = loadmat(data_dir / "faces" / "olivetti" / "olivettifaces.mat")["faces"]
    order = np.random.default_rng(0).permutation(400)
    return held.T.reshape(400, 1, 64, 64).swapaxes(2, 3)[order]


@pytest.fixture
def _small_blocks(monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 7)
    monkeypatch.setattr(module, "BLURRED", 3)


@pytest.mark.usefixtures("_small_blocks")
@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 999))
def test_diversity_is_the_mean_over_pairs(many, few, seed):
    """SciPy is the outsider."""
    ours, theirs = rows(many, seed=seed), 2 * rows(few, seed=seed + 1)
    found = diversity(ours, theirs)
    assert found.samples == pytest.approx(pdist(ours).mean(), rel=1e-9)
    assert found.real == pytest.approx(pdist(theirs).mean(), rel=1e-9)
    assert found.ratio == pytest.approx(found.samples / found.real)
    assert found.counts == (many, few)
    moved = diversity(ours + 1e6, theirs)
    assert moved.samples == pytest.approx(found.samples, rel=1e-6)


def test_the_error_of_the_ratio_is_that_of_sets_drawn_again():
    drawn = [diversity(1.5 * rows(40, seed=2 * i), rows(60, seed=2 * i + 1)) for i in range(150)]
    spread = np.std([each.ratio for each in drawn])
    assert np.mean([each.error for each in drawn]) == pytest.approx(spread, rel=0.2)
    assert np.mean([each.ratio for each in drawn]) == pytest.approx(1.5, abs=0.04)


def test_collapse_is_a_ratio_of_0():
    real = rows(20, seed=0)
    one = diversity(real[:1].repeat(9, 1), real)
    assert (one.samples, one.ratio) == (0.0, 0.0)
    assert diversity(real, real[:1].repeat(9, 1)).ratio is None
    assert diversity(real, real).as_json()["ratio"] == 1.0


@pytest.mark.usefixtures("_small_blocks")
@given(st.integers(1, 20), st.integers(2, 25), st.integers(1, 3), st.booleans(), st.integers(0, 999))
def test_neighbours_are_the_least_of_all_distances(few, count, views, is_held_out, seed):
    samples, training = rows(few, seed=seed), rows(count * views, seed=seed + 1)
    held_out = rows(6, seed=seed + 2) if is_held_out else None
    found = nearest_neighbours(samples, training, held_out=held_out, views=views)
    away = cdist(samples, training).reshape(few, views, count).min(axis=1)
    np.testing.assert_array_equal(found.index, away.argmin(axis=1))
    np.testing.assert_allclose(found.distance, away.min(axis=1))
    others = training[:count] if held_out is None else held_out
    real = cdist(others, training).reshape(len(others), views, count).min(axis=1)
    if held_out is None:
        np.fill_diagonal(real, np.inf)
    np.testing.assert_allclose(found.real_distance, real.min(axis=1))
    assert found.is_held_out == is_held_out


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=9), st.lists(st.integers(0, 5), min_size=1, max_size=9)
)
def test_nearer_is_the_statistic_of_mann_and_whitney(ours, theirs):
    found = module.Neighbours(
        index=np.zeros(len(ours), np.int64),
        distance=np.array(ours, float),
        real_distance=np.array(theirs, float),
        is_held_out=True,
    )
    wanted = mannwhitneyu(theirs, ours, method="asymptotic").statistic / (len(ours) * len(theirs))
    assert found.nearer == pytest.approx(wanted)
    median = np.median(theirs)
    assert found.ratio == (np.median(ours) / median if median else None)


def test_faces_that_were_learned_by_heart_are_near_and_held_out_ones_are_not(faces):
    training, held_out, unseen = faces[:200], faces[200:300], faces[300:]
    noisy = (training[:50] + np.random.default_rng(0).integers(-9, 10, (50, 1, 64, 64))).clip(0, 255)
    learned = nearest_neighbours(
        pixel_rows(noisy.astype(np.uint8)), pixel_rows(training), held_out=pixel_rows(held_out)
    )
    np.testing.assert_array_equal(learned.index, np.arange(50))
    assert learned.ratio < 0.2
    assert learned.nearer > 0.99
    for others in (held_out, None):
        fair = nearest_neighbours(
            pixel_rows(unseen),
            pixel_rows(training),
            held_out=None if others is None else pixel_rows(others),
        )
        assert 0.8 < fair.ratio < 1.25
        assert abs(fair.nearer - 0.5) < 0.15
    # a mirrored copy is found where mirrored pictures are looked at
    both = pixel_rows(np.concatenate([training, training[..., ::-1]]))
    mirrored = pixel_rows(np.ascontiguousarray(training[:30, :, :, ::-1]))
    assert nearest_neighbours(mirrored, both[:200]).distance.min() > 1
    found = nearest_neighbours(mirrored, both, views=2)
    assert found.distance.max() == 0
    np.testing.assert_array_equal(found.index, np.arange(30))
    record = found.as_json()
    assert record["ratio"] == 0
    assert record["samples"][3] == {"index": 3, "distance": 0.0}
    assert record["real"]["0"] <= record["real"]["50"] <= record["real"]["100"]


def test_half_of_faces_are_as_varied_as_the_other(faces):
    found = diversity(pixel_rows(faces[:200]), pixel_rows(faces[200:]))
    assert abs(found.ratio - 1) < 4 * found.error < 0.2
    greyer = (faces[:200] // 2 + 60).astype(np.uint8)
    assert diversity(pixel_rows(greyer), pixel_rows(faces[200:])).ratio == pytest.approx(
        found.ratio / 2, rel=0.02
    )


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("blur", [0.5, 1.0, 2.5])
def test_pixels_are_blurred_along_both_axes(blur):
    """SciPy is the outsider; a picture smaller than the blur's reach is mirrored again and again."""
    pictures = np.random.default_rng(0).integers(0, 256, (4, 2, 5, 17), dtype=np.uint8)
    wanted = pictures.astype(float)
    for axis in (2, 3):
        wanted = gaussian_filter1d(wanted, blur, axis, mode="reflect", radius=int(np.ceil(3 * blur)))
    found = pixel_rows(pictures, blur=blur) * (2 * 5 * 17) ** 0.5
    np.testing.assert_allclose(found, wanted.reshape(4, -1), rtol=1e-4)
    np.testing.assert_allclose(
        pixel_rows(pictures, blur=0.0) * (2 * 5 * 17) ** 0.5, pictures.reshape(4, -1), rtol=1e-6
    )


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=12)
)
def test_repeats_and_copies_are_found(ours, theirs):
    samples, training = (np.array(each, np.uint8).repeat(6).reshape(-1, 1, 2, 3) for each in (ours, theirs))
    found = repeated(samples)
    assert found.first.tolist() == [ours.index(each) for each in ours]
    assert (found.pictures, found.distinct) == (len(ours), len(set(ours)))
    assert found.most == max(map(ours.count, ours))
    assert found.as_json() == {"pictures": len(ours), "distinct": len(set(ours)), "most": found.most}
    assert copies(samples, training).tolist() == [
        theirs.index(each) if each in theirs else -1 for each in ours
    ]


def test_memory_does_not_grow_with_pairs():
    samples = torch.zeros(6000, 2)
    samples[:, 0] = torch.arange(6000)
    held = []
    for start, other, distance in module._blocks(samples, samples):
        held.append(distance.numel())
        assert distance[0, 0] == abs(start - other)
    assert max(held) == module.AT_ONCE**2
    assert sum(held) == 6000**2


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: diversity(rows(1, seed=0), rows(3, seed=0)), OptionError, "at least 2 pictures of each set are needed for a distance of two; got 1 and 3"),
        (lambda: diversity(rows(3, seed=0), rows(1, seed=0)), OptionError, "at least 2 pictures of each set are needed for a distance of two; got 3 and 1"),
        (lambda: diversity(rows(3, seed=0), rows(3, seed=0, numbers=4)), ShapeError, "rows that are compared must be of one length; got 5 and 4 numbers"),
        (lambda: nearest_neighbours(rows(0, seed=0), rows(3, seed=0)), OptionError, "a nearest neighbour needs at least 1 picture, and 2 of the training; got 0 and 3"),
        (lambda: nearest_neighbours(rows(2, seed=0), rows(1, seed=0)), OptionError, "a nearest neighbour needs at least 1 picture, and 2 of the training; got 2 and 1"),
        (lambda: nearest_neighbours(rows(2, seed=0), rows(0, seed=0), held_out=rows(1, seed=0)), OptionError, "a nearest neighbour needs at least 1 picture, and 1 of the training; got 2 and 0"),
        (lambda: nearest_neighbours(rows(2, seed=0), rows(1, seed=0), held_out=rows(0, seed=0)), OptionError, "a nearest neighbour needs at least 1 picture, and 1 of the training; got 0 and 1"),
        (lambda: nearest_neighbours(rows(2, seed=0), rows(5, seed=0), views=2), ShapeError, "rows of the training must be as many for each of 2 views; got 5 rows"),
        (lambda: pixel_rows(np.zeros((2, 1, 4, 4), np.uint8), blur=-1.0), OptionError, "the blur is a standard deviation in pixels, 0 or more; got -1"),
    ],
)  # fmt: skip
def test_sets_without_distances_are_refused(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()
