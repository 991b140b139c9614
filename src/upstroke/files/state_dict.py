"""Turn a file of weights into tensors by name, without ever running what it holds."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from upstroke.errors import FileError, MissingExtraError
from upstroke.files.kind import Kind, kind_of

__all__ = ["StateDict", "read_state_dict"]

WANTED = "weights must be tensors by name, in a .safetensors file or a state dict saved by torch.save"
USUAL_NAMES = ("state_dict", "model", "model_state_dict", "params", "params_ema", "generator", "g_ema")
WRAPPED = "module."
LISTED_NAMES = 4
# Bytes that the names and shapes of a checkpoint's tensors may take, unpacked: 64 MB hold a million of them.
MOST_NAMES = 2**26

OBJECTS = (
    "holds pickled Python objects, which are programs and are never run; save the state dict alone, with "
    "safetensors"
)
NO_WEIGHTS: Mapping[Kind, str] = {
    "empty": "is empty",
    "TorchScript": (
        "is a TorchScript program, and loading it can run code; save the state dict alone, with safetensors"
    ),
    "exported program": (
        "is an exported program, and loading it can run code; save the state dict alone, with safetensors"
    ),
    "pickle": OBJECTS,
    "npy": "is one array without a name; save the state dict with safetensors",
    "hdf5": "is an HDF5 file; save the state dict with safetensors",
    "zip": "is a zip archive, but not PyTorch's; save the state dict with safetensors",
    "cut zip": "starts like a zip archive, but is cut short or damaged; fetch it again",
    "unknown": "is neither; save the state dict with safetensors",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class StateDict:
    """Tensors by name, and what was taken away to get at them.

    Attributes:
        tensors: the tensors, on the CPU, in the types the file stores.
        file: the file they were read from.
        key: the entry that held them, where the file is a checkpoint with other things beside them.
        prefix: what was taken off every name: the "module." of a model that was trained in a wrapper.
    """

    tensors: Mapping[str, Tensor]
    file: str
    key: str | None
    prefix: str


def read_state_dict(path: str | Path) -> StateDict:
    """Read tensors by name; what the file is follows from its content, never from its name.

    1. A .safetensors file is read by its header, what torch.save made by an unpickler of tensors alone.
    2. A checkpoint may hold the tensors under one of the usual names: `state_dict`, `model`,
       `model_state_dict`, `params`, `params_ema`, `generator`, `g_ema`; it is taken if there is exactly one.
    3. A "module." that begins every name is taken off.

    Raises:
        FileError: there is no such file, or it holds anything else.
        MissingExtraError: the file is a .safetensors one and the package for it is not installed.
    """
    path = Path(path)
    kind = kind_of(path, wanted=WANTED)
    if kind in NO_WEIGHTS:
        raise FileError(_no_weights(path, NO_WEIGHTS[kind]))
    content = (
        _read_safetensors(path) if kind == "safetensors" else _read_torch(path, mmap=kind == "torch.save")
    )
    key, named = _state_dict_in(content, path)
    wrapped = all(name.startswith(WRAPPED) for name in named)
    prefix = WRAPPED if wrapped else ""
    tensors = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
    return StateDict(tensors=tensors, file=str(path), key=key, prefix=prefix)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        import safetensors
    except ImportError as error:
        msg = f"reading {path} needs the package safetensors; pip install 'upstroke[train]'"
        raise MissingExtraError(msg) from error
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            # the file has keys but is no dict
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        msg = f"{path} starts like a .safetensors file, but it cannot be read; fetch it again"
        raise FileError(msg) from error


def _check_names(path: Path) -> None:
    """Refuse an archive whose list of names unpacks to far more than one of a network can be."""
    with zipfile.ZipFile(path) as archive:
        sizes = [each.file_size for each in archive.infolist() if each.filename.endswith("data.pkl")]
    if max(sizes, default=0) > MOST_NAMES:
        msg = (
            f"{path} lists its tensors in {max(sizes)} bytes, more than any network has names for; fetch it "
            "again from a source you trust"
        )
        raise FileError(msg)


def _read_torch(path: Path, *, mmap: bool) -> Any:  # noqa: ANN401 - what a file holds is seen afterwards
    if mmap:
        _check_names(path)
    # from the name .safetensors torch.load concludes what the file is, and mapping it needs the name
    by_name = mmap and not path.name.endswith(".safetensors")
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            # torch.load, about storage classes of its own that old files name
            warnings.simplefilter("ignore")
            source = str(path) if by_name else file
            return torch.load(source, map_location="cpu", weights_only=True, mmap=by_name)
    except pickle.UnpicklingError as error:
        raise FileError(_no_weights(path, OBJECTS)) from error
    except Exception as error:
        # a damaged file can make the unpickler raise anything
        msg = f"{path} starts like a file of torch.save, but it cannot be read; fetch it again"
        raise FileError(msg) from error


def _state_dict_in(content: object, path: Path) -> tuple[str | None, dict[str, Tensor]]:
    """Find the tensors by name: the content itself, or the one entry of it that is such."""
    if not isinstance(content, Mapping):
        one = "one tensor without a name" if isinstance(content, Tensor) else f"a {type(content).__name__}"
        raise FileError(_no_weights(path, f"holds {one}; save the state dict alone, with safetensors"))
    if not content:
        raise FileError(_no_weights(path, "holds nothing"))
    if _is_state_dict(content):
        return None, dict(content)
    held = [name for name in USUAL_NAMES if _is_state_dict(content.get(name))]
    if len(held) == 1:
        return held[0], dict(content[held[0]])
    if held:
        several = f"holds several state dicts, {', '.join(held)}"
        raise FileError(_no_weights(path, f"{several}; save the one that is meant alone, with safetensors"))
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    listed = ", ".join(map(_visible, others[:LISTED_NAMES]))
    more = f" and {len(others) - LISTED_NAMES} more" if len(others) > LISTED_NAMES else ""
    what = f"holds entries that are none ({listed}{more})" if others else "names tensors by numbers"
    raise FileError(_no_weights(path, f"{what}; save the state dict alone, with safetensors"))


def _is_state_dict(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
    )


def _no_weights(path: Path, what: str) -> str:
    return f"{WANTED}; {path} {what}"


def _visible(name: str) -> str:
    """Write a name on one line, whatever characters it has."""
    return name if name.isprintable() else repr(name)
