"""Turn rich's rendering into plain text: a page of so many characters, coloured or not."""

import io
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

__all__ = ["say", "written"]


def written(write: Callable[[Console], None], *, width: int, colour: bool) -> str:
    r"""What is printed on a console of this width; lines end without blanks, the page with one line end.

    >>> written(lambda console: console.print("x2  "), width=20, colour=False)
    'x2\n'
    """
    page = io.StringIO()
    console = Console(
        file=page,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    write(console)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()).rstrip() + "\n"


def say(console: Console, head: Text | str, words: Text, *, hang: int = 0) -> None:
    """Print words in lines that break at blanks alone; one longer than a line is left whole."""
    line = Text.assemble(head)
    is_first, is_bare = True, True
    for word in words.split(" "):
        if not is_bare and line.cell_len + 1 + word.cell_len > console.width:
            console.print(line, no_wrap=True, crop=False, overflow="ignore")
            line, is_bare = Text(" " * hang), True
        if not is_bare:
            line.append(" ")
        elif is_first and line.cell_len + word.cell_len > console.width and line.cell_len > hang:
            console.print(line, no_wrap=True, crop=False, overflow="ignore")
            line = Text(" " * hang)
        line.append_text(word)
        is_first, is_bare = False, False
    console.print(line, no_wrap=True, crop=False, overflow="ignore")
