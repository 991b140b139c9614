"""Turn what an old and a new model give into how far apart that is."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from upstroke.rewrite.fixed import Moved
from upstroke.rewrite.verify import relative_difference

__all__ = ["moved"]


def moved(old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> tuple[Moved, ...]:
    """How far each output of a new model is from that of the old one, by the old one's names.

    An output that the new one does not have, or has in another shape, is infinitely far.

    >>> moved({"y": torch.tensor([3.0, 4.0])}, {"y": torch.tensor([3.0, 4.5])})
    (Moved(name='y', relative=0.125, rms=0.1),)
    """
    return tuple(_moved(name, before, new.get(name)) for name, before in old.items())


def _moved(name: str, before: Tensor, after: Tensor | None) -> Moved:
    if after is None or after.shape != before.shape:
        return Moved(name=name, relative=math.inf, rms=math.inf)
    one, other = before.to(torch.float64), after.to(torch.float64)
    off = other - one
    return Moved(
        name=name,
        relative=relative_difference(one, other),
        rms=_over(_mean_square(off), _mean_square(one)),
    )


def _over(off: float, of: float) -> float:
    """One number over the other; of nothing everything is infinitely far but nothing."""
    if off == 0:
        return 0.0
    return off / of if of else math.inf


def _mean_square(values: Tensor) -> float:
    """Root of the mean square."""
    return float(values.square().mean().sqrt()) if values.numel() else 0.0
