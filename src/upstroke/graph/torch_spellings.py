"""Turn the detours that PyTorch makes, or makes one write, into the resize or pool that they amount to."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from upstroke.graph.form import Graph, Node, Shape
from upstroke.graph.growth import grown, is_larger
from upstroke.graph.rearrange import pixel_shuffle_of
from upstroke.graph.steps import Pool, Reshape, Resize, Same, Step, Transpose, Unread

__all__ = ["with_plain_axes", "with_repeats"]

_Moves = Reshape | Transpose | Same


def with_repeats(graph: Graph, widened: Mapping[str, bool]) -> Graph:
    """The graph with every nearest resize that is spelled by copies, as `repeat_interleave` is, as one node.

    A map gets axes of length one, these are widened, and a reshape merges them into the spatial axes. Where
    that makes a map larger and is no nearest resize, such as a product with a kernel, the last is Unread.

    Args:
        graph: what was recorded.
        widened: maps that are others with axes of length one widened, and whether by nothing but copies.
    """
    for output, by_copies in widened.items():
        node = graph.makers.get(output)
        if node is not None:
            graph = _with_repeat(graph, node, by_copies=by_copies)
    return graph


def with_plain_axes(graph: Graph) -> Graph:
    """The graph with every pool and resize of one axis, which PyTorch computes as one of two, as one node."""
    for node in graph.nodes:
        ahead, behind = (
            graph.makers.get(node.inputs[0]) if node.inputs else None,
            graph.only_consumer(node.output),
        )
        if ahead is None or behind is None or graph.only_consumer(ahead.output) is not node:
            continue
        before, middle, after = (
            _known(graph, name) for name in (ahead.inputs[0], ahead.output, behind.output)
        )
        detour = isinstance(ahead.step, Reshape) and isinstance(behind.step, Reshape)
        if not detour or len(before) != 3 or len(after) != 3 or middle != (*before[:2], 1, before[2]):
            continue
        step = _of_last_axis(node.step)
        if step is not None and _known(graph, node.output) == (*after[:2], 1, after[2]):
            plain = replace(node, inputs=ahead.inputs, output=behind.output, step=step)
            graph = _instead(graph, (ahead, node, behind), plain)
    return graph


def _with_repeat(graph: Graph, widening: Node, *, by_copies: bool) -> Graph:
    """The graph with the resize around one widening as one node, if it is one."""
    runs = list(_runs_around(graph, widening))
    for run in runs if by_copies else ():
        scale = _repeats(graph, run, widening)
        if scale is not None:
            factors = tuple(float(each) for each in scale)
            step = Resize(mode="nearest", scale=factors, coordinates="asymmetric")
            spelling = "–".join(node.operator for node in run if not isinstance(node.step, Same))
            return _instead(graph, run, replace(run[-1], operator=spelling, inputs=run[0].inputs, step=step))
    for run in runs:
        before, after = _known(graph, run[0].inputs[0]), _known(graph, run[-1].output)
        if is_larger(before, after):
            unread = Unread(reason=grown(widening.operator.removeprefix("aten."), before, after))
            return _instead(graph, run[-1:], replace(run[-1], step=unread))
    return graph


def _runs_around(graph: Graph, widening: Node) -> Iterator[tuple[Node, ...]]:
    """Every row of nodes around a widening that gives as many axes as it takes, shorter ones first."""
    ahead = [widening]
    while True:
        rank = len(_known(graph, ahead[0].inputs[0]))
        behind: list[Node] = []
        following = graph.only_consumer(widening.output)
        while following is not None and isinstance(following.step, _Moves):
            behind.append(following)
            if len(_known(graph, following.output)) == rank and not isinstance(following.step, Same):
                yield (*ahead, *behind)
            following = graph.only_consumer(following.output)
        maker = graph.makers.get(ahead[0].inputs[0])
        if (
            maker is None
            or not isinstance(maker.step, Reshape)
            or graph.only_consumer(maker.output) is not ahead[0]
        ):
            return
        ahead.insert(0, maker)


def _repeats(graph: Graph, run: Sequence[Node], widening: Node) -> tuple[int, ...] | None:
    """How often each sample is repeated along each axis, or None if this is something else.

    Copies of a sample are what a pixel shuffle makes of copies of a channel. So put the widened axes behind
    the channels, and see whether the steps from there on are the usual pixel shuffle.
    """
    before = _known(graph, run[0].inputs[0])
    narrow, wide = _known(graph, widening.inputs[0]), _known(graph, widening.output)
    if len(before) < 3 or len(narrow) != len(wide):
        return None
    new: list[int] = []
    old: list[int] = []
    for axis, (was, now) in enumerate(zip(narrow, wide, strict=True)):
        (old if was == now and before[len(old) : len(old) + 1] == (now,) else new).append(axis)
    copies = tuple(wide[axis] for axis in new)
    if len(old) < len(before) or any(narrow[axis] != 1 for axis in new):
        return None
    arranged = (*old[:2], *new, *old[2:])
    behind = run[run.index(widening) + 1 :]
    count = math.prod(each or 1 for each in copies)
    shapes: list[Shape] = [
        (before[0], (before[1] or 1) * count, *before[2:]),
        (*before[:2], *copies, *before[2:]),
        wide,
        *(_known(graph, node.output) for node in behind),
    ]
    order = tuple(arranged.index(axis) for axis in range(len(wide)))
    moves = [node.step for node in behind if isinstance(node.step, _Moves)]
    shuffle = pixel_shuffle_of([Reshape(), Transpose(order=order), *moves], shapes)
    # any order of the copies gives the same map, as long as each channel stays with its own
    if shuffle is None or shapes[-1][1] != before[1]:
        return None
    if shuffle.source is not None and not _keeps_channels(shuffle.source.tolist(), count):
        return None
    return shuffle.scale


def _keeps_channels(source: Sequence[Sequence[int]], count: int) -> bool:
    return all(channel // count == out for row in source for out, channel in enumerate(row))


def _instead(graph: Graph, run: Sequence[Node], node: Node) -> Graph:
    """The graph with one node in place of several, where the last of them stood."""
    gone = {id(each) for each in run[:-1]}
    nodes = (node if each is run[-1] else each for each in graph.nodes if id(each) not in gone)
    return replace(graph, nodes=tuple(nodes))


def _of_last_axis(step: Step) -> Step | None:
    """What a step of two axes does along the second, if it does nothing along the first."""
    if isinstance(step, Pool) and step.kernel[:-1] == (1,) and step.padding[:-1] == ((0, 0),):
        return replace(step, kernel=step.kernel[1:], stride=step.stride[1:], padding=step.padding[1:])
    if isinstance(step, Resize) and step.scale[:-1] == (1.0,):
        return replace(step, scale=step.scale[1:])
    return None


def _known(graph: Graph, tensor: str) -> Shape:
    return graph.shapes.get(tensor, ())
