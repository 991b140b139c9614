"""Levels from 0 to 255 become values from -1 to 1, as networks take them, and back."""

import numpy
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from upstroke.errors import OptionError

__all__ = ["as_bytes", "signed"]

HALF = 127.5


def signed(pictures: UInt8[numpy.ndarray, "*shape"]) -> Float32[Tensor, "*shape"]:
    """Values of levels: level / 127.5 - 1, so that 0 is -1 and 255 is 1.

    >>> signed(numpy.array([0, 51, 255], numpy.uint8))
    tensor([-1.0000, -0.6000,  1.0000])
    """
    return torch.tensor(pictures).to(torch.float32).div_(HALF).sub_(1)


def as_bytes(x: Float[Tensor, "*shape"]) -> UInt8[numpy.ndarray, "*shape"]:
    """Levels of values, rounded to the nearest; what lies outside of -1 and 1 becomes 0 or 255.

    >>> as_bytes(torch.tensor([-7.0, -0.6, 1.0]))
    array([  0,  51, 255], dtype=uint8)

    Raises:
        OptionError: a value is NaN, which is no level.
    """
    values = x.detach().to("cpu", torch.float32)
    if bool(values.isnan().any()):
        count = int(values.isnan().sum())
        msg = f"values must be numbers to become pictures; {count} of {values.numel()} are NaN; train again"
        raise OptionError(msg)
    levels: UInt8[numpy.ndarray, "*shape"] = (
        values.add(1).mul_(HALF).round_().clamp_(0, 255).to(torch.uint8).numpy()
    )
    return levels
