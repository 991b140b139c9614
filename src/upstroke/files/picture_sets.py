"""A folder or a zip of pictures becomes a list of what it holds, to be read one by one."""

import errno
import lzma
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Literal
from zipfile import ZipInfo

from upstroke.errors import FileError
from upstroke.files.coloured_pictures import SUFFIXES, ColouredPicture, read_coloured
from upstroke.files.natural import natural
from upstroke.files.pictures import Skipped

__all__ = ["PictureSet", "find_pictures"]

WANTED = "must be a folder of pictures, or a zip of them"
KINDS = "PNG, JPEG, BMP, WebP, GIF or TIFF"
# What systems keep beside pictures: resource forks of macOS, thumbnails of Synology.
NOT_THEIRS = {"__MACOSX", "@eaDir"}
# Three bytes for each of the most pixels that pillow unpacks without a warning.
MOST_BYTES = 2**28
ENCRYPTED = 0x1
# Of these no more is unpacked at a time than is asked for; a few bytes of bzip2 or LZMA can become gigabytes.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What reading a broken zip raises, depending on where it is broken.
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(RuntimeError, ValueError, IndexError, OverflowError, UnicodeError),
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A picture that is there: its name below the folder or in the zip, and where it is."""

    name: str
    place: Path | ZipInfo


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """The pictures of a folder or a zip, by name; none of them is read yet.

    Attributes:
        path: of the folder or the zip.
        kind: which of the two it is.
        entries: in natural order of their names, 2 before 10.
        closed: folders that could not be listed, and why.
        others: suffixes of files that are not called like pictures, and how many there are of each.
    """

    path: Path
    kind: Literal["folder", "zip"]
    entries: tuple[Entry, ...]
    closed: tuple[Skipped, ...] = ()
    others: tuple[tuple[str, int], ...] = ()

    def __len__(self) -> int:
        """How many files are called like pictures."""
        return len(self.entries)

    def read(self, *, at_least: int | None = None) -> Iterator[ColouredPicture | Skipped]:
        """Each file in turn, as a picture or with the reason why not; at most one is in memory.

        Nothing of a zip is written to disk.

        Args:
            at_least: see `read_coloured`.
        """
        if self.kind == "folder":
            for entry in self.entries:
                yield _read(entry.place, entry.name, at_least)
            return
        with _opened(self.path) as archive:
            for entry in self.entries:
                stored = _unpacked(archive, entry)
                yield stored if isinstance(stored, Skipped) else _read(stored, entry.name, at_least)


def find_pictures(path: Path) -> PictureSet:
    """List the pictures of a folder, those of folders in it too, or of a zip.

    Files count by their names' endings; hidden ones, and those of systems, are passed over.

    Raises:
        FileError: there is neither, it cannot be read, or no file in it is called like a picture.
    """
    try:
        if path.is_dir():
            found = _of_folder(path)
        else:
            _check_zip(path)
            found = _of_zip(path)
    except FileError:
        raise
    except (OSError, ValueError) as error:
        msg = f"{path} {WANTED}; it could not be read: {_reason(error)}"
        raise FileError(msg) from error
    if not found.entries:
        msg = f"{path} must hold pictures ({KINDS}); {_instead(found)}"
        raise FileError(msg)
    return found


def _of_folder(folder: Path) -> PictureSet:
    entries: list[Entry] = []
    others: Counter[str] = Counter()
    closed: list[Skipped] = []

    def not_listed(error: OSError) -> None:
        if error.filename == str(folder):
            raise error
        name = _visible(Path(error.filename).relative_to(folder).as_posix())
        closed.append(Skipped(file=name, reason=f"{name} could not be listed: {_reason(error)}"))

    seen = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=not_listed):
        # a link may lead back to a folder above it
        seen.add(os.path.realpath(root))
        folders[:] = [
            name
            for name in folders
            if not _passed_over(name) and os.path.realpath(os.path.join(root, name)) not in seen
        ]
        for file in files:
            place = Path(root, file)
            _sort_in(place.relative_to(folder).as_posix(), place, entries, others)
    return _set(folder, "folder", entries, others, closed)


def _of_zip(path: Path) -> PictureSet:
    entries: list[Entry] = []
    others: Counter[str] = Counter()
    with _opened(path) as archive:
        infos = archive.infolist()
    for info in infos:
        if not info.is_dir():
            _sort_in(_harmless(info.filename), info, entries, others)
    return _set(path, "zip", entries, others, [])


def _set(
    path: Path,
    kind: Literal["folder", "zip"],
    entries: list[Entry],
    others: Counter[str],
    closed: list[Skipped],
) -> PictureSet:
    return PictureSet(
        path=path,
        kind=kind,
        entries=tuple(sorted(entries, key=lambda entry: [natural(part) for part in entry.name.split("/")])),
        closed=tuple(closed),
        others=tuple(sorted(others.items(), key=lambda pair: (-pair[1], pair[0]))),
    )


def _sort_in(name: str, place: Path | ZipInfo, entries: list[Entry], others: Counter[str]) -> None:
    """Count a file as a picture, as something else, or not at all, by its name."""
    if any(map(_passed_over, name.split("/"))):
        return
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in SUFFIXES:
        entries.append(Entry(name=_visible(name), place=place))
    else:
        others[_visible(suffix)] += 1


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name in NOT_THEIRS


def _harmless(name: str) -> str:
    r"""The name of an entry as a path that leads nowhere but down, though nothing is ever written there.

    >>> _harmless("../../etc/a.png"), _harmless("/etc/a.png"), _harmless("C:\\faces\\a.png")
    ('etc/a.png', 'etc/a.png', 'faces/a.png')
    """
    parts = re.sub(r"^[A-Za-z]:", "", name.replace("\\", "/")).split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def _visible(name: str) -> str:
    """On one line, whatever characters a name has."""
    return name if name.isprintable() else repr(name)[1:-1]


def _check_zip(path: Path) -> None:
    """Refuse what is not there, what might never end, and what does not begin as a zip does."""
    if not path.exists():
        msg = f"{path} {WANTED}; there is no such file"
        raise FileError(msg)
    if not path.is_file():
        msg = f"{path} {WANTED}; it is a device or a pipe"
        raise FileError(msg)
    with path.open("rb") as file:
        head = file.read(4)
    if head in (b"PK\x03\x04", b"PK\x05\x06"):
        return
    msg = f"{path} {WANTED}; it is a file of another kind"
    raise FileError(_no_zip(path) if path.suffix.lower() == ".zip" else msg)


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except BROKEN as error:
        # an OSError with a number is of the system, one without is about what the file says
        system = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
        msg = f"{path} {WANTED}; it could not be read: {_reason(error)}"
        raise FileError(msg if system else _no_zip(path)) from error


def _no_zip(path: Path) -> str:
    return f"{path} {WANTED}; it is not a whole zip, so copy it again"


def _instead(found: PictureSet) -> str:
    """What a set without pictures has."""
    if found.closed:
        return f"its folder {found.closed[0].reason}"
    if not found.others:
        return "it has no files, or hidden ones alone"
    count = sum(count for _, count in found.others)
    kinds = ", ".join(f"{each} {suffix or 'without ending'}" for suffix, each in found.others[:3])
    more = " and more" if len(found.others) > 3 else ""
    return f"none of its {count} files is called like one ({kinds}{more})"


def _unpacked(archive: zipfile.ZipFile, entry: Entry) -> BytesIO | Skipped:
    """The bytes of an entry; what it says of itself is looked at before."""
    info, name = entry.place, entry.name
    assert isinstance(info, ZipInfo)
    if info.flag_bits & ENCRYPTED:
        return Skipped(file=name, reason=f"{name} is encrypted; unpack the zip and give the folder")
    if info.compress_type not in METHODS:
        way = f"method {info.compress_type}, not as most zips are"
        return Skipped(file=name, reason=f"{name} is packed by {way}; unpack it and give the folder")
    if info.file_size > MOST_BYTES:
        reason = f"{name} would unpack to {info.file_size} bytes; a picture may have {MOST_BYTES}"
        return Skipped(file=name, reason=reason)
    if info.file_size == 0:
        return Skipped(file=name, reason=f"{name} must be a picture; it is empty (0 bytes); copy it again")
    try:
        with archive.open(info) as file:
            # with a number, because without one all is unpacked first, whatever the entry says of itself
            return BytesIO(file.read(info.file_size))
    except BROKEN as error:
        return Skipped(file=name, reason=f"{name} cannot be unpacked: {_reason(error)}")


def _read(source: Path | ZipInfo | BytesIO, name: str, at_least: int | None) -> ColouredPicture | Skipped:
    assert not isinstance(source, ZipInfo)
    try:
        return read_coloured(source, name=name, at_least=at_least)
    except FileError as error:
        return Skipped(file=name, reason=str(error))


def _reason(error: BaseException) -> str:
    words = " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".")
    return _visible(words[:1].lower() + words[1:] or type(error).__name__)
