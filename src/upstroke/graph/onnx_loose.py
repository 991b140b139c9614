"""Turn an ONNX model into those of its constants that are no plain numbers of it, each with the reason."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from upstroke.graph.onnx_constants import Constants

if TYPE_CHECKING:
    import onnx

__all__ = ["REASONS", "Loose", "is_fixed", "loose_constants"]

Loose = Literal["given by the caller", "quantised", "a size"]

REASONS: Mapping[Loose, str] = {
    "given by the caller": "its weights are an input of the model, which the caller may give otherwise",
    "quantised": "it is quantised: its weights are stored as whole numbers",
}
# Before this version of the format every weight stood among the inputs, and none could be given.
GIVEN_SINCE = 4
_STARTS: Mapping[str, Loose] = {"DequantizeLinear": "quantised", "Shape": "a size", "Size": "a size"}


def loose_constants(model: "onnx.ModelProto", constants: Constants) -> dict[str, Loose]:
    """By name, the constants that another call, another size or whole numbers make.

    What is computed from one of them is another; of several reasons the first one is kept.
    """
    found: dict[str, Loose] = {}
    if model.ir_version >= GIVEN_SINCE:
        stored = {tensor.name for tensor in model.graph.initializer}
        found = {entry.name: "given by the caller" for entry in model.graph.input if entry.name in stored}
    for node in model.graph.node:
        outputs = [name for name in node.output if name]
        if not all(name in constants for name in outputs):
            continue
        starts = [_STARTS[node.op_type]] if node.op_type in _STARTS else []
        # a shape says nothing of the numbers it is the shape of
        inherited = [] if starts == ["a size"] else [found[name] for name in node.input if name in found]
        reasons = [*inherited, *starts]
        if reasons:
            found |= dict.fromkeys(outputs, reasons[0])
    return found


def is_fixed(inputs: "list[onnx.ValueInfoProto]") -> bool:
    """Whether a model says of every axis of its inputs, but for the batch, how long it is."""
    kinds = [entry.type.tensor_type for entry in inputs]
    return bool(kinds) and all(
        kind.HasField("shape") and all(axis.dim_value > 0 for axis in kind.shape.dim[1:]) for kind in kinds
    )
