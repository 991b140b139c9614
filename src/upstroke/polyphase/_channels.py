"""Swap the channel axes of a grouped kernel: plain and transposed convolutions order them differently."""

from torch import Tensor

__all__ = ["swap_channels"]


def swap_channels(kernel: Tensor, groups: int) -> Tensor:
    """Turn (out, in / groups, *length) into (in, out / groups, *length), or the other way round."""
    return kernel.reshape(groups, -1, *kernel.shape[1:]).transpose(1, 2).flatten(0, 1)
