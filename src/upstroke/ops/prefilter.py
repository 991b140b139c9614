"""Turn a fixed upsampler of one axis into the banded solve that makes it keep block means."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from upstroke.errors import OptionError, ShapeError
from upstroke.ops.bordered import Factors, factorised
from upstroke.ops.recorded import is_recorded
from upstroke.polyphase import Polyphase

__all__ = ["Prefilter", "prefilter", "solved_densely"]

# Columns are added cell by cell, so that a wide kernel over a short axis finds each cell as often as it must.
Band = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prefilter:
    """The inverse of D T along one axis: what to upsample so that block means come out as they went in.

    Attributes:
        band: D T itself, by diagonals: band[lower + e, i] is the entry of row i and column i + e, counted
            round the end.
        lower: diagonals below the main one.
    """

    band: Band
    lower: int

    @property
    def size(self) -> int:
        """Cells of the axis."""
        return int(self.band.shape[1])

    @cached_property
    def factors(self) -> Factors:
        """What the solve reads."""
        return factorised(self.band, self.lower)

    @cached_property
    def transposed(self) -> "Prefilter":
        """The inverse of the transposed matrix, which gradients pass."""
        above = self.band.shape[0] - 1 - self.lower
        turned = [np.roll(self.band[self.lower + e], e) for e in range(above, -self.lower - 1, -1)]
        return Prefilter(np.stack(turned), above)

    @cached_property
    def condition(self) -> float:
        """Condition number of D T in the maximum norm: what rounding in x may be magnified by."""
        return float(np.abs(self.band).sum(axis=0).max() * np.abs(self.inverse).sum(axis=1).max())

    @cached_property
    def inverse(self) -> NDArray[np.float64]:
        """The dense matrix (size, size) that the solve amounts to."""
        with _disable_current_modes():
            solved = self.factors.solve(torch.eye(self.size, dtype=torch.float64), 0)
        made: NDArray[np.float64] = solved.numpy()
        return made

    def __call__(self, x: Float[Tensor, "*shape"], *, dim: int) -> Float[Tensor, "*shape"]:
        """Solve (D T) c = x along an axis, in float64, for every other index; c has the dtype of x.

        Raises:
            ShapeError: the axis has another size.
        """
        if not -x.ndim <= dim < x.ndim or x.shape[dim] != self.size:
            msg = (
                f"x must have {self.size} cells along axis {dim}, for which the prefilter was made; "
                f"got shape {tuple(x.shape)}"
            )
            raise ShapeError(msg)
        if torch.compiler.is_dynamo_compiling():
            return solved_densely(self._matrix().to(x.device), x, dim)
        if is_recorded():
            inverse = torch.from_numpy(self.inverse).to(x.device)
            product: Tensor = torch.tensordot(inverse, x.to(torch.float64), dims=([1], [dim]))
            return product.movedim(0, dim).to(x.dtype)
        solved: Tensor = _Solve.apply(x, self, dim % x.ndim)  # type: ignore[no-untyped-call]
        return solved

    def _matrix(self) -> Tensor:
        """D T as a dense matrix."""
        entries, size = self.band.shape
        rows = torch.arange(size).expand(entries, size)
        columns = (rows + torch.arange(entries)[:, None] - self.lower) % size
        empty = torch.zeros(size, size, dtype=torch.float64)
        return empty.index_put((rows, columns), torch.from_numpy(self.band), accumulate=True)


def solved_densely(
    matrix: Float[Tensor, "size size"], x: Float[Tensor, "*shape"], dim: int
) -> Float[Tensor, "*shape"]:
    """Solve along an axis, in float64, by operators that a compiler reads; the dtype stays."""
    columns = x.to(torch.float64).movedim(dim, 0)
    solved: Tensor = torch.linalg.solve(matrix, columns.reshape(columns.shape[0], -1))
    return solved.reshape(columns.shape).movedim(0, dim).to(x.dtype)


class _Solve(torch.autograd.Function):
    """The solve with its gradient, which is the solve with the transposed matrix."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, along: Prefilter, dim: int) -> Tensor:  # noqa: ANN401 - PyTorch's context
        ctx.along, ctx.dim = along, dim
        return along.factors.solve(x, dim)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        return ctx.along.transposed(gradient, dim=ctx.dim), None, None


