"""Upsample every channel by itself with grouped convolutions; its adjoint, and the gradient in its kernel.

What serves where the compiled kernels do not: maps and kernels
(channels or 1, 1, *length) are of one dtype.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from upstroke.ops.border import extend, fold
from upstroke.ops.convolutions import CONV, CONV_TRANSPOSE
from upstroke.ops.interleave import deinterleave, interleave
from upstroke.ops.native_call import Call
from upstroke.polyphase import Margin

__all__ = ["adjoint", "kernel_gradient", "upsample"]


def upsample(x: Tensor, kernel: Tensor, call: Call) -> Tensor:
    """Extend x as the border says, make every phase of every channel, interleave, cut to so many samples."""
    reach = [_reach(axis, call) for axis in range(len(call.scale))]
    extended = extend(x, _pads(x.shape[2:], reach, call), call.names)
    weight = _phases(kernel, reach, call).expand(x.shape[1], *[-1] * (1 + len(reach))).flatten(0, 1)
    y = interleave(CONV[len(reach)](extended, weight[:, None], groups=x.shape[1]), call.scale)
    return y[:, :, *(slice(n) for n in call.samples)]


def adjoint(y: Tensor, kernel: Tensor, call: Call, *, cells: Sequence[int]) -> Tensor:
    """The adjoint of `upsample`, step by step from its end; cells: the size of its input."""
    reach = [_reach(axis, call) for axis in range(len(call.scale))]
    weight = _phases(kernel, reach, call).expand(y.shape[1], *[-1] * (1 + len(reach))).flatten(0, 1)
    extended = CONV_TRANSPOSE[len(reach)](_by_phase(y, call.scale), weight[:, None], groups=y.shape[1])
    return fold(extended, _pads(cells, reach, call), call.names, cells)


def kernel_gradient(y: Tensor, x: Tensor, call: Call) -> Tensor:
    """Per channel and number of the kernel the sum over batch and samples of y[n] * x[m]."""
    channels, ndim = x.shape[1], len(call.scale)
    reach = [_reach(axis, call) for axis in range(ndim)]
    extended = extend(x, _pads(x.shape[2:], reach, call), call.names)
    phases = _by_phase(y, call.scale)
    weight = x.new_empty(phases.shape[1], 1, *(last - first + 1 for first, last in reach))
    ones, zeros = [1] * ndim, [0] * ndim
    _, sums, _ = torch.ops.aten.convolution_backward(
        phases, extended, weight, None, ones, zeros, ones, False, zeros, channels, [False, True, False]
    )
    # taps run backwards along the kernel, phase by phase: its pieces put together, then cut to its length
    pieces = sums.reshape(channels, -1, *weight.shape[2:]).flip(dims=tuple(range(2, 2 + ndim)))
    whole = interleave(pieces, call.scale)
    starts = (p + s * first for p, s, (first, _) in zip(call.crop, call.scale, reach, strict=True))
    cut = (slice(-start, length - start) for start, length in zip(starts, call.length, strict=True))
    return whole[:, :, *cut]


def _reach(axis: int, call: Call) -> tuple[int, int]:
    """The first and the last cell, seen from one cell, whose samples it draws on."""
    s, p = call.scale[axis], call.crop[axis]
    return -p // s, (call.length[axis] - 1 - p) // s


def _phases(kernel: Tensor, reach: Sequence[tuple[int, int]], call: Call) -> Tensor:
    """Kernels by phase, (channels or 1, phases, *taps), with zeros where they lack numbers."""
    sizes = zip(kernel.shape[2:], call.scale, call.crop, reach, strict=True)
    pad = [(-p - s * first, s * (last + 1) + p - length) for length, s, p, (first, last) in sizes]
    whole = torch.nn.functional.pad(kernel, [side for sides in reversed(pad) for side in sides])
    return deinterleave(whole, call.scale).flip(dims=tuple(range(2, 2 + len(reach))))


def _pads(cells: Sequence[int], reach: Sequence[tuple[int, int]], call: Call) -> list[Margin]:
    """Cells to add (left, right), per axis, so that a convolution gives every phase of every sample."""
    sizes = zip(cells, call.samples, call.scale, reach, strict=True)
    return [(last, -(-n // s) - m - first) for m, n, s, (first, last) in sizes]


def _by_phase(y: Tensor, scale: Sequence[int]) -> Tensor:
    """The phases of a map side by side, with zeros where its last cell lacks samples."""
    lacking = [-n % s for n, s in zip(y.shape[2:], scale, strict=True)]
    whole = torch.nn.functional.pad(y, [side for n in reversed(lacking) for side in (0, n)])
    return deinterleave(whole, scale)
