"""Turn fine fields into spectra of windows without land, by wavelength."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Spectrum", "Windows", "power", "radial", "resolved", "windows", "zonal"]

Floats = NDArray[np.floating]
# A window in coarse cells per side: the largest of which there are enough. Even, so that half of one is
# whole.
SIDES = (16, 12, 8)
ENOUGH = 4
# Beyond this latitude cells are less than half as wide as they are high, and wavelengths along the axes part.
MOST_POLEWARD = 60.0
# A wave is resolved up to where the error has half of its power.
RESOLVED = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Rectangles of fine cells that all have values.

    Attributes:
        size: fine cells of each, (y, x).
        corners: (windows, 2), the first row and column of each; columns may run over a periodic seam.
        stretch: (windows,), how wide a cell is by what its coordinates say: the cosine of the latitude of the
            middle, or 1.
    """

    size: tuple[int, int]
    corners: NDArray[np.intp]
    stretch: NDArray[np.float64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """(windows,), the part of the area of all that is in each."""
        return np.asarray(self.stretch / self.stretch.sum())

    def of(self, field: Floats) -> NDArray[np.float64]:
        """Cut the windows out of a field (y, x): (windows, y, x)."""
        rows, columns = (
            corners[:, None] + np.arange(size)
            for corners, size in zip(self.corners.T, self.size, strict=True)
        )
        return np.asarray(field[rows[:, :, None], columns[:, None, :] % field.shape[1]].astype(np.float64))


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrum:
    """Power by wavelength.

    Attributes:
        wavelength: (bins,), falling.
        power: (bins,), squared units of the field in each; their sum is the variance of the tapered windows.
    """

    wavelength: NDArray[np.float64]
    power: NDArray[np.float64]


def windows(
    valid: NDArray[np.bool_],
    factor: tuple[int, int],
    *,
    latitudes: Floats | None = None,
    is_periodic: bool = False,
    size: tuple[int, int] | None = None,
) -> Windows | None:
    """Lay windows over all places where every fine cell has a value, each half over the next.

    Their sides are 16 coarse cells; 12, or 8, where there are fewer than four of those. Land is in none of
    them, so nothing is filled. None where even of the smallest there is not one.

    Args:
        valid: (y, x), cells that have a value.
        factor: fine cells per coarse cell.
        latitudes: of the rows, in degrees, where the grid has any: then none reaches beyond 60 degrees.
        is_periodic: whether the last column is a neighbour of the first.
        size: of a window in fine cells, where it must be that of other windows.

    >>> windows(np.ones((32, 64), dtype=bool), (2, 2)).corners.tolist()
    [[0, 0], [0, 12], [0, 24], [0, 36]]
    """
    found: Windows | None = None
    sizes = [(side * factor[0], side * factor[1]) for side in SIDES] if size is None else [size]
    for each in sizes:
        laid = _laid(valid, each, latitudes, is_periodic=is_periodic)
        if laid is not None and (found is None or len(laid.corners) > len(found.corners)):
            found = laid
        if found is not None and len(found.corners) >= ENOUGH:
            break
    return found


def _laid(
    valid: NDArray[np.bool_], size: tuple[int, int], latitudes: Floats | None, *, is_periodic: bool
) -> Windows | None:
    ny, nx = valid.shape
    if size[0] > ny or size[1] > nx:
        return None
    last = nx - 1 if is_periodic else nx - size[1]
    corners, stretch = [], []
    for row in range(0, ny - size[0] + 1, size[0] // 2):
        band = slice(row, row + size[0])
        middle = 0.0
        if latitudes is not None:
            if np.abs(latitudes[band]).max() > MOST_POLEWARD:
                continue
            middle = float(np.mean(latitudes[band]))
        columns = np.asarray(valid[band].all(axis=0))
        for column in range(0, last + 1, size[1] // 2):
            if columns[(column + np.arange(size[1])) % nx].all():
                corners.append((row, column))
                stretch.append(np.cos(np.deg2rad(middle)))
    if not corners:
        return None
    return Windows(size=size, corners=np.array(corners), stretch=np.array(stretch))


def power(cut: Floats) -> NDArray[np.float64]:
    """Power of each wave of windows, after a plane is taken off each and a Hann taper laid on.

    Parseval: the sum over the waves of a window is the mean over it of (taper * value)^2, with the
    taper scaled to a mean square of 1. Waves are in the order of `numpy.fft.fft2`.

    Args:
        cut: (..., y, x).

    >>> power(np.add.outer(np.arange(4.0), np.arange(6.0))).max().round(28)
    np.float64(0.0)
    """
    tapered = _tapered(cut)
    return np.asarray(np.abs(np.fft.fft2(tapered)) ** 2 / (cut.shape[-1] * cut.shape[-2]) ** 2)


def _tapered(cut: Floats) -> NDArray[np.float64]:
    """Take off the plane of least squares, whose two slopes are independent, and taper the edges."""
    both = (-2, -1)
    rest = cut - cut.mean(axis=both, keepdims=True)
    taper = np.ones((1, 1))
    for axis in both:
        size = cut.shape[axis]
        shape = (size, 1) if axis == both[0] else (size,)
        ramp = (np.arange(size) - (size - 1) / 2).reshape(shape)
        slope = (rest * ramp).mean(axis=both, keepdims=True) / (ramp**2).mean()
        rest = rest - slope * ramp
        taper = taper * np.sin(np.pi * (np.arange(size) + 0.5) / size).reshape(shape) ** 2
    return np.asarray(rest * taper / np.sqrt((taper**2).mean()))


def zonal(waves: Floats, places: Windows, *, spacing: float = 1.0) -> Spectrum:
    """Power along x by wavelength, summed over the waves along y, mean over windows by area.

    Args:
        waves: (windows, y, x), the power of each wave.
        places: the windows.
        spacing: of the fine cells along x, in the unit of the wavelengths.

    >>> places = Windows(size=(4, 8), corners=np.zeros((1, 2), dtype=int), stretch=np.ones(1))
    >>> zonal(np.ones((1, 4, 8)), places).wavelength.tolist()
    [8.0, 4.0, 2.6666666666666665, 2.0]
    """
    nx = places.size[1]
    along = places.shares @ waves.sum(axis=1)
    half = along[: nx // 2 + 1].copy()
    # each wave and the one that runs the other way
    half[1 : (nx + 1) // 2] += along[: nx // 2 : -1]
    return Spectrum(wavelength=nx * spacing / np.arange(1, nx // 2 + 1), power=half[1:])


def radial(waves: Floats, places: Windows, *, spacing: tuple[float, float] = (1.0, 1.0)) -> Spectrum:
    """Power by wavelength whatever the direction, mean over windows by area.

    Wavelengths are along the Earth: along x a window's cells are as wide as its latitude makes them. A bin
    is as wide as one wave of the height of a window; waves shorter than two fine cells along y are left out.

    Args:
        waves: (windows, y, x), the power of each wave.
        places: the windows.
        spacing: of the fine cells along y and x, in the unit of the wavelengths; along x before the latitude.

    >>> places = Windows(size=(4, 8), corners=np.zeros((1, 2), dtype=int), stretch=np.ones(1))
    >>> radial(np.ones((1, 4, 8)), places, spacing=(0.25, 0.25)).wavelength.tolist()
    [1.0, 0.5]
    """
    ny, nx = places.size
    height, bins = ny * spacing[0], ny // 2
    total = np.zeros(bins + 1)
    along_y = np.fft.fftfreq(ny, spacing[0])[:, None]
    for window, share, stretch in zip(waves, places.shares, places.stretch, strict=True):
        along_x = np.fft.fftfreq(nx, spacing[1] * stretch)[None, :]
        band = np.rint(np.hypot(along_y, along_x) * height).astype(int)
        inside = band <= bins
        total += share * np.bincount(band[inside], weights=window[inside], minlength=bins + 1)
    return Spectrum(wavelength=height / np.arange(1, bins + 1), power=total[1:])


def resolved(wavelength: Floats, truth: Floats, error: Floats) -> float | None:
    """The shortest wavelength down to which the error has less than half of the true power everywhere.

    Args:
        wavelength: falling.
        truth: power of the true field.
        error: power of the difference from it.

    Returns:
        None where already the longest is not resolved.

    >>> resolved(np.array([8.0, 4.0, 2.0]), np.ones(3), np.array([0.1, 0.4, 0.6]))
    4.0
    """
    good = np.concatenate([error < RESOLVED * truth, [False]])
    first = int(np.argmin(good))
    return float(wavelength[first - 1]) if first else None
