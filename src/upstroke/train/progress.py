"""Turn what there is to tell of a run into a line that changes on a terminal, or a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from upstroke.train.keeper import Told

__all__ = ["telling"]

# Seconds between lines where nobody watches.
PAUSE = 30.0


@contextmanager
def telling(*, is_wanted: bool, start: int) -> Iterator[Callable[[Told], None]]:
    """A function that tells people on stderr how far training is, while a block runs.

    Args:
        is_wanted: nothing is told otherwise.
        start: the step from which the run goes on, from which time left is reckoned.
    """
    if not is_wanted:
        yield lambda told: None
    elif sys.stderr.isatty():
        with _bar(start) as tell:
            yield tell
    else:
        yield _lines(start)


@contextmanager
def _bar(start: int) -> Iterator[Callable[[Told], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[words]}"))
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None, words="")

        def tell(told: Told) -> None:
            progress.update(bar, completed=told.step, total=told.steps, words=_words(told, start, began))

        yield tell


def _lines(start: int) -> Callable[[Told], None]:
    began = time.monotonic()
    last = [began]

    def tell(told: Told) -> None:
        now = time.monotonic()
        if now - last[0] >= PAUSE:
            last[0] = now
            words = _words(told, start, began)
            sys.stderr.write(f"step {told.step} of {told.steps}{', ' if words else ''}{words}\n")
            sys.stderr.flush()

    return tell


def _words(told: Told, start: int, began: float) -> str:
    """Losses, validation and time left.

    >>> told = Told(step=5, steps=10, losses={"loss": 0.25}, monitor="val_loss", value=0.5, best=0.375)
    >>> _words(told, 5, 0.0)
    'loss 0.25, val_loss 0.5, best 0.375'
    """
    words = [f"{name} {value:.4g}" for name, value in told.losses.items()]
    if told.value is not None and told.best is not None:
        words.append(f"{told.monitor} {told.value:.4g}")
        words += [f"best {told.best:.4g}"] if told.best != told.value else []
    if told.step > start:
        left = (time.monotonic() - began) / (told.step - start) * (told.steps - told.step)
        words.append(f"{_clock(left)} left")
    return ", ".join(words)


def _clock(seconds: int | float) -> str:
    """Hours, minutes and seconds.

    >>> _clock(59.6), _clock(61), _clock(3661)
    ('1:00', '1:01', '1:01:01')
    """
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{whole:02d}" if hours else f"{minutes}:{whole:02d}"
