"""Turn block means into the smooth fine map that has them."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.errors import ShapeError
from upstroke.ops.prefilter import Prefilter
from upstroke.ops.upsample import upsample
from upstroke.polyphase import Polyphase

__all__ = ["conserving_upsample"]


def conserving_upsample(
    x: Float[Tensor, "*coarse"], operators: Sequence[Polyphase], prefilters: Sequence[Prefilter | None]
) -> Float[Tensor, "*fine"]:
    """Upsample the last axes, one operator each, after the prefilter of each that has one.

    y = T (D T)^-1 x, whose block means are x to rounding: the operators of different axes do not meet, so
    the inverse is one banded solve per axis. Without prefilters it is T x. All axes before the last ones are
    a batch. Gradients flow to x. Derivation: docs/idea.md#downscaling.

    Args:
        x: coarse maps (*batch, *coarse).
        operators: one of 1 axis for each of the last axes, with one channel in and out.
        prefilters: what `prefilter` gave for each of them, or None for an axis to be left as it is.

    Raises:
        ShapeError: there are not as many prefilters as operators, or x does not fit them.

    >>> from upstroke.ops import block_means, prefilter
    >>> from upstroke.polyphase import bspline
    >>> x, cubic = torch.tensor([[0.0, 1.0, 0.0, 2.0]], dtype=torch.float64), bspline(3, ndim=1)
    >>> y = conserving_upsample(x, [cubic], [prefilter(cubic, 4)])
    >>> torch.allclose(block_means(y, (3,)), x)
    True
    """
    ndim = len(operators)
    if len(prefilters) != ndim or not 1 <= ndim <= 3 or x.ndim < ndim:
        msg = (
            "conserving_upsample needs one operator and one prefilter (or None) for each of the last 1 to 3 "
            f"axes of x; got {ndim} and {len(prefilters)} for shape {tuple(x.shape)}"
        )
        raise ShapeError(msg)
    for axis, each in enumerate(prefilters):
        if each is not None:
            x = each(x, dim=axis - ndim)
    y = upsample(x.reshape(-1, 1, *x.shape[-ndim:]), _together(tuple(operators)))
    return y.reshape(*x.shape[:-ndim], *y.shape[2:])


@lru_cache(maxsize=64)
def _together(operators: tuple[Polyphase, ...]) -> Polyphase:
    """One operator of all axes, whose taps are the products of theirs."""
    if any(each.ndim != 1 or each.taps.shape[1:3] != (1, 1) for each in operators):
        got = ", ".join(map(repr, operators))
        msg = f"operators must have 1 axis and one channel in and out each; got {got}"
        raise ShapeError(msg)
    taps, support = torch.ones((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    for axis, each in enumerate(operators):
        # the outer product, then the new phase axis in front of the kernel axes
        taps = torch.tensordot(taps, each.taps[:, 0, 0].double(), dims=0).movedim(2 * axis, axis)
        support = torch.tensordot(support, each.mask.double(), dims=0).movedim(2 * axis, axis)
    ndim = len(operators)
    return Polyphase(
        taps=taps.flatten(0, ndim - 1)[:, None, None],
        support=support.flatten(0, ndim - 1).bool(),
        scale=tuple(each.scale[0] for each in operators),
        origin=tuple(each.origin[0] for each in operators),
        excess=tuple(each.excess[0] for each in operators),
        border=tuple(each.border[0] for each in operators),
        shared=True,
    )
