"""Turn an operator into the error with which its output follows an input that moves by part of a pixel."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.diagnose.response import response_power
from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase import Polyphase

__all__ = ["Equivariance", "Spectrum", "equivariance_error", "field_frequencies", "spectral_density"]

Spectrum = Literal["white", "1/f2"] | Callable[[Tensor], Tensor]

# Pixels per axis of the field: odd, so that no frequency is its own negative but 0.
POINTS = {1: 63, 2: 63, 3: 15}


@dataclass(frozen=True, kw_only=True, eq=False)
class Equivariance:
    """How far shift and upsampling are from changing places.

    Attributes:
        error: root mean square of upsample(shift(x)) - shift(upsample(x)) over that of upsample(x) for the
            given spectrum, dimensionless, ideal 0, at most 2.
        frequency: of the input, per axis, in radians per input pixel, in (-pi, pi], ascending.
        by_frequency: the same error for an input of one frequency only, shape (*points); nan where such an
            input leaves no output. At frequency 0 it is that of a constant's pattern, no part of `error`.
    """

    error: Float[Tensor, ""]
    frequency: tuple[Float[Tensor, "_points"], ...]
    by_frequency: Float[Tensor, "*points"]


def equivariance_error(
    operator: Polyphase,
    shift: float | int | Sequence[float | int],
    *,
    spectrum: Spectrum = "1/f2",
    points: int | tuple[int, ...] | None = None,
) -> Equivariance:
    """Error of following a shift by tau input pixels, for a field of this spectrum in the interior.

    With w_j = (w + 2 pi j) / scale in (-pi, pi], norms over channel pairs, and the input's power spectrum Sx:
    error^2 = sum over j, w of 4 sin^2(pi j . tau) |H(w_j)|^2 Sx(w) / sum over j, w of |H(w_j)|^2 Sx(w).
    The frequencies are those of a periodic field with this many pixels per axis and without its mean, which
    no shift moves. 0 for whole shifts. Derivation: docs/idea.md#equivariance.

    Args:
        operator: the upsampler.
        shift: tau in input pixels, one number or one per axis.
        spectrum: "white", "1/f2" (power falls with the square of the frequency, as in natural pictures), or a
            function from |w| in radians per input pixel to power.
        points: pixels per axis of the field, by default 63 (15 in three axes). The larger the field, the
            lower its lowest frequency, the smaller the error for "1/f2".

    >>> from upstroke.polyphase import nearest
    >>> round(equivariance_error(nearest(2), (0.5, 0)).error.item(), 3)
    0.425
    """
    ndim = operator.ndim
    shifts = (shift,) * ndim if isinstance(shift, int | float) else tuple(shift)
    if len(shifts) != ndim:
        msg = f"shift must be one number or {ndim} numbers, one per axis; got {shifts}"
        raise ShapeError(msg)
    counts = whole_per_axis(POINTS[ndim] if points is None else points, ndim, name="points", least=3)
    frequencies = field_frequencies(counts)
    total = torch.zeros(counts, dtype=torch.float64)
    missed = torch.zeros(counts, dtype=torch.float64)
    for image in product(*(range(s) for s in operator.scale)):
        turns = torch.zeros((), dtype=torch.float64)
        moved = []
        for w, a, s, tau in zip(frequencies, image, operator.scale, shifts, strict=True):
            # the replica nearest to 0 that is a modulo s: its j depends on the sign of w
            j = a - s * torch.ceil((w / (2 * math.pi) + a) / s - 0.5)
            moved.append((w + 2 * math.pi * j) / s)
            turns = turns[..., None] + j * tau
        power = response_power(operator, moved)
        total = total + power
        missed = missed + 4 * torch.sin(math.pi * turns).square() * power
    density = spectral_density(spectrum, frequencies)
    return Equivariance(
        error=((missed * density).sum() / (total * density).sum()).sqrt(),
        frequency=frequencies,
        by_frequency=(missed / total).sqrt(),
    )


def field_frequencies(size: Sequence[int]) -> tuple[Float[Tensor, "_points"], ...]:
    """Frequencies of a periodic field of this size, per axis, in radians per pixel, in (-pi, pi], ascending.

    >>> field_frequencies([4])[0] / math.pi
    tensor([-0.5000,  0.0000,  0.5000,  1.0000], dtype=torch.float64)
    """
    return tuple(
        2 * math.pi * (torch.arange(count, dtype=torch.float64) - (count - 1) // 2) / count for count in size
    )


def spectral_density(
    spectrum: Spectrum, frequencies: Sequence[Float[Tensor, "_points"]]
) -> Float[Tensor, "*points"]:
    """Power of the input on the grid spanned by these frequencies, 0 at frequency 0.

    >>> spectral_density("1/f2", [torch.tensor([-2.0, 0.0, 1.0])])
    tensor([0.2500, 0.0000, 1.0000])
    """
    squared = torch.zeros(())
    for w in frequencies:
        squared = squared[..., None] + w.square()
    nonzero = squared > 0
    if callable(spectrum):
        density = spectrum(squared.sqrt())
    elif spectrum == "white":
        density = torch.ones_like(squared)
    elif spectrum == "1/f2":
        density = 1 / torch.where(nonzero, squared, torch.ones_like(squared))
    else:
        msg = f"spectrum must be 'white', '1/f2' or a function of the frequency; got {spectrum!r}"
        raise OptionError(msg)
    return torch.where(nonzero, density, torch.zeros_like(squared))
