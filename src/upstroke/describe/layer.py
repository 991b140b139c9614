"""Turn an operator into the record and the arrays that are shown of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy
import torch
from jaxtyping import Float
from torch import Tensor

from upstroke import diagnose
from upstroke.errors import ShapeError
from upstroke.polyphase import Polyphase, kernel_form, trimmed

__all__ = ["AS_GIVEN", "FIXED", "UNIFORM", "LayerArrays", "describe_layer", "layer_arrays"]

Plain = list[Any] | int | float | None
Numbers = Float[numpy.ndarray, "..."]

# Where weights come from if not from a file.
AS_GIVEN = "those of the operator"
UNIFORM = "uniform (none given)"
FIXED = "fixed by the mode"

# Numbers of one entry that are written out; beyond that its summary has to do.
MOST_LISTED = 4096
# Cells per axis of the map on which the loss at the border is stated.
MAP = 16
# Phases, and taps of one of them, up to which the replicas of the whole band are searched: seconds.
MOST_REPLICAS, MOST_REPLICA_TAPS = 256, 10**6
# Where a plotted response is cut off: below it there is rounding.
FLOOR = -120.0
# Frequencies per axis of the response, by the number of axes it is shown on.
POINTS = {1: 769, 2: 193}


class LayerArrays(TypedDict):
    """What the figure of a layer shows; one or two axes, a slice of the middle where there are three.

    Keys:
        scale: samples per cell on the axes shown.
        footprint: what one cell draws.
        start: sample of the footprint's first element, counted from the cell's first own sample.
        centre: place of the cell, in samples, by the nominal grid.
        coverage: taps of each phase.
        frequencies: of the map, in radians per output sample, from -pi to pi, per axis.
        response: of the map, in dB relative to frequency 0, cut off below; in dB of 1 where frequency 0 has
            none.
        cut_frequencies: along the last axis, from 0 to pi.
        cut: response there, in dB.
        cut_images: the image frequencies on that cut.
        cut_image_levels: and the response there, in dB.
        slice: what is shown of three axes or of several channels, in words; empty otherwise.
    """

    scale: Sequence[int]
    footprint: Numbers
    start: Sequence[int]
    centre: Sequence[float]
    coverage: Numbers
    frequencies: Sequence[Numbers]
    response: Numbers
    cut_frequencies: Numbers
    cut: Numbers
    cut_images: Sequence[float]
    cut_image_levels: Sequence[float]
    slice: str


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """One channel pair, counted over all input channels."""

    out: int
    of_group: int
    into: int


def describe_layer(
    operator: Polyphase,
    *,
    stages: Sequence[Polyphase] = (),
    channels: int | None = None,
    layer: Mapping[str, Any] | None = None,
    weights: str | Mapping[str, Any] = AS_GIVEN,
    note: str = "",
) -> dict[str, Any]:
    """Write everything that is measured of an operator as the record `upstroke.inspect/1`.

    Plain data for JSON, without NaN or infinity; None stands where there is no number. Entries of more than
    4096 numbers are None too, and named in `left_out`; their summaries are always there.

    Args:
        operator: what the numbers are measured on.
        stages: the layer as it is built, one operator after the other with all its channels, for the cost;
            by default the operator itself.
        channels: that come in to the first stage; by default as many as the operator takes.
        layer: what the layer is called and made with, copied into the record; by default the operator's
            scale and channels.
        weights: where they come from, copied into the record. The centre of gravity of `UNIFORM` weights is
            left out, because it says nothing that the grid does not.
        note: what a reader should know about the operator.

    >>> from upstroke.polyphase import nearest
    >>> record = describe_layer(nearest((2, 3)))
    >>> record["coverage"], record["strang_fix_order"], record["grid"]["exact"]["offset"]
    ([[1, 1, 1], [1, 1, 1]], 1, ['-1/4', '-1/3'])
    """
    covered = diagnose.coverage(operator)
    # a power of two, so that scaling back is exact; squares of very large or small taps are lost otherwise
    unit, scaled = _normalised(operator)
    gains = diagnose.phase_gain(scaled)
    image = diagnose.image_gain(scaled)
    order = diagnose.strang_fix_order(scaled)
    psv = diagnose.subgrid_variance(scaled)
    masses = diagnose.mass(scaled)
    pair = _most_uneven(operator, gains)
    left_out: list[str] = []

    def listed(name: str, values: Tensor) -> Plain:
        if values.numel() > MOST_LISTED:
            left_out.append(name)
            return None
        return _plain(values)

    flat = gains[:, pair.out, pair.of_group]
    constant = psv.constant * unit * unit
    record: dict[str, Any] = {
        "schema": "upstroke.inspect/1",
        "layer": _plain_layer(operator) if layer is None else dict(layer),
        "weights": weights if isinstance(weights, str) else dict(weights),
        "note": note,
        "largest_tap": _number(scaled.taps.double().abs().max() * unit),
        "coverage": _plain(covered.counts),
        "coverage_even": covered.even,
        "phase_gain": listed("phase_gain", gains * unit),
        "phase_gain_summary": {
            "least": _number(gains.min() * unit),
            "most": _number(gains.max() * unit),
            "mean": _number(gains.mean() * unit),
            "channel_pairs": gains[0].numel(),
            "spread": _number(diagnose.gain_spread(scaled)),
            "worst_pair": {
                "out": pair.out,
                "in": pair.into,
                "gain": _plain(flat.reshape(operator.scale) * unit),
            },
        },
        "image_gain_db": _plain(image.decibel),
        "image_gain": {
            "worst_db": _number(image.worst),
            "zero_sum": image.zero_sum,
            "null_means": (
                "no reference, because the taps sum to zero" if image.zero_sum else "nothing but rounding"
            ),
        },
        "strang_fix_order": order,
        "mass": listed("mass", masses * unit),
        "mass_summary": {
            "least": _number(masses.min() * unit),
            "most": _number(masses.max() * unit),
            "mean": _number(masses.mean() * unit),
        },
        "total_kept": _kept(scaled),
        "block_mean_error": _block_mean_error(operator),
        "psv": {
            "constant": listed("psv.constant", constant),
            "white": listed("psv.white", psv.white),
            "noise_spread": listed("psv.noise_spread", psv.spread),
            "worst_constant": _number(constant.max()),
            "worst_noise_spread": _number(psv.spread.max()),
        },
        "replica": _replica(scaled),
        "size": {
            "scale": list(operator.scale),
            "excess": list(operator.excess),
            "least_input": _least_input(operator),
        },
        "grid": diagnose.grid_of(operator).as_json(),
        "centroid": _centroid(scaled, masses, is_uniform=weights == UNIFORM),
        "margin": [list(sides) for sides in operator.margin],
        "cost": _cost(
            operator,
            stages=tuple(stages) or (operator,),
            channels=operator.in_channels if channels is None else channels,
        ),
        "pattern": _pattern(scaled, covered, image, order, gains, pair),
    }
    record["left_out"] = left_out
    return record


def layer_arrays(operator: Polyphase) -> LayerArrays:
    """Compute what a figure shows of an operator, for its most uneven channel pair.

    >>> from upstroke.polyphase import triangle
    >>> arrays = layer_arrays(triangle(2, ndim=1))
    >>> arrays["footprint"].tolist(), arrays["start"], arrays["cut_images"]
    ([0.5, 1.0, 0.5], [-1], [3.141592653589793])
    """
    unit, operator = _normalised(operator)
    form = trimmed(kernel_form(operator))
    gains = diagnose.phase_gain(operator)
    pair = _most_uneven(operator, gains)
    footprint = form.kernel[pair.out, pair.of_group].double().numpy() * unit
    counts = diagnose.coverage(operator).counts.double().numpy()
    offset = diagnose.grid_of(operator).offset
    shown = slice(1, None) if operator.ndim == 3 else slice(None)
    words = []
    if operator.ndim == 3:
        middle = footprint.shape[0] // 2
        phase = (middle - form.crop[0]) % operator.scale[0]
        footprint, counts = footprint[middle], counts[phase]
        words.append(f"Sample {middle - form.crop[0]} and frequency 0 of the first axis.")
    if gains[0].numel() > 1:
        words.append(f"Footprint: channel {pair.into} to {pair.out}, the most uneven pair.")
    scale = operator.scale[shown]
    frequencies = [torch.linspace(-math.pi, math.pi, POINTS[len(scale)], dtype=torch.float64) for _ in scale]
    zero = torch.zeros(1, dtype=torch.float64)
    reference = diagnose.response_power(operator, [zero] * operator.ndim).flatten()[0]
    above = 0.0
    if diagnose.image_gain(operator).zero_sum:
        reference = reference.new_ones(())
        above = 20 * math.log10(unit)
    hidden = [zero] * (operator.ndim - len(scale))

    def level(*grids: Tensor) -> numpy.ndarray:
        power = diagnose.response_power(operator, [*hidden, *grids]) / reference
        found = (10 * torch.log10(power) + above).clamp(min=FLOOR)
        return found.reshape([len(grid) for grid in grids]).numpy()

    before = [zero] * (len(scale) - 1)
    cut = torch.linspace(0, math.pi, POINTS[1], dtype=torch.float64)
    images = [2 * math.pi * j / scale[-1] for j in range(1, scale[-1] // 2 + 1)]
    at_images = torch.tensor(images, dtype=torch.float64)
    return {
        "scale": scale,
        "footprint": footprint,
        "start": [-crop for crop in form.crop][shown],
        "centre": [float(-o * s) for o, s in zip(offset, operator.scale, strict=True)][shown],
        "coverage": counts,
        "frequencies": [grid.numpy() for grid in frequencies],
        "response": level(*frequencies),
        "cut_frequencies": cut.numpy(),
        "cut": level(*before, cut).reshape(-1),
        "cut_images": images,
        "cut_image_levels": level(*before, at_images).reshape(-1).tolist() if images else [],
        "slice": " ".join(words),
    }


def _most_uneven(operator: Polyphase, gains: Tensor) -> _Pair:
    """The channel pair whose phase gains lie furthest apart; the loudest where none do."""
    spread = gains.amax(dim=0) - gains.amin(dim=0)
    rank = spread if bool(spread.max() > 0) else gains.abs().amax(dim=0)
    out, of_group = divmod(int(rank.argmax()), gains.shape[2])
    group = out // (operator.out_channels // operator.groups)
    return _Pair(out=out, of_group=of_group, into=group * gains.shape[2] + of_group)


def _normalised(operator: Polyphase) -> tuple[float, Polyphase]:
    """The power of two at or below the largest tap, and the operator divided by it."""
    taps = operator.taps.detach().double()
    largest = float(taps.abs().max())
    unit = 2.0 ** (math.frexp(largest)[1] - 1) if math.isfinite(largest) and largest > 0 else 1.0
    return unit, replace(operator, taps=(taps / unit).to(operator.taps), support=operator.mask)


def _pattern(
    operator: Polyphase,
    covered: diagnose.Coverage,
    image: diagnose.ImageGain,
    order: int | None,
    gains: Tensor,
    pair: _Pair,
) -> dict[str, Any]:
    """What shape and weights each say about a constant input, as words that the text builds on.

    rms and peak are those of the most uneven channel pair: the standard deviation of its phase gains, and the
    largest distance of one of them from their mean, both over the size of that mean.
    """
    where = {"out": pair.out, "in": pair.into}
    if operator.phases == 1:
        return {"shape": "none", "weights": "none", "rms": None, "peak": None, "pair": where}
    least = int(covered.counts.min())
    shape = "even" if covered.even else "empty phases" if least == 0 else "uneven"
    if order is None:
        weights = "all zero"
    elif order > 0:
        weights = "no answer" if image.zero_sum else "balanced"
    else:
        flat = gains[:, pair.out, pair.of_group]
        sizes = operator.taps[:, pair.out, pair.of_group].double().abs().sum()
        none = bool(flat.sum().abs() <= torch.finfo(operator.taps.dtype).eps * sizes)
        weights = "pattern alone" if none else "unbalanced"
    rms = peak = None
    if weights == "unbalanced":
        mean = flat.mean()
        rms = _number(flat.std(correction=0) / mean.abs())
        peak = _number((flat - mean).abs().max() / mean.abs())
    return {"shape": shape, "weights": weights, "rms": rms, "peak": peak, "pair": where}


def _plain_layer(operator: Polyphase) -> dict[str, Any]:
    return {
        "kind": "operator",
        "ndim": operator.ndim,
        "scale": list(operator.scale),
        "in_channels": operator.in_channels,
        "out_channels": operator.out_channels,
    }


def _cost(operator: Polyphase, *, stages: tuple[Polyphase, ...], channels: int) -> dict[str, Any]:
    """The layer as built, and where it is built of several stages, as the one operator that it equals."""
    built = diagnose.cost(stages, channels=channels)
    fixed = sum(int(stage.mask.sum()) for stage in stages if stage.shared)
    learned = sum(diagnose.cost(stage).parameters for stage in stages if not stage.shared)
    cost: dict[str, Any] = {
        "parameters": learned,
        "fixed_taps": fixed,
        "multiply_adds_per_input": built.multiply_adds_per_input,
        "bytes_per_input": built.bytes_per_input,
        "channels": channels,
        "per_channel": all(stage.shared for stage in stages),
    }
    if len(stages) == 1:
        return cost
    cost["stages"] = []
    positions, passing = 1, channels
    for stage in stages:
        alone = diagnose.cost(stage, channels=passing)
        cost["stages"].append(
            {
                "parameters": alone.parameters,
                "multiply_adds_per_input": positions * alone.multiply_adds_per_input,
            }
        )
        positions *= stage.phases
        passing = passing // stage.in_channels * stage.out_channels
    # one pair's cost times the pairs; without weights the operator is one pair that stands for all
    taps = int(operator.mask.sum())
    pairs = channels * passing // math.gcd(*(_groups(stage) for stage in stages))
    cost["as_one"] = {"parameters": taps * pairs, "multiply_adds_per_input": taps * pairs}
    return cost


def _groups(stage: Polyphase) -> int:
    return 0 if stage.shared else stage.groups


def _kept(operator: Polyphase) -> dict[str, Any] | None:
    """How much of a constant's total a small map keeps where zeros stand outside it, over channel pairs."""
    size = (MAP,) * operator.ndim
    if set(operator.border) != {"zero"}:
        return None
    try:
        kept = diagnose.total_kept(operator, size)
    except ShapeError:
        return None
    sound = kept[diagnose.mass(operator).abs() > 1e-9 * operator.taps.abs().sum()]
    if not sound.numel() or not bool(sound.isfinite().all()):
        return None
    return {"size": list(size), "least": float(sound.min()), "most": float(sound.max())}


