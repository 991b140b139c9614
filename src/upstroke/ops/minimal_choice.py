"""Choose whether a transposed convolution runs by minimal filtering: a lookup in measured times."""

import math
from functools import lru_cache
from typing import Literal, NamedTuple

from upstroke.ops.minimal_measured import INSTRUCTIONS, MEASURED, MinimalRow

__all__ = ["MinimalChoice", "Use", "best_use"]

Use = Literal["never", "prepared", "always"]

# How far a measured case may be: the sum over its numbers of log2 of the ratio to this call's.
FARTHEST = 3.0

# What it may take of the time of the form that serves otherwise, so that two runs tell the same.
WORTH = 0.9


class MinimalChoice(NamedTuple):
    """When to use it, and the reason.

    use: "never", "prepared": where the weight was prepared before, or "always": even if it has to be
        prepared for each call.
    """

    use: Use
    reason: str


@lru_cache(maxsize=4096)
def best_use(
    *,
    batch: int,
    channels: int,
    out: int,
    cells: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    channels_last: bool,
    instructions: str | None,
) -> MinimalChoice:
    """Whether it was faster in the nearest measured case.

    Args:
        batch: number of maps.
        channels: that come in.
        out: channels that go out.
        cells: size of a map.
        kernel: size of the kernel.
        stride: samples per cell.
        channels_last: whether the maps have the channels innermost.
        instructions: the set of instructions that the kernels use.

    >>> call = {"batch": 1, "channels": 1, "out": 1, "cells": (9, 9), "kernel": (4, 4), "stride": (2, 2)}
    >>> best_use(**call, channels_last=False, instructions="baseline").use
    'never'
    """
    layout = "channels-last" if channels_last else "contiguous"
    if instructions not in INSTRUCTIONS:
        return MinimalChoice(use="never", reason=f"{layout}: it was not measured with {instructions}")
    size = (batch, channels, out, math.prod(cells), math.prod(kernel), math.prod(stride))
    rows = [row for row in MEASURED if (row.axes, row.layout) == (len(cells), layout)]
    near = min(((_distance(size, row), place) for place, row in enumerate(rows)), default=None)
    if near is None or near[0] > FARTHEST:
        return MinimalChoice(use="never", reason=f"{layout}: nothing like it was measured")
    row = rows[near[1]]
    measured = (
        f"{layout}, {row.channels[0]} to {row.channels[1]} channels, {row.cells} cells, {row.taps} taps, "
        f"{row.phases} phases, batch {row.batch}: {row.filtered:g} ms in place of {row.otherwise:g}, and "
        f"{row.preparing:g} to prepare"
    )
    return MinimalChoice(use=_use(row), reason=measured)


def _use(row: MinimalRow) -> Use:
    if row.filtered + row.preparing <= WORTH * row.otherwise:
        return "always"
    return "prepared" if row.filtered <= WORTH * row.otherwise else "never"


def _distance(size: tuple[int, ...], row: MinimalRow) -> float:
    """How unlike two calls are; a batch counts half, since it only repeats the same work."""
    numbers = (row.batch, *row.channels, row.cells, row.taps, row.phases)
    ratios = (abs(math.log2(max(one, 1) / two)) for one, two in zip(size, numbers, strict=True))
    return sum(weight * ratio for weight, ratio in zip((0.5, 1, 1, 1, 1, 1), ratios, strict=True))
