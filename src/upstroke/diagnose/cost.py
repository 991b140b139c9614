"""Turn a chain of operators into what it costs: parameters, multiply-adds, bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase import Polyphase

__all__ = ["Cost", "cost", "fewest_channels"]


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
        channels: that come in; by default what the first operator that is not shared needs, or the fewest
            that shared ones can take.
        bytes_per_value: 4 for float32.

    Raises:
        OptionError: channels or bytes_per_value is below 1.
        ShapeError: an operator cannot take the channels that come to it.

    >>> import torch
    >>> from upstroke.polyphase import compose, convolution, nearest
    >>> conv = convolution(torch.ones(1, 1, 3, 3), padding=1)
    >>> cost([nearest(2), conv]).multiply_adds_per_input
    36
    >>> cost(compose(nearest(2), conv)).multiply_adds_per_input
    16
    """
    for name, value in (("channels", channels), ("bytes_per_value", bytes_per_value)):
        if value is not None and value < 1:
            msg = f"{name} must be at least 1; got {value}"
            raise OptionError(msg)
    chain = [operators] if isinstance(operators, Polyphase) else list(operators)
    channels = fewest_channels(chain) if channels is None else channels
    parameters = multiply_adds = values = 0
    positions = 1
    for stage in chain:
        copies, rest = divmod(channels, stage.in_channels)
        if rest or (copies != 1 and not stage.shared):
            msg = f"each operator must take the channels that come to it, here {channels}; got {stage}"
            raise ShapeError(msg)
        out = copies * stage.out_channels
        values += positions * (channels + stage.phases * out)
        if not _only_copies(stage):
            weights = int(stage.mask.sum()) * math.prod(stage.taps.shape[1:3])
            parameters += weights
            multiply_adds += positions * weights * copies
        positions *= stage.phases
        channels = out
    return Cost(
        parameters=parameters,
        multiply_adds_per_input=multiply_adds,
        bytes_per_input=values * bytes_per_value,
    )


def fewest_channels(chain: Sequence[Polyphase]) -> int:
    """The channels that must come in to a chain, or the fewest that can where all operators are shared.

    >>> from upstroke.polyphase import nearest, shuffle
    >>> fewest_channels([nearest(2), shuffle(2)])
    4
    """
    fewest = 1
    # channels at a stage, per channel that comes in
    ratio = Fraction(1)
    for stage in chain:
        if not stage.shared:
            return int(stage.in_channels / ratio)
        copies = ratio / stage.in_channels
        fewest = math.lcm(fewest, copies.denominator)
        ratio = copies * stage.out_channels
    return fewest


def _only_copies(stage: Polyphase) -> bool:
    """Whether every sample is one value of the input, unchanged."""
    rows = stage.taps.detach().flatten(2)
    return bool((rows.ne(0).sum(dim=-1) == 1).all() and (rows.sum(dim=-1) == 1).all())
