"""Follow which axis of a tensor counts which positions, through reshapes, transposes, cuts and copies.

Every axis is a product of factors. A factor counts samples along one line, an axis of the space in which
positions are measured, `step` apart, or it counts features: channels, heads, the batch. So the token axis of
a vision transformer is two factors, rows and columns, and stays that through every reshape that a product of
factors describes. What none describes is lost, with the reason.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Protocol, TypeVar, runtime_checkable

from upstroke.graph.form import Shape
from upstroke.grid import Grid

__all__ = [
    "COPIES",
    "ONE_CELL",
    "UNKNOWN",
    "Axis",
    "Factor",
    "Layout",
    "Lost",
    "LostError",
    "Offsets",
    "Start",
    "State",
    "bare",
    "feature",
    "length_of",
    "outermost",
    "regrouped",
    "sizes_of",
]

# Stands for an axis whose size is unknown; a prime that no factor of a known size can be.
UNKNOWN = 2**31 - 1

RESHAPED = "tokens: reshaped in a way that is not read"
ONE_CELL = "pooled to one cell"
GAPS = "laid out in windows that leave gaps or overlap"
COPIES = "copies of one cell"


class LostError(Exception):
    """Nobody can say where the samples of a map sit; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A map whose samples nobody can place.

    Attributes:
        reason: why, without a full stop.
    """

    reason: str


@dataclass(frozen=True, kw_only=True)
class Start:
    """A map without positions that did not lose any: noise, a latent vector, a text, a time."""


@runtime_checkable
class Sized(Protocol):
    """A factor of an axis."""

    @property
    def size(self) -> int:
        """How many indices it has."""


_Part = TypeVar("_Part", bound=Sized)


def regrouped(
    factors: Iterable[_Part],
    shape: Sequence[int],
    *,
    split: Callable[[_Part, int], tuple[_Part, _Part] | None],
) -> list[list[_Part]] | None:
    """Deal factors out to axes of these sizes, splitting them where an axis ends inside one.

    None if no product of factors describes that.

    Args:
        factors: of the axes, from the outermost to the innermost.
        shape: the new sizes.
        split: gives the outer part of a factor, of this size, and the inner one, or None if it cannot be cut.

    >>> rows, columns = Factor(size=6, line=0), Factor(size=4, line=1)
    >>> dealt = regrouped([rows, columns], (3, 8), split=Factor.split)
    >>> [[factor.size for factor in axis] for axis in dealt]
    [[3], [2, 4]]
    """
    left = list(factors)[::-1]
    axes: list[list[_Part]] = []
    for size in shape:
        axis: list[_Part] = []
        wanted = size
        while wanted > 1:
            if not left:
                return None
            factor = left.pop()
            if wanted % factor.size == 0:
                axis.append(factor)
                wanted //= factor.size
                continue
            parts = None if factor.size % wanted else split(factor, wanted)
            if parts is None:
                return None
            axis.append(parts[0])
            left.append(parts[1])
            wanted = 1
        axes.append(axis)
    return None if left else axes


def sizes_of(shape: Shape) -> tuple[int, ...]:
    """A shape with a number for sizes that are unknown."""
    return tuple(UNKNOWN if size is None else size for size in shape)


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A part of an axis: index // inner % size, for whatever stands inside it.

    Attributes:
        size: how many indices it has.
        line: which axis of space it counts samples along; None for features.
        step: how far apart these are.
        held: samples of another kind around the samples: how many in front, what they are in front of, how
            many behind. A class token is one. Such a factor is never split.
    """

    size: int
    line: int | None = None
    step: Fraction = Fraction(0)
    held: "tuple[int, Axis, int] | None" = None

    def split(self, outer: int) -> "tuple[Factor, Factor] | None":
        """The outer part, of this size, and the inner one; None if it cannot be cut so."""
        if self.held is not None:
            return None
        inner = self.size // outer
        return replace(self, size=outer, step=self.step * inner), replace(self, size=inner)


Axis = tuple[Factor, ...]


