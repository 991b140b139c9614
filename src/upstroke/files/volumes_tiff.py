"""TIFF files, stacks among them, become volumes with the spacing they state, and arrays become TIFF files."""

import io
import logging
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import FileError, MissingExtraError, first_line
from upstroke.files.quiet import quiet
from upstroke.files.readable import check_readable
from upstroke.files.volume import DEFLATE, WANTED, Volume, check_promise
from upstroke.files.volumes_pictures import COLOUR, colours_of

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

__all__ = ["read_tiff", "tiff_bytes"]

CHANNELS = "SC"
# Numbers in the tag Compression: none; deflate by either; the others have no limit that is known.
NO_COMPRESSION, DEFLATES = 1, (8, 32946)
ALPHAS = (1, 2)
MICRON = {"micron", "um", "µm", "μm", "\\u00b5m", "microns", "micrometer"}
BY_IMAGEJ = (np.uint8, np.uint16, np.float32)


def read_tiff(path: Path) -> Volume:
    """Read a TIFF file: one page is a picture, a stack of pages a volume, colours are channels.

    Spacing is read where ImageJ or OME state it; resolutions for printing are not looked at.

    Raises:
        FileError: it is not a whole TIFF file, or has pages of several sizes or several axes of pages.
        MissingExtraError: tifffile is not installed.
    """
    tifffile = _tifffile()
    stored = check_readable(path, wanted=WANTED)
    with _refused(path, tifffile), tifffile.TiffFile(path) as file:
        series = _one_series(path, file)
        page = series.keyframe
        compression = int(page.compression)
        ratio = 1.0 if compression == NO_COMPRESSION else DEFLATE if compression in DEFLATES else None
        promised = int(np.prod([int(n) for n in series.shape], dtype=object)) * series.dtype.itemsize
        check_promise(path, promised, stored=stored, ratio=ratio)
        stored_values, axes = series.asarray(), str(series.axes)
        has_alpha = "S" in axes and any(int(extra) in ALPHAS for extra in page.extrasamples)
        spacing, unit = _spacing(file, page)
    values, notes = _channels_first(path, stored_values, axes, has_alpha=has_alpha)
    return Volume(
        path=path,
        values=values,
        spacing=spacing[-(values.ndim - 1) :],
        unit=unit,
        affine=None,
        kind="tiff",
        header=None,
        notes=notes,
    )


def tiff_bytes(values: NDArray[Any], *, like: Volume) -> bytes:
    """The content of a TIFF file, packed by deflate, with the spacing of a volume as ImageJ states it.

    Args:
        values: (*space), or (channels, *space) with one axis more.
        like: a volume of the same space.
    """
    tifffile = _tifffile()
    buffer = io.BytesIO()
    axes = "ZYX"[-like.ndim :]
    with quiet(logging.getLogger("tifffile")):
        if values.dtype.kind in "iu" and values.size and int(values.max()) >= COLOUR:
            stored, axes = colours_of(values), f"{axes}S"
            tifffile.imwrite(buffer, stored, photometric="rgb", compression="zlib", metadata={"axes": axes})
            return buffer.getvalue()
        if values.ndim > like.ndim:
            # ImageJ has channels behind pages
            values, axes = (np.moveaxis(values, 0, -3), axes.replace("YX", "CYX"))
        if like.unit == "pixel" or values.dtype not in BY_IMAGEJ:
            tifffile.imwrite(
                buffer, values, photometric="minisblack", compression="zlib", metadata={"axes": axes}
            )
            return buffer.getvalue()
        *slices, rows, columns = like.spacing
        metadata: dict[str, Any] = {"axes": axes, "unit": like.unit}
        if slices:
            metadata["spacing"] = slices[0]
        tifffile.imwrite(
            buffer,
            np.ascontiguousarray(values),
            imagej=True,
            compression="zlib",
            resolution=(1 / columns, 1 / rows),
            metadata=metadata,
        )
    return buffer.getvalue()


def _tifffile() -> ModuleType:
    try:
        import tifffile
    except ImportError as error:
        msg = "TIFF files are read and written by tifffile; pip install 'upstroke[medical]'"
        raise MissingExtraError(msg) from error
    return tifffile


