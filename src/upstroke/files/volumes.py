"""Pictures and volumes become arrays with their place in space, and masks become files like them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import FileError, OptionError
from upstroke.files.place import check_target, write_atomically
from upstroke.files.readable import check_readable
from upstroke.files.volume import WANTED, Volume, VolumeKind
from upstroke.files.volumes_nifti import nifti_bytes, read_nifti
from upstroke.files.volumes_pictures import COLOUR, pictured_bytes, read_pictured, values_of_colours
from upstroke.files.volumes_tiff import read_tiff, tiff_bytes

__all__ = [
    "COLOUR",
    "SUFFIXES",
    "Volume",
    "VolumeKind",
    "prediction_name",
    "probability_name",
    "read_labels",
    "read_volume",
    "smallest_integers",
    "stem_of",
    "suffix_of",
    "write_labels",
    "write_probabilities",
]

# Longest first: x.nii.gz does not end in .gz alone.
KINDS: dict[str, VolumeKind] = {
    ".nii.gz": "nifti",
    ".nii": "nifti",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".bmp": "bmp",
    ".tiff": "tiff",
    ".tif": "tiff",
}
SUFFIXES = tuple(KINDS)
SUFFIXES_IN_WORDS = ", ".join(SUFFIXES[:-1]) + " or " + SUFFIXES[-1]
# What a JPEG would not keep exactly goes into a PNG, and so does what a BMP has too few bits for.
WRITTEN_AS = {".jpg": ".png", ".jpeg": ".png", ".bmp": ".png"}


def suffix_of(path: Path) -> str:
    """The suffix as it is written in the name, "" where none is known.

    >>> suffix_of(Path("a.b.NII.gz")), suffix_of(Path("notes.txt"))
    ('.NII.gz', '')
    """
    name = path.name
    known = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[len(name) - len(known) :] if len(known) < len(name) else ""


def stem_of(path: Path) -> str:
    """The name without its suffix.

    >>> stem_of(Path("a.b.nii.gz"))
    'a.b'
    """
    return path.name.removesuffix(suffix_of(path)) if suffix_of(path) else path.name


def prediction_name(path: Path) -> str:
    """The name of a mask for an image: its own, or that of a PNG file where its kind does not keep values.

    >>> prediction_name(Path("in/x.nii.gz")), prediction_name(Path("in/x.JPG"))
    ('x.nii.gz', 'x.png')
    """
    suffix = suffix_of(path)
    return stem_of(path) + WRITTEN_AS.get(suffix.lower(), suffix)


def probability_name(path: Path) -> str:
    """The name of the probabilities for an image: NIfTI stays NIfTI, all else is a TIFF stack.

    >>> probability_name(Path("in/x.nii.gz")), probability_name(Path("in/x.JPG"))
    ('x_probabilities.nii.gz', 'x_probabilities.tif')
    """
    suffix = suffix_of(path)
    return f"{stem_of(path)}_probabilities{suffix if KINDS.get(suffix.lower()) == 'nifti' else '.tif'}"


def smallest_integers(least: int, most: int) -> np.dtype[Any]:
    """The smallest kind of integers that holds both: unsigned where neither is negative.

    >>> smallest_integers(0, 255), smallest_integers(-1, 3), smallest_integers(0, 256)
    (dtype('uint8'), dtype('int8'), dtype('uint16'))
    """
    sign = "u" if least >= 0 else ""
    kinds = [f"{sign}int{bits}" for bits in (8, 16, 32)]
    fits = [kind for kind in kinds if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max]
    return np.dtype(fits[0] if fits else "int64")


def read_volume(path: Path) -> Volume:
    """Read a picture or a volume as it is stored.

    Raises:
        FileError: it cannot be read, is damaged, or is of a kind that is not known; the sentence says which.
        MissingExtraError: the package that reads its kind is not installed.
    """
    kind = _kind_of(path)
    if kind == "nifti":
        return read_nifti(path)
    return read_tiff(path) if kind == "tiff" else read_pictured(path)


def read_labels(path: Path) -> Volume:
    """Read a mask: whole numbers, (1, *space), as they stand in the file.

    Pictures with a palette keep its indices. In a picture with colours every colour is a label: greys
    their level, others `COLOUR` + 0xRRGGBB.

    Raises:
        FileError: as `read_volume`; also for JPEG files, whose values are not kept exactly, for several
            channels, and for values that are not whole.
        MissingExtraError: as `read_volume`.
    """
    kind = _kind_of(path)
    if kind == "nifti":
        volume = read_nifti(path)
    else:
        volume = read_tiff(path) if kind == "tiff" else read_pictured(path, as_labels=True)
    if volume.kind == "jpeg":
        msg = (
            f"{path} must be a mask; JPEG does not keep its values exactly; save masks as PNG, TIFF or NIfTI"
        )
        raise FileError(msg)
    values = volume.values
    if len(values) == 3 and kind != "nifti" and values.dtype == np.uint8:
        values = values_of_colours(values)[np.newaxis]
    if len(values) != 1:
        msg = (
            f"{path} must be a mask, one value per voxel; it has {len(values)} channels; write class numbers"
        )
        raise FileError(msg)
    return _with_values(volume, _whole(path, values))


def write_labels(
    path: Path, labels: NDArray[np.integer[Any]], *, like: Volume, overwrite: bool = False
) -> None:
    """Write a mask beside the image it belongs to, as a whole or not at all.

    NIfTI files have the affine, spacing, units and codes of the image, bit for bit; TIFF files its spacing.

    Args:
        path: its suffix says what is written; `prediction_name` gives one that fits.
        labels: values, (*space) of the image, which are stored as the smallest integers that hold them.
        like: the image.
        overwrite: whether a file that is there may be replaced.

    Raises:
        FileError: it cannot be written there, or this kind of file does not hold such values.
        OptionError: the labels are not of the image's size.
    """
    check_target(path, overwrite=overwrite)
    if labels.shape != like.size:
        msg = f"labels for {like.path} must have its size, {like.size}; got {labels.shape}; predict on it"
        raise OptionError(msg)
    kind = _kind_of(path)
    _check_holds(path, labels, kind)
    smallest = labels.astype(smallest_integers(int(labels.min(initial=0)), int(labels.max(initial=0))))
    if kind == "nifti":
        data = nifti_bytes(smallest, like=like, packed=path.name.lower().endswith(".gz"))
    elif kind == "tiff":
        data = tiff_bytes(smallest, like=like)
    else:
        data = pictured_bytes(smallest)
    write_atomically(path, data, overwrite=overwrite)


def write_probabilities(
    path: Path, probabilities: NDArray[np.floating[Any]], *, like: Volume, overwrite: bool = False
) -> None:
    """Write (classes, *space) as float32: the fourth axis of a NIfTI file, or the channels of a TIFF file.

    Raises:
        FileError: it cannot be written there, or the name is that of another kind of file.
        OptionError: they are not of the image's size.
    """
    check_target(path, overwrite=overwrite)
    if probabilities.shape[1:] != like.size:
        msg = f"probabilities for {like.path} must be (classes, *{like.size}); got {probabilities.shape}"
        raise OptionError(msg)
    kind = _kind_of(path)
    if kind not in ("nifti", "tiff"):
        msg = f"{path} cannot hold probabilities, which have fractions; name a .nii.gz or .tif file"
        raise FileError(msg)
    values = probabilities.astype(np.float32)
    if kind == "nifti":
        data = nifti_bytes(values, like=like, packed=path.name.lower().endswith(".gz"))
    else:
        data = tiff_bytes(values, like=like)
    write_atomically(path, data, overwrite=overwrite)


def _kind_of(path: Path) -> VolumeKind:
    kind = KINDS.get(suffix_of(path).lower())
    if kind is None:
        if not path.exists() or path.is_dir():
            check_readable(path, wanted=WANTED)
        msg = f"{path} must be {WANTED}; its name ends in none of {SUFFIXES_IN_WORDS}; convert it"
        raise FileError(msg)
    return kind


def _with_values(volume: Volume, values: NDArray[Any]) -> Volume:
    return replace(volume, values=values)


def _whole(path: Path, values: NDArray[Any]) -> NDArray[np.integer[Any]]:
    """Values as whole numbers; refused where they are none."""
    if values.dtype.kind in "biu":
        return values if values.dtype.kind != "b" else values.astype(np.uint8)
    finite = np.isfinite(values)
    if not finite.all() or (values != np.round(values)).any() or np.abs(values).max(initial=0) >= 2**53:
        wrong = values[~finite | (values != np.round(values))]
        what = f"{wrong.size} others, {wrong.flat[0]:g} the first" if wrong.size else "numbers beyond 2^53"
        msg = f"{path} must be a mask of whole numbers; it holds {what}; write class numbers"
        raise FileError(msg)
    return values.astype(np.int64)


def _check_holds(path: Path, labels: NDArray[np.integer[Any]], kind: VolumeKind) -> None:
    """Refuse values and axes that a kind of file cannot hold."""
    if kind in ("jpeg", "bmp"):
        msg = (
            f"{path} cannot hold a mask, whose values must be kept exactly; name a .png, .tif or .nii.gz file"
        )
        raise FileError(msg)
    if kind != "png":
        return
    if labels.ndim != 2:
        msg = f"{path} cannot hold a mask with {labels.ndim} axes; name a .tif or .nii.gz file"
        raise FileError(msg)
    least, most = int(labels.min(initial=0)), int(labels.max(initial=0))
    of_colours = bool(np.all((labels < 256) | (labels >= COLOUR))) and most < 2 * COLOUR
    if least < 0 or (most >= 2**16 and not of_colours):
        msg = f"{path} holds values of 0 to 65535 or colours; got {least} to {most}; name a .tif or .nii.gz"
        raise FileError(msg)