def _block_mean_error(operator: Polyphase) -> float | None:
    if any(operator.excess) or operator.in_channels != operator.out_channels:
        return None
    return _number(diagnose.block_mean_error(operator))


def _replica(operator: Polyphase) -> dict[str, Any] | None:
    if not 1 < operator.phases <= MOST_REPLICAS or operator.taps[0].numel() > MOST_REPLICA_TAPS:
        return None
    found = diagnose.image_rejection(operator)
    return {"worst_db": _number(found.decibel), "image": list(found.image)}


def _centroid(operator: Polyphase, masses: Tensor, *, is_uniform: bool) -> list[float] | None:
    """Offset that the weights make, weighted by the mass of each pair; None where it says nothing new."""
    total = masses.abs().sum()
    if is_uniform or not bool(total > 1e-9 * operator.taps.abs().sum()):
        return None
    places = torch.nan_to_num(diagnose.centroid(operator), nan=0.0, posinf=0.0, neginf=0.0)
    weight = masses.abs() / total
    return [float(offset) for offset in (places * weight[..., None]).sum(dim=(0, 1))]


def _least_input(operator: Polyphase) -> list[int]:
    """The smallest input per axis that leaves one output sample."""
    return [max(1, -(-(1 - e) // s)) for e, s in zip(operator.excess, operator.scale, strict=True)]


def _number(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _plain(values: Tensor) -> Plain:
    """Nested lists, with None for what JSON has no number for."""
    if values.ndim == 0:
        return int(values) if not values.is_floating_point() else _number(values)
    return [_plain(part) for part in values]
