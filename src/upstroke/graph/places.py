"""Turn a graph into the place of every map: where its samples sit on the input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from upstroke.errors import UpstrokeError
from upstroke.graph.follow import SPATIAL, followed
from upstroke.graph.form import Graph, Node, Shape
from upstroke.graph.layout import Layout, Lost, LostError, Start, State, bare
from upstroke.graph.meet import Arrival, Meeting, meet, product
from upstroke.graph.steps import (
    Concatenation,
    Convolution,
    Expansion,
    Filter,
    Join,
    Other,
    Pad,
    Product,
    Reshape,
    Roll,
    Slice,
    Step,
    TransposedConvolution,
    Unread,
)
from upstroke.grid import Grid

__all__ = ["Lost", "Place", "Survey", "places", "survey"]

NO_POSITIONS = "it has no positions: nothing in it came from a map of several cells"
UNKNOWN_SHAPE = "its shape is not known"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a map's samples sit, in pixels of the map that positions are counted on.

    A position is that of a uniform kernel's middle, whatever trained weights make of it. Where maps on
    different grids were joined, the samples of the joined map come from several places: `grid` is their
    mean, which a model with uniform kernels shows, and `first` and `last` are the outermost of them.

    Attributes:
        grid: mean of all that is mixed into the map.
        first, last: of the branch from furthest left, and from furthest right, axis by axis; `grid` where
            all branches agree.
        origin: the map that positions are counted on: an input of the model, or the first map of several
            cells where a model grows it from a single one.
    """

    grid: Grid
    first: Grid
    last: Grid
    origin: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """The places of all maps of a graph, and what comes together where.

    Attributes:
        places: by the names of the maps.
        branches: for the map that a join gives, the places among its node's inputs of those that bring
            positions to it; the others are copied to every position.
    """

    places: Mapping[str, Place | Lost]
    branches: Mapping[str, tuple[int, ...]]


# Joins, rules and the record all ask of the same graph, which does not change; kept as long as it is.
_SURVEYS: WeakKeyDictionary[Graph, Survey] = WeakKeyDictionary()


def places(graph: Graph) -> Mapping[str, Place | Lost]:
    """The place of every map of a model, or why it has none.

    >>> import torch
    >>> from upstroke.graph.torch import record
    >>> net = torch.nn.Sequential(torch.nn.MaxPool2d(2), torch.nn.Upsample(scale_factor=4))
    >>> graph = record(net, [torch.rand(1, 3, 6, 8)])
    >>> [places(graph)[name].grid for name in ("input", *graph.outputs)]
    [Grid(offset=(0, 0), spacing=(1, 1)), Grid(offset=(-1/4, -1/4), spacing=(1/2, 1/2))]
    """
    return survey(graph).places


def survey(graph: Graph) -> Survey:
    """The places of all maps, and the branches of all joins; found once for each graph."""
    found = _SURVEYS.get(graph)
    if found is None:
        found = _SURVEYS[graph] = _survey(graph)
    return found


def _survey(graph: Graph) -> Survey:
    walk = _Walk(graph)
    for node in graph.nodes:
        walk.take(node)
    placed: dict[int, Place | Lost] = {}
    found = {}
    for name, state in walk.states.items():
        if id(state) not in placed:
            placed[id(state)] = _place(state)
        found[name] = placed[id(state)]
    return Survey(places=found, branches={name: met.branches for name, met in walk.meetings.items()})


def _place(state: State) -> Place | Lost:
    if isinstance(state, Lost):
        return state
    if isinstance(state, Start):
        return Lost(reason=NO_POSITIONS)
    try:
        mean, first, last = state.grids()
    except LostError as error:
        return Lost(reason=str(error))
    return Place(grid=mean, first=first, last=last, origin=state.origin)


