"""Options that mean the same in every verb of `upstroke downscale`."""

from typing import Annotated, Literal

import typer

from upstroke.cli.options import per_axis
from upstroke.errors import OptionError

__all__ = ["FIELDS", "Columns", "Factor", "Mask", "Rows", "Valid", "Variables", "parts"]

# The head under which help lists what says which fields are meant, and where they have values.
FIELDS = "Fields"

Factor = Annotated[
    str,
    typer.Option(
        "--factor", metavar="4|4x2", help="Parts of a coarse cell, along y and x where they differ."
    ),
]
Mask = Annotated[
    str | None,
    typer.Option(
        "--mask",
        metavar="FILE[:VAR]",
        help="Valid fraction of each fine cell (default: that of the fields).",
        rich_help_panel=FIELDS,
    ),
]
Valid = Annotated[
    Literal["sea", "land"],
    typer.Option(
        "--valid",
        help="Where the fields have values, for a mask that says where land or sea is.",
        rich_help_panel=FIELDS,
    ),
]
Variables = Annotated[
    list[str] | None,
    typer.Option(
        "--variable", metavar="NAME", help="A field, once for each (default: all).", rich_help_panel=FIELDS
    ),
]
Rows = Annotated[
    str | None,
    typer.Option("--y", metavar="NAME", help="Coordinate of the rows.", rich_help_panel=FIELDS),
]
Columns = Annotated[
    str | None,
    typer.Option("--x", metavar="NAME", help="Coordinate of the columns.", rich_help_panel=FIELDS),
]


def parts(words: str) -> int | tuple[int, int]:
    """Read --factor: one number, or one for rows and one for columns.

    >>> parts("4"), parts("4x2")
    (4, (4, 2))
    """
    numbers = per_axis(words, option="--factor")
    if isinstance(numbers, int):
        return numbers
    if len(numbers) != 2:
        msg = f"--factor must be one number or two, for rows and columns; got {words!r}"
        raise OptionError(msg)
    return numbers[0], numbers[1]
