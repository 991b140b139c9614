"""Change fine maps as little as their form allows so that their block means are the ones given."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import times
from upstroke.errors import OptionError, ShapeError
from upstroke.ops.blocks import blank, block_maxima, block_sums, check_blocks, spread, usable

__all__ = ["Correction", "corrected"]

Correction = Literal["additive", "multiplicative", "softmax"]

# A mean that is so much smaller than that of the absolute values has lost as many digits: 16 roundings of
# float32, 2^-24 each, are the 1e-6 of the mean that is promised.
_CANCELLED = 1 / 16


def corrected(
    y: Float[Tensor, "*fine"],
    means: Float[Tensor, "*coarse"],
    scale: tuple[int, ...],
    *,
    weights: Tensor | None = None,
    form: Correction = "additive",
) -> Float[Tensor, "*fine"]:
    """The maps y changed block by block so that `block_means` gives these means, to rounding.

    With x the mean that is wanted, D y the one there is, and weights that sum to 1 in the block:

    - additive: y + (x - D y). The least change; any sign.
    - multiplicative: y * x / D y. Signs and zeros of y stay where x and D y have one sign; where D y is 0,
      or less than 1/16 of D |y|, so that the quotient would magnify rounding, the block is x throughout.
    - softmax: x * e^(l - max) / (sum of w e^(l - max)) of logits l = y. All samples have the sign of x;
      finite for all finite logits.

    Gradients flow to y and means. Computed in the widest dtype of y, means and weights, float32 at least, and
    given in that of the means, float32 at least, under autocast too. Samples whose weight is not above 0 stay
    as they came, whatever they are; a mean that is NaN makes its whole block NaN. From neither flows a
    gradient into other samples. Derivation: docs/idea.md#downscaling.

    Args:
        y: fine maps (*batch, *fine), or logits.
        means: (*batch, *coarse), what the blocks shall have.
        scale: samples of a block along each of the last axes, which blocks fill.
        weights: of the samples, as in `block_means`.
        form: how the blocks are changed.

    Raises:
        ShapeError: the blocks do not fill the last axes, or means or weights do not fit.
        OptionError: there is no such form, or a dtype is not floating.

    >>> y = torch.tensor([[1.0, 3.0, 0.0, 0.0]])
    >>> corrected(y, torch.tensor([[4.0, 1.0]]), (1, 2))
    tensor([[3., 5., 1., 1.]])
    >>> corrected(y, torch.tensor([[4.0, 1.0]]), (1, 2), form="multiplicative")
    tensor([[2., 6., 1., 1.]])
    """
    check_blocks(y, scale, weights)
    _check_means(y, means, scale)
    if form not in get_args(Correction):
        msg = f"form must be one of {', '.join(get_args(Correction))}; got {form!r}"
        raise OptionError(msg)
    given = torch.promote_types(means.dtype, torch.float32)
    dtype = torch.promote_types(given, y.dtype)
    y, means = y.to(dtype), means.to(dtype)
    shares = _shares(torch.ones((), dtype=dtype, device=y.device) if weights is None else weights, y, scale)
    counted = shares > 0
    missing = means.isnan()
    wanted = torch.where(missing, 0, means).to(shares.dtype)
    changed = _FORMS[form](blank(y, counted).to(shares.dtype), wanted, shares, scale).to(given)
    kept = torch.where(counted, changed, y.to(given))
    return torch.where(spread(missing, scale), torch.nan, kept)


def _additive(y: Tensor, means: Tensor, shares: Tensor, scale: tuple[int, ...]) -> Tensor:
    return y + spread(means - block_sums(y * shares, scale), scale)


def _multiplicative(y: Tensor, means: Tensor, shares: Tensor, scale: tuple[int, ...]) -> Tensor:
    there = block_sums(y * shares, scale)
    fair = there.abs() > _CANCELLED * block_sums(y.abs() * shares, scale)
    ratio = means / torch.where(fair, there, 1)
    fair = fair & ratio.isfinite()
    return torch.where(
        spread(fair, scale), y * spread(torch.where(fair, ratio, 0), scale), spread(means, scale)
    )


def _softmax(y: Tensor, means: Tensor, shares: Tensor, scale: tuple[int, ...]) -> Tensor:
    # the largest logit of those that count; it cancels, so no gradient is missed
    logits = block_maxima(torch.where(shares > 0, y.detach(), -torch.inf), scale)
    largest = torch.where(logits.isfinite(), logits, 0)
    powers = torch.exp((y - spread(largest, scale)).clamp(max=0))
    total = block_sums(powers * shares, scale)
    return powers * spread(means / torch.where(total > 0, total, 1), scale)


_FORMS = {"additive": _additive, "multiplicative": _multiplicative, "softmax": _softmax}


def _shares(weights: Tensor, y: Tensor, scale: tuple[int, ...]) -> Tensor:
    """The weights as parts of the block's."""
    weights = usable(weights, y)
    total = block_sums(weights, scale)
    return weights / spread(torch.where(total > 0, total, 1), scale)


def _check_means(y: Tensor, means: Tensor, scale: tuple[int, ...]) -> None:
    ndim = len(scale)
    size = tuple(n // s for n, s in zip(y.shape[-ndim:], scale, strict=True))
    wanted = (*y.shape[:-ndim], *size)
    if tuple(means.shape) != wanted:
        msg = (
            f"means must have shape {wanted}, one for each block of {times(scale)} samples of y; "
            f"got {tuple(means.shape)}"
        )
        raise ShapeError(msg)
    if not means.is_floating_point():
        msg = f"means must have a floating dtype; got {means.dtype}, so convert it by .float()"
        raise OptionError(msg)