class _Walk:
    """Goes through a graph node by node and notes the state of every map."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        lines = _spaces(graph)
        self.states: dict[str, State] = {}
        self.meetings: dict[str, Meeting] = {}
        self._ranks: dict[str, int] = {}
        for name in graph.inputs:
            self.states[name] = self._begin(name, lines.get(name, ()))

    def take(self, node: Node) -> None:
        """Note what a node makes."""
        self.states[node.output] = self._state(node)

    def _begin(self, name: str, lines: Sequence[int]) -> State:
        shape = self._graph.shapes.get(name)
        if shape is None:
            return Lost(reason=UNKNOWN_SHAPE)
        if all(shape[line] == 1 for line in lines):
            return Start()
        self._ranks[name] = len(self._ranks)
        return Layout.start(name, shape, lines)

    def _state(self, node: Node) -> State:
        after = self._graph.shapes.get(node.output)
        arrivals = [
            Arrival(
                state=self.states.get(name, Lost(reason="made in a way that is not read")),
                shape=self._graph.shapes.get(name, after or ()),
            )
            for name in node.inputs
        ]
        if not arrivals:
            return Lost(reason=f"{node.operator} makes it from nothing that is followed")
        if after is None:
            lost = Lost(reason=UNKNOWN_SHAPE)
            if isinstance(node.step, Join):
                self.meetings[node.output] = Meeting(state=lost, branches=tuple(range(len(arrivals))))
            return lost
        try:
            return self._made(node, arrivals, after)
        except LostError as error:
            return Lost(reason=str(error))
        except UpstrokeError as error:
            return Lost(reason=f"{node.operator}: {error}")
        except (ArithmeticError, LookupError, ValueError):
            # a form of the operator with other arguments than those known here
            return Lost(reason=f"{node.operator} is used in a way that is not read")

    def _made(self, node: Node, arrivals: Sequence[Arrival], after: Shape) -> State:
        step = node.step
        roll, rolled = _roll_of(node, self._graph)
        if roll is not None:
            step, arrivals = roll, [Arrival(state=self.states[rolled], shape=after)]
        if isinstance(step, Join | Concatenation):
            self.meetings[node.output] = met = meet(step, arrivals, after, ranks=self._ranks)
            return met.state
        state = arrivals[0].state
        if isinstance(step, Product):
            return product(state, arrivals[1].state, after) if len(arrivals) > 1 else _square(state)
        if isinstance(step, Other | Unread) and all(isinstance(each.state, Start) for each in arrivals):
            return Lost(reason=step.reason) if isinstance(step, Unread) else Start()
        if isinstance(state, Start):
            grows = isinstance(step, SPATIAL) or (isinstance(step, Reshape | Expansion) and len(after) > 3)
            return self._begin(node.output, range(2, len(after))) if grows else state
        if isinstance(state, Lost):
            return state
        return followed(step, state, name=node.inputs[0], operator=node.operator, after=after)


def _roll_of(node: Node, graph: Graph) -> tuple[Roll | None, str]:
    """The roll that a map cut in two and put together the other way round is, and the map."""
    kind = node.step.kind if isinstance(node.step, Join) else "concatenate"
    if isinstance(node.step, Concatenation) and node.step.is_new:
        return None, ""
    makers = [graph.makers.get(name) for name in node.inputs]
    if not isinstance(node.step, Join | Concatenation) or kind != "concatenate" or len(makers) != 2:
        return None, ""
    after, axis = graph.shapes.get(node.output, ()), getattr(node.step, "axis", 1)
    cuts = [_cut_along(maker, axis, graph) for maker in makers if maker is not None]
    if len(cuts) < 2 or None in cuts or len({cut[0] for cut in cuts if cut}) > 1:
        return None, ""
    (source, first, behind), (_, second, ahead) = (cut or ("", 0, 0) for cut in cuts)
    size = after[axis] if graph.shapes.get(source) == after else None
    if size is None or (second, behind) != (0, 0) or first == 0 or size - ahead != first:
        return None, ""
    # the other way round is the same, and the shorter way is what is meant
    return Roll(moves=((axis, -first if 2 * first <= size else size - first),)), source


def _cut_along(node: Node, axis: int, graph: Graph) -> tuple[str, int, int] | None:
    """The map that a node takes a stretch of along one axis: where it begins, and what is left behind it."""
    step, before, after = node.step, graph.shapes.get(node.inputs[0]), graph.shapes.get(node.output)
    if before is None or after is None or len(before) != len(after):
        return None
    whole, length = before[axis], after[axis]
    if whole is None or length is None:
        return None
    if isinstance(step, Slice) and len(step.cuts) == 1 and not step.is_dropped:
        place, start, stride = step.cuts[0]
    elif isinstance(step, Pad) and axis > 1 and all(max(sides) <= 0 for sides in step.sides):
        cut = [at for at, sides in enumerate(step.sides, start=2) if sides != (0, 0)]
        place, start, stride = cut[0] if len(cut) == 1 else -1, -step.sides[axis - 2][0], 1
    else:
        return None
    return (node.inputs[0], start, whole - start - length) if (place, stride) == (axis, 1) else None


def _square(state: State) -> State:
    return state if isinstance(state, Start) else product(state, state, (None, None))


def _spaces(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The axes of every input that are space: those that kernels of more than one tap slide along.

    By custom a map is (N, C, *space), and so it is where no kernel says otherwise; but a model may transpose
    its input, or lay the frames of a film into the batch for the layers that look at one frame.
    """
    usual = {
        name: tuple(range(2, len(shape)))
        for name in graph.inputs
        if (shape := graph.shapes.get(name)) is not None
    }
    slid: dict[str, set[int]] = {name: set() for name in usual}
    known: dict[str, Layout] = {
        name: Layout.start(name, graph.shapes[name], range(len(graph.shapes[name]))) for name in usual
    }
    for node in graph.nodes:
        after = graph.shapes.get(node.output)
        layouts = [known[name] for name in node.inputs if name in known]
        if not layouts or after is None:
            continue
        layout = layouts[0]
        if _slides(node.step):
            lines = {factor.line for axis in layout.axes[2:] for factor in bare(axis)}
            slid[layout.origin] |= {line for line in lines if line}
        if isinstance(node.step, Join):
            if graph.shapes.get(node.inputs[0]) == after and node.step.kind != "concatenate":
                known[node.output] = layout
            continue
        try:
            known[node.output] = followed(
                node.step, layout, name=node.inputs[0], operator=node.operator, after=after
            )
        except (LostError, UpstrokeError, ArithmeticError, LookupError, ValueError):
            continue
    return {name: tuple(sorted(slid[name])) or usual[name] for name in usual}


def _slides(step: Step) -> bool:
    if isinstance(step, Filter):
        return max(step.kernel) > 1
    return isinstance(step, Convolution | TransposedConvolution) and max(step.weight.shape[2:]) > 1
