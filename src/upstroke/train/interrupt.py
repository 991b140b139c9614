"""Turn Ctrl-C into a wish to stop that is granted between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = ["Interrupts", "Stop", "held_back"]


class Stop(BaseException):
    """Training ends here because the user wishes it; no error, and not to be taken for one on its way."""


@dataclass
class Interrupts:
    """Whether somebody pressed Ctrl-C."""

    is_asked: bool = False


@contextmanager
def held_back() -> Iterator[Interrupts]:
    """Note the first Ctrl-C while a block runs; the second stops at once.

    Where the block runs in another thread than the first, signals are left as they are.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def note(number: int, frame: FrameType | None) -> None:
        if interrupts.is_asked:
            raise Stop
        interrupts.is_asked = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
