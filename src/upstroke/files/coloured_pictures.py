"""Turn picture files into arrays of levels from 0 to 255, of one channel if grey and of three if not."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
from jaxtyping import UInt8

from upstroke.errors import FileError
from upstroke.files.opened_picture import load, lost_depth, opened_picture, stored_layout
from upstroke.files.readable import check_readable

if TYPE_CHECKING:
    from PIL import Image, ImageFile

__all__ = ["SUFFIXES", "ColouredPicture", "read_coloured", "without_colourless"]

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib"),
    *(".webp", ".gif", ".tif", ".tiff"),
)
# pillow's names, and what we call them; others, such as EPS, which runs a program, are not tried
FORMATS = {
    **{"PNG": "PNG", "JPEG": "JPEG", "MPO": "JPEG", "BMP": "BMP", "DIB": "BMP"},
    **{"WEBP": "WebP", "GIF": "GIF", "TIFF": "TIFF"},
}
# MPO, the JPEG files with several pictures of some cameras, is found by the reader of JPEG
TRIED = tuple(name for name in FORMATS if name != "MPO")
ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)
WHITE_IS_ZERO = (262, 0)  # the tag of TIFF, and its value


@dataclass(frozen=True, kw_only=True, eq=False)
class ColouredPicture:
    """One picture, upright, in 8 bits.

    Attributes:
        file: where it came from.
        pixels: levels as stored, 0 black and 255 white, whatever colour profile the file names; one channel
            if every pixel is grey, else red, green and blue.
        size: rows and columns of the whole picture; those of `pixels` unless it was read at a smaller size.
        format: "PNG", "JPEG", "BMP", "WebP", "GIF" or "TIFF", by content.
        notes: what had to be decided in reading it, in words; empty for a plain picture.
    """

    file: str
    pixels: UInt8[numpy.ndarray, "height width channels"]
    size: tuple[int, int]
    format: str
    notes: tuple[str, ...] = ()


def read_coloured(
    source: Path | BytesIO, *, name: str | None = None, at_least: int | None = None
) -> ColouredPicture:
    """Read one picture as levels of grey or of red, green and blue.

    Args:
        source: a file, or a stream.
        name: what it is called in sentences; None: the path.
        at_least: JPEG files may be read at a half, a quarter or an eighth of their size, each pixel the mean
            of its square, as long as either side keeps so many pixels, which takes less time and memory.

    Raises:
        FileError: it is not a whole picture of a reasonable size, or stores values without a white.
        MissingExtraError: pillow is not installed.
    """
    called = str(source) if name is None else name
    if isinstance(source, Path):
        check_readable(source, wanted="a picture", name=called)
    with opened_picture(source, name=called, formats=TRIED) as image:
        depth, layout = lost_depth(image), stored_layout(image)
        whole = image.size
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        load(image)
        frames = ("first frame of several",) if getattr(image, "is_animated", False) else ()
        levels, notes = _levels(image, layout, called)
        orientation = _orientation(image)
        if orientation != 1:
            levels = _turned(levels, orientation)
            notes = (*notes, "turned upright, as its orientation says")
            whole = whole[::-1] if orientation in SIDEWAYS else whole
        kind = FORMATS[image.format or ""]
    return ColouredPicture(
        file=called,
        pixels=without_colourless(numpy.atleast_3d(numpy.array(levels))),
        size=(whole[1], whole[0]),
        format=kind,
        notes=(*frames, *depth, *notes),
    )


def _levels(image: "ImageFile.ImageFile", layout: str, name: str) -> "tuple[Image.Image, tuple[str, ...]]":
    """A loaded picture in pillow's modes L or RGB, and what was decided on the way."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return _from_sixteen(image, layout)
    if image.mode in ("I", "F"):
        msg = f"{name} stores 32-bit values, which have no agreed white; save it with 8 or 16 bits"
        raise FileError(msg)
    notes = (f"{image.mode}, turned into RGB",) if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") else ()
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        if seen.getchannel("A").getextrema() != (255, 255):
            return _over_white(seen), (*notes, "transparent parts laid over white")
    return image.convert("L" if image.mode in ("1", "L") else "RGB"), notes


def _from_sixteen(image: "Image.Image", layout: str) -> "tuple[Image.Image, tuple[str, ...]]":
    """Levels of 16 bits, or of 12, divided so that their white is 255."""
    from PIL import Image

    stored = numpy.asarray(image).astype(numpy.uint32)
    white = 4095 if "I;12" in layout else 65535
    levels = ((stored * 255 + white // 2) // white).astype(numpy.uint8)
    tag, value = WHITE_IS_ZERO
    if getattr(image, "tag_v2", {}).get(tag) == value:  # pillow inverts those of 8 bits alone
        levels = 255 - levels
    notes = ["16 bits, divided by 257" if white == 65535 else "12 bits, divided by 16.06"]
    clear = image.info.get("transparency")
    if isinstance(clear, int) and (stored == clear).any():
        levels[stored == clear] = 255
        notes.append("transparent parts laid over white")
    return Image.fromarray(levels), tuple(notes)


def _over_white(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    white = Image.new("RGB", image.size, "white")
    white.paste(image.convert("RGB"), mask=image.getchannel("A"))
    return white


def _orientation(image: "Image.Image") -> int:
    """From 1, upright, to 8; what is not one of these numbers, or cannot be read, is 1."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # metadata of cameras is broken in many ways, and their pictures are whole
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _turned(image: "Image.Image", orientation: int) -> "Image.Image":
    from PIL.Image import Transpose

    ways = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(ways[orientation])


def without_colourless(
    levels: UInt8[numpy.ndarray, "height width channels"],
) -> UInt8[numpy.ndarray, "height width kept"]:
    """One channel where red, green and blue are the same everywhere."""
    return levels[:, :, :1] if (levels == levels[:, :, :1]).all() else levels
