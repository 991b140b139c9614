"""Turn the weights of a dense layer into how near they are to those of a separable one."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.errors import ShapeError

__all__ = ["Separability", "separability"]


@dataclass(frozen=True, kw_only=True)
class Separability:
    """Part of the energy that the nearest separable weights have, for the two orders.

    Attributes:
        depthwise_first: a kernel for each channel that comes in, then a matrix over channels.
        pointwise_first: a matrix over channels, then a kernel for each channel that goes out.
    """

    depthwise_first: float
    pointwise_first: float


def separability(weight: Float[Tensor, "c_in c_out *kernel"]) -> Separability:
    """Rank-1 energy of weights (in, out, *kernel): what the best depthwise-separable form keeps of them.

    Depthwise first, the weights of input channel c, a matrix (out, taps), are approximated by one of rank 1,
    a column of the mixing matrix times a kernel; the best has their largest singular value s_c, and of all

    energy = sum over c of s_c^2 / sum of weight^2

    is kept. Pointwise first it is the matrices (in, taps) of the output channels. Between 0 and 1; the
    difference from the weights is sqrt(1 - energy) of their norm, which for white input is the root mean
    square error of the output relative to the output. 1 for weights of zeros. The singular values are roots
    of the eigenvalues of matrices (taps, taps), one per channel. Derivation: docs/idea.md#separability.

    Raises:
        ShapeError: the weights have no kernel axis.

    >>> line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    >>> mixing = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> separability(mixing[:, :, None] * line).pointwise_first
    1.0
    """
    if weight.ndim < 3:
        msg = f"weights must have shape (in, out, *kernel); got {tuple(weight.shape)}"
        raise ShapeError(msg)
    flat = weight.detach().flatten(2)
    largest = flat.abs().max() if flat.numel() else flat.new_ones(())
    # so that no square is more, or less, than the type can say
    flat = flat / torch.where(largest > 0, largest, 1)
    whole = float(torch.linalg.vector_norm(flat, dtype=torch.float64).square())
    if whole == 0:
        return Separability(depthwise_first=1.0, pointwise_first=1.0)
    first, last = (_kept(rows) / whole for rows in (flat, flat.transpose(0, 1)))
    return Separability(depthwise_first=min(first, 1.0), pointwise_first=min(last, 1.0))


def _kept(rows: Tensor) -> float:
    """Sum over the first axis of the largest squared singular values of matrices (channels, taps)."""
    rows = rows if rows.shape[2] <= rows.shape[1] else rows.transpose(1, 2)
    # in the weights' own dtype: a part in a million of the energy is far below any that is asked for
    products = (rows.transpose(1, 2) @ rows).double()
    return float(torch.linalg.eigvalsh(products)[:, -1].sum())
