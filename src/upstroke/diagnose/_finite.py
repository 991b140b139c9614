"""Turn a tensor with NaN or infinity in it into a refusal, where no result could carry them on."""

import torch
from torch import Tensor

from upstroke.errors import OptionError

__all__ = ["check_finite", "check_picture", "check_taps"]


def check_finite(values: Tensor, *, name: str, purpose: str, remedy: str) -> None:
    """Raise where a number is NaN or infinite.

    Raises:
        OptionError: one is.

    >>> check_finite(torch.ones(2), name="taps", purpose="have an order", remedy="train again")
    """
    # a sum is finite only where all are, and a good deal faster
    if bool(values.detach().sum().isfinite()):
        return
    lost = int((~torch.isfinite(values)).sum())
    if lost:
        msg = (
            f"{name} must be finite to {purpose}; got NaN or infinity in {lost} of {values.numel()}; {remedy}"
        )
        raise OptionError(msg)


def check_taps(taps: Tensor, *, purpose: str) -> None:
    """Raise where a tap is NaN or infinite.

    Raises:
        OptionError: one is.

    >>> check_taps(torch.ones(2), purpose="have an order")
    """
    check_finite(taps, name="taps", purpose=purpose, remedy="take a checkpoint from before they became so")


def check_picture(picture: Tensor) -> None:
    """Raise where a sample of a picture is NaN or infinite.

    Raises:
        OptionError: one is.

    >>> check_picture(torch.ones(2))
    """
    check_finite(
        picture, name="a picture", purpose="have a variance or a spectrum", remedy="mend or cut them out"
    )
