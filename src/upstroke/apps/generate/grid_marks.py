"""Turn samples and real pictures into how much of a fixed grid either has, by period, and what chance gives.

A grid that an upsampler leaves lies in the same place in every sample, so it is in the phase means that
samples share. So is whatever else they share: faces that are all lighter at the top have a slope in common,
which is in the phase means of every period. Two things keep that apart from a grid. A Hann window takes from
a slope what it has at the image frequencies. And real pictures are measured alike: what they have as well,
such as eyes that lie in one place, is no mark of a generator.

An upsampler whose phases have equal gains and unequal taps leaves no grid in the mean, but details that are
louder in some phases than in others. So the same is measured of the squares of details.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from upstroke.axes import times
from upstroke.diagnose import phase_means, set_subgrid_variance
from upstroke.errors import OptionError

__all__ = ["LEVEL", "PERIODS", "GridMark", "GridMarks", "Kind", "SetMark", "Verdict", "grid_marks"]

Kind: TypeAlias = Literal["level", "detail"]
Verdict: TypeAlias = Literal["at chance", "as in real pictures", "above both"]

# What a ladder of four upsamplers of scale 2 can leave.
PERIODS = (2, 4, 8, 16)
# The chance of a mark that is none, of any kind, in any period of any channel.
LEVEL = 0.05
DRAWS = 1000
KINDS: tuple[Kind, ...] = ("level", "detail")
# Relative, and far above what another order of summation changes.
TIE = 1e-9


@dataclass(frozen=True, kw_only=True)
class SetMark:
    """Periodic subgrid variance (PSV) of a set of pictures for one period.

    Attributes:
        value: PSV of the mean of the windowed pictures, in squared levels of 0 to 255; that of a grid which
            all share is its variance. Of details that of their squares, in levels to the fourth power.
        relative: PSV by the mean variance of the pictures, or by the square of the mean square of details,
            dimensionless.
        null_mean: mean of the null distribution: each picture shifted by its own random amount.
        null_95: its 95 % quantile.
        null_99: its 99 % quantile.
        p_value: of the value in the null distribution, not corrected for several periods.
        pictures: how many there were.
    """

    value: float
    relative: float
    null_mean: float
    null_95: float
    null_99: float
    p_value: float
    pictures: int


@dataclass(frozen=True, kw_only=True)
class GridMark:
    """A period in one channel of samples, beside chance and real pictures.

    What repeats every 2 pixels repeats every 4, 8 and 16, so a grid marks all multiples of its period.

    Attributes:
        kind: of levels, or of how loud details are: the squared difference of a pixel from the mean of the
            3 by 3 pixels around it.
        period: in pixels, along both axes.
        channel: counted from 0.
        samples: of the samples.
        real: of the real pictures.
        excess: PSV of the samples less that of the real pictures, in the unit of these.
        excess_p: share of random exchanges of pictures between the sets with as large an excess, not
            corrected.
        chance_p: the p-value of the samples, corrected for all kinds, periods and channels (Holm).
        above_real_p: the p-value of the excess, likewise.
        verdict: at chance: the samples share no pattern of this period that the level of all could show. As
            in real pictures: they share one, but not more of it than real pictures do. Above both: more of
            it than chance gives and than real pictures have.
    """

    kind: Kind
    period: int
    channel: int
    samples: SetMark
    real: SetMark
    excess: float
    excess_p: float
    chance_p: float
    above_real_p: float
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class GridMarks:
    """Both kinds, all periods and channels.

    Attributes:
        marks: by kind, then period, then channel.
        level: the chance that any verdict of samples without a pattern is not `at chance`; and that any of
            samples with the pattern of real pictures is `above both`.
        draws: of each null distribution.
        seed: of the draws.
    """

    marks: tuple[GridMark, ...]
    level: float
    draws: int
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def grid_marks(
    samples: NDArray[np.uint8],
    real: NDArray[np.uint8],
    *,
    periods: Sequence[int] = PERIODS,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> GridMarks:
    """Periodic subgrid variance of samples against chance and against real pictures.

    Pictures are cut at their end to whole periods, lose their mean and get a Hann window of mean 1, under
    which a grid of the period keeps its phase means. Chance is that of `set_subgrid_variance`, which shifts
    each picture by itself. Against real pictures: the sets exchange pictures at random.

    Args:
        samples: (pictures, channels, y, x).
        real: (pictures, channels, y, x), of the same channels and size.
        periods: each at most half of the shorter side.
        level: of all verdicts together.
        draws: of each null distribution.
        seed: of the draws.

    Raises:
        OptionError: no pictures, pictures that differ in shape, periods that do not fit, or too few draws to
            ever be below the level.

    >>> generator = np.random.default_rng(0)
    >>> real = generator.integers(0, 200, (60, 1, 16, 16), dtype=np.uint8)
    >>> grid = np.tile(np.array([[0, 40], [40, 0]], dtype=np.uint8), (8, 8))
    >>> found = grid_marks(real[:30] + grid, real[30:], periods=(2, 8))
    >>> [(each.period, each.verdict) for each in found.marks if each.kind == "level"]
    [(2, 'above both'), (8, 'above both')]
    """
    _check(samples, real, periods)
    if not 0 < level < 1:
        msg = f"the level of a test lies between 0 and 1; got {level:g}"
        raise OptionError(msg)
    tests = len(KINDS) * len(periods) * samples.shape[1]
    # the least p-value, corrected for all tests, must lie below the level
    least = math.ceil(tests / level)
    if draws < least:
        msg = f"{tests} tests at a level of {level:g} together need at least {least} draws; got {draws}"
        raise OptionError(msg)
    measured = [
        (kind, period, channel, *_measured(contents, period, kind, draws, seed))
        for kind in KINDS
        for period in periods
        for channel in range(samples.shape[1])
        for contents in [[_content(each[:, channel], kind) for each in (samples, real)]]
    ]
    chance_p = _holm([ours.p_value for *_, ours, _, _ in measured])
    above_p = _holm([excess_p for *_, excess_p in measured])
    marks = tuple(
        GridMark(
            kind=kind,
            period=period,
            channel=channel,
            samples=ours,
            real=theirs,
            excess=ours.value - theirs.value,
            excess_p=excess_p,
            chance_p=chance,
            above_real_p=above,
            verdict=_verdict(chance, above, level),
        )
        for (kind, period, channel, ours, theirs, excess_p), chance, above in zip(
            measured, chance_p, above_p, strict=True
        )
    )
    return GridMarks(marks=marks, level=level, draws=draws, seed=seed)


def _check(samples: NDArray[np.uint8], real: NDArray[np.uint8], periods: Sequence[int]) -> None:
    if samples.shape[1:] != real.shape[1:]:
        msg = (
            f"samples and real pictures must have the same channels and size; got "
            f"{times(samples.shape[1:])} and {times(real.shape[1:])}; resize one set"
        )
        raise OptionError(msg)
    if not len(samples) or not len(real):
        msg = f"at least one sample and one real picture are needed; got {len(samples)} and {len(real)}"
        raise OptionError(msg)
    most = min(samples.shape[2:]) // 2
    if not periods or not all(2 <= period <= most for period in periods):
        given = ", ".join(map(str, periods)) or "none"
        msg = (
            f"periods must be from 2 to {most}, half of the shorter side of pictures of "
            f"{times(samples.shape[2:])} pixels; got {given}"
        )
        raise OptionError(msg)


def _content(pictures: NDArray[np.uint8], kind: Kind) -> Float[Tensor, "pictures y x"]:
    """Levels of pictures (pictures, y, x), or the squares of their details."""
    levels = torch.from_numpy(pictures).double()
    if kind == "level":
        return levels
    around = F.avg_pool2d(F.pad(levels[:, None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[:, 0]
    return (levels - around).square()


def _measured(
    contents: Sequence[Float[Tensor, "_pictures y x"]], period: int, kind: Kind, draws: int, seed: int
) -> tuple[SetMark, SetMark, float]:
    """One period in one channel of samples and real pictures, and the p-value of the excess."""
    windowed = [_windowed(each, period) for each in contents]
    marks = [
        _of_set(each, _size_of(content, kind), period, draws, seed)
        for each, content in zip(windowed, contents, strict=True)
    ]
    means = [torch.stack([phase_means(each, period).flatten() for each in part]) for part in windowed]
    return marks[0], marks[1], _excess_p(means[0], means[1], draws, seed)


def _windowed(content: Float[Tensor, "pictures y x"], period: int) -> Float[Tensor, "pictures y_cut x_cut"]:
    """Whole periods of each picture without its mean, under a Hann window."""
    size = [n - n % period for n in content.shape[1:]]
    whole = content[:, : size[0], : size[1]]
    axes = [torch.sin(math.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n).square() for n in size]
    window = 4 * axes[0][:, None] * axes[1]
    return (whole - whole.mean(dim=(1, 2), keepdim=True)) * window


def _size_of(content: Float[Tensor, "pictures y x"], kind: Kind) -> float:
    """What a PSV is held against: the variance of levels, the square of the mean of squares."""
    if kind == "level":
        return float(content.var(dim=(1, 2), correction=0).mean())
    return float(content.mean().square())


def _of_set(
    windowed: Float[Tensor, "pictures y x"], size: float, period: int, draws: int, seed: int
) -> SetMark:
    found = set_subgrid_variance(list(windowed), period, draws=draws, seed=seed)
    value = float(found.value)
    return SetMark(
        value=value,
        relative=value / size if size else 0.0,
        null_mean=float(found.null_mean),
        null_95=float(found.null_95),
        null_99=float(found.null_99),
        p_value=float(found.p_value),
        pictures=len(windowed),
    )


def _excess_p(
    samples: Float[Tensor, "ours phases"], real: Float[Tensor, "theirs phases"], draws: int, seed: int
) -> float:
    """Share of random exchanges after which the samples' PSV exceeds that of the real ones by as much."""
    both, generator = torch.cat([samples, real]), torch.Generator().manual_seed(seed)
    total, count = both.sum(dim=0), len(samples)
    wanted = _excess(samples.sum(dim=0), total, count, len(both))
    reached = 0
    for _ in range(draws):
        drawn = torch.randperm(len(both), generator=generator)[:count]
        reached += _excess(both[drawn].sum(dim=0), total, count, len(both)) >= wanted - TIE * abs(wanted)
    return (1 + reached) / (1 + draws)


def _excess(ours: Tensor, total: Tensor, count: int, both: int) -> float:
    """PSV of one part of the pictures less that of the rest, from the sums of their phase means."""
    return float((ours / count).var(correction=0) - ((total - ours) / (both - count)).var(correction=0))


def _holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected so that all below a level hold together with it (Holm 1979).

    >>> _holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        least = max(least, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = least
    return corrected


def _verdict(chance_p: float, above_p: float, level: float) -> Verdict:
    if chance_p > level:
        return "at chance"
    return "as in real pictures" if above_p > level else "above both"
