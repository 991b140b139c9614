"""Turn an ONNX model's weights, and what it computes from weights and sizes alone, into arrays."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy

from upstroke.errors import FileError
from upstroke.graph.form import Shape

if TYPE_CHECKING:
    import onnx

__all__ = ["Constants", "constants_of", "fold"]

# What exporters put between a stored number and its use.
FOLDABLE = """
    Add And Cast CastLike Ceil Concat ConstantOfShape DequantizeLinear Div Equal Expand Flatten Floor Gather
    Greater Identity Less Max Min Mod Mul Neg Not Or Pow Range Reciprocal ReduceProd Reshape Round Slice Sqrt
    Squeeze Sub Transpose Unsqueeze Where
"""
# These can make much out of little, which a file that nobody vouches for may ask for.
GROWING = frozenset({"ConstantOfShape", "Expand", "Range"})
SMALL = 2**16


class Constants:
    """Arrays by name, taken out of the model when they are first asked for."""

    def __init__(self) -> None:
        self._stored: dict[str, Any] = {}
        self._arrays: dict[str, numpy.ndarray] = {}

    def store(self, name: str, tensor: "onnx.TensorProto") -> None:
        """Keep a tensor of the model."""
        self._stored[name] = tensor

    def add(self, name: str, array: numpy.ndarray) -> None:
        """Keep an array."""
        self._arrays[name] = array

    def length(self, name: str) -> int:
        """How many numbers a constant has, without reading them."""
        return self._arrays[name].size if name in self._arrays else math.prod(self._stored[name].dims)

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
            for attribute in node.attribute:
                _keep(constants, node.output[0], attribute)
    return constants


def fold(node: "onnx.NodeProto", version: int, constants: Constants, shapes: Mapping[str, Shape]) -> bool:
    """Compute a node from constants and known shapes alone; whether that could be done."""
    if node.domain not in ("", "ai.onnx") or len(node.output) != 1:
        return False
    if node.op_type in ("Shape", "Size"):
        return _fold_shape(node, constants, shapes)
    names = [name for name in node.input if name]
    if node.op_type not in FOLDABLE.split() or not all(name in constants for name in names):
        return False
    if not _is_modest(node, [constants.length(name) for name in names], constants, shapes):
        return False
    value = _evaluated(node, version, {name: constants[name] for name in names})
    if value is not None:
        constants.add(node.output[0], value)
    return value is not None


def _keep(constants: Constants, name: str, attribute: "onnx.AttributeProto") -> None:
    from onnx import helper

    if attribute.name == "value":
        constants.store(name, attribute.t)
    elif attribute.name in ("value_float", "value_floats"):
        constants.add(name, numpy.array(helper.get_attribute_value(attribute), dtype=numpy.float32))
    elif attribute.name in ("value_int", "value_ints"):
        constants.add(name, numpy.array(helper.get_attribute_value(attribute), dtype=numpy.int64))


def _fold_shape(node: "onnx.NodeProto", constants: Constants, shapes: Mapping[str, Shape]) -> bool:
    known = [size for size in shapes.get(node.input[0], (None,)) if size is not None]
    if len(known) < len(shapes.get(node.input[0], (None,))):
        return False
    if node.op_type == "Size":
        constants.add(node.output[0], numpy.array(math.prod(known), dtype=numpy.int64))
        return True
    ends = {attribute.name: attribute.i for attribute in node.attribute}
    part = known[ends.get("start") : ends.get("end")]
    constants.add(node.output[0], numpy.array(part, dtype=numpy.int64))
    return True


def _is_modest(
    node: "onnx.NodeProto", lengths: list[int], constants: Constants, shapes: Mapping[str, Shape]
) -> bool:
    """Whether the result is no larger than what it is made of, or small."""
    if node.op_type in GROWING:
        return _grown_length(node, constants) <= SMALL
    # two operands of lengths n and m make at most n * m numbers, and one that is stretched is one number
    return sum(n > 1 for n in lengths) < 2 or math.prod(lengths) <= SMALL or _made_of_parts(node)


def _made_of_parts(node: "onnx.NodeProto") -> bool:
    return node.op_type in (
        "Concat",
        "Gather",
        "Reshape",
        "Slice",
        "Squeeze",
        "Unsqueeze",
        "DequantizeLinear",
    )


def _grown_length(node: "onnx.NodeProto", constants: Constants) -> int:
    if any(constants.length(name) > SMALL for name in node.input):
        return 2 * SMALL
    values = [constants[name].flatten().tolist() for name in node.input]
    if node.op_type == "Range":
        start, limit, step = (value[0] for value in values)
        return int((limit - start) / step) if step else 2 * SMALL
    shape: list[int] = values[-1]
    return math.prod(max(1, size) for size in shape) * max(
        1, len(values[0]) if node.op_type == "Expand" else 1
    )


def _evaluated(
    node: "onnx.NodeProto", version: int, inputs: dict[str, numpy.ndarray]
) -> numpy.ndarray | None:
    """What onnx's own reference makes of a node; None if it makes nothing of it."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    def declared(name: str) -> "onnx.ValueInfoProto":
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)

    graph = helper.make_graph([node], "one", [declared(name) for name in inputs], [declared(node.output[0])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
    try:
        with numpy.errstate(all="ignore"):
            (value,) = ReferenceEvaluator(model).run(None, inputs)
    except Exception:  # a node that cannot be computed is one whose value is not known
        return None
    return value if isinstance(value, numpy.ndarray) else None
