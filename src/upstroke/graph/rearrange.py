"""Turn a run of reshapes and transposes into the pixel shuffle that it spells."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from upstroke.graph.form import Graph, Node, Shape
from upstroke.graph.layout import regrouped, sizes_of
from upstroke.graph.steps import PixelShuffle, Reshape, Same, Transpose, Unread
from upstroke.graph.usual_layout import Stage, from_layout, known, to_layout

__all__ = ["came_from", "mixes_into_space", "pixel_shuffle_of", "shuffle_between_layouts", "with_shuffles"]

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


def came_from(steps: Sequence[_Move], shapes: Sequence[Shape], *, axis: int) -> tuple[int, ...]:
    """The axes of the first map that an axis of the last is made of; empty unless it is all of each.

    >>> came_from([Reshape(), Transpose(order=(0, 2, 1))], [(2, 4, 5, 7), (2, 4, 35), (2, 35, 4)], axis=1)
    (2, 3)
    """
    axes = _followed(steps, [sizes_of(shape) for shape in shapes])
    factors = axes[axis] if axes else []
    whole = all(factor.inner == 1 and factor.size == shapes[0][factor.axis] for factor in factors)
    return tuple(factor.axis for factor in factors) if whole else ()


def mixes_into_space(steps: Sequence[_Move], shapes: Sequence[Shape]) -> bool:
    """Whether these steps deal one axis out as the inner part of several others, as depth to space does.

    Each of those has as its outer part either an axis of its own (cells to larger cells, channels last) or a
    part of one that they share (a list of patches laid out as a picture, which has more axes than the list).
    Axis 0 is the batch, and is neither. Heads of attention, which are split off one axis or merged whole,
    windows, which are cut from several axes or come out of the batch, and transposes do nothing of the kind.
    Along a single axis patches and heads cannot be told apart, so one such axis alone does not count, unless
    it is a list of tokens: parts of the axis dealt out stand in it behind each part of the others, and a rest
    of it remains, as channels.

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
    rows = _followed(steps, sizes) or []
    if any(_alternates(factors, rows) for factors in rows[1:]):
        return True
    for factors in rows[1:]:
        outer, inner = (factors[0].axis, factors[-1].axis) if factors else (0, 0)
        alike = sorted(factors, key=lambda factor: factor.axis != outer) == factors
        if 0 in (outer, inner) or inner == outer or {f.axis for f in factors} != {outer, inner} or not alike:
            continue
        size = math.prod(factor.size for factor in factors if factor.axis == outer)
        dealt.setdefault(inner, []).append((outer, size == sizes[0][outer]))
    return any(_is_depth_to_space(outers, shapes) for outers in dealt.values())


def _alternates(factors: Sequence[_Factor], rows: Sequence[Sequence[_Factor]]) -> bool:
    """Whether an axis is of space and of channels in turns, more than once, with channels left elsewhere.

    Windows laid side by side alternate as well, and nothing of what was inside them is left.
    """
    inner = {factor.axis for factor in factors[1::2]}
    outer = {factor.axis for factor in factors[::2]}
    if len(factors) < 4 or len(factors) % 2 or len(inner) != 1 or 0 in inner | outer or inner & outer:
        return False
    return any(row is not factors and any(factor.axis in inner for factor in row) for row in rows)


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


