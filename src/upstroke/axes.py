"""Turn what is given at a public door, one number or one per axis, into one number per axis."""

import operator
from collections.abc import Iterable, Sequence
from fractions import Fraction

from upstroke.errors import OptionError, ShapeError

__all__ = ["fractions_per_axis", "times", "whole_per_axis"]


def whole_per_axis(
    value: int | Sequence[int], ndim: int, *, name: str, least: int | None = None
) -> tuple[int, ...]:
    """Give one whole number per axis, each at least `least`.

    >>> whole_per_axis(2, 3, name="stride")
    (2, 2, 2)
    """
    given = tuple(value) if isinstance(value, Sequence) else (value,) * ndim
    _check_count(given, ndim, name=name)
    try:
        numbers = tuple(map(operator.index, given))
    except TypeError as error:
        message = f"{name} must be made of whole numbers; got {times(given)}"
        raise OptionError(message) from error
    if least is not None and min(numbers) < least:
        message = f"{name} must be at least {least} on every axis; got {times(numbers)}"
        raise OptionError(message)
    return numbers


def fractions_per_axis(
    value: int | Fraction | Sequence[int | Fraction], ndim: int, *, name: str, positive: bool = False
) -> tuple[Fraction, ...]:
    """Give one fraction per axis.

    >>> fractions_per_axis((2, Fraction(1, 3)), 2, name="scale")
    (Fraction(2, 1), Fraction(1, 3))
    """
    given = tuple(value) if isinstance(value, Sequence) else (value,) * ndim
    _check_count(given, ndim, name=name)
    if not all(isinstance(number, int | Fraction) for number in given):
        message = f"{name} must be made of whole numbers or fractions, which are exact; got {times(given)}"
        raise OptionError(message)
    numbers = tuple(map(Fraction, given))
    if positive and min(numbers) <= 0:
        message = f"{name} must be positive on every axis; got {times(numbers)}"
        raise OptionError(message)
    return numbers


def times(numbers: Iterable[int | Fraction]) -> str:
    """Write per-axis values as everywhere.

    >>> times((97, 131))
    '97x131'
    """
    return "x".join(map(str, numbers))


def _check_count(numbers: Sequence[int | Fraction], ndim: int, *, name: str) -> None:
    if len(numbers) != ndim:
        message = f"{name} must be one number, or one for each of {ndim} axes; got {times(numbers) or 'none'}"
        raise ShapeError(message)
