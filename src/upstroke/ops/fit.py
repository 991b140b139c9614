"""Check a batch of maps against an operator, once for all implementations, and bring the two together."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.errors import OptionError, ShapeError
from upstroke.ops.recorded import is_watched
from upstroke.polyphase import Polyphase

__all__ = ["check_fit", "fitted", "kept"]

Made = TypeVar("Made")

# What was made of an operator's taps, by what it is, each with the state of the taps that it was made of.
_KEPT: "WeakKeyDictionary[Polyphase, dict[Any, tuple[tuple[int, int], Any]]]" = WeakKeyDictionary()


def check_fit(maps: Float[Tensor, "b c *space"], operator: Polyphase, *, side: Literal["in", "out"]) -> int:
    """Refuse maps that are not this operator's; the number of copies of its channels that they have.

    >>> from upstroke.polyphase import nearest
    >>> check_fit(torch.zeros(1, 3, 5, 7), nearest(2), side="in")
    3
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
    # not divmod, which a compiler does not know for sizes that may change
    copies, rest = maps.shape[1] // one, maps.shape[1] % one
    if rest or (copies != 1 and not operator.shared):
        wanted = f"a multiple of {one}" if operator.shared else one
        msg = f"{name} must have {wanted} channels to match the operator; got shape {tuple(maps.shape)}"
        raise ShapeError(msg)
    return copies


def fitted(
    maps: Float[Tensor, "b c *space"], operator: Polyphase, *, side: Literal["in", "out"]
) -> Polyphase:
    """The operator over the channels of these maps, in their dtype and on their device.

    >>> from upstroke.polyphase import nearest
    >>> fitted(torch.zeros(1, 3, 5, 7), nearest(2), side="in").taps.dtype
    torch.float32
    """
    copies = check_fit(maps, operator, side=side)
    dtype, device = maps.dtype, maps.device
    if not operator.shared and operator.taps.dtype == dtype and operator.taps.device == device:
        return operator

    def made() -> Polyphase:
        every = operator.repeat(copies) if operator.shared else operator
        return replace(every, taps=every.taps.to(dtype=dtype, device=device))

    return kept(operator, (copies, dtype, device), made)


def kept(operator: Polyphase, name: object, make: Callable[[], Made]) -> Made:
    """What is made of an operator, once for as long as its taps stay as they are.

    Taps that want a gradient, and all under a compiler or another watcher, are worked on anew.

    >>> from upstroke.polyphase import nearest
    >>> operator = nearest(2)
    >>> kept(operator, "gains", lambda: 1), kept(operator, "gains", lambda: 2)
    (1, 1)
    """
    taps = operator.taps
    if taps.requires_grad or torch.compiler.is_compiling() or taps.is_inference() or is_watched():
        return make()
    # the counter of writes does not see those through another tensor over the same memory, made by .data
    state = taps.data_ptr(), taps._version
    known = _KEPT.setdefault(operator, {})
    found = known.get(name)
    if found is None or found[0] != state:
        # what is kept may be needed for a gradient later on
        with torch.inference_mode(False):
            found = known[name] = state, make()
    return cast(Made, found[1])
