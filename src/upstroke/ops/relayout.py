"""Move the channels of a map innermost or outside, by the compiled kernels where they are faster."""

from torch import Tensor

from upstroke.ops.interleave import deinterleave_into, interleave_into, is_served
from upstroke.ops.layout import empty, in_layout, is_channels_last

__all__ = ["relaid"]

# Cells of a line below which all lines are moved as one, which leaves fewer of them to share among threads.
_SHORT = 64


def relaid(x: Tensor, *, channels_last: bool) -> Tensor:
    """As `in_layout`, which takes many times as long for maps larger than a cache; without a gradient.

    >>> import torch
    >>> y = relaid(torch.arange(6.0).reshape(1, 2, 3), channels_last=True)
    >>> y.stride(), y[0, 1].tolist()
    ((6, 1, 2), [3.0, 4.0, 5.0])
    """
    is_last = is_channels_last(x)
    # one that is neither, or is both, is PyTorch's affair
    if is_last == channels_last or not (is_last or x.is_contiguous()) or not is_served(x):
        return in_layout(x, channels_last=channels_last)
    moved = empty(x, x.shape, channels_last=channels_last)
    outside, inside = (moved, x) if is_last else (x, moved)
    # a map with its channels innermost is one of a single channel, of whose last axis they are the phases
    phases, samples = outside.flatten(0, 1), inside.movedim(1, -1)
    if x.shape[-1] < _SHORT:
        phases, samples = phases.flatten(1), samples.flatten(1, -2)
    scale = (1,) * (phases.ndim - 2) + (x.shape[1],)
    samples = samples.flatten(-2)
    if is_last:
        deinterleave_into(samples, phases, scale)
    else:
        interleave_into(phases, samples, scale)
    return moved
