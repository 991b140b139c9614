"""Count the taps of each phase, which the shape of a kernel decides."""

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from upstroke.polyphase import Polyphase

__all__ = ["Coverage", "coverage"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Coverage:
    """How many taps reach each phase.

    Attributes:
        counts: taps per phase, shape (*scale); a tap counts whatever its weight.
        even: whether all phases have the same number.
    """

    counts: Int[Tensor, "*scale"]
    even: bool


def coverage(operator: Polyphase) -> Coverage:
    """Taps per phase, from the structural support and not from the weights.

    Even exactly when every scale divides its number of taps K and shares no factor with the dilation.
    Derivation: docs/idea.md#coverage.

    >>> import torch
    >>> from upstroke.polyphase import transposed
    >>> coverage(transposed(torch.zeros(1, 1, 3, 3), stride=2)).counts.tolist()
    [[4, 2], [2, 1]]
    """
    counts = operator.mask.flatten(1).sum(dim=1).reshape(operator.scale)
    return Coverage(counts=counts, even=bool((counts == counts.flatten()[0]).all()))
