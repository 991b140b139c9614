"""Hold azimuthally averaged spectra against sums wave by wave, and by what must not change them."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from strategies import seeded
from upstroke.diagnose import power_spectrum, radial_ratio, radial_spectrum
from upstroke.errors import OptionError, ShapeError

SIDES = st.integers(4, 19)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def hann(n):
    window = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
    return window / np.sqrt((window**2).mean())


def nearest_bin(y, x, ny, nx):
    """floor(min(ny, nx) |(y / ny, x / nx)| + 1/2), in whole numbers because waves may lie halfway."""
    squared = min(ny, nx) ** 2 * ((y * nx) ** 2 + (x * ny) ** 2)
    return (math.isqrt(4 * squared // (ny * nx) ** 2) + 1) // 2


@given(SIDES, SIDES)
@example(7, 14)
def test_every_bin_is_the_mean_of_its_waves_one_by_one(ny, nx):
    picture = noise(1, 2, ny, nx, seed=ny * 100 + nx)
    found = radial_spectrum(picture)
    for channel in range(2):
        values = picture[0, channel].numpy()
        power = (
            np.abs(np.fft.fft2((values - values.mean()) * np.outer(hann(ny), hann(nx)))) ** 2 / (ny * nx) ** 2
        )
        held = [[] for _ in found.waves]
        for y in range(ny):
            for x in range(nx):
                away = math.hypot(min(y, ny - y) / ny, min(x, nx - x) / nx)
                held[nearest_bin(min(y, ny - y), min(x, nx - x), ny, nx)].append((power[y, x], away))
        means = np.array([np.mean(each, axis=0) for each in held])
        np.testing.assert_allclose(found.power[0, channel], means[:, 0], rtol=1e-9, atol=1e-18)
        np.testing.assert_allclose(found.frequency, means[:, 1], rtol=1e-12)
        assert found.waves.tolist() == [len(each) for each in held]


@given(SIDES, SIDES, st.integers(1, 3))
def test_all_power_is_in_some_bin(ny, nx, channels):
    pictures = noise(3, channels, ny, nx, seed=ny + 31 * nx)
    found = radial_spectrum(pictures)
    assert int(found.waves.sum()) == ny * nx
    assert int(found.waves.min()) > 0
    window = torch.from_numpy(np.outer(hann(ny), hann(nx)))
    windowed = (pictures - pictures.mean(dim=(2, 3), keepdim=True)) * window
    torch.testing.assert_close(found.total, windowed.square().mean(dim=(2, 3)))


@given(SIDES, SIDES)
def test_flips_and_quarter_turns_change_nothing(ny, nx):
    pictures = noise(2, 1, ny, nx, seed=7 * ny + nx)
    wanted = radial_spectrum(pictures)
    for other in (pictures.flip(2), pictures.flip(3), pictures.rot90(1, (2, 3)), pictures.mT):
        found = radial_spectrum(other)
        torch.testing.assert_close(found.power, wanted.power, rtol=1e-9, atol=1e-18)
        assert found.waves.tolist() == wanted.waves.tolist()


@given(st.integers(0, 200), st.floats(-2.0, 3.0).filter(lambda gain: abs(gain) > 0.01))
def test_a_level_does_not_count_and_a_gain_counts_squared(level, gain):
    pictures = noise(2, 2, 9, 12)
    found = radial_spectrum(gain * pictures + level).power
    torch.testing.assert_close(found, gain**2 * radial_spectrum(pictures).power, rtol=1e-6, atol=1e-18)


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (33, 17)])
def test_white_noise_is_flat(size):
    found = radial_spectrum(3 * noise(2000, 1, *size))
    level = found.power.mean(dim=(0, 1)) * math.prod(size) / 9
    # the mean that is taken off lies in the lowest two bins; else 2000 pictures know a bin to a few per cent
    assert (level[2:] - 1).abs().max() < 0.12
    assert ((level[2:] * found.waves[2:]).sum() / found.waves[2:].sum() - 1).abs() < 0.01


def test_it_is_the_power_spectrum_but_for_half_a_sample_of_window():
    """A wave away from zero has the same power in both, scaled by the mean square of the window, 9/64."""
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(30.0), indexing="ij")
    wave = torch.cos(2 * math.pi * (5 * y / 24 + 7 * x / 30)).double()
    found = radial_spectrum(wave[None, None])
    plain = power_spectrum(wave)
    assert (found.total * 9 / 64).item() == pytest.approx(plain.sum().item())
    away = math.hypot(5 / 24, 7 / 30)
    nearest = round(away * 24)
    near = (found.power[0, 0] * found.waves)[nearest - 2 : nearest + 3].sum()
    assert near.item() == pytest.approx(found.total.item(), rel=1e-9)


@pytest.mark.parametrize(
    ("pattern", "where"),
    [([[1.0, -1.0], [-1.0, 1.0]], math.sqrt(0.5)), ([[1.0, -1.0], [1.0, -1.0]], 0.5)],
)
def test_a_grid_of_period_2_raises_the_bins_where_it_lies(pattern, where):
    smooth = noise(30, 1, 32, 32).cumsum(2).cumsum(3)
    grid = torch.tensor(pattern, dtype=torch.float64).repeat(16, 16)
    found = radial_ratio(radial_spectrum(smooth + 3 * grid), radial_spectrum(smooth))
    near = (found.frequency - where).abs() < 0.05
    assert found.decibel[near].max() > 6
    assert found.decibel[found.frequency < where - 0.1].abs().max() < 0.2
    if where > 0.5:
        assert found.decibel.argmax() == len(found.decibel) - 1


def test_the_ratio_and_its_error_are_those_of_the_means():
    ours, theirs = noise(40, 3, 8, 10, seed=1), 2 * noise(30, 3, 8, 10, seed=2)
    spectra = radial_spectrum(ours), radial_spectrum(theirs)
    found = radial_ratio(*spectra)
    means = [each.power.mean(dim=(0, 1)) for each in spectra]
    torch.testing.assert_close(found.decibel, 10 * torch.log10(means[0] / means[1]))
    back = radial_ratio(*reversed(spectra))
    torch.testing.assert_close(back.decibel, -found.decibel)
    torch.testing.assert_close(back.error, found.error)
    per_picture = [each.power.mean(dim=1) for each in spectra]
    generator = seeded(3)
    again = []
    for _ in range(4000):
        drawn = [
            each[torch.randint(len(each), (len(each),), generator=generator)].mean(0) for each in per_picture
        ]
        again.append(10 * torch.log10(drawn[0] / drawn[1]))
    torch.testing.assert_close(torch.stack(again).std(dim=0), found.error, rtol=0.15, atol=0)
    levels = [np.quantile(10 * np.log10((each / means[1]).numpy()), q, axis=0) for each in per_picture for q in (0.05, 0.95)]  # fmt: skip
    for got, wanted in zip((found.low, found.high, found.other_low, found.other_high), levels, strict=True):
        np.testing.assert_allclose(got, wanted, atol=0.2)


def test_a_set_against_itself_differs_by_nothing_and_constants_have_no_power():
    spectrum = radial_spectrum(noise(5, 1, 8, 8))
    assert radial_ratio(spectrum, spectrum).decibel.abs().max() == 0
    nothing = radial_spectrum(torch.full((2, 1, 8, 8), 77, dtype=torch.uint8))
    assert nothing.power.abs().max() == 0
    assert radial_ratio(nothing, spectrum).decibel.tolist() == [-math.inf] * len(spectrum.frequency)
    assert bool(radial_ratio(nothing, nothing).decibel.isnan().all())
    assert bool(radial_ratio(radial_spectrum(noise(1, 1, 8, 8)), spectrum).error.isnan().all())


def test_many_pictures_are_transformed_in_parts():
    pictures = noise(300, 1, 64, 64).float()
    found = radial_spectrum(pictures)
    for part in (0, 255, 256, 299):
        one = radial_spectrum(pictures[part : part + 1])
        torch.testing.assert_close(found.power[part], one.power[0], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((2, 1, 3, 9), ShapeError, "a picture must be at least 4 pixels on either side to have a spectrum; got 3x9"),
        ((0, 1, 8, 8), OptionError, "at least one picture of one channel is needed; got shape (0, 1, 8, 8)"),
        ((2, 0, 8, 8), OptionError, "at least one picture of one channel is needed; got shape (2, 0, 8, 8)"),
    ],
)  # fmt: skip
def test_pictures_without_a_spectrum_are_refused(shape, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        radial_spectrum(torch.zeros(shape))


def test_what_has_other_bins_is_not_compared():
    message = "spectra that are compared must be of pictures of one size; got 8x9 and 9x8; resize one set"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        radial_ratio(radial_spectrum(noise(2, 1, 8, 9)), radial_spectrum(noise(2, 1, 9, 8)))
    broken = noise(1, 1, 8, 8)
    broken[0, 0, 3, 4] = math.nan
    message = "a picture must be finite to have a variance or a spectrum; got NaN or infinity in 1 of 64; mend or cut them out"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        radial_spectrum(broken)
