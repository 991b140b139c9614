"""Turn a picture into the height of its spectrum's peaks at the image frequencies of a suspected period."""

import math
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float, Real
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.diagnose.spectrum import picture_axes, power_spectrum
from upstroke.errors import OptionError, ShapeError

__all__ = ["SpectralPeaks", "spectral_peaks"]

# Bins to either side that a neighbourhood reaches, and bins that the window's main lobe smears a line over.
REACH, LOBE = 8, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class SpectralPeaks:
    """Tell-tale peaks: the power at each image frequency against its surroundings in the spectrum.

    Attributes:
        decibel: power at 2 pi j / period over the median power around it, shape (*period), in dB; nan at
            j = 0, which is no image, and -inf where there is no power at all. White content lies around
            1.6 dB, because the median of its power is below the mean, and mostly within 10 dB of that.
        power: |X|^2 / N^2 at these frequencies after the window, shape (*period), in squared units.
    """

    decibel: Float[Tensor, "*period"]
    power: Float[Tensor, "*period"]

    @property
    def worst(self) -> Float[Tensor, ""]:
        """The highest peak, in dB."""
        return self.decibel.flatten()[1:].max()


def spectral_peaks(picture: Real[Tensor, "*space"], period: int | tuple[int, ...]) -> SpectralPeaks:
    """Power of a picture's spectrum at the image frequencies of the period, against the median around them.

    The picture is cut at its end to whole periods, so that the image frequencies are bins of its transform,
    loses its mean, and gets a Hann window, so that its edges do not spread over the spectrum. A neighbourhood
    reaches 8 bins to either side, or half way to the next image frequency, without the 2 bins over which the
    window smears a peak.

    Raises:
        OptionError: a sample of the picture is not finite, or no axis has a period.
        ShapeError: the picture is too small.

    >>> import torch
    >>> noise = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    >>> peaks = spectral_peaks(noise + torch.eye(2).repeat(32, 32), 2)
    >>> peaks.decibel[1, 1] > 25, peaks.decibel[0, 1] < 15
    (tensor(True), tensor(True))
    """
    ndim = picture_axes(picture)
    periods = whole_per_axis(period, ndim, name="period", least=1)
    if max(periods) < 2:
        msg = f"period must be at least 2 on some axis; got {periods}"
        raise OptionError(msg)
    least = tuple((2 * LOBE + 4) * s for s in periods)
    if any(n < few for n, few in zip(picture.shape, least, strict=True)):
        msg = (
            f"a picture must be at least {least} to have a neighbourhood around each image frequency of "
            f"period {periods}; got shape {tuple(picture.shape)}"
        )
        raise ShapeError(msg)
    size = tuple(n - n % s for n, s in zip(picture.shape, periods, strict=True))
    spectrum = power_spectrum(picture[tuple(slice(n) for n in size)])
    near = [_offsets(n, s) for n, s in zip(size, periods, strict=True)]
    offsets = torch.stack(torch.meshgrid(*near, indexing="ij"), dim=-1).reshape(-1, ndim)
    offsets = offsets[offsets.abs().amax(dim=1) > LOBE]
    power = spectrum.new_empty(periods)
    decibel = spectrum.new_full(periods, math.nan)
    for image in product(*(range(s) for s in periods)):
        bins = torch.tensor([n // s * j for n, s, j in zip(size, periods, image, strict=True)])
        power[image] = spectrum[tuple(bins)]
        if any(image):
            around = spectrum[tuple(((bins + offsets) % torch.tensor(size)).T)].median()
            decibel[image] = 10 * torch.log10(power[image] / around) if power[image] > 0 else -math.inf
    return SpectralPeaks(decibel=decibel, power=power)


def _offsets(size: int, period: int) -> Tensor:
    """Bins of a neighbourhood along one axis, which stops short of the next image frequency's."""
    reach = min(REACH, size // period // 2 if period > 1 else (size - 1) // 2)
    return torch.arange(-reach, reach + 1)
