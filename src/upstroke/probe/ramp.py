"""Turn a callable's answer to a coordinate ramp into the grid that its output sits on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.probe.middle import middle_samples

__all__ = ["MeasuredGrid", "measured_grid"]

Fn = Callable[[Tensor], Tensor]

CELLS = {1: 15, 2: 15, 3: 9}


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredGrid:
    """Where output samples sit by what they read: position(n) = offset + spacing * n, per output channel.

    Attributes:
        offset: shape (out, axes), in input pixels, averaged over phases.
        spacing: shape (out, axes), in input pixels.
        residual: largest distance of a phase from that line, shape (out, axes), in input pixels: by so much
            a ramp does not come out as a ramp.
    """

    offset: Float[Tensor, "out axes"]
    spacing: Float[Tensor, "out axes"]
    residual: Float[Tensor, "out axes"]


def measured_grid(
    fn: Fn,
    scale: Sequence[int],
    *,
    channels: int = 1,
    cells: int | tuple[int, ...] | None = None,
    dtype: torch.dtype = torch.float64,
) -> MeasuredGrid:
    """Feed the coordinate of each cell, in every channel, and read where the samples in the middle sit.

    The answer to the ramp is divided by that to ones, sample by sample, so it is the centre of gravity of
    the cells that a sample reads: the nominal position where weights are symmetric about the middle of what
    they read. Answers to zeros are taken away from both. Not defined, nan or inf, where a gain is 0.

    Args:
        fn: from (batch, channels, *space) to (batch, out, *space).
        scale: output samples per cell, per axis.
        channels: that the callable takes.
        cells: per axis; enough of them that the border does not reach the middle.
        dtype: of the map, which a module with float32 weights wants to be float32.

    >>> measured_grid(lambda x: x.repeat_interleave(2, -1), (2,)).offset.item()
    -0.25
    """
    ndim = len(scale)
    size = whole_per_axis(CELLS[ndim] if cells is None else cells, ndim, name="cells", least=3)
    middle = [n // 2 for n in size]
    # from the middle, where a ramp is smallest, so that little is lost to rounding
    coordinates = torch.meshgrid(
        *(torch.arange(n, dtype=dtype) - m for n, m in zip(size, middle, strict=True)), indexing="ij"
    )
    maps = torch.stack([*coordinates, torch.ones(size, dtype=dtype), torch.zeros(size, dtype=dtype)])
    with torch.no_grad():
        y = fn(maps[:, None].expand(-1, channels, *size).contiguous()).double()
    # two cells: the middle one and, along each axis, the next
    block = middle_samples(y, scale, size, blocks=2)
    block = block[:-1] - block[-1:]
    found = []
    for axis, (s, m) in enumerate(zip(scale, middle, strict=True)):
        others = tuple(slice(None) if i == axis else slice(t) for i, t in enumerate(scale))
        position = (block[axis] / block[-1])[(slice(None), *others)].movedim(1 + axis, 1)
        position = position.reshape(len(position), 2 * s, -1)
        here, following = position[:, :s], position[:, s:]
        spacing = (following - here).mean(dim=(1, 2)) / s
        away = here - spacing[:, None, None] * torch.arange(s, dtype=position.dtype)[:, None]
        offset = away.mean(dim=(1, 2))
        residual = (away - offset[:, None, None]).abs().amax(dim=(1, 2))
        # sample s * m sits in cell m, where the ramp was 0
        found.append((m + offset - spacing * s * m, spacing, residual))
    offsets, spacings, residuals = (torch.stack(part, dim=-1) for part in zip(*found, strict=True))
    return MeasuredGrid(offset=offsets, spacing=spacings, residual=residuals)
