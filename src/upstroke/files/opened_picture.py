"""A file or a stream becomes an open picture, or one sentence about why it is none."""

import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from upstroke.errors import FileError, MissingExtraError
from upstroke.files.quiet import quiet, quiet_libraries

if TYPE_CHECKING:
    from PIL import ImageFile

__all__ = ["load", "lost_depth", "opened_picture", "stored_layout"]


@contextmanager
def opened_picture(
    source: Path | BytesIO, *, name: str, formats: tuple[str, ...] | None = None
) -> "Iterator[ImageFile.ImageFile]":
    """A picture of which the header is read; whatever pillow says in the block becomes one sentence.

    Args:
        source: a file that was checked, or a stream.
        name: what the sentence calls it.
        formats: in which it may be, by pillow's names; None: all that pillow knows.

    Raises:
        FileError: it is no whole picture, or has more pixels than pillow unpacks without a warning.
        MissingExtraError: pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        msg = "reading pictures needs the package pillow; pip install 'upstroke[train]'"
        raise MissingExtraError(msg) from error
    try:
        # pillow warns of odd metadata, which does not concern us, and of sizes, which does
        with quiet(logging.getLogger("PIL.TiffImagePlugin")):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=formats) as image:
                yield image
    except FileError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        msg = f"{name} has more than {Image.MAX_IMAGE_PIXELS} pixels once unpacked; cut a part out of it"
        raise FileError(msg) from error
    except UnidentifiedImageError as error:
        msg = f"{name} is not a picture that pillow can read"
        raise FileError(msg) from error
    except (
        *(OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, struct.error),
        *(TypeError, KeyError, AttributeError, AssertionError, ZeroDivisionError, RuntimeError, MemoryError),
    ) as error:
        # what pillow raises on broken files differs from format to format
        msg = f"{name} is not a whole picture: {_one_line(error)}"
        raise FileError(msg) from error


def load(image: "ImageFile.ImageFile") -> None:
    """Unpack the pixels; libtiff, which says on the terminal what is wrong with a file, is kept from it."""
    if image.format == "TIFF":
        with quiet_libraries():
            image.load()
    else:
        image.load()


def stored_layout(image: "ImageFile.ImageFile") -> str:
    """How levels are stored, in pillow's words such as RGB;16B; known until a picture is loaded."""
    return " ".join(str(tile[3]) for tile in image.tile)


def lost_depth(image: "ImageFile.ImageFile") -> tuple[str, ...]:
    """What pillow is about to do to 16 bits: it keeps them for grey alone."""
    return ("16 bits, cut to 8",) if ";16" in stored_layout(image) and not image.mode.startswith("I") else ()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
