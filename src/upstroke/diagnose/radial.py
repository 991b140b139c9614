"""Turn pictures into the power of their frequencies by distance from zero, whatever the direction."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Real
from torch import Tensor

from upstroke.axes import times
from upstroke.diagnose._finite import check_picture
from upstroke.errors import OptionError, ShapeError

__all__ = ["RadialRatio", "RadialSpectrum", "radial_ratio", "radial_spectrum"]

# With fewer samples along an axis a Hann window leaves no frequency apart from zero.
LEAST = 4
# Samples that are transformed at a time, so that a large set takes no more memory than this.
AT_ONCE = 1 << 20
# The part of all pictures that lies within the limits shown of a set.
LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class RadialSpectrum:
    """Azimuthally averaged power spectra of pictures.

    Bin b holds the waves whose frequency, in cycles per pixel, is nearest to b / n, n being the shorter side;
    the last bins are those beyond 1/2, where only the corners of the plane of frequencies are left.

    Attributes:
        power: mean power of a wave in each bin, of each channel of each picture, in squared units of the
            pictures; bins with their number of waves as weights sum to the mean square of the windowed
            picture.
        frequency: mean frequency of the waves of each bin, in cycles per pixel, 0 to sqrt(1/2).
        waves: how many waves each bin has; together as many as a picture has pixels.
        size: of the pictures, (y, x).
    """

    power: Float[Tensor, "pictures channels bins"]
    frequency: Float[Tensor, "bins"]
    waves: Int[Tensor, "bins"]
    size: tuple[int, int]

    @property
    def total(self) -> Float[Tensor, "pictures channels"]:
        """Mean square of each windowed picture: all of its power."""
        return self.power @ self.waves.double()


@dataclass(frozen=True, kw_only=True, eq=False)
class RadialRatio:
    """Power of one set of pictures over that of another, by frequency.

    All in dB. A bin in which neither set has power is nan; one in which only one has is infinite.

    Attributes:
        frequency: mean frequency of the waves of each bin, in cycles per pixel.
        decibel: mean power of the set over that of the other.
        error: standard error of that, from the spread over pictures of both; nan for single pictures.
        low: power that 5 per cent of the set's pictures stay below, over the mean of the other set.
        high: power that 95 per cent of the set's pictures stay below, likewise.
        other_low: power that 5 per cent of the other set's pictures stay below, over their own mean.
        other_high: power that 95 per cent of the other set's pictures stay below, likewise.
    """

    frequency: Float[Tensor, "bins"]
    decibel: Float[Tensor, "bins"]
    error: Float[Tensor, "bins"]
    low: Float[Tensor, "bins"]
    high: Float[Tensor, "bins"]
    other_low: Float[Tensor, "bins"]
    other_high: Float[Tensor, "bins"]


def radial_spectrum(pictures: Real[Tensor, "pictures channels y x"]) -> RadialSpectrum:
    """Power |X|^2 / N^2 under a Hann window, without the mean, averaged over waves of equal frequency.

    The window is the product over axes of sin^2(pi (i + 1/2) / n), scaled to a mean square of 1, so that the
    power of white content of variance v is v / N at every frequency, but for the lowest, of which the mean
    takes some. Against that of `power_spectrum` it is scaled and moved by half a sample: it is its own mirror
    image, so that flips and quarter turns change nothing. Derivation: docs/idea.md#azimuthal-average. Source:
    Durall, Keuper and Keuper, "Watch your up-convolution", CVPR 2020, section 3.

    Raises:
        OptionError: there is no picture, or a sample is not finite.
        ShapeError: a side is shorter than 4 pixels.

    >>> import torch
    >>> stripes = torch.tensor([1.0, -1.0]).repeat(1, 1, 8, 4)
    >>> found = radial_spectrum(stripes)
    >>> found.power[0, 0].argmax().item(), round(found.frequency[4].item(), 3), round(found.total.item(), 6)
    (4, 0.501, 1.0)
    """
    size = _checked(pictures)
    frequency, place = _bins(size)
    waves = place.bincount()
    window = _window(size).to(pictures.device)
    flat = pictures.reshape(-1, *size)
    step = max(1, AT_ONCE // math.prod(size))
    sums = torch.cat([_summed(part, window, place, len(waves)) for part in torch.split(flat, step)])
    power = (sums / waves).reshape(*pictures.shape[:2], len(waves))
    mean = torch.zeros(len(waves), dtype=torch.float64).index_add(0, place, frequency) / waves
    return RadialSpectrum(power=power, frequency=mean, waves=waves, size=size)


def radial_ratio(spectrum: RadialSpectrum, other: RadialSpectrum) -> RadialRatio:
    """Power of a set of pictures over that of another, in dB by frequency, with the spread over pictures.

    The channels of a picture are averaged first, then pictures: ratio = 10 log10(mean of the set / mean of
    the other). Its standard error is (10 / ln 10) sqrt(v / (k m^2) + v' / (k' m'^2)), with m the mean and v
    the variance over k pictures.

    Raises:
        ShapeError: the pictures of the two differ in size, so that their bins do.

    >>> import torch
    >>> noise = torch.randn(50, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> found = radial_ratio(radial_spectrum(10 * noise), radial_spectrum(noise))
    >>> bool((found.decibel - 20).abs().max() < 1e-4)
    True
    """
    if spectrum.size != other.size:
        msg = (
            f"spectra that are compared must be of pictures of one size; got {times(spectrum.size)} and "
            f"{times(other.size)}; resize one set"
        )
        raise ShapeError(msg)
    ours, theirs = (each.power.mean(dim=1) for each in (spectrum, other))
    mean, other_mean = ours.mean(dim=0), theirs.mean(dim=0)
    error = sum(_relative_error(each).square() for each in (ours, theirs))
    limits = [_limits(each, other_mean) for each in (ours, theirs)]
    return RadialRatio(
        frequency=spectrum.frequency,
        decibel=_decibel(mean, other_mean),
        error=torch.as_tensor(error).sqrt() * 10 / math.log(10),
        low=limits[0][0],
        high=limits[0][1],
        other_low=limits[1][0],
        other_high=limits[1][1],
    )


def _checked(pictures: Tensor) -> tuple[int, int]:
    """The size of pictures that have a spectrum."""
    size = (pictures.shape[2], pictures.shape[3])
    if pictures.shape[0] < 1 or pictures.shape[1] < 1:
        msg = f"at least one picture of one channel is needed; got shape {tuple(pictures.shape)}"
        raise OptionError(msg)
    if min(size) < LEAST:
        msg = (
            f"a picture must be at least {LEAST} pixels on either side to have a spectrum; got {times(size)}"
        )
        raise ShapeError(msg)
    check_picture(pictures)
    return size


def _bins(size: tuple[int, int]) -> tuple[Float[Tensor, "_waves"], Int[Tensor, "_waves"]]:
    """Frequency and bin of every wave, in the order of a flattened transform."""
    y, x = (torch.fft.fftfreq(n, 1 / n, dtype=torch.float64).round().long() for n in size)
    # in whole numbers a wave halfway between two bins has one place, however the picture is turned
    squared = (y * size[1]).square()[:, None] + (x * size[0]).square()
    halves = (4 * squared // max(size) ** 2).flatten().double().sqrt().floor().long()
    return squared.flatten().double().sqrt() / math.prod(size), (halves + 1) // 2


def _window(size: tuple[int, int]) -> Tensor:
    axes = [torch.sin(math.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n).square() for n in size]
    window = axes[0][:, None] * axes[1]
    return window / window.square().mean().sqrt()


def _summed(pictures: Tensor, window: Tensor, place: Tensor, bins: int) -> Tensor:
    """Power of each picture (pictures, y, x) in each bin, summed over its waves."""
    # without its first sample a constant is 0 exactly, so that rounding leaves it no power
    whole = pictures.double() - pictures[:, :1, :1].double()
    windowed = (whole - whole.mean(dim=(1, 2), keepdim=True)) * window
    power = torch.fft.fft2(windowed).abs().square().flatten(1).cpu() / window.numel() ** 2
    return torch.zeros(len(pictures), bins, dtype=torch.float64).index_add(1, place, power)


def _relative_error(power: Tensor) -> Tensor:
    """Standard error of the mean over pictures, by the mean; 0 where there is no power."""
    mean = power.mean(dim=0)
    error = power.std(dim=0, correction=1) if len(power) > 1 else torch.full_like(mean, math.nan)
    return torch.where(mean > 0, error / mean / len(power) ** 0.5, torch.zeros_like(mean))


def _limits(power: Tensor, mean: Tensor) -> list[Tensor]:
    levels = power.new_tensor([LOW, HIGH])
    return [_decibel(each, mean) for each in torch.quantile(power, levels, dim=0)]


def _decibel(power: Tensor, other: Tensor) -> Tensor:
    return 10 * torch.log10(power / other)
