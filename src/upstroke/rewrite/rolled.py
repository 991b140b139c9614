"""Turn an operator into one that makes more samples at the left, so that its phases read the same cells."""

from dataclasses import replace
from itertools import product
from types import EllipsisType

import torch

from upstroke.polyphase import Polyphase

__all__ = ["rolled"]


def rolled(operator: Polyphase) -> tuple[Polyphase, tuple[int, ...]]:
    """An operator with as few taps as can be that gives the same map behind so many samples more, per axis.

    With n the samples before, n + r those behind, phase p becomes phase (p + r) mod s, and a phase that
    passes the end of its cell reads, seen from the next one, one cell earlier. A convolution that makes all
    phases at once has a kernel that covers what all of them read; for a nearest resize by 2 and a convolution
    of 3 this is 3 cells, and 2 with r = 1. With r = 0 only taps that no phase has are left out.

    >>> from upstroke.polyphase import box, compose, nearest
    >>> operator, more = rolled(compose(nearest(2, ndim=1), box(1, length=3, ndim=1)))
    >>> operator.kernel, more
    ((2,), (1,))
    """
    moves, lowests, lengths = [], [], []
    for axis, s in enumerate(operator.scale):
        reaches = [reach for reach in enumerate(operator.reach(axis)) if reach[1] is not None]
        found = []
        for r in range(s):
            low = [reach.lowest - (p + r) // s for p, reach in reaches if reach is not None] or [0]
            high = [reach.highest - (p + r) // s for p, reach in reaches if reach is not None] or [0]
            found.append((max(high) - min(low) + 1, r, min(low)))
        length, r, lowest = min(found)
        moves.append(r)
        lowests.append(lowest)
        lengths.append(length)
    taps = operator.taps.new_zeros(*operator.taps.shape[:3], *lengths)
    mask = torch.zeros(operator.phases, *lengths, dtype=torch.bool, device=taps.device)
    sizes = list(zip(operator.scale, operator.kernel, operator.origin, moves, lowests, lengths, strict=True))
    for place, phases in enumerate(product(*map(range, operator.scale))):
        target = 0
        olds: list[slice] = []
        news: list[slice] = []
        for p, (s, k, origin, r, lowest, length) in zip(phases, sizes, strict=True):
            cells, behind = divmod(p + r, s)
            target = target * s + behind
            # tap j reads cell j - origin, which is tap j - origin - cells - lowest of the new kernel
            shift = -origin - cells - lowest
            begin = max(0, -shift)
            end = max(begin, min(k, length - shift))
            olds.append(slice(begin, end))
            news.append(slice(begin + shift, end + shift))
        there: tuple[EllipsisType | slice, ...] = (..., *news)
        here: tuple[EllipsisType | slice, ...] = (..., *olds)
        taps[target][there] = operator.taps.detach()[place][here]
        mask[target][there] = operator.mask[place][here]
    new = replace(
        operator,
        taps=taps,
        support=mask,
        origin=tuple(-lowest for lowest in lowests),
        excess=tuple(e + r for e, r in zip(operator.excess, moves, strict=True)),
        margin=tuple(
            (left + r if left else 0, right) for (left, right), r in zip(operator.margin, moves, strict=True)
        ),
    )
    return new, tuple(moves)
