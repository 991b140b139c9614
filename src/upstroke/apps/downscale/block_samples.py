"""The samples of chosen blocks are found in a fine map, and changed so that the blocks have given means."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["give_means", "samples_of"]


def samples_of(blocks: NDArray[np.intp], columns: int, scale: tuple[int, int]) -> NDArray[np.intp]:
    """Numbers (blocks, samples) in the flattened fine map, of blocks by their numbers in the coarse one.

    >>> samples_of(np.array([1]), 3, (2, 2)).tolist()
    [[2, 3, 8, 9]]
    """
    sy, sx = scale
    first = (blocks // columns) * sy * columns * sx + (blocks % columns) * sx
    inside = np.arange(sy)[:, None] * columns * sx + np.arange(sx)
    return first[:, None] + inside.ravel()


def give_means(
    fine: NDArray[np.floating],
    means: NDArray[np.float64],
    samples: NDArray[np.intp],
    shares: NDArray[np.float64],
) -> None:
    """Shift blocks of a fine map (y, x), in place, so that they have these means, to a sample's rounding.

    Args:
        fine: the map, contiguous.
        means: (blocks,) what the blocks shall have.
        samples: (blocks, samples) of each block, by number.
        shares: (blocks, samples) what each sample counts, in sum 1.
    """
    flat = fine.reshape(-1)
    deviation = flat[samples].astype(np.float64)
    # twice: where a block is far from its mean, the first difference has lost what the second one finds
    for _ in range(2):
        deviation -= (deviation * shares).sum(axis=1, keepdims=True)
    flat[samples] = deviation + means[:, None]
