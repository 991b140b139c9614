"""Put a bias beside an operator: the affine map that a layer computes."""

import math
from dataclasses import dataclass, replace
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.errors import ShapeError
from upstroke.polyphase.compose import compose
from upstroke.polyphase.operator import Margin, Polyphase

__all__ = ["Affine", "compose_affine"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """An operator and the bias that it adds to each phase of each output channel.

    y[o, n] = (operator applied to x)[o, n] + bias[p, o], with p the phase of sample n. One bias per phase,
    because a convolution before a pixel shuffle, or a bias that passes an upsampler, makes one.

    Attributes:
        operator: the linear part.
        bias: shape (phases, out channels), or None for none.

    >>> from upstroke.polyphase import nearest
    >>> Affine(operator=nearest(2))(torch.ones(1, 3, 5, 7)).shape
    torch.Size([1, 3, 10, 14])
    """

    operator: Polyphase
    bias: Float[Tensor, "phases out"] | None = None

    def __post_init__(self) -> None:
        """Check that the bias has a row per phase and a column per channel."""
        if self.bias is None:
            return
        wanted = (self.operator.phases, self.operator.out_channels)
        if tuple(self.bias.shape) != wanted:
            msg = f"bias must have shape (phases, out channels) = {wanted}; got {tuple(self.bias.shape)}"
            raise ShapeError(msg)

    def __call__(self, x: Float[Tensor, "b c_in *space"]) -> Float[Tensor, "b c_out *grown"]:
        """Apply to a batch of maps, as `upstroke.upsample` does."""
        # late, because ops stands on this room: the one import that goes the other way
        from upstroke.ops import upsample

        return upsample(x, self)

    def isclose(self, other: "Affine", *, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
        """Whether both compute the same map."""
        if not self.operator.isclose(other.operator, rtol=rtol, atol=atol):
            return False
        if self.bias is None and other.bias is None:
            return True
        mine, theirs = _bias_or_zeros(self), _bias_or_zeros(other)
        return torch.allclose(mine, theirs.to(mine), rtol=rtol, atol=atol)


def compose_affine(first: Affine, second: Affine) -> Affine:
    """The affine map that does what `first` and then `second` do.

    The operators compose as in `compose`. The first bias reaches the output as one number per phase; where
    the second operator reads zeros outside its input it finds no bias there, and those samples join the
    margin.

    >>> from upstroke.polyphase import nearest
    >>> twice = compose_affine(Affine(operator=nearest(2)), Affine(operator=nearest(3)))
    >>> twice.operator.scale
    (6, 6)
    """
    both = compose(first.operator, second.operator)
    if first.bias is None and second.bias is None:
        return Affine(operator=both)
    if first.bias is not None and bool(first.bias.detach().any()):
        margin = tuple(_with_bias(own, first, second, axis) for axis, own in enumerate(both.margin))
        both = replace(both, margin=margin)
    return Affine(operator=both, bias=_bias_of_both(first, second))


def _with_bias(own: Margin, first: Affine, second: Affine, axis: int) -> Margin:
    """The margin, widened by the samples for which the second operator finds no bias beyond the edge."""
    if _bias_passes(first, second.operator, axis):
        return own
    left, right = second.operator.samples_reading_beyond(axis, (0, 0))
    return max(own[0], left), max(own[1], right)


def _bias_passes(first: Affine, second: Polyphase, axis: int) -> bool:
    """Whether the second operator, beyond the edge of its input, finds the first's bias continued."""
    if not second.reads_outside(axis):
        return True
    if second.border[axis] == "circular":
        return first.operator.excess[axis] == 0
    if second.border[axis] == "clamp":
        assert first.bias is not None
        rows = first.bias.detach().reshape(*first.operator.scale, -1).movedim(axis, 0)
        return bool((rows == rows[:1]).all())
    return False


def _bias_of_both(first: Affine, second: Affine) -> Tensor:
    """The number that both biases make of each phase and channel.

    The first bias is a picture that repeats every `first.scale` samples, so the second operator, applied to
    one period of it with a circular border, gives one period of the result: a number per phase of both.
    """
    operator, given = second.operator, _bias_or_zeros(first)
    if operator.shared and not first.operator.shared:
        operator = operator.expand(given.shape[1])
    elif operator.shared:
        operator = operator.repeat(math.lcm(given.shape[1], operator.in_channels) // operator.in_channels)
    groups, scale, grow = operator.groups, first.operator.scale, operator.scale
    picture = _spread(given, operator.in_channels).reshape(*scale, groups, -1)
    phases, _, in_group, *kernel = operator.taps.shape
    taps = operator.taps.reshape(phases, groups, -1, in_group, math.prod(kernel))
    axes = range(operator.ndim)
    total = _spread(_bias_or_zeros(second), operator.out_channels).to(picture)
    total = total.reshape(operator.phases, groups, -1, *(1,) * operator.ndim).expand(-1, -1, -1, *scale)
    for k, tap in enumerate(product(*(range(n) for n in operator.kernel))):
        shift = [origin - place for origin, place in zip(operator.origin, tap, strict=True)]
        seen = picture.roll(shift, dims=tuple(axes))
        total = total + torch.einsum("pgoc,...gc->pgo...", taps[..., k].to(seen), seen)
    # phase of both = phase of the first * second.scale + phase of the second, per axis
    total = total.reshape(*grow, operator.out_channels, *scale)
    order = [place for axis in axes for place in (operator.ndim + 1 + axis, axis)]
    return total.permute(*order, operator.ndim).reshape(-1, operator.out_channels)


def _spread(bias: Tensor, channels: int) -> Tensor:
    """Repeat the bias of a shared operator over all the channels it serves."""
    return bias.repeat(1, channels // bias.shape[1])


def _bias_or_zeros(affine: Affine) -> Tensor:
    operator = affine.operator
    return (
        operator.taps.new_zeros(operator.phases, operator.out_channels)
        if affine.bias is None
        else affine.bias
    )
