"""Turn maps whose samples take turns in a larger map into the upsampler that this amounts to."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from upstroke.graph.form import Graph, Node, Shape
from upstroke.graph.rearrange import pixel_shuffle_of
from upstroke.graph.steps import (
    Convolution,
    Join,
    Other,
    Pad,
    PerChannel,
    PixelShuffle,
    Pointwise,
    Pool,
    Reshape,
    Resize,
    Same,
    Step,
    Transpose,
    TransposedConvolution,
    Unread,
    Upsampling,
)
from upstroke.polyphase import Border, KernelForm, from_kernel_form

__all__ = [
    "SOMETHING",
    "STACKS",
    "ZEROS",
    "Interleaved",
    "Stacked",
    "View",
    "stacked_by",
    "strides_of",
    "with_interleaved",
]

# Operators that may lay maps beside each other, or among zeros, along axes of their own.
STACKS = ("stack", "cat", "constant_pad_nd")

_SPATIAL = Convolution | TransposedConvolution | Resize | Upsampling | PixelShuffle | Pool
_KEEPS_PLACES = Same | Pointwise | PerChannel | Pad | Join
# Shape, stride, offset and type: which part of some memory a tensor is.
View = tuple[tuple[int, ...], tuple[int, ...], int, torch.dtype]
# Of what a place in a larger map may hold: a map, zeros, or something else.
ZEROS, SOMETHING = None, ""


@dataclass(frozen=True, kw_only=True)
class Stacked:
    """Maps laid beside each other along axes of their own.

    Attributes:
        axes: those axes, of the map that they make.
        slots: what lies where along them, in C order: the name of a map, which may have these axes with
            length one or not at all, None for zeros, "" for anything else.
    """

    axes: tuple[int, ...]
    slots: tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True)
class Interleaved:
    """A larger map whose samples come from others in turns.

    Attributes:
        scale: turns per axis.
        slots: what is in each phase, in C order, as in Stacked.
    """

    scale: tuple[int, ...]
    slots: tuple[str | None, ...]


def with_interleaved(
    graph: Graph, stacked: Mapping[str, Stacked], written: Mapping[str, Interleaved]
) -> Graph:
    """The graph with every interleaving of maps as the upsampler that it is.

    Copies of one map are a nearest resize; one map among zeros is stuffed with zeros; different maps are
    joined as channels and shuffled. Channels last, heads and pairs of features are interleaved as well and
    are no upsamplers: what is read stands on maps whose last axes are known to be space.

    Args:
        graph: what was recorded.
        stacked: maps that are others stacked.
        written: maps that others were written into in turns.
    """
    for output, turns in written.items():
        node = graph.makers.get(output)
        if node is not None:
            graph = _with(graph, (node,), turns)
    for output, stack in stacked.items():
        node = graph.makers.get(output)
        if node is None:
            continue
        for plain in (stack, _with_flat_axes(stack, graph.shapes[output])):
            found = _found(graph, plain, node)
            if found is not None:
                graph = _with(graph, *found)
                break
    return graph


def _with_flat_axes(stack: Stacked, shape: Shape) -> Stacked:
    """The same with all axes of length one behind the channels: where nothing takes turns, one is alone."""
    flat = {axis for axis, size in enumerate(shape) if axis > 1 and size == 1}
    return replace(stack, axes=tuple(sorted(flat | set(stack.axes))))


def _found(graph: Graph, stack: Stacked, node: Node) -> tuple[tuple[Node, ...], Interleaved] | None:
    """The shortest row of nodes behind a stack that interleaves its maps, and how."""
    narrow = tuple(n for axis, n in enumerate(graph.shapes[node.output]) if axis not in stack.axes)
    slots = [slot and _unwrapped(graph, slot, narrow) for slot in stack.slots]
    if not any(slots) or not all(_is_space(graph, slot) for slot in slots if slot):
        return None
    plain = replace(stack, slots=tuple(slots))
    for run in _runs_behind(graph, node, rank=len(narrow)):
        turns = _turns(graph, plain, narrow, run)
        if turns is not None:
            return run, turns
    return None


def stacked_by(
    name: str, given: Mapping[str, Any], maps: Mapping[int, str], output: Tensor
) -> Stacked | None:
    """What one call of an operator in STACKS lays beside each other; None if it does anything else.

    Args:
        name: of the operator.
        given: its arguments.
        maps: the map that each tensor among them is, by id.
        output: what it gave.
    """
    if name == "constant_pad_nd":
        return _among_zeros(given, maps, output)
    tensors, axis = given["tensors"], given.get("dim", 0) % output.ndim
    if name == "cat" and any(tensor.ndim < 4 or tensor.shape[axis] != 1 for tensor in tensors):
        return None
    return Stacked(axes=(axis,), slots=tuple(_slot(tensor, maps) for tensor in tensors))


def _slot(tensor: Tensor, maps: Mapping[int, str]) -> str | None:
    found = maps.get(id(tensor))
    return found if found is not None else SOMETHING if bool(tensor.any()) else ZEROS


def _among_zeros(given: Mapping[str, Any], maps: Mapping[int, str], output: Tensor) -> Stacked | None:
    """What a pad of axes of length one amounts to."""
    taken, pad = given["self"], given["pad"]
    sides = {taken.ndim - 1 - place // 2: tuple(pad[place : place + 2]) for place in range(0, len(pad), 2)}
    axes = tuple(sorted(axis for axis, side in sides.items() if side != (0, 0)))
    if given["value"] or not axes or any(taken.shape[axis] != 1 or min(sides[axis]) < 0 for axis in axes):
        return None
    slots: list[str | None] = [ZEROS] * math.prod(output.shape[axis] for axis in axes)
    place = 0
    for axis in axes:
        place = place * output.shape[axis] + sides[axis][0]
    slots[place] = _slot(taken, maps)
    return Stacked(axes=axes, slots=tuple(slots))


def strides_of(tensor: Tensor, views: Mapping[str, View]) -> Interleaved | None:
    """The turns in which maps were written into a tensor, each once and every so many samples; else None.

    Args:
        tensor: what was written to.
        views: per map, shape, stride, offset and type of the view that it was written through.
    """
    scales, phases = set(), {}
    for name, (shape, stride, offset, _) in views.items():
        found = _stride(tensor, shape, stride, offset)
        if found is None:
            return None
        scales.add(found[0])
        phases[found[1]] = name
    if len(scales) != 1 or len(phases) < len(views) or not _holds_only(tensor, list(views.values())):
        return None
    (scale,) = scales
    places = torch.cartesian_prod(*map(torch.arange, scale)).reshape(-1, len(scale)).tolist()
    return Interleaved(scale=scale, slots=tuple(phases.get(tuple(place)) for place in places))


def _stride(
    tensor: Tensor, shape: Sequence[int], stride: Sequence[int], offset: int
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """How far apart along each axis the samples of a view lie, and where the first of them is."""
    if tensor.ndim < 3 or len(shape) != tensor.ndim or not tensor.is_contiguous():
        return None
    if tuple(shape[:2]) != tuple(tensor.shape[:2]):
        return None
    rest, scale, phase = offset - tensor.storage_offset(), [], []
    for size, length, own, step in zip(
        tensor.shape[2:], shape[2:], tensor.stride()[2:], stride[2:], strict=True
    ):
        first, rest = divmod(int(rest), own)
        each = step // own if length > 1 else size
        if (step % own and length > 1) or each < 1 or not 0 <= first < each or size != each * length:
            return None
        scale.append(each)
        phase.append(first)
    return None if rest or math.prod(scale) == 1 else (tuple(scale), tuple(phase))


def _holds_only(tensor: Tensor, views: Sequence[View]) -> bool:
    """Whether all is zero that was not written through these views."""
    with torch.no_grad():
        parts = (tensor.as_strided(shape, stride, offset) for shape, stride, offset, _ in views)
        return int(tensor.count_nonzero()) == sum(int(part.count_nonzero()) for part in parts)


def _unwrapped(graph: Graph, name: str, shape: Shape) -> str:
    """The map of this shape that one is a reshape of; "" if there is none."""
    while graph.shapes[name] != shape:
        maker = graph.makers.get(name)
        if maker is None or not isinstance(maker.step, Reshape | Same):
            return SOMETHING
        name = maker.inputs[0]
    return name


def _is_space(graph: Graph, name: str) -> bool:
    """Whether the last axes of a map are known to be space: an input's, or those of what slides windows."""
    while True:
        maker = graph.makers.get(name)
        if maker is None or isinstance(maker.step, _SPATIAL):
            return len(graph.shapes[name]) > 2
        alike = isinstance(maker.step, Other) and len(maker.inputs) == 1
        alike = alike and graph.shapes[maker.inputs[0]] == graph.shapes[name]
        if not alike and not isinstance(maker.step, _KEEPS_PLACES):
            return False
        name = maker.inputs[0]


