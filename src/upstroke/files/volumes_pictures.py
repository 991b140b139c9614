"""PNG, JPEG and BMP files become arrays of what they store, and masks become PNG files."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import FileError, MissingExtraError, first_line
from upstroke.files.readable import check_readable
from upstroke.files.volume import DEFLATE, WANTED, Volume, VolumeKind, check_promise

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["COLOUR", "colours_of", "pictured_bytes", "read_pictured", "values_of_colours"]

KINDS: dict[str, VolumeKind] = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "BMP": "bmp", "DIB": "bmp"}
# A JPEG of one colour takes some bits for each block of 8 x 8 pixels of three bytes.
JPEG_RATIO = 4096.0
# Bytes in memory for each pixel of a mode, for what a header promises; others take four.
BYTES = {"1": 1, "L": 1, "P": 1, "LA": 2, "I;16": 2, "I;16B": 2, "RGB": 3}
# A grey pixel of a mask in colours has its level as a value; any other colour 0xRRGGBB above this, so that
# blue (0, 0, 255) is not taken for the white of another file.
COLOUR = 0x1000000
ORIENTATION = 0x0112


@dataclass(frozen=True, kw_only=True)
class PictureHeader:
    """How a picture is stored: pillow's mode."""

    mode: str


def read_pictured(path: Path, *, as_labels: bool = False) -> Volume:
    """Read a picture as it is stored: (1, rows, columns), or (3, rows, columns) of colours.

    Alpha is left out and said. Levels of a palette become colours, or, as labels, stay what they are.

    Raises:
        FileError: it is not a whole picture.
        MissingExtraError: pillow is not installed.
    """
    image_of = _pillow()
    stored = check_readable(path, wanted=WANTED)
    with _refused(path), image_of.open(path) as image:
        kind = KINDS.get(image.format or "")
        if kind is None:
            msg = f"{path} must be a PNG, JPEG or BMP file; it is {image.format}; name it for what it is"
            raise FileError(msg)
        promised = image.width * image.height * BYTES.get(image.mode, 4)
        check_promise(path, promised, stored=stored, ratio=JPEG_RATIO if kind == "jpeg" else DEFLATE * 8)
        notes = _lost_depth(image)
        if getattr(image, "n_frames", 1) > 1:
            notes.append(f"first of {image.n_frames} frames")
        if image.getexif().get(ORIENTATION, 1) != 1:
            notes.append("pixels as stored, not turned as the camera's note on orientation asks")
        image.load()
        values, more = _values(image, as_labels=as_labels)
    return Volume(
        path=path,
        values=values,
        spacing=(1.0, 1.0),
        unit="pixel",
        affine=None,
        kind=kind,
        header=PictureHeader(mode=image.mode),
        notes=(*notes, *more),
    )


def pictured_bytes(labels: NDArray[np.integer[Any]]) -> bytes:
    """The content of a PNG file with these values: 8 or 16 bits, or colours where `COLOUR` says so."""
    image_of = _pillow()
    if labels.size and int(labels.max()) >= COLOUR:
        stored = colours_of(labels)
    else:
        stored = labels.astype(np.uint8 if int(labels.max(initial=0)) < 256 else np.uint16)
    buffer = io.BytesIO()
    image_of.fromarray(np.ascontiguousarray(stored)).save(buffer, "PNG")
    return buffer.getvalue()


def values_of_colours(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Values of colours, (3, *space) to (*space): the level of greys, `COLOUR` + 0xRRGGBB of others.

    >>> [hex(value) for value in values_of_colours(np.array([[7, 255], [7, 0], [7, 1]], np.uint8))]
    ['0x7', '0x1ff0001']
    """
    red, green, blue = colours.astype(np.int64)
    grey = (red == green) & (green == blue)
    values: NDArray[np.int64] = np.where(grey, red, COLOUR + (red << 16) + (green << 8) + blue)
    return values


def colours_of(values: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Colours of values, (*space) to (*space, 3); the inverse of `values_of_colours`."""
    wide = values.astype(np.int64)
    bands = [np.where(wide >= COLOUR, (wide >> shift) & 255, wide) for shift in (16, 8, 0)]
    return np.stack(bands, axis=-1).astype(np.uint8)


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError as error:
        msg = "pictures are read and written by pillow; pip install 'upstroke[medical]'"
        raise MissingExtraError(msg) from error
    return Image


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Turn whatever pillow says of broken files into one sentence."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except FileError:
        raise
    except Image.DecompressionBombError as error:
        msg = f"{path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels; write it as TIFF, or cut it"
        raise FileError(msg) from error
    except UnidentifiedImageError as error:
        msg = f"{path} must be a picture; pillow cannot read it as one; copy it again or convert it"
        raise FileError(msg) from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError) as error:
        msg = f"{path} is not a whole picture: {first_line(error)}; copy it again"
        raise FileError(msg) from error


def _values(image: "Image.Image", *, as_labels: bool) -> tuple[NDArray[Any], list[str]]:
    """(channels, rows, columns) of a loaded picture, and what was left out."""
    notes = []
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa", "RGBX"):
        notes.append("transparency left out")
    if image.mode in ("P", "PA") and not as_labels:
        has_colours = image.getpalette() is not None
        image = image.convert("RGB" if has_colours else "L")
    elif (
        image.mode not in ("1", "L", "LA", "P", "PA", "I", "F", "RGB", "RGBA", "RGBX")
        and "I;16" not in image.mode
    ):
        notes.append(f"{image.mode} turned into RGB")
        image = image.convert("RGB")
    mode, stored = image.mode, np.asarray(image)
    if stored.dtype == bool:
        stored = stored.astype(np.uint8)
    if mode == "I" and int(stored.min()) >= 0 and int(stored.max()) < 2**16:
        stored = stored.astype(np.uint16)  # PNG has no whole numbers of more bits
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    if stored.ndim == 2:
        return stored[np.newaxis], notes
    colours = 1 if mode in ("LA", "PA") else 3
    return np.moveaxis(stored[..., :colours], -1, 0), notes


def _lost_depth(image: "Image.Image") -> list[str]:
    """A note where pillow cuts levels of 16 bits to 8: it has no mode for colours with that many."""
    tiles = getattr(image, "tile", None) or []
    raw = str(tiles[0][3]) if tiles else ""
    deep = "16" in raw and image.mode in ("RGB", "RGBA", "LA")
    return ["16 bits, cut to 8"] if deep else []
