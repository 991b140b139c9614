"""Turn picture files into arrays of grey levels."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
from jaxtyping import Float64

from upstroke.errors import FileError
from upstroke.files.opened_picture import load, lost_depth, opened_picture
from upstroke.files.readable import check_readable

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Picture", "Skipped", "read_picture", "read_pictures"]

SIXTEEN_BIT = 257  # 65535 / 255
LUMINANCE = "luminance 0.299 R + 0.587 G + 0.114 B"
# modes whose first band is what we want, and has levels 0 to 255
GREY_FIRST = {"L", "LA", "La", "YCbCr", "LAB"}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture in grey.

    Attributes:
        file: where it came from.
        grey: levels, 0 (black) to 255 (white) with fractions; 32-bit pictures keep the values they store.
        notes: what had to be decided in reading it, in words; empty for a plain picture.
    """

    file: str
    grey: Float64[numpy.ndarray, "height width"]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file that could not be read as a picture, and why."""

    file: str
    reason: str


def read_pictures(path: Path) -> Iterator[Picture | Skipped]:
    """Read one picture, or those of a folder one by one; hidden files and subfolders are left alone.

    Raises:
        FileError: there is nothing there, or nothing that can be read as a picture.
    """
    if not os.path.isdir(path):
        yield read_picture(path)
        return
    try:
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        msg = f"{path} must be a folder of pictures; it could not be listed: {(error.strerror or '').lower()}"
        raise FileError(msg) from error
    if not files:
        msg = f"{path} must be a picture or a folder of pictures; the folder holds no files of its own"
        raise FileError(msg)
    reasons = []
    for file in files:
        try:
            yield read_picture(file)
        except FileError as error:
            reasons.append(str(error))
            yield Skipped(file=str(file), reason=str(error))
    if len(reasons) == len(files):
        msg = f"{path} must hold pictures; none of its {len(files)} files could be read: {reasons[0]}"
        raise FileError(msg)


def read_picture(path: Path) -> Picture:
    """Read one picture as grey levels: as stored if it is grey, the luminance if it has colours.

    Raises:
        FileError: there is no such file, or it is not a whole picture of a reasonable size.
        MissingExtraError: pillow is not installed.
    """
    check_readable(path, wanted="a picture")
    with opened_picture(path, name=str(path)) as image:
        depth = lost_depth(image)
        load(image)
        grey, notes = _grey(image)
    if not numpy.isfinite(grey).all():
        msg = f"{path} holds values that are NaN or infinite, so it has no means"
        raise FileError(msg)
    return Picture(file=str(path), grey=grey, notes=depth + notes)


def _grey(image: "Image.Image") -> tuple[Float64[numpy.ndarray, "height width"], tuple[str, ...]]:
    """The grey levels of a loaded picture, and what was decided on the way."""
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"first of {frames} frames")
    mode = image.mode
    if mode == "F" or mode == "I":
        notes.append("32-bit values, kept as stored")
        return numpy.asarray(image, dtype=numpy.float64), tuple(notes)
    if mode.startswith("I;16"):
        notes.append("16 bits, divided by 257")
        return numpy.asarray(image, dtype=numpy.float64) / SIXTEEN_BIT, tuple(notes)
    if mode == "1":
        image = image.convert("L")
    if mode in {"P", "PA", "CMYK"}:
        notes.append({"CMYK": "CMYK, turned into RGB"}.get(mode, "palette, looked up"))
    opacity = _opacity(image)
    if opacity is not None:
        notes.append("transparent parts laid over white")
    if image.mode in GREY_FIRST and not (mode == "L" and "transparency" in image.info):
        grey = numpy.asarray(image.getchannel(0), dtype=numpy.float64)
    else:
        # weighted here and not by pillow, which would round to whole levels
        red, green, blue = numpy.moveaxis(numpy.asarray(image.convert("RGB"), dtype=numpy.float64), 2, 0)
        colourless = bool((red == green).all() and (red == blue).all())
        grey = red if colourless else 0.299 * red + 0.587 * green + 0.114 * blue
        notes.append(LUMINANCE)
    if opacity is not None:
        grey = grey * opacity + 255 * (1 - opacity)
    return grey, tuple(notes)


def _opacity(image: "Image.Image") -> Float64[numpy.ndarray, "height width"] | None:
    """Alpha from 0 to 1, or None where nothing shows through."""
    if not image.has_transparency_data:
        return None
    alpha = numpy.asarray(image.convert("RGBA").getchannel("A"), dtype=numpy.float64) / 255
    return None if (alpha == 1).all() else alpha
