"""Turn maps into the sums of their blocks, and numbers of blocks into maps."""

import math
from functools import lru_cache
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import times
from upstroke.errors import OptionError, ShapeError
from upstroke.ops import native
from upstroke.ops.adjoint import adjoint
from upstroke.ops.recorded import is_recorded
from upstroke.ops.upsample import upsample
from upstroke.polyphase import Polyphase, nearest

__all__ = ["blank", "block_maxima", "block_sums", "check_blocks", "samples_of", "spread", "usable"]

# The kernels add sample to sample, so that roundings add up; PyTorch makes the sums of more by halves.
_SUMMED_IN_A_ROW = 64


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


def usable(weights: Tensor, y: Tensor, scale: tuple[int, ...]) -> Tensor:
    """The weights, over all of the last axes: 0 where they are not above 0, as wide as y at least."""
    weights = weights.to(torch.promote_types(torch.promote_types(y.dtype, weights.dtype), torch.float32))
    weights = torch.where(weights > 0, weights, 0)
    batch = weights.shape[: -len(scale)]
    return weights.expand(*batch, *y.shape[-len(scale) :])


def blank(y: Float[Tensor, "*fine"], weights: Tensor) -> Float[Tensor, "*fine"]:
    """The samples with 0 for those without weight, which no gradient enters whatever they are."""
    counted = weights > 0
    # asked only where the answer is at hand: a graph serves any weights
    if not (torch.compiler.is_compiling() or is_recorded()) and bool(counted.all()):
        return y
    return torch.where(counted, y, 0)


def block_sums(y: Float[Tensor, "*fine"], scale: tuple[int, ...]) -> Float[Tensor, "*coarse"]:
    """Sum over blocks of the last axes: the adjoint of copying a number to all samples of its block."""
    if _has_kernels(y, scale) and samples_of(scale) <= _SUMMED_IN_A_ROW:
        sums = adjoint(_as_maps(y, scale), _copies(scale))
        return sums.reshape(*y.shape[: -len(scale)], *sums.shape[2:])
    return _split(y, scale).sum(dim=_inner(scale))


def block_maxima(y: Float[Tensor, "*fine"], scale: tuple[int, ...]) -> Float[Tensor, "*coarse"]:
    """The largest sample of each block."""
    return _split(y, scale).amax(dim=_inner(scale))


def spread(numbers: Float[Tensor, "*coarse"], scale: tuple[int, ...]) -> Float[Tensor, "*fine"]:
    """Give every sample of a block the number of the block."""
    if _has_kernels(numbers, scale):
        fine = upsample(_as_maps(numbers, scale), _copies(scale))
        return fine.reshape(*numbers.shape[: -len(scale)], *fine.shape[2:])
    for axis, s in enumerate(reversed(scale)):
        numbers = numbers.repeat_interleave(s, dim=-1 - axis)
    return numbers


def _has_kernels(maps: Tensor, scale: tuple[int, ...]) -> bool:
    """Whether blocks are summed and filled by the compiled kernels; PyTorch takes several times as long."""
    # a compiler makes one loop of PyTorch's own
    if torch.compiler.is_compiling() or len(scale) > 3:
        return False
    return maps.numel() > 0 and native.runs_on(maps.device) and not is_recorded()


@lru_cache(maxsize=64)
def _copies(scale: tuple[int, ...]) -> Polyphase:
    return nearest(scale, ndim=len(scale))


def _as_maps(y: Tensor, scale: tuple[int, ...]) -> Tensor:
    return y.reshape(-1, 1, *y.shape[-len(scale) :])


def _split(y: Tensor, scale: tuple[int, ...]) -> Tensor:
    """Each of the last axes as two, its blocks and their samples."""
    ndim = len(scale)
    split = chain.from_iterable((n // s, s) for n, s in zip(y.shape[-ndim:], scale, strict=True))
    return y.reshape(*y.shape[:-ndim], *split)


def _inner(scale: tuple[int, ...]) -> list[int]:
    return [-1 - 2 * axis for axis in range(len(scale))]