def prefilter(operator: Polyphase, size: int, *, weights: Tensor | None = None) -> Prefilter:
    """The inverse of D T along one axis, for T an operator and D the weighted means over its blocks.

    T (D T)^-1 upsamples as smoothly as T and keeps every block mean. D T is banded, with corners where the
    axis is periodic; it is taken apart once, in float64, and every call solves by two sweeps. A block without
    weight has no mean to keep and is taken with all weights alike. Derivation: docs/idea.md#downscaling.

    Args:
        operator: of 1 axis, one channel in and out, without excess, such as `polyphase.bspline`.
        size: cells of the axis.
        weights: of the operator.scale * size samples; None: all alike.

    Raises:
        ShapeError: the operator has other axes, channels or excess, or the weights another number.
        OptionError: a weight is below 0 or not finite, or D T has no inverse.

    >>> from upstroke.polyphase import bspline
    >>> round(prefilter(bspline(4, ndim=1), 90).condition, 1)
    4.7
    """
    if operator.ndim != 1 or operator.taps.shape[1:3] != (1, 1) or operator.excess != (0,):
        msg = (
            "a prefilter needs an operator of 1 axis with one channel in and out and no excess, such as "
            f"polyphase.bspline(4, ndim=1); got {operator}"
        )
        raise ShapeError(msg)
    if size < 1:
        msg = f"size must be at least 1; got {size}"
        raise OptionError(msg)
    # numbers of the operator, also where a graph is exported
    with _disable_current_modes():
        return _inverse(operator, _shares(weights, operator.scale[0], size))


def _shares(weights: Tensor | None, scale: int, size: int) -> NDArray[np.float64]:
    """The weights of the samples of each block (size, scale), as parts of the block's."""
    if weights is None:
        return np.full((size, scale), 1 / scale)
    if tuple(weights.shape) != (scale * size,):
        msg = (
            f"weights must have shape ({scale * size},), one for each of {scale} samples of {size} cells; "
            f"got {tuple(weights.shape)}"
        )
        raise ShapeError(msg)
    table = weights.detach().to(device="cpu", dtype=torch.float64).numpy().reshape(size, scale)
    if not np.isfinite(table).all() or table.min() < 0:
        msg = "weights must be finite and at least 0 everywhere, such as areas of cells; got others"
        raise OptionError(msg)
    total = table.sum(axis=1, keepdims=True)
    return np.where(total > 0, table / np.where(total > 0, total, 1), 1 / scale)


def _inverse(operator: Polyphase, shares: NDArray[np.float64]) -> Prefilter:
    size, (origin,), (border,) = len(shares), operator.origin, operator.border
    taps = operator.taps.detach().to(device="cpu", dtype=torch.float64)[:, 0, 0].numpy()
    # what each row gives to the cells around it, then where those beyond the ends lie
    given = shares @ taps
    cells = np.arange(size)[:, None] + np.arange(taps.shape[1]) - origin
    if border == "circular":
        steps = cells - np.arange(size)[:, None]
    else:
        given = np.where((cells >= 0) & (cells < size), given, 0) if border == "zero" else given
        steps = cells.clip(0, size - 1) - np.arange(size)[:, None]
    # steps of one place round the axis are one step, of the shortest length
    if border == "circular":
        steps = (steps + (size - 1) // 2) % size - (size - 1) // 2
    lower, upper = max(0, -int(steps.min())), max(0, int(steps.max()))
    band = np.zeros((lower + upper + 1, size))
    np.add.at(band, (steps + lower, np.broadcast_to(np.arange(size)[:, None], steps.shape)), given)
    found = Prefilter(band, lower)
    _ = found.factors  # refuses what has no inverse
    return found
