"""Turn what was read of a model into the numbers that pictures of it are drawn from."""

import math
from typing import Any

import torch
from torch import Tensor

from upstroke.audit.cheaper import savings
from upstroke.audit.reading import Pattern, Reading
from upstroke.errors import NotRepresentableError, OptionError, ShapeError
from upstroke.graph.places import Lost, Place
from upstroke.polyphase import KernelForm, kernel_form

__all__ = ["pictures_of", "placed"]

Plain = Any
# Frequencies from 0 to half a cycle per output sample, both included.
POINTS = 65
# Below this, relative to the loudest, a level in dB says nothing that a drawing could show.
FLOOR = -120.0
# Taps along an axis, and phases of a first of three axes, beyond which a filter is no picture.
LONGEST, MOST_TAPS = 16, 512


def pictures_of(reading: Reading) -> dict[str, Plain]:
    """Response and most uneven filter of a site's layer, its border and what it could cost; None for nothing.

    The response is the norm over channel pairs along each axis, the others at frequency 0, in dB relative to
    the loudest; frequencies in cycles per output sample.
    """
    nothing: dict[str, Plain] = {
        "response": None,
        "worst_filter": None,
        "border": None if reading.border is None else _finite(reading.border.tolist()),
        "cheaper": {
            code: {"now": saving.before, "then": saving.after} for code, saving in savings(reading).items()
        },
    }
    if reading.reason or reading.is_one_cell:
        return nothing
    try:
        operator = reading.site.affine().operator
    except (NotRepresentableError, OptionError, ShapeError):
        return nothing
    form = kernel_form(operator)
    filter_ = None if reading.pattern is None else _filter(form, reading.pattern)
    return {**nothing, "response": _response(form.kernel.detach()), "worst_filter": filter_}


def placed(place: Place | Lost | None) -> dict[str, Plain] | None:
    """Where samples of a map sit, on average and at most to either side, or why nobody can say."""
    if place is None:
        return None
    if isinstance(place, Lost):
        return {"grid": None, "first": None, "last": None, "lost": place.reason}
    grids = {"grid": place.grid, "first": place.first, "last": place.last}
    return {**{name: grid.as_json() for name, grid in grids.items()}, "lost": None}


def _response(kernel: Tensor) -> Plain:
    """Levels along each axis; None where no frequency comes through."""
    turns = torch.linspace(0, 0.5, POINTS, dtype=torch.float64)
    axes = [_level(_along(kernel, axis), turns) for axis in range(kernel.dim() - 2)]
    top = max(float(level.max()) for level in axes)
    if not top > 0 or not math.isfinite(top):
        return None
    return {
        "frequency": [round(float(each), 6) for each in turns],
        "db": [[_decibel(float(each) / top) for each in level] for level in axes],
    }


def _along(kernel: Tensor, axis: int) -> Tensor:
    """The kernel of every channel pair along one axis, the others at frequency 0, (pairs, taps)."""
    others = [each for each in range(2, kernel.dim()) if each != axis + 2]
    summed = kernel.double().sum(dim=others) if others else kernel.double()
    return summed.flatten(0, 1)


def _level(pairs: Tensor, turns: Tensor) -> Tensor:
    """Norm over pairs of the response: the wave's length in the metric that the pairs make."""
    metric = (pairs.T @ pairs).to(torch.complex128)
    angle = -2 * math.pi * torch.outer(turns, torch.arange(pairs.shape[1], dtype=torch.float64))
    wave = torch.polar(torch.ones_like(angle), angle)
    return (wave.conj() * (wave @ metric.T)).sum(dim=1).real.clamp(min=0).sqrt()


def _decibel(ratio: float) -> float:
    return round(max(FLOOR, 20 * math.log10(ratio)), 2) if ratio > 0 else FLOOR


def _filter(form: KernelForm, pattern: Pattern) -> Plain:
    """The kernel of the channel pair whose phases differ most, if it is small enough to look at."""
    kernel = form.kernel.detach()
    pair = kernel[pattern.out % kernel.shape[0], pattern.into % kernel.shape[1]].double()
    # phases have equally many places for taps, and not all of them need be taken
    for axis in range(pair.dim()):
        taken = form.support.nonzero()[:, axis]
        first, last = int(taken.min()), int(taken.max())
        pair = pair.narrow(axis, first, last - first + 1)
    if max(pair.shape) > LONGEST or pair.numel() > MOST_TAPS or not bool(torch.isfinite(pair).all()):
        return None
    return {"taps": _rounded(pair.tolist()), "out": pattern.out, "in": pattern.into}


def _finite(values: Plain) -> Plain:
    """Nested numbers, None where JSON has none."""
    if isinstance(values, list):
        return [_finite(each) for each in values]
    return values if math.isfinite(values) else None


def _rounded(values: Plain) -> Plain:
    return [_rounded(each) for each in values] if isinstance(values, list) else float(f"{values:.4g}")
