"""Choose how a resize and a convolution are computed, and say why: a lookup in measured times."""

import math
from functools import lru_cache
from typing import NamedTuple

from upstroke.ops.resize_conv_measured import MEASURED, Form

__all__ = ["ResizeConvChoice", "nearest_case"]

# How far a measured case may be: the sum over its numbers of log2 of the ratio to this call's.
FARTHEST = 6.0


class ResizeConvChoice(NamedTuple):
    """A form and the reason for it."""

    form: Form
    reason: str


@lru_cache(maxsize=4096)
def nearest_case(
    *,
    batch: int,
    channels: int,
    out: int,
    groups: int,
    axes: int,
    cells: int,
    taps: int,
    drawn: int,
    has_margin: bool,
    channels_last: bool,
    training: bool,
) -> ResizeConvChoice:
    """The form that was fastest in the nearest measured case.

    Args:
        batch: number of maps.
        channels: that come in, per group.
        out: channels that go out, per group.
        groups: of the convolution.
        axes: number of axes.
        cells: of one map.
        taps: multiply-adds per cell and pair of channels in a row.
        drawn: multiply-adds per cell and pair of channels as one operator.
        has_margin: whether the outermost samples need a pass of their own.
        channels_last: whether the maps have the channels innermost.
        training: whether gradients are wanted, so that going back counts too.
    """
    layout = "channels-last" if channels_last else "contiguous"
    ends = "with ends of their own" if has_margin else "alike up to the border"
    rows = MEASURED.get((axes, layout, has_margin, "training" if training else "forward"), ())
    size = (batch * cells, channels, out, taps, drawn)
    near = min(((_distance(size, row), row, form) for row, form in rows), default=None)
    if near is None or near[0] > FARTHEST or groups > 1:
        return ResizeConvChoice(form="in a row", reason=f"{layout}, {ends}: nothing like it was measured")
    _, row, form = near
    measured = f"{row[1]} to {row[2]} channels, {row[0]} cells, {row[3]} taps in a row and {row[4]} as one"
    return ResizeConvChoice(form=form, reason=f"{layout}, {ends}: fastest for {measured}")


def _distance(size: tuple[int, ...], row: tuple[int, ...]) -> float:
    # what one operator saves counts most
    saved = abs(math.log2(size[3] / size[4] * row[4] / row[3]))
    return 2 * saved + sum(
        abs(math.log2(max(one, 1) / two)) for one, two in zip(size[:4], row[:4], strict=True)
    )