@dataclass(frozen=True, kw_only=True)
class Offsets:
    """Where sample 0 sits, per line: the mean of all that is mixed into a map, and its outermost branches."""

    mean: tuple[Fraction, ...]
    first: tuple[Fraction, ...]
    last: tuple[Fraction, ...]

    @classmethod
    def zero(cls, lines: int) -> "Offsets":
        """Those of a map that positions are counted from."""
        nothing = (Fraction(0),) * lines
        return cls(mean=nothing, first=nothing, last=nothing)

    def moved(self, line: int, distance: Fraction) -> "Offsets":
        """All of them moved along one line."""
        if not distance:
            return self

        def move(offsets: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
            return (*offsets[:line], offsets[line] + distance, *offsets[line + 1 :])

        return Offsets(mean=move(self.mean), first=move(self.first), last=move(self.last))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which axes of a map count what, and where sample 0 sits.

    Attributes:
        origin: the map that positions are counted on.
        axes: of the map, in order; an axis of length one may have no factor.
        offsets: where sample 0 sits.
        gone: lines along which samples were mixed or dropped, with the reason.
        size_dependent: whether a layer on the way samples at a spacing that depends on the size.
        cut: if the map is every so-manieth sample of another one: which, and (axis, start, stride) per cut.
    """

    origin: str
    axes: tuple[Axis, ...]
    offsets: Offsets
    gone: tuple[tuple[int, str], ...] = ()
    size_dependent: bool = False
    cut: tuple[str, tuple[tuple[int, int, int], ...]] | None = None

    @classmethod
    def start(cls, origin: str, shape: Shape, lines: Sequence[int]) -> "Layout":
        """The layout of a map that positions are counted on, whose axes named here are its space."""
        axes = tuple(
            (Factor(size=size, line=lines.index(axis), step=Fraction(1)),) if axis in lines else feature(size)
            for axis, size in enumerate(sizes_of(shape))
        )
        return cls(origin=origin, axes=axes, offsets=Offsets.zero(len(lines)))

    @cached_property
    def lines(self) -> tuple[int, ...]:
        """The axes of space that it still counts samples along, in order."""
        return tuple(
            sorted({factor.line for axis in self.axes for factor in bare(axis) if factor.line is not None})
        )

    def lost(self) -> str:
        """Why it has no place; empty if it has one."""
        if self.gone:
            return self.gone[0][1]
        return "" if self.lines else RESHAPED

    def with_axis(self, place: int, axis: Axis) -> "Layout":
        """With other factors along one axis."""
        return replace(self, axes=(*self.axes[:place], axis, *self.axes[place + 1 :]))

    def moved(self, line: int, distance: Fraction) -> "Layout":
        """With all samples moved along one line."""
        return replace(self, offsets=self.offsets.moved(line, distance))

    def settled(self, place: int) -> "Layout":
        """With one factor along this axis: features inside a line are phases of its samples.

        What a pixel shuffle puts inside a line has no position of its own; its samples are laid out evenly
        around the one that they come from.
        """
        axis = merged(self.axes[place])
        if len(axis) < 2:
            return self.with_axis(place, axis)
        outer, inner = axis[0], axis[1:]
        if outer.line is None and all(factor.line is None and not factor.held for factor in axis):
            return self.with_axis(place, feature(math.prod(factor.size for factor in axis)))
        if outer.line is None or any(factor.line is not None or factor.held for factor in inner):
            raise LostError(RESHAPED)
        phases = math.prod(factor.size for factor in inner)
        step = outer.step / phases
        whole = replace(outer, size=outer.size * phases, step=step)
        return self.with_axis(place, (whole,)).moved(outer.line, -step * (phases - 1) / 2)

    def resampled(
        self, place: int, cells: Fraction, zoom: Fraction, size: int, *, flag: bool = False
    ) -> "Layout":
        """Sampled anew along one axis: sample 0 moves by a number of cells, and the spacing is multiplied."""
        settled = self.settled(place)
        axis = settled.axes[place]
        factor = axis[0] if axis else None
        if factor is None or factor.line is None:
            if factor is not None and factor.held is not None:
                raise LostError(RESHAPED)
            if size > 1 and factor is None and self.gone:
                raise LostError(self.gone[0][1])
            return settled.with_axis(place, feature(size))
        new = settled.moved(factor.line, cells * factor.step)
        new = new.with_axis(place, (replace(factor, size=size, step=factor.step * zoom),))
        return replace(new, size_dependent=new.size_dependent or flag)

    def absorbed(self, place: int, size: int, *, why: str = ONE_CELL) -> "Layout":
        """With all that stands along one axis mixed, and features of this number in its place."""
        layout = self
        taken = [factor for factor in bare(self.axes[place]) if factor.line is not None]
        for factor in taken:
            assert factor.line is not None
            layout = layout.moved(factor.line, factor.step * (factor.size - 1) / 2)
        layout = layout.with_axis(place, feature(size))
        missing = sorted({factor.line for factor in taken if factor.line is not None} - set(layout.lines))
        return replace(layout, gone=layout.gone + tuple((line, why) for line in missing))

    def reshaped(self, shape: Shape) -> "Layout":
        """The same numbers in the same order, in another shape."""
        factors = [factor for axis in self.axes for factor in axis if factor.size > 1]
        total = math.prod(factor.size for factor in factors)
        known = math.prod(size for size in shape if size is not None)
        fill = total // known if shape.count(None) == 1 and known and total % known == 0 else UNKNOWN
        sizes = [fill if size is None else size for size in shape]
        axes = regrouped(factors, sizes, split=Factor.split)
        if axes is None:
            raise LostError(RESHAPED)
        for place, axis in _single(self.axes):
            _put_back(axes, place, axis, before=_product(self.axes[:place]))
        return replace(self, axes=tuple(merged(axis) for axis in axes))

    def transposed(self, order: Sequence[int]) -> "Layout":
        """Axes in another order."""
        if sorted(order) != list(range(len(self.axes))):
            raise LostError(RESHAPED)
        return replace(self, axes=tuple(self.axes[axis] for axis in order))

    def grids(self) -> tuple[Grid, Grid, Grid]:
        """Where samples sit: mean, first, last, for all lines.

        Samples that stand inside the channels, as behind space to depth, count as one, at their middle.

        Raises:
            LostError: nobody can say.
        """
        reason = self.lost()
        if reason:
            raise LostError(reason)
        layout, spacing = self, dict[int, Fraction]()
        for place in range(len(self.axes)):
            layout = layout._settled_if_line(place)
        inner = _of_channels(layout.axes)
        for line in self.lines:
            factors = sorted(
                (
                    (factor, place)
                    for place, axis in enumerate(layout.axes)
                    for factor in bare(axis)
                    if factor.line == line
                ),
                key=lambda pair: -pair[0].step,
            )
            for factor, place in factors[1:]:
                if place in inner:
                    layout = layout.moved(line, factor.step * (factor.size - 1) / 2)
            samples = [
                factor for number, (factor, place) in enumerate(factors) if not number or place not in inner
            ]
            if any(outer.step != within.size * within.step for outer, within in pairwise(samples)):
                raise LostError(GAPS)
            spacing[line] = samples[-1].step
        mean, first, last = (
            Grid(
                offset=tuple(offsets[line] for line in self.lines),
                spacing=tuple(spacing[line] for line in self.lines),
                size_dependent=self.size_dependent,
            )
            for offsets in (layout.offsets.mean, layout.offsets.first, layout.offsets.last)
        )
        return mean, first, last

    def _settled_if_line(self, place: int) -> "Layout":
        try:
            return self.settled(place)
        except LostError:
            return self


State = Layout | Lost | Start


def length_of(axis: Axis) -> int:
    """How many indices an axis of these factors has."""
    return math.prod(factor.size for factor in axis)


def outermost(axes: Sequence[Axis]) -> Mapping[int, int]:
    """The axis on which the outermost part of every line stands."""
    found: dict[int, tuple[Fraction, int]] = {}
    for place, axis in enumerate(axes):
        for factor in bare(axis):
            if factor.line is not None:
                known = found.get(factor.line, (factor.step, place))
                found[factor.line] = max(known, (factor.step, place), key=lambda pair: pair[0])
    return {line: place for line, (_, place) in found.items()}


def feature(size: int) -> Axis:
    """An axis that counts features."""
    return (Factor(size=size),) if size > 1 else ()


def bare(axis: Axis) -> tuple[Factor, ...]:
    """The factors of an axis, those that are held among others included."""
    return tuple(each for factor in axis for each in (bare(factor.held[1]) if factor.held else (factor,)))


def merged(axis: Iterable[Factor]) -> Axis:
    """Neighbours that are the outer and the inner part of one stretch of a line as one factor."""
    found: list[Factor] = []
    for factor in axis:
        last = found[-1] if found else None
        if last is not None and _continues(last, factor):
            found[-1] = replace(factor, size=last.size * factor.size)
        else:
            found.append(factor)
    return tuple(found)


def _continues(outer: Factor, inner: Factor) -> bool:
    if outer.held or inner.held or outer.line is None or outer.line != inner.line:
        return False
    return outer.step == inner.step * inner.size


def _single(axes: Sequence[Axis]) -> Iterable[tuple[int, Axis]]:
    """The axes that are one sample of a line, which no reshape sees."""
    for place, axis in enumerate(axes):
        if len(axis) == 1 and axis[0].size == 1 and axis[0].line is not None:
            yield place, axis


def _put_back(axes: list[list[Factor]], place: int, axis: Axis, *, before: int) -> None:
    """Give one sample of a line to an axis of length one that stands where it stood, if there is one."""
    free = [at for at, factors in enumerate(axes) if not factors and _product(axes[:at]) == before]
    if free:
        axes[place if place in free else free[-1]].extend(axis)


def _product(axes: Iterable[Iterable[Factor]]) -> int:
    return math.prod(factor.size for axis in axes for factor in axis)


def _of_channels(axes: Sequence[Axis]) -> frozenset[int]:
    """The axes whose samples, if they are not the outermost of their line, belong to the channels.

    A single channel has no factor; then it is every axis that none of the outermost stand on.
    """
    found = frozenset(
        place for place, axis in enumerate(axes) if any(each.line is None for each in bare(axis))
    )
    if any(found) or (axes and axes[0]):
        return found
    return frozenset(range(1, len(axes))) - set(outermost(axes).values())
