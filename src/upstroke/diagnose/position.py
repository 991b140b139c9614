"""Turn an operator into the places on the input grid where its output samples sit."""

from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.grid import Grid
from upstroke.polyphase import Polyphase, kernel_form, trimmed

__all__ = ["centroid", "grid_of"]


def grid_of(operator: Polyphase) -> Grid:
    """Nominal grid of the output: the middle of the footprint, whatever the weights, averaged over phases.

    offset = (crop - (length - 1) / 2) / scale with the kernel's absent ends trimmed, spacing = 1 / scale, per
    axis, in input pixels, in exact fractions. Derivation: docs/idea.md#grid.

    >>> import torch
    >>> from upstroke.polyphase import transposed
    >>> grid_of(transposed(torch.ones(1, 1, 3, 4), stride=2, padding=1))
    Grid(offset=(0, -1/4), spacing=(1/2, 1/2))
    """
    form = trimmed(kernel_form(operator))
    placed = zip(form.crop, form.support.shape, operator.scale, strict=True)
    return Grid(
        offset=tuple(Fraction(2 * crop - length + 1, 2 * s) for crop, length, s in placed),
        spacing=tuple(Fraction(1, s) for s in operator.scale),
    )


def centroid(operator: Polyphase) -> Float[Tensor, "out in_group axes"]:
    """Offset of the grid that the weights make: the kernel's centre of gravity in place of its middle.

    -(sum over n of n h[n] / sum over n of h[n]) / scale, per channel pair and axis, in input pixels, to be
    compared with `grid_of(operator).offset`; inf or nan where the mass is 0.

    >>> import torch
    >>> from upstroke.polyphase import transposed
    >>> centroid(transposed(torch.tensor([[[0.0, 1.0, 3.0]]]), stride=2, padding=1)).item()
    -0.375
    """
    form = kernel_form(operator)
    kernel = form.kernel.double()
    total = kernel.flatten(2).sum(dim=-1)
    offsets = []
    for axis, (crop, s) in enumerate(zip(form.crop, operator.scale, strict=True)):
        line = kernel.movedim(2 + axis, -1).flatten(2, -2).sum(dim=2) if operator.ndim > 1 else kernel
        sample = torch.arange(line.shape[-1], device=line.device, dtype=line.dtype) - crop
        offsets.append(-(line @ sample) / (total * s))
    return torch.stack(offsets, dim=-1)
