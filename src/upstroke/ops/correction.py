"""Change fine maps as little as their form allows so that their block means are the ones given."""

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import times
from upstroke.errors import OptionError, ShapeError
from upstroke.ops.blocks import blank, block_maxima, block_sums, check_blocks, samples_of, spread, usable
from upstroke.ops.recorded import is_recorded

__all__ = ["Correction", "corrected"]

Correction = Literal["additive", "multiplicative", "softmax"]

# A mean that is so much smaller than that of the absolute values has lost as many digits: 16 roundings of
# float32, 2^-24 each, are the 1e-6 of the mean that is promised.
_CANCELLED = 1 / 16

# Samples that are changed at a time.
_IN_CACHE = 2**20


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
    as they came, whatever they are; a mean that is NaN makes all others of its block NaN. Neither spoils a
    gradient of other samples. Derivation: docs/idea.md#downscaling.

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
    shares = None if weights is None else _shares(usable(weights, y, scale), scale)
    step = _maps_at_once(y)
    if step is None or _wants_gradient(y, means, weights):
        return _changed(y, means, shares, scale, form).to(given)
    result = torch.empty(y.shape, dtype=given, device=y.device)
    for first in range(0, len(y), step):
        some = slice(first, first + step)
        own = shares[some] if shares is not None and shares.ndim == y.ndim and len(shares) > 1 else shares
        result[some] = _changed(y[some], means[some], own, scale, form)
    return result


class _Change(NamedTuple):
    """What the samples of a block become: gain * basis + offset, gain and offset one number a block."""

    basis: Tensor
    gain: Tensor | None
    offset: Tensor


def _changed(
    y: Tensor, means: Tensor, shares: Tensor | None, scale: tuple[int, ...], form: Correction
) -> Tensor:
    dtype = torch.promote_types(torch.promote_types(means.dtype, y.dtype), torch.float32)
    if shares is not None:
        dtype = torch.promote_types(dtype, shares.dtype)
    given, means = y.to(dtype), means.to(dtype)
    y = given if shares is None else blank(given, shares)
    missing = means.isnan()
    change = _FORMS[form](y, torch.where(missing, 0, means), shares, scale)
    # added, so that the NaN is no factor of any gradient
    offset = spread(torch.where(missing, torch.nan, change.offset), scale)
    basis = change.basis if change.gain is None else change.basis * spread(change.gain, scale)
    changed = basis + offset
    return changed if y is given or shares is None else torch.where(shares > 0, changed, given)


def _additive(y: Tensor, means: Tensor, shares: Tensor | None, scale: tuple[int, ...]) -> _Change:
    # in two steps: of a block far from its mean, the first difference has lost what the second one finds
    deviation = y - spread(_weighed(y, shares, scale), scale)
    return _Change(deviation, None, means - _weighed(deviation, shares, scale))


def _multiplicative(y: Tensor, means: Tensor, shares: Tensor | None, scale: tuple[int, ...]) -> _Change:
    there = _weighed(y, shares, scale)
    fair = there.abs() > _CANCELLED * _weighed(y.abs(), shares, scale)
    ratio = means / torch.where(fair, there, 1)
    fair = fair & ratio.isfinite()
    return _Change(y, torch.where(fair, ratio, 0), torch.where(fair, 0, means))


def _softmax(y: Tensor, means: Tensor, shares: Tensor | None, scale: tuple[int, ...]) -> _Change:
    # the largest logit of those that count; it cancels, so no gradient is missed
    logits = y.detach()
    counted = logits if shares is None else torch.where(shares > 0, logits, -torch.inf)
    largest = block_maxima(counted, scale)
    largest = torch.where(largest.isfinite(), largest, 0)
    powers = torch.exp((y - spread(largest, scale)).clamp(max=0))
    total = _weighed(powers, shares, scale)
    return _Change(powers, means / torch.where(total > 0, total, 1), torch.zeros_like(means))


_FORMS = {"additive": _additive, "multiplicative": _multiplicative, "softmax": _softmax}


def _shares(weights: Tensor, scale: tuple[int, ...]) -> Tensor:
    """The weights as parts of the block's."""
    total = block_sums(weights, scale)
    return weights / spread(torch.where(total > 0, total, 1), scale)


def _weighed(y: Tensor, shares: Tensor | None, scale: tuple[int, ...]) -> Tensor:
    """The block means."""
    return block_sums(y, scale) / samples_of(scale) if shares is None else block_sums(y * shares, scale)


def _maps_at_once(y: Tensor) -> int | None:
    """Indices of the first axis to change at a time, so that what is in between stays in the cache."""
    if y.ndim < 3 or y.device.type != "cpu" or torch.compiler.is_compiling() or is_recorded():
        return None
    step = max(1, _IN_CACHE * len(y) // max(1, y.numel()))
    return step if step < len(y) else None


def _wants_gradient(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in tensors)


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
