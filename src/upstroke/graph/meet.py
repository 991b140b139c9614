"""Turn the layouts of several maps into that of what they become together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from upstroke.graph.form import Shape
from upstroke.graph.layout import (
    Axis,
    Factor,
    Layout,
    Lost,
    LostError,
    Offsets,
    Start,
    State,
    bare,
    feature,
    length_of,
    outermost,
    sizes_of,
)
from upstroke.graph.steps import Concatenation, Join, Part

__all__ = ["Arrival", "Meeting", "meet", "product"]

BESIDE = "laid side by side along positions"
PRODUCT = "attention: a matrix product of two maps mixes all positions"


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A map that comes to a join.

    Attributes:
        state: where its samples sit.
        shape: of it.
        part: of a concatenation, what it is.
    """

    state: State
    shape: Shape
    part: Part | None = None


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """What becomes of maps that come together.

    Attributes:
        state: where the samples of the new map sit.
        branches: places among the arrivals of those that bring positions; the others are broadcast.
    """

    state: State
    branches: tuple[int, ...]


def meet(
    step: Join | Concatenation, arrivals: Sequence[Arrival], after: Shape, *, ranks: Mapping[str, int]
) -> Meeting:
    """What becomes of maps that are joined, or laid side by side.

    Positions are the mean of those that come in: with equal weights where maps are added, multiplied or
    chosen from, weighted by their channels where they are concatenated, as kernels that are uniform over
    their inputs make it. A map that is lost, or comes from elsewhere, does not count beside one that is not.

    Args:
        step: how.
        arrivals: the maps, in order.
        after: shape of what they become.
        ranks: of the maps that positions are counted on, the least first.
    """
    arrivals = [replace(each, state=_plain(each.state)) for each in arrivals]
    axis = _axis(step, after)
    is_new = isinstance(step, Concatenation) and step.is_new
    if axis is not None and not is_new:
        if any(_stands_on(each.state, axis) for each in arrivals):
            return Meeting(state=_beside(step, arrivals, axis, after), branches=())
        arrivals = [replace(each, state=_without_channels(each.state, axis)) for each in arrivals]
    if is_new:
        assert axis is not None
        arrivals = [_with_new(each, axis) for each in arrivals]
    wide = _wide(arrivals, after)
    # what has no positions brings none, however many copies of it there are
    branches = tuple(
        place
        for place, each in enumerate(arrivals)
        if not isinstance(each.state, Start) and any(_size(each.shape, at, after) != 1 for at in wide)
    )
    taken = [arrivals[place] for place in branches] or list(arrivals)
    located = [each for each in taken if isinstance(each.state, Layout)]
    if not located:
        lost = [each.state for each in taken if isinstance(each.state, Lost)]
        return Meeting(state=lost[0] if lost else Start(), branches=branches)
    layouts = [each.state for each in located if isinstance(each.state, Layout)]
    origin = min((layout.origin for layout in layouts), key=lambda name: ranks.get(name, len(ranks)))
    own = [each for each in located if isinstance(each.state, Layout) and each.state.origin == origin]
    state = _mean(own, after, channels=axis)
    if len(own) == len(arrivals) and _is_whole_cut([each.state for each in own]):
        return Meeting(state=_as_one(state), branches=())
    return Meeting(state=state, branches=branches)


def product(first: State, second: State, after: Shape) -> State:
    """The matrix product: positions stay if one map brings them all and none of them is summed over."""
    rank = len(after)
    # the axis that is summed over in one map has the place of the free axis of the other
    for own, other, summed in ((first, second, rank - 1), (second, first, rank - 2)):
        if not isinstance(own, Layout) or len(own.axes) != rank or own.gone or not own.lines:
            continue
        if _has_lines(own.axes[summed]):
            continue
        if isinstance(other, Layout) and (len(other.axes) != rank or _has_lines(other.axes[summed])):
            continue
        return replace(own.with_axis(summed, feature(sizes_of(after)[summed])), cut=None)
    if isinstance(first, Start) and isinstance(second, Start):
        return Start()
    return Lost(reason=PRODUCT)


