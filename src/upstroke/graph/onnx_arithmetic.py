"""Turn ONNX's arithmetic, batch normalisation and joins into steps."""

import torch
from torch import Tensor

from upstroke.graph.onnx_call import Call, CannotReadError, as_tensor
from upstroke.graph.onnx_positions import parts_of
from upstroke.graph.steps import (
    Concatenation,
    Join,
    Other,
    PerChannel,
    Pointwise,
    Same,
    Stays,
    Step,
)

__all__ = [
    "batch_normalization",
    "cast",
    "comparison",
    "concatenation",
    "dropout",
    "function",
    "negation",
    "sum_of",
    "two_operands",
]

JOINS: dict[str, Step] = {
    "Add": Join(kind="add"),
    "Sub": Join(kind="add"),
    "Mul": Join(kind="multiply"),
    "Div": Join(kind="multiply"),
}
FLOATS = (1, 10, 11, 16)


def two_operands(call: Call) -> Step:
    """Add, Sub, Mul, Div of a map and a constant, or of two maps."""
    if len(call.maps) == 2:
        squares = call.operator == "Mul" and call.inputs[0] == call.inputs[1]
        return Pointwise() if squares else JOINS[call.operator]
    place = 0 if call.inputs[0] in call.computed else 1
    number = _per_channel(call, map_at=place)
    if number is None:
        return Stays()
    if call.operator == "Add":
        return PerChannel(gain=None, shift=number)
    if call.operator == "Sub":
        return (
            PerChannel(gain=None, shift=-number)
            if place == 0
            else PerChannel(gain=-torch.ones(1).to(number), shift=number)
        )
    if call.operator == "Mul":
        return PerChannel(gain=number, shift=None)
    return PerChannel(gain=number.reciprocal(), shift=None) if place == 0 else Pointwise()


def batch_normalization(call: Call) -> Step:
    """BatchNormalization by fixed statistics: (x - mean) / sqrt(var + epsilon) * scale + bias."""
    trains = call.attributes.get("training_mode", 0) or (
        call.version < 7 and not call.attributes.get("is_test", 0)
    )
    if trains or len([name for name in call.outputs if name]) > 1 or not call.attributes.get("spatial", 1):
        return Other()
    try:
        scale, bias, mean, variance = (call.weight(place, name="statistics") for place in range(1, 5))
    except CannotReadError:
        return Other()
    gain = scale.double() / (variance.double() + call.attributes.get("epsilon", 1e-5)).sqrt()
    shift = bias.double() - mean.double() * gain
    return PerChannel(gain=gain.to(scale), shift=shift.to(scale))


def negation(call: Call) -> Step:
    """Neg."""
    return PerChannel(gain=-torch.ones(1), shift=None)


def concatenation(call: Call) -> Step:
    """Concat along the channels; along another axis, or with constants, it is no join of maps."""
    shape = call.shape() or call.shapes.get(call.outputs[0])
    axis = call.attributes.get("axis", 1)
    if axis < 0:
        if shape is None:
            return Other()
        axis += len(shape)
    if len(call.inputs) == 1:
        return Same()
    parts = parts_of(call, axis)
    if axis != 1 or len(call.maps) != len(call.inputs):
        return Concatenation(axis=axis, parts=parts)
    return Join(kind="concatenate", parts=parts)


def sum_of(call: Call) -> Step:
    """Sum, or Mean, of maps."""
    if len(call.maps) > 1:
        return Join(kind="add")
    return Same() if len(call.inputs) == 1 else Stays()


def function(call: Call) -> Step:
    """A function of each sample alone, whose further inputs, if it has any, are constant."""
    return Pointwise() if len(call.maps) == 1 else Other()


def comparison(call: Call) -> Step:
    """A function of two operands that is one of each sample alone if the other operand is one number."""
    if len(call.maps) > 1:
        return Join(kind="choose") if call.operator in ("Max", "Min") else Other()
    others = [name for name in call.inputs if name and name not in call.computed]
    alone = all(name in call.constants and call.constants[name].size == 1 for name in others)
    return Pointwise() if alone else Stays()


def cast(call: Call) -> Step:
    """Cast; to whole numbers it rounds."""
    return Same() if call.attributes.get("to") in (*FLOATS, "FLOAT", "FLOAT16", "DOUBLE") else Pointwise()


def dropout(call: Call) -> Step:
    """Dropout, which does nothing unless it is told to train."""
    training = call.constant(2)
    trains = call.has(2) and (training is None or bool(training.any()))
    return Other() if trains else Same()


def _per_channel(call: Call, *, map_at: int) -> Tensor | None:
    """The constant operand if it is one number or one per channel of the map; None if it is neither."""
    value = call.constant(1 - map_at)
    shape = call.shape(map_at)
    tensor = None if value is None else as_tensor(value)
    if tensor is None:
        return None
    # before version 7 the second operand was laid along named axes
    if call.version < 7 and "axis" in call.attributes and shape is not None:
        tail = len(shape) - call.attributes["axis"] % len(shape) - tensor.ndim
        tensor = tensor.reshape(*tensor.shape, *(1,) * max(0, tail))
    if tensor.numel() == 1:
        return tensor.reshape(1) if shape is None or tensor.ndim <= len(shape) else None
    if shape is None or len(shape) < 2 or tensor.ndim > len(shape):
        return None
    full = (1,) * (len(shape) - tensor.ndim) + tuple(tensor.shape)
    wide = [axis for axis, size in enumerate(full) if size != 1]
    # a map of one channel would be copied into several
    return tensor.flatten() if wide == [1] and shape[1] in (None, full[1]) else None
