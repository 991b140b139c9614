"""Turn a callable's answers to single cells into its kernel and into what follows from a kernel alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.errors import ShapeError

__all__ = [
    "Impulses",
    "measured_block_mean_error",
    "measured_centroid",
    "measured_coverage",
    "measured_image_gain",
    "measured_impulses",
    "measured_mass",
    "measured_phase_variance",
    "measured_response",
]

Fn = Callable[[Tensor], Tensor]

# Cells per axis: room for kernels that reach 7 cells, 4 in three axes.
CELLS = {1: 15, 2: 15, 3: 9}


@dataclass(frozen=True, kw_only=True, eq=False)
class Impulses:
    """What a one in the middle cell of one channel makes of a map of zeros, beyond what zeros make.

    Attributes:
        value: in output units per input unit, shape (out, in, *samples), all samples of the output.
        first: number of the first sample, per axis, counted from the first sample of the middle cell.
        scale: output samples per cell, per axis.
    """

    value: Float[Tensor, "out in *samples"]
    first: tuple[int, ...]
    scale: tuple[int, ...]


def measured_impulses(
    fn: Fn,
    scale: Sequence[int],
    *,
    channels: int = 1,
    cells: int | tuple[int, ...] | None = None,
    dtype: torch.dtype = torch.float64,
) -> Impulses:
    """Feed a one in the middle cell, channel by channel, and take away the answer to zeros.

    Args:
        fn: from (batch, channels, *space) to (batch, out, *space).
        scale: output samples per cell, per axis.
        channels: that the callable takes.
        cells: per axis; enough of them that the answer does not touch the border.
        dtype: of the map, which a module with float32 weights wants to be float32.

    >>> measured_impulses(lambda x: x.repeat_interleave(2, -1), (2,), cells=3).value.flatten().tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    """
    scale = tuple(scale)
    size = whole_per_axis(CELLS[len(scale)] if cells is None else cells, len(scale), name="cells", least=1)
    middle = tuple(n // 2 for n in size)
    x = torch.zeros(channels + 1, channels, *size, dtype=dtype)
    # the last map of the batch stays zero
    for channel in range(channels):
        x[(channel, channel, *middle)] = 1
    with torch.no_grad():
        y = fn(x).double()
    if y.ndim != x.ndim or y.shape[0] != channels + 1:
        msg = f"a callable must turn maps of shape {tuple(x.shape)} into as many maps; got {tuple(y.shape)}"
        raise ShapeError(msg)
    return Impulses(
        value=(y[:-1] - y[-1:]).transpose(0, 1),
        first=tuple(-s * m for s, m in zip(scale, middle, strict=True)),
        scale=scale,
    )


def measured_coverage(impulses: Impulses) -> Int[Tensor, "*scale"]:
    """Samples of each phase that one cell reaches, shape (*scale): taps whose weight is not zero.

    >>> from upstroke.polyphase import Affine, triangle
    >>> measured_coverage(measured_impulses(Affine(operator=triangle(2, ndim=1)), (2,))).tolist()
    [1, 2]
    """
    return _per_phase(impulses.value.ne(0).any(dim=0).any(dim=0).long()[None, None], impulses)[0, 0]


def measured_mass(impulses: Impulses) -> Float[Tensor, "out in"]:
    """Total of the answer to a one, per channel pair.

    >>> from upstroke.polyphase import Affine, nearest
    >>> measured_mass(measured_impulses(Affine(operator=nearest((2, 3))), (2, 3))).item()
    6.0
    """
    return impulses.value.flatten(2).sum(dim=-1)


def measured_phase_variance(impulses: Impulses) -> Float[Tensor, "*scale_out"]:
    """Sum of squares of the answer in each phase: variance of a sample for white input of variance 1.

    >>> from upstroke.polyphase import Affine, triangle
    >>> found = measured_impulses(Affine(operator=triangle(2, ndim=1)), (2,))
    >>> measured_phase_variance(found).flatten().tolist()
    [1.0, 0.5]
    """
    return _per_phase(impulses.value.square(), impulses).sum(dim=1).movedim(0, -1)


def measured_response(
    impulses: Impulses, frequencies: Sequence[Float[Tensor, "_points"]]
) -> Complex[Tensor, "out in *points"]:
    """Transform the answer directly, sample by sample, on the grid spanned by these frequencies.

    In radians per output sample; sample 0 is the first one of the cell that holds the one.

    >>> from upstroke.polyphase import Affine, nearest
    >>> found = measured_impulses(Affine(operator=nearest(2, ndim=1)), (2,))
    >>> measured_response(found, [torch.zeros(1)]).item()
    (2+0j)
    """
    phase = torch.zeros((1,) * (2 * len(frequencies)), dtype=torch.float64)
    ndim = len(frequencies)
    for axis, (w, first) in enumerate(zip(frequencies, impulses.first, strict=True)):
        sample = first + torch.arange(impulses.value.shape[2 + axis], dtype=torch.float64)
        shape = [1] * (2 * ndim)
        shape[axis], shape[ndim + axis] = len(sample), len(w)
        phase = phase + torch.outer(sample, w.double()).reshape(shape)
    waves = torch.polar(torch.ones_like(phase), -phase)
    value: Tensor = torch.tensordot(impulses.value.to(waves.dtype), waves, dims=ndim)
    return value


def measured_image_gain(impulses: Impulses) -> Complex[Tensor, "*scale_out_in"]:
    """Transform the answer at the image frequencies 2 pi j / scale, shape (*scale, out, in).

    >>> from upstroke.polyphase import Affine, triangle
    >>> measured_image_gain(measured_impulses(Affine(operator=triangle(2, ndim=1)), (2,))).abs().flatten()
    tensor([2., 0.], dtype=torch.float64)
    """
    images = [2 * math.pi * torch.arange(s, dtype=torch.float64) / s for s in impulses.scale]
    gain: Tensor = measured_response(impulses, images).movedim((0, 1), (-2, -1))
    return gain


def measured_block_mean_error(impulses: Impulses) -> Float[Tensor, ""]:
    """Largest difference between the block means of the answer and the one that was fed.

    >>> from upstroke.polyphase import Affine, linear
    >>> measured_block_mean_error(measured_impulses(Affine(operator=linear(2, ndim=1)), (2,))).item()
    0.25
    """
    means = impulses.value
    for axis, s in enumerate(impulses.scale):
        means = torch.unflatten(means, 2 + axis, (-1, s)).mean(dim=3 + axis)
    wanted = torch.zeros_like(means)
    cell = [-first // s for first, s in zip(impulses.first, impulses.scale, strict=True)]
    for channel in range(means.shape[0]):
        wanted[(channel, channel, *cell)] = 1
    return (means - wanted).abs().max()


def measured_centroid(impulses: Impulses) -> Float[Tensor, "out in axes"]:
    """Offset of the grid on which the answer's centre of gravity sits on the cell, in input pixels.

    >>> from upstroke.polyphase import Affine, nearest
    >>> measured_centroid(measured_impulses(Affine(operator=nearest(2, ndim=1)), (2,))).item()
    -0.25
    """
    total = measured_mass(impulses)
    offsets = []
    for axis, (first, s) in enumerate(zip(impulses.first, impulses.scale, strict=True)):
        line = impulses.value.movedim(2 + axis, -1).reshape(*total.shape, -1, impulses.value.shape[2 + axis])
        sample = first + torch.arange(line.shape[-1], dtype=torch.float64)
        offsets.append(-(line * sample).sum(dim=(-2, -1)) / (total * s))
    return torch.stack(offsets, dim=-1)


def _per_phase(value: Tensor, impulses: Impulses) -> Tensor:
    """Sum over the samples of each phase, to shape (out, in, *scale)."""
    for axis, s in enumerate(impulses.scale):
        # the first sample of a map is phase 0 of its cell
        phase = torch.arange(value.shape[2 + axis]) % s
        sums = value.new_zeros(*value.shape[: 2 + axis], s, *value.shape[3 + axis :])
        value = sums.index_add(2 + axis, phase, value)
    return value
