"""Turn a callable's answers to constants into the part of them that is missing at its border."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.probe.constant import CELLS, channel_answers

__all__ = ["measured_border_loss"]

Fn = Callable[[Tensor], Tensor]


def measured_border_loss(
    fn: Fn,
    scale: Sequence[int],
    *,
    channels: int = 1,
    cells: int | tuple[int, ...] | None = None,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "axes 2"]:
    """Part of the middle's answer to a constant that the outermost samples of each end of each axis lack.

    Each of the s outermost samples is compared with the sample of the middle cell that has its phase, in the
    middle of the other axes, relative to the root mean square over the phases of the middle, with norms over
    channels and the other axes' phases; the largest counts. The arguments are those of `measured_phase_gain`.

    >>> measured_border_loss(lambda x: x.repeat_interleave(2, -1), (2,)).tolist()
    [[0.0, 0.0]]
    """
    ndim = len(scale)
    size = whole_per_axis(CELLS[ndim] if cells is None else cells, ndim, name="cells", least=1)
    y = channel_answers(fn, size, channels=channels, dtype=dtype)
    answer = y[:-1] - y[-1:]
    ends = []
    for axis in range(ndim):
        line = answer
        for other in range(ndim):
            if other != axis:
                line = line.narrow(2 + other, scale[other] * (size[other] // 2), scale[other])
        line = line.movedim(2 + axis, 0).flatten(1)
        first, samples = scale[axis] * (size[axis] // 2), len(line)
        middle = line[first : first + scale[axis]]
        whole = torch.linalg.vector_norm(middle) / math.sqrt(scale[axis])
        ends.append(
            [
                max(
                    float(torch.linalg.vector_norm(middle[n % scale[axis]] - line[n]) / whole) for n in places
                )
                for places in (range(scale[axis]), range(samples - scale[axis], samples))
            ]
        )
    return torch.tensor(ends, dtype=torch.float64)
