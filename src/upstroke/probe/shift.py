"""Turn a callable's answers to a field and to the moved field into the error of following the move."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.diagnose import Equivariance, Spectrum, field_frequencies, spectral_density
from upstroke.errors import OptionError, ShapeError
from upstroke.probe.periodic import on_period

__all__ = ["measured_equivariance"]

Fn = Callable[[Tensor], Tensor]

CELLS = {1: 63, 2: 31, 3: 9}


def measured_equivariance(
    fn: Fn,
    scale: Sequence[int],
    shift: float | int | Sequence[float | int],
    *,
    channels: int = 1,
    spectrum: Spectrum = "1/f2",
    cells: int | tuple[int, ...] | None = None,
    reach: int | tuple[int, ...] = 8,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Equivariance:
    """Compare fn(shift(x)) with shift(fn(x)) for a random periodic field without mean, by Fourier shifts.

    The field has the spectrum's power at each frequency exactly and random phases; as many maps are fed as
    there are channels, with weights in the channels that form an orthogonal matrix, so that for a linear
    callable the sum over maps is the sum over channel pairs, without any scatter. Frequencies of the output
    are booked under the input's that they are images of; at frequency 0 nothing is fed, so nan stands there.

    Args:
        fn: from (batch, channels, *space) to (batch, out, *space).
        scale: output samples per cell, per axis.
        shift: in input pixels, one number or one per axis.
        channels: that the callable takes.
        spectrum: as in `diagnose.equivariance_error`.
        cells: of one period of the field, per axis; odd, because no real field can move by a part of a pixel
            at the frequency pi.
        reach: cells by which the field is continued, as in `on_period`.
        seed: of the field.
        dtype: of the map, which a module with float32 weights wants to be float32.

    >>> measured_equivariance(lambda x: x.repeat_interleave(2, -1), (2,), 1.0).error < 1e-12
    tensor(True)
    """
    ndim = len(scale)
    shifts = (shift,) * ndim if isinstance(shift, int | float) else tuple(shift)
    if len(shifts) != ndim:
        msg = f"shift must be one number or {ndim} numbers, one per axis; got {shifts}"
        raise ShapeError(msg)
    size = whole_per_axis(CELLS[ndim] if cells is None else cells, ndim, name="cells", least=3)
    if any(n % 2 == 0 for n in size):
        msg = f"cells must be odd on every axis, or the field has a part that cannot move; got {size}"
        raise OptionError(msg)
    axes = tuple(range(2, 2 + ndim))
    frequencies = field_frequencies(size)
    field, weights = _field(size, spectrum, frequencies, channels=channels, seed=seed)
    both = torch.cat([field, field * _wave(size, shifts)])
    # one map per row of weights: first the field, then the moved field
    maps = torch.fft.ifftn(both, dim=tuple(range(1, 1 + ndim))).real
    x = (maps[:, None, None] * weights.reshape(1, channels, channels, *(1,) * ndim)).flatten(0, 1)
    y = torch.fft.fftn(on_period(fn, x.to(dtype), scale, reach=reach).double(), dim=axes)
    still, moved = y[:channels], y[channels:]
    grown = tuple(s * n for s, n in zip(scale, size, strict=True))
    follows = still * _wave(grown, [s * tau for s, tau in zip(scale, shifts, strict=True)])
    missed, total = (_by_input_frequency(part, size) for part in (moved - follows, still))
    nonzero = spectral_density("white", frequencies)
    return Equivariance(
        error=((missed * nonzero).sum() / (total * nonzero).sum()).sqrt(),
        frequency=frequencies,
        by_frequency=torch.where(nonzero * total > 0, missed / total, torch.nan).sqrt(),
    )


def _field(
    size: tuple[int, ...], spectrum: Spectrum, frequencies: Sequence[Tensor], *, channels: int, seed: int
) -> tuple[Tensor, Tensor]:
    """The transform of a real field with this spectrum, shape (1, *size), and an orthogonal matrix."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.fft.fftn(torch.randn(size, generator=generator, dtype=torch.float64))
    amplitude = spectral_density(spectrum, frequencies).sqrt()
    amplitude = torch.fft.ifftshift(amplitude)
    random = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    return (noise / noise.abs() * amplitude)[None], torch.linalg.qr(random).Q


def _wave(size: Sequence[int], shifts: Sequence[float]) -> Tensor:
    """What a shift multiplies a transform of this size by; the frequency pi is counted as positive."""
    angle = torch.zeros((), dtype=torch.float64)
    for n, w, tau in zip(size, field_frequencies(size), shifts, strict=True):
        # ascending from -(n - 1) // 2; the transform wants 0 first
        angle = angle[..., None] + w.roll(-((n - 1) // 2)) * tau
    return torch.polar(torch.ones_like(angle), -angle)


def _by_input_frequency(transform: Tensor, size: tuple[int, ...]) -> Tensor:
    """Power summed over maps, channels and images, by the input's frequency, ascending from -pi."""
    power = transform.abs().square().sum(dim=(0, 1))
    for axis, n in enumerate(size):
        # output bin k is an image of input bin k modulo n
        power = torch.unflatten(power, axis, (-1, n)).sum(dim=axis)
    centred: Tensor = torch.fft.fftshift(power)
    return centred
