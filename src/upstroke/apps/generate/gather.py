"""A folder or a zip of pictures becomes one array of squares and an account of what was there."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy
from jaxtyping import UInt8

from upstroke.apps.generate.fitting import FITS, Fit, fitted, is_enlarged
from upstroke.errors import FileError, OptionError
from upstroke.files.coloured_pictures import ColouredPicture, without_colourless
from upstroke.files.picture_sets import PictureSet, find_pictures
from upstroke.files.pictures import Skipped

__all__ = ["LEAST", "Gathered", "Sizes", "gather"]

# A discriminator knows fewer by heart after some dozen steps, before a generator has learned from it.
LEAST = 16
# What is enlarged more than so many times is a blur with nothing in it to learn.
MOST_ENLARGED = 8
# JPEG files are read at no less than so many times the size that they are shrunk to: the little that they are
# shrunk by means of squares before is then far below the detail that is kept.
READ_AT = 4
# Weights of red, green and blue in grey, in 65536ths, as pillow and JPEG have them.
RED, GREEN, BLUE = 19595, 38470, 7471


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Rows and columns of the pictures in their files: each number's least, median and largest."""

    least: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]

    def as_json(self) -> dict[str, list[int]]:
        """Plain data."""
        return {"least": list(self.least), "median": list(self.median), "largest": list(self.largest)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """Pictures as they are trained on, and what became of the rest.

    Attributes:
        pictures: levels, one channel or red, green and blue.
        names: of their files, below the folder or in the zip, in the same order.
        fit: how they became square.
        sizes: that the files have.
        enlarged: how many were smaller than the squares.
        formats: how many files there were of each, by content.
        skipped: files that could not be read, or folders, and why.
        others: endings of files that are not called like pictures, and how many.
        repeated: how many squares are equal to one before them, pixel by pixel.
        notes: what was decided on reading, with the number of pictures.
    """

    pictures: UInt8[numpy.ndarray, "n channels size size"]
    names: tuple[str, ...]
    fit: Fit
    sizes: Sizes
    enlarged: int
    formats: tuple[tuple[str, int], ...]
    skipped: tuple[Skipped, ...]
    others: tuple[tuple[str, int], ...]
    repeated: int
    notes: tuple[str, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The folder of each picture below the data, "" where it lies in none."""
        return tuple(name.rpartition("/")[0] for name in self.names)

    def as_json(self) -> dict[str, Any]:
        """Plain data, without the pictures."""
        count, channels, size, _ = self.pictures.shape
        return {
            "pictures": count,
            "channels": channels,
            "size": size,
            "fit": self.fit,
            "sizes": self.sizes.as_json(),
            "enlarged": self.enlarged,
            "formats": dict(self.formats),
            "skipped": [{"file": each.file, "reason": each.reason} for each in self.skipped],
            "others": dict(self.others),
            "repeated": self.repeated,
            "notes": list(self.notes),
        }


@dataclass
class _Seen:
    """What has been read so far."""

    squares: list[UInt8[numpy.ndarray, "size size channels"]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    enlarged: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    skipped: list[Skipped] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    hashes: set[bytes] = field(default_factory=set)


def gather(
    data: Path,
    *,
    size: int,
    fit: Fit = "crop",
    channels: int | None = None,
    memory: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Gathered:
    """Read all pictures of a folder or a zip, one at a time, and make each a square of this size.

    Args:
        data: the folder or the zip.
        size: rows and columns of the squares.
        fit: see `fitted`.
        channels: 1 for grey, 3 for red, green and blue; None: 1 if all pictures are grey, else 3.
        memory: bytes that the squares may take; None: half of the machine's.
        progress: is told how many files are done, and of how many.

    Raises:
        FileError: there are no pictures, too few that differ, or more than half cannot be read.
        OptionError: a number has no meaning, or the squares take too much memory.
        MissingExtraError: pillow is not installed.
    """
    _check(size, fit, channels)
    found = find_pictures(data)
    memory = _half_of_memory() if memory is None else memory
    _check_memory(found, size=size, channels=channels or 1, memory=memory)
    seen = _Seen()
    at_least = size * READ_AT
    coloured = False
    for done, each in enumerate(found.read(at_least=at_least), start=1):
        if isinstance(each, Skipped):
            seen.skipped.append(each)
        else:
            _add(seen, each, size=size, fit=fit, channels=channels)
            if not coloured and seen.squares and seen.squares[-1].shape[-1] == 3:
                coloured = True
                _check_memory(found, size=size, channels=3, memory=memory)
        if progress is not None:
            progress(done, len(found))
    _check_enough(found, seen)
    return _gathered(found, seen, size=size, fit=fit, channels=channels or (3 if coloured else 1))


def _add(seen: _Seen, picture: ColouredPicture, *, size: int, fit: Fit, channels: int | None) -> None:
    """Count a picture and keep its square, or skip one in which nothing would be seen."""
    if min(picture.size) * MOST_ENLARGED < size:
        least = -(-size // MOST_ENLARGED)
        shape = f"{picture.size[1]} x {picture.size[0]} pixels"
        reason = f"{picture.file} has {shape}; to be seen at {size} it needs {least} on either side"
        seen.skipped.append(Skipped(file=picture.file, reason=reason))
        return
    pixels, notes = picture.pixels, picture.notes
    if channels == 1 and pixels.shape[2] == 3:
        pixels, notes = _grey(pixels), (*notes, "colours left out")
    # a frame in colour may have been cut away
    square = numpy.ascontiguousarray(without_colourless(fitted(pixels, size=size, fit=fit)))
    seen.hashes.add(blake2b(square.tobytes(), digest_size=16).digest())
    seen.squares.append(square)
    seen.names.append(picture.file)
    seen.sizes.append(picture.size)
    seen.enlarged += is_enlarged(picture.size, size=size, fit=fit)
    seen.formats[picture.format] += 1
    seen.notes.update(notes)


def _grey(
    pixels: UInt8[numpy.ndarray, "height width 3"],
) -> UInt8[numpy.ndarray, "height width 1"]:
    red, green, blue = numpy.moveaxis(pixels.astype(numpy.uint32), 2, 0)
    levels = (red * RED + green * GREEN + blue * BLUE + 2**15) >> 16
    grey: UInt8[numpy.ndarray, "height width 1"] = levels.astype(numpy.uint8)[:, :, None]
    return grey


def _gathered(found: PictureSet, seen: _Seen, *, size: int, fit: Fit, channels: int) -> Gathered:
    count = len(seen.squares)
    pictures = numpy.empty((count, channels, size, size), numpy.uint8)
    # from the end, so that squares go as their places in the array are filled
    for index in range(count - 1, -1, -1):
        pictures[index] = numpy.moveaxis(seen.squares.pop(), 2, 0)
    notes = [f"{words} ({times} of {count})" for words, times in seen.notes.most_common()]
    return Gathered(
        pictures=pictures,
        names=tuple(seen.names),
        fit=fit,
        sizes=_sizes(seen.sizes),
        enlarged=seen.enlarged,
        formats=tuple(seen.formats.most_common()),
        skipped=(*found.closed, *seen.skipped),
        others=found.others,
        repeated=count - len(seen.hashes),
        notes=tuple(notes),
    )


def _sizes(sizes: list[tuple[int, int]]) -> Sizes:
    """Of rows and of columns by themselves; the median is one of them."""
    rows, columns = (sorted(each) for each in zip(*sizes, strict=True))
    middle = (len(rows) - 1) // 2
    return Sizes(
        least=(rows[0], columns[0]),
        median=(rows[middle], columns[middle]),
        largest=(rows[-1], columns[-1]),
    )


def _check(size: int, fit: Fit, channels: int | None) -> None:
    if size < 1:
        msg = f"size must be 1 or more pixels; got {size}"
        raise OptionError(msg)
    if fit not in FITS:
        msg = f"fit is one of {', '.join(FITS)}; got {fit!r}"
        raise OptionError(msg)
    if channels not in (None, 1, 3):
        msg = f"channels is 1 for grey or 3 for red, green and blue; got {channels}"
        raise OptionError(msg)


def _check_memory(found: PictureSet, *, size: int, channels: int, memory: int) -> None:
    needed = len(found) * channels * size**2
    if needed > memory:
        msg = (
            f"the {len(found)} pictures of {found.path} take {needed} bytes at {size} x {size} pixels, and "
            f"{memory} may be used; give fewer, or a smaller size"
        )
        raise OptionError(msg)


def _half_of_memory() -> int:
    if not hasattr(os, "sysconf"):
        return 2**32
    return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES")) // 2


def _check_enough(found: PictureSet, seen: _Seen) -> None:
    """Refuse data of which little is left, and data in which there is too little to learn."""
    count, failed = len(seen.squares), len(seen.skipped)
    if 2 * failed > len(found):
        msg = f"{found.path}: {failed} of its {len(found)} pictures cannot be used: {seen.skipped[0].reason}"
        if failed > 1:
            msg += f"; {seen.skipped[1].reason}" + ("; and more" if failed > 2 else "")
        raise FileError(msg)
    different = len(seen.hashes)
    if different == 1 and count > 1:
        msg = (
            f"{found.path} must hold different pictures; its {count} are all one and the same, "
            f"{seen.names[0]}; a generator would learn that one"
        )
        raise FileError(msg)
    if different < LEAST:
        repeated = f", of which {different} differ" if different < count else ""
        skipped = f" and {failed} that cannot be used" if failed else ""
        held = f"{count} picture{'s' * (count != 1)}"
        msg = (
            f"{found.path} must hold {LEAST} different pictures or more, since fewer are learned by heart; "
            f"it holds {held}{repeated}{skipped}"
        )
        raise FileError(msg)
