"""Turn a model into how many multiply-adds it takes and how many parameters it has."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from upstroke.diagnose import cost
from upstroke.graph import Graph, Node, Shape
from upstroke.graph.steps import (
    Convolution,
    Filter,
    Mixing,
    Other,
    Product,
    Resize,
    TransposedConvolution,
    Unread,
    Upsampling,
)
from upstroke.graph.torch_state import memory_of, own_tensors

if TYPE_CHECKING:
    import onnx

__all__ = ["Count", "multiply_adds", "multiply_adds_of", "parameters_of_module", "parameters_of_onnx"]

_MULTIPLY = Convolution | TransposedConvolution | Resize | Upsampling | Product
TAPS = {"nearest": 0, "linear": 2, "cubic": 4}
LINEAR = "a linear layer"
# what a node that resizes takes beside its map: a region, scales, sizes
NO_PARAMETERS = ("Resize", "Upsample")


@dataclass(frozen=True, kw_only=True)
class Count:
    """Multiply-adds of a model at the sizes of its graph, borders counted like the middle.

    Attributes:
        by_map: of the node that makes each map, for nodes that multiply; None where a size is not known.
        uncounted: why a node that may multiply is not counted, by the map that it makes.
    """

    by_map: Mapping[str, float | None]
    uncounted: Mapping[str, str]

    @property
    def total(self) -> float | None:
        """Of all nodes that are counted; None where a size is not known."""
        known = [value for value in self.by_map.values() if value is not None]
        return float(sum(known)) if len(known) == len(self.by_map) else None


def multiply_adds(graph: Graph) -> Count:
    """Count the multiply-adds of convolutions, transposed ones, resizes, linear layers and matrix products.

    A convolution costs its output positions times its taps, a transposed one its *input* positions times its
    taps, a resize its samples times the taps of its kernel on the axes that change, nearest nothing, and a
    linear layer or a product the numbers that it gives times those that each is made of. What only adds
    (pools) or multiplies a sample by one number (normalisations, activations) is not counted.

    >>> import torch
    >>> from torch import nn
    >>> from upstroke.graph.torch import record
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ConvTranspose2d(8, 2, 4, stride=2, padding=1))
    >>> multiply_adds(record(net, [torch.rand(1, 3, 5, 7)])).by_map  # 35 * 8 * 3 * 9 and 35 * 8 * 2 * 16
    {'0': 7560.0, '1': 8960.0}
    """
    by_map: dict[str, float | None] = {}
    uncounted: dict[str, str] = {}
    for node in graph.nodes:
        step = node.step
        if isinstance(step, Unread):
            uncounted[node.output] = step.reason
        elif isinstance(step, Filter):
            uncounted[node.output] = "a convolution with weights that the model computes"
        elif isinstance(step, Other) and step.reason:
            uncounted[node.output] = step.reason
        elif _multiplies(node):
            by_map[node.output] = _of(node, graph)
    return Count(by_map=by_map, uncounted=uncounted)


def multiply_adds_of(nodes: Sequence[Node], graph: Graph) -> float | None:
    """The multiply-adds of some nodes, as `multiply_adds` counts them; None where a size is not known."""
    each = [_of(node, graph) for node in nodes if _multiplies(node)]
    known = [count for count in each if count is not None]
    return float(sum(known)) if len(known) == len(each) else None


def parameters_of_module(module: nn.Module) -> int:
    """Numbers that a module holds: floating parameters and buffers, those that share memory once.

    >>> parameters_of_module(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))  # 216 + 8 + 4 * 8
    256
    """
    held: dict[int, dict[tuple[int, int], int]] = {}
    room: dict[int, int] = {}
    for tensor in own_tensors(module.modules()):
        if tensor.is_floating_point() or tensor.is_complex():
            place = memory_of(tensor)
            held.setdefault(place, {})[(int(tensor.storage_offset()), tensor.numel())] = tensor.numel()
            room[place] = tensor.untyped_storage().nbytes() // tensor.element_size()
    # views that overlap are no more than what they are views of
    return sum(min(room[place], sum(views.values())) for place, views in held.items())


def parameters_of_onnx(model: "onnx.ModelProto") -> int:
    """Floating numbers of a model's initializers that its nodes take, scales and regions of resizes left out.

    >>> from onnx import parser
    >>> parameters_of_onnx(parser.parse_model('''<ir_version: 8, opset_import: ["" : 18]>
    ... net (float[1, 2, L] x) => (float[1, 2, M] y) <float[3] s = {1, 1, 2}, float[2, 2, 1] w = {1, 2, 3, 4}>
    ... { a = Resize (x, , s) y = Conv (a, w) }'''))
    4
    """
    taken = set(_taken(model.graph))
    total = 0
    for graph in _graphs(model.graph):
        total += sum(math.prod(each.dims) for each in graph.initializer if _counts(each, taken))
        for each in graph.sparse_initializer:
            total += math.prod(each.values.dims) if _counts(each.values, taken) else 0
        for node in graph.node:
            if node.op_type == "Constant" and taken.intersection(node.output):
                tensors = (each.t for each in node.attribute if each.name == "value")
                total += sum(math.prod(each.dims) for each in tensors if _is_floating(each))
    return total


def _multiplies(node: Node) -> bool:
    step = node.step
    return isinstance(step, _MULTIPLY) or (isinstance(step, Mixing) and step.what == LINEAR)


def _of(node: Node, graph: Graph) -> float | None:
    """Multiply-adds of one node, if the sizes that it needs are known."""
    step = node.step
    before = graph.shapes.get(node.inputs[0]) if node.inputs else None
    after = graph.shapes.get(node.output)
    if isinstance(step, Convolution):
        return _times(_positions(after, len(step.stride)), step.weight.numel())
    if isinstance(step, TransposedConvolution):
        return _times(_positions(before, len(step.stride)), step.weight.numel())
    if isinstance(step, Resize):
        taps = math.prod(TAPS[step.mode] if scale != 1 else 1 for scale in step.scale)
        return 0.0 if not TAPS[step.mode] else _times(_numbers(after), taps)
    if isinstance(step, Upsampling):
        return _of_upsampling(step, before)
    if before is None or after is None:
        return None
    length = before[step.axis % len(before)] if isinstance(step, Mixing) else before[-1]
    return None if length is None else _times(_numbers(after), length)


def _of_upsampling(step: Upsampling, before: Shape | None) -> float | None:
    channels = None if before is None or len(before) < 2 else before[-1 - step.operator.ndim]
    if channels is None:
        return None
    each = cost(step.operator, channels=channels).multiply_adds_per_input
    return _times(_positions(before, step.operator.ndim), each)


def _positions(shape: Shape | None, axes: int) -> float | None:
    """Batch times size: the numbers of one channel."""
    if shape is None or len(shape) <= axes:
        return None
    return _numbers((*shape[: len(shape) - axes - 1], *shape[len(shape) - axes :]))


def _numbers(shape: Shape | None) -> float | None:
    if shape is None or None in shape:
        return None
    return float(math.prod(n for n in shape if n is not None))


def _times(count: float | None, each: int) -> float | None:
    return None if count is None else count * each


def _graphs(graph: "onnx.GraphProto") -> "list[onnx.GraphProto]":
    """A graph and all bodies in it."""
    found = [graph]
    for node in graph.node:
        for attribute in node.attribute:
            # 5 and 10 are a graph and graphs
            for body in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                found += _graphs(body)
    return found


def _taken(graph: "onnx.GraphProto") -> list[str]:
    """Names that nodes take as numbers to compute with."""
    return [
        name
        for each in _graphs(graph)
        for node in each.node
        for name in (node.input[:1] if node.op_type in NO_PARAMETERS else node.input)
    ]


def _counts(tensor: "onnx.TensorProto", taken: set[str]) -> bool:
    return tensor.name in taken and _is_floating(tensor)


def _is_floating(tensor: "onnx.TensorProto") -> bool:
    from onnx import TensorProto

    kinds = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
    return tensor.data_type in kinds
