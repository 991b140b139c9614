"""Turn tensors and what is to be known about them into one .safetensors file, and back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from upstroke.errors import FileError, MissingExtraError, OptionError
from upstroke.files.kind import kind_of
from upstroke.files.place import write_atomically

__all__ = ["read_safetensors", "safetensors_bytes", "write_safetensors"]

WANTED = "weights must be tensors by name, in a .safetensors file"
# The format's metadata are strings by name, in no order; ours stand as JSON under one name, so that the same
# content is the same bytes.
KEY = "upstroke"
EXTRA = "weights are kept in the package safetensors; pip install 'upstroke[train]'"


def write_safetensors(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write tensors by name with metadata, as a whole or not at all.

    Args:
        path: where to.
        tensors: on any device, of any layout; those that share memory are written one by one.
        metadata: anything that JSON can hold; NaN and infinity are refused, JSON has no word for them.
        overwrite: whether a file that is there may be replaced.

    Raises:
        FileError: the file cannot be written.
        OptionError: the metadata cannot be written as JSON.
        MissingExtraError: the package safetensors is not installed.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.safetensors"
    ...     write_safetensors(path, {"weight": torch.arange(3.0)}, {"scale": [2, 3]})
    ...     read_safetensors(path)
    ({'weight': tensor([0., 1., 2.])}, {'scale': [2, 3]})
    """
    write_atomically(path, safetensors_bytes(tensors, metadata), overwrite=overwrite)


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None) -> bytes:
    """What `write_safetensors` writes."""
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise MissingExtraError(EXTRA) from error
    try:
        words = json.dumps(dict(metadata or {}), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        msg = f"metadata must be what JSON can hold: numbers, words, lists and dicts; {error}; leave it out"
        raise OptionError(msg) from error
    # the format refuses tensors that share memory, and those with gaps
    apart = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return bytes(save(apart, {KEY: words}))


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file by name, on the CPU, and its metadata; nothing in it is run.

    A file of others gives its own metadata, in which every value is a string.

    Raises:
        FileError: there is no such file, or it is not whole, or no .safetensors file.
        MissingExtraError: the package safetensors is not installed.
    """
    path = Path(path)
    if kind_of(path, wanted=WANTED) != "safetensors":
        msg = f"{WANTED}; {path} is none; name the file that a training run has written"
        raise FileError(msg)
    try:
        import safetensors
    except ImportError as error:
        raise MissingExtraError(EXTRA) from error
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            # the file has keys but is no dict
            tensors = {name: _aligned(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
            words = dict(file.metadata() or {})
        metadata = json.loads(words[KEY]) if KEY in words else words
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        msg = f"{path} starts like a .safetensors file, but it cannot be read; fetch it again"
        raise FileError(msg) from error
    return tensors, metadata


def _aligned(tensor: Tensor) -> Tensor:
    """A tensor at an address that is a multiple of its numbers' size, which not every writer cares for."""
    return tensor.clone() if tensor.data_ptr() % tensor.element_size() else tensor
