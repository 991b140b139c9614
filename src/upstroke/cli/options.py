"""Options that mean the same in every verb, and how their words are read."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from upstroke.errors import FileError, OptionError
from upstroke.files.place import check_target

__all__ = [
    "FAIL_ON",
    "MODEL",
    "RULES",
    "Example",
    "FailOn",
    "Format",
    "Ignore",
    "Inputs",
    "Output",
    "Overwrite",
    "Quiet",
    "ReportFormat",
    "Seed",
    "Select",
    "Shapes",
    "Verbose",
    "Weights",
    "codes",
    "example",
    "file_name",
    "per_axis",
    "per_axis_or",
    "refuse_both",
    "refuse_existing",
    "seed_number",
    "whole",
]

MOST_DIGITS = 9
# 8 GiB of float32: more than any example needs, and refused before anything is made of it
MOST_NUMBERS = 2**31
DTYPES = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "uint8", "bool")
SHAPE = "a shape such as 1x3x320x320, or with a name and a type as in ids=1x16:int64"


@dataclass(frozen=True, kw_only=True)
class Example:
    """What an input of a model looks like, as words say it.

    Attributes:
        name: of the input, or None for the next one in order.
        shape: of the input.
        dtype: name of the type, or None for the usual one.
        words: what was typed.
    """

    name: str | None
    shape: tuple[int, ...]
    dtype: str | None
    words: str


def file_name(words: str) -> Path:
    """Read the name of a file; whether it can be used is found out when it is.

    >>> file_name("plan.txt").name
    'plan.txt'
    """
    if not words:
        message = "a file must have a name; got ''; name a file"
        raise FileError(message)
    return Path(words)


def seed_number(words: str | int) -> int:
    """Read a seed of random numbers; a default, which is a number already, is read as well.

    >>> seed_number("7")
    7
    """
    if re.fullmatch(r"\d{1,19}", str(words), flags=re.ASCII) is None or int(words) >= 2**63:
        message = f"--seed must be a whole number from 0 to {2**63 - 1}; got {words!r}"
        raise OptionError(message)
    return int(words)


Format = Annotated[Literal["text", "json"], typer.Option("--format", help="How the result is written.")]
ReportFormat = Annotated[
    Literal["text", "json", "html", "sarif"], typer.Option("--format", help="How the result is written.")
]
# The head under which help lists what is asked of models.
RULES = "Rules and findings"
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        metavar="CODES",
        help="Rules to ask, such as UP101,UP2 (default: all).",
        rich_help_panel=RULES,
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="CODES", help="Rules not to ask.", rich_help_panel=RULES),
]
FAIL_ON = ("error", "warning", "note", "never")
FailOn = Annotated[
    Literal["error", "warning", "note", "never"] | None,
    typer.Option(
        "--fail-on",
        help="Least severity that makes the exit code 1 (default: error).",
        rich_help_panel=RULES,
    ),
]
# The head under which help lists what a model is run on.
MODEL = "Model"
Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="[NAME=]1x3x64x64[:TYPE]",
        help="An example of an input; once for each that has no size of its own.",
        rich_help_panel=MODEL,
    ),
]
Inputs = Annotated[
    str | None,
    typer.Option(
        "--inputs",
        metavar="MODULE:FUNCTION",
        help="A function of yours that makes all inputs: a tensor, a tuple, a dict of keywords, or both.",
        rich_help_panel=MODEL,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        parser=file_name,
        help="Weights for what the factory builds: .safetensors, or a state dict of torch.save.",
        rich_help_panel=MODEL,
    ),
]
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
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        parser=seed_number,
        help="Of all random numbers: examples, and weights of a new model.",
    ),
]


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


def example(words: str) -> Example:
    """Read what an input looks like: [name=]1x3x320x320[:dtype].

    >>> example("image=1x3x320x320").shape
    (1, 3, 320, 320)
    >>> example("1x16:int64").dtype
    'int64'
    """
    # names may hold colons and equal signs, as those of some converters do
    head, equals, tail = words.rpartition("=")
    sizes, colon, dtype = tail.partition(":")
    if re.fullmatch(r"\d+(x\d+)*", sizes, flags=re.ASCII) is None or (equals and not head):
        message = f"--input must be {SHAPE}; got {words!r}"
        raise OptionError(message)
    if colon and dtype not in DTYPES:
        message = f"--input must have one of the types {', '.join(DTYPES)}; got {words!r}"
        raise OptionError(message)
    shape = tuple(_in_range(part, words, option="--input") for part in sizes.split("x"))
    if min(shape) < 1:
        message = f"--input must be at least 1 on every axis; got {words!r}"
        raise OptionError(message)
    if math.prod(shape) > MOST_NUMBERS:
        message = f"--input must have at most {MOST_NUMBERS} numbers; got {words!r}; give a smaller example"
        raise OptionError(message)
    return Example(name=head or None, shape=shape, dtype=dtype or None, words=words)


def codes(words: list[str], *, option: str) -> tuple[str, ...]:
    """Read codes of rules, divided by commas, in any case.

    >>> codes(["up101,UP2"], option="--select")
    ('UP101', 'UP2')
    """
    parts = tuple(part.strip().upper() for each in words for part in each.split(","))
    if not all(parts):
        message = f"{option} must be codes such as UP101,UP2; got {','.join(words)!r}"
        raise OptionError(message)
    return parts


def refuse_both(shapes: Sequence[str] | None, inputs: str | None) -> None:
    """Refuse single inputs beside a function that makes them all."""
    if shapes and inputs is not None:
        msg = f"--inputs makes all inputs; got --input {shapes[0]!r} as well; leave one of the two out"
        raise OptionError(msg)


def refuse_existing(*paths: Path | None, overwrite: bool) -> None:
    """Refuse before any work what would be refused after it: targets that cannot be written."""
    for path in paths:
        if path is not None:
            check_target(path, overwrite=True)
        if path is not None and not overwrite and os.path.lexists(path):
            message = f"{path} exists already; give --overwrite to replace it, or another name"
            raise FileError(message)
