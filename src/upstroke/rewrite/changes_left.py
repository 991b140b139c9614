"""Turn a row of nodes into the reason why it must stay as it is, if there is one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from upstroke.graph import Graph, Node
from upstroke.graph.steps import Convolution, PerChannel, Same, Step, TransposedConvolution, Upsampling

__all__ = ["QUANTISED", "is_half", "is_quantised", "reason_to_leave"]

# The operators of ONNX and of PyTorch that turn numbers into whole ones and back, or compute with those.
ON_WHOLE_NUMBERS = frozenset(
    {
        "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv",
        "QLinearMatMul", "QuantizeLinear",
    }
)  # fmt: skip
QUANTISED = "it is quantised: it stands among operators on whole numbers, which round"
# Where a map becomes one of another type.
CASTS = frozenset({"Cast", "CastLike", "aten._to_copy"})
HALF = (torch.float16, torch.bfloat16)


def reason_to_leave(nodes: Sequence[Node], graph: Graph, *, composed: bool) -> str:
    """Why nodes must stay as they are, without a full stop; empty where nothing speaks against it.

    Args:
        nodes: in a row.
        graph: where they stand.
        composed: whether their weights are to be multiplied with one another.
    """
    if is_quantised(nodes, graph):
        return QUANTISED
    for node in nodes:
        if node.output in graph.loose:
            return graph.loose[node.output]
    cast = next((node for node in nodes if node.operator in CASTS), None)
    if cast is not None:
        return f"{cast.operator} {cast.name} makes numbers of another type on the way"
    if composed and is_half(nodes):
        return (
            "its weights are 16-bit numbers, and taps of both kernels, rounded one by one, would give phases "
            "of unequal gain"
        )
    if not all(bool(torch.isfinite(each).all()) for node in nodes for each in _numbers(node.step)):
        return "there are NaN or infinite numbers among its weights"
    return ""


def is_half(nodes: Sequence[Node]) -> bool:
    """Whether any of these nodes has weights of 16 bits."""
    return any(each.dtype in HALF for node in nodes for each in _numbers(node.step))


def is_quantised(nodes: Sequence[Node], graph: Graph) -> bool:
    """Whether a node, or what stands on either side, computes with whole numbers."""
    ahead = _passing(nodes[0], graph, forwards=False)
    behind = _passing(nodes[-1], graph, forwards=True)
    return any(_counts_whole(node.operator) for node in (*nodes, *ahead, *behind))


def _numbers(step: Step) -> tuple[Tensor, ...]:
    found: tuple[Tensor | None, ...] = ()
    if isinstance(step, Convolution | TransposedConvolution):
        found = (step.weight, step.bias)
    elif isinstance(step, PerChannel):
        found = (step.gain, step.shift)
    elif isinstance(step, Upsampling):
        found = (step.operator.taps, step.bias)
    return tuple(each.detach() for each in found if each is not None)


def _counts_whole(operator: str) -> bool:
    return operator.rpartition("::")[2] in ON_WHOLE_NUMBERS or "quantize" in operator.lower()


def _passing(node: Node, graph: Graph, *, forwards: bool) -> tuple[Node, ...]:
    """The nodes next to one, past what leaves the map as it is."""
    if forwards:
        found = graph.consumers.get(node.output, ())
    else:
        found = tuple(graph.makers[name] for name in node.inputs if name in graph.makers)
    further = (_passing(each, graph, forwards=forwards) for each in found if isinstance(each.step, Same))
    return (*found, *(node for nodes in further for node in nodes))
