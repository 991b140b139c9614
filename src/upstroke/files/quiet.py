"""Keep what other packages notice in files off the terminal."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet", "quiet_libraries"]

STANDARD_ERROR = 2


@contextmanager
def quiet(logger: logging.Logger) -> Iterator[None]:
    """Neither warnings nor what this logger is told, as long as it lasts.

    >>> with quiet(logging.getLogger("tifffile")):
    ...     logging.getLogger("tifffile").error("odd, and nobody asked")
    """
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Nothing on the standard error of this process, where libraries in C write past Python.

    For short calls alone: what other threads write there meanwhile is lost as well.

    >>> with quiet_libraries():
    ...     _ = os.write(STANDARD_ERROR, b"Using code not yet in table.")
    """
    try:
        kept = os.dup(STANDARD_ERROR)
    except OSError:  # it is closed: nothing is written
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), STANDARD_ERROR)
        yield
    finally:
        os.dup2(kept, STANDARD_ERROR)
        os.close(kept)
