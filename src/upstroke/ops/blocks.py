"""Turn maps into the sums of their blocks, and numbers of blocks into maps."""

import math
from itertools import chain

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from upstroke.axes import times
from upstroke.errors import OptionError, ShapeError

__all__ = ["blank", "block_maxima", "block_sums", "check_blocks", "samples_of", "spread", "usable"]


def check_blocks(y: Tensor, scale: tuple[int, ...], weights: Tensor | None) -> None:
    """Refuse maps that the blocks do not fill, and weights that are not those of the maps."""
    if not scale or min(scale) < 1:
        msg = f"scale must be one whole number of at least 1 for each of the last axes; got {scale}"
        raise OptionError(msg)
    size = y.shape[-len(scale) :]
    if len(size) < len(scale) or any(n % s for n, s in zip(size, scale, strict=True)):
        msg = (
            f"the last {len(scale)} axes of y must be filled by blocks of {times(scale)} samples; "
            f"got shape {tuple(y.shape)}"
        )
        raise ShapeError(msg)
    for name, values in (("y", y), ("weights", weights)):
        if values is not None and not values.is_floating_point():
            msg = f"{name} must have a floating dtype; got {values.dtype}, so convert it by .float()"
            raise OptionError(msg)
    if weights is None:
        return
    fits = weights.ndim <= y.ndim and all(
        n in (1, m) for n, m in zip(reversed(weights.shape), reversed(y.shape), strict=False)
    )
    if not fits:
        msg = (
            f"weights must have a shape that broadcasts to {tuple(y.shape)}, that of y; "
            f"got {tuple(weights.shape)}"
        )
        raise ShapeError(msg)


def samples_of(scale: tuple[int, ...]) -> int:
    """Samples in a block."""
    return math.prod(scale)


def usable(weights: Tensor, y: Tensor) -> Tensor:
    """The weights, over all of the last axes: 0 where they are not above 0, in float32 at least."""
    dtype = torch.promote_types(torch.promote_types(y.dtype, weights.dtype), torch.float32)
    weights = weights.to(dtype)
    return torch.where(weights > 0, weights, 0).expand_as(y)


def blank(y: Tensor, counted: Bool[Tensor, "*fine"]) -> Tensor:
    """The samples with 0 for those that do not count, which no gradient enters whatever they are."""
    return torch.where(counted, y, 0)


def block_sums(y: Float[Tensor, "*fine"], scale: tuple[int, ...]) -> Float[Tensor, "*coarse"]:
    """Sum over blocks of the last axes."""
    return _split(y, scale).sum(dim=_inner(scale))


def block_maxima(y: Float[Tensor, "*fine"], scale: tuple[int, ...]) -> Float[Tensor, "*coarse"]:
    """The largest sample of each block."""
    return _split(y, scale).amax(dim=_inner(scale))


def spread(numbers: Shaped[Tensor, "*coarse"], scale: tuple[int, ...]) -> Shaped[Tensor, "*fine"]:
    """Give every sample of a block the number of the block."""
    for axis, s in enumerate(reversed(scale)):
        numbers = numbers.repeat_interleave(s, dim=-1 - axis)
    return numbers


def _split(y: Tensor, scale: tuple[int, ...]) -> Tensor:
    """Each of the last axes as two, its blocks and their samples."""
    ndim = len(scale)
    split = chain.from_iterable((n // s, s) for n, s in zip(y.shape[-ndim:], scale, strict=True))
    return y.reshape(*y.shape[:-ndim], *split)


def _inner(scale: tuple[int, ...]) -> list[int]:
    return [-1 - 2 * axis for axis in range(len(scale))]
