"""Turn maps in other layouts, such as channels last, into (batch, channels, *size) and back."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from upstroke.graph.form import Shape
from upstroke.graph.steps import PixelShuffle, Reshape, Same, Transpose

__all__ = ["Stage", "from_layout", "known", "to_layout"]

Move = Reshape | Transpose | Same


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A step and the shape of the map that it gives.

    Attributes:
        step: the step.
        shape: of its output.
    """

    step: Move | PixelShuffle
    shape: Shape


def from_layout(shape: Sequence[int], space: Sequence[int]) -> Iterator[tuple[list[Stage], list[Stage]]]:
    """How a map of this shape may become one of shape (batch, channels, *space), and how that comes back.

    The layouts are the usual one, channels last, and a list of tokens.

    >>> tokens, back = next(from_layout((1, 6, 12), (2, 3)))
    >>> [stage.shape for stage in tokens], [stage.shape for stage in back]
    ([(1, 12, 6), (1, 12, 2, 3)], [(1, 12, 6), (1, 6, 12)])
    """
    if math.prod(space) * shape[0] * shape[-1] == math.prod(shape) and len(shape) >= 3:
        batch, *_, channels = shape
        usual = (batch, channels, *space)
        if len(shape) == 3 and len(space) > 1:
            turned = Stage(step=Transpose(order=(0, 2, 1)), shape=(batch, channels, math.prod(space)))
            split = Stage(step=Reshape(), shape=usual)
            back = Stage(step=Transpose(order=(0, 2, 1)), shape=tuple(shape))
            yield [turned, split], [Stage(step=Reshape(), shape=turned.shape), back]
        if tuple(shape[1:-1]) == tuple(space):
            last = len(shape) - 1
            forth = Transpose(order=(0, last, *range(1, last)))
            behind = Transpose(order=(0, *range(2, last + 1), 1))
            yield [Stage(step=forth, shape=usual)], [Stage(step=behind, shape=tuple(shape))]
    if tuple(shape[2:]) == tuple(space):
        yield [], []


def to_layout(shape: Sequence[int], space: Sequence[int]) -> Iterator[tuple[list[Stage], list[Stage]]]:
    """The same for a map that is given out, which may also lack an axis of channels."""
    yield from from_layout(shape, space)
    if tuple(shape[1:]) == tuple(space):
        usual = (shape[0], 1, *space)
        yield [Stage(step=Reshape(), shape=usual)], [Stage(step=Reshape(), shape=tuple(shape))]


def known(shape: Shape) -> tuple[int, ...] | None:
    """The shape if all of it is known."""
    sizes = tuple(size for size in shape if size is not None)
    return sizes if len(sizes) == len(shape) else None
