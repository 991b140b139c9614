"""Whole blocks of a float32 field whose means have suffered from rounding are found, and put right.

The prefilter is solved in float64, but its coefficients and their sums in the kernel are rounded to float32. A
block whose values are small beside the coefficients around it then misses its mean by more than its own rounding,
for instance where a field crosses zero. They are few in fields of nature, and many in noise.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from upstroke.apps.downscale.block_samples import give_means, samples_of
from upstroke.ops import adjoint
from upstroke.polyphase import nearest

__all__ = ["TOLERANCE", "mend_whole_blocks"]

# Of the block's mean, or of its mean absolute value where that is larger: more than rounding the samples costs
# at worst, and less than half of the 1e-6 that is promised.
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
    (sy, sx), columns = scale, x.shape[-1]
    shares = rows.reshape(-1, sy) / rows.reshape(-1, sy).sum(axis=1, keepdims=True) / sx
    # what float32 loses in the sums of a block's few samples is far below TOLERANCE
    sums = adjoint(torch.from_numpy(y)[:, None], nearest((1, sx)))[:, 0].numpy()
    sums = sums.reshape(*x.shape[:2], sy, columns)
    means = np.einsum("tisj,is->tij", sums, shares.astype(np.float32))
    off = np.abs(means - x)
    candidates = off > TOLERANCE * np.abs(x)
    if besides is not None:
        candidates.reshape(len(x), -1)[:, besides] = False
    step, row, column = np.nonzero(candidates)
    # at most the mean absolute value: a few samples of one row may cancel
    size = (np.abs(sums[step, row, :, column]) * shares[row]).sum(axis=1)
    bad = off[step, row, column] > TOLERANCE * size
    step, blocks = step[bad], (row * columns + column)[bad]
    for each, first, last in zip(*_runs(step), strict=True):
        these = blocks[first:last]
        give_means(
            y[each],
            x[each].ravel()[these],
            samples_of(these, columns, scale),
            np.repeat(shares[these // columns], sx, axis=1),
        )


def _runs(sorted_numbers: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """The different numbers, and where each begins and ends."""
    numbers, first = np.unique(sorted_numbers, return_index=True)
    return numbers, first, np.append(first, sorted_numbers.size)[1:]
