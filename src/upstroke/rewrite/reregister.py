"""Turn a graph whose joins drift into the kernels of resizes that bring their branches together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import combinations
from weakref import WeakKeyDictionary

from upstroke.audit.shift import shift_of
from upstroke.audit.words import on_axes
from upstroke.graph import Branch, Branching, Graph, Lost, Node, Place, Site, joins, places, sites
from upstroke.graph.steps import (
    Concatenation,
    Join,
    PixelShuffle,
    Resize,
    TransposedConvolution,
    Upsampling,
)
from upstroke.grid import Grid, drift
from upstroke.polyphase import Polyphase, interpolation
from upstroke.polyphase.kernels import Mode

__all__ = ["JoinDrift", "Kernel", "Plan", "Reregistration", "Unmended", "plan"]

# Beyond one cell a kernel would stand wholly beside the cell it draws.
MOST_CELLS = 1
# Resizes in a row between two joins among which a move is shared out.
MOST_RESIZES = 4

Distance = tuple[Fraction, ...]


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """The fixed kernel of a resize along one axis.

    Attributes:
        mode: which one.
        scale: output samples per cell.
        offset: where output sample 0 sits, in cells from cell 0.
        a: slope of a cubic kernel.
    """

    mode: Mode
    scale: int
    offset: Fraction
    a: float = -0.75

    def taps(self) -> tuple[float, ...]:
        """The kernel: what one cell of height 1 draws, sample by sample.

        >>> Kernel(mode="linear", scale=2, offset=Fraction(0)).taps()
        (0.5, 1.0, 0.5)
        """
        operator = interpolation(self.scale, offset=self.offset, mode=self.mode, ndim=1, a=self.a)
        # cell m reaches sample s * (m + origin - k) + p through tap k of phase p
        by_tap = operator.taps[:, 0, 0].T.flip(0).flatten()
        present = operator.mask.T.flip(0).flatten()
        return tuple(by_tap[present].tolist())

    def __str__(self) -> str:
        """What it is called, and where its samples sit.

        >>> str(Kernel(mode="linear", scale=2, offset=Fraction(0)))
        'linear ×2 on the cells'
        """
        if self.offset == 0:
            where = "on the cells"
        elif self.offset == Fraction(1 - self.scale, 2 * self.scale):
            where = "half-pixel"
        else:
            where = f"with its first sample at {_signed(self.offset)}"
        return f"{self.mode} ×{self.scale} {where}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Reregistration:
    """A resize that is to put its samples elsewhere.

    Attributes:
        site: name of the site.
        join: name of the join, or of the output, for which it moves.
        node: the resize as it is.
        before: its kernel per axis; None where its corners stay in place, so that no kernel is fixed.
        after: the kernel per axis that is to take its place.
        operator: that kernel as an operator, for every channel, with the edge clamped.
        words: what is done, in a sentence without a full stop.
    """

    site: str
    join: str
    node: Node
    before: tuple[Kernel, ...] | None
    after: tuple[Kernel, ...]
    operator: Polyphase
    words: str

    @property
    def delta(self) -> tuple[Fraction, ...]:
        """Where output sample 0 is to sit per axis, in cells from cell 0."""
        return tuple(kernel.offset for kernel in self.after)


@dataclass(frozen=True, kw_only=True)
class JoinDrift:
    """The drift of a join, or the shift of an output, before and after.

    Attributes:
        name: of the join, or of the output.
        is_output: whether it is one.
        before, after: per axis, in pixels of the input; None where there was nothing to compare.
    """

    name: str
    is_output: bool
    before: Distance | None
    after: Distance | None


@dataclass(frozen=True, kw_only=True)
class Unmended:
    """A join, or an output, that stays as it is.

    Attributes:
        name: of it.
        drift: what stays, per axis, in pixels of the input; None where there is nothing to compare.
        reason: why, in a sentence without a full stop.
    """

    name: str
    drift: Distance | None
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What brings the branches of a decoder onto one grid.

    Attributes:
        mended: resizes that change, in the order in which they run.
        refused: joins and outputs that drift and stay as they are.
        drifts: of every join that drifts before or after, or had nothing to compare before and has after, in
            order, and of every output behind a join that was mended.
        graph: the graph with the resizes as they are to be.
    """

    mended: tuple[Reregistration, ...]
    refused: tuple[Unmended, ...]
    drifts: tuple[JoinDrift, ...]
    graph: Graph


