"""Hand a finished result to the terminal or to a file."""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from upstroke.files import write_atomically

__all__ = ["Page", "deliver", "json_text", "page_for"]

WIDTH_OF_FILES = 100


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a text is written on: so many characters wide, and with colour or without."""

    width: int
    colour: bool


def page_for(output: Path | None) -> Page:
    """Measure the terminal, unless the text goes to a file."""
    if output is not None:
        return Page(width=WIDTH_OF_FILES, colour=False)
    width = shutil.get_terminal_size(fallback=(WIDTH_OF_FILES, 24)).columns
    has_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return Page(width=width, colour=has_colour)


def json_text(record: dict[str, Any]) -> str:
    """Write a record as JSON, one line end at the end.

    >>> print(json_text({"scale": "×2"}), end="")
    {
      "scale": "×2"
    }
    """
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def deliver(text: str, *, output: Path | None, overwrite: bool, quiet: bool) -> None:
    """Print the text, or write it to a file as a whole and say so on stderr."""
    if output is None:
        typer.echo(text, nl=False)
        return
    write_atomically(output, text, overwrite=overwrite)
    if not quiet:
        typer.echo(f"wrote {output}", err=True)
