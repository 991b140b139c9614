"""Make the fixed interpolation kernels as operators: one kernel for every channel, built axis by axis."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from upstroke.axes import fractions_per_axis, whole_per_axis
from upstroke.errors import OptionError
from upstroke.polyphase._extent import extent
from upstroke.polyphase.operator import Border, Polyphase

__all__ = [
    "Centre",
    "Rounding",
    "box",
    "bspline",
    "cubic",
    "identity",
    "interpolation",
    "kaiser_sinc",
    "linear",
    "nearest",
    "pad",
    "triangle",
]

Centre = Literal["cell", "sample"]
Mode = Literal["nearest", "linear", "cubic"]
Rounding = Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]

# One axis of a fixed kernel: taps (scale, kernel), which of them exist, and the origin.
Axis = tuple[Tensor, Tensor, int]

_ROUND: dict[str, Callable[[Fraction], int]] = {
    "round_prefer_floor": lambda position: math.ceil(position - Fraction(1, 2)),
    "round_prefer_ceil": lambda position: math.floor(position + Fraction(1, 2)),
    "floor": math.floor,
    "ceil": math.ceil,
}


def nearest(
    scale: int | Sequence[int], *, ndim: int = 2, centre: Centre = "sample", rounding: Rounding = "floor"
) -> Polyphase:
    """Copy the nearest cell.

    y[n] = x[round(position of n)], where the position is (n + 1/2) / scale - 1/2 (centre "cell", which
    frameworks call half_pixel) or n / scale (centre "sample", called asymmetric). The default is what
    PyTorch's "nearest" does; "nearest-exact" gives the same for whole scales. Other pairs are ONNX's.

    >>> nearest(2, ndim=1).taps.flatten().tolist()
    [1.0, 1.0]
    """
    if rounding not in _ROUND:
        msg = f"rounding must be one of {', '.join(_ROUND)}; got {rounding!r}"
        raise OptionError(msg)

    def one_axis(s: int) -> Axis:
        return _copied([_ROUND[rounding](position) for position in _positions(s, centre)])

    scales = _scales(scale, ndim)
    return _by_axis([one_axis(s) for s in scales], scales)


def linear(scale: int | Sequence[int], *, ndim: int = 2, centre: Centre = "cell") -> Polyphase:
    """Interpolate linearly along every axis (bilinear, trilinear).

    Centre "cell" is half-pixel interpolation, PyTorch's with align_corners=False: a triangle of length
    2s (even s) or 2s - 1 (odd s). Centre "sample" is ONNX's asymmetric one, taps (1 - p/s, p/s), in which
    output sample s * m sits on cell m. The edge is clamped.

    >>> linear(2, ndim=1).taps.squeeze().tolist()
    [[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]]
    """
    scales = _scales(scale, ndim)
    return _by_axis([_sampled(lambda t: 1 - abs(t), 1, s, centre) for s in scales], scales)


def cubic(
    scale: int | Sequence[int], *, ndim: int = 2, a: float = -0.75, centre: Centre = "cell"
) -> Polyphase:
    """Interpolate by Keys' cubic convolution along every axis (bicubic).

    a is the slope at distance 1: PyTorch and OpenCV use -0.75, which returns a ramp off by 0.04 px; -0.5,
    used by PyTorch with antialias=True (which renormalises at its border: not done here), returns ramps
    and parabolas exactly. Source: R. Keys, "Cubic convolution interpolation", 1981.

    >>> cubic(2, ndim=1, a=-0.5).taps[0].flatten().tolist()
    [-0.0234375, 0.2265625, 0.8671875, -0.0703125, 0.0]
    """
    scales = _scales(scale, ndim)
    return _by_axis([_sampled(partial(_keys, a=_slope(a)), 2, s, centre) for s in scales], scales)


def interpolation(
    scale: int | Sequence[int],
    *,
    offset: int | Fraction | Sequence[int | Fraction],
    mode: Mode | Sequence[Mode] = "linear",
    ndim: int = 2,
    a: float = -0.75,
) -> Polyphase:
    """Interpolate with the samples at any place, by one kernel or by one per axis; the edge is clamped.

    Output sample s * m + p looks at the position m + p / s + offset among the cells. So offset 0 is centre
    "sample" and (1 / s - 1) / 2 centre "cell". Nearest copies the cell that lies there; where that puts the
    middle of a cell's s samples on the cell, which is where s * offset + (s - 1) / 2 is whole, no tie is left
    to a rounding, and elsewhere it is refused.

    Args:
        scale: output samples per input cell.
        offset: where output sample 0 sits, in cells from cell 0.
        mode: the kernel, one for all axes or one for each.
        ndim: number of axes.
        a: slope of the cubic kernel, as in `cubic`.

    Raises:
        OptionError: nearest cannot sit there, or an argument has no meaning.
        ShapeError: there is not one number, or one name, per axis.

    >>> interpolation(2, offset=Fraction(1, 4), ndim=1).taps.squeeze().tolist()
    [[0.75, 0.25], [0.25, 0.75]]
    >>> interpolation((2, 3), offset=0, mode=("linear", "nearest")).taps.shape
    torch.Size([6, 1, 1, 2, 2])
    """
    scales = _scales(scale, ndim)
    offsets = fractions_per_axis(offset, ndim, name="offset")
    modes = (mode,) * ndim if isinstance(mode, str) else tuple(mode)
    if len(modes) != ndim or not set(modes) <= set(get_args(Mode)):
        msg = (
            f"mode must be one of {', '.join(get_args(Mode))}, or one of these for each of {ndim} axes; "
            f"got {mode!r}"
        )
        raise OptionError(msg)
    axes = [_interpolated(s, o, m, a=a) for s, o, m in zip(scales, offsets, modes, strict=True)]
    return _by_axis(axes, scales)


def bspline(
    scale: int | Sequence[int], *, ndim: int = 2, degree: int = 3, centre: Centre = "cell"
) -> Polyphase:
    """Smooth by the continuous B-spline of this degree, sampled on the output grid (degree 1: linear).

    Strang-Fix order degree + 1 at least. A degree above 1 smooths: it does not return the input at the
    input's own positions without a prefilter.

    >>> taps = bspline(2, ndim=1, degree=3, centre="sample").taps[0]
    >>> [round(6 * tap, 6) for tap in taps.flatten().tolist()]
    [1.0, 4.0, 1.0, 0.0]
    """
    if degree < 1:
        msg = f"degree must be at least 1 (degree 0 is nearest); got {degree}"
        raise OptionError(msg)

    scales = _scales(scale, ndim)
    return _by_axis(
        [_sampled(partial(_spline, degree=degree), Fraction(degree + 1, 2), s, centre) for s in scales],
        scales,
    )


def kaiser_sinc(
    scale: int | Sequence[int],
    *,
    ndim: int = 2,
    radius: int = 3,
    attenuation: float = 60.0,
    cutoff: float = 1.0,
    centre: Centre = "cell",
) -> Polyphase:
    """Interpolate by a sinc under a Kaiser window, each phase scaled to gain 1.

    Args:
        scale: output samples per input cell.
        ndim: number of axes.
        radius: reach in input cells on either side; the transition band narrows as 1 / radius.
        attenuation: of the stop band in dB, which sets Kaiser's beta.
        cutoff: middle of the transition as a fraction of the input's Nyquist frequency.
        centre: whether output samples sit half-pixel ("cell") or on the cells ("sample").

    Source: J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", 1974.

    >>> kaiser_sinc(2, ndim=1).taps.squeeze().sum(dim=1).tolist()
    [1.0, 1.0]
    """
    if radius < 1 or not 0 < cutoff <= 1 or not 0 < attenuation < math.inf:
        msg = (
            "radius must be at least 1, cutoff in (0, 1] and attenuation above 0 dB; "
            f"got radius={radius}, cutoff={cutoff}, attenuation={attenuation}"
        )
        raise OptionError(msg)
    beta = _kaiser_beta(attenuation)
    window_at_zero = float(np.i0(beta))

    def windowed(t: float) -> float:
        inside = beta * math.sqrt(max(0.0, 1 - (t / radius) ** 2))
        window = float(np.i0(inside)) / window_at_zero
        return window * (1.0 if t == 0 else math.sin(math.pi * cutoff * t) / (math.pi * cutoff * t))

    def one_axis(s: int) -> Axis:
        taps, support, origin = _sampled(windowed, radius, s, centre)
        return taps / taps.sum(dim=1, keepdim=True), support, origin

    scales = _scales(scale, ndim)
    return _by_axis([one_axis(s) for s in scales], scales)


def box(scale: int | Sequence[int], *, ndim: int = 2, length: int | Sequence[int] | None = None) -> Polyphase:
    """Draw every cell as a box of this length (default: the scale, which is nearest), height scale / length.

    Centred on the cell, so length - scale must be even. Outside the input stand zeros.

    >>> box(2, ndim=1, length=4).taps.squeeze().tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
    """
    scales = _scales(scale, ndim)
    lengths = scales if length is None else whole_per_axis(length, ndim, name="length", least=1)
    if any((n - s) % 2 for n, s in zip(lengths, scales, strict=True)):
        msg = (
            "length - scale must be even on every axis, or the box sits half a sample off the cell; "
            f"got length={lengths}, scale={scales}"
        )
        raise OptionError(msg)
    axes = [
        _sampled(_constant(s / n), Fraction(n, 2 * s), s, "cell")
        for s, n in zip(scales, lengths, strict=True)
    ]
    return _by_axis(axes, scales, border="zero")


def triangle(scale: int | Sequence[int], *, ndim: int = 2) -> Polyphase:
    """Draw every cell as a triangle of length 2 * scale - 1 that peaks on the cell's own first sample.

    For scale 2 it is 1/2 1 1/2, a transposed convolution k3 s2 p1 output_padding 1: its overlap is
    uneven, its gains are equal. Outside the input stand zeros.

    >>> triangle(2, ndim=1).taps.squeeze().tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """
    scales = _scales(scale, ndim)
    return _by_axis([_sampled(lambda t: 1 - abs(t), 1, s, "sample") for s in scales], scales, border="zero")


def identity(*, ndim: int = 2) -> Polyphase:
    """Return every channel as it came."""
    return nearest(1, ndim=ndim)


def pad(
    before: int | Sequence[int], after: int | Sequence[int], *, ndim: int = 2, border: Border = "zero"
) -> Polyphase:
    """Add samples before and after the map along every axis, filled by the border; cut where negative.

    >>> pad(1, -2, ndim=1).output_size((8,))
    (7,)
    """
    left = whole_per_axis(before, ndim, name="before")
    right = whole_per_axis(after, ndim, name="after")
    one = torch.ones((1, 1, 1) + (1,) * ndim, dtype=torch.float64)
    return Polyphase(
        taps=one,
        scale=(1,) * ndim,
        origin=left,
        excess=tuple(b + a for b, a in zip(left, right, strict=True)),
        border=(border,) * ndim,
        shared=True,
    )


def _scales(scale: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    if not 1 <= ndim <= 3:
        msg = f"upsampling is defined here for 1, 2 or 3 axes; got ndim={ndim}"
        raise OptionError(msg)
    return whole_per_axis(scale, ndim, name="scale", least=1)


def _interpolated(scale: int, offset: Fraction, mode: str, *, a: float) -> Axis:
    positions = [offset + Fraction(phase, scale) for phase in range(scale)]
    if mode == "nearest":
        if (scale * offset + Fraction(scale - 1, 2)).denominator > 1:
            msg = (
                f"a cell copied {scale} times has its middle on the cell only where scale * offset + "
                f"(scale - 1) / 2 is whole; got scale {scale} and offset {offset}, so use mode='linear'"
            )
            raise OptionError(msg)
        return _copied([math.floor(position + Fraction(1, 2)) for position in positions])
    if mode == "linear":
        return _at(positions, _hat, 1)
    return _at(positions, partial(_keys, a=_slope(a)), 2)


def _hat(t: float) -> float:
    return 1 - abs(t)


def _keys(t: float, a: float) -> float:
    t = abs(t)
    if t <= 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a


def _slope(a: float) -> float:
    if not math.isfinite(a):
        msg = f"a must be a finite number, such as PyTorch's -0.75; got {a}"
        raise OptionError(msg)
    return a


def _constant(height: float) -> Callable[[float], float]:
    return lambda _: height


def _spline(t: float, degree: int) -> float:
    """The B-spline by its recursion, which only ever adds numbers of one sign, so that no digits cancel."""
    if degree == 0:
        return 1.0 if -0.5 <= t < 0.5 else 0.0
    half = (degree + 1) / 2
    left, right = _spline(t + 0.5, degree - 1), _spline(t - 0.5, degree - 1)
    return ((half + t) * left + (half - t) * right) / degree


def _positions(scale: int, centre: Centre) -> list[Fraction]:
    """Where the phases sit in input cells, relative to the sample's own cell."""
    if centre == "cell":
        return [Fraction(2 * phase + 1 - scale, 2 * scale) for phase in range(scale)]
    if centre == "sample":
        return [Fraction(phase, scale) for phase in range(scale)]
    msg = f"centre must be 'cell' (half-pixel) or 'sample' (asymmetric); got {centre!r}"
    raise OptionError(msg)


