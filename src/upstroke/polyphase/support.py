"""Say which taps exist, as plain numbers that are known before anything runs and while a graph is traced."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import index
from typing import ParamSpec, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

__all__ = ["Margin", "Reach", "Support", "as_constant", "cells_beyond", "decided_once", "fixed"]

Margin = tuple[int, int]
Given = ParamSpec("Given")
Result = TypeVar("Result")


def as_constant(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let `torch.compile` take what a function of plain numbers gives as it is, and not look into it."""
    # what torch.compiler.assume_constant_result sets, without loading the compiler
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def fixed(numbers: Iterable[int]) -> tuple[int, ...]:
    """Whole numbers that a compiler must not take for symbols, because something is decided by them."""
    return tuple(map(index, numbers))


def decided_once(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Remember what a function of plain numbers gives; a compiler takes it as it is, guarding the numbers."""
    known = cast(Callable[Given, Result], lru_cache(maxsize=1024)(function))

    def decided(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        return known(*args, **kwargs)

    return as_constant(decided)


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The cells that one phase reads along one axis, counted from the phase's own cell m."""

    lowest: int
    highest: int


@dataclass(frozen=True)
class Support:
    r"""Which taps exist, whatever their values.

    Attributes:
        shape: (phases, *kernel).
        flags: one byte per tap, in C order, 1 where it exists; None where all of them do.

    >>> Support.of(torch.tensor([[True, False], [True, True]])).flags
    b'\x01\x00\x01\x01'
    """

    shape: tuple[int, ...]
    flags: bytes | None = None

    @classmethod
    def of(cls, taps: Bool[Tensor, "phases *kernel"]) -> "Support":
        """The support that a tensor says."""
        flags = taps.detach().cpu().contiguous().numpy().tobytes()
        return cls(tuple(taps.shape), None if 0 not in flags else flags)

    def tensor(self, device: torch.device) -> Bool[Tensor, "phases *kernel"]:
        """True where a tap exists."""
        if self.flags is None:
            return torch.ones(self.shape, dtype=torch.bool, device=device)
        if torch.compiler.is_compiling():
            return torch.tensor(list(self.flags), dtype=torch.bool, device=device).reshape(self.shape)
        return torch.frombuffer(bytearray(self.flags), dtype=torch.bool).reshape(self.shape).to(device)

    def present(self, scale: tuple[int, ...], axis: int) -> tuple[tuple[int, ...], ...]:
        """Indices of the taps that each phase of one axis has along it.

        >>> Support((4, 3, 1)).present((2, 2), 0)
        ((0, 1, 2), (0, 1, 2))
        """
        return _present(self.flags, fixed(self.shape), fixed(scale), axis)

    def reach(self, scale: tuple[int, ...], origin: tuple[int, ...], axis: int) -> tuple[Reach | None, ...]:
        """The cells each phase of one axis reads, relative to the sample's own cell; None: no tap."""
        return tuple(
            Reach(lowest=taps[0] - origin[axis], highest=taps[-1] - origin[axis]) if taps else None
            for taps in self.present(scale, axis)
        )


def cells_beyond(reaches: Sequence[Reach | None], scale: int, excess: int) -> Margin:
    """Cells that the output needs before the first and after the last cell of the input, along an axis."""
    left = right = 0
    for phase, reach in enumerate(reaches):
        if reach is None:
            continue
        left = max(left, -reach.lowest)
        # the last sample of this phase lies (excess - 1 - phase) // scale cells beyond the input's size
        right = max(right, (excess - 1 - phase) // scale + reach.highest + 1)
    return left, right


@decided_once
def _present(
    flags: bytes | None, shape: tuple[int, ...], scale: tuple[int, ...], axis: int
) -> tuple[tuple[int, ...], ...]:
    kernel = shape[1:]
    if flags is None:
        return (tuple(range(kernel[axis])),) * scale[axis]
    exists = np.frombuffer(flags, dtype=np.bool_).reshape(*scale, *kernel)
    others = tuple(place for place in range(exists.ndim) if place not in (axis, len(scale) + axis))
    rows = exists.any(axis=others).reshape(scale[axis], kernel[axis])
    return tuple(tuple(np.flatnonzero(row).tolist()) for row in rows)