class _CannotMendError(Exception):
    """A join stays as it is; the message is the reason."""


def plan(graph: Graph, *, outputs: bool = True, kept: Mapping[str, str] | None = None) -> Plan:
    """Which resizes of a decoder have to put their samples where, so that all branches of all joins meet.

    Joins are mended in the order in which they run, from the deepest to the shallowest, because what is
    decided below moves all that comes after. What moves is a resize between a join and the one before it:
    nearest, linear or cubic, by a whole scale, half-pixel, asymmetric or with its corners kept in place. Its
    new kernel is the one it has where that sits at the new place without a tie, and linear where nearest does
    not. For an encoder of k3 s2 p1 under nearest ×2 this is the triangle 1/2 1 1/2, centred on the cells.
    Axes that do not drift keep their kernel. Where several resizes stand in a row, as few as possible are put
    on the cells, and only if that does not do it the last one takes what is left.

    Nothing is planned that would leave any join further apart than it was.

    Args:
        graph: the model.
        outputs: whether resizes behind a mended join, on the way to an output, are moved as well, so that the
            output sits where the input does.
        kept: resizes that must stay as they are, by the name of the map that they give, each with the reason.

    >>> import torch
    >>> from upstroke.graph.torch import record
    >>> class Net(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.down = torch.nn.Conv2d(1, 4, 3, stride=2, padding=1)
    ...         self.up = torch.nn.Upsample(scale_factor=2)
    ...
    ...     def forward(self, x):
    ...         return torch.cat([self.up(self.down(x)), x], dim=1)
    >>> found = plan(record(Net(), [torch.rand(1, 1, 6, 8)]))
    >>> print(found.mended[0].words)
    nearest ×2 half-pixel becomes linear ×2 on the cells, the kernel 1 1 becomes 0.5 1 0.5, on every axis
    >>> [(each.name, *map(str, each.before), *map(str, each.after)) for each in found.drifts]
    [('cat', '-1/2', '-1/2', '0', '0'), ('cat', '-1/2', '-1/2', '0', '0')]
    """
    stay = dict(kept or {})
    while True:
        attempt = _Attempt(graph, stay, outputs=outputs)
        attempt.run()
        harm = attempt.harm()
        if harm is None:
            return attempt.plan()
        stay[harm[0]] = f"moving it would move the branches of {harm[1]} apart"


