"""Hand a finished result to the terminal or to a file."""

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from upstroke.errors import FileError
from upstroke.files import write_atomically

__all__ = ["Page", "deliver", "json_text", "page_for", "printable"]

WIDTH_OF_FILES = 100
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


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
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return LONE_SURROGATE.sub(lambda found: "\\" + _escaped(found), text)


def printable(text: str) -> str:
    r"""Escape the bytes of a file name that are not UTF-8, which no text can hold.

    >>> print(printable("bad\udcff.png"))
    bad\xff.png
    """
    return LONE_SURROGATE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    # Python keeps the byte b of such a name as the character 0xdc00 + b
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def deliver(
    text: str, *, output: Path | None, overwrite: bool, quiet: bool, figure: tuple[Path, bytes] | None = None
) -> None:
    """Print the text, or write it to a file as a whole and say so on stderr; a figure is written first.

    Where the text cannot be written to its file, a figure that is new is taken back.
    """
    written = []
    if figure is not None:
        plot, data = figure
        is_new = not os.path.lexists(plot)
        write_atomically(plot, data, overwrite=overwrite)
        written.append(plot)
    if output is not None:
        try:
            write_atomically(output, printable(text), overwrite=overwrite)
        except FileError:
            if figure is not None and is_new:
                plot.unlink(missing_ok=True)
            raise
        written.append(output)
    for path in () if quiet else written:
        typer.echo(f"wrote {path}", err=True)
    if output is None:
        typer.echo(printable(text), nl=False)
