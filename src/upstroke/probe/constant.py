"""Turn a callable's answers to constants into its gains and into what its border keeps of a total."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.probe.middle import middle_samples

__all__ = ["CELLS", "channel_answers", "measured_bias", "measured_phase_gain", "measured_total"]

Fn = Callable[[Tensor], Tensor]

CELLS = {1: 15, 2: 15, 3: 9}


def measured_phase_gain(
    fn: Fn,
    scale: Sequence[int],
    *,
    channels: int = 1,
    cells: int | tuple[int, ...] | None = None,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "phases out in"]:
    """Answer of each phase in the middle of the map to a one everywhere in one channel, beyond that to zeros.

    Args:
        fn: from (batch, channels, *space) to (batch, out, *space).
        scale: output samples per cell, per axis.
        channels: that the callable takes.
        cells: per axis; enough of them that the border does not reach the middle.
        dtype: of the map, which a module with float32 weights wants to be float32.

    >>> measured_phase_gain(lambda x: x.repeat_interleave(2, -1), (2,)).flatten().tolist()
    [1.0, 1.0]
    """
    y = _middle_answers(fn, tuple(scale), channels=channels, cells=cells, dtype=dtype)
    return (y[:-1] - y[-1:]).flatten(2).permute(2, 1, 0)


def measured_bias(
    fn: Fn,
    scale: Sequence[int],
    *,
    channels: int = 1,
    cells: int | tuple[int, ...] | None = None,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "phases out"]:
    """Answer of each phase in the middle of the map to zeros; arguments as in `measured_phase_gain`.

    >>> measured_bias(lambda x: x.repeat_interleave(2, -1) + 3, (2,)).flatten().tolist()
    [3.0, 3.0]
    """
    return _middle_answers(fn, tuple(scale), channels=channels, cells=cells, dtype=dtype)[-1].flatten(1).T


def measured_total(
    fn: Fn, size: Sequence[int], *, channels: int = 1, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "out in"]:
    """Total that arrives, border included, of a total of 1 spread evenly over a map of this size.

    Divided by the mass it is the part that is kept.

    >>> measured_total(lambda x: x.repeat_interleave(2, -1), (5,)).item()
    2.0
    """
    y = channel_answers(fn, size, channels=channels, dtype=dtype)
    return (y[:-1] - y[-1:]).flatten(2).sum(dim=-1).T / math.prod(size)


def _middle_answers(
    fn: Fn,
    scale: tuple[int, ...],
    *,
    channels: int,
    cells: int | tuple[int, ...] | None,
    dtype: torch.dtype,
) -> Tensor:
    """Samples of the middle cell for a one in each channel in turn, and last for zeros."""
    ndim = len(scale)
    size = whole_per_axis(CELLS[ndim] if cells is None else cells, ndim, name="cells", least=1)
    return middle_samples(channel_answers(fn, size, channels=channels, dtype=dtype), scale, size)


def channel_answers(fn: Fn, size: Sequence[int], *, channels: int, dtype: torch.dtype) -> Tensor:
    """What a callable makes of a one everywhere in each channel in turn, and last of zeros."""
    x = torch.zeros(channels + 1, channels, *size, dtype=dtype)
    x[torch.arange(channels), torch.arange(channels)] = 1
    with torch.no_grad():
        return fn(x).double()
