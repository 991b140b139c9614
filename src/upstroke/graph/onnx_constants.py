"""Turn an ONNX model's weights, and what it computes from weights and sizes alone, into arrays."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy

from upstroke.errors import FileError
from upstroke.graph.form import Shape
from upstroke.graph.onnx_lengths import SHAPED_BY_VALUES, longest

if TYPE_CHECKING:
    import onnx

__all__ = ["Constants", "constants_of", "fold"]

# What exporters put between a stored number and its use.
FOLDABLE = """
    Add And Cast CastLike Ceil Concat ConstantOfShape DequantizeLinear Div Equal Expand Flatten Floor Gather
    Greater Identity Less Max Min Mod Mul Neg Not Or Pow QuantizeLinear Range Reciprocal ReduceProd Reshape
    Round Slice Sqrt Squeeze Sub Transpose Unsqueeze Where
"""
# onnx's reference knows these from that version on; before it they did the same to fewer types.
KNOWN_SINCE = {"DequantizeLinear": 19, "QuantizeLinear": 19}
# A result may be as long as the longest of what it is made of, or this long.
SMALL = 2**16
# All results together may be several times as long as all weights, or this long.
ALLOWANCE, TIMES_THE_WEIGHTS = 2**24, 8


class Constants:
    """Arrays by name, taken out of the model when they are first asked for."""

    def __init__(self) -> None:
        self._stored: dict[str, Any] = {}
        self._arrays: dict[str, numpy.ndarray] = {}
        self._left = ALLOWANCE

    def store(self, name: str, tensor: "onnx.TensorProto") -> None:
        """Keep a tensor of the model."""
        self._stored[name] = tensor
        self._left += TIMES_THE_WEIGHTS * max(0, self.length(name))

    def add(self, name: str, array: numpy.ndarray) -> None:
        """Keep an array."""
        self._arrays[name] = array

    def allow(self, length: int) -> bool:
        """Whether one more result of this length may be kept; if so, it counts from now on."""
        if length > self._left:
            return False
        self._left -= length
        return True

    def shape(self, name: str) -> list[int]:
        """The shape of a constant, without reading its numbers."""
        return list(self._arrays[name].shape if name in self._arrays else self._stored[name].dims)

    def length(self, name: str) -> int:
        """How many numbers a constant has, without reading them."""
        return math.prod(self.shape(name))

    def holds_numbers(self, name: str) -> bool:
        """Whether a constant is made of numbers, not of texts."""
        from onnx import TensorProto

        if name in self._arrays:
            return self._arrays[name].dtype.kind in "biufcV"
        return bool(self._stored[name].data_type != TensorProto.STRING)

    def tensor(self, name: str) -> "onnx.TensorProto":
        """A constant as ONNX holds it; of a large one only the shape, which is all that inference needs."""
        from onnx import TensorProto, numpy_helper

        if name not in self._stored:
            return numpy_helper.from_array(self._arrays[name], name)
        tensor = self._stored[name]
        if self.length(name) > SMALL:
            return TensorProto(name=name, dims=tensor.dims, data_type=tensor.data_type)
        copy = TensorProto()
        copy.CopyFrom(tensor)
        copy.name = name
        return copy

    def get(self, name: str) -> numpy.ndarray | None:
        """A constant; None if there is none of this name."""
        return self[name] if name in self else None  # noqa: SIM401 (this is that get)

    def __getitem__(self, name: str) -> numpy.ndarray:
        from onnx import numpy_helper

        if name not in self._arrays:
            try:
                self._arrays[name] = numpy_helper.to_array(self._stored[name])
            except (ValueError, TypeError) as error:
                msg = (
                    f"the weight {name} does not hold the numbers that its shape asks for; "
                    "export the model again"
                )
                raise FileError(msg) from error
        return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self._arrays or name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter({**self._stored, **self._arrays})


def constants_of(graph: "onnx.GraphProto") -> Constants:
    """The initializers of a graph and what its Constant nodes hold, in all the forms they have."""
    constants = Constants()
    for tensor in graph.initializer:
        constants.store(tensor.name, tensor)
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            for attribute in node.attribute if any(node.output) else ():
                _keep(constants, node.output[0], attribute)
    return constants


def fold(node: "onnx.NodeProto", version: int, constants: Constants, shapes: Mapping[str, Shape]) -> bool:
    """Compute a node from constants and known shapes alone; whether that could be done."""
    if node.domain not in ("", "ai.onnx") or len(node.output) != 1 or not node.output[0]:
        return False
    if node.op_type in ("Shape", "Size"):
        return _fold_shape(node, constants, shapes)
    names = [name for name in node.input if name]
    if node.op_type not in FOLDABLE.split() or not all(name in constants for name in names):
        return False
    if not all(map(constants.holds_numbers, names)) or not _is_modest(node, names, constants):
        return False
    value = _evaluated(node, version, {name: constants[name] for name in names})
    if value is not None:
        constants.add(node.output[0], value)
    return value is not None


def _keep(constants: Constants, name: str, attribute: "onnx.AttributeProto") -> None:
    if attribute.name == "value":
        constants.store(name, attribute.t)
    elif attribute.name == "value_float":
        constants.add(name, numpy.array(attribute.f, dtype=numpy.float32))
    elif attribute.name == "value_floats":
        constants.add(name, numpy.array(attribute.floats, dtype=numpy.float32))
    elif attribute.name == "value_int":
        constants.add(name, numpy.array(attribute.i, dtype=numpy.int64))
    elif attribute.name == "value_ints":
        constants.add(name, numpy.array(attribute.ints, dtype=numpy.int64))


def _fold_shape(node: "onnx.NodeProto", constants: Constants, shapes: Mapping[str, Shape]) -> bool:
    shape = shapes.get(node.input[0]) if node.input else None
    known = [size for size in shape or () if size is not None]
    if shape is None or len(known) < len(shape):
        return False
    ends = {attribute.name: attribute.i for attribute in node.attribute}
    value = math.prod(known) if node.op_type == "Size" else known[ends.get("start") : ends.get("end")]
    # a number of samples that ONNX cannot count is one that is not known
    if isinstance(value, int) and value >= 2**63:
        return False
    constants.add(node.output[0], numpy.array(value, dtype=numpy.int64))
    return True


def _is_modest(node: "onnx.NodeProto", names: list[str], constants: Constants) -> bool:
    """Whether the result is no longer than what it is made of, or small, and not one of too many."""
    shapes = [constants.shape(name) for name in names]
    telling = names[SHAPED_BY_VALUES.get(node.op_type, slice(0))]
    if any(constants.length(name) > SMALL for name in telling):
        return False
    try:
        length = longest(node, shapes, [constants[name] for name in telling])
    except (ArithmeticError, LookupError, TypeError, ValueError):
        # its inputs are not those of its operator, so that it has no value
        return False
    parts = [*map(math.prod, shapes)]
    if node.op_type == "Concat":
        parts.append(sum(constants.length(name) for name in set(names)))
    return length <= max(SMALL, *parts, 0) and constants.allow(length)


def _evaluated(
    node: "onnx.NodeProto", version: int, inputs: dict[str, numpy.ndarray]
) -> numpy.ndarray | None:
    """What onnx's own reference makes of a node; None if it makes nothing of it."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    def declared(name: str) -> "onnx.ValueInfoProto":
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)

    graph = helper.make_graph([node], "one", [declared(name) for name in inputs], [declared(node.output[0])])
    known = max(version, KNOWN_SINCE.get(node.op_type, version))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", known)])
    try:
        with numpy.errstate(all="ignore"):
            (value,) = ReferenceEvaluator(model).run(None, inputs)
    except Exception:  # a node that cannot be computed is one whose value is not known
        return None
    return value if isinstance(value, numpy.ndarray) else None
