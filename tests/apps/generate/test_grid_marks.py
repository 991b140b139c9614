"""Hold the marks of grids in samples by planted grids, by what faces share, and by how often chance is called one."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat

from upstroke.apps.generate import grid_marks as module
from upstroke.apps.generate.grid_marks import grid_marks
from upstroke.diagnose import phase_means
from upstroke.errors import OptionError


def noise(count, *, seed, size=(24, 32), channels=1):
    generator = np.random.default_rng(seed)
    return generator.integers(60, 190, (count, channels, *size), dtype=np.uint8)


def tiled(period, size, *, seed=0):
    """A pattern of this period that has none of its halves, of mean 0 and variance 1."""
    pattern = np.random.default_rng(seed).normal(size=(period, period))
    pattern = pattern - pattern.mean()
    return np.tile(pattern / pattern.std(), [n // period for n in size])


@pytest.fixture(scope="module")
def faces(data_dir):
    held = loadmat(data_dir / "faces" / "olivetti" / "olivettifaces.mat")["faces"]
    order = np.random.default_rng(0).permutation(400)[:240]
    return held.T.reshape(400, 1, 64, 64).swapaxes(2, 3)[order]


def test_halves_of_aligned_faces_share_what_real_faces_share_and_no_more(faces):
    found = grid_marks(faces[:120], faces[120:], draws=200)
    assert [(each.kind, each.period) for each in found.marks] == [(kind, period) for kind in ("level", "detail") for period in (2, 4, 8, 16)]  # fmt: skip
    assert found.marks[0].verdict == found.marks[4].verdict == "at chance"
    assert all(each.verdict != "above both" for each in found.marks)
    # eyes and mouth lie in one place, four cycles to a picture
    assert found.marks[3].verdict == "as in real pictures"
    assert found.marks[3].samples.p_value == found.marks[3].real.p_value == 1 / 201


@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_grid_in_faces_is_found_at_its_period_and_at_multiples(faces, period):
    grid = np.kron(np.array([[0, 1], [1, 1]]), np.ones((period // 2, period // 2)))
    marked = (faces[:120] // 2 + np.tile(3 * grid, (64 // period, 64 // period))).astype(np.uint8)
    found = [each for each in grid_marks(marked, faces[120:] // 2, draws=200).marks if each.kind == "level"]
    for each in found:
        if each.period % period:
            assert each.verdict != "above both"
    (own,) = (each for each in found if each.period == period)
    assert own.verdict == "above both"
    # 3/16 of 3^2, and what else there is
    assert own.samples.value == pytest.approx(27 / 16, rel=0.3)
    assert own.excess == own.samples.value - own.real.value


@given(st.sampled_from((2, 3, 5)), st.integers(2, 5), st.integers(2, 6), st.integers(0, 9))
def test_the_window_leaves_a_grid_its_phase_means_and_a_slope_almost_none(period, down, across, seed):
    size = down * period, across * period
    grid = tiled(period, size, seed=seed)
    # as bytes, with a level that is taken off again
    own = torch.from_numpy(np.round(128 + 20 * grid))
    found = phase_means(module._windowed(own[None], period)[0], period)
    torch.testing.assert_close(found, phase_means(own, period) - own.mean(), atol=1e-9, rtol=0)


def test_a_slope_that_all_share_is_no_grid():
    generator = np.random.default_rng(0)
    slope = np.add.outer(np.linspace(0, 90, 32), np.linspace(0, 60, 32))
    real, samples = (
        np.round(40 + slope + generator.normal(0, 20, (40, 1, 32, 32))).clip(0, 255).astype(np.uint8)
        for _ in range(2)
    )
    found = grid_marks(samples, real, periods=(2, 4), draws=100)
    assert [each.verdict for each in found.marks] == ["at chance"] * 4


def test_a_grid_of_one_channel_is_in_that_channel():
    samples, real = noise(50, seed=0, channels=3), noise(50, seed=1, channels=3)
    samples[:, 1] = (samples[:, 1] + 6 * tiled(4, (24, 32))).round()
    found = grid_marks(samples, real, periods=(2, 4), draws=240)
    levels = found.marks[:6]
    marked = [(each.period, each.channel) for each in levels if each.verdict == "above both"]
    assert marked == [(2, 1), (4, 1)]
    own = levels[4]
    assert (own.period, own.channel) == (4, 1)
    variance = samples[:, 1].astype(float).var(axis=(1, 2)).mean()
    assert own.samples.relative == pytest.approx(own.samples.value / variance)
    # and the noise that 50 pictures leave
    assert own.samples.value == pytest.approx(36, rel=0.3)
    assert own.samples.null_mean < own.samples.null_95 < own.samples.null_99 < own.samples.value
    assert (own.samples.pictures, own.real.pictures) == (50, 50)


@pytest.mark.parametrize("kernel", [(0.5, 1.0, 0.5), (0.25, 0.75, 0.75, 0.25)])
def test_phases_of_equal_gain_and_unequal_taps_are_a_mark_of_details_alone(kernel):
    """Two upsamplers that keep a constant: 1/2 1 1/2 is louder where it copies, of 1 3 3 1 all phases are equal."""
    taps = torch.tensor(kernel, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(60, 1, 16, 20, generator=generator, dtype=torch.float64)
    grown = torch.nn.functional.conv_transpose2d(coarse, (taps[:, None] * taps)[None, None], stride=2)
    samples = (128 + 30 * grown[:, :, 1:33, 1:41]).round().clamp(0, 255).byte().numpy()
    real = noise(60, seed=1, size=(32, 40))
    level, detail = grid_marks(samples, real, periods=(2,), draws=200).marks
    assert (level.kind, detail.kind) == ("level", "detail")
    assert level.verdict == "at chance"
    assert detail.verdict == ("above both" if len(kernel) == 3 else "at chance")
    if len(kernel) == 3:
        assert detail.samples.relative > 20 * detail.real.relative
        squares = module._content(samples[:, 0], "detail")
        assert detail.samples.relative == pytest.approx(detail.samples.value / float(squares.mean()) ** 2)


def test_details_are_what_differs_from_the_pixels_around():
    pictures = noise(2, seed=0, size=(5, 6))[:, 0]
    found = module._content(pictures, "detail")
    for y in range(5):
        for x in range(6):
            around = [pictures[:, min(max(y + i, 0), 4), min(max(x + j, 0), 5)].astype(float) for i in (-1, 0, 1) for j in (-1, 0, 1)]  # fmt: skip
            wanted = (pictures[:, y, x] - np.mean(around, axis=0)) ** 2
            np.testing.assert_allclose(found[:, y, x], wanted, atol=1e-9)


def test_a_grid_of_the_real_pictures_is_no_mark_of_samples_that_have_it_too():
    grid = 8 * tiled(2, (24, 32))
    samples, real = ((noise(40, seed=seed) + grid).round().clip(0, 255).astype(np.uint8) for seed in (3, 4))
    both, without = (grid_marks(*sets, periods=(2,), draws=100).marks[0] for sets in ((samples, real), (noise(40, seed=5), real)))  # fmt: skip
    assert both.verdict == "as in real pictures"
    assert both.real.p_value == 1 / 101
    assert without.verdict == "at chance"
    assert without.excess < 0
    assert without.above_real_p > 0.9


def test_chance_is_called_a_mark_no_more_often_than_the_level_says():
    found = [
        grid_marks(noise(12, seed=2 * i), noise(14, seed=2 * i + 1), periods=(2, 4), draws=80, seed=i)
        for i in range(30)
    ]
    marked = [any(each.verdict != "at chance" for each in one.marks) for one in found]
    # 0.05 of 30 are 1.5; 7 or more would come once in 1000
    assert sum(marked) < 7
    p = np.array([[each.excess_p for each in one.marks] for one in found])
    assert abs(p.mean() - 0.506) < 4 * 0.29 / p.size**0.5


@given(st.lists(st.floats(0.0001, 1.0), min_size=1, max_size=8))
def test_correction_is_holms_step_down(p):
    corrected = module._holm(p)
    for level in (0.01, 0.05, 0.2):
        rejected, wanted = {i for i, each in enumerate(corrected) if each <= level}, set()
        for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            if p[index] * (len(p) - rank) > level:
                break
            wanted.add(index)
        assert rejected == wanted


def test_the_record_is_plain_data_and_follows_the_seed():
    sets = noise(9, seed=0), noise(7, seed=1)
    first = grid_marks(*sets, draws=150, periods=(2, 3))
    assert grid_marks(*sets, draws=150, periods=(2, 3)) == first
    assert grid_marks(*sets, draws=150, periods=(2, 3), seed=1) != first
    record = first.as_json()
    assert (record["level"], record["draws"], record["seed"]) == (0.05, 150, 0)
    assert record["marks"][0]["samples"]["pictures"] == 9
    assert all(math.isfinite(each["excess"]) for each in record["marks"])


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((2, 1, 8, 8), (2, 1, 8, 16)), {}, "samples and real pictures must have the same channels and size; got 1x8x8 and 1x8x16; resize one set"),
        (((0, 1, 32, 32), (2, 1, 32, 32)), {}, "at least one sample and one real picture are needed; got 0 and 2"),
        (((2, 1, 16, 24), (2, 1, 16, 24)), {}, "periods must be from 2 to 8, half of the shorter side of pictures of 16x24 pixels; got 2, 4, 8, 16"),
        (((2, 1, 16, 24), (2, 1, 16, 24)), {"periods": ()}, "periods must be from 2 to 8, half of the shorter side of pictures of 16x24 pixels; got none"),
        (((2, 1, 32, 32), (2, 1, 32, 32)), {"level": 0.0}, "the level of a test lies between 0 and 1; got 0"),
        (((2, 3, 32, 32), (2, 3, 32, 32)), {"draws": 100}, "24 tests at a level of 0.05 together need at least 480 draws; got 100"),
    ],
)  # fmt: skip
def test_sets_that_cannot_be_measured_are_refused(shapes, options, message):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        grid_marks(*(np.zeros(shape, np.uint8) for shape in shapes), **options)
