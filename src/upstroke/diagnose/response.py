"""Turn an operator into the Fourier transform of its kernel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.errors import ShapeError
from upstroke.polyphase import Polyphase, kernel_form

__all__ = ["Response", "frequency_response", "kernel_transform", "response_power"]

# Frequencies per axis and unit of scale: enough for a smooth plot in 1 and 2 axes, affordable in 3.
POINTS = {1: 128, 2: 32, 3: 8}
# Values over all channel pairs that default points may make, 64 MB.
MOST_VALUES = 4_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """The frequency response on a regular grid of frequencies.

    Attributes:
        frequencies: per axis, in radians per output sample, in (-pi, pi], ascending.
        value: H in output units per input unit, shape (out, in_group, *points); the mass at frequency 0.
    """

    frequencies: tuple[Float[Tensor, "_points"], ...]
    value: Complex[Tensor, "out in_group *points"]


def frequency_response(operator: Polyphase, *, points: int | tuple[int, ...] | None = None) -> Response:
    """H(w) = sum over n of h[n] * exp(-i w n) at this many frequencies per axis, spread over (-pi, pi].

    The image frequencies 2 pi j / scale are among them where the scale divides the number of points, as it
    does by default: 128, 32 or 8 points per unit of scale in 1, 2 or 3 axes, or as many fewer, down to 1, as
    keep channel pairs * points within 4 million. An operator made by `compose` gives the response of a chain.
    Derivation: docs/idea.md#frequency-response.

    >>> from upstroke.polyphase import nearest
    >>> frequency_response(nearest(2, ndim=1), points=3).value.abs().flatten()
    tensor([1.0000, 2.0000, 1.0000], dtype=torch.float64)
    """
    if points is None:
        most = MOST_VALUES // (operator.phases * math.prod(operator.taps.shape[1:3]))
        density = next((n for n in range(POINTS[operator.ndim], 1, -1) if n**operator.ndim <= most), 1)
        points = tuple(density * s for s in operator.scale)
    counts = whole_per_axis(points, operator.ndim, name="points", least=1)
    frequencies = tuple(
        2 * math.pi * (torch.arange(count, dtype=torch.float64) - (count - 1) // 2) / count
        for count in counts
    )
    return Response(frequencies=frequencies, value=kernel_transform(operator, frequencies))


def kernel_transform(
    operator: Polyphase, frequencies: Sequence[Float[Tensor, "_points"]]
) -> Complex[Tensor, "out in_group *points"]:
    """H on the grid spanned by these frequencies, one list per axis, in radians per output sample.

    Sample 0 is the first sample of the cell that the impulse stands in.

    >>> import torch
    >>> from upstroke.polyphase import triangle
    >>> kernel_transform(triangle(2, ndim=1), [torch.tensor([0.0, torch.pi / 2]).double()])[0, 0].real
    tensor([2.0000, 1.0000], dtype=torch.float64)
    """
    form = kernel_form(operator)
    return _transform(form.kernel.double(), form.crop, frequencies)


def response_power(
    operator: Polyphase, frequencies: Sequence[Float[Tensor, "_points"]]
) -> Float[Tensor, "*points"]:
    """Sum over channel pairs of |H|^2 on the grid spanned by these frequencies, one list per axis.

    >>> import torch
    >>> from upstroke.polyphase import nearest
    >>> response_power(nearest(2, ndim=1), [torch.tensor([0.0, torch.pi / 2])])
    tensor([4.0000, 2.0000], dtype=torch.float64)
    """
    form = kernel_form(operator)
    pairs = form.kernel.double().flatten(0, 1).flatten(1)
    # |H|^2 summed over pairs is the squared length of pairs @ wave, which a QR factor's R keeps
    if pairs.shape[0] > pairs.shape[1]:
        pairs = torch.linalg.qr(pairs, mode="r").R
    kernel = pairs.reshape(pairs.shape[0], 1, *form.kernel.shape[2:])
    return _transform(kernel, form.crop, frequencies).abs().square().sum(dim=(0, 1))


def _transform(kernel: Tensor, crop: Sequence[int], frequencies: Sequence[Tensor]) -> Tensor:
    """Sum the kernel against waves, one axis after the other."""
    if len(frequencies) != len(crop):
        msg = f"frequencies must be one list per axis, {len(crop)} of them; got {len(frequencies)}"
        raise ShapeError(msg)
    value = kernel.to(torch.complex128)
    for first, along in zip(crop, frequencies, strict=True):
        sample = torch.arange(value.shape[2], device=kernel.device, dtype=torch.float64) - first
        angle = torch.outer(sample, along.to(sample))
        # takes the first kernel axis that is left and puts its frequencies last
        value = torch.tensordot(value, torch.polar(torch.ones_like(angle), -angle), dims=([2], [0]))
    return value
