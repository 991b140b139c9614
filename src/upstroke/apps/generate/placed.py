"""Latent vectors become pictures in one sheet, or in a folder with a file for each."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy
from jaxtyping import Float, UInt8
from torch import Tensor

from upstroke.apps.generate.model import Model
from upstroke.apps.generate.sheets import GAP, columns_for, sheet
from upstroke.errors import FileError, OptionError
from upstroke.files.folder import check_folder, write_folder
from upstroke.files.place import check_target, write_atomically
from upstroke.files.png import png_bytes

__all__ = ["Place", "check_share", "place_for"]

# Pictures that are drawn between two words about how far it is.
PART = 64
# Pixels of a sheet: what opens pictures takes more for an attack.
MOST_PIXELS = 2**26
# Pictures; more files in a folder are slow everywhere.
MOST_PICTURES = 10**6
DIGITS = 6
NAME = re.compile(r"\d{6,}\.png")
OTHERS = {
    ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".svg", ".pdf", ".npy", ".npz", ".zip", ".mp4",
}  # fmt: skip

Told = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where pictures go.

    Attributes:
        path: of a sheet or a folder.
        kind: which of the two.
        overwrite: whether it may replace what is there.
    """

    path: Path
    kind: Literal["sheet", "folder"]
    overwrite: bool

    def check(self, count: int, picture: tuple[int, int, int], *, columns: int | None) -> None:
        """Refuse before any work as many pictures of this size as do not fit.

        Raises:
            OptionError: too many, or columns for a folder.
        """
        if count > MOST_PICTURES:
            msg = f"at most {MOST_PICTURES:,} pictures are drawn at once; got {count:,}; draw them in parts"
            raise OptionError(msg)
        if self.kind == "folder":
            if columns is not None:
                msg = (
                    f"columns are those of a sheet; got {columns} and the folder {self.path}; leave them out"
                )
                raise OptionError(msg)
            return
        if columns is not None and columns < 1:
            msg = f"a sheet must have 1 or more columns; got {columns}"
            raise OptionError(msg)
        columns = min(count, columns or columns_for(count))
        _, *size = picture
        high, wide = (
            times * (n + GAP) - GAP for times, n in zip((-(-count // columns), columns), size, strict=True)
        )
        if high * wide > MOST_PIXELS:
            msg = (
                f"a sheet may have at most {MOST_PIXELS:,} pixels; {count:,} pictures would make "
                f"{high:,}x{wide:,}; name a folder, which gets a file for each"
            )
            raise OptionError(msg)

    def write(
        self,
        model: Model,
        z: Callable[[slice], Float[Tensor, "n latent"]],
        names: Sequence[int],
        *,
        columns: int | None = None,
        told: Told | None = None,
    ) -> tuple[int, int] | None:
        """Draw pictures and write them, whole or not at all.

        Args:
            model: what draws.
            z: gives latent vectors by their place in the row.
            names: a number for each, by which its file is named.
            columns: of a sheet; about as many as rows unless given.
            told: is told how many are drawn, and of how many.

        Returns:
            rows and columns of the sheet in pixels; None for a folder.
        """
        drawn = _drawn(model, z, len(names), told or (lambda done, count: None))
        if self.kind == "folder":
            digits = max(DIGITS, len(str(max(names))))
            named = zip(names, drawn, strict=True)
            files = ((f"{number:0{digits}d}.png", png_bytes(_last(picture))) for number, picture in named)
            write_folder(self.path, files, overwrite=self.overwrite, is_ours=_is_ours)
            return None
        made = sheet(numpy.stack(list(drawn)), columns=columns)
        write_atomically(self.path, png_bytes(made), overwrite=self.overwrite)
        return made.shape[0], made.shape[1]


def place_for(out: str | Path, *, overwrite: bool) -> Place:
    """A sheet where the name ends in .png, else a folder; refused where it cannot be written.

    Raises:
        FileError: it cannot be written, or its name says another kind of file.
    """
    path = Path(out)
    ending = path.suffix.lower()
    if ending in OTHERS:
        msg = (
            f"pictures are written as PNG; got {path}; name it {path.stem}.png for a sheet, or name a folder"
        )
        raise FileError(msg)
    if ending == ".png":
        check_target(path, overwrite=overwrite)
        return Place(path=path, kind="sheet", overwrite=overwrite)
    check_folder(path, overwrite=overwrite, is_ours=_is_ours)
    return Place(path=path, kind="folder", overwrite=overwrite)


def check_share(truncate: int | float | None) -> float:
    """The share of their lengths that latent vectors keep: all unless given.

    Raises:
        OptionError: it is no share.

    >>> check_share(None), check_share(0.7)
    (1.0, 0.7)
    """
    if truncate is None:
        return 1.0
    if not 0 <= truncate <= 1:
        msg = f"truncate is the share of its length that a latent vector keeps, from 0 to 1; got {truncate:g}"
        raise OptionError(msg)
    return float(truncate)


def _drawn(
    model: Model, z: Callable[[slice], Float[Tensor, "n latent"]], count: int, told: Told
) -> Iterator[UInt8[numpy.ndarray, "channels size size"]]:
    """One picture after the other."""
    told(0, count)
    for start in range(0, count, PART):
        part = slice(start, min(start + PART, count))
        yield from model.draw(z(part))
        told(part.stop, count)


def _last(picture: UInt8[numpy.ndarray, "channels size size"]) -> UInt8[numpy.ndarray, "size size channels"]:
    return numpy.moveaxis(picture, 0, -1)


def _is_ours(name: str) -> bool:
    return NAME.fullmatch(name) is not None
