"""Check a batch of maps against an operator, once for all implementations, and bring the two together."""

from dataclasses import replace
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase import Polyphase

__all__ = ["fitted"]


def fitted(
    maps: Float[Tensor, "b c *space"], operator: Polyphase, *, side: Literal["in", "out"]
) -> Polyphase:
    """The operator over the channels of these maps, in their dtype and on their device.

    >>> import torch
    >>> from upstroke.polyphase import nearest
    >>> fitted(torch.zeros(1, 3, 5, 7), nearest(2), side="in").taps.dtype
    torch.float32
    """
    name = "x" if side == "in" else "y"
    if not maps.is_floating_point():
        msg = (
            f"{name} must have a floating dtype; got {maps.dtype}, "
            f"so convert it, for instance by {name}.float()"
        )
        raise OptionError(msg)
    if maps.ndim != 2 + operator.ndim:
        msg = (
            f"{name} must have shape (batch, channels, *size) with {operator.ndim} spatial axes to match the "
            f"operator; got shape {tuple(maps.shape)}"
        )
        raise ShapeError(msg)
    one = operator.in_channels if side == "in" else operator.out_channels
    copies, rest = divmod(maps.shape[1], one)
    if rest or (copies != 1 and not operator.shared):
        wanted = f"a multiple of {one}" if operator.shared else one
        msg = f"{name} must have {wanted} channels to match the operator; got shape {tuple(maps.shape)}"
        raise ShapeError(msg)
    if operator.shared:
        operator = operator.repeat(copies)
    if operator.taps.dtype == maps.dtype and operator.taps.device == maps.device:
        return operator
    taps = operator.taps.to(dtype=maps.dtype, device=maps.device)
    return replace(operator, taps=taps, support=operator.mask.to(maps.device))
