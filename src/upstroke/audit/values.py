"""Turn a model that can be run into what test signals show of it, as plain data for the record."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from upstroke.errors import OptionError
from upstroke.graph import Graph
from upstroke.probe import (
    AxisDrift,
    ConstantPattern,
    MeasuredOutput,
    MeasuredValues,
    NoisePattern,
    measured_values,
)

__all__ = ["probed", "unprobed", "values_record"]

Plain = Any


def probed(
    model: nn.Module | Graph | str | PathLike[str],
    inputs: Sequence[Any],
    keywords: Mapping[str, Any] | None,
    *,
    graph: Graph,
    periods: Sequence[tuple[int, ...]],
    seed: int,
) -> dict[str, Plain]:
    """Run a model on noise, a constant and coordinate ramps, and write what they show.

    Args:
        model: a module, or the path of an ONNX file, which onnxruntime runs.
        inputs: arguments of a module's forward pass.
        keywords: further arguments, by name.
        graph: of the model, which knows the sizes of a file's inputs.
        periods: that patterns may have.
        seed: of the noise, of a file's examples and of what the model draws.

    Raises:
        FileError: onnxruntime cannot load the file.
        MissingExtraError: it is not installed.
        OptionError: the model cannot take the signals, or is a graph, which cannot be run.
    """
    with _runnable(model, inputs, keywords, graph, seed=seed) as (function, tensors):
        return values_record(measured_values(function, tensors, periods=periods, seed=seed))


def unprobed(reason: str, *, seed: int) -> dict[str, Plain]:
    """The record of a model that could not be probed, with the reason.

    >>> unprobed("the file does not run", seed=0)["outputs"]
    []
    """
    nothing = MeasuredValues(
        inputs=0, replaced=(), size=(), level=(), spread=(), draws=0, seed=seed, outputs=(), reason=reason
    )
    return values_record(nothing)


@contextmanager
def _runnable(
    model: nn.Module | Graph | str | PathLike[str],
    inputs: Sequence[Any],
    keywords: Mapping[str, Any] | None,
    graph: Graph,
    *,
    seed: int,
) -> Iterator[tuple[Any, Any]]:
    if isinstance(model, Graph):
        msg = (
            "to be probed a model must run, which a graph does not; give the module or the file it comes from"
        )
        raise OptionError(msg)
    if isinstance(model, nn.Module):
        from upstroke.graph.torch_run import runnable

        with runnable(model, inputs, keywords) as pair:
            yield pair
        return
    from upstroke.graph.onnx_run import runnable_file

    yield runnable_file(Path(model), graph.shapes, seed=seed)


def values_record(values: MeasuredValues) -> dict[str, Plain]:
    """Plain data without NaN or infinity; None stands where there is no number, or no pattern to measure.

    >>> import torch
    >>> found = measured_values(nn.Upsample(scale_factor=2), [torch.rand(1, 1, 24, 32)], periods=[2])
    >>> [output] = values_record(found)["outputs"]
    >>> [round(axis["offset"], 3) for axis in output["drift"]], output["constant"][0]["worst_db"]
    ([-0.25, -0.25], None)
    """
    return {
        "inputs": values.inputs,
        "replaced": list(values.replaced),
        "size": list(values.size),
        "level": list(values.level),
        "spread": list(values.spread),
        "draws": values.draws,
        "seed": values.seed,
        "outputs": [_output(each) for each in values.outputs],
        "reason": values.reason or None,
    }


def _output(output: MeasuredOutput) -> dict[str, Plain]:
    return {
        "name": output.middle.output,
        "shape": list(output.middle.shape),
        "first": list(output.middle.first),
        "size": list(output.middle.size),
        "channels": len(output.middle.channels),
        "noise_rms": _number(output.noise_rms),
        "noise": [_noise(each) for each in output.noise],
        "constant": [_constant(each) for each in output.constant],
        "drift": [_drift(each) for each in output.drift],
    }


def _noise(noise: NoisePattern) -> dict[str, Plain]:
    return {
        "period": list(noise.period),
        "psv": _number(noise.psv),
        "relative": _number(noise.relative),
        "ratio_to_chance": _number(noise.ratio),
        "null_mean": _number(noise.null_mean),
        "null_99": _number(noise.null_99),
        "p_value": _number(noise.p_value),
        "alignments": noise.alignments,
        "reason": noise.reason or None,
    }


def _constant(constant: ConstantPattern) -> dict[str, Plain]:
    return {
        "period": list(constant.period),
        "peaks_db": [[list(j), _number(level)] for j, level in constant.peaks_db.items()],
        "worst_db": _number(constant.worst_db),
        "gain_db": [[list(j), _number(level)] for j, level in constant.gain_db.items()],
        "worst_gain_db": _number(constant.worst_gain_db),
        "channel": constant.channel,
        "picture": constant.picture,
        "reason": constant.reason or None,
    }


def _drift(drift: AxisDrift) -> dict[str, Plain]:
    return {
        "offset": _number(drift.offset),
        "edge": _number(drift.edge),
        "spacing": _number(drift.spacing),
        "spread": _number(drift.spread),
        "residual": _number(drift.residual),
        "error": _number(drift.error),
        "method": drift.method,
        "unit": "input pixels",
        "reason": drift.reason or None,
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