class _Attempt:
    """Goes through the joins of a graph once and moves resizes."""

    def __init__(self, graph: Graph, stay: Mapping[str, str], *, outputs: bool) -> None:
        self._start = self._graph = graph
        self._stay = stay
        self._with_outputs = outputs
        # by the map that a resize gives: its kernels to be, and the join that wants them
        self._kernels: dict[str, tuple[Kernel, ...]] = {}
        self._for: dict[str, str] = {}
        self._refused: list[Unmended] = []
        self._mended: set[str] = set()

    def run(self) -> None:
        """Mend one join after the other, then the outputs behind them."""
        for output in _branchings(self._start):
            branching = _branchings(self._graph)[output]
            if self._asks(branching) and self._tried(
                branching.node.name, branching.drift, partial(self._mend, branching)
            ):
                self._mended.add(output)
        for tensor in self._start.outputs if self._with_outputs else ():
            shift = _shift(self._graph, tensor)
            if self._is_behind(tensor) and (any(shift or ()) or _depends_on_size(self._graph, tensor)):
                self._tried(tensor, shift, partial(self._move_output, tensor))

    def harm(self) -> tuple[str, str] | None:
        """The resize whose move leaves a join further apart than it was, and that join, if there is one."""
        before, after = _drifts(self._start), _drifts(self._graph)
        for output, now in after.items():
            was = before[output]
            if was is None or now is None or _furthest(now) <= _furthest(was):
                continue
            upstream = _upstream(self._graph, output)
            moved = [tensor for tensor in self._kernels if tensor in upstream]
            if moved:
                return moved[-1], self._start.makers[output].name
        return None

    def plan(self) -> Plan:
        """What was decided."""
        before, after = _drifts(self._start), _drifts(self._graph)
        drifts = [
            JoinDrift(name=self._start.makers[output].name, is_output=False, before=was, after=after[output])
            for output, was in before.items()
            if any(was or ()) or any(after[output] or ()) or output in self._mended
        ]
        drifts += [
            JoinDrift(
                name=tensor,
                is_output=True,
                before=_shift(self._start, tensor),
                after=_shift(self._graph, tensor),
            )
            for tensor in self._start.outputs
            if self._is_behind(tensor)
        ]
        moved = (node for node in self._start.nodes if node.output in self._kernels)
        return Plan(
            mended=tuple(self._reregistration(node) for node in moved),
            refused=tuple(self._refused),
            drifts=tuple(drifts),
            graph=self._graph,
        )

    def _asks(self, branching: Branching) -> bool:
        """Whether a join drifts, or cannot be compared although an upsampler made one of its branches."""
        if branching.drift is not None:
            return any(branching.drift)
        return any(site is not None for site in branching.sites)

    def _tried(self, name: str, drift: Distance | None, mend: Callable[[], None]) -> bool:
        """Whether it was mended; if not, all is as before and the reason is noted."""
        graph, kernels, chosen = self._graph, dict(self._kernels), dict(self._for)
        try:
            mend()
        except _CannotMendError as error:
            self._graph, self._kernels, self._for = graph, kernels, chosen
            self._refused.append(Unmended(name=name, drift=drift, reason=str(error)))
            return False
        return True

    def _mend(self, branching: Branching) -> None:
        """Bring every branch that a resize can move to where those sit that none can."""
        located = [branch for branch in branching.branches if isinstance(branch.place, Place)]
        if len(located) < 2 or len({_place(branch).origin for branch in located}) > 1:
            raise _CannotMendError(branching.reason)
        movable = [branch for branch in located if self._resizes(branch.tensor)]
        fixed = [branch for branch in located if branch not in movable]
        goal = _goal(fixed or movable)
        for branch in fixed:
            apart = _apart(_place(branch), _place(goal))
            if apart is None or any(apart):
                why = self._why_not(branch.tensor) or self._why_not(goal.tensor)
                raise _CannotMendError(why or _why_fixed(branch, goal, apart))
        for branch in movable:
            if branch is not goal:
                self._bring(
                    branching.node.name, branch.tensor, partial(self._between, branch.tensor, goal.tensor)
                )

    def _move_output(self, tensor: str) -> None:
        if not self._resizes(tensor):
            raise _CannotMendError(self._why_not(tensor) or self._why_output(tensor))
        self._bring(tensor, tensor, partial(self._from_input, tensor))

    def _why_output(self, tensor: str) -> str:
        """Why no resize moves an output."""
        grown = {site.node.output: site for site in sites(self._start)}
        site = next((grown[node.output] for node in _way(self._start, tensor) if node.output in grown), None)
        if site is None:
            return "no upsampler stands between it and the join before it"
        return f"{site.name} is {_what(site)}"

    def _between(self, tensor: str, other: str) -> Distance | None:
        one, two = (places(self._graph)[name] for name in (tensor, other))
        return _apart(one, two) if isinstance(one, Place) and isinstance(two, Place) else None

    def _from_input(self, tensor: str) -> Distance | None:
        place = places(self._graph)[tensor]
        if not isinstance(place, Place) or place.grid.size_dependent or place.first != place.last:
            return None
        return shift_of(place.grid)

    def _bring(self, join: str, tensor: str, distance: Callable[[], Distance | None]) -> None:
        """Move the resizes on the way to a map until this distance is nothing."""
        resizes = self._resizes(tensor)[:MOST_RESIZES]
        for node in resizes:
            if node.output in self._kernels:
                msg = f"{node.name} was moved already, for {self._for[node.output]}"
                raise _CannotMendError(msg)
            # what keeps its corners has no place to start from; where it is put first is as good as any
            if _keeps_corners(node):
                self._set(join, node, _kernels_of(node))
        missing = distance()
        if missing is None:
            raise _CannotMendError(self._why_incomparable(tensor))
        kernels = {node.output: list(_kernels_of(node)) for node in resizes}
        for axis, away in enumerate(missing):
            line = [
                _OnAxis(node=node, kernel=kernels[node.output][axis], spacing=self._spacing(node, axis))
                for node in resizes
            ]
            for node, kernel in (_shared_out(line, -away) if away else {}).items():
                kernels[node.output][axis] = kernel
        for node in resizes:
            if tuple(kernels[node.output]) != _kernels_of(node):
                self._set(join, node, tuple(kernels[node.output]))
        left = distance()
        if left is None or any(left):
            msg = "its positions do not follow the resizes on the way as their kernels say"
            raise _CannotMendError(msg)

    def _set(self, join: str, node: Node, kernels: tuple[Kernel, ...]) -> None:
        """Put a resize where these kernels are."""
        step = Upsampling(operator=_operator(kernels))
        self._graph = replace(
            self._graph,
            nodes=tuple(
                replace(each, step=step) if each.output == node.output else each for each in self._graph.nodes
            ),
        )
        self._kernels[node.output], self._for[node.output] = kernels, join

    def _spacing(self, node: Node, axis: int) -> Fraction:
        """How far apart the cells of a resize lie along one axis."""
        place = places(self._graph)[node.inputs[0]]
        if not isinstance(place, Place) or place.grid.ndim != len(_resize(node).scale):
            msg = f"{node.name} works along other axes than positions are counted on"
            raise _CannotMendError(msg)
        return place.grid.spacing[axis]

    def _resizes(self, tensor: str) -> list[Node]:
        """Resizes that can be moved on the way to a map since the last join, the last first."""
        return [
            node for node in _way(self._start, tensor) if _can_move(node) and node.output not in self._stay
        ]

    def _why_not(self, tensor: str) -> str:
        """Why no resize moves a map, if there is one; empty if there is none."""
        held = [node for node in _way(self._start, tensor) if node.output in self._stay]
        return f"{held[0].name} stays as it is: {self._stay[held[0].output]}" if held else ""

    def _is_behind(self, tensor: str) -> bool:
        return not self._mended.isdisjoint(_upstream(self._start, tensor))

    def _why_incomparable(self, tensor: str) -> str:
        place = places(self._graph)[tensor]
        if isinstance(place, Lost):
            return f"{tensor} has no place ({place.reason})"
        if place.grid.size_dependent:
            return f"where {tensor} sits depends on the size through more than resizes on the way to it"
        return _spread(tensor)

    def _reregistration(self, node: Node) -> Reregistration:
        before = None if _keeps_corners(node) else _kernels_of(node)
        after = self._kernels[node.output]
        return Reregistration(
            site=node.name,
            join=self._for[node.output],
            node=node,
            before=before,
            after=after,
            operator=_operator(after),
            words=_words(node, before, after),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _OnAxis:
    """A resize along one axis.

    Attributes:
        node: the resize.
        kernel: its kernel.
        spacing: how far apart its cells lie, in pixels of the input.
    """

    node: Node
    kernel: Kernel
    spacing: Fraction


def _shared_out(line: Sequence[_OnAxis], move: Fraction) -> dict[Node, Kernel]:
    """Kernels for resizes in a row, the last first, that move a map by so many pixels together."""
    onto_cells = {id(each): -each.kernel.offset * each.spacing for each in line}
    for count in range(1, len(line) + 1):
        for chosen in combinations(line, count):
            if sum(onto_cells[id(each)] for each in chosen) == move:
                return {each.node: _at(each.kernel, Fraction(0)) for each in chosen}
    last, *others = line
    alone = last.kernel.offset + move / last.spacing
    if _can_sit(last.kernel, alone):
        return {last.node: _at(last.kernel, alone)}
    rest = alone - sum(onto_cells[id(each)] for each in others) / last.spacing
    if _can_sit(last.kernel, rest):
        return {last.node: _at(last.kernel, rest)} | {
            each.node: _at(each.kernel, Fraction(0)) for each in others
        }
    nearer = min(alone, rest, key=abs)
    if abs(nearer) > MOST_CELLS:
        msg = (
            f"{last.node.name} would have to look {_signed(nearer)} of its cells away, and a kernel is moved "
            f"by {MOST_CELLS} at most"
        )
    else:
        msg = (
            f"{last.node.name} would have to look {_signed(nearer)} of its cells away, which is no multiple "
            f"of half an output sample, where kernels have their middles"
        )
    raise _CannotMendError(msg)


def _can_sit(kernel: Kernel, offset: Fraction) -> bool:
    """Whether the kernel is symmetric about its own middle there, and near."""
    return abs(offset) <= MOST_CELLS and (2 * kernel.scale * offset).denominator == 1


def _at(kernel: Kernel, offset: Fraction) -> Kernel:
    """The kernel at another place, linear where nearest cannot sit there."""
    fits = (kernel.scale * offset + Fraction(kernel.scale - 1, 2)).denominator == 1
    mode: Mode = "linear" if kernel.mode == "nearest" and not fits else kernel.mode
    return replace(kernel, mode=mode, offset=offset)


def _operator(kernels: Sequence[Kernel]) -> Polyphase:
    return interpolation(
        tuple(kernel.scale for kernel in kernels),
        offset=tuple(kernel.offset for kernel in kernels),
        mode=tuple(kernel.mode for kernel in kernels),
        ndim=len(kernels),
        a=kernels[0].a,
    )


def _resize(node: Node) -> Resize:
    assert isinstance(node.step, Resize)
    return node.step


def _can_move(node: Node) -> bool:
    """Whether a node is a resize by a fixed kernel that could sit elsewhere."""
    step = node.step
    if not isinstance(step, Resize) or max(step.scale) <= 1 or len(step.scale) > 3:
        return False
    if step.mode == "nearest" and step.coordinates == "align_corners":
        return False
    return all(scale >= 1 and scale == int(scale) for scale in step.scale)


def _keeps_corners(node: Node) -> bool:
    return _resize(node).coordinates == "align_corners"


def _kernels_of(node: Node) -> tuple[Kernel, ...]:
    """The kernel of a resize per axis; one that keeps its corners in place is put on the cells."""
    step = _resize(node)
    coordinates = "asymmetric" if _keeps_corners(node) else step.coordinates
    found = []
    for scale in map(int, step.scale):
        grid = Grid.of_input(1).resize_onnx(
            scale, coordinates=coordinates, mode=step.mode, rounding=step.rounding
        )
        found.append(Kernel(mode=step.mode, scale=scale, offset=grid.offset[0], a=step.a))
    return tuple(found)


def _way(graph: Graph, tensor: str) -> Iterator[Node]:
    """The nodes on the way to a map since the last join, the last first."""
    maker = graph.makers.get(tensor)
    while maker is not None and len(maker.inputs) == 1 and not isinstance(maker.step, Join | Concatenation):
        yield maker
        maker = graph.makers.get(maker.inputs[0])


def _upstream(graph: Graph, tensor: str) -> set[str]:
    """All maps that a map is made from, itself among them."""
    reached, waiting = {tensor}, [tensor]
    while waiting:
        maker = graph.makers.get(waiting.pop())
        new = set(maker.inputs if maker is not None else ()) - reached
        reached |= new
        waiting.extend(new)
    return reached


# Asked for after every change of the graph, join by join.
_JOINS: WeakKeyDictionary[Graph, Mapping[str, Branching]] = WeakKeyDictionary()


def _branchings(graph: Graph) -> Mapping[str, Branching]:
    """The joins of a graph by the map that they give."""
    found = _JOINS.get(graph)
    if found is None:
        found = _JOINS[graph] = {each.node.output: each for each in joins(graph, sites(graph))}
    return found


def _drifts(graph: Graph) -> dict[str, Distance | None]:
    return {output: branching.drift for output, branching in _branchings(graph).items()}


def _furthest(distance: Distance) -> Fraction:
    return max(map(abs, distance))


def _shift(graph: Graph, tensor: str) -> Distance | None:
    """The shift of an output against the input, by what is furthest off in it; None if nobody can say."""
    place = places(graph)[tensor]
    if not isinstance(place, Place) or place.origin not in graph.inputs:
        return None
    both = zip(shift_of(place.first), shift_of(place.last), strict=True)
    return tuple(max(axis, key=abs) for axis in both)


def _depends_on_size(graph: Graph, tensor: str) -> bool:
    place = places(graph)[tensor]
    return isinstance(place, Place) and place.grid.size_dependent


def _place(branch: Branch) -> Place:
    assert isinstance(branch.place, Place)
    return branch.place


def _apart(one: Place, other: Place) -> Distance | None:
    """How far a map sits from another; None where no single move brings them together."""
    same = one.grid.spacing == other.grid.spacing and one.grid.size_dependent == other.grid.size_dependent
    if not same or one.origin != other.origin:
        return None
    first, last = drift(one.first, other.first), drift(one.last, other.last)
    return first if first == last else None


def _goal(branches: Sequence[Branch]) -> Branch:
    """The branch with which most of the others are together, the first of these."""

    def company(branch: Branch) -> int:
        apart = (_apart(_place(branch), _place(other)) for other in branches)
        return sum(each is not None and not any(each) for each in apart)

    return max(branches, key=company)


def _why_fixed(branch: Branch, goal: Branch, apart: Distance | None) -> str:
    """Why two branches that no resize moves cannot be brought together."""
    grown = next((each.site for each in (branch, goal) if each.site is not None), None)
    if grown is not None:
        return f"{grown.name} is {_what(grown)}"
    if apart is None:
        return _spread(branch.tensor)
    return f"{branch.tensor} and {goal.tensor} are apart by {on_axes(apart)}, and no upsampler made either"


def _spread(tensor: str) -> str:
    return f"{tensor} is a mixture of maps that do not sit together, and no move brings them together"


def _what(site: Site) -> str:
    """What an upsampler is that cannot be moved, and why not."""
    step = site.node.step
    if isinstance(step, TransposedConvolution):
        return "a transposed convolution, and trained kernels are not moved"
    if isinstance(step, PixelShuffle):
        return "a pixel shuffle, and trained phases are not moved"
    if isinstance(step, Resize):
        if step.mode == "nearest" and step.coordinates == "align_corners":
            return "a nearest resize that keeps its corners in place, which copies cells unevenly"
        return f"a resize by {'x'.join(f'{s:g}' for s in step.scale)}, which is no whole scale"
    if isinstance(step, Upsampling):
        return "an operator with a border or a kernel of its own, which is not moved"
    return "no resize by a fixed kernel"


def _signed(number: Fraction) -> str:
    return str(number).replace("-", "−")


def _words(node: Node, before: tuple[Kernel, ...] | None, after: tuple[Kernel, ...]) -> str:
    """What becomes of a resize, axis by axis, one sentence where all axes share it."""
    step = _resize(node)
    said = []
    for axis, new in enumerate(after):
        if before is None:
            said.append(f"{step.mode} ×{new.scale} with its corners kept in place becomes {new}")
        elif before[axis] != new:
            old = before[axis]
            taps = f", the kernel {_listed(old.taps())} becomes {_listed(new.taps())}"
            said.append(f"{old} becomes {new}{taps if old.taps() != new.taps() else ''}")
        else:
            said.append("")
    if len(set(said)) == 1:
        return said[0] + (", on every axis" if len(said) > 1 else "")
    return "; ".join(f"on axis {axis} {words}" for axis, words in enumerate(said) if words)


def _listed(taps: Sequence[float]) -> str:
    return " ".join(f"{tap:.4g}".replace("-", "−") for tap in taps)
