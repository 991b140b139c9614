"""Turn a model's answers to white noise into the variance between phases, beside what chance would give."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from upstroke.diagnose import phase_means, picture_subgrid_variance

__all__ = ["NoisePattern", "noise_pattern"]

ALIGNMENTS = 500
# Of a p-value: draws that equal the value to rounding count as at it.
TIE = 1e-9


@dataclass(frozen=True, kw_only=True)
class NoisePattern:
    """Periodic subgrid variance (PSV) of a model's answers to noise at one period.

    Attributes:
        period: per axis, in output samples.
        psv: of the mean answer, summed over channels, in squared output units: what does not depend on the
            draw.
        relative: psv over the variance of the answers summed over channels, dimensionless.
        ratio: mean over draws and channels of PSV over its chance for white content of the same variance,
            dimensionless; 1 for white content, far below 1 for smooth answers without a pattern.
        null_mean: mean of psv where every answer is shifted cyclically by its own random amount.
        null_99: its 99 % quantile.
        p_value: (1 + shifts at or above psv) / (1 + shifts).
        alignments: how often the shifts were drawn.
        reason: why nothing was measured, or empty.
    """

    period: tuple[int, ...]
    psv: float | None = None
    relative: float | None = None
    ratio: float | None = None
    null_mean: float | None = None
    null_99: float | None = None
    p_value: float | None = None
    alignments: int = 0
    reason: str = ""


def noise_pattern(answers: Sequence[Tensor], period: tuple[int, ...], *, seed: int) -> NoisePattern:
    """Measure PSV of answers of shape (batch, channels, *space), one for each draw of the noise.

    All channels of an answer are shifted alike, so that what they share by content stays shared.

    >>> draws = [torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(i)) for i in range(8)]
    >>> stripes = torch.tensor([1.0, -1.0]).repeat(4)
    >>> [noise_pattern([x + a * stripes for x in draws], (2,), seed=0).p_value < 0.01 for a in (0, 1)]
    [False, True]
    """
    pictures = torch.cat(list(answers))
    if any(n < 2 * s for n, s in zip(pictures.shape[2:], period, strict=True)):
        held = "x".join(map(str, pictures.shape[2:]))
        return NoisePattern(period=period, reason=f"the middle of the map, {held}, holds no two periods")
    if not bool(pictures.isfinite().all()):
        return NoisePattern(period=period, reason="the answers to noise hold NaN or infinity")
    pattern, ratio, variance = _of_pictures(pictures, period)
    null = _null(pattern, seed=seed)
    value = _psv(pattern)
    return NoisePattern(
        period=period,
        psv=float(value),
        relative=float(value / variance) if variance > 0 else 0.0,
        ratio=ratio,
        null_mean=float(null.mean()),
        null_99=float(null.quantile(0.99)),
        p_value=float((1 + (null >= value * (1 - TIE)).sum()) / (1 + len(null))),
        alignments=len(null),
    )


def _of_pictures(pictures: Tensor, period: tuple[int, ...]) -> tuple[Tensor, float, float]:
    """Phase means less their mean, shape (pictures, channels, *period); ratio to chance; variance."""
    ratios, means = [], []
    for picture in pictures.flatten(0, 1):
        ratios.append(float(picture_subgrid_variance(picture, period).ratio))
        own = phase_means(picture, period)
        means.append(own - own.mean())
    stacked = torch.stack(means).reshape(*pictures.shape[:2], *period)
    variance = float(pictures.flatten(2).var(dim=-1, correction=0).mean(dim=0).sum())
    return stacked, math.fsum(ratios) / len(ratios), variance


def _null(pattern: Tensor, *, seed: int) -> Tensor:
    """The statistic where alignment is destroyed, for each draw of the shifts.

    Every answer is shifted cyclically within the period by its own random amount, all its channels alike.
    """
    generator = torch.Generator().manual_seed(seed)
    period = pattern.shape[2:]
    null = pattern.new_empty(ALIGNMENTS)
    for draw in range(ALIGNMENTS):
        shifts = torch.stack([torch.randint(s, (len(pattern),), generator=generator) for s in period], dim=1)
        moved = [
            each.roll(tuple(by), dims=tuple(range(1, 1 + len(period))))
            for each, by in zip(pattern, shifts.tolist(), strict=True)
        ]
        null[draw] = _psv(torch.stack(moved))
    return null


def _psv(pattern: Tensor) -> Tensor:
    """Variance over phases of the mean over pictures, summed over channels."""
    return pattern.mean(dim=0).flatten(1).var(dim=-1, correction=0).sum()
