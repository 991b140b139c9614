"""Every exception that upstroke raises on purpose.

Each message says what was wanted, what came and what to do, in one sentence; each type is also the
builtin one a caller would expect.
"""

__all__ = [
    "BackendError",
    "FileError",
    "MissingExtraError",
    "NotRepresentableError",
    "OptionError",
    "ShapeError",
    "UpstrokeError",
]


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
