"""Turn an operator into the answer of each of its phases to a constant input."""

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.polyphase import Affine, Polyphase

__all__ = ["bias_spread", "gain_spread", "phase_gain"]


def phase_gain(operator: Polyphase) -> Float[Tensor, "phases out in_group"]:
    """Sum of the taps of each phase, per channel pair: its interior answer to a constant 1 in that channel.

    G[p] = sum over k of taps[p][k], in output units per input unit, in float64. A constant comes out
    constant exactly when all phases agree for every pair, and the biases do.
    Derivation: docs/idea.md#phase-gain.

    >>> from upstroke.polyphase import triangle
    >>> phase_gain(triangle(2, ndim=1)).flatten().tolist()
    [1.0, 1.0]
    """
    return operator.taps.double().flatten(3).sum(dim=-1)


def gain_spread(operator: Polyphase) -> Float[Tensor, ""]:
    """Largest difference between two phases' gains over any channel pair, relative to the largest gain.

    max over o, c of (max over p of G - min over p of G) / max |G|, dimensionless, ideal 0; 0 where all gains
    are 0, NaN where a tap is.

    >>> import torch
    >>> from upstroke.polyphase import transposed
    >>> gain_spread(transposed(torch.ones(1, 1, 3), stride=2)).item()
    0.5
    """
    gains = phase_gain(operator)
    spread = (gains.amax(dim=0) - gains.amin(dim=0)).max()
    largest = gains.abs().max()
    return torch.where(largest == 0, torch.zeros_like(spread), spread / largest)


def bias_spread(affine: Affine) -> Float[Tensor, ""]:
    """Largest difference between two phases' biases over any channel, in output units, ideal 0.

    >>> import torch
    >>> from upstroke.polyphase import nearest
    >>> bias_spread(Affine(operator=nearest(2, ndim=1), bias=torch.tensor([[1.0], [3.0]]))).item()
    2.0
    """
    if affine.bias is None:
        return affine.operator.taps.new_zeros((), dtype=torch.float64)
    bias = affine.bias.double()
    return (bias.amax(dim=0) - bias.amin(dim=0)).max()
