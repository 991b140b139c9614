"""Apply an operator as its formula says, one tap of one phase at a time."""

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.ops.border import extend
from upstroke.polyphase import Polyphase

__all__ = ["upsample"]


def upsample(x: Float[Tensor, "b c_in *space"], operator: Polyphase) -> Float[Tensor, "b c_out *grown"]:
    """y[o, n] = sum over c, k of taps[p, o, c, k] * x[c, m + k - origin], with n = scale * m + p.

    x and the taps have one dtype and device, and the channels fit: `upstroke.ops.upsample` sees to it.
    """
    size, taps = x.shape[2:], operator.taps.flatten(3)
    grown = operator.output_size(size)
    y = x.new_zeros(x.shape[0], operator.out_channels, *grown)
    for p, phase in enumerate(product(*(range(s) for s in operator.scale))):
        rows = tuple(slice(start, None, s) for start, s in zip(phase, operator.scale, strict=True))
        cells = y[:, :, *rows].shape[2:]
        if 0 in cells:
            continue
        for k, tap in enumerate(product(*(range(n) for n in operator.kernel))):
            # cells m + k - origin for every m of this phase: a window of x that may stick out on either side
            first = [place - o for place, o in zip(tap, operator.origin, strict=True)]
            pad = [(-f, f + m - n) for f, m, n in zip(first, cells, size, strict=True)]
            seen = extend(x, pad, operator.border)
            grouped = seen.reshape(x.shape[0], operator.groups, taps.shape[2], *cells)
            weight = taps[p, :, :, k].reshape(operator.groups, -1, taps.shape[2])
            mixed = torch.einsum("goc,bgc...->bgo...", weight, grouped)
            y[:, :, *rows] += mixed.reshape(x.shape[0], operator.out_channels, *cells)
    return y