def _copied(cells: Sequence[int]) -> Axis:
    """Copy to each phase the cell with this number, counted from its own."""
    least, most = min(cells), max(cells)
    taps = torch.zeros(len(cells), most - least + 1, dtype=torch.float64)
    taps[range(len(cells)), [cell - least for cell in cells]] = 1
    return taps, taps.ne(0), -least


def _sampled(profile: Callable[[float], float], radius: Fraction | int, scale: int, centre: Centre) -> Axis:
    """Sample a continuous kernel that is zero from this distance on."""
    return _at(_positions(scale, centre), profile, radius)


def _at(positions: Sequence[Fraction], profile: Callable[[float], float], radius: Fraction | int) -> Axis:
    """Sample a continuous kernel where the phases sit."""
    least = math.ceil(positions[0] - radius)
    most = math.floor(positions[-1] + radius)
    away = [[position - cell for cell in range(least, most + 1)] for position in positions]
    support = torch.tensor([[abs(t) < radius for t in row] for row in away])
    taps = torch.tensor(
        [[profile(float(t)) if abs(t) < radius else 0.0 for t in row] for row in away], dtype=torch.float64
    )
    return taps, support, -least


def _by_axis(axes: Sequence[Axis], scales: tuple[int, ...], *, border: Border = "clamp") -> Polyphase:
    """Multiply one kernel per axis into an operator."""
    taps, support = torch.ones((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    for axis, (values, present, _) in enumerate(axes):
        # outer product, then the new phase axis in front of the kernel axes
        taps = torch.tensordot(taps, values, dims=0).movedim(2 * axis, axis)
        support = torch.tensordot(support, present.double(), dims=0).movedim(2 * axis, axis)
    phases = math.prod(scales)
    taps, support = (table.reshape(phases, *table.shape[len(scales) :]) for table in (taps, support))
    return _without_absent_ends(taps, support.bool(), scales, tuple(origin for *_, origin in axes), border)


def _without_absent_ends(
    taps: Tensor, support: Tensor, scale: tuple[int, ...], origin: tuple[int, ...], border: Border
) -> Polyphase:
    """Cut kernel columns that no phase uses."""
    for axis in range(len(scale)):
        used = extent(support, 1 + axis)
        taps = taps.narrow(1 + axis, used.start, len(used))
        support = support.narrow(1 + axis, used.start, len(used))
        origin = (*origin[:axis], origin[axis] - used.start, *origin[axis + 1 :])
    return Polyphase(
        taps=taps[:, None, None],
        support=support,
        scale=scale,
        origin=origin,
        excess=(0,) * len(scale),
        border=(border,) * len(scale),
        shared=True,
    )


def _kaiser_beta(attenuation: float) -> float:
    """Kaiser's empirical beta for a stop-band attenuation in dB."""
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation >= 21:
        return 0.5842 * math.pow(attenuation - 21, 0.4) + 0.07886 * (attenuation - 21)
    return 0.0
