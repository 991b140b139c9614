"""Patches are the fine fields made coarse; nothing that is held out is learnt from; the order follows from the seed."""

import numpy as np
import pytest
import torch

from fine_fields import a_field
from upstroke.apps.downscale.learned.reference import open_references, open_static
from upstroke.apps.downscale.learned.samples import Patches, Samples
from upstroke.errors import FileError, OptionError
from upstroke.ops import block_means


@pytest.fixture
def file(tmp_path):
    a_field(steps=6).to_netcdf(tmp_path / "fine.nc")
    return tmp_path / "fine.nc"


@pytest.fixture
def samples(file):
    return Samples(references=open_references([file], (4, 2), ["sst"]), factor=(4, 2))


def test_the_target_made_coarse_is_what_is_given(samples):
    patches = Patches(samples, halo=3, size=5)
    sample = patches.batch(0)
    means = block_means(sample.target.double(), (4, 2), weights=sample.inputs.weights.double())
    known = sample.inputs.means.isfinite()
    assert known.any()
    assert torch.allclose(means[known].float(), sample.inputs.means[known], atol=1e-3)
    inner = sample.inputs.x[..., 3:-3, 3:-3]
    assert torch.allclose(inner[known], sample.inputs.means[known])
    assert (sample.counted[~known.repeat_interleave(4, -2).repeat_interleave(2, -1)] == 0).all()


def test_a_batch_follows_from_seed_and_step(samples):
    one, other = Patches(samples, halo=3, size=3), Patches(samples, halo=3, size=3)
    other.batch(0)
    for first, second in zip(one.batch(17).inputs, other.batch(17).inputs, strict=True):
        assert torch.equal(first.nan_to_num(), second.nan_to_num())
    again = Patches(samples, halo=3, size=3, seed=1).batch(17)
    assert not torch.equal(again.target, one.batch(17).target)


def test_the_last_steps_are_held_out_as_a_whole(samples):
    assert samples.held_days == [(0, 5)]
    assert samples.learnt == [(0, step) for step in range(5)]


def test_what_is_held_out_is_never_learnt_from_whatever_the_coarse_grid(samples):
    """A field that is 1 in fine columns of held-out stripes is 0 wherever anything counts."""
    held = samples.example(0, 0).held
    assert 0.2 < held.mean() < 0.3
    fine = np.repeat(np.repeat(held, 4, 0), 2, 1)
    stripe = np.where(fine, np.float32(1), np.float32(0))
    reference = samples.references[0]
    marked = Samples(
        references=[type(reference)(**{**vars(reference), "read": lambda step: stripe[None]})], factor=(4, 2)
    )
    for step in range(6):
        sample = Patches(marked, halo=2, size=4, seed=step).batch(step)
        assert not sample.target[sample.counted > 0].any()
    judged = list(marked.judged(halo=2))
    assert judged
    assert all(bool((each.sample.target[each.sample.counted > 0] == 1).all()) for each in judged)


def test_the_coarse_grid_is_laid_anew(samples):
    first, other = samples.example(0, 0), samples.example(0, 0, (1, 1))
    assert first.maps.means.shape == (1, 18, 48)
    assert other.maps.means.shape == (1, 17, 48)
    assert np.array_equal(other.target[0], np.roll(first.target[0], -1, 1)[1:69], equal_nan=True)


def test_a_static_field_that_is_the_target_is_left_out(file, tmp_path):
    a_field(steps=1, seed=3, land=False).to_netcdf(tmp_path / "other.nc")
    statics = [open_static(f"{file}:sst"), open_static(f"{tmp_path / 'other.nc'}:sst")]
    samples = Samples(references=open_references([file], (4, 2), ["sst"]), factor=(4, 2), statics=statics)
    for shift in [(0, 0), (3, 1)]:
        own, other = samples.example(0, 0, shift).maps.ground.statics
        assert not own.any()
        assert other.any()
        assert samples.example(0, 1, shift).maps.ground.statics[0].any()


def test_refusals(file, tmp_path):
    a_field(rows=60, columns=96, land=False).to_netcdf(tmp_path / "short.nc")
    a_field(rows=72, columns=144, land=False).to_netcdf(tmp_path / "finer.nc")
    a_field(land=False).where(False).to_netcdf(tmp_path / "empty.nc")
    with pytest.raises(OptionError) as raised:
        open_references([], (4, 4), ["sst"])
    assert str(raised.value) == "training needs at least one file of fine fields; got none"
    with pytest.raises(OptionError) as raised:
        open_references([file], (4, 4))
    assert str(raised.value) == "fine.nc has sst, ice: say which variable to take by its name"
    with pytest.raises(OptionError) as raised:
        open_references([file], (4, 4), ["salt"])
    assert str(raised.value) == "there must be a variable salt in fine.nc; it has sst, ice; name one of these"
    with pytest.raises(OptionError) as raised:
        open_references([tmp_path / "short.nc"], (4, 4), ["sst"])
    assert str(raised.value) == (
        "a map must have at least 16 coarse cells along each axis to learn from, 64 fine ones along lat; got 60 in "
        "short.nc; use larger maps"
    )
    with pytest.raises(OptionError, match=r"must lie on cells of one size; fine.nc has .* finer.nc has"):
        open_references([file, tmp_path / "finer.nc"], (4, 4), ["sst"])
    with pytest.raises(FileError) as raised:
        Samples(references=open_references([tmp_path / "empty.nc"], (4, 4), ["sst"]), factor=(4, 4)).example(
            0, 0
        )
    assert str(raised.value) == (
        "there must be values to learn from; sst in empty.nc is NaN throughout; take another file"
    )


def test_what_the_factor_leaves_over_is_cropped_and_said(tmp_path):
    a_field(rows=72, columns=97, land=False).isel(lon=slice(0, 83)).to_netcdf(tmp_path / "odd.nc")
    (reference,) = open_references([tmp_path / "odd.nc"], (4, 4), ["sst"])
    assert reference.cropped == (0, 3)
    assert reference.cells.shape == (72, 80)
