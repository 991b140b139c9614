"""Put bytes or text at a path so that nobody ever sees half of them."""

import errno
import os
import secrets
import stat
from pathlib import Path

from upstroke.errors import FileError

__all__ = ["check_target", "write_atomically"]

REMEDIES = {
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "choose a folder you may write to",
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "free some space or choose another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def write_atomically(path: str | Path, data: bytes | str, *, overwrite: bool = False) -> None:
    """Write a file as a whole or not at all; text is written as UTF-8 with the line ends it has.

    1. Refuse what cannot be: a missing folder, a folder or a device for a file, a file that must stay.
    2. Write beside the target, under a name nobody else uses, and flush it to the disk.
    3. Move it into place, which is one step for the file system; on any failure remove it.

    A file that is replaced keeps its permissions, and a symbolic link stays a link to the new content.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    check_target(path, overwrite=overwrite)
    beside = target.parent / f".upstroke-{secrets.token_hex(8)}.tmp"
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            _write_through(descriptor, data.encode() if isinstance(data, str) else data)
            if os.path.isfile(target):
                beside.chmod(stat.S_IMODE(target.stat().st_mode))
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
        _flush_folder(target.parent)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = REMEDIES.get(error.errno or 0, "choose another place")
        message = f"cannot write {path}: {reason}; {remedy}"
        raise FileError(message) from error


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a target that cannot be written: no folder for it, a folder, a device, a file that must stay."""
    target = Path(os.path.realpath(path))
    # os.path answers no where pathlib raises, for instance for names that are too long.
    if not os.path.isdir(target.parent):
        message = f"cannot write {path}: the folder {path.parent} does not exist; create it first"
        raise FileError(message)
    if os.path.isdir(target):
        message = f"cannot write {path}: it is a folder; name a file inside it"
        raise FileError(message)
    # /dev/stdout leads through /proc to a pipe, or a deleted file, that has no path of its own
    if os.path.exists(path) and not os.path.isfile(target):
        message = f"cannot write {path}: it is a device or a pipe, not a file; name a file"
        raise FileError(message)
    if not overwrite and os.path.exists(target):
        message = f"cannot write {path}: it exists already; choose another name or allow overwriting"
        raise FileError(message)


def _write_through(descriptor: int, data: bytes) -> None:
    """Write to an open file, close it and wait until the disk has it."""
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where the system can flush folders."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
