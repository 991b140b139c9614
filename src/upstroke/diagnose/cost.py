"""Turn a chain of operators into what it costs: parameters, multiply-adds, bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from upstroke.errors import ShapeError
from upstroke.polyphase import Polyphase

__all__ = ["Cost", "cost"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a chain costs away from borders.

    Attributes:
        parameters: taps that exist, counted once where channels share them.
        multiply_adds_per_input: multiplications, each with its addition, per position of the first input.
        bytes_per_input: bytes of maps read and written by all stages, each once, per position of the first
            input; weights are not among them.
    """

    parameters: int
    multiply_adds_per_input: int
    bytes_per_input: int


def cost(
    operators: Polyphase | Sequence[Polyphase], *, channels: int | None = None, bytes_per_value: int = 4
) -> Cost:
    """Cost of one operator, or of a chain of them one after the other.

    A stage costs taps * out * in / groups multiply-adds per position of its own input, and a stage behind
    upsamplers of S phases in all has S positions per position of the first input. A transposed convolution
    thus costs input positions times taps. A stage that only copies (nearest, pixel shuffle) multiplies
    nothing and has no parameters. Derivation: docs/idea.md#cost.

    Args:
        operators: one, or several in the order in which they are applied.
        channels: that come in; needed only where every operator is shared by all channels (default 1).
        bytes_per_value: 4 for float32.

    >>> import torch
    >>> from upstroke.polyphase import compose, convolution, nearest
    >>> conv = convolution(torch.ones(1, 1, 3, 3), padding=1)
    >>> cost([nearest(2), conv]).multiply_adds_per_input
    36
    >>> cost(compose(nearest(2), conv)).multiply_adds_per_input
    16
    """
    chain = [operators] if isinstance(operators, Polyphase) else list(operators)
    if channels is None:
        channels = next((stage.in_channels for stage in chain if not stage.shared), 1)
    parameters = multiply_adds = values = 0
    positions = 1
    for stage in chain:
        if not stage.shared and stage.in_channels != channels:
            msg = f"each operator must take the channels that come to it, here {channels}; got {stage}"
            raise ShapeError(msg)
        out = channels if stage.shared else stage.out_channels
        values += positions * (channels + stage.phases * out)
        if not _only_copies(stage):
            taps = int(stage.mask.sum())
            parameters += taps * math.prod(stage.taps.shape[1:3])
            multiply_adds += positions * taps * out * stage.taps.shape[2]
        positions *= stage.phases
        channels = out
    return Cost(
        parameters=parameters,
        multiply_adds_per_input=multiply_adds,
        bytes_per_input=values * bytes_per_value,
    )


def _only_copies(stage: Polyphase) -> bool:
    """Whether every sample is one value of the input, unchanged."""
    rows = stage.taps.detach().flatten(2)
    return bool((rows.ne(0).sum(dim=-1) == 1).all() and (rows.sum(dim=-1) == 1).all())
