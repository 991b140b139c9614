"""Put the phases of every cell side by side (pixel shuffle, any number of axes and scales); and back."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["deinterleave", "interleave"]


def interleave(
    maps: Float[Tensor, "b out_phases *cells"], scale: Sequence[int]
) -> Float[Tensor, "b out *samples"]:
    """Channel o * phases + p becomes phase p of channel o: sample scale * m + p per axis.

    >>> interleave(torch.tensor([[[1.0, 2.0], [10.0, 20.0]]]), (2,))
    tensor([[[ 1., 10.,  2., 20.]]])
    """
    # A square 2-D pixel shuffle is PyTorch's own, which keeps channels-last without a copy.
    if len(scale) == 2 and scale[0] == scale[1]:
        return torch.nn.functional.pixel_shuffle(maps, scale[0])
    ndim, (batch, channels, *cells) = len(scale), maps.shape
    blocks = maps.reshape(batch, channels // math.prod(scale), *scale, *cells)
    order = [0, 1] + [place for axis in range(ndim) for place in (2 + ndim + axis, 2 + axis)]
    return blocks.permute(order).reshape(
        batch, blocks.shape[1], *(s * n for s, n in zip(scale, cells, strict=True))
    )


def deinterleave(
    samples: Float[Tensor, "b out *samples"], scale: Sequence[int]
) -> Float[Tensor, "b out_phases *cells"]:
    """Undo `interleave`.

    >>> deinterleave(torch.tensor([[[1.0, 10.0, 2.0, 20.0]]]), (2,))
    tensor([[[ 1.,  2.],
             [10., 20.]]])
    """
    ndim, (batch, channels, *sizes) = len(scale), samples.shape
    split = [part for n, s in zip(sizes, scale, strict=True) for part in (n // s, s)]
    blocks = samples.reshape(batch, channels, *split)
    order = [0, 1] + [3 + 2 * axis for axis in range(ndim)] + [2 + 2 * axis for axis in range(ndim)]
    return blocks.permute(order).reshape(batch, channels * math.prod(scale), *split[::2])
