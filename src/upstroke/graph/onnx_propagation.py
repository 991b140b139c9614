"""Tell whether inference may carry the values of shapes from node to node, or would carry too many."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from upstroke.graph.onnx_call import LARGEST

if TYPE_CHECKING:
    import onnx

__all__ = ["may_carry"]

# Through these onnx carries values while it infers shapes; of them only Concat makes more of them.
CARRYING = frozenset(
    {"Add", "Cast", "Concat", "Gather", "Mul", "Shape", "Size", "Slice", "Squeeze", "Sub", "Unsqueeze"}
)
# Models have a few thousand such nodes on a few numbers each; a number takes some 150 bytes there.
MOST = 2**20
# What a shape has when nothing is known of it; a map has up to 5 axes.
AXES = 8


def may_carry(graph: "onnx.GraphProto") -> bool:
    """Whether all values that are carried are few; a chain of joins can double them at every node."""
    lengths = {tensor.name: _carried(tensor) for tensor in graph.initializer}
    total = 0
    for node in _all_nodes(graph):
        if node.op_type not in CARRYING:
            continue
        taken = [lengths.get(name, AXES) for name in node.input]
        if node.op_type == "Concat":
            length = sum(taken)
        elif node.op_type in ("Shape", "Size"):
            length = AXES
        else:
            length = max(taken, default=0)
        lengths.update(dict.fromkeys(node.output, length))
        total += length
        if total > MOST:
            return False
    return True


def _carried(tensor: "onnx.TensorProto") -> int:
    """How many numbers of a weight are carried: those of short lists of whole numbers."""
    length = math.prod(tensor.dims)
    whole = tensor.data_type in (tensor.INT32, tensor.INT64)
    return length if whole and len(tensor.dims) < 2 and length <= LARGEST else 1


def _all_nodes(graph: "onnx.GraphProto") -> Iterator["onnx.NodeProto"]:
    """Every node, those in bodies among them, which are inferred where they stand."""
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                yield from _all_nodes(body)
        yield node
