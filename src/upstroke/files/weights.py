"""Turn a weights file into an array, without ever unpickling it."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
from jaxtyping import Float

from upstroke.errors import FileError, MissingExtraError
from upstroke.files.kind import Kind, kind_of

__all__ = ["Weights", "read_weights"]

WANTED = "weights must be a .npy file, or one tensor of a .safetensors file named as FILE:KEY"
LISTED_KEYS = 8
_ZIP = "a zip archive, as .npz and PyTorch's .pt and .pth files are; save the array with numpy.save"
_PICKLE = "a pickle, which is a program and is never run; save the tensors with safetensors"
_KINDS: dict[Kind, str] = {
    "empty": "empty",
    "torch.save": _ZIP,
    "old torch.save": _PICKLE,
    "TorchScript": _ZIP,
    "exported program": _ZIP,
    "pickle": _PICKLE,
    "hdf5": "an HDF5 file; save the array with numpy.save",
    "zip": _ZIP,
    "cut zip": _ZIP,
    "unknown": "neither; save the array with numpy.save",
}


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The numbers of one array, and where they came from.

    Attributes:
        array: the numbers, exactly: as float64 if the file stores that or more, else as float32.
        file: the file they were read from.
        key: the tensor's name inside the file, or None for a file that holds one array.
        dtype: the floating type the file stores.
    """

    array: Float[numpy.ndarray, "*shape"]
    file: str
    key: str | None
    dtype: str

    @property
    def name(self) -> str:
        """What a reader would type to read the same numbers again."""
        return self.file if self.key is None else f"{self.file}:{self.key}"


def read_weights(source: str) -> Weights:
    """Read FILE or FILE:KEY; what the file is follows from its first bytes, never from its name.

    Raises:
        FileError: there is no such file, it is neither kind, or its numbers cannot be weights.
        MissingExtraError: the file is a .safetensors one and the package for it is not installed.
    """
    path, key = _split(source)
    kind = kind_of(path, wanted=WANTED)
    if kind == "npy":
        if key is not None:
            msg = f"{path} is a .npy file, which holds one array without a name; leave out ':{key}'"
            raise FileError(msg)
        return _checked(*_read_npy(path), path=path, key=None)
    if kind == "safetensors":
        return _read_safetensors(path, key)
    msg = f"{WANTED}; {path} is {_KINDS[kind]}"
    raise FileError(msg)


def _split(source: str) -> tuple[Path, str | None]:
    """Split FILE:KEY at the last colon that leaves an existing file; both parts may hold colons."""
    # os.path answers no where pathlib raises, for instance for names that are too long
    if os.path.exists(source):
        return Path(source), None
    cuts = [place for place, letter in enumerate(source) if letter == ":"]
    for cut in reversed(cuts):
        if os.path.isfile(source[:cut]):
            return Path(source[:cut]), source[cut + 1 :]
    msg = f"{WANTED}; there is no file {source}"
    raise FileError(msg)


def _read_npy(path: Path) -> tuple[numpy.ndarray, str]:
    """Read one array, after checking that its header promises numbers and no more of them than there are."""
    try:
        with path.open("rb") as file:
            # versions above 1 differ in a longer header alone
            short = numpy.lib.format.read_magic(file) == (1, 0)
            read = numpy.lib.format.read_array_header_1_0 if short else numpy.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            there = path.stat().st_size - file.tell()
    except (ValueError, EOFError, OSError) as error:
        msg = f"{path} starts like a .npy file, but its header cannot be read; save it again with numpy.save"
        raise FileError(msg) from error
    if dtype.hasobject:
        msg = f"{path} holds pickled Python objects, which are never run; save a plain array of floats"
        raise FileError(msg)
    if dtype.kind != "f":
        msg = f"weights must be floating-point numbers; {path} holds {dtype}; save an array of float32"
        raise FileError(msg)
    wanted = math.prod(shape) * dtype.itemsize
    if there < wanted:
        msg = f"{path} is cut short: its header promises {wanted} bytes of numbers and {there} are there"
        raise FileError(msg)
    try:
        return numpy.load(path, allow_pickle=False), str(dtype)
    except (ValueError, OSError) as error:
        msg = f"{path} starts like a .npy file, but its numbers cannot be read; save it again with numpy.save"
        raise FileError(msg) from error


def _read_safetensors(path: Path, key: str | None) -> Weights:
    try:
        import safetensors
    except ImportError as error:
        msg = f"reading {path} needs the package safetensors; pip install 'upstroke[train]'"
        raise MissingExtraError(msg) from error
    try:
        # through torch, because numpy has no bfloat16
        with safetensors.safe_open(path, framework="pt") as file:
            keys = list(file.keys())
            if key is None or key not in keys:
                shapes = {name: file.get_slice(name).get_shape() for name in keys}
                raise FileError(_which_key(path, key, shapes))
            tensor = file.get_tensor(key)
    except (safetensors.SafetensorError, OSError) as error:
        if isinstance(error, FileError):
            raise
        msg = f"{path} starts like a .safetensors file, but it cannot be read: {error}"
        raise FileError(msg) from error
    name = str(tensor.dtype).removeprefix("torch.")
    if not tensor.is_floating_point():
        msg = f"weights must be floating-point numbers; {path}:{key} holds {name}; name a tensor of floats"
        raise FileError(msg)
    wide = tensor if name == "float64" else tensor.float()
    return _checked(wide.numpy(), name, path=path, key=key)


def _which_key(path: Path, key: str | None, shapes: Mapping[str, Sequence[int]]) -> str:
    """Name the tensors that could have been meant; kernels, which have 3 axes or more, are enough."""
    if not shapes:
        return f"{path} holds no tensors; name a file that has some"
    kernels = [name for name in shapes if len(shapes[name]) > 2]
    names = (kernels or list(shapes))[:LISTED_KEYS]
    sizes = ["x".join(map(str, shapes[name])) or "one number" for name in names]
    listed = ", ".join(f"{name} ({size})" for name, size in zip(names, sizes, strict=True))
    more = f" and {len(shapes) - len(names)} more" if len(shapes) > len(names) else ""
    came = "no key was given" if key is None else f"there is no {key!r}"
    return f"name one tensor of {path} as {path}:KEY; {came}; it holds {listed}{more}"


def _checked(array: numpy.ndarray, dtype: str, *, path: Path, key: str | None) -> Weights:
    kind = numpy.float64 if array.dtype.itemsize > 4 else numpy.float32
    weights = Weights(array=numpy.asarray(array, dtype=kind), file=str(path), key=key, dtype=dtype)
    if array.ndim == 0 or array.size == 0:
        msg = f"weights must be an array of one number or more; {weights.name} has shape {array.shape}"
        raise FileError(msg)
    lost = int(numpy.count_nonzero(~numpy.isfinite(weights.array)))
    if lost:
        msg = (
            f"weights must be finite; {lost} of the {array.size} in {weights.name} are NaN or infinite; take "
            "a checkpoint from before they became so"
        )
        raise FileError(msg)
    return weights
