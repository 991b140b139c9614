"""Turn an operator into the part of a constant that is missing at the border of its output."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.diagnose._finite import check_taps
from upstroke.polyphase import Polyphase

__all__ = ["border_loss"]


def border_loss(operator: Polyphase) -> Float[Tensor, "axes 2"]:
    """Part of the answer to a constant that is missing at either end of every axis: zeros stand beyond it.

    Of the s outermost samples n of an end, the largest |missing(n)| / |G|, where missing is the sum of the
    taps that reach outside the input, G the gains of the phases along the axis, root mean square, and norms
    are over channel pairs and the phases of the other axes. Dimensionless: 0 where nothing is missing (a
    border that is clamped or circular, kernels that reach nothing outside), 1/2 for a uniform kernel
    k4 s2 p1; nan where a constant has no answer but the rounding of the taps.
    Derivation: docs/idea.md#border.

    Raises:
        OptionError: a tap is not finite.

    >>> from upstroke.polyphase import linear, transposed
    >>> border_loss(transposed(torch.ones(1, 1, 4, 2), stride=2, padding=(1, 0))).round(decimals=6).tolist()
    [[0.5, 0.5], [0.0, 0.0]]
    >>> border_loss(linear(2, ndim=1)).tolist()
    [[0.0, 0.0]]
    """
    check_taps(operator.taps, purpose="have a border")
    ends = [_at_both_ends(operator, axis) for axis in range(operator.ndim)]
    return torch.stack([torch.stack(sides) for sides in ends])


def _at_both_ends(operator: Polyphase, axis: int) -> tuple[Tensor, Tensor]:
    """Left and right along one axis."""
    zero = operator.taps.new_zeros((), dtype=torch.float64)
    if operator.border[axis] != "zero" or not operator.reads_outside(axis):
        return zero, zero
    taps = operator.taps.detach().double().flatten(3)
    # sums over the other axes of a kernel, which is small, are fastest as a product of matrices
    places = torch.unravel_index(torch.arange(taps.shape[-1]), operator.kernel)[axis]
    own = torch.nn.functional.one_hot(places, operator.kernel[axis]).to(taps)
    taps = taps @ own
    # (phases of this axis, everything else, taps along it)
    lines = taps.reshape(*operator.scale, -1, taps.shape[-1]).movedim(axis, 0).flatten(1, -2)
    scale, origin, excess = operator.scale[axis], operator.origin[axis], operator.excess[axis]
    answer = torch.linalg.vector_norm(lines.sum(dim=-1)) / math.sqrt(scale)
    rounding = torch.finfo(operator.taps.dtype).eps * torch.linalg.vector_norm(lines.abs().sum(dim=-1))
    if not bool(answer > rounding):
        return zero + math.nan, zero + math.nan
    left, right = [], []
    for n in range(scale):
        # tap k of sample n reads cell k - origin
        left.append(lines[n, :, : max(origin, 0)])
        # counted from scale * size on: sample excess - 1 - n reads cell + k - origin, and 0 is outside
        cell, phase = divmod(excess - 1 - n, scale)
        right.append(lines[phase, :, max(origin - cell, 0) :])
    return _largest(left) / answer, _largest(right) / answer


def _largest(missing: list[Tensor]) -> Tensor:
    """The largest norm of the sums over taps."""
    return torch.stack([torch.linalg.vector_norm(taps.sum(dim=-1)) for taps in missing]).max()
