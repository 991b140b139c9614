"""Choose the form of a transposed convolution or of a gradient, and say why: a lookup in measured times."""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch

from upstroke.ops.dense_forms import FORMS, OWN, Call, Part
from upstroke.ops.dense_measured import MEASURED

__all__ = ["DenseChoice", "best_form", "is_lean"]

# How far a measured case may be: the sum over its numbers of log2 of the ratio to this call's. Beyond it,
# nothing was measured that tells, and PyTorch's own call is taken.
FARTHEST = 4.0

# How much smaller than the two maps a weight must be for maps to change their layout: PyTorch's call in the
# other layout copies the weight once more than that in the first one, and copies no more than the maps there.
MUCH_SMALLER = 8


class DenseChoice(NamedTuple):
    """A form and the reason for it."""

    form: str
    reason: str


@lru_cache(maxsize=4096)
def best_form(
    part: Part,
    batch: int,
    channels: int,
    out: int,
    call: Call,
    *,
    channels_last: bool,
    dtype: torch.dtype = torch.float32,
) -> DenseChoice:
    """The form that was fastest in the nearest measured case.

    Args:
        part: "forward", "input gradient" or "weight gradient".
        batch: number of maps.
        channels: that come in.
        out: channels that go out, per group.
        call: the numbers of the call.
        channels_last: whether the maps have the channels innermost.
        dtype: of the maps.

    >>> from upstroke.ops.dense_forms import Call
    >>> far = Call((2, 2), (9, 9), (1, 1), (0, 0), (0, 0), (1, 1), groups=1, weight_last=False)
    >>> best_form("forward", 1, 1, 1, far, channels_last=False).form
    'own'
    """
    layout = _layout(call, channels_last=channels_last)
    if dtype != torch.float32:
        layout += f", {str(dtype).removeprefix('torch.')}"
    kind = _kind(call)
    rows = MEASURED.get((part, call.ndim, layout, kind), ())
    size = (batch, channels, out, math.prod(call.cells), math.prod(call.kernel), math.prod(call.stride))
    near = min(((_distance(size, row), row, form) for row, form in rows), default=None)
    if near is None or near[0] > FARTHEST or call.groups > 1:
        return DenseChoice(form=OWN, reason=f"{part}, {layout}, {kind}: nothing like it was measured")
    _, row, form = near
    if not is_lean(form, layout, size):
        return DenseChoice(
            form=OWN, reason=f"{part}, {layout}, {kind}: {form} would take more memory than PyTorch's call"
        )
    if not (FORMS[part][form].serves(call) and FORMS[part][form].is_exact_in(dtype)):
        return DenseChoice(form=OWN, reason=f"{part}, {layout}, {kind}: {form} does not serve this call")
    measured = (
        f"{row[1]} to {row[2]} channels, {row[3]} cells, {row[4]} taps, {row[5]} phases, batch {row[0]}"
    )
    return DenseChoice(form=form, reason=f"{part}, {layout}, {kind}: fastest for {measured}")


def is_lean(form: str, layout: str, size: tuple[int, ...]) -> bool:
    """Whether a form takes no more memory than PyTorch's call for maps of this layout and size.

    >>> is_lean("channels-last", "contiguous", (16, 128, 64, 256, 16, 4))
    True
    >>> is_lean("channels-last", "contiguous", (1, 1024, 512, 1024, 4, 4))
    False
    """
    batch, channels, out, cells, taps, phases = size
    stays = form != "channels-last" or not layout.startswith("contiguous")
    return stays or MUCH_SMALLER * channels * out * taps <= batch * cells * (channels + out * phases)


def _layout(call: Call, *, channels_last: bool) -> str:
    if not channels_last:
        return "contiguous"
    return "channels-last with its weight" if call.weight_last else "channels-last"


def _kind(call: Call) -> str:
    if math.prod(call.cells) == 1:
        return "one cell"
    return "tiling" if call.is_tiling else "overlapping"


def _distance(size: tuple[int, ...], row: tuple[int, ...]) -> float:
    """How unlike two calls are; a batch counts half, since it only repeats the same work."""
    return sum(weight * ratio for weight, ratio in zip((0.5, 1, 1, 1, 1, 1), _ratios(size, row), strict=True))


def _ratios(size: tuple[int, ...], row: tuple[int, ...]) -> Iterator[float]:
    for one, two in zip(size, row, strict=True):
        yield abs(math.log2(max(one, 1) / two))
