import math
import re

import numpy
import pytest
import torch

from upstroke.diagnose import power_spectrum
from upstroke.errors import ShapeError

SIZES = [(60,), (12, 15), (6, 9, 8), (1, 14), (2, 5)]


def noise(*size):
    return torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_transform_of_the_windowed_picture(size):
    """NumPy is the outsider, with its symmetric window of one sample more."""
    picture = noise(*size).numpy()
    window = numpy.ones(())
    for n in size:
        window = numpy.multiply.outer(window, numpy.hanning(n + 1)[:n] if n > 1 else numpy.ones(1))
    expected = numpy.abs(numpy.fft.fftn((picture - picture.mean()) * window)) ** 2 / picture.size**2
    numpy.testing.assert_allclose(power_spectrum(torch.from_numpy(picture)), expected, atol=1e-15)


def test_the_sum_of_all_power_is_the_mean_square_of_the_windowed_picture():
    picture = noise(12, 15)
    windows = [0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(n) / n) for n in picture.shape]
    windowed = (picture - picture.mean()) * windows[0].double()[:, None] * windows[1].double()
    torch.testing.assert_close(power_spectrum(picture).sum(), windowed.square().mean(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_wave_has_its_windowed_amplitude_at_both_of_its_frequencies(axes):
    size, bins = (12, 15, 16)[:axes], (3, 4, 5)[:axes]
    angle = torch.zeros((), dtype=torch.float64)
    for n, k in zip(size, bins, strict=True):
        angle = angle[..., None] + 2 * math.pi * k * torch.arange(n) / n
    found = power_spectrum(3 * angle.cos())
    for index in (bins, tuple(-k for k in bins)):
        assert found[index].item() == pytest.approx(9 / 4 ** (axes + 1))


def test_the_mean_does_not_matter_and_integers_are_read():
    picture = torch.arange(35, dtype=torch.uint8).reshape(5, 7)
    torch.testing.assert_close(power_spectrum(picture), power_spectrum(picture.double() - 40))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((1, 3, 8, 8), "a picture must have 1, 2 or 3 axes, one channel at a time; got shape (1, 3, 8, 8)"),
        ((0, 5), "a picture must have at least one sample; got shape (0, 5)"),
    ],
)
def test_errors(size, message):
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        power_spectrum(torch.zeros(size))