def _has_lines(axis: Axis) -> bool:
    return any(factor.line is not None for factor in bare(axis))


def _axis(step: Join | Concatenation, after: Shape) -> int | None:
    if isinstance(step, Concatenation):
        return step.axis
    return 1 if step.kind == "concatenate" and len(after) > 1 else None


def _plain(state: State) -> State:
    return Lost(reason=state.lost()) if isinstance(state, Layout) and not state.lines else state


def _stands_on(state: State, axis: int) -> bool:
    """Whether a line has its outermost part on this axis, so that it counts positions and no channels."""
    if not isinstance(state, Layout) or axis >= len(state.axes):
        return False
    return axis in outermost(state.axes).values()


def _without_channels(state: State, axis: int) -> State:
    if not isinstance(state, Layout) or axis >= len(state.axes):
        return state
    return state.absorbed(axis, length_of(state.axes[axis]))


def _with_new(each: Arrival, axis: int) -> Arrival:
    shape = (*each.shape[:axis], 1, *each.shape[axis:])
    if not isinstance(each.state, Layout):
        return replace(each, shape=shape)
    axes = each.state.axes
    return replace(each, shape=shape, state=replace(each.state, axes=(*axes[:axis], (), *axes[axis:])))


def _beside(step: Join | Concatenation, arrivals: Sequence[Arrival], axis: int, after: Shape) -> State:
    """Other samples in front of the one map that has positions along an axis, or behind it: a class token."""
    standing = [place for place, each in enumerate(arrivals) if _stands_on(each.state, axis)]
    parts = step.parts or tuple(Part(length=each.shape[axis], is_map=True) for each in arrivals)
    places = [at for at, part in enumerate(parts) if part.is_map]
    lengths = [part.length for part in parts]
    state = arrivals[standing[0]].state
    if len(standing) > 1 or len(places) != len(arrivals) or not isinstance(state, Layout):
        return Lost(reason=BESIDE)
    if any(length is None for length in lengths):
        return Lost(reason=f"{BESIDE}, so many of them as is not known")
    at = places[standing[0]]
    front, behind = sum(n or 0 for n in lengths[:at]), sum(n or 0 for n in lengths[at + 1 :])
    if front == behind == 0:
        return state
    inside = state.axes[axis]
    if any(factor.held for factor in inside):
        held = inside[0].held
        if len(inside) > 1 or held is None:
            return Lost(reason=BESIDE)
        front, inside, behind = front + held[0], held[1], behind + held[2]
    whole = Factor(size=front + length_of(inside) + behind, held=(front, inside, behind))
    return replace(state.with_axis(axis, (whole,)), cut=None)


def _aligned(axes: Sequence[Axis], rank: int) -> tuple[Axis, ...]:
    return (*((),) * (rank - len(axes)), *axes)


def _size(shape: Shape, place: int, after: Shape) -> int | None:
    """Length along an axis of what maps become; shorter shapes have ones in front."""
    own = place - (len(after) - len(shape))
    return shape[own] if own >= 0 else 1


def _wide(arrivals: Sequence[Arrival], after: Shape) -> list[int]:
    """The axes along which positions are counted; where nothing is located, those that are so by custom."""
    found = {
        place
        for each in arrivals
        if isinstance(each.state, Layout)
        for place, axis in enumerate(_aligned(each.state.axes, len(after)))
        if any(factor.line is not None and factor.size > 1 for factor in bare(axis))
    }
    return sorted(found or {place for place in range(2, len(after)) if after[place] != 1})


