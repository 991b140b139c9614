"""Turn a path and settings into a run folder that is new, or that belongs to the same run."""

import json
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upstroke.errors import FileError, OptionError
from upstroke.files import write_atomically

__all__ = ["SCHEMA", "RunFolder", "make_folder", "read_config", "reopen_folder"]

SCHEMA = "upstroke.train/1"
ABSENT = "nothing"


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Where the parts of a run lie."""

    path: Path

    @property
    def config(self) -> Path:
        """Command, versions, seed and settings."""
        return self.path / "config.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """The latest checkpoint."""
        return self.checkpoints / "last.ckpt"

    @property
    def best(self) -> Path:
        """The checkpoint with the best validation."""
        return self.checkpoints / "best.ckpt"

    @property
    def weights(self) -> Path:
        """What a finished model consists of: of the best validation, or the latest without one."""
        return self.path / "model.safetensors"

    @property
    def metrics(self) -> Path:
        """All numbers by step."""
        return self.path / "metrics.csv"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.path / "report.html"

    @property
    def tensorboard(self) -> Path:
        """The same numbers for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def pictures(self) -> Path:
        """How far training is, in pictures."""
        return self.path / "pictures"


def make_folder(path: Path, config: Mapping[str, Any], *, overwrite: bool) -> RunFolder:
    """Make the folder of a new run and write its config.json.

    Args:
        path: a folder that does not exist, or is empty.
        config: plain data.
        overwrite: whether the folder of an earlier run may be emptied; any other folder never is.

    Raises:
        FileError: there is something already, or nothing can be written.
    """
    if os.path.lexists(path) and not os.path.isdir(path):
        msg = f"a run needs a folder; {path} is a file; choose another name"
        raise FileError(msg)
    folder = RunFolder(path=path)
    if os.path.isdir(path):
        _sweep(folder)
        if set(os.listdir(path)) - {folder.checkpoints.name} or _has_checkpoints(folder):
            _clear(path, overwrite=overwrite)
    try:
        folder.checkpoints.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"cannot make the folder {path}: {error.strerror}; choose another place"
        raise FileError(msg) from error
    _write_config(folder, config)
    return folder


def _sweep(folder: RunFolder) -> None:
    """Remove what a run that was killed left half written."""
    for place in (folder.path, folder.checkpoints, folder.pictures):
        for left in place.glob(".upstroke-*.tmp"):
            if stat.S_ISREG(left.lstat().st_mode):
                left.unlink(missing_ok=True)


def _has_checkpoints(folder: RunFolder) -> bool:
    return os.path.isdir(folder.checkpoints) and bool(os.listdir(folder.checkpoints))


def _clear(path: Path, *, overwrite: bool) -> None:
    is_run = _is_run(path)
    if not overwrite:
        what = "holds a run already; resume it, or choose another name" if is_run else (
            "is not empty; choose another name"
        )  # fmt: skip
        msg = f"a new run needs a new folder; {path} {what}"
        raise FileError(msg)
    if not is_run:
        msg = f"only the folder of a run may be overwritten; {path} holds something else; choose another name"
        raise FileError(msg)
    folder = RunFolder(path=path)
    # config.json goes last: until then the folder is still known as that of a run
    for part in (folder.checkpoints, folder.tensorboard, folder.pictures):
        shutil.rmtree(part, ignore_errors=True)
    for file in (folder.weights, folder.metrics, folder.report, folder.config):
        file.unlink(missing_ok=True)


def _is_run(path: Path) -> bool:
    try:
        return bool(json.loads((path / "config.json").read_text(encoding="utf-8")).get("schema") == SCHEMA)
    except (OSError, ValueError, AttributeError):
        return False


def reopen_folder(path: Path, config: Mapping[str, Any]) -> RunFolder:
    """Open the folder of a run that is to go on, and compare what it was started with.

    `steps` may have grown; everything else under `settings` and `fit` must be the same.

    Raises:
        FileError: there is no run.
        OptionError: something differs, which is named.
    """
    folder = RunFolder(path=path)
    old = read_config(path)
    new = json.loads(json.dumps(config))
    for part in ("task", "seed", "settings", "fit"):
        _compare(path, old.get(part), new.get(part), name=part)
    if new["steps"] < old["steps"]:
        msg = (
            f"a resumed run may be longer but not shorter; {path} was started with steps {old['steps']}, "
            f"now they are {new['steps']}; give at least as many"
        )
        raise OptionError(msg)
    _sweep(folder)
    changed = {key: new[key] for key in ("steps",) if new[key] != old[key]}
    if changed:
        _write_config(folder, {**old, **changed})
    return folder


def read_config(path: Path) -> dict[str, Any]:
    """What a run was started with.

    Raises:
        FileError: the folder holds no run.
    """
    if not _is_run(path):
        what = "holds none" if os.path.isdir(path) else "does not exist"
        msg = f"there must be a run to go on with; the folder {path} {what}; start it without resuming"
        raise FileError(msg)
    found: dict[str, Any] = json.loads((path / "config.json").read_text(encoding="utf-8"))
    return found


def _compare(path: Path, old: Any, new: Any, *, name: str) -> None:  # noqa: ANN401 - plain data
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            _compare(
                path, old.get(key), new.get(key), name=key if name in ("settings", "fit") else f"{name}.{key}"
            )
    elif old != new:
        was, now = (ABSENT if each is None else json.dumps(each) for each in (old, new))
        msg = (
            f"a resumed run must have the settings it was started with; {name} was {was} in {path} and is "
            f"{now} now; give the same, or start a new run"
        )
        raise OptionError(msg)


def _write_config(folder: RunFolder, config: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        msg = f"settings must be what JSON can hold: numbers, words, lists and dicts; {error}; leave it out"
        raise OptionError(msg) from error
    write_atomically(folder.config, text, overwrite=True)
