"""Turn numbers that several rules speak of into words."""

from collections.abc import Sequence
from fractions import Fraction

__all__ = ["ONE_CELL", "ONE_OUTPUT", "level", "on_axes", "per_axis"]

ONE_CELL = "the map that comes in has one cell (1x1), so nothing repeats and no pattern can form"
ONE_OUTPUT = "its map has one sample, so nothing repeats and its gradient has no pattern"


def per_axis(numbers: Sequence[int | float]) -> str:
    """Word values per axis, one where all axes share it.

    >>> per_axis((2, 2)), per_axis((2, 3))
    ('2', '2x3')
    """
    return str(numbers[0]) if len(set(numbers)) == 1 else "x".join(map(str, numbers))


def on_axes(distances: Sequence[Fraction]) -> str:
    """Word signed distances in pixels, one where all axes share it.

    >>> on_axes((Fraction(-31, 2),) * 2), on_axes((Fraction(1), Fraction(-1, 4)))
    ('−15.5 pixels on every axis', '1 pixel on axis 0, −0.25 pixels on axis 1')
    """
    if len(set(distances)) == 1:
        return f"{_pixels(distances[0])}{' on every axis' if len(distances) > 1 else ''}"
    return ", ".join(f"{_pixels(each)} on axis {axis}" for axis, each in enumerate(distances) if each)


def _pixels(distance: Fraction) -> str:
    number = f"{float(distance):.4g}".replace("-", "−")
    return f"{number} pixel{'' if abs(distance) == 1 else 's'}"


def level(decibel: float, *, of: str = "it", again: str = "") -> str:
    """Word a level relative to what it comes with, and, the second time that is named, in other words.

    >>> level(-20.0), level(6.0, of="them")
    ('20.0 dB below it (10 % of it)', '6.0 dB above them (200 % of them)')
    >>> level(0.0, of="what came", again="it")
    'as loud as what came (100 % of it)'
    """
    again = again or of
    share = 100 * 10 ** (decibel / 20)
    part = f"{share:.2g}" if share < 99.5 else f"{share:.0f}"
    if abs(decibel) < 0.05:
        return f"as loud as {of} ({part} % of {again})"
    return f"{abs(decibel):.1f} dB {'below' if decibel < 0 else 'above'} {of} ({part} % of {again})"