@contextmanager
def _refused(path: Path, tifffile: ModuleType) -> Iterator[None]:
    """Turn whatever tifffile says of broken files into one sentence."""
    broken = (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError)
    try:
        with quiet(logging.getLogger("tifffile")):
            yield
    except FileError:
        raise
    except (
        *broken,
        OverflowError,
        ZeroDivisionError,
        struct.error,
        zlib.error,
        tifffile.TiffFileError,
    ) as error:
        packed = "imagecodecs" in str(error)
        remedy = "save it without compression or with deflate" if packed else "copy it again"
        reason = "its compression is not one that can be read here" if packed else first_line(error)
        msg = f"{path} is not a whole TIFF file that can be read: {reason}; {remedy}"
        raise FileError(msg) from error


def _one_series(path: Path, file: "TiffFile") -> "TiffPageSeries":
    """The one array that the pages make up."""
    if len(file.series) != 1:
        shapes = ", ".join(str(series.shape) for series in file.series[:3]) or "none"
        msg = f"{path} must hold one picture or one stack; it holds {len(file.series)} ({shapes}); keep one"
        raise FileError(msg)
    return file.series[0]


def _channels_first(
    path: Path, values: NDArray[Any], axes: str, *, has_alpha: bool
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """(channels, *space) of an array whose axes are named by letters, and what was left out."""
    notes = []
    if has_alpha:
        notes.append("transparency left out")
        values = np.take(values, range(values.shape[axes.index("S")] - 1), axis=axes.index("S"))
    kept = [at for at, axis in enumerate(axes) if values.shape[at] > 1 or axis in "YX"]
    values = values.reshape([values.shape[at] for at in kept])
    names = "".join(axes[at] for at in kept)
    channels = [at for at, axis in enumerate(names) if axis in CHANNELS]
    pages = [at for at, axis in enumerate(names) if axis not in f"{CHANNELS}YX"]
    if len(channels) > 1 or len(pages) > 1 or names.count("Y") != 1 or names.count("X") != 1:
        has = f"{names} {values.shape}"
        msg = f"{path} must have at most one axis of pages and one of channels; it has {has}; save one"
        raise FileError(msg)
    if values.dtype.kind not in "biuf":
        msg = f"{path} must hold one real number per pixel and channel; it holds {values.dtype}; convert it"
        raise FileError(msg)
    order = [*channels, *pages, names.index("Y"), names.index("X")]
    arranged = values.transpose(order).astype(values.dtype.newbyteorder("="), copy=False)
    arranged = arranged.astype(np.uint8) if arranged.dtype == bool else arranged
    if pages and names[pages[0]] == "T":
        notes.append("pages named as times, taken as slices")
    return arranged if channels else arranged[np.newaxis], tuple(notes)


def _spacing(file: "TiffFile", page: "TiffPage") -> tuple[tuple[float, float, float], str]:
    """Voxel sizes (pages, rows, columns) where ImageJ or OME state them, and their unit; else pixels."""
    if file.is_imagej and file.imagej_metadata:
        stated = dict(file.imagej_metadata)
        unit = str(stated.get("unit", "")).strip()
        sizes = (stated.get("spacing", 1.0), _per_pixel(page, "YResolution"), _per_pixel(page, "XResolution"))
        if unit and unit.lower() not in ("pixel", "pixels") and _are_sizes(sizes):
            return _three(sizes), "micron" if unit.lower() in MICRON else unit
    if file.is_ome and file.ome_metadata:
        pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", str(file.ome_metadata))
        stated = dict(re.findall(r'PhysicalSize(\w+)="([^"]*)"', pixels.group() if pixels else ""))
        if "X" in stated and "Y" in stated:
            sizes = (_number(stated.get("Z", "1")), _number(stated["Y"]), _number(stated["X"]))
            unit = stated.get("XUnit", "µm")
            if _are_sizes(sizes):
                return _three(sizes), "micron" if unit.lower() in MICRON else unit
    return (1.0, 1.0, 1.0), "pixel"


def _three(sizes: tuple[Any, ...]) -> tuple[float, float, float]:
    pages, rows, columns = (float(size) for size in sizes)
    return pages, rows, columns


def _per_pixel(page: "TiffPage", tag: str) -> float:
    """The size of a pixel of which a tag says how many make a unit."""
    over, under = page.tags[tag].value if tag in page.tags else (1, 1)
    return float(under / over) if over else 0.0


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return 0.0


def _are_sizes(sizes: tuple[Any, ...]) -> bool:
    return all(isinstance(size, int | float) and np.isfinite(size) and size > 0 for size in sizes)
