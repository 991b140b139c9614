"""Cut the samples of the middle of a map out of a callable's answer."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from upstroke.errors import ShapeError

__all__ = ["middle_samples"]


def middle_samples(
    y: Float[Tensor, "b c *grown"], scale: Sequence[int], cells: Sequence[int], *, blocks: int = 1
) -> Float[Tensor, "b c *block"]:
    """The samples of the middle cell of a map of so many cells, and of the next ones if `blocks` is above 1.

    Raises:
        ShapeError: the answer does not reach so far.

    >>> import torch
    >>> middle_samples(torch.arange(10.0).reshape(1, 1, 10), (2,), (5,)).tolist()
    [[[4.0, 5.0]]]
    """
    first = [s * (n // 2) for s, n in zip(scale, cells, strict=True)]
    last = [start + s * blocks for start, s in zip(first, scale, strict=True)]
    if y.ndim != 2 + len(last) or any(n < end for n, end in zip(y.shape[2:], last, strict=True)):
        msg = (
            f"a callable of scale {tuple(scale)} must answer {tuple(cells)} cells with at least "
            f"{tuple(last)} samples, the middle ones included; got shape {tuple(y.shape)}, so give the right "
            "scale or more cells"
        )
        raise ShapeError(msg)
    block = tuple(slice(start, end) for start, end in zip(first, last, strict=True))
    return y[:, :, *block]
