"""Apply an operator by one small convolution per phase, written where its samples go."""

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.ops.border import extend
from upstroke.ops.convolutions import CONV
from upstroke.ops.fit import kept
from upstroke.ops.interleave import interleave
from upstroke.polyphase import Polyphase, as_phase_convs

__all__ = ["upsample"]


def upsample(x: Float[Tensor, "b c_in *space"], operator: Polyphase) -> Float[Tensor, "b c_out *grown"]:
    """Extend x as the border says, convolve once per phase over the cells it reads, interleave, cut."""
    form = kept(operator, "phases", lambda: as_phase_convs(operator))
    extended = extend(x, form.pad, form.border)
    cells = [n - k + 1 for n, k in zip(extended.shape[2:], form.kernel, strict=True)]
    phases = []
    for weight, start in zip(form.weights, form.starts, strict=True):
        sizes = zip(start, cells, weight.shape[2:], strict=True)
        window = extended[:, :, *(slice(first, first + m + k - 1) for first, m, k in sizes)]
        phases.append(CONV[operator.ndim](window, weight, groups=form.groups))
    y = interleave(torch.stack(phases, dim=2).flatten(1, 2), form.scale)
    return y[:, :, *(slice(n) for n in operator.output_size(x.shape[2:]))]
