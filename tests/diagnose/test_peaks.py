import math
import re

import pytest
import torch

from upstroke.diagnose import power_spectrum, spectral_peaks
from upstroke.errors import OptionError, ShapeError


def noise(*size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def wave(size, period, image):
    """A real wave at an image frequency."""
    angle = torch.zeros(())
    for n, s, j in zip(size, period, image, strict=True):
        angle = angle[..., None] + 2 * math.pi * j * torch.arange(n) / s
    return angle.cos()


@pytest.mark.parametrize("image", [(0, 1), (1, 0), (1, 1), (1, 2), (0, 2)])
def test_a_wave_stands_out_at_its_own_frequency_and_its_mirror_only(image):
    period, size = (2, 3), (50, 61)
    found = spectral_peaks(noise(*size) + wave(size, period, image), period)
    mirror = tuple(-j % s for j, s in zip(image, period, strict=True))
    for at in [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]:
        if at in (image, mirror):
            assert found.decibel[at] > 20
        else:
            assert found.decibel[at] < 13
    assert found.worst in (found.decibel[image], found.decibel[mirror])
    assert found.decibel[0, 0].isnan()


def test_power_of_a_wave_is_that_of_its_windowed_amplitude():
    # a Hann window has mean 1/2, and a real wave off Nyquist puts half its amplitude at +w
    found = spectral_peaks(wave((60,), (3,), (1,)), 3)
    assert found.power[1].item() == pytest.approx(1 / 16, rel=1e-6)
    assert found.power[2].item() == pytest.approx(1 / 16, rel=1e-6)


def test_white_content_lies_around_the_mean_over_the_median():
    found = [spectral_peaks(noise(32, 36, seed=seed), (2, 3)) for seed in range(200)]
    ratios = torch.stack([10 ** (each.decibel / 10) for each in found]).flatten(1)[:, 1:]
    # the median of exponentials is log 2 of the mean
    assert ratios.mean().item() == pytest.approx(1 / math.log(2), rel=0.2)


def test_a_gradient_is_no_peak():
    ramp = torch.arange(64.0)[:, None].expand(64, 48)
    found = spectral_peaks(ramp + 1e-3 * noise(64, 48), 2)
    assert found.worst < 20


def test_the_mean_does_not_matter_and_scale_cancels():
    picture = noise(40, 44)
    found, other = spectral_peaks(picture, 2), spectral_peaks(5 * picture + 100, 2)
    torch.testing.assert_close(other.decibel, found.decibel, equal_nan=True, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(other.power, 25 * found.power, rtol=1e-6, atol=1e-6)


def test_a_constant_has_no_power():
    assert spectral_peaks(torch.full((16, 16), 7, dtype=torch.uint8), 2).worst == -math.inf


def test_an_axis_without_period_has_no_image():
    found = spectral_peaks(noise(9, 40) + wave((9, 40), (1, 2), (0, 1)), (1, 2))
    assert found.decibel.shape == (1, 2)
    assert found.worst > 15


@pytest.mark.parametrize(
    ("picture", "period", "error", "message"),
    [
        (torch.zeros(16, 16), 1, OptionError, "period must be at least 2 on some axis; got (1, 1)"),
        (
            torch.zeros(16, 23),
            (2, 3),
            ShapeError,
            (
                "a picture must be at least (16, 24) to have a neighbourhood around each image frequency of "
                "period (2, 3); got shape (16, 23)"
            ),
        ),
        (
            torch.zeros(1, 3, 64, 64),
            2,
            ShapeError,
            "a picture must have 1, 2 or 3 axes, one channel at a time; got shape (1, 3, 64, 64)",
        ),
    ],
)
def test_errors(picture, period, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        spectral_peaks(picture, period)


@pytest.mark.parametrize("level", [0.1, 1 / 3, 1e6 + 0.1])
def test_a_constant_that_rounds_has_no_power_either(level):
    found = spectral_peaks(torch.full((27, 29), level, dtype=torch.float64), 3)
    assert found.worst == -math.inf
    assert (found.power == 0).all()


def test_decibels_are_ten_per_power_of_ten_over_the_median_around():
    """With unequal periods, by hand: the bins within 8 but not within 2 of the image on both axes."""
    picture, period = noise(64, 57), (2, 3)
    found = spectral_peaks(picture, period)
    spectrum = power_spectrum(picture)
    for image in [(0, 1), (1, 0), (1, 2)]:
        row, column = (n // s * j for n, s, j in zip(picture.shape, period, image, strict=True))
        around = [
            spectrum[(row + a) % 64, (column + b) % 57].item()
            for a in range(-8, 9)
            for b in range(-8, 9)
            if max(abs(a), abs(b)) > 2
        ]
        at = spectrum[row, column].item()
        # the lower of the two middle ones, as torch has it
        median = sorted(around)[(len(around) - 1) // 2]
        assert found.power[image].item() == at
        assert found.decibel[image].item() == pytest.approx(10 * math.log10(at / median))
