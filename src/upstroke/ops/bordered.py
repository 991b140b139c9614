"""Turn a cyclic banded matrix into factors, and maps into what the matrix makes them of."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upstroke.errors import OptionError
from upstroke.ops.kernels import solver
from upstroke.ops.recorded import is_watched

__all__ = ["Factors", "factorised"]

Numbers = NDArray[np.float64]

# What the compiled solve reads and writes, by the number it knows it by.
_COMPILED = {torch.float32: 0, torch.float64: 1}

# An inverse that leaves less than six digits of sixteen keeps no means.
_LOST = 1e-6

# Of entries that are compared with 1, the means of constants.
_DEAD = 1e-60


@dataclass(frozen=True, eq=False)
class Factors:
    """A matrix [[L U, L across], [down U, corner^-1 + down across]], L and U banded, the border dense.

    Attributes:
        lower: (below, m), lower[d - 1, i] is the entry of row i and column i - d of L, which has a unit
            diagonal.
        pivots: (m,), one over the diagonal of U.
        upper: (above, m), upper[d - 1, i] is the entry of row i and column i + d of U.
        across: (m, q).
        down: (q, m).
        corner: (q, q), the inverse of what is left for the last q unknowns.
    """

    lower: Numbers
    pivots: Numbers
    upper: Numbers
    across: Numbers
    down: Numbers
    corner: Numbers

    def solve(self, x: Tensor, dim: int) -> Tensor:
        """Solve along an axis in float64, for every other index; no gradient."""
        solve = solver() if x.device.type == "cpu" and x.dtype in _COMPILED and not is_watched() else None
        if solve is None or x.numel() == 0:
            return self._by_rows(x, dim)
        x = x.detach().contiguous()
        y = torch.empty_like(x)
        below, above, border = len(self.lower), len(self.upper), len(self.corner)
        solve(
            x.data_ptr(),
            self.table.ctypes.data,
            y.data_ptr(),
            outer=math.prod(x.shape[:dim]),
            size=x.shape[dim],
            inner=math.prod(x.shape[dim + 1 :]),
            below=below,
            above=above,
            border=border,
            number=_COMPILED[x.dtype],
            threads=torch.get_num_threads(),
        )
        return y

    @cached_property
    def table(self) -> Numbers:
        """All numbers as native/solve_problem.h says: those of a row side by side, then the corner."""
        columns = (self.lower.T, self.pivots[:, None], self.upper.T, self.across, self.down.T)
        rows = np.concatenate(columns, axis=1)
        return np.concatenate([rows.ravel(), self.corner.ravel(), np.zeros(1)])

    def _by_rows(self, x: Tensor, dim: int) -> Tensor:
        """The solve by PyTorch, a vector of all other indices for every row."""
        work = x.detach().movedim(dim, 0).to(torch.float64, copy=True).contiguous()
        self._sweep(work.reshape(work.shape[0], -1))
        return work.to(x.dtype).movedim(0, dim).contiguous()

    def _sweep(self, work: Tensor) -> None:
        """Solve in place, row by row: all else of a row lies in one vector."""
        m = len(self.pivots)
        rows = work.unbind(0)
        for i in range(m):
            for d in range(1, min(len(self.lower), i) + 1):
                rows[i].sub_(rows[i - d], alpha=float(self.lower[d - 1, i]))
        if m < len(rows):
            down, corner, across = (
                torch.from_numpy(each).to(work.device) for each in (self.down, self.corner, self.across)
            )
            work[m:] = corner @ (work[m:] - down @ work[:m])
            work[:m] -= across @ work[m:]
        for i in range(m - 1, -1, -1):
            for d in range(1, min(len(self.upper), m - 1 - i) + 1):
                rows[i].sub_(rows[i + d], alpha=float(self.upper[d - 1, i]))
            rows[i].mul_(float(self.pivots[i]))


def factorised(band: Numbers, below: int) -> Factors:
    """Take a matrix apart that is given by diagonals: band[below + e, i] in row i and column i + e.

    Columns are counted round the end. Where entries lie there, the last rows and columns are the border; of
    a matrix hardly larger than its band all are, so that it is inverted densely.

    Raises:
        OptionError: it has no inverse, or elimination in the order of the rows loses its digits.
    """
    above, size = len(band) - 1 - below, band.shape[1]
    rows, steps = np.arange(size), np.arange(-below, above + 1)[:, None]
    wraps = (rows + steps < 0) | (rows + steps >= size)
    q = max(below, above) if band[wraps].any() else 0
    if size <= 2 * (below + above):
        q = size
    m = size - q
    border = np.zeros((size, size - m)), np.zeros((size - m, size))
    columns = (rows + steps) % size
    for table, (at, to) in zip(
        border, ((rows + 0 * steps, columns - m), (rows - m + 0 * steps, columns)), strict=True
    ):
        inside = (at >= 0) & (to >= 0)
        np.add.at(table, (at[inside], to[inside]), band[inside])
    with np.errstate(all="ignore"):
        lower, pivots, upper = _banded(band[:, :m], below)
        across, down = border[0][:m], border[1][:, :m]
        for i in range(m):
            for d in range(1, min(below, i) + 1):
                across[i] -= lower[d - 1, i] * across[i - d]
            for d in range(1, min(above, i) + 1):
                down[:, i] -= down[:, i - d] * upper[d - 1, i - d]
            down[:, i] *= pivots[i]
        corner = _inverse(border[0][m:] - down @ across)
    # what has died away far from the ends is below every rounding, and would end in slow subnormal numbers
    across, down = (np.where(np.abs(each) < _DEAD, 0.0, each) for each in (across, down))
    factors = Factors(lower, pivots, upper, across, down, corner)
    _check(factors, band, columns)
    return factors


def _banded(band: Numbers, below: int) -> tuple[Numbers, Numbers, Numbers]:
    """L, one over the diagonal of U, and U, of a banded matrix without what lies round its ends."""
    above, m = len(band) - 1 - below, band.shape[1]
    left = band.copy()
    lower, pivots, upper = np.zeros((below, m)), np.zeros(m), np.zeros((above, m))
    for i in range(m):
        for d in range(min(below, i), 0, -1):
            lower[d - 1, i] = left[below - d, i] * pivots[i - d]
            left[below - d + 1 : below - d + 1 + above, i] -= lower[d - 1, i] * left[below + 1 :, i - d]
        pivots[i] = 1 / left[below, i]
    for e in range(1, above + 1):
        upper[e - 1, : max(m - e, 0)] = left[below + e, : max(m - e, 0)]
    return lower, pivots, upper


def _inverse(corner: Numbers) -> Numbers:
    try:
        return np.asarray(np.linalg.inv(corner), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.full_like(corner, np.nan)


def _check(factors: Factors, band: Numbers, columns: NDArray[np.int64]) -> None:
    """Refuse factors that do not undo the matrix, on vectors that no column is far from."""
    size = band.shape[1]
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (size, 4))
    undone = factors.solve(torch.from_numpy(np.einsum("er,erk->rk", band, signs[columns])), 0).numpy()
    if not np.abs(undone - signs).max() < _LOST:
        msg = (
            "the block means of what the operator makes must tell cells apart, or nothing keeps them all; "
            "got a D T without an inverse, so use another operator, such as polyphase.bspline"
        )
        raise OptionError(msg)
