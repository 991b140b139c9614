"""How many are done, and of how many, becomes a bar on a terminal or a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["counted"]

# Seconds between lines where nobody watches.
PAUSE = 30.0


@contextmanager
def counted(*, is_wanted: bool) -> Iterator[Callable[[int, int], None]]:
    """A function that tells people on stderr how far something is, while a block runs.

    Args:
        is_wanted: nothing is told otherwise.
    """
    if not is_wanted:
        yield lambda done, count: None
        return
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None)
        yield lambda done, count: progress.update(bar, completed=done, total=count)


def _lines() -> Callable[[int, int], None]:
    last = [time.monotonic()]

    def tell(done: int, count: int) -> None:
        if time.monotonic() - last[0] >= PAUSE:
            last[0] = time.monotonic()
            sys.stderr.write(f"picture {done:,} of {count:,}\n")
            sys.stderr.flush()

    return tell
