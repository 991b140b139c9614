"""Turn a run of reshapes and transposes into the pixel shuffle that it spells."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from upstroke.graph.form import Graph, Node, Shape
from upstroke.graph.layout import regrouped, sizes_of
from upstroke.graph.steps import PixelShuffle, Reshape, Same, Transpose, Unread

__all__ = ["mixes_into_space", "pixel_shuffle_of", "with_shuffles"]

# A shuffle is spelled in at most 8 steps; a copy may stand behind each.
_LONGEST_RUN = 16

_Move = Reshape | Transpose | Same


@dataclass(frozen=True, kw_only=True)
class _Factor:
    """A part of an input axis: index // inner % size."""

    axis: int
    size: int
    inner: int

    def split(self, outer: int) -> "tuple[_Factor, _Factor]":
        """The outer part, of this size, and the inner one."""
        rest = self.size // outer
        return replace(self, size=outer, inner=self.inner * rest), replace(self, size=rest)


def pixel_shuffle_of(steps: Sequence[_Move], shapes: Sequence[Shape]) -> PixelShuffle | None:
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
    sizes = [sizes_of(shape) for shape in shapes]
    axes = _followed(steps, sizes)
    return None if axes is None else _shuffle_from(axes, sizes[0])


def mixes_into_space(steps: Sequence[_Move], shapes: Sequence[Shape]) -> bool:
    """Whether these steps deal one axis out as the inner part of several others, as depth to space does.

    Each of those has as its outer part either an axis of its own (cells to larger cells, channels last) or a
    part of one that they share (a list of patches laid out as a picture, which has more axes than the list).
    Axis 0 is the batch, and is neither. Heads of attention, which are split off one axis or merged whole,
    windows, which are cut from several axes or come out of the batch, and transposes do nothing of the kind.
    Along a single axis patches and heads cannot be told apart, so one such axis alone does not count.

    Args:
        steps: one after the other.
        shapes: of the map before the first and after each step; one axis of each may be unknown.

    >>> patches = [Reshape(), Transpose(order=(0, 5, 1, 3, 2, 4)), Reshape()]
    >>> sizes = [(1, 6, 12), (1, 2, 3, 2, 2, 3), (1, 3, 2, 2, 3, 2), (1, 3, 4, 6)]
    >>> mixes_into_space(patches, sizes)
    True
    """
    if any(shape.count(None) > 1 for shape in shapes):
        return False
    sizes = [sizes_of(shape) for shape in shapes]
    dealt: dict[int, list[tuple[int, bool]]] = {}
    for factors in (_followed(steps, sizes) or [])[1:]:
        outer, inner = (factors[0].axis, factors[-1].axis) if factors else (0, 0)
        alike = sorted(factors, key=lambda factor: factor.axis != outer) == factors
        if 0 in (outer, inner) or inner == outer or {f.axis for f in factors} != {outer, inner} or not alike:
            continue
        size = math.prod(factor.size for factor in factors if factor.axis == outer)
        dealt.setdefault(inner, []).append((outer, size == sizes[0][outer]))
    return any(_is_depth_to_space(outers, shapes) for outers in dealt.values())


def _is_depth_to_space(outers: Sequence[tuple[int, bool]], shapes: Sequence[Shape]) -> bool:
    """Judge the outer parts of the axes that one axis was dealt out to: which axis, and whether all of it."""
    axes = [axis for axis, _ in outers]
    shared = any(axes.count(axis) > 1 for axis in axes)
    if len(outers) < 2 or (shared and len(shapes[-1]) <= len(shapes[0])):
        return False
    return all(whole or axes.count(axis) > 1 for axis, whole in outers)


def _followed(steps: Sequence[_Move], sizes: Sequence[tuple[int, ...]]) -> list[list[_Factor]] | None:
    """Where the factors of every axis go; None if a reshape splits what no product of factors describes."""
    axes: list[list[_Factor]] = [
        [_Factor(axis=axis, size=size, inner=1)] if size > 1 else [] for axis, size in enumerate(sizes[0])
    ]
    for step, shape in zip(steps, sizes[1:], strict=True):
        if isinstance(step, Transpose):
            axes = [axes[axis] for axis in step.order]
        elif isinstance(step, Reshape):
            dealt = regrouped([factor for axis in axes for factor in axis], shape, split=_Factor.split)
            if dealt is None:
                return None
            axes = dealt
    return [_merged(axis) for axis in axes]


