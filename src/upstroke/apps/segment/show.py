"""Images with what is true and what was predicted of them become one picture, a row for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from jaxtyping import UInt8
from numpy.typing import NDArray

from upstroke.apps.segment.resample import resampled

__all__ = ["Shown", "caption", "contact_sheet"]

# Of one panel: rows of pixels that small images are enlarged to, and large ones cut down to, about.
HEIGHT = 192
GAP = 4
# Colours that are told apart with every kind of colour vision (Okabe and Ito), by class from 1 on.
PALETTE = {
    "orange": (230, 159, 0),
    "light blue": (86, 180, 233),
    "green": (0, 158, 115),
    "yellow": (240, 228, 66),
    "dark blue": (0, 114, 178),
    "red": (213, 94, 0),
    "pink": (204, 121, 167),
}
COLOURS = numpy.array(list(PALETTE.values()))
OPACITY = 0.55


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """One case: (*space) of the first channel, of the true class numbers and of those predicted."""

    image: NDArray[Any]
    true: NDArray[numpy.int64]
    predicted: NDArray[numpy.int64]


def contact_sheet(cases: Sequence[Shown]) -> UInt8[NDArray[numpy.uint8], "height width 3"]:
    """A row for each case: the image, then with the truth over it, then with what was predicted.

    Of a volume the slice across its first axis is taken in which there is most to see of the true classes,
    the middle one where there is nothing. Where the image has another size than the labels, its nearest
    pixels are taken.
    """
    rows = [_row(each) for each in cases]
    width = max(row.shape[1] for row in rows)
    padded = [
        numpy.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows
    ]
    return numpy.concatenate(padded)[:-GAP]


def caption(classes: Sequence[str]) -> str:
    """What stands where in a contact sheet, and in which colours, of classes from 1 on.

    >>> caption(["anterior", "posterior"])
    'From left to right: the image, the truth, and what was predicted; anterior orange, posterior light blue.'
    """
    words = tuple(PALETTE)
    named = ", ".join(f"{name} {words[number % len(words)]}" for number, name in enumerate(classes))
    return f"From left to right: the image, the truth, and what was predicted; {named}."


def _row(case: Shown) -> NDArray[numpy.uint8]:
    image = resampled(case.image[None], size=case.true.shape, order=0)[0]
    parts = (image, case.true, case.predicted)
    if case.true.ndim == 3:
        seen = (case.true > 0).sum(axis=(1, 2))
        at = int(seen.argmax()) if seen.any() else len(seen) // 2
        parts = (image[at], case.true[at], case.predicted[at])
    grey, *labels = (_at_height(part) for part in parts)
    low, high = numpy.percentile(grey, (1, 99))
    tone = ((grey - low) / max(float(high - low), 1e-6)).clip(0, 1) * 255
    base = numpy.repeat(tone[..., None], 3, axis=-1)
    gap = numpy.full((len(base), GAP, 3), 255.0)
    panels = [base, gap, _over(base, labels[0]), gap, _over(base, labels[1])]
    return numpy.concatenate(panels, axis=1).round().astype(numpy.uint8)


def _over(base: NDArray[Any], labels: NDArray[numpy.int64]) -> NDArray[Any]:
    colours = COLOURS[(labels - 1) % len(COLOURS)]
    return numpy.where((labels > 0)[..., None], (1 - OPACITY) * base + OPACITY * colours, base)


def _at_height(part: NDArray[Any]) -> NDArray[Any]:
    """Pixels repeated, or passed over, a whole number of times."""
    factor = HEIGHT // len(part)
    if factor >= 1:
        return part.repeat(factor, axis=0).repeat(factor, axis=1)
    step = -(-len(part) // HEIGHT)
    return part[::step, ::step]
