"""Whole blocks of a float32 field whose means have suffered from rounding are found, and put right.

The prefilter is solved in float64, but its coefficients and their sums in the kernel are rounded to
float32. A block whose values are small beside the coefficients around it then misses its mean by more than
its own rounding, for instance where a field crosses zero. They are few in fields of nature, and many in
noise.
"""

import functools

import numpy as np
import torch
from numpy.typing import NDArray

from upstroke.apps.downscale.block_samples import give_means, samples_of
from upstroke.ops import adjoint
from upstroke.polyphase import Polyphase, nearest

__all__ = ["TOLERANCE", "mend_whole_blocks"]

# Of the block's mean, or of its mean absolute value where that is larger: more than rounding the samples
# costs at worst, and less than half of the 1e-6 that is promised.
TOLERANCE = 3e-7


def mend_whole_blocks(
    y: NDArray[np.float32],
    x: NDArray[np.float64],
    rows: NDArray[np.float64],
    scale: tuple[int, int],
    *,
    besides: NDArray[np.intp] | None = None,
) -> None:
    """Give blocks of the fields y (steps, fine y, fine x), in place, the means x where they have missed them.

    Args:
        y: the fields, contiguous.
        x: (steps, y, x) the means; NaN where there is none.
        rows: (fine y,) what each row of samples counts.
        scale: samples of a block along y and x.
        besides: blocks, by number, that are not whole and are left as they are.
    """
    columns, sx = x.shape[-1], scale[1]
    shares = rows.reshape(-1, scale[0])
    shares = shares / shares.sum(axis=1, keepdims=True) / sx
    for fine, means in zip(y, x, strict=True):
        bad = _missed(fine, means, shares, scale)
        if besides is not None:
            bad.reshape(-1)[besides] = False
        blocks = np.flatnonzero(bad)
        if blocks.size:
            each = np.repeat(shares[blocks // columns], sx, axis=1)
            give_means(fine, means.ravel()[blocks], samples_of(blocks, columns, scale), each)


@functools.cache
def _columns(scale: int) -> Polyphase:
    """The operator whose adjoint sums the columns of a block."""
    return nearest((1, scale))


def _missed(
    fine: NDArray[np.float32], means: NDArray[np.float64], shares: NDArray[np.float64], scale: tuple[int, int]
) -> NDArray[np.bool_]:
    """Blocks (y, x) whose mean is off by more than the tolerance."""
    # what float32 loses in the sums of a block's few samples is far below it
    in_row = adjoint(torch.from_numpy(fine)[None, None], _columns(scale[1]))[0, 0].numpy()
    in_row = in_row.reshape(*shares.shape, -1)
    off = np.abs(np.einsum("isj,is->ij", in_row, shares.astype(np.float32)) - means)
    missed: NDArray[np.bool_] = off > TOLERANCE * np.abs(means)
    row, column = np.nonzero(missed)
    # at most the mean absolute value, since samples of one row may cancel
    size = (np.abs(in_row[row, :, column]) * shares[row]).sum(axis=1)
    missed[row, column] = off[row, column] > TOLERANCE * size
    return missed
