"""Spread a kernel over a support of taps with holes; find what is in use along one axis of a support."""

import torch
from torch import Tensor

__all__ = ["dilated", "extent", "present"]


def present(support: Tensor, axis: int) -> list[int]:
    """Indices along an axis at which any element is present."""
    rows = support.movedim(axis, 0).reshape(support.shape[axis], -1)
    return [index for index, used in enumerate(rows.any(dim=1).tolist()) if used]


def extent(support: Tensor, axis: int) -> range:
    """Indices from the first to the last present element along an axis; empty if there is none."""
    places = present(support, axis)
    return range(places[0], places[-1] + 1) if places else range(0)


def dilated(weight: Tensor, dilation: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Spread the taps of (a, b, *kernel) apart; the support, of the kernel's shape, tells them from holes."""
    length = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    lattice = tuple(slice(None, None, d) for d in dilation)
    holes = weight.new_zeros(*weight.shape[:2], *length)
    holes[:, :, *lattice] = weight
    support = torch.zeros(length, dtype=torch.bool, device=weight.device)
    support[lattice] = True
    return holes, support
