"""Turn what a model makes of inputs of one size after another into the period of the sizes that it takes."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise

from upstroke.graph.form import Graph, Node, Shape
from upstroke.graph.steps import (
    Convolution,
    PixelShuffle,
    Pool,
    Reshape,
    Resize,
    Step,
    Transpose,
    TransposedConvolution,
    Upsampling,
)

__all__ = [
    "NO_MAP",
    "Along",
    "Attempt",
    "Changed",
    "Failed",
    "Outcome",
    "Sizes",
    "coarseness",
    "sized_inputs",
    "sizes_that_work",
]

NO_MAP = "no convolution, pool or resize takes an input of the model as it comes"
# The coarsest grids in use: 32 pixels for classifiers' encoders, 64 for latent ones, twice that for room.
COARSEST = 128
# Where nothing is strided, paddings, crops and windows may still want an even size.
LEAST_WINDOW = 16
EXAMPLES = 3
# Shares of the time: what is left of it behind the first axis is for the others, and a few sizes that tell
# most may take longer.
FIRST, ALL, OVERTIME = 0.6, 1.0, 2.0

_ON_MAPS = Convolution | TransposedConvolution | Pool | Resize | Upsampling | PixelShuffle


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a model made of one size.

    Attributes:
        outputs: shapes of its outputs, in order; none where it failed.
        error: what it said, in one line; empty where it ran.
        place: what was running then.
    """

    outputs: tuple[Shape, ...] = ()
    error: str = ""
    place: str = ""


# What a model makes of these sizes of the axes that vary; None where they cannot be tried.
Attempt = Callable[[tuple[int, ...]], Outcome | None]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A size that a model does not take.

    Attributes:
        size: of the axes that vary.
        error: what it said, in one line.
        place: what was running then; empty where that is not known.
    """

    size: tuple[int, ...]
    error: str
    place: str


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A size that a model takes, but that comes out as another than its rule says.

    Attributes:
        size: of the axes that vary.
        output: which output, counted from 0.
        axis: which of the axes that vary.
        came: size of that axis in the output.
        due: what it would be by the rule that holds at the other sizes.
    """

    size: tuple[int, ...]
    output: int
    axis: int
    came: int
    due: Fraction


