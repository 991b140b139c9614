"""Turn a model's answers to constants into the height of its images above what it usually draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

__all__ = ["ConstantPattern", "constant_pattern", "image_amplitudes"]

# Rounding that a network leaves of a flat answer, relative to its level: below it there is no pattern.
ROUNDING = 2e-6
# Samples of the picture along each axis.
PICTURE = 32

Picture = list[float] | list[list[float]]


@dataclass(frozen=True, kw_only=True)
class ConstantPattern:
    """What a constant leaves at the image frequencies 2 pi j / period, in the middle of an output.

    Attributes:
        period: per axis, in output samples.
        peaks_db: by j, one number per axis: amplitude of the answer to the constant there, norm over
            channels, relative to what the answers to noise vary by (root mean square about their mean, norm
            over channels), in dB; -inf without a pattern: how visible it is beside what the model draws.
        gain_db: by j: amplitude there of the change of the answer per change of the constant, norm over
            channels, relative to the same at frequency 0, in dB; for a linear model its image gain. Empty
            where a change of the constant does not come through, as behind a normalisation.
        channel: whose pattern is the loudest.
        picture: its samples in the middle, about their mean, in output units; the middle slice in three axes.
        reason: why nothing was measured, or empty.
    """

    period: tuple[int, ...]
    peaks_db: dict[tuple[int, ...], float]
    gain_db: dict[tuple[int, ...], float]
    channel: int = 0
    picture: Picture
    reason: str = ""

    @property
    def worst_db(self) -> float:
        """The highest of the peaks; -inf without any."""
        return max(self.peaks_db.values(), default=-math.inf)

    @property
    def worst_gain_db(self) -> float:
        """The highest of the gains; -inf without any."""
        return max(self.gain_db.values(), default=-math.inf)


def constant_pattern(
    answer: Tensor, change: Tensor, period: tuple[int, ...], *, reference: float, channels: Sequence[int]
) -> ConstantPattern:
    """Measure an answer and its change, shape (batch, channels, *space), of its first picture.

    Args:
        answer: to a constant.
        change: of the answer per change of the constant.
        period: of the suspected pattern.
        reference: what answers to noise vary by, norm over channels.
        channels: what the channels are called.

    >>> stripes = torch.tensor([1.5, 0.5]).double().repeat(8).reshape(1, 1, 16)
    >>> found = constant_pattern(stripes, 2 * stripes, (2,), reference=1.0, channels=[0])
    >>> round(found.worst_db, 2), round(found.worst_gain_db, 2)
    (-6.02, -6.02)
    """
    held = answer.shape[2:]
    if any(n < 3 * s for n, s in zip(held, period, strict=True)):
        size = "x".join(map(str, held))
        return _unmeasured(period, f"the middle of the map, {size}, holds no three periods")
    if not bool(answer.isfinite().all()):
        return _unmeasured(period, "the answer to a constant holds NaN or infinity")
    pattern = image_amplitudes(answer[0], period)
    gain = image_amplitudes(change[0], period)
    loudest = int(_images(pattern).amax(dim=1).argmax())
    heard = _levels(pattern)
    passed = _levels(gain)
    nothing = (0,) * len(period)
    # the level of a channel is what its pattern is rounded beside
    floor = ROUNDING * heard.pop(nothing)
    through = passed.pop(nothing)
    scatter = math.sqrt(float(change[0].flatten(1).var(dim=-1, correction=0).sum()))
    comes_through = through > 0 and bool(change.isfinite().all()) and scatter < 10 * through
    return ConstantPattern(
        period=period,
        peaks_db={j: _decibel(level if level > floor else 0.0, reference) for j, level in heard.items()},
        gain_db={j: _decibel(_beyond(level, through), through) for j, level in passed.items()}
        if comes_through
        else {},
        channel=channels[loudest],
        picture=_picture(answer[0, loudest]),
    )


def image_amplitudes(maps: Tensor, period: tuple[int, ...]) -> Tensor:
    """|sum of w[n] y[n] exp(-2 pi i j n / period)| / sum of w, w a Hann window; shape (channels, *period).

    Of maps of shape (channels, *space), cut at their end to whole periods. The window, which is 0 at the
    other bins of the level, keeps what is left of the border, a slow change, from counting as a pattern.

    >>> image_amplitudes(torch.tensor([[1.5, 0.5]]).double().repeat(1, 4), (2,))
    tensor([[1.0000, 0.5000]], dtype=torch.float64)
    """
    value = maps.to(torch.complex128)
    for s in period:
        n = value.shape[1] - value.shape[1] % s
        window = torch.hann_window(n, dtype=torch.float64)
        weighted = value.narrow(1, 0, n).movedim(1, -1) * (window / window.sum())
        # takes the first axis of space and puts its frequencies last
        value = torch.fft.fft(torch.unflatten(weighted, -1, (n // s, s)).sum(dim=-2), dim=-1)
    return value.abs()


def _images(amplitudes: Tensor) -> Tensor:
    """Without frequency 0, shape (channels, images)."""
    return amplitudes.flatten(1)[:, 1:]


def _levels(amplitudes: Tensor) -> dict[tuple[int, ...], float]:
    """Norm over channels by j."""
    norms = amplitudes.norm(dim=0)
    return {j: float(norms[j]) for j in product(*(range(s) for s in norms.shape))}


def _beyond(level: float, through: float) -> float:
    """What stands above the rounding of a difference of two answers."""
    return level if level > 100 * ROUNDING * through else 0.0


def _decibel(level: float, reference: float) -> float:
    if level == 0:
        return -math.inf
    return 20 * math.log10(level / reference) if reference > 0 else math.inf


def _picture(maps: Tensor) -> Picture:
    """The middle of a channel about its mean, at most 32 samples along each of its last two axes."""
    while maps.ndim > 2:
        maps = maps[len(maps) // 2]
    cut = tuple(slice((n - min(n, PICTURE)) // 2, (n + min(n, PICTURE)) // 2) for n in maps.shape)
    shown: Picture = (maps[cut] - maps[cut].mean()).tolist()
    return shown


def _unmeasured(period: tuple[int, ...], reason: str) -> ConstantPattern:
    return ConstantPattern(period=period, peaks_db={}, gain_db={}, picture=[], reason=reason)
