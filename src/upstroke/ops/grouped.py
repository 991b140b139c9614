"""Upsample every channel by itself with grouped convolutions; its adjoint, and the gradient in its taps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from upstroke.ops.border import extend, fold
from upstroke.ops.convolutions import CONV, CONV_TRANSPOSE
from upstroke.ops.interleave import deinterleave, interleave
from upstroke.polyphase import Border, Margin

__all__ = ["adjoint", "taps_gradient", "upsample"]


def upsample(
    x: Tensor,
    taps: Tensor,
    *,
    samples: Sequence[int],
    scale: Sequence[int],
    origin: Sequence[int],
    border: Sequence[Border],
) -> Tensor:
    """Extend x as the border says, make every phase of every channel, interleave, cut to so many samples.

    x is (batch, channels, *cells) and taps are (phases, channels or 1, *kernel), of one dtype.
    """
    extended = extend(x, _pads(x.shape[2:], taps.shape[2:], samples, scale, origin), border)
    weight = _grouped(taps, x.shape[1])
    y = interleave(CONV[len(scale)](extended, weight, groups=x.shape[1]), scale)
    return y[:, :, *(slice(n) for n in samples)]


def adjoint(
    y: Tensor,
    taps: Tensor,
    *,
    cells: Sequence[int],
    scale: Sequence[int],
    origin: Sequence[int],
    border: Sequence[Border],
) -> Tensor:
    """The adjoint of `upsample`, step by step from its end; cells: the size of its input."""
    phases = _by_phase(y, scale)
    extended = CONV_TRANSPOSE[len(scale)](phases, _grouped(taps, y.shape[1]), groups=y.shape[1])
    return fold(extended, _pads(cells, taps.shape[2:], y.shape[2:], scale, origin), border, cells)


def taps_gradient(
    y: Tensor,
    x: Tensor,
    *,
    kernel: Sequence[int],
    scale: Sequence[int],
    origin: Sequence[int],
    border: Sequence[Border],
) -> Tensor:
    """Per phase, channel and tap the sum over batch and cells of y[c, n] * x[c, m + k - origin]."""
    channels, ndim = x.shape[1], len(scale)
    extended = extend(x, _pads(x.shape[2:], kernel, y.shape[2:], scale, origin), border)
    phases = _by_phase(y, scale)
    weight = x.new_empty(phases.shape[1], 1, *kernel)
    ones, zeros = [1] * ndim, [0] * ndim
    _, sums, _ = torch.ops.aten.convolution_backward(
        phases, extended, weight, None, ones, zeros, ones, False, zeros, channels, [False, True, False]
    )
    gradient: Tensor = sums.reshape(channels, -1, *kernel).transpose(0, 1)
    return gradient


def _pads(
    cells: Sequence[int],
    kernel: Sequence[int],
    samples: Sequence[int],
    scale: Sequence[int],
    origin: Sequence[int],
) -> list[Margin]:
    """Cells to add (left, right), per axis, so that a convolution gives every phase of every sample."""
    sizes = zip(cells, kernel, samples, scale, origin, strict=True)
    return [(o, -(-n // s) - m + k - 1 - o) for m, k, n, s, o in sizes]


def _grouped(taps: Tensor, channels: int) -> Tensor:
    """The taps as the weight of a convolution to channel * phases + phase."""
    every = taps.expand(-1, channels, *taps.shape[2:])
    return every.transpose(0, 1).flatten(0, 1)[:, None]


def _by_phase(y: Tensor, scale: Sequence[int]) -> Tensor:
    """The phases of a map side by side, with zeros where its last cell lacks samples."""
    lacking = [-n % s for n, s in zip(y.shape[2:], scale, strict=True)]
    whole = torch.nn.functional.pad(y, [side for n in reversed(lacking) for side in (0, n)])
    return deinterleave(whole, scale)
