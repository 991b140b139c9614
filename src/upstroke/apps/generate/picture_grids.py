"""Samples and real pictures become how much of a grid each picture has by itself, beside what noise has."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upstroke.apps.generate.grid_marks import PERIODS
from upstroke.axes import times
from upstroke.diagnose import picture_subgrid_variance
from upstroke.errors import OptionError

__all__ = ["PictureGrid", "picture_grids"]

# Standard errors beyond which a mean is above 1.
ERRORS = 2.0


@dataclass(frozen=True, kw_only=True)
class PictureGrid:
    """Periodic subgrid variance (PSV) of single pictures, for one period.

    The PSV of a picture by variance (S - 1) / N, which white content of its variance has, with S phases and N
    pixels; mean over pictures and channels. 1 is chance; natural pictures lie below, since their power is
    at low frequencies, and a generator whose phases differ in gain or in variance lies above.

    Attributes:
        period: in pixels, along both axes.
        samples: of the samples, dimensionless.
        error: standard error of that, from the spread over samples.
        real: of the real pictures.
        is_above: whether samples have more than chance, by two standard errors.
    """

    period: int
    samples: float
    error: float
    real: float
    is_above: bool

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def picture_grids(
    samples: NDArray[np.uint8], real: NDArray[np.uint8], *, periods: Sequence[int] = PERIODS
) -> tuple[PictureGrid, ...]:
    """How much of a grid the single pictures of two sets have, period by period.

    Args:
        samples: (pictures, channels, y, x).
        real: likewise.
        periods: each at most as long as a picture.

    Raises:
        OptionError: no pictures, or a period that does not fit.

    >>> noise = np.random.default_rng(0).integers(0, 200, (50, 1, 16, 16), dtype=np.uint8)
    >>> grid = np.tile(np.array([[0, 40], [40, 0]], dtype=np.uint8), (8, 8))
    >>> (found,) = picture_grids(noise + grid, noise, periods=(2,))
    >>> found.is_above, round(found.samples), round(found.real)
    (True, 10, 1)
    """
    for name, each in (("samples", samples), ("real pictures", real)):
        most = min(each.shape[2:]) if len(each) else 0
        if not len(each) or not all(2 <= period <= most for period in periods):
            given = ", ".join(map(str, periods))
            msg = (
                f"periods must be from 2 to the side of a picture, of one picture at least; got {given} for "
                f"{len(each)} {name} of {times(each.shape[2:])}"
            )
            raise OptionError(msg)
    return tuple(_grid(samples, real, period) for period in periods)


def _grid(samples: NDArray[np.uint8], real: NDArray[np.uint8], period: int) -> PictureGrid:
    ours, theirs = _ratios(samples, period), _ratios(real, period)
    mean = float(ours.mean())
    error = float(ours.std(correction=1)) / math.sqrt(len(ours)) if len(ours) > 1 else 0.0
    return PictureGrid(
        period=period,
        samples=mean,
        error=error,
        real=float(theirs.mean()),
        is_above=mean - ERRORS * error > 1,
    )


def _ratios(pictures: NDArray[np.uint8], period: int) -> torch.Tensor:
    """Of each picture the mean over its channels."""
    levels = torch.from_numpy(pictures).double()
    each = [
        torch.stack([picture_subgrid_variance(channel, period).ratio for channel in picture]).mean()
        for picture in levels
    ]
    return torch.stack(each)
