"""Turn convolutions of one map whose channels are dealt out as phases into the upsampler that they make."""

import math
from dataclasses import replace

import torch

from upstroke.graph.form import Graph, Node
from upstroke.graph.steps import Convolution, Join, Pad, PixelShuffle, Upsampling
from upstroke.polyphase import Border, Margin, PhaseConvsForm, from_phase_convs

__all__ = ["with_phase_convolutions"]


def with_phase_convolutions(graph: Graph) -> Graph:
    """The graph with every row of phase convolutions, concatenation and pixel shuffle as one node.

    Each convolution reads its own window of the one map, so that none of them sits where the map does: taken
    for branches of a join they would seem to drift, which the shuffle puts right.

    >>> from upstroke.graph.steps import Part
    >>> def conv(sides: tuple[int, int]) -> Convolution:
    ...     weight = torch.ones(1, 1, 2)
    ...     return Convolution(weight=weight, bias=None, stride=(1,), padding=(sides,), dilation=(1,))
    >>> even = Node(name="a", operator="Conv", inputs=("x",), output="a", step=conv((1, 0)))
    >>> odd = Node(name="b", operator="Conv", inputs=("x",), output="b", step=conv((0, 1)))
    >>> join, shuffle = Join(kind="concatenate"), PixelShuffle(scale=(2,))
    >>> both = Node(name="c", operator="Concat", inputs=("a", "b"), output="c", step=join)
    >>> grow = Node(name="up", operator="PixelShuffle", inputs=("c",), output="y", step=shuffle)
    >>> graph = Graph(
    ...     model="", source="", nodes=(even, odd, both, grow), inputs=("x",), outputs=("y",), shapes={}
    ... )
    >>> (node,) = with_phase_convolutions(graph).nodes
    >>> node.operator, node.step.operator.scale, node.step.operator.origin
    ('Conv–Concat–PixelShuffle', (2,), (1,))
    """
    found: dict[str, Node] = {}
    gone: set[str] = set()
    for node in graph.nodes:
        made = _made(node, graph) if isinstance(node.step, PixelShuffle) else None
        if made is not None:
            found[node.output], spared = made
            gone |= spared
    if not found:
        return graph
    nodes = (found.get(node.output, node) for node in graph.nodes if node.output not in gone)
    return replace(graph, nodes=tuple(nodes))


def _made(shuffle: Node, graph: Graph) -> tuple[Node, set[str]] | None:
    """The one node, and the maps that are then no longer made."""
    join = graph.makers.get(shuffle.inputs[0])
    if join is None or not isinstance(join.step, Join) or join.step.kind != "concatenate":
        return None
    step = shuffle.step
    assert isinstance(step, PixelShuffle)
    parts = [graph.makers.get(name) for name in join.inputs]
    phases = math.prod(step.scale)
    is_whole = not join.step.parts or len(join.step.parts) == len(parts)
    if graph.only_consumer(join.output) is not shuffle or len(set(join.inputs)) != phases or not is_whole:
        return None
    windows = [_window(part, graph) for part in parts]
    known = [window for window in windows if window is not None]
    if len(known) != phases or len({window[0] for window in known}) != 1:
        return None
    upsampling = _upsampling([(conv, border) for _, conv, border, _ in known], step)
    if upsampling is None:
        return None
    first = known[0][0]
    operator = f"{parts[0].operator if parts[0] else ''}–{join.operator}–{shuffle.operator}"
    gone = {join.output, *join.inputs, *(pad for *_, pad in known if pad)}
    return replace(shuffle, operator=operator, inputs=(first,), step=upsampling), gone


def _window(part: Node | None, graph: Graph) -> tuple[str, Convolution, Border, str] | None:
    """The map that a convolution reads, itself with all its padding, what that holds, and the padded map."""
    if part is None or not isinstance(part.step, Convolution) or part.output in graph.loose:
        return None
    if graph.only_consumer(part.output) is None:
        return None
    conv, source, pad = part.step, part.inputs[0], ""
    border = conv.border
    ahead = graph.makers.get(source)
    if ahead is not None and isinstance(ahead.step, Pad) and not any(map(any, conv.padding)):
        if ahead.step.border is None or graph.only_consumer(ahead.output) is not part:
            return None
        conv, border = replace(conv, padding=ahead.step.sides), ahead.step.border
        source, pad = ahead.inputs[0], ahead.output
    if border is None or max(conv.stride) > 1 or max(conv.dilation) > 1:
        return None
    return source, conv, border, pad


def _upsampling(windows: list[tuple[Convolution, Border]], step: PixelShuffle) -> Upsampling | None:
    """The operator whose phases these convolutions are, in the order in which the shuffle takes them."""
    convs = [conv for conv, _ in windows]
    phases, out = len(convs), convs[0].weight.shape[0]
    dealt = torch.arange(phases * out)
    source = dealt.reshape(out, phases).T if step.source is None else step.source
    alike = len({(conv.weight.shape[:2], conv.groups, border) for conv, border in windows}) == 1
    biases = [torch.zeros(out) if conv.bias is None else conv.bias for conv in convs]
    same_bias = all(torch.equal(bias.to(biases[0]), biases[0]) for bias in biases)
    grown = {_grown(conv) for conv in convs}
    # out of the channels of each convolution come those of one phase
    if (
        not alike
        or not same_bias
        or len(grown) != 1
        or not torch.equal(source.cpu(), dealt.reshape(phases, out))
    ):
        return None
    lefts = [tuple(left for left, _ in conv.padding) for conv in convs]
    origin = tuple(map(max, zip(*lefts, strict=True)))
    starts = [tuple(o - left for o, left in zip(origin, each, strict=True)) for each in lefts]
    ends = [
        tuple(start + k for start, k in zip(each, conv.weight.shape[2:], strict=True))
        for each, conv in zip(starts, convs, strict=True)
    ]
    kernel = tuple(map(max, zip(*ends, strict=True)))
    support = torch.zeros(phases, *kernel, dtype=torch.bool)
    for phase, (begin, end) in enumerate(zip(starts, ends, strict=True)):
        support[phase][tuple(slice(*each) for each in zip(begin, end, strict=True))] = True
    (more,) = grown
    pad: tuple[Margin, ...] = tuple((o, m + k - 1 - o) for o, m, k in zip(origin, more, kernel, strict=True))
    operator = from_phase_convs(
        PhaseConvsForm(
            weights=tuple(conv.weight for conv in convs),
            starts=tuple(starts),
            kernel=kernel,
            scale=step.scale,
            pad=pad,
            crop=(0,) * len(kernel),
            border=(windows[0][1],) * len(kernel),
            groups=convs[0].groups,
            shared=False,
            support=support,
        )
    )
    return Upsampling(operator=operator, bias=None if not bool(biases[0].any()) else biases[0])


def _grown(conv: Convolution) -> tuple[int, ...]:
    """Samples that a convolution gives more than it takes, per axis."""
    sizes = zip(conv.padding, conv.weight.shape[2:], strict=True)
    return tuple(left + right + 1 - k for (left, right), k in sizes)
