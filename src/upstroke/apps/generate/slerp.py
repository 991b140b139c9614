"""Two latent vectors become those between them, on the arc from the direction of one to that of the other."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.errors import OptionError

__all__ = ["Arc", "arc_between", "slerp"]

# Directions that are nearer to each other, or to opposites, in radians: float64 tells no plane from them.
ALONG = 1e-9


@dataclass(frozen=True, kw_only=True)
class Arc:
    """How two vectors lie to each other.

    Attributes:
        angle: between their directions, in radians; 0 where one of them has none.
        lengths: of the first and the last.
    """

    angle: float
    lengths: tuple[float, float]


def arc_between(first: Float[Tensor, " n"], last: Float[Tensor, " n"]) -> Arc:
    """The angle between two vectors, to rounding for all angles, and their lengths.

    >>> round(math.degrees(arc_between(torch.tensor([0.0, 2.0]), torch.tensor([-3.0, 0.0])).angle), 9)
    90.0
    """
    ends = [end.double() for end in (first, last)]
    lengths = tuple(float(torch.linalg.vector_norm(end)) for end in ends)
    if min(lengths) == 0:
        return Arc(angle=0.0, lengths=(lengths[0], lengths[1]))
    one, other = (end / length for end, length in zip(ends, lengths, strict=True))
    # Kahan's form; the cosine's loses half of the digits of small angles, and of those near half a turn
    apart, along = (float(torch.linalg.vector_norm(each)) for each in (one - other, one + other))
    return Arc(angle=2 * math.atan2(apart, along), lengths=(lengths[0], lengths[1]))


def slerp(first: Float[Tensor, " n"], last: Float[Tensor, " n"], steps: int) -> Float[Tensor, "steps n"]:
    """So many vectors from the first to the last, both included, at equal steps of angle and of length.

    With t from 0 to 1: direction(t) = cos(t a) u + sin(t a) w, where u is the first one's direction, a the
    angle between the two and w the direction across u towards the last; length(t) is (1 - t) |first| +
    t |last|. A straight line between normal vectors of many numbers, which are nearly at right angles, would
    pass through shorter ones that a generator has hardly ever seen: half-way 0.71 times as long as the ends.

    Opposite vectors are on no one arc: of all half turns the one is taken that passes the axis on which the
    first has least. A vector without length has no direction: the other's is kept. One number has no arc
    either, and moves on a straight line.

    Source: Shoemake, 1985; of latent vectors White, 2016 (arXiv:1609.04468).

    Args:
        first: where it begins.
        last: where it ends.
        steps: vectors, 2 or more.

    Raises:
        OptionError: there are fewer steps than ends.

    >>> slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0]), 3)
    tensor([[1.0000, 0.0000],
            [1.4142, 1.4142],
            [0.0000, 3.0000]])
    """
    if steps < 2:
        msg = f"steps must be 2 or more, because both ends are among them; got {steps}"
        raise OptionError(msg)
    arc = arc_between(first, last)
    share = torch.arange(steps, dtype=torch.float64)[:, None] / (steps - 1)
    start, end = first.double(), last.double()
    length = (1 - share) * arc.lengths[0] + share * arc.lengths[1]
    if len(first) == 1 or min(arc.lengths) == 0:
        made = (1 - share) * start + share * end
    else:
        ahead = start / arc.lengths[0]
        across = _across(ahead, end / arc.lengths[1], arc.angle)
        turned = share * arc.angle
        made = length * (torch.cos(turned) * ahead + torch.sin(turned) * across)
    made = made.to(first.dtype)
    made[0], made[-1] = first, last
    return made


def _across(ahead: Tensor, towards: Tensor, angle: float) -> Tensor:
    """The direction at a right angle to one in which another lies; any where that is none."""
    if ALONG < angle < math.pi - ALONG:
        across = towards - (towards @ ahead) * ahead
    else:
        across = torch.zeros_like(ahead)
        across[ahead.abs().argmin()] = 1
        across -= (across @ ahead) * ahead
    # twice, because the first one leaves what rounding left of the large part
    across -= (across @ ahead) * ahead
    across /= torch.linalg.vector_norm(across)
    return across
