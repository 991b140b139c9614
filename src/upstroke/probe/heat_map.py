"""Turn a callable's answers to Gaussian heat maps into the error of the keypoints read from them."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.diagnose import Decoder, KeypointError, keypoint_positions, peak_sample, summarised
from upstroke.errors import OptionError, ShapeError
from upstroke.grid import Grid

__all__ = ["measured_keypoint_error"]

Fn = Callable[[Tensor], Tensor]

POSITIONS = {1: 64, 2: 16, 3: 4}


def measured_keypoint_error(
    fn: Fn,
    grid: Grid,
    *,
    sigma: float,
    decoder: Decoder = "centre_of_mass",
    channels: int = 1,
    positions: int | tuple[int, ...] | None = None,
    cells: int | tuple[int, ...] | None = None,
    dtype: torch.dtype = torch.float64,
) -> KeypointError:
    """Feed a Gaussian in one channel at a time, at sub-pixel positions about the middle cell, and read it.

    Args:
        fn: from (batch, channels, *space) to (batch, out, *space).
        grid: on which the output is taken to sit.
        sigma: of the Gaussian, in input pixels.
        decoder: as in `diagnose.keypoint_error`.
        channels: that the callable takes.
        positions: sub-pixel positions per axis.
        cells: per axis; by default enough for 8 sigma and 8 cells to either side.
        dtype: of the map, which a module with float32 weights wants to be float32.

    Raises:
        OptionError: sigma is not a finite number above 0, or an answer is not finite and has no peak.
        ShapeError: an answer is no map.

    >>> from upstroke.polyphase import Affine, nearest
    >>> grid = Grid.of_input(1).resize(2)
    >>> found = measured_keypoint_error(Affine(operator=nearest(2, ndim=1)), grid, sigma=1.5)
    >>> found.worst < 1e-12
    tensor([[[True]]])
    """
    if not 0 < sigma < math.inf:
        msg = f"sigma must be above 0 input pixels and finite; got {sigma}"
        raise OptionError(msg)
    ndim = grid.ndim
    counts = whole_per_axis(
        POSITIONS[ndim] if positions is None else positions, ndim, name="positions", least=1
    )
    places = keypoint_positions(counts)
    if cells is None:
        cells = 2 * (round(8 * sigma) + 8) + 1
    size = whole_per_axis(cells, ndim, name="cells", least=3)
    middle = torch.tensor([n // 2 for n in size])
    heat = torch.ones(len(places), *(1,) * ndim, dtype=torch.float64)
    for axis, n in enumerate(size):
        line = torch.exp(-((torch.arange(n) - middle[axis] - places[:, axis, None]) ** 2) / (2 * sigma**2))
        heat = heat * line.reshape(len(places), *(-1 if i == axis else 1 for i in range(ndim)))
    numbers = ([float(f) for f in part] for part in (grid.offset, grid.spacing))
    offset, spacing = (torch.tensor(part, dtype=torch.float64) for part in numbers)
    errors = []
    for channel in range(channels):
        x = torch.zeros(len(places) + 1, channels, *size, dtype=dtype)
        x[:-1, channel] = heat.to(dtype)
        with torch.no_grad():
            y = fn(x).double()
        if y.ndim != x.ndim:
            msg = f"a callable must turn maps of shape {tuple(x.shape)} into maps; got {tuple(y.shape)}"
            raise ShapeError(msg)
        maps = (y[:-1] - y[-1:]).flatten(0, 1)
        read = _centre_of_mass(maps) if decoder == "centre_of_mass" else peak_sample(maps, decoder=decoder)
        error = offset + spacing * read - middle - places.repeat_interleave(y.shape[1], 0)
        errors.append(error.reshape(len(places), y.shape[1], ndim))
    return summarised(torch.stack(errors, dim=2))


def _centre_of_mass(maps: Tensor) -> Tensor:
    """Mean sample index, weighted by the maps."""
    total = maps.flatten(1).sum(dim=1)
    centres = []
    for axis, n in enumerate(maps.shape[1:]):
        line = maps.movedim(1 + axis, -1).reshape(len(maps), -1, n).sum(dim=1)
        centres.append(line @ torch.arange(n, dtype=maps.dtype) / total)
    return torch.stack(centres, dim=-1)
