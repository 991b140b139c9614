"""Turn a whole model, as a callable, into what noise, a constant and a coordinate ramp show of its output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.errors import OptionError
from upstroke.probe.whole_answers import Answers, Middle
from upstroke.probe.whole_constant import ConstantPattern, constant_pattern
from upstroke.probe.whole_drift import AxisDrift, measured_drift
from upstroke.probe.whole_noise import NoisePattern, noise_pattern
from upstroke.probe.whole_signals import Signals, signals_for

__all__ = ["MeasuredOutput", "MeasuredValues", "measured_values"]

# Draws of the noise: alignments of 8 answers are told from chance at 1 in 100 by 2 phases already.
DRAWS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredOutput:
    """What was measured of one output that is a map.

    Attributes:
        middle: which part of it was read: the middle half of every axis, at most 64 of its channels.
        noise_rms: what its answers to noise vary by about their mean: root mean square, norm over channels,
            in output units.
        noise: by period, the variance between phases in answers to noise.
        constant: by period, the images in the answer to a constant; empty for a generator.
        drift: per axis, where its samples sit; empty for a generator.
    """

    middle: Middle
    noise_rms: float
    noise: tuple[NoisePattern, ...]
    constant: tuple[ConstantPattern, ...]
    drift: tuple[AxisDrift, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredValues:
    """What a whole model does to test signals.

    Attributes:
        inputs: how many inputs it takes.
        replaced: places of those that took the signals; the others stayed as given.
        size: spatial size of those, in pixels; empty for a generator, which has latents for maps.
        level: of each of those, the constant, in its own units.
        spread: of each of those, the standard deviation of the noise.
        draws: of the noise.
        seed: of the noise and of what the model draws.
        outputs: that are maps.
        reason: why a constant and a ramp were not tried, or why nothing was; empty if all was.
    """

    inputs: int
    replaced: tuple[int, ...]
    size: tuple[int, ...]
    level: tuple[float, ...]
    spread: tuple[float, ...]
    draws: int
    seed: int
    outputs: tuple[MeasuredOutput, ...]
    reason: str = ""


def measured_values(
    model: Callable[..., Any],
    inputs: Sequence[Tensor],
    *,
    periods: Sequence[int | tuple[int, ...]] = (2, 4),
    draws: int = DRAWS,
    seed: int = 0,
) -> MeasuredValues:
    """Feed noise, a constant and coordinate ramps in the place of the example's maps, and read the outputs.

    1. Noise, several draws: the periodic subgrid variance of the answers against chance
       (`NoisePattern`).
    2. A constant: the images in the answer, in dB (`ConstantPattern`).
    3. Small ramps about that constant: where the output sits against the input (`AxisDrift`).

    Only the middle half of every axis of an output is read, so that what zero padding does to the border is
    not counted. All numbers are the same in every run with the same seed.

    Args:
        model: takes these tensors, in evaluation mode, and returns tensors in any structure.
        inputs: an example; shapes, types, levels and spreads of the test signals are its own.
        periods: suspected, in output samples, one number or one per axis: products of the scales of the
            model's upsampling sites.
        draws: of the noise, at least 2.
        seed: of the noise, and of what the model draws itself.

    Raises:
        OptionError: no input is floating or one is not finite, or the model cannot take the signals.

    >>> double = torch.nn.Upsample(scale_factor=2, mode="bilinear")
    >>> found = measured_values(double, [torch.rand(1, 1, 24, 32)], periods=[2])
    >>> [round(axis.offset, 3) + 0 for axis in found.outputs[0].drift]
    [-0.25, -0.25]
    >>> found.outputs[0].constant[0].worst_db
    -inf
    """
    if draws < 2:
        msg = f"draws must be at least 2, for there to be chance; got {draws}"
        raise OptionError(msg)
    signals = signals_for(inputs)
    answers = Answers(model, inputs, axes=len(signals.size) or None, seed=seed)
    reason = ""
    if not answers.middles:
        reason = f"no output is a map of {answers.axes} axes" if signals.size else "no output is a map"
    elif not signals.size:
        reason = (
            "a generator from latents has no place for a constant map or a ramp; noise was drawn for them"
        )
    outputs = _outputs(signals, answers, _per_axis(periods, answers.axes), draws=draws, seed=seed)
    return MeasuredValues(
        inputs=len(inputs),
        replaced=signals.places,
        size=signals.size,
        level=signals.level,
        spread=signals.spread,
        draws=draws,
        seed=seed,
        outputs=outputs,
        reason=reason,
    )


def _per_axis(periods: Sequence[int | tuple[int, ...]], axes: int) -> list[tuple[int, ...]]:
    """Every period once, without those that are 1 everywhere."""
    for each in periods:
        if isinstance(each, tuple) and len(each) != axes:
            msg = (
                f"maps must have the {len(each)} axes of the patterns to be probed; those of the example "
                f"have {axes} behind batch and channels; if it has no batch, give it one"
            )
            raise OptionError(msg)
    wanted = [whole_per_axis(each, axes, name="period", least=1) for each in periods]
    return [each for each in dict.fromkeys(wanted) if max(each) > 1]


def _outputs(
    signals: Signals, answers: Answers, periods: Sequence[tuple[int, ...]], *, draws: int, seed: int
) -> tuple[MeasuredOutput, ...]:
    if not answers.middles:
        return ()
    generator = torch.Generator().manual_seed(seed)
    drawn = [signals.noise(generator) for _ in range(draws)]
    heard = [answers.to(each) for each in drawn]
    # by output instead of by draw
    noise = [[draw[place] for draw in heard] for place in range(len(answers.middles))]
    rms = [_rms(each) for each in noise]
    constant: list[tuple[ConstantPattern, ...]] = [()] * len(noise)
    drift: list[tuple[AxisDrift, ...]] = [()] * len(noise)
    if signals.size:
        flat = answers.to(signals.constant())

        def response(direction: Tensor) -> list[Tensor]:
            # what is even in the step, such as the bend of an activation or a max pool's choice, drops out
            up, down = (answers.to(signals.moved(signals.constant(), sign * direction)) for sign in (1, -1))
            return [(a - b) / (2 * signals.step) for a, b in zip(up, down, strict=True)]

        def about_noise(direction: Tensor) -> list[list[Tensor]]:
            return [
                [
                    (a - b) / signals.step
                    for a, b in zip(answers.to(signals.moved(each, direction)), before, strict=True)
                ]
                for each, before in zip(drawn, heard, strict=True)
            ]

        ones = response(torch.ones(()).double())
        constant = [
            tuple(
                constant_pattern(answer, change, period, reference=reference, channels=middle.channels)
                for period in periods
            )
            for answer, change, reference, middle in zip(flat, ones, rms, answers.middles, strict=True)
        ]
        drift = measured_drift(response, about_noise, ones, answers.middles, signals.size, periods)
    return tuple(
        MeasuredOutput(
            middle=answers.middles[place],
            noise_rms=rms[place],
            noise=tuple(noise_pattern(noise[place], period, seed=seed) for period in periods),
            constant=constant[place],
            drift=drift[place],
        )
        for place in range(len(noise))
    )


def _rms(answers: Sequence[Tensor]) -> float:
    """Root mean square about the mean of every channel, norm over channels."""
    pictures = torch.cat(list(answers)).transpose(0, 1).flatten(1)
    return float(pictures.var(dim=-1, correction=0).sum().sqrt())
