"""Turn what was read of a site into the numbers that its pictures are drawn from."""

import math
from typing import Any

import torch
from torch import Tensor

from upstroke.audit.reading import Pattern, Reading
from upstroke.errors import NotRepresentableError, OptionError, ShapeError
from upstroke.graph.steps import Convolution, Pool
from upstroke.polyphase import KernelForm, kernel_form

__all__ = ["coverage_of_reduction", "pictures_of"]

Plain = Any
# Frequencies from 0 to half a cycle per output sample, both included.
POINTS = 65
# Below this, relative to the loudest, a level in dB says nothing that a drawing could show.
FLOOR = -120.0
# Taps along an axis, and phases of a first of three axes, beyond which a filter is no picture.
LONGEST, MOST_TAPS = 16, 512


def pictures_of(reading: Reading) -> dict[str, Plain]:
    """The frequency response of a site's layer and its most uneven filter; None where there is none to show.

    The response is the norm over channel pairs along each axis, the others at frequency 0, in dB relative to
    the loudest; frequencies in cycles per output sample.
    """
    nothing: dict[str, Plain] = {"response": None, "worst_filter": None}
    if reading.reason or reading.is_one_cell:
        return nothing
    try:
        operator = reading.site.affine().operator
    except (NotRepresentableError, OptionError, ShapeError):
        return nothing
    form = kernel_form(operator)
    filter_ = None if reading.pattern is None else _filter(form, reading.pattern)
    return {"response": _response(form.kernel.detach()), "worst_filter": filter_}


def coverage_of_reduction(step: Convolution | Pool) -> Plain:
    """Windows of a strided layer that read each phase of its input, nested by axis: what its gradient sees.

    >>> coverage_of_reduction(Pool(kernel=(3, 2), stride=(2, 2), padding=((1, 1), (0, 0)), kind="max"))
    [[2, 2], [1, 1]]
    """
    if isinstance(step, Pool):
        lengths, dilations = step.kernel, (1,) * len(step.kernel)
    else:
        lengths, dilations = tuple(step.weight.shape[2:]), step.dilation
    counts = torch.ones(())
    for length, stride, dilation in zip(lengths, step.stride, dilations, strict=True):
        along = torch.bincount(torch.arange(length) * dilation % stride, minlength=stride)
        counts = counts[..., None] * along
    return counts.long().tolist()


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


def _rounded(values: Plain) -> Plain:
    return [_rounded(each) for each in values] if isinstance(values, list) else float(f"{values:.4g}")
