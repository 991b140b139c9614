"""Turn a number or a tuple given at the front door into one whole number per axis."""

from collections.abc import Sequence

from upstroke.errors import OptionError, ShapeError

__all__ = ["AXES", "Axes", "per_axis"]

Axes = int | Sequence[int]
AXES = (1, 2, 3)


def per_axis(value: Axes, ndim: int, *, name: str, least: int | None = None) -> tuple[int, ...]:
    """Give one whole number per axis, checked against the least allowed value.

    >>> per_axis(2, 3, name="scale")
    (2, 2, 2)
    """
    if ndim not in AXES:
        msg = f"upsampling is defined here for 1, 2 or 3 axes; got ndim={ndim}"
        raise OptionError(msg)
    numbers = tuple(value) if isinstance(value, Sequence) else (value,) * ndim
    if len(numbers) != ndim:
        msg = f"{name} must be one number or {ndim} numbers, one per axis; got {numbers}"
        raise ShapeError(msg)
    if any(isinstance(number, bool) or not isinstance(number, int) for number in numbers):
        msg = f"{name} must be made of whole numbers; got {numbers}"
        raise OptionError(msg)
    if least is not None and min(numbers) < least:
        msg = f"{name} must be at least {least} on every axis; got {numbers}"
        raise OptionError(msg)
    return numbers
