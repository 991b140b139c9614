"""A result that takes long to write grows in a hidden folder and is moved to its target when it is whole."""

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from upstroke.errors import FileError
from upstroke.files.place import REMEDIES

__all__ = ["Growing", "growing", "refuse_target"]

# Bytes that fit on any disk that is not full.
SMALL_FILE = 2**16
# HDF5 and others say the system's number inside their own words.
NUMBER_OF_ERROR = re.compile(r"errno = (\d+)|\[Errno (\d+)\]")


class Growing:
    """What has been made so far of one result.

    Args:
        target: where the result will stand.
        settings: everything that it depends on, as JSON; what was begun with others is not gone on with.
        can_resume: whether a killed run is gone on with; otherwise its remains are removed.
    """

    def __init__(self, target: Path, settings: Mapping[str, Any], *, can_resume: bool) -> None:
        self.target = target
        self.settings = json.loads(json.dumps(settings))
        self.can_resume = can_resume
        self.folder = hidden_folder(target)
        self.data = self.folder / f"data{target.suffix}"
        self._manifest = self.folder / "manifest.json"
        self._done = self.folder / "done.jsonl"
        self._log: Any = None

    def begun(self) -> dict[str, Any] | None:
        """Settings of what is there; None where nothing that can be gone on with is."""
        if not self.can_resume or not self.data.exists():
            return None
        try:
            found = json.loads(self._manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def done(self) -> list[dict[str, Any]]:
        """Records of the pieces that are written; a line that was cut off does not count."""
        with contextlib.suppress(OSError):
            lines = self._done.read_text(encoding="utf-8").split("\n")[:-1]
            return [json.loads(line) for line in lines]
        return []

    def describe(self) -> None:
        """Say that the data can be gone on with from here: their structure is whole."""
        beside = self._manifest.with_suffix(".tmp")
        beside.write_text(json.dumps(self.settings), encoding="utf-8")
        os.replace(beside, self._manifest)

    def add(self, record: Mapping[str, Any]) -> None:
        """Say that a piece is written."""
        if self._log is None:
            # what a killed run left of a line must not run into the next one
            text = "".join(json.dumps(each) + "\n" for each in self.done())
            self._log = self._done.open("w", encoding="utf-8")
            self._log.write(text)
        self._log.write(json.dumps(record) + "\n")
        self._log.flush()

    def close(self) -> None:
        """Close the record of pieces."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def clear(self) -> None:
        """Remove everything but the lock."""
        self.close()
        for each in self.folder.iterdir():
            if each.name != "lock":
                shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()

    def finish(self) -> None:
        """Move the data to their target; what it replaces is moved away first and removed last."""
        self.close()
        old = self.folder / "replaced"
        if os.path.lexists(self.target):
            os.replace(self.target, old)
        try:
            os.replace(self.data, self.target)
        except OSError:
            if os.path.lexists(old):
                os.replace(old, self.target)
            raise


def hidden_folder(target: Path) -> Path:
    """Where a result grows: beside its target, on the same disk."""
    return target.parent / f".{target.name}.upstroke"


def refuse_target(target: Path, *, overwrite: bool) -> None:
    """Refuse before any work a target that could not be written after it.

    Raises:
        FileError: its folder is not there or may not be written to, or something is there already that is not
            to be replaced, or that is no file of fields.
    """
    if not os.path.isdir(target.parent):
        msg = f"cannot write {target}: the folder {target.parent} does not exist; create it first"
        raise FileError(msg)
    if not os.access(target.parent, os.W_OK):
        msg = f"cannot write {target}: {os.strerror(errno.EACCES)}; {REMEDIES[errno.EACCES]}"
        raise FileError(msg)
    if not os.path.lexists(target):
        return
    if not overwrite:
        msg = f"cannot write {target}: it exists already; choose another name or allow overwriting"
        raise FileError(msg)
    is_store = target.suffix == ".zarr"
    replaces_a_store = any(os.path.exists(target / each) for each in ("zarr.json", ".zgroup"))
    if is_store and not replaces_a_store:
        msg = f"cannot write {target}: what is there is no Zarr store and stays; choose another name"
        raise FileError(msg)
    if not is_store and not os.path.isfile(target):
        msg = f"cannot write {target}: it is a folder or a device; name a file"
        raise FileError(msg)


@contextlib.contextmanager
def growing(
    target: Path, settings: Mapping[str, Any], *, can_resume: bool, overwrite: bool = False
) -> Iterator[Growing]:
    """Give a hidden folder for a result, and move the result to its target when the block ends well.

    1. One run at a time: a second one on the same target is refused.
    2. What a killed run left is gone on with where it can be and all settings are the same; otherwise it is
       refused, or removed where overwriting is allowed.
    3. On an interrupt what can be gone on with stays; on any other failure nothing does.

    Raises:
        FileError: another run writes the same target, what is left of one had other settings, or the system
            cannot write.
    """
    refuse_target(target, overwrite=overwrite)
    # a link stays a link to the new content
    grown = Growing(Path(os.path.realpath(target)), settings, can_resume=can_resume)
    with _said(target):
        grown.folder.mkdir(exist_ok=True)
    with (grown.folder / "lock").open("w") as lock:
        _lock(lock.fileno(), target)
        _go_on_or_clear(grown, target, overwrite=overwrite)
        keep = False
        try:
            with _said(target, grown.folder):
                yield grown
                grown.finish()
        except (KeyboardInterrupt, SystemExit):
            keep = can_resume and grown.begun() is not None
            raise
        finally:
            grown.close()
            if not keep:
                shutil.rmtree(grown.folder, ignore_errors=True)


def _go_on_or_clear(grown: Growing, target: Path, *, overwrite: bool) -> None:
    begun = grown.begun()
    if begun == grown.settings:
        return
    if begun is not None and not overwrite:
        keys = sorted({*begun, *grown.settings})
        other = ", ".join(each for each in keys if begun.get(each) != grown.settings.get(each))
        msg = (
            f"{grown.folder} holds an unfinished run with other settings ({other}); repeat that run "
            "to finish it, or allow overwriting to start again"
        )
        raise FileError(msg)
    with _said(target):
        grown.clear()


def _quoted(words: str) -> int | None:
    """The system's number in a library's words."""
    found = NUMBER_OF_ERROR.search(words)
    return None if found is None else int(found.group(1) or found.group(2))


def _tried(folder: Path | None) -> int | None:
    """What the system says of another file in a folder, where a library did not hand on what it said."""
    if folder is None:
        return None
    try:
        (folder / "tried").write_bytes(bytes(SMALL_FILE))
    except OSError as error:
        return error.errno
    return None


def _lock(descriptor: int, target: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        msg = f"cannot write {target}: another run is writing it; wait for that or choose another name"
        raise FileError(msg) from error
    except OSError:
        # some network disks know no locks; then nothing tells two runs apart, as everywhere else on them
        pass


@contextlib.contextmanager
def _said(target: Path, folder: Path | None = None) -> Iterator[None]:
    """Turn what the system says, or a library that quotes or hides it, into one sentence."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        number = error.errno or _quoted(str(error)) or _tried(folder)
        reason = os.strerror(number) if number else " ".join(str(error).split()) or type(error).__name__
        msg = f"cannot write {target}: {reason}; {REMEDIES.get(number or 0, 'choose another place')}"
        raise FileError(msg) from error
