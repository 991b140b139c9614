"""Turn the state of a run into a checkpoint that holds tensors and plain data alone, and back."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from upstroke.errors import FileError, OptionError, first_line

__all__ = ["InMemory", "read_checkpoint"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a checkpoint, on the CPU; nothing in it is run.

    Raises:
        FileError: it cannot be read.
    """
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        msg = f"{path} cannot be read as a checkpoint; take best.ckpt in its place, or start a new run"
        raise FileError(msg) from error
    return found


class InMemory(CheckpointIO):
    """What Lightning saves and loads, handed over as bytes and as what was read.

    A checkpoint then goes to the disk as one of several files that belong together, and is read once.
    """

    def __init__(self, restored: dict[str, Any] | None) -> None:
        self.restored = restored
        self.written = b""
        self.is_checked = False

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None
    ) -> None:
        """Keep the bytes; the first time, see that they can be read again."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        self.written = buffer.getvalue()
        if not self.is_checked:
            try:
                torch.load(io.BytesIO(self.written), map_location="cpu", weights_only=True)
            except pickle.UnpicklingError as error:
                msg = (
                    "what a task keeps in a checkpoint must be tensors and plain data, because nothing else "
                    f"is read again; {first_line(error)}; change on_save_checkpoint"
                )
                raise OptionError(msg) from error
            self.is_checked = True

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """What was read, without the loops' counters: the harness keeps the one that matters, the step."""
        checkpoint, self.restored = dict(self.restored or {}), None
        checkpoint.pop("loops", None)
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Nothing is on the disk."""
