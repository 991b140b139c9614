"""Move an operator's taps as little as possible until every block of samples keeps what its cell holds."""

from dataclasses import replace

import torch
from torch import Tensor

from upstroke.errors import NotRepresentableError, ShapeError
from upstroke.polyphase import Polyphase

__all__ = ["with_blocks"]

# What the pseudo-inverse leaves of laws that can be met, relative to them.
ROUNDING = 1e-9


def with_blocks(operator: Polyphase, kept: float, *, balanced: bool = False) -> Polyphase:
    """Give the taps that read each cell a sum of its own, and all phases the same gain where that is asked.

    With w the taps of a channel pair and A w = b the laws, w += A^+ (b - A w): the sum over phases of
    taps[p][k] is `kept` where k is the sample's own cell and the channel goes to itself, and 0 elsewhere.

    Args:
        operator: as many channels go out as come in, and its output is one block per cell.
        kept: 1 keeps the total of every cell, the product of the scales its mean.
        balanced: whether all phases get the same gain too; both laws together are one projection.

    Raises:
        NotRepresentableError: no taps keep these laws, because some are missing.
        ShapeError: the output is not made of one block per cell, or other channels go out than come in.

    >>> from upstroke.polyphase import linear
    >>> with_blocks(linear(2, ndim=1), 2.0).taps.double().mean(dim=0).flatten().tolist()
    [0.0, 1.0, 0.0]
    """
    _check_blocks(operator)
    operator = _with_room(operator)
    mask = operator.mask.flatten(1)
    laws = _columns(mask)
    if balanced:
        laws = torch.cat([laws, _differences(mask)])
    wanted = laws.new_zeros(len(laws), *operator.taps.shape[1:3])
    own = _own_cell(operator)
    for channel in range(operator.out_channels):
        wanted[own, channel, channel % operator.taps.shape[2]] = kept
    inverse = torch.linalg.pinv(laws)
    if not torch.allclose(laws @ (inverse @ wanted.flatten(1)), wanted.flatten(1), atol=ROUNDING * kept):
        msg = (
            "blocks can only be kept where the taps for it are there; a kernel of these sizes has none at "
            "the sample's own cell, or too few to keep its phases alike as well, so use a longer one"
        )
        raise NotRepresentableError(msg)
    taps = operator.taps.double().movedim((1, 2), (-2, -1)).reshape(*mask.shape, *operator.taps.shape[1:3])
    present = taps[mask]
    change = torch.einsum("nl,loc->noc", inverse, wanted - torch.einsum("ln,noc->loc", laws, present))
    taps = taps.index_put((mask.nonzero()[:, 0], mask.nonzero()[:, 1]), present + change)
    shape = (operator.phases, *operator.kernel, *operator.taps.shape[1:3])
    return replace(operator, taps=taps.reshape(shape).movedim((-2, -1), (1, 2)).to(operator.taps.dtype))


def _check_blocks(operator: Polyphase) -> None:
    if any(operator.excess) or operator.in_channels != operator.out_channels:
        msg = (
            "blocks are kept where the output is one block of samples per cell and as many channels go out "
            f"as come in; got excess {operator.excess}, {operator.in_channels} channels in and "
            f"{operator.out_channels} out"
        )
        raise ShapeError(msg)


def _with_room(operator: Polyphase) -> Polyphase:
    """The operator with a place for the sample's own cell, should no tap read it."""
    before = [max(0, -o) for o in operator.origin]
    after = [max(0, o + 1 - k) for o, k in zip(operator.origin, operator.kernel, strict=True)]
    return operator.padded(before, after) if any((*before, *after)) else operator


def _columns(mask: Tensor) -> Tensor:
    """One law per place of a tap: the sum over the phases that have it, as a row over all taps there are."""
    place = mask.nonzero()[:, 1]
    return (torch.arange(mask.shape[1])[:, None] == place).double()


def _differences(mask: Tensor) -> Tensor:
    """The laws that each phase has the gain of the first one."""
    phase = mask.nonzero()[:, 0]
    sums = (torch.arange(mask.shape[0])[:, None] == phase).double()
    return sums[1:] - sums[:1]


def _own_cell(operator: Polyphase) -> int:
    place = 0
    for origin, taps in zip(operator.origin, operator.kernel, strict=True):
        place = place * taps + origin
    return place
