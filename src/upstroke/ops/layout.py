"""Tell how a map lies in memory, and make maps that lie like it."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["empty", "in_layout", "is_channels_last"]

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels lie innermost in memory, without gaps, for maps of 1, 2 or 3 spatial axes.

    By the strides, which tell even for a map of one pixel; one channel is contiguous either way.

    >>> x = torch.zeros(2, 5, 3).transpose(1, 2)
    >>> is_channels_last(x), is_channels_last(x.contiguous())
    (True, False)
    """
    strides, channels = x.stride(), x.shape[1]
    if channels == 1 or strides[1] != 1 or strides[-1] != channels:
        return False
    if x.ndim == 3:
        return x.transpose(1, 2).is_contiguous()
    return x.ndim in _CHANNELS_LAST and x.is_contiguous(memory_format=_CHANNELS_LAST[x.ndim])


def in_layout(x: Tensor, *, channels_last: bool) -> Tensor:
    """The map with its channels innermost or outside, copied only where it lies otherwise.

    >>> is_channels_last(in_layout(torch.zeros(2, 3, 5), channels_last=True))
    True
    """
    if not channels_last:
        return x.contiguous()
    if x.ndim == 3:
        return x.transpose(1, 2).contiguous().transpose(1, 2)
    return x.contiguous(memory_format=_CHANNELS_LAST[x.ndim])


def empty(like: Tensor, shape: Sequence[int], *, channels_last: bool) -> Tensor:
    """Fresh memory of the dtype and on the device of a map.

    >>> empty(torch.zeros(()), (2, 3, 5), channels_last=True).stride()
    (15, 1, 3)
    """
    if not channels_last:
        return torch.empty(shape, dtype=like.dtype, device=like.device)
    if len(shape) == 3:
        batch, channels, size = shape
        return torch.empty((batch, size, channels), dtype=like.dtype, device=like.device).transpose(1, 2)
    layout = _CHANNELS_LAST[len(shape)]
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)
