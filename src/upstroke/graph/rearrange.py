"""Turn a run of reshapes and transposes into the pixel shuffle that it spells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from upstroke.graph.form import Graph, Node, Shape
from upstroke.graph.steps import PixelShuffle, Reshape, Same, Transpose

__all__ = ["pixel_shuffle_of", "with_shuffles"]

# Stands for the one axis of a shape whose size is unknown; a prime that no factor of a known size can be.
UNKNOWN = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class _Factor:
    """A part of an input axis: index // inner % size."""

    axis: int
    size: int
    inner: int


def pixel_shuffle_of(
    steps: Sequence[Reshape | Transpose | Same], shapes: Sequence[Shape]
) -> PixelShuffle | None:
    """The pixel shuffle that moves every number as these steps do; None if they do anything else.

    Every axis is followed as a product of factors: a reshape splits and merges them, a transpose reorders
    them. It is a pixel shuffle when the channels' factors end up inside the spatial axes.

    Args:
        steps: one after the other.
        shapes: of the map before the first and after each step; one axis of each may be unknown.

    >>> spelled = [Reshape(), Transpose(order=(0, 1, 4, 2, 5, 3)), Reshape()]
    >>> sizes = [(1, 4, 5, 7), (1, 1, 2, 2, 5, 7), (1, 1, 5, 2, 7, 2), (1, 1, 10, 14)]
    >>> pixel_shuffle_of(spelled, sizes)
    PixelShuffle(scale=(2, 2), source=None)
    """
    if len(shapes[0]) != len(shapes[-1]) or not 3 <= len(shapes[0]) <= 5:
        return None
    if any(shape.count(None) > 1 for shape in shapes):
        return None
    sizes = [tuple(UNKNOWN if size is None else size for size in shape) for shape in shapes]
    axes: list[list[_Factor]] | None = [
        [_Factor(axis=axis, size=size, inner=1)] if size > 1 else [] for axis, size in enumerate(sizes[0])
    ]
    for step, shape in zip(steps, sizes[1:], strict=True):
        if isinstance(step, Transpose):
            assert axes is not None
            axes = [axes[axis] for axis in step.order]
        elif isinstance(step, Reshape):
            assert axes is not None
            axes = _regrouped([factor for axis in axes for factor in axis], shape)
        if axes is None:
            return None
    assert axes is not None
    return _shuffle_from([_merged(axis) for axis in axes], sizes[0])


def with_shuffles(graph: Graph) -> Graph:
    """The graph with every run of reshapes and transposes that spells a pixel shuffle as one node."""
    nodes = list(graph.nodes)
    replaced: dict[int, Node] = {}
    dropped: set[int] = set()
    for start in range(len(nodes)):
        if id(nodes[start]) in dropped:
            continue
        run = _run_from(nodes[start], graph)
        for stop in range(len(run), 1, -1):
            found = _spelled(run[:stop], graph)
            if found is not None:
                replaced[id(run[stop - 1])] = found
                dropped |= {id(node) for node in run[:stop]}
                break
    kept = tuple(
        replaced.get(id(node), node) for node in nodes if id(node) not in dropped or id(node) in replaced
    )
    return replace(graph, nodes=kept) if replaced else graph


def _run_from(node: Node, graph: Graph) -> list[Node]:
    """The longest row of rearrangements that starts here."""
    run: list[Node] = []
    following: Node | None = node
    while following is not None and isinstance(following.step, Reshape | Transpose | Same):
        run.append(following)
        following = graph.only_consumer(following.output)
    return run if isinstance(node.step, Reshape | Transpose) else []


def _spelled(run: Sequence[Node], graph: Graph) -> Node | None:
    if isinstance(run[-1].step, Same):
        return None
    shapes = [graph.shapes.get(run[0].inputs[0]), *(graph.shapes.get(node.output) for node in run)]
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        return None
    steps = [node.step for node in run if isinstance(node.step, Reshape | Transpose | Same)]
    shuffle = pixel_shuffle_of(steps, known)
    if shuffle is None:
        return None
    spelling = "–".join(node.operator for node in run if not isinstance(node.step, Same))
    return Node(
        name=run[-1].name, operator=spelling, inputs=run[0].inputs, output=run[-1].output, step=shuffle
    )


def _regrouped(factors: Sequence[_Factor], shape: Sequence[int]) -> list[list[_Factor]] | None:
    """Deal factors out to axes of these sizes, splitting them where an axis ends inside one."""
    left = list(reversed(factors))
    axes: list[list[_Factor]] = []
    for size in shape:
        axis: list[_Factor] = []
        wanted = size
        while wanted > 1:
            if not left:
                return None
            factor = left.pop()
            if wanted % factor.size == 0:
                axis.append(factor)
                wanted //= factor.size
                continue
            if factor.size % wanted:
                return None
            rest = factor.size // wanted
            axis.append(replace(factor, size=wanted, inner=factor.inner * rest))
            left.append(replace(factor, size=rest))
            wanted = 1
        axes.append(axis)
    return None if left else axes


def _merged(axis: Sequence[_Factor]) -> list[_Factor]:
    """Join neighbours that are the outer and the inner part of one stretch of an axis."""
    merged: list[_Factor] = []
    for factor in axis:
        last = merged[-1] if merged else None
        if last is not None and last.axis == factor.axis and last.inner == factor.size * factor.inner:
            merged[-1] = _Factor(axis=factor.axis, size=last.size * factor.size, inner=factor.inner)
        else:
            merged.append(factor)
    return merged


def _shuffle_from(axes: Sequence[Sequence[_Factor]], shape: Sequence[int]) -> PixelShuffle | None:
    """Read the scale and the order of channels off where every factor went."""
    batch, channels, *space = axes
    if math.prod(factor.size for factor in batch) != shape[0] or any(factor.axis for factor in batch):
        return None
    if any(factor.axis != 1 for factor in channels):
        return None
    inside = []
    for axis, factors in enumerate(space, start=2):
        own = [_Factor(axis=axis, size=shape[axis], inner=1)] if shape[axis] > 1 else []
        if list(factors[: len(own)]) != own or any(factor.axis != 1 for factor in factors[len(own) :]):
            return None
        inside.append(factors[len(own) :])
    scale = tuple(math.prod(factor.size for factor in factors) for factors in inside)
    if math.prod(scale) == 1:
        return None
    source = torch.zeros(1, dtype=torch.long)
    for factors in (*inside, channels):
        source = (source[:, None] + _values(factors)).flatten()
    source = source.reshape(math.prod(scale), -1)
    phases, out = source.shape
    usual = torch.arange(out) * phases + torch.arange(phases)[:, None]
    return PixelShuffle(scale=scale, source=None if bool((source == usual).all()) else source)


def _values(factors: Sequence[_Factor]) -> Tensor:
    """What each index of an axis made of these factors is in the axis they came from."""
    values = torch.zeros(1, dtype=torch.long)
    for factor in factors:
        values = (values[:, None] + factor.inner * torch.arange(factor.size)).flatten()
    return values
