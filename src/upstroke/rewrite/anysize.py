"""Turn the sizes that a model takes into how much to pad any input, and where to cut what comes out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from upstroke.axes import times
from upstroke.graph.form import Shape
from upstroke.graph.sizes import Along, Attempt, Outcome, Sizes

__all__ = ["AxisSizes", "CannotPadError", "Cut", "Padding", "padding_for"]


class CannotPadError(Exception):
    """Sizes cannot be made right by padding; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class AxisSizes:
    """The sizes of one axis that a model takes.

    Attributes:
        period: after which what is right repeats.
        remainders: of the right sizes when divided by the period.
        least: the least right size.
    """

    period: int = 1
    remainders: tuple[int, ...] = (0,)
    least: int = 1

    def right(self, n: int) -> int:
        """The least right size that is not below n.

        >>> AxisSizes(period=8, remainders=(1, 4), least=12).right(3), AxisSizes(period=8).right(17)
        (12, 24)
        """
        n = max(n, self.least)
        return n + min((r - n) % self.period for r in self.remainders)

    @property
    def smallest(self) -> int:
        """The least size of a right remainder, whether anything is large enough there or not."""
        return min(r or self.period for r in self.remainders)

    def __str__(self) -> str:
        if self.period == 1:
            said = "any"
        elif self.remainders == (0,):
            said = f"multiples of {self.period}"
        else:
            said = " or ".join(f"{self.period}k + {r}" for r in self.remainders)
        return said + (f" from {self.least}" if self.least > self.smallest else "")


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The length of one axis of an output: slope times the size of the input and offset, rounded up.

    Attributes:
        output: which of the tensors that come out.
        dim: which axis, counted from the last, -1.
        axis: the axis of the input that it follows.
        slope, offset: of the rule.
    """

    output: int
    dim: int
    axis: int
    slope: Fraction
    offset: Fraction

    def due(self, n: int) -> int:
        """The length for an input of this size.

        >>> Cut(output=0, dim=-1, axis=0, slope=Fraction(1, 2), offset=Fraction(0)).due(7)
        4
        """
        return math.ceil(self.slope * n + self.offset)


@dataclass(frozen=True, kw_only=True)
class Padding:
    """How a model is run on inputs of any size.

    The input is continued at its far end by its edge values up to a size that the model takes, and what comes
    out is cut to the size that the true one promises. So no position moves, and at sizes that the model takes
    nothing is done.

    Attributes:
        axes: the sizes that it takes, per axis of space.
        cuts: the axes of outputs that follow the size of the input; all others are left.
        outputs: how many tensors come out.
    """

    axes: tuple[AxisSizes, ...]
    cuts: tuple[Cut, ...]
    outputs: int

    def right(self, size: Sequence[int]) -> tuple[int, ...]:
        """The least size that the model takes and that is not below this one on any axis."""
        return tuple(axis.right(n) for axis, n in zip(self.axes, size, strict=True))

    def __str__(self) -> str:
        said = [str(axis) for axis in self.axes]
        if len(set(said)) == 1:
            return said[0]
        return ", ".join(f"{each} on axis {place}" for place, each in enumerate(said))


def padding_for(sizes: Sizes, attempt: Attempt, *, shares: Sequence[Sequence[int]] = ()) -> Padding:
    """Find out what to pad and what to cut from what a search found, and a few sizes more.

    1. Per axis, the sizes that every search along it says are right.
    2. Two right sizes per axis say how the outputs follow it.
    3. Halving finds the least right size that works; below, the model is taken to fail.

    Args:
        sizes: what `torch_sizes` or `onnx_sizes` found.
        attempt: what the model makes of a size.
        shares: per axis, numbers that must divide a size too, because other inputs are parts of it.

    Raises:
        CannotPadError: padding makes no size right; the message says why.

    >>> def halves(size):
    ...     odd = size[0] % 2
    ...     return Outcome(error="9 and 10 do not meet") if odd else Outcome(outputs=((1, 1, size[0]),))
    >>> along = Along(axes=(0,), tried=(8, 9, 10), right=(8, 10), period=2, remainders=(0,))
    >>> padding = padding_for(Sizes(start=(8,), along=(along,)), halves)
    >>> padding.right((7,)), padding.cuts[0].due(7)
    ((8,), 7)
    """
    if sizes.reason:
        raise CannotPadError(sizes.reason)
    if sizes.fixed:
        msg = f"the file fixes the size of its input at {times(sizes.start)}, so no other can come in"
        raise CannotPadError(msg)
    if all(each.takes_all for each in sizes.along):
        msg = "every size that was tried works as it is"
        raise CannotPadError(msg)
    axes = tuple(_axis(axis, sizes, shares[axis] if shares else ()) for axis in range(len(sizes.start)))
    base = tuple(axis.right(n) for axis, n in zip(axes, sizes.start, strict=True))
    searched = {axis for each in sizes.along for axis in each.axes}
    first = _worked(attempt, base)
    cuts = _cuts(axes, base, first, attempt, sorted(searched))
    return Padding(
        axes=_with_least(axes, base, cuts, attempt, sorted(searched)), cuts=cuts, outputs=len(first.outputs)
    )


def _axis(axis: int, sizes: Sizes, shares: Sequence[int]) -> AxisSizes:
    """The sizes that all searches along an axis say are right."""
    found = [each for each in sizes.along if axis in each.axes and not each.takes_all]
    for each in found:
        if each.period is None:
            raise CannotPadError(_without_period(each))
    laws = [(each.period or 1, _remainders(each, axis, sizes.start)) for each in found]
    laws += [(share, frozenset({0})) for share in shares]
    period = math.lcm(*(own for own, _ in laws))
    common = [r for r in range(period) if all(r % own in right for own, right in laws)]
    if not common:
        msg = "no size is right for all axes at once; the searches along them contradict each other"
        raise CannotPadError(msg)
    return AxisSizes(period=period, remainders=tuple(common))


def _remainders(along: Along, axis: int, start: Sequence[int]) -> frozenset[int]:
    """The remainders on one of the axes of a search, which counts those of its first."""
    assert along.period is not None
    shift = start[axis] - start[along.axes[0]]
    return frozenset((r + shift) % along.period for r in along.remainders)


def _without_period(along: Along) -> str:
    if len(along.right) == 1:
        return f"no other size than {along.right[0]} is right, so there is none to pad to"
    return (
        f"{len(along.right)} of {len(along.tried)} sizes that were tried are right and follow no period, so "
        "nobody knows what to pad to"
    )


def _worked(attempt: Attempt, size: tuple[int, ...]) -> Outcome:
    outcome = attempt(size)
    if outcome is None or outcome.error:
        said = "cannot be tried" if outcome is None else f"fails: {outcome.error}"
        msg = f"a size of {times(size)} should be right by what was found, and {said}"
        raise CannotPadError(msg)
    return outcome


def _cuts(
    axes: Sequence[AxisSizes],
    base: tuple[int, ...],
    first: Outcome,
    attempt: Attempt,
    searched: Sequence[int],
) -> tuple[Cut, ...]:
    """Which axes of outputs follow which axis of the input, and how."""
    found: dict[tuple[int, int], Cut] = {}
    for axis in searched:
        longer = axes[axis].right(base[axis] + 1)
        grown = _worked(attempt, tuple(longer if place == axis else n for place, n in enumerate(base)))
        if len(grown.outputs) != len(first.outputs):
            msg = "it gives another number of outputs at another size"
            raise CannotPadError(msg)
        for output, (before, after) in enumerate(zip(first.outputs, grown.outputs, strict=True)):
            for dim, was, now in _changed(output, before, after):
                if (output, dim) in found:
                    msg = (
                        f"axis {dim} of its output {output} follows several axes of the input, as a list of "
                        "all samples does, so that no part of it is what a smaller input would give"
                    )
                    raise CannotPadError(msg)
                slope = Fraction(now - was, longer - base[axis])
                found[output, dim] = Cut(
                    output=output, dim=dim, axis=axis, slope=slope, offset=was - slope * base[axis]
                )
    return tuple(found.values())


def _changed(output: int, before: Shape, after: Shape) -> list[tuple[int, int, int]]:
    """The axes, counted from the last, that differ, with both lengths."""
    if len(before) != len(after):
        msg = f"its output {output} has another number of axes at another size"
        raise CannotPadError(msg)
    pairs = zip(range(-len(before), 0), before, after, strict=True)
    return [(dim, was or 0, now or 0) for dim, was, now in pairs if was != now]


def _with_least(
    axes: Sequence[AxisSizes],
    base: tuple[int, ...],
    cuts: Sequence[Cut],
    attempt: Attempt,
    searched: Sequence[int],
) -> tuple[AxisSizes, ...]:
    """The axes with the least size that works on each, the others as they are at the base."""

    def works(size: tuple[int, ...]) -> bool:
        outcome = attempt(size)
        if outcome is None or outcome.error:
            return False
        return all(
            outcome.outputs[cut.output][cut.dim] == cut.slope * size[cut.axis] + cut.offset for cut in cuts
        )

    least = list(base)
    for axis in searched:
        smaller = [n for n in range(1, base[axis]) if n % axes[axis].period in axes[axis].remainders]
        # all from the first that works up to the base are taken to work
        below, above = 0, len(smaller)
        while below < above:
            middle = (below + above) // 2
            size = tuple(smaller[middle] if place == axis else n for place, n in enumerate(base))
            below, above = (below, middle) if works(size) else (middle + 1, above)
        least[axis] = (*smaller, base[axis])[below]
    # what works along one axis may be too small along all
    while tuple(least) != base and not works(tuple(least)):
        least = [min(axis.right(n + 1), most) for axis, n, most in zip(axes, least, base, strict=True)]
    return tuple(
        AxisSizes(period=axis.period, remainders=axis.remainders, least=n if place in searched else 1)
        for place, (axis, n) in enumerate(zip(axes, least, strict=True))
    )