def with_shuffles(graph: Graph) -> Graph:
    """The graph with every run of reshapes and transposes that spells a pixel shuffle as one node.

    A run that deals channels out to space in another way becomes one node that is not read.
    """
    return _with_runs(_with_runs(graph, _runs, _shuffle), _heads, _mixture)


_Finder = Callable[[Graph], Iterator[list[Node]]]
_Reader = Callable[[Sequence[_Move], Sequence[Shape], str], PixelShuffle | Unread | None]


def _with_runs(graph: Graph, runs: _Finder, read: _Reader) -> Graph:
    """The graph with every run that is read as something, or the longest part from its start, as one node."""
    replaced: dict[int, Node] = {}
    dropped: set[int] = set()
    for run in runs(graph):
        if id(run[0]) in dropped:
            continue
        for stop in range(len(run), 1, -1):
            found = _spelled(run[:stop], graph, read)
            if found is not None:
                replaced[id(run[stop - 1])] = found
                dropped |= {id(node) for node in run[:stop]}
                break
    kept = tuple(
        replaced.get(id(node), node)
        for node in graph.nodes
        if id(node) not in dropped or id(node) in replaced
    )
    return replace(graph, nodes=kept) if replaced else graph


def _runs(graph: Graph) -> Iterator[list[Node]]:
    """The row of rearrangements that starts at each of them."""
    for node in graph.nodes:
        if isinstance(node.step, Reshape | Transpose):
            yield _run_from(node, graph)


def _heads(graph: Graph) -> Iterator[list[Node]]:
    """Every row of rearrangements from where it begins, or from where its map first has three axes.

    Before that it undoes what a matrix product needs: rows of numbers.
    """
    for node in graph.nodes:
        if not isinstance(node.step, Reshape | Transpose):
            continue
        ahead = graph.makers.get(node.inputs[0])
        follows = (
            ahead is not None
            and isinstance(ahead.step, Reshape | Transpose | Same)
            and graph.only_consumer(ahead.output) is node
            and len(graph.shapes.get(ahead.inputs[0], ())) >= 3
        )
        if not follows and len(graph.shapes.get(node.inputs[0], ())) >= 3:
            yield _run_from(node, graph)


def _run_from(node: Node, graph: Graph) -> list[Node]:
    """The row of rearrangements that starts here, as far as it may spell something."""
    run: list[Node] = []
    following: Node | None = node
    while (
        following is not None
        and isinstance(following.step, Reshape | Transpose | Same)
        and len(run) < _LONGEST_RUN
    ):
        run.append(following)
        following = graph.only_consumer(following.output)
    return run


def _spelled(run: Sequence[Node], graph: Graph, read: _Reader) -> Node | None:
    """The one node that a run amounts to, or None."""
    if isinstance(run[-1].step, Same) or not any(isinstance(node.step, Reshape) for node in run):
        return None
    shapes = [graph.shapes.get(run[0].inputs[0]), *(graph.shapes.get(node.output) for node in run)]
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        return None
    steps = [node.step for node in run if isinstance(node.step, Reshape | Transpose | Same)]
    spelling = "–".join(node.operator for node in run if not isinstance(node.step, Same))
    step = read(steps, known, spelling)
    if step is None:
        return None
    return Node(name=run[-1].name, operator=spelling, inputs=run[0].inputs, output=run[-1].output, step=step)


def _shuffle(steps: Sequence[_Move], shapes: Sequence[Shape], spelling: str) -> PixelShuffle | None:
    return pixel_shuffle_of(steps, shapes)


def _mixture(steps: Sequence[_Move], shapes: Sequence[Shape], spelling: str) -> Unread | None:
    if not mixes_into_space(steps, shapes):
        return None
    plain = "–".join(word.removeprefix("aten.").removeprefix("_unsafe_") for word in spelling.split("–"))
    return Unread(
        reason=f"the rearrangement {plain} mixes channels into space in a way that is not read",
        moves=tuple(zip(steps, shapes[1:], strict=True)),
    )


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