def shuffle_between_layouts(steps: Sequence[_Move], shapes: Sequence[Shape]) -> list[Stage] | None:
    """The pixel shuffle that steps are between maps of other layouts, with what leads to it and away from it.

    These are channels last, lists of patches, and, at the end, maps without an axis of channels.

    >>> patches = [Reshape(), Transpose(order=(0, 5, 1, 3, 2, 4)), Reshape()]
    >>> sizes = [(1, 6, 12), (1, 2, 3, 2, 2, 3), (1, 3, 2, 2, 3, 2), (1, 3, 4, 6)]
    >>> [type(stage.step).__name__ for stage in shuffle_between_layouts(patches, sizes)]
    ['Transpose', 'Reshape', 'PixelShuffle']
    """
    sizes = [sizes for shape in shapes if (sizes := known(shape)) is not None]
    if len(sizes) < len(shapes):
        return None
    for space, grown in _spaces(steps, sizes):
        for (ahead, undone), (redone, behind) in product(
            from_layout(sizes[0], space), to_layout(sizes[-1], grown)
        ):
            usual = (sizes[0][0], math.prod(sizes[0]) // sizes[0][0] // math.prod(space), *space)
            row = [
                *undone,
                *(Stage(step=step, shape=size) for step, size in zip(steps, sizes[1:], strict=True)),
                *redone,
            ]
            moves = [stage.step for stage in row if not isinstance(stage.step, PixelShuffle)]
            found = pixel_shuffle_of(moves, [usual, *(stage.shape for stage in row)])
            if found is not None:
                return [*ahead, Stage(step=found, shape=row[-1].shape), *behind]
    return None


def _spaces(
    steps: Sequence[_Move], sizes: Sequence[tuple[int, ...]]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """What the space of the first and of the last map may be: that which some axis is dealt out to."""
    rows = _followed(steps, sizes) or []
    for inner in range(1, len(sizes[0])):
        pairs = []
        for factors in rows[1:]:
            place = 0
            while place < len(factors) and factors[place].axis != inner:
                outer = factors[place]
                more = factors[place + 1] if place + 1 < len(factors) else outer
                dealt = more.size if more.axis == inner else 1
                pairs.append((outer.size, outer.size * dealt))
                place += 2 if more.axis == inner else 1
        if 0 < len(pairs) <= 3:
            yield tuple(before for before, _ in pairs), tuple(after for _, after in pairs)


_Finder = Callable[[Graph], Iterator[list[Node]]]
_Reader = Callable[[Sequence[_Move], Sequence[Shape], str], Sequence[Stage | Unread] | None]


def _with_runs(graph: Graph, runs: _Finder, read: _Reader) -> Graph:
    """The graph with every run that is read as something, or the longest part from its start, as one node."""
    replaced: dict[int, tuple[Node, ...]] = {}
    dropped: set[int] = set()
    shapes = dict(graph.shapes)
    for run in runs(graph):
        if id(run[0]) in dropped:
            continue
        for stop in range(len(run), 1, -1):
            found = _spelled(run[:stop], graph, read)
            if found is not None:
                replaced[id(run[stop - 1])] = _nodes(run[:stop], found, shapes)
                dropped |= {id(node) for node in run[:stop]}
                break
    kept = tuple(
        each
        for node in graph.nodes
        if id(node) not in dropped or id(node) in replaced
        for each in replaced.get(id(node), (node,))
    )
    return replace(graph, nodes=kept, shapes=shapes) if replaced else graph


def _nodes(
    run: Sequence[Node], stages: Sequence[Stage | Unread], shapes: dict[str, Shape]
) -> tuple[Node, ...]:
    """The nodes that a run amounts to; maps between them get names, and shapes beside the others."""
    spelling = "–".join(node.operator for node in run if not isinstance(node.step, Same))
    name, found = run[0].inputs[0], []
    for place, stage in enumerate(stages, start=1):
        output = run[-1].output if place == len(stages) else f"{run[-1].output}:{place}"
        step = stage.step if isinstance(stage, Stage) else stage
        if isinstance(stage, Stage) and place < len(stages):
            shapes[output] = stage.shape
        label = run[-1].name if not isinstance(step, Reshape | Transpose) else f"{run[-1].name}:{place}"
        found.append(Node(name=label, operator=spelling, inputs=(name,), output=output, step=step))
        name = output
    return tuple(found)


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


def _spelled(run: Sequence[Node], graph: Graph, read: _Reader) -> Sequence[Stage | Unread] | None:
    """What a run amounts to, or None."""
    if isinstance(run[-1].step, Same) or not any(isinstance(node.step, Reshape) for node in run):
        return None
    shapes = [graph.shapes.get(run[0].inputs[0]), *(graph.shapes.get(node.output) for node in run)]
    whole = [shape for shape in shapes if shape is not None]
    if len(whole) < len(shapes):
        return None
    steps = [node.step for node in run if isinstance(node.step, Reshape | Transpose | Same)]
    spelling = "–".join(node.operator for node in run if not isinstance(node.step, Same))
    return read(steps, whole, spelling)


def _shuffle(steps: Sequence[_Move], shapes: Sequence[Shape], spelling: str) -> Sequence[Stage] | None:
    found = pixel_shuffle_of(steps, shapes)
    return None if found is None else [Stage(step=found, shape=shapes[-1])]


def _mixture(
    steps: Sequence[_Move], shapes: Sequence[Shape], spelling: str
) -> Sequence[Stage | Unread] | None:
    if not mixes_into_space(steps, shapes):
        return None
    found = shuffle_between_layouts(steps, shapes)
    if found is not None:
        return found
    plain = "–".join(word.removeprefix("aten.").removeprefix("_unsafe_") for word in spelling.split("–"))
    unread = Unread(
        reason=f"the rearrangement {plain} mixes channels into space in a way that is not read",
        moves=tuple(zip(steps, shapes[1:], strict=True)),
    )
    return [unread]


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
