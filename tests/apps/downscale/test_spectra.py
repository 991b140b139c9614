"""Hold the spectra: Parseval, waves in their bins, and windows in which every cell has a value."""

import numpy as np
import pytest

from upstroke.apps.downscale.spectra import Windows, power, radial, resolved, windows, zonal


def one_window(ny, nx, stretch=1.0):
    return Windows(size=(ny, nx), corners=np.zeros((1, 2), dtype=np.intp), stretch=np.array([stretch]))


def tapered(values):
    """The plane of least squares taken off by lstsq, and a Hann taper of mean square 1."""
    ny, nx = values.shape
    y, x = np.mgrid[:ny, :nx]
    plane = np.stack([np.ones(values.size), y.ravel(), x.ravel()], -1)
    rest = values.ravel() - plane @ np.linalg.lstsq(plane, values.ravel(), rcond=None)[0]
    taper = np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in (ny, nx)))
    return rest.reshape(ny, nx) * taper / np.sqrt(np.mean(taper**2))


@pytest.mark.parametrize("size", [(6, 8), (5, 9)])
def test_parseval(size):
    values = np.random.default_rng(0).normal(size=(3, *size))
    expected = [np.mean(tapered(each) ** 2) for each in values]
    assert power(values).sum(axis=(-2, -1)) == pytest.approx(expected)


def test_every_wave_along_x_is_counted_once():
    waves = np.random.default_rng(1).random((1, 6, 8))
    spectrum = zonal(waves, one_window(6, 8))
    # all but the mean along x
    assert spectrum.power.sum() == pytest.approx(waves[0, :, 1:].sum())
    assert spectrum.wavelength == pytest.approx([8, 4, 8 / 3, 2])


@pytest.mark.parametrize("wave", [2, 3])
def test_a_wave_along_x_is_in_its_bin(wave):
    ny, nx = 16, 24
    values = np.broadcast_to(np.cos(2 * np.pi * wave * np.arange(nx) / nx), (1, ny, nx))
    places = one_window(ny, nx)
    along = zonal(power(values), places, spacing=0.25)
    assert along.wavelength[np.argmax(along.power)] == pytest.approx(nx * 0.25 / wave)
    # of the Earth a cell along x is shorter, and so is the wave
    narrow = one_window(ny, nx, stretch=0.5)
    any_way = radial(power(values), narrow, spacing=(0.25, 0.25))
    length = nx * 0.25 * 0.5 / wave
    assert any_way.wavelength[np.argmax(any_way.power)] == pytest.approx(length, rel=0.3)


def test_every_wave_that_rows_can_hold_is_in_one_bin():
    ny, nx = 8, 8
    waves = np.random.default_rng(2).random((1, ny, nx))
    spectrum = radial(waves, one_window(ny, nx))
    k = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(ny) * ny, np.fft.fftfreq(nx) * nx, indexing="ij")))
    assert spectrum.power.sum() == pytest.approx(waves[0][(k > 0) & (k <= 4)].sum())
    assert spectrum.wavelength == pytest.approx([8, 4, 8 / 3, 2])


def test_windows_are_weighed_by_area():
    places = Windows(size=(4, 4), corners=np.zeros((2, 2), dtype=np.intp), stretch=np.array([1.0, 0.5]))
    waves = np.stack([np.full((4, 4), 1.0), np.full((4, 4), 4.0)])
    ones = zonal(np.ones((2, 4, 4)), places).power
    assert zonal(waves, places).power == pytest.approx(ones * (1 * 2 + 4 * 1) / 3)


def test_windows_hold_no_land_and_cross_the_seam():
    valid = np.ones((32, 96), dtype=bool)
    valid[5, 40] = False
    places = windows(valid, (1, 2), is_periodic=True)
    assert places.size == (16, 32)
    field = np.where(valid, 1.0, np.nan)
    assert np.isfinite(places.of(field)).all()
    assert [0, 80] in places.corners.tolist()
    assert [0, 32] not in places.corners.tolist()
    # where the grid does not go round, nothing crosses its end
    assert windows(valid, (1, 2)).corners[:, 1].max() == 64


def test_windows_get_smaller_where_land_is_near_and_none_is_none():
    valid = np.zeros((32, 64), dtype=bool)
    valid[4:16, 8:40] = True
    assert windows(valid, (1, 1)).size == (8, 8)
    assert windows(valid, (4, 4)) is None


def test_windows_end_at_sixty_degrees():
    latitudes = np.arange(-79.0, 80, 2)
    places = windows(np.ones((80, 64), dtype=bool), (1, 1), latitudes=latitudes)
    spans = latitudes[places.corners[:, 0]], latitudes[places.corners[:, 0] + places.size[0] - 1]
    assert np.abs(spans).max() <= 60
    assert places.stretch.min() < places.stretch.max() <= 1


def test_what_is_resolved_ends_at_the_first_wave_that_is_not():
    waves, truth = np.array([9.0, 6.0, 3.0, 2.0]), np.array([4.0, 4.0, 2.0, 2.0])
    assert resolved(waves, truth, np.array([1.0, 1.9, 0.9, 0.5])) == 2.0
    assert resolved(waves, truth, np.array([1.0, 2.0, 0.1, 0.1])) == 9.0
    assert resolved(waves, truth, np.array([2.0, 0.1, 0.1, 0.1])) is None
