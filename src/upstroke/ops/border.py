"""Extend a map by cells beyond its edge, as the operator's border says; and the adjoint of that."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.polyphase import Border, Margin

__all__ = ["extend", "fold"]


def extend(
    x: Float[Tensor, "b c *space"], pad: Sequence[Margin], border: Sequence[Border]
) -> Float[Tensor, "b c *extended"]:
    """Add cells before and after along every axis (cut where negative), filled as the border says.

    >>> extend(torch.tensor([[[1.0, 2.0, 3.0]]]), [(2, -1)], ["circular"])
    tensor([[[2., 3., 1., 2.]]])
    """
    added = [(0, 0)] * len(pad)
    window = [slice(None)] * len(pad)
    for axis, (sides, kind) in enumerate(zip(pad, border, strict=True)):
        if kind != "zero" and max(sides) > 0:
            x = x.index_select(2 + axis, _cells(x, axis, sides, kind))
            continue
        added[axis] = (max(sides[0], 0), max(sides[1], 0))
        window[axis] = slice(max(-sides[0], 0), min(sides[1], 0) or None)
    if any(side for sides in added for side in sides):
        x = torch.nn.functional.pad(x, [side for sides in reversed(added) for side in sides])
    return x[:, :, *window]


def fold(
    extended: Float[Tensor, "b c *extended"],
    pad: Sequence[Margin],
    border: Sequence[Border],
    size: Sequence[int],
) -> Float[Tensor, "b c *space"]:
    """The adjoint of `extend`: add every cell of the extended map onto the cell it was filled from.

    >>> fold(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), [(2, -1)], ["circular"], (3,))
    tensor([[[3., 5., 2.]]])
    """
    for axis, (sides, kind, cells) in enumerate(zip(pad, border, size, strict=True)):
        shape = list(extended.shape)
        shape[2 + axis] = cells
        if kind != "zero" and max(sides) > 0:
            index = _cells(extended.new_empty(shape), axis, sides, kind)
            extended = extended.new_zeros(shape).index_add(2 + axis, index, extended)
        else:
            zeros = [(0, 0)] * len(pad)
            zeros[axis] = (-sides[0], -sides[1])
            extended = extend(extended, zeros, border=["zero"] * len(pad))
    return extended


def _cells(x: Tensor, axis: int, sides: Margin, kind: Border) -> Tensor:
    """The cell of x that each cell of the extended axis is filled from."""
    size = x.shape[2 + axis]
    index = torch.arange(-sides[0], size + sides[1], device=x.device)
    return index.clamp(0, size - 1) if kind == "clamp" else index.remainder(size)
