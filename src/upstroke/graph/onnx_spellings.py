"""Turn copies, stacks and pads of axes of length one in an ONNX graph into the upsamplers that they spell."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy

from upstroke.graph.form import Graph, Shape
from upstroke.graph.onnx_constants import SMALL, Constants
from upstroke.graph.torch_interleaved import SOMETHING, ZEROS, Stacked, with_interleaved
from upstroke.graph.torch_spellings import with_repeats
from upstroke.graph.usual_layout import known

if TYPE_CHECKING:
    import onnx

__all__ = ["with_spelled"]

_COPIES = ("Expand", "Tile")
# What is laid beside maps is looked at up to this many numbers; of more, nobody says that all are zero.
_MOST = 2**20


def with_spelled(graph: Graph, nodes: "Sequence[onnx.NodeProto]", constants: Constants) -> Graph:
    """The graph with every upsampler that is spelled by axes of length one as one node.

    Such axes are copied (Expand, Tile), put beside others (Concat) or among zeros (Pad), and merged into the
    axes of space by a reshape.

    Args:
        graph: what was read.
        nodes: of the model.
        constants: of the model.
    """
    widened = {
        node.output: True
        for node in graph.nodes
        if node.operator in _COPIES
        and _widens(graph.shapes.get(node.inputs[0]), graph.shapes.get(node.output))
    }
    graph = with_repeats(graph, widened)
    maps = {*graph.inputs, *(node.output for node in graph.nodes)}
    for proto in nodes:
        stacked = None
        if proto.op_type == "Concat":
            stacked = _beside(proto, graph.shapes, maps, constants)
        elif proto.op_type == "Pad":
            stacked = _among_zeros(proto, graph.shapes, maps, constants)
        if stacked is not None:
            # maps of unknown shapes are none that such a row could go through
            shapes: Mapping[str, Shape] = defaultdict(tuple, graph.shapes)
            graph = with_interleaved(replace(graph, shapes=shapes), {proto.output[0]: stacked}, {})
    return replace(graph, shapes=dict(graph.shapes))


def _widens(before: Shape | None, after: Shape | None) -> bool:
    """Whether only axes of length one changed."""
    if not before or not after or len(before) != len(after) or before == after:
        return False
    return all(was in (1, now) for was, now in zip(before, after, strict=True))


def _beside(
    proto: "onnx.NodeProto", shapes: Mapping[str, Shape], maps: set[str], constants: Constants
) -> Stacked | None:
    """What a concatenation along an axis of length one lays beside each other."""
    after = known(shapes.get(proto.output[0], ()))
    if not after or len(after) < 4:
        return None
    axis = next((each.i for each in proto.attribute if each.name == "axis"), 0) % len(after)
    parts = [
        shapes.get(name) or tuple(constants.shape(name)) if name in constants else shapes.get(name)
        for name in proto.input
    ]
    if any(not part or len(part) != len(after) or part[axis] != 1 for part in parts):
        return None
    return Stacked(axes=(axis,), slots=tuple(_slot(name, maps, constants) for name in proto.input))


def _slot(name: str, maps: set[str], constants: Constants) -> str | None:
    if name in maps:
        return name
    if name not in constants or constants.length(name) > _MOST:
        return SOMETHING
    return SOMETHING if bool(numpy.any(constants[name])) else ZEROS


def _among_zeros(
    proto: "onnx.NodeProto", shapes: Mapping[str, Shape], maps: set[str], constants: Constants
) -> Stacked | None:
    """What a pad of axes of length one by zeros amounts to."""
    before, after = (known(shapes.get(name, ())) for name in (proto.input[0], proto.output[0]))
    attributes = {each.name: each for each in proto.attribute}
    mode = attributes["mode"].s if "mode" in attributes else b"constant"
    if not before or not after or len(before) != len(after) or proto.input[0] not in maps:
        return None
    if mode != b"constant" or not _is_zero(proto, constants):
        return None
    pads = list(attributes["pads"].ints) if "pads" in attributes else _whole_numbers(proto, 1, constants)
    axes = _whole_numbers(proto, 3, constants)
    every = list(range(len(before))) if axes is None else [axis % len(before) for axis in axes]
    if pads is None or len(pads) != 2 * len(every):
        return None
    sides = {axis: (pads[n], pads[n + len(every)]) for n, axis in enumerate(every)}
    padded = tuple(sorted(axis for axis, side in sides.items() if side != (0, 0)))
    if not padded or any(before[axis] != 1 or min(sides[axis]) < 0 for axis in padded):
        return None
    slots: list[str | None] = [ZEROS] * math.prod(after[axis] for axis in padded)
    place = 0
    for axis in padded:
        place = place * after[axis] + sides[axis][0]
    slots[place] = proto.input[0]
    return Stacked(axes=padded, slots=tuple(slots))


def _is_zero(proto: "onnx.NodeProto", constants: Constants) -> bool:
    """Whether what a pad fills in is zero, which it is where nothing else is said."""
    if any(each.name == "value" and each.f for each in proto.attribute):
        return False
    if len(proto.input) < 3 or not proto.input[2]:
        return True
    return _slot(proto.input[2], set(), constants) is ZEROS


def _whole_numbers(proto: "onnx.NodeProto", place: int, constants: Constants) -> list[int] | None:
    """An input that is a short list of whole numbers; None if it is not given, or not constant."""
    name = proto.input[place] if place < len(proto.input) else ""
    if not name or name not in constants or constants.length(name) > SMALL:
        return None
    return [int(each) for each in constants[name].flatten().tolist()]
