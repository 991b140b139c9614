"""Turn a model's answers to small coordinate ramps into where its output sits against its input.

The ramp is a small change of a constant input, so that a model with nonlinearities is measured as it answers
there: with J its derivative, sample n of an output reads input position (sum over m of J[n, m] m) / (sum
over m of J[n, m]), the first moment of what it reads over the zeroth. Both come from whole answers: to a step
along the coordinate and to a step of ones. The nominal position (`grid`, `graph`) is the middle of a
footprint whatever the weights; this is where the trained weights put the sample. For a model whose kernels
are symmetric about their middle the two agree.

Where a normalisation takes the mean of its map away, ones do not come through and moments say nothing. There
the coordinate enters as an angle, and the derivative is taken about noise, because a constant is what such a
layer cannot scale: waves exp(i k m) with 1, 2 and 3 periods in the middle of the map come out as
H(k) exp(i k position(n)), beside what the noise changes, which the mean over draws takes away. The position
is the phase's change with k (the group delay): it leaves out the sign of H, and for a model of
shift-invariant layers it tends to the ratio of moments as k goes to 0 where that exists.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from upstroke.probe.whole_answers import Middle

__all__ = ["AxisDrift", "Repeated", "Response", "measured_drift"]

# A step along a direction of the input's shape -> change of the middles of all outputs per step.
Response = Callable[[Tensor], Sequence[Tensor]]
# The same about each of several draws of noise, by draw.
Repeated = Callable[[Tensor], Sequence[Sequence[Tensor]]]

WAVES = (1, 2, 3)
# The spacing that ramps show must be that of a model's grid, to this part: a layer that mixes the whole map
# changes it by more.
SAME_SPACING = 0.005
# Means over phases must lie on that line to this part of the map's length, or to a pixel.
ON_LINE = 0.02
# As many periods of a pattern must lie in the middle for its phases to be averaged without losing the waves.
PERIODS = 6
# A border makes an output so many times longer or shorter than its spacing says, at most.
BORDER = 1.5
# Part of what waves come out as by which a spacing must be better than a simpler one to be taken.
BETTER = 0.02
# Part of the answer to waves that must be these waves.
ONE_WAVE = 0.5


@dataclass(frozen=True, kw_only=True)
class AxisDrift:
    """Where the samples of an output sit along one axis: position(n) = offset + spacing * n.

    In pixels of the input, whose pixel centres are whole numbers.

    Attributes:
        offset: position of sample 0, in input pixels, on the line through the middle of the map: what the
            output has moved by, where spacing is 1. Half-pixel upsampling by s has (1 / s - 1) / 2.
        edge: offset + (1 - spacing) / 2: how far the output's first edge lies behind the input's, in input
            pixels; 0 for a half-pixel resize, and the offset where spacing is 1.
        spacing: of the samples, in input pixels.
        spread: standard deviation over channels of the offset, weighted by how strongly they answer, in
            input pixels.
        residual: largest distance from that line of a sample's position, averaged over channels, in input
            pixels: half-pixel nearest upsampling by 2 has 1/4; None where waves were used, which average.
        error: standard error of the offset, by leaving out one draw of the noise at a time, in input pixels;
            None for ramps, which draw nothing.
        method: "ramp" for the ratio of moments, "waves" for the group delay.
        reason: why nothing was measured, or empty.
    """

    offset: float | None = None
    edge: float | None = None
    spacing: float | None = None
    spread: float | None = None
    residual: float | None = None
    error: float | None = None
    method: Literal["ramp", "waves"] | None = None
    reason: str = ""


def measured_drift(
    response: Response,
    about_noise: Repeated,
    ones: Sequence[Tensor],
    middles: Sequence[Middle],
    size: tuple[int, ...],
    scales: Sequence[tuple[int, ...]],
) -> list[tuple[AxisDrift, ...]]:
    """Measure each output along each axis: by moments, and where they say nothing by waves.

    Args:
        response: of the model, about a constant.
        about_noise: its response about several draws of noise.
        ones: its response to a step of ones, about a constant.
        middles: of its outputs.
        size: of its input map.
        scales: by which the outputs may be larger, per axis, besides what their sizes say.

    Returns:
        By output, the drift along each axis.
    """
    found: list[list[AxisDrift]] = [[] for _ in middles]
    for axis, n in enumerate(size):
        if n < 2:
            for each in found:
                each.append(AxisDrift(reason="the input has one sample along this axis"))
            continue
        grown = [scale[axis] for scale in scales]
        # of height 1, whatever the size, so that a step stays small
        ramp = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * (2 / n)
        first = [answer * (n / 2) for answer in response(_along(ramp, axis, len(size)))]
        for each, moment, one, middle in zip(found, first, ones, middles, strict=True):
            each.append(_by_moments(moment, one, middle, axis, n, grown))
        left = {place: middles[place] for place, each in enumerate(found) if each[axis].offset is None}
        for place, drift in _by_waves(about_noise, left, axis, size, grown).items():
            found[place][axis] = drift
    return [tuple(each) for each in found]


def _by_moments(
    ramp: Tensor, one: Tensor, middle: Middle, axis: int, n: int, grown: Sequence[int]
) -> AxisDrift:
    """The ratio of moments, averaged over channels and over the other axes by the power of the answer."""
    first, zeroth = _lines(ramp, axis), _lines(one, axis)
    power = zeroth.square().sum(dim=(0, 2))
    if not bool((power > 0).all() and ramp.isfinite().all() and one.isfinite().all()):
        return AxisDrift(reason="a step of the input does not come through")
    position = (first * zeroth).sum(dim=(0, 2)) / power + (n - 1) / 2
    sample = torch.arange(len(position), dtype=torch.float64)
    # a window, because positions go in stairs, whose length need not divide the middle
    window = torch.hann_window(len(position) + 2, dtype=torch.float64)[1:-1]
    window = window / window.sum()
    measured = float(_slope(sample, position, window))
    out = _samples(middle, axis)
    spacing = _grid_spacing(measured, n, out)
    if spacing is None:
        return AxisDrift(reason=f"ramps show a spacing of {measured:.4g}, which is no grid's")
    line = position - spacing * sample
    offset = float(line @ window)
    residual = float((line - offset).abs().max())
    # phases may lie off the line by as much as their weights say, but their mean may not
    bend = float((line.unfold(0, _phases(grown, n / out, len(line)), 1).mean(dim=-1) - offset).abs().max())
    if bend > max(1.0, spacing, ON_LINE * n):
        return AxisDrift(reason=f"positions bend off any line by {bend:.2g} input pixels")
    weight = zeroth.square().sum(dim=(1, 2))
    own = ((first * zeroth).sum(dim=2) / zeroth.square().sum(dim=2) - position + (n - 1) / 2).nan_to_num(0.0)
    deviation = float(((weight * own.mean(dim=1).square()).sum() / weight.sum()).sqrt())
    return _drift(offset, spacing, middle.first[axis], deviation, residual=residual, method="ramp")


def _by_waves(
    about_noise: Repeated,
    middles: Mapping[int, Middle],
    axis: int,
    size: tuple[int, ...],
    grown: Sequence[int],
) -> dict[int, AxisDrift]:
    """The group delay over waves with 1, 2 and 3 periods in the middle of each output."""
    n = size[axis]
    asked: dict[float, list[list[Tensor]]] = {}
    found = {}
    for place, middle in middles.items():
        out = _samples(middle, axis)
        slowest = 2 * math.pi * out / (n * middle.size[axis])
        if slowest not in asked:
            asked[slowest] = _answers_to_waves(about_noise, slowest, axis, size)
        answers = torch.stack([draw[place] for draw in asked[slowest]])
        if not bool(answers.abs().isfinite().all() and answers.abs().amax() > 0):
            found[place] = AxisDrift(reason="a wave does not come through")
            continue
        phases = _phases(grown, n / out, answers.shape[2])
        fits = [
            _group_delay(answers, slowest, each, middle.first[axis], n, phases)
            for each in _spacings(n, out, grown)
        ]
        most = max(explained for explained, _ in fits)
        # the first is the simplest
        drift = next(drift for explained, drift in fits if explained >= most - BETTER)
        found[place] = drift
    return found


def _answers_to_waves(
    about_noise: Repeated, slowest: float, axis: int, size: tuple[int, ...]
) -> list[list[Tensor]]:
    """Responses to the sum of the waves, (channels, samples) each, by draw and output."""
    n = size[axis]
    angles = torch.outer(
        slowest * torch.tensor(WAVES, dtype=torch.float64), torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    )
    real, imaginary = (
        about_noise(_along(part(angles).mean(dim=0), axis, len(size))) for part in (torch.cos, torch.sin)
    )
    return [
        [
            torch.complex(_lines(a, axis).mean(dim=-1), _lines(b, axis).mean(dim=-1))
            for a, b in zip(cosines, sines, strict=True)
        ]
        for cosines, sines in zip(real, imaginary, strict=True)
    ]


def _group_delay(
    answers: Tensor, slowest: float, spacing: float, first: int, n: int, phases: int
) -> tuple[float, AxisDrift]:
    """How much of the answers, (draws, channels, samples), is waves at this spacing, and their delay."""
    # where phases differ in gain a wave has images; the mean over phases, which lies between, has none
    answers = answers.unfold(2, phases, 1).mean(dim=-1)
    samples = answers.shape[2]
    from_middle = torch.arange(samples, dtype=torch.float64) - (samples - 1) / 2
    # the level is fitted along, because what a normalisation takes away moves with the wave
    columns = torch.outer(from_middle, slowest * spacing * torch.tensor((0, *WAVES), dtype=torch.float64))
    design = torch.polar(torch.ones_like(columns), columns)
    waves = answers @ torch.linalg.pinv(design).T
    whole, heard = answers.mean(dim=0), waves.mean(dim=0)
    wave = float((heard[:, 1:] @ design[:, 1:].T).abs().square().sum())
    left = float((whole - heard @ design.T).abs().square().sum())
    # what draws scatter by is left of their mean whether or not that is a wave
    scatter = float((answers - whole).abs().square().sum()) / (len(answers) * (len(answers) - 1))
    explained = wave / (wave + left)
    alike = wave / (wave + max(0.0, left - scatter))
    by_channel = _crossed(heard)
    together = by_channel.sum()
    position = float(together.angle()) / slowest + (n - 1) / 2
    away = (by_channel * together.conj()).angle() / slowest
    spread = float(((by_channel.abs() * away.square()).sum() / by_channel.abs().sum()).sqrt())
    error = _left_out(waves, together) / slowest
    if not error <= max(1.0, spacing, ON_LINE * n):
        words = f"draws of the noise disagree: the standard error is {error:.2g} input pixels"
        return explained, AxisDrift(reason=words)
    if alike < ONE_WAVE:
        words = f"waves come out changed: one place explains {alike:.0%} of them"
        return explained, AxisDrift(reason=words)
    offset = position - spacing * ((samples + phases) / 2 - 1)
    return explained, _drift(offset, spacing, first, spread, error=error, method="waves")


def _crossed(waves: Tensor) -> Tensor:
    """Sum over neighbouring waves of one times the conjugate of the other, by channel."""
    return (waves[..., 2:] * waves[..., 1:-1].conj()).sum(dim=-1)


def _left_out(waves: Tensor, together: Tensor) -> float:
    """Standard error of the angle of the cross spectrum, by the jackknife over draws."""
    draws = len(waves)
    others = (waves.sum(dim=0) - waves) / (draws - 1)
    angles = (_crossed(others).sum(dim=-1) * together.conj()).angle()
    return float(((draws - 1) / draws * (angles - angles.mean()).square().sum()).sqrt())


def _drift(
    offset: float,
    spacing: float,
    first: int,
    spread: float,
    *,
    residual: float | None = None,
    error: float | None = None,
    method: Literal["ramp", "waves"],
) -> AxisDrift:
    """The drift of an output whose middle begins at sample `first`, which sits at `offset`."""
    of_sample_0 = offset - spacing * first
    return AxisDrift(
        offset=of_sample_0,
        edge=of_sample_0 + (1 - spacing) / 2,
        spacing=spacing,
        spread=spread,
        residual=residual,
        error=error,
        method=method,
    )


def _spacings(n: int, out: int, grown: Sequence[int] = ()) -> list[float]:
    """What the spacing of so many samples over so many pixels may be, the likeliest first.

    One over a scale that is known comes before one that only sizes suggest, which a border makes wrong.

    >>> [round(each, 3) for each in _spacings(8, 84, [2, 8])], _spacings(64, 64)
    ([0.125, 0.095, 0.1, 0.084], [1.0])
    """
    ratio = n / out
    whole = _whole(ratio)
    near = sorted((abs(math.log(scale * ratio)), 1 / scale) for scale in grown)
    known = [each for away, each in near if away < math.log(BORDER)] if whole < 1 else []
    by_size = [ratio, whole] if known else [whole, ratio]
    corners = [(n - 1) / (out - 1)] if out > 1 else []
    return list(dict.fromkeys([*known, *by_size, *corners]))


def _whole(spacing: float) -> float:
    """The nearest that is whole or one over a whole number."""
    return float(round(spacing)) if spacing >= 1 else 1 / round(1 / spacing)


def _phases(grown: Sequence[int], ratio: float, samples: int) -> int:
    """How many neighbours to average: the longest known period of which enough lie in the middle."""
    known = (*grown, max(1, round(1 / ratio)))
    return max((each for each in known if PERIODS * each <= samples), default=1)


def _grid_spacing(measured: float, n: int, out: int) -> float | None:
    """The spacing that a measured one is, or None."""
    if not 0 < measured < math.inf:
        return None
    # a cropped or a padded map has fewer or more samples than its spacing says
    allowed = [
        each for each in (_whole(measured), *_spacings(n, out)) if 1 / BORDER < each * out / n < BORDER
    ]
    if not allowed:
        return None
    # finer steps than these are rounding, and the earlier candidate is the likelier
    nearest = min(allowed, key=lambda each: round(abs(measured / each - 1) / (SAME_SPACING / 50)))
    return nearest if abs(measured / nearest - 1) <= SAME_SPACING else None


def _samples(middle: Middle, axis: int) -> int:
    """Size of the whole output along an axis of space."""
    return middle.shape[len(middle.shape) - middle.axes + axis]


def _along(values: Tensor, axis: int, axes: int) -> Tensor:
    """A line laid along one axis of space, constant along the others."""
    return values.reshape(*(-1 if i == axis else 1 for i in range(axes)))


def _lines(answer: Tensor, axis: int) -> Tensor:
    """The first answer of a batch, (channels, samples along the axis, others)."""
    return answer[0].movedim(1 + axis, 1).flatten(2) if answer.ndim > 3 else answer[0].unsqueeze(-1)


def _slope(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Of the line of least squares under weights whose sum is 1."""
    away = x - x @ weight
    return (away * weight * (y - y @ weight)).sum() / (away.square() @ weight)
