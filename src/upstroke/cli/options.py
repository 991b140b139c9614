"""Options that mean the same in every verb, and how their words are read."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from upstroke.errors import FileError, OptionError

__all__ = [
    "Format",
    "Output",
    "Overwrite",
    "Quiet",
    "Verbose",
    "file_name",
    "per_axis",
    "per_axis_or",
    "whole",
]

MOST_DIGITS = 9


def file_name(words: str) -> Path:
    """Read the name of a file; whether it can be used is found out when it is.

    >>> file_name("plan.txt").name
    'plan.txt'
    """
    if not words:
        message = "a file must have a name; got ''; name a file"
        raise FileError(message)
    return Path(words)


Format = Annotated[Literal["text", "json"], typer.Option("--format", help="How the result is written.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE", parser=file_name, help="Write the result to a file, not to the terminal."
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Let --output, and --plot of inspect, replace a file that exists.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No notes beside the result.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="More detail in the text.")]


def whole(words: str, *, option: str) -> int:
    """Read one whole number.

    >>> whole("4", option="--depth")
    4
    """
    if re.fullmatch(r"-?\d+", words, flags=re.ASCII) is None:
        message = f"{option} must be a whole number such as 4; got {words!r}"
        raise OptionError(message)
    return _in_range(words, words, option=option)


def per_axis(words: str, *, option: str) -> int | tuple[int, ...]:
    """Read one whole number for all axes, or one for each, as in 97x131.

    >>> per_axis("3", option="--kernel"), per_axis("97x131", option="--size")
    (3, (97, 131))
    """
    if re.fullmatch(r"-?\d+(x-?\d+)*", words, flags=re.ASCII) is None:
        message = (
            f"{option} must be a whole number such as 4, or one for each axis such as 97x131; got {words!r}"
        )
        raise OptionError(message)
    numbers = tuple(_in_range(part, words, option=option) for part in words.split("x"))
    return numbers if len(numbers) > 1 else numbers[0]


def _in_range(digits: str, words: str, *, option: str) -> int:
    """Refuse negative numbers and those no net has; 0 is left to whom it concerns."""
    if digits.startswith("-"):
        least = 0 if option.endswith("padding") else 1
        message = f"{option} must be at least {least}; got {words!r}"
        raise OptionError(message)
    if len(digits.lstrip("0")) > MOST_DIGITS:
        message = f"{option} must be at most {'9' * MOST_DIGITS}; got {words!r}"
        raise OptionError(message)
    return int(digits.lstrip("0") or "0")


def per_axis_or(words: str | None, default: int | tuple[int, ...], *, option: str) -> int | tuple[int, ...]:
    """Read an option that may be left out.

    >>> per_axis_or(None, (1, 2), option="--padding")
    (1, 2)
    """
    return default if words is None else per_axis(words, option=option)
