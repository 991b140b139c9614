"""Choose the implementation for an operator and a map's shape, layout, dtype and device; and say why."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, get_args
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from upstroke.errors import OptionError, ShapeError
from upstroke.ops import native
from upstroke.ops.measured import MEASURED, Row
from upstroke.polyphase import Polyphase
from upstroke.polyphase.support import Support

__all__ = ["Choice", "Impl", "Part", "choose", "chosen"]

Impl = Literal["auto", "reference", "native", "transposed", "shuffle", "phases"]
Part = Literal["forward", "gradient in x", "gradient in taps"]

# what the measured table calls a form, and a part
_FORMS: Mapping[str, Impl] = {
    "native": "native",
    "transposed": "transposed",
    "shuffle": "shuffle",
    "phases": "phases",
}
_PARTS: Mapping[Part, str] = {
    "forward": "forward",
    "gradient in x": "input gradient",
    "gradient in taps": "weight gradient",
}
# bits of a number; an unmeasured dtype goes by those of the nearest width
_BITS = {"float64": 64, "float32": 32, "bfloat16": 16, "float16": 16}


# What was chosen for an operator, by map; so many kinds of maps are remembered.
_CHOSEN: "WeakKeyDictionary[Polyphase, dict[object, Impl]]" = WeakKeyDictionary()
_MOST_CHOICES = 256


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An implementation and the reason for it."""

    impl: Impl
    reason: str


class _Kind(NamedTuple):
    """What two calls must have in common so that the times of one tell of the other."""

    family: str
    axes: int
    layout: str
    dtype: str

    def unlike(self, row: Row) -> tuple[bool, bool, bool, int]:
        """What is not common, the gravest first."""
        bits = abs(_BITS.get(self.dtype, 16) - _BITS[row.dtype])
        return self.family != row.family, self.axes != row.axes, self.layout != row.layout, bits


class _Size(NamedTuple):
    """What the times of two calls of a kind differ by, all axes multiplied."""

    channels: int
    out: int
    cells: int
    elements: int
    phases: int

    def distance(self, row: Row) -> float:
        """Sum of the doublings between the numbers; an empty map counts as one number."""
        cells = row.batch * row.cells
        others = (*row.channels, cells, row.kernel**row.axes, row.scale**row.axes)
        pairs = zip(self, others, strict=True)
        return sum(abs(math.log2(max(one, 1) / other)) for one, other in pairs)


def choose(
    operator: Polyphase,
    *,
    x_shape: Sequence[int],
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    channels_last: bool = False,
    part: Part | Sequence[Part] = "forward",
) -> Choice:
    """The implementation that "auto" takes, and why: a lookup in measured times that sees no data.

    Taken is the form that was fastest in the nearest measured case of the same kind, on one CPU thread; other
    dtypes go by their width. On a GPU nothing was measured, so one call into the vendor's library is taken.

    Args:
        operator: the operator.
        x_shape: shape of the map, (batch, channels, *size).
        dtype: of the map.
        device: of the map.
        channels_last: whether the channels lie innermost in memory.
        part: what is to be computed: "forward", "gradient in x", "gradient in taps", or several of them,
            whose times are added.

    >>> from upstroke.polyphase import transposed
    >>> operator = transposed(torch.zeros(128, 64, 4, 4), stride=2, padding=1)
    >>> print(choose(operator, x_shape=(1, 128, 32, 32)).reason)
    nearest of ... measured cases: dense k4 s2, ... ms, next ... ms
    """
    if len(x_shape) != 2 + operator.ndim or not dtype.is_floating_point:
        msg = (
            f"a choice is made for maps (batch, channels, *size) with {operator.ndim} spatial axes and a "
            f"floating dtype; got shape {tuple(x_shape)} and {dtype}"
        )
        raise ShapeError(msg)
    parts = (part,) if isinstance(part, str) else tuple(part)
    if not parts or not set(parts) <= set(get_args(Part)):
        msg = f"part must be made of {', '.join(get_args(Part))}; got {', '.join(parts) or 'none'}"
        raise OptionError(msg)
    return _of(operator, tuple(x_shape), dtype, torch.device(device), channels_last, parts)


