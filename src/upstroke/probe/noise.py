"""Turn a callable's answers to a constant and to white noise into the variance it adds between phases."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.probe.constant import measured_phase_gain
from upstroke.probe.periodic import on_period

__all__ = ["MeasuredSubgrid", "measured_subgrid_variance"]

Fn = Callable[[Tensor], Tensor]

CELLS = {1: 16, 2: 8, 3: 4}


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredSubgrid:
    """Periodic subgrid variance (PSV) per output channel, measured; all are population variances.

    Attributes:
        constant: PSV of the answer to ones in every channel, in squared output units.
        white: mean PSV of the answers to white noise of variance 1, times the number of cells.
        error: standard error of `white`, from the scatter over draws.
    """

    constant: Float[Tensor, "out"]
    white: Float[Tensor, "out"]
    error: Float[Tensor, "out"]


def measured_subgrid_variance(
    fn: Fn,
    scale: Sequence[int],
    *,
    channels: int = 1,
    cells: int | tuple[int, ...] | None = None,
    draws: int = 400,
    reach: int | tuple[int, ...] = 8,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> MeasuredSubgrid:
    """Feed a constant, then periodic white noise, and take the variance over phases of their means.

    Args:
        fn: from (batch, channels, *space) to (batch, out, *space).
        scale: output samples per cell, per axis.
        channels: that the callable takes; the noise in them is independent.
        cells: of one period of the noise, per axis.
        draws: of the noise.
        reach: cells by which the noise is continued, as in `on_period`.
        seed: of the noise.
        dtype: of the map, which a module with float32 weights wants to be float32.

    >>> measured_subgrid_variance(lambda x: x.repeat_interleave(2, -1), (2,), draws=2).white.item()
    0.0
    """
    ndim = len(scale)
    size = whole_per_axis(CELLS[ndim] if cells is None else cells, ndim, name="cells", least=1)
    gains = measured_phase_gain(fn, scale, channels=channels, dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(draws, channels, *size, generator=generator, dtype=torch.float64)
    silence = torch.zeros(1, channels, *size, dtype=torch.float64)
    y = on_period(fn, torch.cat([noise, silence]).to(dtype), scale, reach=reach).double()
    y = y[:-1] - y[-1:]
    for axis, s in enumerate(scale):
        y = torch.unflatten(y, 2 + axis, (-1, s)).mean(dim=2 + axis)
    found = y.flatten(2).var(dim=-1, correction=0) * math.prod(size)
    return MeasuredSubgrid(
        constant=gains.sum(dim=-1).var(dim=0, correction=0),
        white=found.mean(dim=0),
        error=found.std(dim=0) / math.sqrt(draws),
    )
