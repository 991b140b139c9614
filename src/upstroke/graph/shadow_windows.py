"""Turn positions of cells into those of samples that are means over windows of cells, or lie between them."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from upstroke.graph.ramp import Ramp, along, smoothed
from upstroke.graph.shadow import Lost, Shadow

__all__ = ["adaptive", "nearest", "padded", "resized", "transposed", "windows"]

Mode = Literal["linear", "cubic"]
POOLED = "pooled to one cell"


def windows(
    shadow: Shadow,
    first: int,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    left: Sequence[int],
    size: Sequence[int],
) -> Shadow:
    """The shadow of means over windows along axes from the first on; size: of the map they make."""
    for axis, (k, s, d, pad, out) in enumerate(zip(kernel, stride, dilation, left, size, strict=True)):
        if (k, s, pad) != (1, 1, 0) or shadow.shape[first + axis] != out:
            index = torch.arange(out)[:, None] * s + torch.arange(k) * d - pad
            shadow = _along(shadow, first + axis, index, torch.ones(index.shape), Fraction(s))
    return shadow


def transposed(
    shadow: Shadow,
    first: int,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    left: Sequence[int],
    size: Sequence[int],
) -> Shadow:
    """The shadow of what a transposed convolution makes: means of the cells that reach each sample."""
    for axis, (k, s, d, crop, out) in enumerate(zip(kernel, stride, dilation, left, size, strict=True)):
        if (k, s, crop) != (1, 1, 0) or shadow.shape[first + axis] != out:
            reach = torch.arange(out)[:, None] + crop - torch.arange(k) * d
            index = reach.div(s, rounding_mode="floor")
            shadow = _along(shadow, first + axis, index, (reach == index * s).double(), Fraction(1, s))
    return shadow


def nearest(shadow: Shadow, dim: int, cells: Tensor, ratio: Fraction) -> Shadow:
    """The shadow of samples that each copy one cell."""
    return _along(shadow, dim, cells[:, None].long(), torch.ones(len(cells), 1), ratio)


def resized(
    shadow: Shadow,
    dim: int,
    places: Tensor,
    ratio: Fraction,
    *,
    mode: Mode,
    a: float = -0.75,
    widened: float = 1,
) -> Shadow:
    """The shadow of samples that a kernel interpolates.

    Args:
        shadow: of the cells.
        dim: the axis.
        places: of the samples, in cells.
        ratio: cells from one sample to the next.
        mode: the kernel.
        a: slope of the cubic kernel.
        widened: how many times as wide as usual the kernel is.
    """
    if any(_period(track.mean, ratio) > len(places) for track in shadow.tracks if track.mean.dim == dim):
        # phases that are never met again in the same places count as their mean
        shadow = shadow.each(lambda ramp: smoothed(ramp) if ramp.dim == dim else ramp)
    reach = math.ceil((1 if mode == "linear" else 2) * widened)
    index = places.floor().long()[:, None] + torch.arange(1 - reach, reach + 1)
    distance = (index - places[:, None]).abs() / widened
    return _along(shadow, dim, index, _triangle(distance) if mode == "linear" else _cubic(distance, a), ratio)


def adaptive(shadow: Shadow, dim: int, out: int) -> Shadow | Lost:
    """The shadow of means over so many windows as there shall be samples."""
    size = shadow.shape[dim]
    if size == out:
        return shadow
    if out == 1:
        return Lost(reason=POOLED)
    starts = torch.arange(out) * size // out
    ends = -((-(torch.arange(out) + 1) * size) // out)
    index = starts[:, None] + torch.arange(int((ends - starts).max()))
    return _along(shadow, dim, index, (index < ends[:, None]).double(), Fraction(size, out))


def padded(shadow: Shadow, dim: int, left: int, right: int) -> Shadow:
    """The shadow of a map with samples added at both ends of an axis, cut off where negative."""
    index = torch.arange(-left, shadow.shape[dim] + right)[:, None]
    return _along(shadow, dim, index, torch.ones(index.shape), Fraction(1))


def _along(shadow: Shadow, dim: int, index: Tensor, weights: Tensor, ratio: Fraction) -> Shadow:
    return shadow.each(lambda ramp: along(ramp, dim, index, weights.double(), ratio))


def _period(ramp: Ramp, ratio: Fraction) -> int:
    """Samples until they lie in the same place between the same phases."""
    return ratio.denominator * ramp.period // math.gcd(ratio.numerator, ramp.period)


def _triangle(distance: Tensor) -> Tensor:
    return (1 - distance).clamp(min=0)


def _cubic(distance: Tensor, a: float) -> Tensor:
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))
