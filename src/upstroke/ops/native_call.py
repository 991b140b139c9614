"""Check what a native operator is called with, one against another, and count the samples that come out."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase import Border

__all__ = [
    "BORDERS",
    "DTYPES",
    "Call",
    "call_of",
    "check_bias",
    "check_maps",
    "check_output",
    "check_pair",
    "known_call",
]

# The numbers by which operators and kernels name what stands outside a map.
BORDERS: tuple[Border, ...] = ("zero", "clamp", "circular")

# What the kernels read and write; float16 maps are widened, and the result is rounded once.
DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2}
_TAKEN = (*DTYPES, torch.float16)

# Places are counted in 64 bits: with no size above the one and no map above the other no sum overflows.
_MOST = 2**40
_MOST_NUMBERS = 2**60


class Call(NamedTuple):
    """The numbers of one call, checked: cell m draws kernel[i] on sample n = scale * m + i - crop."""

    samples: tuple[int, ...]
    scale: Sequence[int]
    length: Sequence[int]
    crop: Sequence[int]
    border: Sequence[int]

    @property
    def names(self) -> tuple[Border, ...]:
        """What stands outside the map, in words."""
        return tuple(BORDERS[number] for number in self.border)


def call_of(
    x: Sequence[int],
    kernel: Sequence[int],
    scale: Sequence[int],
    crop: Sequence[int],
    excess: Sequence[int],
    border: Sequence[int],
) -> Call:
    """Check shapes and numbers, which may be symbols, and count the samples."""
    ndim = len(x) - 2
    if not 1 <= ndim <= 3 or len(kernel) != 2 + ndim:
        msg = (
            "x must have shape (batch, channels, *size) with 1 to 3 spatial axes, and kernel (channels, 1, "
            f"*length) with as many; got shapes {tuple(x)} and {tuple(kernel)}"
        )
        raise ShapeError(msg)
    for name, numbers in (("scale", scale), ("crop", crop), ("excess", excess), ("border", border)):
        if len(numbers) != ndim:
            msg = f"{name} must have one number per axis, {ndim} of them; got {tuple(numbers)}"
            raise ShapeError(msg)
    if min(scale) < 1 or min(border) < 0 or max(border) >= len(BORDERS):
        msg = (
            "scale must be at least 1 and border one of 0 (zero), 1 (clamp) and 2 (circular) on every axis; "
            f"got {tuple(scale)} and {tuple(border)}"
        )
        raise OptionError(msg)
    if kernel[0] not in (1, x[1]) or kernel[1] != 1 or min(kernel[2:]) < 1:
        msg = (
            f"kernel must have 1 channel, or {x[1]} to match x, then 1, and at least one number on every "
            f"axis; got shape {tuple(kernel)}"
        )
        raise ShapeError(msg)
    samples = tuple(s * n + e for s, n, e in zip(scale, x[2:], excess, strict=True))
    if min(x[2:]) < 1 or min(samples) < 1:
        msg = (
            "the input must be large enough to leave at least one output sample per axis; got size "
            f"{tuple(x[2:])}, which gives {samples} at scale {tuple(scale)} and excess {tuple(excess)}"
        )
        raise ShapeError(msg)
    return Call(samples, scale, kernel[2:], crop, border)


@lru_cache(maxsize=4096)
def known_call(
    x: tuple[int, ...],
    kernel: tuple[int, ...],
    scale: tuple[int, ...],
    crop: tuple[int, ...],
    excess: tuple[int, ...],
    border: tuple[int, ...],
) -> Call:
    """`call_of`, once for all calls that are alike, and no larger than can be counted."""
    call = call_of(x, kernel, scale, crop, excess, border)
    largest = max(map(abs, (*x, *call.samples, *call.length, *scale, *crop, *excess)))
    if largest > _MOST or math.prod(x) > _MOST_NUMBERS or math.prod((*x[:2], *call.samples)) > _MOST_NUMBERS:
        msg = (
            f"a map may have up to 2^60 numbers and up to 2^40 along an axis; got shape {x}, which gives "
            f"size {call.samples}, so use a smaller one"
        )
        raise ShapeError(msg)
    return call


def check_pair(first: Tensor, second: Tensor, names: tuple[str, str]) -> None:
    """Refuse tensors that cannot meet: other than floating, or on two devices."""
    if first.dtype not in _TAKEN or not second.is_floating_point():
        msg = (
            f"{names[0]} must be float64, float32, bfloat16 or float16 and {names[1]} floating; "
            f"got {first.dtype} and {second.dtype}, so convert them, for instance by .float()"
        )
        raise OptionError(msg)
    if first.device != second.device:
        msg = (
            f"{names[0]} and {names[1]} must be on one device; got {first.device} and {second.device}, "
            "so move one by .to()"
        )
        raise OptionError(msg)


def check_bias(x: Tensor, bias: Tensor | None) -> None:
    """Refuse a bias that is not one number for each channel."""
    if bias is None:
        return
    check_pair(x, bias, ("x", "bias"))
    if bias.ndim != 1 or bias.shape[0] != x.shape[1]:
        msg = f"bias must have shape ({x.shape[1]},) to match the channels of x; got {tuple(bias.shape)}"
        raise ShapeError(msg)


def check_maps(y: Tensor, x: Tensor, samples: Sequence[int]) -> None:
    """Refuse maps of which one is not what an upsampling makes of the other."""
    if y.dtype != x.dtype:
        msg = f"y and x must have one dtype; got {y.dtype} and {x.dtype}, so convert one by .to()"
        raise OptionError(msg)
    check_output(y, (x.shape[0], x.shape[1], *samples))


def check_output(y: Tensor, wanted: tuple[int, ...]) -> None:
    """Refuse an output of another shape."""
    if tuple(y.shape) != wanted:
        msg = f"y must have the shape {wanted} of the output; got {tuple(y.shape)}"
        raise ShapeError(msg)
