"""Turn pictures into the variance between the phases of a suspected period, beside what chance would give."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Real
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.diagnose._finite import check_picture
from upstroke.diagnose.spectrum import picture_axes
from upstroke.errors import OptionError, ShapeError

__all__ = [
    "PictureSubgrid",
    "SetSubgrid",
    "phase_means",
    "picture_subgrid_variance",
    "set_subgrid_variance",
]


# Relative, and far above what another order of summation changes.
TIE = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureSubgrid:
    """Periodic subgrid variance (PSV) of one picture; all variances are population variances.

    Attributes:
        value: PSV, in squared units of the picture.
        relative: PSV over the picture's variance, dimensionless, 0 to 1; 0 for a constant picture.
        chance: expected PSV of white content of the same variance and size, in squared units.
        ratio: PSV over chance, dimensionless; 0 for a constant picture. Natural pictures lie far below 1.
        size: the part of the picture that was read: whole periods from its first corner on.
    """

    value: Float[Tensor, ""]
    relative: Float[Tensor, ""]
    chance: Float[Tensor, ""]
    ratio: Float[Tensor, ""]
    size: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class SetSubgrid:
    """Periodic subgrid variance (PSV) that a set of pictures shares, beside its null distribution.

    Attributes:
        value: PSV of the mean picture, in squared units of the pictures.
        null_mean: mean of the null distribution: the same pictures with their alignment destroyed.
        null_95: its 95 % quantile.
        null_99: its 99 % quantile.
        p_value: (1 + draws at or above the value) / (1 + draws): never 0, because draws are finite; 1 for a
            single picture, whose variance no cyclic shift changes.
        pictures: how many there were.
        draws: how often the null distribution was drawn.
    """

    value: Float[Tensor, ""]
    null_mean: Float[Tensor, ""]
    null_95: Float[Tensor, ""]
    null_99: Float[Tensor, ""]
    p_value: Float[Tensor, ""]
    pictures: int
    draws: int


def phase_means(picture: Real[Tensor, "*space"], period: int | tuple[int, ...]) -> Float[Tensor, "*period"]:
    """Mean over the samples of each phase, after cutting the picture at its end to whole periods.

    >>> import torch
    >>> phase_means(torch.tensor([1.0, 2.0, 3.0, 4.0, 9.0]), 2).tolist()
    [2.0, 3.0]
    """
    whole, periods = _whole_periods(picture, period)
    first = whole.flatten()[0]
    return first + _means(whole - first, periods)


def picture_subgrid_variance(
    picture: Real[Tensor, "*space"], period: int | tuple[int, ...]
) -> PictureSubgrid:
    """PSV of one picture: the variance over the S phases of a period of the mean of the samples in them.

    PSV = sum over j != 0 of |X(2 pi j / s)|^2 / N^2 with N the number of samples, all of it the power at the
    image frequencies; chance = variance * (S - 1) / N. The picture is cut at its end to whole periods. A
    variance below N * (epsilon * mean)^2, with the epsilon of float64, is rounding and counts as 0.
    Derivation: docs/idea.md#cyclostationary.

    Raises:
        OptionError: a sample of the picture is not finite, or no axis has a period.
        ShapeError: the picture does not hold one period.

    >>> import torch
    >>> stripes = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).repeat(4, 4)
    >>> picture_subgrid_variance(stripes, 2).relative.item()
    1.0
    """
    whole, periods = _whole_periods(picture, period)
    # a variance does not change with the level, and without it a constant is 0 exactly
    level = whole.flatten()[0]
    variance = _beyond_rounding((whole - level).var(correction=0), whole.mean(), whole.numel())
    value = _means(whole - level, periods).var(correction=0)
    value = torch.where(variance > 0, value, torch.zeros_like(value))
    chance = variance * (math.prod(periods) - 1) / whole.numel()
    none = torch.zeros_like(value)
    return PictureSubgrid(
        value=value,
        relative=torch.where(variance > 0, (value / variance).clamp(max=1), none),
        chance=chance,
        ratio=torch.where(chance > 0, value / chance, none),
        size=tuple(whole.shape),
    )


def set_subgrid_variance(
    pictures: Sequence[Real[Tensor, "..."]], period: int | tuple[int, ...], *, draws: int = 500, seed: int = 0
) -> SetSubgrid:
    """PSV of the phase means averaged over pictures, which may differ in size, against shuffled alignment.

    The null distribution shifts the phase means of every picture cyclically by its own random amount before
    they are averaged: what the pictures share by their alignment goes, all else stays. Draws that equal the
    value to rounding count as at it.

    Raises:
        OptionError: there is no picture or no draw, a sample is not finite, or no axis has a period.
        ShapeError: a picture does not hold one period.

    >>> import torch
    >>> noise = torch.randn(20, 8, 8, generator=torch.Generator().manual_seed(1))
    >>> set_subgrid_variance(list(noise + torch.eye(2).repeat(4, 4)), 2).p_value < 0.01
    tensor(True)
    """
    if not pictures or draws < 1:
        msg = f"at least one picture and one draw are needed; got {len(pictures)} and {draws}"
        raise OptionError(msg)
    means = torch.stack([phase_means(picture, period).cpu() for picture in pictures])
    periods = tuple(means.shape[1:])
    generator = torch.Generator().manual_seed(seed)
    flat = means.flatten(1)
    level = flat.mean()
    # the statistic does not change with a picture's own level, and rounding shrinks with it
    flat = flat - flat[:, :1]
    null = torch.empty(draws, dtype=flat.dtype)
    for draw in range(draws):
        shifts = torch.randint(flat.shape[1], (len(flat),), generator=generator)
        null[draw] = flat.gather(1, _shifted(shifts, periods)).mean(dim=0).var(correction=0)
    value = flat.mean(dim=0).var(correction=0)
    null, value = (_beyond_rounding(part, level, flat.shape[1]) for part in (null, value))
    quantiles = torch.quantile(null, null.new_tensor([0.95, 0.99]))
    return SetSubgrid(
        value=value,
        null_mean=null.mean(),
        null_95=quantiles[0],
        null_99=quantiles[1],
        p_value=(1 + (null >= value * (1 - TIE)).sum()) / null.new_tensor(1 + draws),
        pictures=len(pictures),
        draws=draws,
    )


def _whole_periods(picture: Tensor, period: int | tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """The picture in float64, cut at its end to whole periods."""
    periods = whole_per_axis(period, picture_axes(picture), name="period", least=1)
    if max(periods) < 2:
        msg = f"period must be at least 2 on some axis; got {periods}"
        raise OptionError(msg)
    if any(n < s for n, s in zip(picture.shape, periods, strict=True)):
        msg = (
            f"a picture must hold at least one period per axis; got shape {tuple(picture.shape)} "
            f"for period {periods}"
        )
        raise ShapeError(msg)
    cut = tuple(slice(n - n % s) for n, s in zip(picture.shape, periods, strict=True))
    check_picture(picture[cut])
    return picture[cut].double(), periods


def _means(whole: Tensor, periods: tuple[int, ...]) -> Tensor:
    """Mean over the samples of each phase."""
    return _blocks(whole, periods).mean(dim=tuple(range(len(periods))))


def _beyond_rounding(variance: Tensor, mean: Tensor, samples: int) -> Tensor:
    """The variance, or 0 where that many samples around this mean can have it by rounding alone."""
    rounding = samples * (torch.finfo(torch.float64).eps * mean).square()
    return torch.where(variance > rounding, variance, torch.zeros_like(variance))


def _shifted(shifts: Tensor, periods: tuple[int, ...]) -> Tensor:
    """Where each phase comes from after each of these cyclic shifts, shape (shifts, phases), in C order."""
    source = torch.zeros(len(shifts), *(1,) * len(periods), dtype=torch.long)
    for axis, (amount, s) in enumerate(zip(torch.unravel_index(shifts, periods), periods, strict=True)):
        along = (torch.arange(s) - amount[:, None]) % s
        shape = [s if i == axis else 1 for i in range(len(periods))]
        source = source * s + along.reshape(len(shifts), *shape)
    return source.flatten(1)


def _blocks(whole: Tensor, periods: tuple[int, ...]) -> Tensor:
    """Turn (*space) into (*blocks, *period)."""
    ndim = len(periods)
    sizes = [part for n, s in zip(whole.shape, periods, strict=True) for part in (n // s, s)]
    return whole.reshape(sizes).permute(*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2))
