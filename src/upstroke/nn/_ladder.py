"""Lay out the widths of the maps between 4x4 and a picture, for those who draw pictures or judge them."""

from torch import nn

from upstroke.errors import OptionError

__all__ = ["BASE", "SIZES", "STD", "check_numbers", "start_norm", "widths_of"]

# The size of the smallest map, and those of pictures.
BASE = 4
SIZES = (32, 64, 128)
# Of the weights at the start. Source: Radford, Metz, Chintala, Unsupervised representation learning with deep
# convolutional generative adversarial networks, 2015 (arXiv:1511.06434).
STD = 0.02


def widths_of(width: int, size: int) -> tuple[int, ...]:
    """Channels of the maps from 4x4 to half the picture's size: twice as many wherever the size is half.

    >>> widths_of(64, 64)
    (512, 256, 128, 64)
    """
    steps = (size // BASE).bit_length() - 1
    return tuple(width * 2**step for step in reversed(range(steps)))


def check_numbers(*, size: int, **counts: int) -> None:
    """Refuse a size that is none of a picture, and a count below 1."""
    if size not in SIZES:
        msg = f"size must be one of {', '.join(map(str, SIZES))}; got {size}"
        raise OptionError(msg)
    for name, count in counts.items():
        if count < 1:
            msg = f"{name} must be at least 1; got {count}"
            raise OptionError(msg)


def start_norm(norm: nn.BatchNorm2d) -> None:
    """Draw the factors of a norm around 1, with offsets of 0."""
    nn.init.normal_(norm.weight, 1.0, STD)
    nn.init.zeros_(norm.bias)