def _runs_behind(graph: Graph, node: Node, *, rank: int) -> list[tuple[Node, ...]]:
    """Every row of rearrangements behind a node that ends in a map of this rank, shorter ones first."""
    runs, row = [], [node]
    following = graph.only_consumer(node.output)
    while following is not None and isinstance(following.step, Reshape | Transpose | Same):
        row.append(following)
        if len(graph.shapes[following.output]) == rank:
            runs.append(tuple(row))
        following = graph.only_consumer(following.output)
    return runs


def _turns(graph: Graph, stack: Stacked, narrow: Shape, run: Sequence[Node]) -> Interleaved | None:
    """In which turns the stacked maps come after the run; None if it does not interleave them.

    Stacked maps are what a pixel shuffle makes of maps side by side as channels. So put the axes of the stack
    behind the channels, and see whether the steps from there on are a pixel shuffle.
    """
    wide, count = graph.shapes[run[0].output], len(stack.slots)
    old = [axis for axis in range(len(wide)) if axis not in stack.axes]
    arranged = (*old[:2], *stack.axes, *old[2:])
    shapes: list[Shape] = [
        (narrow[0], (narrow[1] or 1) * count, *narrow[2:]),
        (*narrow[:2], *(wide[axis] for axis in stack.axes), *narrow[2:]),
        wide,
        *(graph.shapes[node.output] for node in run[1:]),
    ]
    order = tuple(arranged.index(axis) for axis in range(len(wide)))
    moves = [node.step for node in run[1:] if isinstance(node.step, Reshape | Transpose | Same)]
    shuffle = pixel_shuffle_of([Reshape(), Transpose(order=order), *moves], shapes)
    if shuffle is None or shapes[-1][1] != narrow[1] or math.prod(shuffle.scale) != count:
        return None
    source = torch.arange(count)[:, None] if shuffle.source is None else shuffle.source
    if shuffle.source is not None and bool((source // count != torch.arange(source.shape[1])).any()):
        return None
    return Interleaved(
        scale=shuffle.scale, slots=tuple(stack.slots[place] for place in (source[:, 0] % count).tolist())
    )


def _with(graph: Graph, run: Sequence[Node], turns: Interleaved) -> Graph:
    """The graph with the nodes that a run amounts to where its last one stood."""
    maps, shapes = [slot for slot in turns.slots if slot], dict(graph.shapes)
    spelling = "–".join(node.operator for node in run if not isinstance(node.step, Same))
    last = replace(run[-1], operator=spelling)
    found: Callable[[str, Step], Node] = lambda name, step: replace(last, inputs=(name,), step=step)  # noqa: E731
    nodes: tuple[Node, ...]
    if len(set(turns.slots)) == 1:
        factors = tuple(map(float, turns.scale))
        nodes = (found(maps[0], Resize(mode="nearest", scale=factors, coordinates="asymmetric")),)
    elif len(set(maps)) == 1 and SOMETHING not in turns.slots:
        nodes = (found(maps[0], _stuffed(turns)),)
    elif all(turns.slots) and len({graph.shapes[name] for name in maps}) == 1:
        batch, channels, *size = graph.shapes[maps[0]]
        together = f"{last.output}:joined"
        shapes[together] = (batch, (channels or 1) * len(maps), *size)
        source = torch.arange(len(maps))[:, None] * (channels or 1) + torch.arange(channels or 1)
        join = replace(
            last, name=together, inputs=tuple(maps), output=together, step=Join(kind="concatenate")
        )
        nodes = (join, found(together, PixelShuffle(scale=turns.scale, source=source)))
    else:
        reason = "maps and constants take turns in a larger map, which is not read"
        nodes = (replace(last, step=Unread(reason=reason), inputs=tuple(dict.fromkeys(maps))),)
    gone = {id(node) for node in run[:-1]}
    kept = [node for node in graph.nodes if id(node) not in gone]
    place = next(place for place, node in enumerate(kept) if node is run[-1])
    kept[place : place + 1] = nodes
    return replace(graph, nodes=_without_ends(kept, graph.outputs), shapes=shapes)


def _without_ends(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    """The nodes without rearrangements that nothing takes: what only made room for other maps."""
    kept, taken = [], set(outputs)
    for node in reversed(nodes):
        if node.output in taken or not isinstance(node.step, Reshape | Transpose | Same):
            kept.append(node)
            taken |= set(node.inputs)
    return tuple(reversed(kept))


def _stuffed(turns: Interleaved) -> Upsampling:
    """The operator that puts each sample where its turns are, and zeros elsewhere."""
    ones = torch.tensor([float(slot is not ZEROS) for slot in turns.slots], dtype=torch.float64)
    kernel = ones.reshape(1, 1, *turns.scale)
    ndim = len(turns.scale)
    zero: Border = "zero"
    operator = from_kernel_form(
        KernelForm(kernel=kernel, support=kernel[0, 0] > 0, crop=(0,) * ndim),
        scale=turns.scale,
        excess=(0,) * ndim,
        border=(zero,) * ndim,
        groups=1,
        shared=True,
    )
    return Upsampling(operator=operator)
