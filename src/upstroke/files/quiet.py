"""Keep what other packages notice in files off the terminal."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]


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
