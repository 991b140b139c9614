"""Swap the channel axes of a grouped kernel: plain and transposed convolutions order them differently."""

from jaxtyping import Float
from torch import Tensor

__all__ = ["swap_channels"]


def swap_channels(
    kernel: Float[Tensor, "c_out in_group *length"], groups: int
) -> Float[Tensor, "c_in out_group *length"]:
    """Turn (out, in / groups, *length) into (in, out / groups, *length), or the other way round.

    >>> import torch
    >>> swap_channels(torch.zeros(6, 2, 3, 5), 2).shape
    torch.Size([4, 3, 3, 5])
    """
    return kernel.reshape(groups, -1, *kernel.shape[1:]).transpose(1, 2).flatten(0, 1)
