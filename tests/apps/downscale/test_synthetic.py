"""The drawn sea: the same from the same seed, the same planet on every grid, and as rough as it says."""

import re

import numpy as np
import pytest

from upstroke.apps.downscale.cf import cells_of
from upstroke.apps.downscale.synthetic import _noise, synthetic_sst
from upstroke.errors import OptionError


@pytest.fixture(scope="module")
def sea():
    return synthetic_sst((90, 180), steps=2, seed=1)


def test_the_same_seed_draws_the_same_sea_and_another_one_another(sea):
    again = synthetic_sst((90, 180), steps=2, seed=1)
    assert again.identical(sea)
    other = synthetic_sst((90, 180), seed=2)
    assert (other.sst[0].isnull() != sea.sst[0].isnull()).mean() > 0.1


def test_another_grid_has_the_same_planet(sea):
    """Every third row and fifth column of a grid finer by these lies where the coarser one lies."""
    finer = synthetic_sst((270, 900), seed=1).sst.values[0, 1::3, 2::5]
    coarser = sea.sst.values[0]
    assert (np.isnan(finer) != np.isnan(coarser)).mean() < 0.01
    at_sea = ~np.isnan(finer + coarser)
    # distances from coasts are smoothed over the grid's own cells
    assert np.abs(finer - coarser)[at_sea].mean() < 0.05


def test_it_is_a_sea_with_coasts_on_cells_that_can_be_read(sea):
    values = sea.sst.values
    assert values.dtype == np.float32
    assert cells_of(sea).x.is_periodic
    land = np.isnan(values[0])
    assert (land == np.isnan(values[1])).all()
    area = np.broadcast_to(np.cos(np.radians(sea.lat.values))[:, None], land.shape)
    assert np.average(land, weights=area) == pytest.approx(0.29, abs=1e-3)
    assert land[0].all()
    assert not land[-1].any()
    assert np.nanmin(values) >= -1.8
    assert 28 < np.nanmax(values) < 36


def test_no_jump_at_the_seam(sea):
    values = sea.sst.values[0]
    steps = np.abs(np.diff(values, axis=1, append=values[:, :1]))
    assert np.nanmean(steps[:, -1]) < 2 * np.nanmean(steps[:, :-1])


def test_days_differ_by_little(sea):
    change = np.abs(sea.sst[1] - sea.sst[0])
    assert 1e-4 < change.mean() < 0.2


def test_noise_has_unit_variance_whatever_its_octaves():
    latitude = np.arcsin(np.linspace(-0.999, 0.999, 60))[:, None]
    longitude = np.radians(np.arange(0, 360, 3.0))[None]
    drawn = [
        _noise(latitude, longitude, octaves=range(3, 6), fall=fall, seed=(seed, 9))
        for seed, fall in enumerate((0.0, 0.5, 1.0, 1.5))
    ]
    assert np.var(drawn) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize(("size", "steps", "land"), [((0, 8), 1, 0.3), ((4, 8), 0, 0.3), ((4, 8), 1, 1.0)])
def test_what_cannot_be_drawn_is_refused(size, steps, land):
    message = (
        "a synthetic field needs positive numbers of cells and steps and a part of land in [0, 1); "
        f"got size {size}, steps {steps}, land {land}"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        synthetic_sst(size, steps=steps, land=land)
