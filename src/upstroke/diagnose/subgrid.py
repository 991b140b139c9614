"""Turn an operator into the variance between phases that it adds to what it upsamples."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.diagnose.gain import phase_gain
from upstroke.polyphase import Polyphase

__all__ = ["Subgrid", "subgrid_variance"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Subgrid:
    """Periodic subgrid variance (PSV) per output channel; all variances are population variances.

    Attributes:
        constant: PSV of the answer to a constant 1 in every input channel, in squared output units; c^2
            times as much for a constant c.
        white: what white input adds per unit of its variance, times the number of cells: independent
            channels of variance v over M cells have an expected PSV of v * white / M.
        phase_variance: variance of a single sample of each phase for white input of variance 1 in every
            channel, shape (*scale, out), in squared output units.
        spread: (largest - smallest phase_variance) / largest over phases, dimensionless: how much louder
            noise comes out in some phases, though no constant shows it; 0 where all are 0.
    """

    constant: Float[Tensor, "out"]
    white: Float[Tensor, "out"]
    phase_variance: Float[Tensor, "*scale_out"]
    spread: Float[Tensor, "out"]


def subgrid_variance(operator: Polyphase) -> Subgrid:
    """Variance over the phases of what each of them makes of a constant and of white noise.

    constant = Var over p of sum over c of G[p, o, c]; white = sum over c of Var over p of G[p, o, c];
    phase_variance = sum over c, k of taps[p, o, c, k]^2. Derivation: docs/idea.md#cyclostationary.

    >>> from upstroke.polyphase import triangle
    >>> found = subgrid_variance(triangle(2, ndim=1))
    >>> found.constant.tolist(), found.phase_variance.flatten().tolist(), found.spread.tolist()
    ([0.0], [1.0, 0.5], [0.5])
    """
    gains = phase_gain(operator)
    power = operator.taps.double().square().flatten(2).sum(dim=-1)
    largest = power.amax(dim=0)
    spread = (largest - power.amin(dim=0)) / torch.where(largest == 0, torch.ones_like(largest), largest)
    return Subgrid(
        constant=gains.sum(dim=-1).var(dim=0, correction=0),
        white=gains.var(dim=0, correction=0).sum(dim=-1),
        phase_variance=power.reshape(*operator.scale, -1),
        spread=spread,
    )
