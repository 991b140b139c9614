"""Turn rich's rendering into plain text: a page of so many characters, coloured or not."""

import io
from collections.abc import Callable

from rich.console import Console

__all__ = ["written"]


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
