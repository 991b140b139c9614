"""Turn products with a matrix that make a map larger along space into nodes that are not read."""

from collections.abc import Iterator
from dataclasses import replace

from upstroke.graph.form import Graph, Node, Shape
from upstroke.graph.growth import grown, is_larger
from upstroke.graph.rearrange import came_from
from upstroke.graph.steps import (
    Convolution,
    Join,
    Mixing,
    Pad,
    PerChannel,
    PixelShuffle,
    Pointwise,
    Pool,
    Reshape,
    Resize,
    Same,
    Stays,
    Transpose,
    TransposedConvolution,
    Unread,
    Upsampling,
)
from upstroke.graph.usual_layout import known

__all__ = ["with_products"]

_MOVES = (Reshape, Transpose, Same)
# What these give is (batch, channels, *space); so is what is not read because it grows.
_SPATIAL = (Convolution, TransposedConvolution, Resize, Upsampling, PixelShuffle, Pool, Unread)
_KEEPS_PLACES = (Same, Pointwise, PerChannel, Pad, Stays, Join)
_KEEPS_AXES = (*_MOVES, Pointwise, PerChannel, Stays, Mixing)


def with_products(graph: Graph) -> Graph:
    """The graph with every product with a constant matrix that resizes a map along space as not read.

    Linear layers over features, and over rows of tokens, are products as well: what counts works along whole
    axes of space of a map (batch, channels, *space), and a larger such map comes of it. A hidden layer, from
    which a second product comes back to the same size, does not count.
    """
    for node in graph.nodes:
        if isinstance(node.step, Mixing):
            graph = _with_product(graph, node)
    return graph


def _with_product(graph: Graph, node: Node) -> Graph:
    ahead = list(_ahead(graph, node))
    start = ahead[0].inputs[0] if ahead else node.inputs[0]
    shapes = [known(graph.shapes.get(name, ())) for name in (start, *(each.output for each in ahead))]
    before, whole = shapes[0], [shape for shape in shapes if shape is not None]
    assert isinstance(node.step, Mixing)
    if not before or len(whole) < len(shapes):
        return graph
    moves = [each.step for each in ahead if isinstance(each.step, _MOVES)]
    axes = came_from(moves, whole, axis=node.step.axis % len(whole[-1]))
    if not axes or min(axes) < 2:
        return graph
    row = [node, *_behind(graph, node)]
    small = _without_ones(before)
    ends = [each for each in row if is_larger(small, _without_ones(graph.shapes.get(each.output, ())))]
    if not ends or not _is_space(graph, start, ends[-1].output) or _comes_back(graph, ends[-1], before):
        return graph
    after = _without_ones(graph.shapes[ends[-1].output])
    unread = replace(ends[-1], step=Unread(reason=grown("a matrix product", small, after)))
    return replace(graph, nodes=tuple(unread if each is ends[-1] else each for each in graph.nodes))


def _without_ones(shape: Shape) -> Shape:
    """A shape without axes of one sample behind the channels, as sums over pairs of axes leave them."""
    return (*shape[:2], *(size for size in shape[2:] if size != 1))


def _ahead(graph: Graph, node: Node) -> Iterator[Node]:
    """The rearrangements that lead to a node, in order."""
    row: list[Node] = []
    maker = graph.makers.get(node.inputs[0])
    while maker is not None and isinstance(maker.step, _MOVES):
        row.insert(0, maker)
        maker = graph.makers.get(maker.inputs[0])
    yield from row


def _behind(graph: Graph, node: Node) -> Iterator[Node]:
    """The rearrangements of what a node gives, in order."""
    following = graph.only_consumer(node.output)
    while following is not None and isinstance(following.step, _MOVES):
        yield following
        following = graph.only_consumer(following.output)


def _comes_back(graph: Graph, node: Node, size: tuple[int, ...]) -> bool:
    """Whether a second product makes the map as large as it was, with nothing between that slides windows."""
    following, again = graph.only_consumer(node.output), False
    while following is not None and isinstance(following.step, _KEEPS_AXES):
        again = again or isinstance(following.step, Mixing)
        if again and graph.shapes.get(following.output) == size:
            return True
        following = graph.only_consumer(following.output)
    return False


def _is_space(graph: Graph, name: str, end: str) -> bool:
    """Whether a map is known to be (batch, channels, *space).

    It is if that follows from what slides windows, before it or, for an input, behind it.
    """
    while True:
        maker = graph.makers.get(name)
        if maker is None:
            return any(_slides_on(graph, each) for each in (name, end))
        if isinstance(maker.step, _SPATIAL):
            return len(graph.shapes.get(name, ())) > 2
        if not isinstance(maker.step, _KEEPS_PLACES):
            return False
        name = maker.inputs[0]


def _slides_on(graph: Graph, name: str) -> bool:
    """Whether windows slide over a map, or over what is made of it sample by sample."""
    waiting, seen = [name], {name}
    while waiting:
        for node in graph.consumers.get(waiting.pop(), ()):
            if isinstance(node.step, _SPATIAL) and not isinstance(node.step, Unread):
                return True
            if isinstance(node.step, _KEEPS_PLACES) and node.output not in seen:
                seen.add(node.output)
                waiting.append(node.output)
    return False