@dataclass(frozen=True, kw_only=True)
class Along:
    """The sizes tried along one axis, or along all of them at once.

    A size is right if the model takes it and every output has the size that its rule says.

    Attributes:
        axes: those that varied, among those that can.
        tried: the sizes of the first of them, rising; the one the search began with is among them.
        right: those of them that are right.
        period: the least number of samples after which what is right repeats; None where nothing repeats.
        remainders: of the right sizes when divided by the period.
        failed: examples of sizes that it does not take.
        changed: examples of sizes that come out as others.
    """

    axes: tuple[int, ...]
    tried: tuple[int, ...]
    right: tuple[int, ...]
    period: int | None
    remainders: tuple[int, ...]
    failed: tuple[Failed, ...] = ()
    changed: tuple[Changed, ...] = ()

    @property
    def takes_all(self) -> bool:
        """Whether every size that was tried is right."""
        return len(self.right) == len(self.tried)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What was found out about the sizes of input that a model takes.

    Attributes:
        start: sizes of the axes that vary, at which the search began.
        along: one search along each axis that varies, and where all at once behave otherwise than the axes
            one at a time, one along all.
        how: how sizes were tried, in a few words.
        reason: why none could be tried; empty where they were.
        fixed: the model says itself that it takes no other size.
    """

    start: tuple[int, ...] = ()
    along: tuple[Along, ...] = ()
    how: str = ""
    reason: str = ""
    fixed: bool = False

    @property
    def tried(self) -> int:
        """How many sizes were tried, the first one counted once."""
        return 1 + sum(len(each.tried) - 1 for each in self.along)


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """The size of one axis of one output: slope times the size of the input, and offset."""

    output: int
    axis: int
    slope: Fraction
    offset: Fraction


def sizes_that_work(
    start: tuple[int, ...],
    coarse: tuple[int, ...],
    attempt: Attempt,
    *,
    free: tuple[int, ...],
    may_go_on: Callable[[float], bool],
) -> tuple[Along, ...]:
    """Try sizes from one that works upwards, along each axis and then along all at once.

    1. Along the first axis: every size up to one step of the coarsest grid and the next whole step; if none
       is right, 32, 64 and 128 samples further too.
    2. Along the others: a few sizes for which one before says what must come; all if it does not come.
    3. All at once likewise.

    Args:
        start: a size that works, all spatial axes of it.
        coarse: samples of the input from one sample of the coarsest map to the next, per axis.
        attempt: what the model makes of a size.
        free: the axes to vary.
        may_go_on: asked before every attempt but the first few, with the share of all time that may be gone.

    >>> def halves(size):
    ...     odd = size[0] % 2
    ...     return Outcome(error="9 and 10 do not meet") if odd else Outcome(outputs=((1, 1, size[0]),))
    >>> (along,) = sizes_that_work((8,), (2,), halves, free=(0,), may_go_on=lambda share: True)
    >>> along.period, along.remainders, along.failed[0].size
    (2, (0,), (9,))
    """
    search = _Search(start=start, coarse=coarse, attempt=attempt, may_go_on=may_go_on)
    found: list[Along] = []
    for axis in free:
        alike = next(filter(None, (search.like(each, axis) for each in found)), None)
        found.append(alike or search.all_along((axis,)))
    if len(free) > 1 and not search.together(found):
        found.append(search.all_along(free))
    return tuple(found)


class _Search:
    """Tries sizes, each once."""

    def __init__(
        self,
        *,
        start: tuple[int, ...],
        coarse: tuple[int, ...],
        attempt: Attempt,
        may_go_on: Callable[[float], bool],
    ) -> None:
        self._start, self._coarse = start, coarse
        self._attempt, self._may_go_on = attempt, may_go_on
        self._known: dict[tuple[int, ...], Outcome | None] = {}

    def all_along(self, axes: tuple[int, ...]) -> Along:
        """Try a whole window, the sizes first that tell most."""
        step = min(COARSEST, math.lcm(*(self._coarse[axis] for axis in axes)))
        window = max(LEAST_WINDOW, step)
        # the axes still to come need some time too
        share, least = (FIRST, 5) if len(self._known) < 2 else (ALL, 2)
        outcomes = self._at(axes, _telling(step, window), share=share, least=least)
        if all(outcome.error for far, outcome in outcomes.items() if far):
            further = [2**power for power in range(5, 8) if 2**power > window]
            outcomes |= self._at(axes, [*further, *(3 * far for far in further[:2])], share=share)
        return self._judged(axes, outcomes, step)

    def like(self, first: Along, axis: int) -> Along | None:
        """The search along another axis, if a few sizes come out as the first axis says."""
        period = first.period
        if period is None:
            found = self._judged((axis,), self._at((axis,), [1, 2, 3, 4, 8, 16, 32, 64]), self._coarse[axis])
            return None if len(found.right) > 1 or len(first.right) > 1 else found
        start = self._start[axis]
        wanted = [1, period, 2, 3, period + 1, 2 * period, *self._due(first, start, period)]
        found = self._judged((axis,), self._at((axis,), dict.fromkeys(wanted)), period)
        if any((n in found.right) != (n % period in first.remainders) for n in found.tried):
            return None
        return replace(found, period=period, remainders=first.remainders)

    def together(self, found: Sequence[Along]) -> bool:
        """Whether all axes at once behave as they do one at a time, at a few sizes."""
        axes = tuple(axis for each in found for axis in each.axes)
        period = math.lcm(*(each.period or 1 for each in found))
        # where no other size works along one axis, all axes may have to be the same
        few = [period, 1, 2] if all(each.period for each in found) else [1, 2, 16, 32, 64]
        every = self._judged(axes, self._at(axes, dict.fromkeys(few)), period)
        return all(
            (n in every.right) == all(self._is_due(each, n - every.tried[0]) for each in found)
            for n in every.tried
        )

    def _is_due(self, found: Along, far: int) -> bool:
        """Whether a size is right along one axis, by what was found out about it."""
        n = self._start[found.axes[0]] + far
        return n in found.right if found.period is None else n % found.period in found.remainders

    def _due(self, first: Along, start: int, period: int) -> Iterator[int]:
        """Offsets along another axis for one size that the first says is right, and one that is wrong."""
        for right in (True, False):
            fits = (far for far in range(1, period) if ((start + far) % period in first.remainders) is right)
            yield from islice(fits, 1)

    def _at(
        self, axes: tuple[int, ...], offsets: Iterable[int], *, share: float = ALL, least: int = 2
    ) -> dict[int, Outcome]:
        """What comes of sizes so much larger than the first, which is among them, as long as time allows.

        The first few may take longer, and two are tried in any case.
        """
        found = {}
        for place, far in enumerate((0, *offsets)):
            size = self._size(axes, far)
            if size not in self._known:
                if place > 2 and not self._may_go_on(share if place > least else OVERTIME):
                    break
                self._known[size] = self._attempt(size)
            outcome = self._known[size]
            if outcome is not None:
                found[far] = outcome
        return found

    def _size(self, axes: tuple[int, ...], far: int) -> tuple[int, ...]:
        return tuple(n + far if axis in axes else n for axis, n in enumerate(self._start))

    def _judged(self, axes: tuple[int, ...], outcomes: Mapping[int, Outcome], step: int) -> Along:
        start = self._start[axes[0]]
        rules = _rules(self._start, axes, outcomes, step)
        failed, changed, right = [], [], []
        for far in sorted(outcomes):
            outcome = outcomes[far]
            size = self._size(axes, far)
            wrong = list(_wrong(size, outcome, rules))
            if outcome.error:
                failed.append(Failed(size=size, error=outcome.error, place=outcome.place))
            elif wrong:
                changed.append(wrong[0])
            else:
                right.append(start + far)
        tried = tuple(start + far for far in sorted(outcomes))
        found = _period(tried, frozenset(right), step)
        return Along(
            axes=axes,
            tried=tried,
            right=tuple(right),
            period=found,
            remainders=() if found is None else tuple(sorted({n % found for n in right})),
            failed=tuple(failed[:EXAMPLES]),
            changed=tuple(changed[:EXAMPLES]),
        )


def _telling(step: int, window: int) -> list[int]:
    """All offsets in a window, those first that tell most where time does not suffice for all.

    >>> _telling(4, 9)
    [4, 1, 2, 8, 3, 5, 6, 7, 9]
    """
    divisors = [far for far in range(1, step) if step % far == 0]
    return list(dict.fromkeys([step, *divisors, 2 * step, *range(1, window + 1)]))


def _period(tried: tuple[int, ...], right: frozenset[int], step: int) -> int | None:
    """The least period of what is right; None where one size alone is, or nothing repeats.

    Two sizes that are one period apart must be right. Where all sizes of a window were, the period is any
    number that fits into it twice; where some are missing, one that divides the coarsest step, or the
    least distance of right sizes.
    """
    if len(right) == len(tried):
        return 1 if len(tried) > 1 else None
    first = tried[0]
    apart = {m - n for n in right for m in right if m > n}
    reach = next((n - first for n, after in pairwise(tried) if after > n + 1), tried[-1] - first)
    fitting = list(range(1, reach // 2 + 1))
    fitting += [
        far for whole in (step, *sorted(apart)[:1]) for far in range(1, whole + 1) if whole % far == 0
    ]
    for period in sorted(apart.intersection(fitting)):
        wrong = {n % period for n in tried if n not in right}
        if wrong.isdisjoint(n % period for n in right):
            return period
    return None


def _rules(
    start: tuple[int, ...], axes: tuple[int, ...], outcomes: Mapping[int, Outcome], step: int
) -> tuple[_Rule, ...]:
    """The rule of every axis of an output that grows at least as fast as the input.

    Its slope is how often the output is as long as the input at the first size, where that is a whole number,
    or how much longer it is whole steps of the coarsest grid further on, where rounding is the same; of the
    two the one that holds at more sizes. Its offset is the one nearest to 0 among all sizes that work, so
    that of outputs of 96 at 96 and at 97 the first is due and the second is not.
    """
    ran = {far: outcome.outputs for far, outcome in outcomes.items() if not outcome.error}
    found = []
    for output, before in enumerate(ran.get(0, ())):
        for axis in axes if _is_map(before, start) else ():
            lengths = {far: _length(shapes, output, axis, len(start)) for far, shapes in ran.items()}
            known = {far: n for far, n in lengths.items() if n is not None}
            slopes = _slopes(known, start[axis], step)
            rules = [_rule(slope, known, output, axis, start[axis]) for slope in slopes]
            found += sorted(rules, key=lambda rule: -_holds(rule, known, start[axis]))[:1]
    return tuple(found)


def _slopes(known: Mapping[int, int], start: int, step: int) -> Iterator[Fraction]:
    """How fast an output may grow with the input: at least as fast."""
    at_first = Fraction(known.get(0, 0), start)
    if at_first >= 1 and at_first.denominator == 1:
        yield at_first
    onwards = [far for far in sorted(known) if far]
    whole = [far for far in onwards if far % step == 0] or onwards
    if whole:
        grown = Fraction(known[whole[-1]] - known.get(0, 0), whole[-1])
        if grown >= 1 and grown != at_first:
            yield grown


def _rule(slope: Fraction, known: Mapping[int, int], output: int, axis: int, start: int) -> _Rule:
    offset = min((n - slope * (start + far) for far, n in known.items()), key=abs)
    return _Rule(output=output, axis=axis, slope=slope, offset=offset)


def _holds(rule: _Rule, known: Mapping[int, int], start: int) -> int:
    """At how many sizes."""
    return sum(n == rule.slope * (start + far) + rule.offset for far, n in known.items())


def _is_map(shape: Shape, start: tuple[int, ...]) -> bool:
    """Whether an output has the input's axes: behind batch and channels, or behind the batch alone.

    Without channels it could be a list of tokens; what is as many times as long as the input on every axis is
    none.
    """
    if len(shape) == len(start) + 2:
        return True
    grown = {Fraction(n or 0, m) for n, m in zip(shape[1:], start, strict=False)}
    return len(shape) == len(start) + 1 and len(grown) == 1 and min(grown) >= 1


def _length(shapes: tuple[Shape, ...], output: int, axis: int, axes: int) -> int | None:
    """Size of an output along an axis that varies; the last axes of a map are those."""
    if output >= len(shapes) or len(shapes[output]) < axes + 1:
        return None
    return shapes[output][len(shapes[output]) - axes + axis]


def _wrong(size: tuple[int, ...], outcome: Outcome, rules: tuple[_Rule, ...]) -> Iterator[Changed]:
    """The outputs whose size is not what their rules say."""
    for rule in () if outcome.error else rules:
        came = _length(outcome.outputs, rule.output, rule.axis, len(size))
        due = rule.slope * size[rule.axis] + rule.offset
        if came is not None and came != due:
            yield Changed(size=size, output=rule.output, axis=rule.axis, came=came, due=due)


def sized_inputs(graph: Graph) -> tuple[str, ...]:
    """The inputs that are maps: a convolution, a pool or a resize of theirs takes them with all their axes.

    What reads tokens, features or time steps takes other axes, so that an input of those is none; the way may
    lead through anything that keeps the number of axes.
    """
    return tuple(name for name in graph.inputs if _reaches_a_map(name, graph))


def _reaches_a_map(name: str, graph: Graph) -> bool:
    shape = graph.shapes.get(name)
    if shape is None or not 3 <= len(shape) <= 5:
        return False
    reached, waiting = {name}, [name]
    while waiting:
        for node in graph.consumers.get(waiting.pop(), ()):
            if isinstance(node.step, _ON_MAPS):
                return _axes(node.step) == len(shape) - 2
            after = graph.shapes.get(node.output)
            moves = isinstance(node.step, Reshape | Transpose)
            if moves or after is None or len(after) != len(shape) or node.output in reached:
                continue
            reached.add(node.output)
            waiting.append(node.output)
    return False


def _axes(step: Step) -> int:
    if isinstance(step, Convolution | TransposedConvolution | Pool):
        return len(step.stride)
    if isinstance(step, Resize | PixelShuffle):
        return len(step.scale)
    return step.operator.ndim if isinstance(step, Upsampling) else 0


def coarseness(graph: Graph, name: str) -> tuple[int, ...]:
    """Samples of an input from one sample of the coarsest map to the next, per axis, up to 128.

    Where maps on the way have several spacings it is a size that is whole steps of each.
    """
    shape = graph.shapes[name]
    spacing = {name: (Fraction(1),) * (len(shape) - 2)}
    for node in graph.nodes:
        before = next((each for each in node.inputs if each in spacing), None)
        after = None if before is None else _spaced(node, before, spacing[before], graph)
        if after is not None:
            spacing[node.output] = after
    return tuple(_common(axis) for axis in zip(*spacing.values(), strict=True))


def _common(spacings: Iterable[Fraction]) -> int:
    """The least size that is whole steps of each; the largest step where that is too much."""
    steps = {math.ceil(each) for each in spacings}
    common = math.lcm(*steps)
    return common if common <= COARSEST else min(COARSEST, max(steps))


def _spaced(
    node: Node, name: str, spacing: tuple[Fraction, ...], graph: Graph
) -> tuple[Fraction, ...] | None:
    """The distance between samples behind a node; None where it is not known."""
    step = node.step
    factors: Iterable[Fraction] | None = None
    if isinstance(step, Convolution | Pool):
        factors = map(Fraction, step.stride)
    elif isinstance(step, TransposedConvolution):
        factors = (Fraction(1, s) for s in step.stride)
    elif isinstance(step, Resize):
        factors = (1 / Fraction(s).limit_denominator(COARSEST) for s in step.scale)
    elif isinstance(step, PixelShuffle):
        factors = (Fraction(1, s) for s in step.scale)
    elif isinstance(step, Upsampling):
        factors = (Fraction(1, s) for s in step.operator.scale)
    else:
        before, after = graph.size(name), graph.size(node.output)
        if before is not None and after is not None and len(before) == len(after) == len(spacing):
            factors = _ratios(before, after)
    if factors is None:
        return None
    found = tuple(each * factor for each, factor in zip(spacing, factors, strict=False))
    return found if len(found) == len(spacing) else None


def _ratios(before: Shape, after: Shape) -> list[Fraction] | None:
    """By how much sizes shrank, where that is a whole number and something is left; 1 where they did not."""
    found = []
    for n, m in zip(before, after, strict=True):
        if n is None or m is None or n == m:
            found.append(Fraction(1))
        elif m > 1 and n % m == 0:
            found.append(Fraction(n, m))
        elif m < 2:
            return None
        else:
            found.append(Fraction(1))
    return found
