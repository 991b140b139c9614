"""Turn arrays on one grid of voxels into arrays on another that covers the same extent."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy
import torch
from jaxtyping import Float, Num
from numpy.typing import NDArray
from torch import Tensor

from upstroke.errors import OptionError, ShapeError

__all__ = ["MOST_VOXELS", "along", "resampled", "size_at"]

# More than this no image and no patch may have: 8 GiB of float32 in a channel, and nothing would end.
MOST_VOXELS = 2**31


def size_at(size: Sequence[int], spacing: Sequence[float], wanted: Sequence[float]) -> tuple[int, ...]:
    """The size at which the extent of a volume is divided into voxels of the wanted spacing, or nearly.

    `spacing` and `wanted` in one unit. Sizes are whole, so the spacing that results is off by up to half a
    voxel over the whole axis; the extent is kept. At least 1. Raises `OptionError` for spacings that are not
    above 0, `ShapeError` where the numbers of axes differ.

    >>> size_at((34, 52, 35), (1.0, 0.5, 3.0), (1.0, 1.0, 1.0))
    (34, 26, 105)
    """
    if not len(size) == len(spacing) == len(wanted):
        msg = (
            f"a size, its spacing and the wanted one have a number for each axis; "
            f"got {tuple(size)}, {tuple(spacing)} and {tuple(wanted)}"
        )
        raise ShapeError(msg)
    if not all(0 < each < numpy.inf for each in (*spacing, *wanted)):
        msg = f"a spacing must be above 0; got {tuple(spacing)} and {tuple(wanted)}"
        raise OptionError(msg)
    return tuple(
        max(1, int(count * old / new + 0.5)) for count, old, new in zip(size, spacing, wanted, strict=True)
    )


def resampled(
    values: Num[NDArray[Any], "channels *old"], *, size: Sequence[int], order: Literal[0, 1]
) -> Num[NDArray[Any], "channels *new"]:
    """Values at another size, both grids of half pixels over the same extent, each axis by itself.

    Sample i of n new ones sits at (i + 1/2) * old / n - 1/2 old samples. Order 0 takes the nearest value (of
    two as near the right one), so that no new one can appear: for labels. Order 1 interpolates linearly, with
    the edge continued outwards, and where an axis shrinks widens the triangle to the new spacing, so that
    what the new grid cannot hold is averaged out and not folded back; the result is float32, or float64 for
    float64. An axis whose size stays is left alone, bit for bit.

    Raises `ShapeError` for a size with another number of axes or below 1.

    >>> resampled(numpy.array([[1.0, 2.0]]), size=(4,), order=1)
    array([[1.  , 1.25, 1.75, 2.  ]])
    >>> resampled(numpy.array([[0, 7, 7, 3]]), size=(2,), order=0)
    array([[7, 3]])
    """
    old, new = values.shape[1:], tuple(size)
    if len(new) != len(old) or min(new, default=1) < 1:
        msg = f"the new size must have {len(old)} numbers from 1 up, one for each axis; got {new}"
        raise ShapeError(msg)
    if order == 0:
        return _nearest(values, new)
    dtype = torch.float64 if values.dtype == numpy.float64 else torch.float32
    # one copy that is never written: PyTorch takes neither reversed nor byte-swapped nor read-only arrays
    x = torch.tensor(numpy.ascontiguousarray(values, values.dtype.newbyteorder("=")), dtype=dtype)
    # what shrinks comes first: then the rest has less to do
    for axis in sorted(range(len(new)), key=lambda axis: new[axis] / old[axis]):
        if new[axis] != old[axis]:
            x = along(x, axis + 1, _linear(old[axis], new[axis]).to(dtype))
    return x.contiguous().numpy()


def along(
    x: Float[Tensor, "*shape"], axis: int, weights: Float[Tensor, "new old"]
) -> Float[Tensor, "*grown"]:
    """A matrix applied along one axis: sample i of the result is the sum of weights[i, k] times sample k.

    >>> along(torch.tensor([[1.0, 2.0, 4.0]]), 1, torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))
    tensor([[1.5000, 4.0000]])
    """
    # a training in 16 bits judges whole images inside its autocast, which is for the network alone
    with torch.autocast(x.device.type, enabled=False):
        summed: Tensor = torch.tensordot(x, weights, dims=([axis], [1])).movedim(-1, axis)
    return summed


def _nearest(values: NDArray[Any], new: tuple[int, ...]) -> NDArray[Any]:
    for axis, (before, after) in enumerate(zip(values.shape[1:], new, strict=True), start=1):
        if before != after:
            # in whole numbers, since a rounded position can fall to the other side of a voxel's edge
            values = values.take((2 * numpy.arange(after) + 1) * before // (2 * after), axis=axis)
    return values.copy()


def _linear(old: int, new: int) -> Float[Tensor, "new old"]:
    """The matrix of half-pixel linear interpolation, its triangle widened where the axis shrinks."""
    width = max(old / new, 1.0)
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5
    if new > old:
        centres = centres.clamp(0, old - 1)
    weights = 1 - (torch.arange(old) - centres[:, None]).abs() / width
    weights = weights.clamp(min=0)
    normal: Tensor = weights / weights.sum(1, keepdim=True)
    return normal
