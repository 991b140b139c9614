"""Turn places beyond the ends of an axis into the places whose values are mirrored there."""

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["mirrored"]


def mirrored(places: Int[Tensor, "*any"], count: int) -> Int[Tensor, "*any"]:
    """Of an axis of so many samples; about the middle of the outermost one, which is not doubled.

    As often as it takes, where an axis is short.

    >>> mirrored(torch.arange(-4, 7), 3)
    tensor([0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2])
    """
    period = max(2 * (count - 1), 1)
    places = places.remainder(period)
    return torch.minimum(places, period - places)
