"""Files by name become a folder, which stands there whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from upstroke.errors import FileError
from upstroke.files.place import REMEDIES

__all__ = ["check_folder", "write_folder"]


def check_folder(path: Path, *, overwrite: bool, is_ours: Callable[[str], bool]) -> None:
    """Refuse before any work a folder that could not be written after it.

    Args:
        path: of the folder; one that is there and empty may always be filled.
        overwrite: whether one that is there may be replaced, if all names in it are ours.
        is_ours: whether a file of this name may be replaced.

    Raises:
        FileError: no folder for it, a file in its place, or what must stay.
    """
    target = Path(os.path.realpath(path))
    if not os.path.isdir(target.parent):
        msg = f"cannot write {path}: the folder {path.parent} does not exist; create it first"
        raise FileError(msg)
    if not os.access(target.parent, os.W_OK):
        msg = f"cannot write {path}: Permission denied; choose a folder you may write to"
        raise FileError(msg)
    if not os.path.lexists(target):
        return
    if not os.path.isdir(target):
        msg = f"cannot write {path}: it is a file, and pictures by number need a folder; choose another name"
        raise FileError(msg)
    names = sorted(each.name for each in os.scandir(target))
    if names and not overwrite:
        msg = (
            f"cannot write {path}: it is a folder with files in it; choose another name or allow overwriting"
        )
        raise FileError(msg)
    kept = next((name for name in names if not is_ours(name) or (target / name).is_dir()), None)
    if kept is not None:
        msg = f"cannot write {path}: {kept}, which is there, is none of its pictures; choose another name"
        raise FileError(msg)


def write_folder(
    path: Path,
    files: Iterable[tuple[str, bytes]],
    *,
    overwrite: bool = False,
    is_ours: Callable[[str], bool],
) -> None:
    """Write files into a hidden folder beside the target, and move it there when the last one is written.

    On any failure, and when it is interrupted, nothing of it stays, and what was there stands there again.

    Args:
        path: of the folder.
        files: names and contents, made one after the other as they are written.
        overwrite: as `check_folder` has it.
        is_ours: as `check_folder` has it.

    Raises:
        FileError: as `check_folder`, or the system cannot write.
    """
    check_folder(path, overwrite=overwrite, is_ours=is_ours)
    target = Path(os.path.realpath(path))
    hidden, old = (target.parent / f".upstroke-{secrets.token_hex(8)}.tmp" for _ in range(2))
    try:
        _said(path, hidden.mkdir)
        for name, content in files:
            _said(path, partial((hidden / name).write_bytes, content))
        _said(path, partial(_swapped, hidden, target, old))
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _swapped(hidden: Path, target: Path, old: Path) -> None:
    """Let a folder take the place of what is there."""
    had_one = os.path.lexists(target)
    if had_one:
        os.replace(target, old)
    try:
        os.replace(hidden, target)
    except OSError:
        if had_one:
            os.replace(old, target)
        raise


def _said(path: Path, does: Callable[[], object]) -> None:
    """Turn what the system says into one sentence."""
    try:
        does()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        msg = f"cannot write {path}: {reason}; {REMEDIES.get(error.errno or 0, 'choose another place')}"
        raise FileError(msg) from error