def chosen(operator: Polyphase, x: Tensor, *, channels_last: bool, parts: tuple[Part, ...]) -> Impl:
    """What `choose` takes for a map that was checked to fit; looked up once for all maps that are alike."""
    known = _CHOSEN.get(operator)
    if known is None:
        known = _CHOSEN[operator] = {}
    alike = (x.shape, x.dtype, x.device, channels_last, parts, native.runs_on(x.device))
    if alike not in known:
        if len(known) >= _MOST_CHOICES:
            known.clear()
        known[alike] = _of(operator, tuple(x.shape), x.dtype, x.device, channels_last, parts).impl
    return known[alike]


def _of(
    operator: Polyphase,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
    channels_last: bool,
    parts: tuple[Part, ...],
) -> Choice:
    is_depthwise = native.is_depthwise(operator)
    family = "dense" if operator.taps.shape[2] > 1 else "fixed" if operator.shared else "depthwise"
    if device.type != "cpu":
        return Choice(impl="transposed", reason=f"{family} on {device}: not measured there; one library call")
    layout = "channels-last" if channels_last else "contiguous"
    return _nearest(
        _Kind(family, operator.ndim, layout, str(dtype).removeprefix("torch.")),
        shape,
        operator.out_channels // operator.in_channels if operator.shared else operator.out_channels,
        operator.known_support,
        operator.scale,
        parts,
        is_depthwise,
        native.runs_on(device),
    )


@lru_cache(maxsize=4096)
def _nearest(
    kind: _Kind,
    shape: tuple[int, ...],
    out: int,
    support: Support,
    scale: tuple[int, ...],
    parts: tuple[Part, ...],
    is_depthwise: bool,
    has_kernels: bool,
) -> Choice:
    """The form with the least time in the nearest measured case, the times of all parts added."""
    elements = math.prod(_span(support, scale, axis) for axis in range(len(scale)))
    size = _Size(shape[1], out, shape[0] * math.prod(shape[2:]), elements, math.prod(scale))
    barred = frozenset() if is_depthwise and has_kernels else frozenset({"native"})
    measured = {part: near for part in parts if (near := _nearest_row(kind, size, part, barred))}
    found = list(measured.values())
    times = [{name: ms for name, ms in row.milliseconds.items() if name not in barred} for row, _ in found]
    if not times:
        reason = f"{kind.family}: none of {len(MEASURED)} measured cases tells; one library call"
        return Choice(impl="transposed", reason=reason)
    common = set(times[0]).intersection(*times)
    total = {name: sum(each[name] for each in times) for name in common} or times[0]
    best, *others = sorted(total, key=lambda name: total[name])
    row, count = found[0]
    channels = f"{row.channels[0]} channels" if kind.family != "dense" else "{}->{}".format(*row.channels)
    asked = "" if list(measured) == ["forward"] else f", {' + '.join(measured)}"
    following = f", next {others[0]} {total[others[0]]:.3g} ms" if others else ""
    missing = "; native is left out, its compiled kernels are not installed"
    reason = (
        f"nearest of {count} measured cases: {row.family} k{row.kernel} s{row.scale}, {channels} "
        f"@{row.cells} cells, {row.layout}, {row.dtype}{asked}: {best} {total[best]:.3g} ms{following}"
        f"{missing if is_depthwise and not has_kernels else ''}"
    )
    return Choice(impl=_FORMS[best], reason=reason)


def _nearest_row(kind: _Kind, size: _Size, part: Part, barred: frozenset[str]) -> tuple[Row, int] | None:
    """The measured case most like this one, and among how many of its kind it is the nearest.

    Only of operators of its own kind that were measured in a form that is not barred.
    """
    families = ("dense",) if kind.family == "dense" else ("fixed", "depthwise")
    rows = [
        row
        for row in MEASURED
        if row.part == _PARTS[part] and row.family in families and not row.milliseconds.keys() <= barred
    ]
    if not rows:
        return None
    least = min(map(kind.unlike, rows))
    alike = [row for row in rows if kind.unlike(row) == least]
    return min(alike, key=size.distance), len(alike)


def _span(support: Support, scale: tuple[int, ...], axis: int) -> int:
    """Samples from the first to the last tap along an axis, all phases together."""
    present = enumerate(support.present(scale, axis))
    places = [phase - scale[axis] * tap for phase, taps in present for tap in taps] or [0]
    return max(places) - min(places) + 1
