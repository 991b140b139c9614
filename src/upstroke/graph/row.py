"""Turn steps in a row into the one affine map that they compute, border included."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from torch import Tensor

from upstroke.axes import times
from upstroke.errors import NotRepresentableError
from upstroke.graph.affine_of import affine_of
from upstroke.graph.steps import (
    Convolution,
    Pad,
    PerChannel,
    Resize,
    Same,
    Step,
    TransposedConvolution,
    Upsampling,
)
from upstroke.polyphase import Affine, Margin, compose_affine

__all__ = ["in_double", "row_of", "without_mirrors"]


def row_of(steps: Sequence[Step], *, ndim: int) -> Affine:
    """What steps compute one after the other, in double precision, right outside of its operator's margin.

    Raises:
        NotRepresentableError: a step has no operator; the message says why.
        ShapeError: a step does not take the channels that come to it.

    >>> grow = Resize(mode="nearest", scale=(3.0,), coordinates="asymmetric")
    >>> both = row_of([grow, Pad(sides=((2, 2),), border=None, mirrored=True)], ndim=1)
    >>> both.operator.excess, both.operator.margin
    ((4,), ((0, 0),))
    """
    maps = (affine_of(in_double(step), ndim=ndim) for step in without_mirrors(steps))
    return reduce(compose_affine, maps)


def without_mirrors(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The same steps with padding by the edge value for padding by reflection, where that is the same.

    Behind a nearest resize by s the outermost s samples on either side are alike, so that up to s - 1 of
    them may be reflected at the outermost one.

    Raises:
        NotRepresentableError: it is not the same.
    """
    found: list[Step] = []
    alike: tuple[int, ...] = ()
    for step in steps:
        sides = _mirrored(step)
        if sides is not None:
            _check_alike(sides, alike)
            step = _with_edge_values(step)
        found.append(step)
        alike = _alike_behind(step, alike)
    return tuple(found)


def in_double(step: Step) -> Step:
    """The step with its numbers in double precision, apart from any graph of gradients."""
    if isinstance(step, Convolution | TransposedConvolution):
        weight = step.weight.detach().double()
        return replace(step, weight=weight, bias=_double(step.bias))
    if isinstance(step, PerChannel):
        return replace(step, gain=_double(step.gain), shift=_double(step.shift))
    if isinstance(step, Upsampling):
        operator = replace(step.operator, taps=step.operator.taps.detach().double())
        return replace(step, operator=operator, bias=_double(step.bias))
    return step


def _with_edge_values(step: Step) -> Step:
    if isinstance(step, Pad):
        return replace(step, border="clamp", mirrored=False)
    assert isinstance(step, Convolution)
    return replace(step, border="clamp")


def _double(numbers: Tensor | None) -> Tensor | None:
    return None if numbers is None else numbers.detach().double()


def _mirrored(step: Step) -> tuple[Margin, ...] | None:
    """What a step adds by reflection; None where it does not."""
    if isinstance(step, Pad) and step.mirrored:
        return step.sides
    if isinstance(step, Convolution) and step.border is None:
        return step.padding
    return None


def _check_alike(sides: Sequence[Margin], alike: Sequence[int]) -> None:
    most = tuple(max(count - 1, 0) for count in alike) or (0,) * len(sides)
    if any(max(pair) > few for pair, few in zip(sides, most, strict=True)):
        added = times(max(pair) for pair in sides)
        msg = (
            f"it pads by reflection, {added} samples, and only up to {times(most)} of those before it are "
            "like the outermost one, so that no border of an operator does the same"
        )
        raise NotRepresentableError(msg)


def _alike_behind(step: Step, alike: tuple[int, ...]) -> tuple[int, ...]:
    """How many samples at either end are the same behind a step, per axis; empty for one."""
    if isinstance(step, Same | PerChannel):
        return alike
    if isinstance(step, Resize) and step.mode == "nearest" and all(s == int(s) >= 1 for s in step.scale):
        operator = affine_of(step, ndim=len(step.scale)).operator
        if set(operator.kernel) == {1} and not any(operator.origin):
            before = alike or (1,) * operator.ndim
            return tuple(int(s) * count for s, count in zip(step.scale, before, strict=True))
    return ()