def _mean(arrivals: Sequence[Arrival], after: Shape, *, channels: int | None) -> State:
    """The mean of layouts that are counted on one map, line by line."""
    rank = len(after)
    layouts = [
        _comparable(each.state, alike=_alike(arrivals)) for each in arrivals if isinstance(each.state, Layout)
    ]
    weights = [_weight(each, channels) for each in arrivals]
    axes = [feature(size) for size in sizes_of(after)]
    offsets = Offsets.zero(len(layouts[0].offsets.mean))
    alive = sorted({line for layout in layouts for line in layout.lines})
    for place in range(rank):
        if place == channels:
            continue
        candidates = [axis for layout in layouts if (axis := _aligned(layout.axes, rank)[place])]
        fitting = [axis for axis in candidates if after[place] in (None, length_of(axis))]
        placed = [axis for axis in fitting or candidates if any(each.line is not None for each in bare(axis))]
        if placed:
            axes[place] = _between(placed, weights if len(placed) == len(weights) else [1] * len(placed))
    for line in alive:
        having = [
            (layout, weight) for layout, weight in zip(layouts, weights, strict=True) if line in layout.lines
        ]
        total = sum(weight for _, weight in having)
        mean = sum((weight * layout.offsets.mean[line] for layout, weight in having), Fraction(0)) / total
        first = min(layout.offsets.first[line] for layout, _ in having)
        last = max(layout.offsets.last[line] for layout, _ in having)
        offsets = Offsets(
            mean=_set(offsets.mean, line, mean),
            first=_set(offsets.first, line, first),
            last=_set(offsets.last, line, last),
        )
    gone = dict(pair for layout in layouts for pair in layout.gone if pair[0] not in alive)
    return Layout(
        origin=layouts[0].origin,
        axes=tuple(axes),
        offsets=offsets,
        gone=tuple(sorted(gone.items())),
        size_dependent=any(layout.size_dependent for layout in layouts),
        cut=None,
    )


def _alike(arrivals: Sequence[Arrival]) -> bool:
    return len({each.state.axes for each in arrivals if isinstance(each.state, Layout)}) == 1


def _comparable(layout: Layout, *, alike: bool) -> Layout:
    """With one factor per axis where that is possible, so that spellings do not matter."""
    if alike:
        return layout
    held = set(outermost(layout.axes).values())
    for place, axis in enumerate(layout.axes):
        try:
            layout = layout.settled(place)
        except LostError:
            if place not in held:
                layout = layout.absorbed(place, length_of(axis))
    return layout


def _between(axes: Sequence[Axis], weights: Sequence[int]) -> Axis:
    """One axis for several that should be the same: where they are not, the mean of their spacings."""
    if len(set(axes)) == 1 or any(len(axis) > 1 or axis[0].held for axis in axes):
        return axes[0]
    steps = zip((axis[0].step for axis in axes), weights, strict=True)
    mean = sum((weight * step for step, weight in steps), Fraction(0)) / sum(weights)
    return (replace(axes[0][0], step=mean),)


def _weight(each: Arrival, channels: int | None) -> int:
    if channels is None or channels >= len(each.shape):
        return 1
    return each.shape[channels] or 1


def _set(numbers: tuple[Fraction, ...], place: int, number: Fraction) -> tuple[Fraction, ...]:
    return (*numbers[:place], number, *numbers[place + 1 :])


def _is_whole_cut(states: Sequence[State]) -> bool:
    """Whether these are all of every so-manieth sample of one map: space to depth, spelled by slices."""
    cuts = [state.cut for state in states if isinstance(state, Layout)]
    if len(cuts) < 2 or None in cuts or len({cut[0] for cut in cuts if cut}) > 1:
        return False
    strides = [{axis: stride for axis, _, stride in cut[1]} for cut in cuts if cut]
    starts = {tuple(sorted((axis, start) for axis, start, _ in cut[1])) for cut in cuts if cut}
    count = 1
    for stride in strides[0].values():
        count *= stride
    single = all(len(each) == len(cut[1]) for each, cut in zip(strides, cuts, strict=True) if cut)
    return single and all(each == strides[0] for each in strides) and len(starts) == len(cuts) == count


def _as_one(state: State) -> State:
    """Phases of one map as channels: its branches are no further apart than it says itself."""
    if not isinstance(state, Layout):
        return state
    spread = zip(state.offsets.mean, state.offsets.first, state.offsets.last, strict=True)
    if all(first <= mean <= last for mean, first, last in spread):
        return replace(
            state, offsets=replace(state.offsets, first=state.offsets.mean, last=state.offsets.mean)
        )
    return state
