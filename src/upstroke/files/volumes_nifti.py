"""NIfTI files become volumes with their affine, and arrays become NIfTI files like a volume."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import FileError, MissingExtraError, first_line
from upstroke.files.quiet import quiet
from upstroke.files.readable import check_readable
from upstroke.files.volume import DEFLATE, WANTED, Volume, check_promise

__all__ = ["nifti_bytes", "read_nifti"]

# nibabel's header of either version; nibabel has no types
Header = Any
GZIP = b"\x1f\x8b"
# The header of NIfTI-1 takes 348 bytes and begins with that number; that of NIfTI-2 takes 540.
HEADER_SIZES = (348, 540)
# A file may carry something behind its voxels; so much of it is read to reach the check sum of gzip.
MOST_BEHIND = 2**24


@dataclass(frozen=True, kw_only=True)
class NiftiHeader:
    """What a NIfTI file like another needs: nibabel's header and the three axes of space as stored."""

    header: Any
    space: tuple[int, ...]


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI file, packed or not, slope applied.

    A trailing axis of space of length 1 is dropped, so that a slice is 2-D; a fourth axis (or a fifth,
    where the fourth has length 1) holds the channels.

    Raises:
        FileError: it is not a whole NIfTI file, or holds colours, complex numbers or two axes of channels, or
            its affine holds NaN.
        MissingExtraError: nibabel is not installed.
    """
    nibabel = _nibabel()
    stored = check_readable(path, wanted=WANTED)
    with _refused(path, nibabel), path.open("rb") as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if packed else file
        head = stream.read(max(HEADER_SIZES))
        header = _header(path, head, nibabel)
        offset, kind, shape = int(header["vox_offset"]), header.get_data_dtype(), header.get_data_shape()
        _check_kind(path, kind)
        promised = int(np.prod([int(n) for n in shape], dtype=object)) * kind.itemsize
        check_promise(path, promised if shape else 0, stored=stored, ratio=DEFLATE if packed else 1.0)
        check_promise(path, offset, stored=stored, ratio=DEFLATE if packed else 1.0)
        raw = head + stream.read(max(offset + promised - len(head), 0))
        if len(raw) < offset + promised:
            msg = f"{offset + promised} bytes are promised and {len(raw)} are there"
            raise EOFError(msg)
        # the check sum of gzip is only looked at where the stream ends
        stream.read(MOST_BEHIND)
        data = header.data_from_fileobj(io.BytesIO(raw))
    values, space = _channels_first(path, data)
    ndim = values.ndim - 1
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    if not np.isfinite(affine).all():
        msg = f"{path} must say where its voxels lie; its affine holds NaN or infinity; mend its header"
        raise FileError(msg)
    spacing, notes = _spacing(header, ndim)
    return Volume(
        path=path,
        values=values,
        spacing=spacing,
        unit=_unit(header),
        affine=affine,
        kind="nifti",
        header=NiftiHeader(header=header, space=space),
        notes=notes,
    )


def nifti_bytes(values: NDArray[Any], *, like: Volume, packed: bool) -> bytes:
    """The content of a NIfTI file with the affine, spacing, units and codes of another, bit for bit.

    Args:
        values: (*space), or (channels, *space) with one axis more, which are stored as the fourth axis.
        like: a volume of the same space; without a NIfTI header, its spacing alone is written.
        packed: whether by gzip.
    """
    nibabel = _nibabel()
    with quiet(nibabel.imageglobals.logger):
        if isinstance(like.header, NiftiHeader):
            header, space = like.header.header.copy(), like.header.space
        else:
            header, space = _plain_header(like, nibabel), (*like.size, 1)[:3]
        channels = values.shape[:1] if values.ndim > like.ndim else ()
        stored = np.moveaxis(values, 0, -1) if channels else values
        stored = stored.reshape((*space, *channels))
        header.set_data_dtype(stored.dtype)
        header.set_intent("none")
        # what a viewer takes for black and white, of the other file
        header["cal_min"] = header["cal_max"] = 0
        image = (nibabel.Nifti2Image if header.sizeof_hdr == HEADER_SIZES[1] else nibabel.Nifti1Image)(
            stored, None, header
        )
        data = bytes(image.to_bytes())
    return gzip.compress(data, compresslevel=6, mtime=0) if packed else data


def _nibabel() -> ModuleType:
    try:
        import nibabel
    except ImportError as error:
        msg = "NIfTI files are read and written by nibabel; pip install 'upstroke[medical]'"
        raise MissingExtraError(msg) from error
    return nibabel


@contextmanager
def _refused(path: Path, nibabel: ModuleType) -> Iterator[None]:
    """Turn whatever nibabel and gzip say of broken files into one sentence."""
    broken = (nibabel.spatialimages.HeaderDataError, nibabel.spatialimages.HeaderTypeError)
    try:
        with quiet(nibabel.imageglobals.logger):
            yield
    except FileError:
        raise
    except (OSError, EOFError, zlib.error, ValueError, KeyError, OverflowError, *broken) as error:
        msg = f"{path} is not a whole NIfTI file: {first_line(error)}; copy it again"
        raise FileError(msg) from error


def _header(path: Path, head: bytes, nibabel: ModuleType) -> Header:
    """The header, by the number that it begins with, in either order of bytes."""
    kinds = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
    for order in ("little", "big"):
        kind = kinds.get(int.from_bytes(head[:4], order))
        if kind is not None and len(head) >= kind.sizeof_hdr:
            header = kind(head[: kind.sizeof_hdr])
            if header["magic"].item() not in (b"n+1", b"n+2"):
                break
            return header
    msg = f"{path} must be a NIfTI file in one piece (.nii or .nii.gz); it does not begin as one; convert it"
    raise FileError(msg)


def _check_kind(path: Path, kind: np.dtype[Any]) -> None:
    """Refuse voxels that are no single real number."""
    if kind.fields is not None or kind.kind not in "biuf":
        what = (
            "colours (RGB)"
            if kind.fields is not None
            else "complex numbers"
            if kind.kind == "c"
            else str(kind)
        )
        msg = f"{path} must hold one real number per voxel and channel; it holds {what}; convert it"
        raise FileError(msg)


def _channels_first(path: Path, data: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, ...]]:
    """(channels, *space) of what is stored, and the axes of space as stored."""
    space, beyond = data.shape[:3], [size for size in data.shape[3:] if size > 1]
    if len(space) < 2 or len(beyond) > 1:
        msg = f"{path} must have 2 or 3 axes of space and at most one of channels; it is {data.shape}; cut it"
        raise FileError(msg)
    flat = space[:2] if len(space) == 3 and space[2] == 1 else space
    return np.moveaxis(data.reshape((*flat, *(beyond or [1])), order="F"), -1, 0), space


def _spacing(header: Header, ndim: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Voxel sizes, and a note where the file states none that could be."""
    zooms = tuple(float(abs(size)) for size in header.get_zooms()[:ndim])
    if all(np.isfinite(size) and size > 0 for size in zooms):
        return zooms, ()
    return (1.0,) * ndim, ("no usable voxel sizes in the header, taken as 1",)


def _unit(header: Header) -> str:
    """The unit of space in words; NIfTI files that do not say are in millimetres."""
    unit = str(header.get_xyzt_units()[0])
    return "mm" if unit == "unknown" else unit


def _plain_header(like: Volume, nibabel: ModuleType) -> Header:
    """A header that knows voxel sizes alone, for a volume from another kind of file."""
    header = nibabel.Nifti1Header()
    header.set_data_shape((*like.size, 1)[:3])
    header.set_zooms((*like.spacing, 1.0)[:3])
    header.set_xyzt_units(like.unit if like.unit in ("mm", "micron", "meter") else "unknown")
    return header
