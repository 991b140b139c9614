"""Turn one period of a map into one period of a callable's answer, whatever its border does."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import whole_per_axis

__all__ = ["on_period"]

Fn = Callable[[Tensor], Tensor]


def on_period(
    fn: Fn, x: Float[Tensor, "b c *period"], scale: Sequence[int], *, reach: int | tuple[int, ...] = 8
) -> Float[Tensor, "b c_out *grown"]:
    """Continue the map periodically by this many cells on every side, apply, keep one period.

    Its first sample is phase 0 of the first cell; `reach` must exceed the cells that the callable reads and
    crops.

    >>> x = torch.tensor([[[1.0, 2.0, 4.0]]])
    >>> on_period(lambda x: x[..., 1:] + x[..., :-1], x, (1,)).tolist()
    [[[3.0, 6.0, 5.0]]]
    """
    wide = x
    before = whole_per_axis(reach, len(scale), name="reach", least=0)
    for axis, cells in enumerate(before):
        n = x.shape[2 + axis]
        wide = wide.index_select(2 + axis, torch.arange(-cells, n + cells, device=x.device) % n)
    with torch.no_grad():
        y = fn(wide)
    kept = tuple(slice(s * c, s * (c + n)) for s, c, n in zip(scale, before, x.shape[2:], strict=True))
    return y[:, :, *kept]
