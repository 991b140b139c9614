"""Turn fine maps into the weighted means of their blocks."""

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.ops.blocks import blank, block_sums, check_blocks, samples_of, usable

__all__ = ["block_means"]


def block_means(
    y: Float[Tensor, "*fine"], scale: tuple[int, ...], *, weights: Tensor | None = None
) -> Float[Tensor, "*coarse"]:
    """Weighted means over blocks of `scale` samples of the last axes; the axes before them are a batch.

    x_B = sum over n in B of w_n y_n / sum over n in B of w_n. A sample whose weight is not above 0 is not
    looked at, so it may be NaN; a block without any weight has no mean, which is NaN, and passes no gradient.
    Sums are made in the wider dtype of y and weights, float32 at least; the means have the dtype of y,
    float32 at least. Derivation: docs/idea.md#downscaling.

    Args:
        y: fine maps (*batch, *fine).
        scale: samples of a block along each of the last axes, which blocks fill.
        weights: of the samples, in any unit, of a shape that broadcasts to that of y; None: all alike.

    Raises:
        ShapeError: the blocks do not fill the last axes, or the weights do not fit.
        OptionError: y or weights are not floating, or scale has no meaning.

    >>> y = torch.tensor([[1.0, 3.0, 5.0, torch.nan]])
    >>> block_means(y, (1, 2), weights=torch.tensor([3.0, 1.0, 2.0, 0.0]))
    tensor([[1.5000, 5.0000]])
    """
    check_blocks(y, scale, weights)
    dtype = torch.promote_types(y.dtype, torch.float32)
    if weights is None:
        return block_sums(y.to(dtype), scale) / samples_of(scale)
    weights = usable(weights, y, scale)
    summed = block_sums(blank(y, weights) * weights, scale)
    total = block_sums(weights, scale)
    # 0 / 0 would be the NaN that is wanted, but with a NaN for a gradient
    means = summed / torch.where(total > 0, total, 1)
    return torch.where(total > 0, means, torch.nan).to(dtype)
