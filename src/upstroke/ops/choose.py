"""Choose the implementation for an operator and a map's shape, layout, dtype and device; and say why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from upstroke.errors import ShapeError
from upstroke.ops.measured import FASTEST
from upstroke.polyphase import Polyphase

__all__ = ["Choice", "choose"]

Impl = Literal["auto", "reference", "transposed", "shuffle", "phases"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An implementation and the reason for it."""

    impl: Impl
    reason: str


def choose(
    operator: Polyphase,
    *,
    x_shape: Sequence[int],
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    channels_last: bool = False,
) -> Choice:
    """The implementation that "auto" takes, and why: a lookup in measured times, without looking at the data.

    Measured are one CPU thread, float32 and bfloat16, contiguous and channels-last; other dtypes go by their
    width. On a GPU nothing was measured, so one call into the vendor's library is taken.

    Args:
        operator: the operator.
        x_shape: shape of the map, (batch, channels, *size).
        dtype: of the map.
        device: of the map.
        channels_last: whether the channels lie innermost in memory.

    >>> from upstroke.polyphase import linear
    >>> choose(linear(2), x_shape=(1, 64, 128, 128)).impl
    'transposed'
    """
    if len(x_shape) != 2 + operator.ndim or not dtype.is_floating_point:
        msg = (
            f"a choice is made for maps (batch, channels, *size) with {operator.ndim} spatial axes and a "
            f"floating dtype; got shape {tuple(x_shape)} and {dtype}"
        )
        raise ShapeError(msg)
    channels_last = channels_last and operator.ndim > 1
    family = "depthwise" if operator.taps.shape[2] == 1 else "dense"
    layout = "channels-last" if channels_last else "contiguous"
    if torch.device(device).type != "cpu":
        return Choice(impl="transposed", reason=f"{family} on {device}: not measured there; one library call")
    like = "float32" if torch.finfo(dtype).bits >= 32 else "bfloat16"
    impl, wins, rows = FASTEST[family, len(x_shape) - 2, layout, like]
    name = str(dtype).removeprefix("torch.")
    measured = name if name == like else f"{name} (measured as {like})"
    reason = (
        f"{family}, {len(x_shape) - 2} axes, {layout}, {measured}: "
        f"fastest in {wins} of {rows} measured cases, least mean time over them"
    )
    return Choice(impl=_named(impl), reason=reason)


def _named(impl: str) -> Impl:
    names: dict[str, Impl] = {"transposed": "transposed", "shuffle": "shuffle", "phases": "phases"}
    return names[impl]
