"""Put bytes or text at a path so that nobody ever sees half of them."""

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from upstroke.errors import FileError

__all__ = ["check_target", "refuse_parts", "write_atomically", "write_together"]

REMEDIES = {
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "choose a folder you may write to",
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "free some space or choose another disk",
    errno.EFBIG: "choose a disk, or a limit of the shell (ulimit -f), that allows such files",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def write_atomically(path: str | Path, data: bytes | str, *, overwrite: bool = False) -> None:
    """Write a file as a whole or not at all; text is written as UTF-8 with the line ends it has.

    1. Refuse what cannot be: a missing folder, a folder or a device for a file, a file that must stay.
    2. Write beside the target, under a name nobody else uses, and flush it to the disk.
    3. Move it into place, which is one step for the file system; on any failure remove it.

    A file that is replaced keeps its permissions, and a symbolic link stays a link to the new content.
    """
    write_together({Path(path): [data.encode() if isinstance(data, str) else data]}, overwrite=overwrite)


def write_together(files: Mapping[Path, Iterable[bytes]], *, overwrite: bool = False) -> None:
    """Write files that belong together, each as `write_atomically` does: all of them, or none.

    All are written before the first is moved into place, in the order given; where one cannot be moved, those
    before it are taken back, and what they replaced stands there again.

    Args:
        files: what goes where, piece by piece.
        overwrite: whether files that are there may be replaced.
    """
    for path in files:
        check_target(path, overwrite=overwrite)
    with ExitStack() as undo:
        staged = [(path, _staged(path, pieces, undo)) for path, pieces in files.items()]
        *ahead, (last, beside) = staged
        replaced = [_moved(path, other, undo) for path, other in ahead]
        with _said(last):
            os.replace(beside, os.path.realpath(last))
        undo.pop_all()
    for old in filter(None, replaced):
        old.unlink(missing_ok=True)
    for folder in dict.fromkeys(Path(os.path.realpath(path)).parent for path in files):
        with _said(last):
            _flush_folder(folder)


def _staged(path: Path, pieces: Iterable[bytes], undo: ExitStack) -> Path:
    """Write a file beside its target; its path."""
    target = Path(os.path.realpath(path))
    beside = _beside(target)
    with _said(path):
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        undo.callback(beside.unlink, missing_ok=True)
        _write_through(descriptor, pieces)
        if os.path.isfile(target):
            beside.chmod(stat.S_IMODE(target.stat().st_mode))
    return beside


def _moved(path: Path, beside: Path, undo: ExitStack) -> Path | None:
    """Move a file into place so that it can be taken back; where the file that it replaces stands now."""
    target, old = Path(os.path.realpath(path)), None
    with _said(path):
        if os.path.exists(target):
            old = _beside(target)
            os.replace(target, old)
            undo.callback(os.replace, old, target)
        else:
            undo.callback(target.unlink, missing_ok=True)
        os.replace(beside, target)
    return old


def _beside(target: Path) -> Path:
    return target.parent / f".upstroke-{secrets.token_hex(8)}.tmp"


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """Turn what the system says into one sentence."""
    try:
        yield
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
    if not os.access(target.parent, os.W_OK):
        message = f"cannot write {path}: {os.strerror(errno.EACCES)}; {REMEDIES[errno.EACCES]}"
        raise FileError(message)
    if not overwrite and os.path.exists(target):
        message = f"cannot write {path}: it exists already; choose another name or allow overwriting"
        raise FileError(message)


def _write_through(descriptor: int, pieces: Iterable[bytes]) -> None:
    """Write to an open file, close it and wait until the disk has it."""
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(pieces)
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


def refuse_parts(folder: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Refuse before any work to write parts of these names into a folder that has some already.

    Raises:
        FileError: one is there, and may not be replaced.
    """
    there = [name for name in names if os.path.lexists(folder / name)]
    if there and not overwrite:
        msg = (
            f"cannot write into {folder}: {', '.join(there)} exist already; choose another folder or allow "
            "overwriting"
        )
        raise FileError(msg)
