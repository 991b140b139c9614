"""Every exception that upstroke raises on purpose, and the words that messages have in common.

Each message says what was wanted, what came and what to do, in one sentence; each type is also the
builtin one a caller would expect.
"""

from collections.abc import Sequence
from typing import Any

__all__ = [
    "BackendError",
    "FileError",
    "MissingExtraError",
    "NotRepresentableError",
    "OptionError",
    "ShapeError",
    "TrainingError",
    "UpstrokeError",
    "first_line",
    "listed",
]

LONGEST_LINE = 200


class UpstrokeError(Exception):
    """Base of all errors raised on purpose."""


class ShapeError(UpstrokeError, ValueError):
    """A tensor, a kernel or a size has a shape that the operation cannot take."""


class OptionError(UpstrokeError, ValueError):
    """An argument has a value that has no meaning here."""


class NotRepresentableError(UpstrokeError, TypeError):
    """A layer does something that no Polyphase describes exactly."""


class BackendError(UpstrokeError, RuntimeError):
    """A named implementation cannot run on this tensor or this machine."""


class FileError(UpstrokeError, OSError):
    """A file cannot be read, is not what it should be, or must not be overwritten."""


class MissingExtraError(UpstrokeError, ImportError):
    """An optional dependency is not installed; the message names the extra."""


class TrainingError(UpstrokeError, RuntimeError):
    """A model cannot be trained any further; the last good weights are kept."""


def first_line(error: BaseException, *, most: int = LONGEST_LINE) -> str:
    """What an exception says first, without a full stop, in one line of so many characters at most.

    >>> first_line(ValueError("no such  size.")), first_line(KeyError()), first_line(OSError("long"), most=3)
    ('no such size', 'KeyError', 'lo…')
    """
    words = " ".join((str(error).strip().splitlines() or [""])[0].split()).rstrip(".;")
    words = words or type(error).__name__
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}…"


def listed(names: Sequence[Any], *, most: int = 3) -> str:
    """The first few of many, for a message.

    >>> listed("abc"), listed("abcde")
    ('a, b, c', 'a, b, c and more')
    """
    return ", ".join(map(str, names[:most])) + (" and more" if len(names) > most else "")
