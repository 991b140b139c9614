"""Turn the first bytes of a file that should hold a model or its weights into a word for what it is."""

import os
import pickletools
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Literal

from upstroke.errors import FileError

__all__ = ["Kind", "holds_objects", "kind_of"]

Kind = Literal[
    "empty",
    "safetensors",
    "torch.save",
    "old torch.save",
    "TorchScript",
    "exported program",
    "pickle",
    "npy",
    "hdf5",
    "zip",
    "cut zip",
    "unknown",
]

# torch.save of before 1.6 starts with its magic number, pickled by protocol 2
OLD_TORCH_SAVE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
PICKLE_PROTOCOLS = range(2, 6)
# Modules whose classes and functions put tensors, arrays and containers together.
OF_TENSORS = {
    *("torch", "torch._utils", "torch._tensor", "torch.storage", "torch.nn.parameter", "torch.serialization"),
    *("collections", "builtins", "__builtin__", "copyreg", "copy_reg", "_codecs"),
    *("numpy", "numpy.core.multiarray", "numpy._core.multiarray"),
}
# An old file has its magic number, its version, its machine and what was saved; then come bare numbers.
PICKLES = 4
# Bytes of a pickle that are looked at: names and structure of the largest models take far fewer.
MOST_LOOKED_AT = 2**24


def kind_of(path: Path, *, wanted: str) -> Kind:
    """Say what a file is by its content, whatever it is called; nothing in it is loaded or run.

    A file without a mark of its own is `unknown`: an ONNX file is one, since protocol buffers have none.

    Args:
        path: the file.
        wanted: how the sentence begins if it cannot be read, such as "weights must be tensors by name".

    Raises:
        FileError: there is no such file, or it is a folder, a device or a pipe.
    """
    # os.path answers no where pathlib raises, for instance for names that are too long
    if not os.path.exists(path):
        msg = f"{wanted}; there is no file {path}"
        raise FileError(msg)
    if not os.path.isfile(path):
        what = "folder" if os.path.isdir(path) else "device or a pipe, not a file"
        msg = f"{wanted}; {path} is a {what}"
        raise FileError(msg)
    try:
        with path.open("rb") as file:
            head = file.read(32)
        return _kind(path, head)
    except OSError as error:
        msg = f"{wanted}; {path} could not be read: {(error.strerror or str(error)).lower()}"
        raise FileError(msg) from error


def _kind(path: Path, head: bytes) -> Kind:
    if not head:
        return "empty"
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if head.startswith(OLD_TORCH_SAVE):
        return "old torch.save"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"\x89HDF"):
        return "hdf5"
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= path.stat().st_size - 8:
        return "safetensors"
    if head[0] == 0x80 and len(head) > 1 and head[1] in PICKLE_PROTOCOLS:
        return "pickle"
    return "unknown"


def _kind_of_zip(path: Path) -> Kind:
    """Tell PyTorch's archives apart by the names inside; all but the oldest stand in one folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeError):
        return "cut zip"
    inside = {name.partition("/")[2] for name in names}
    tops = {each.partition("/")[0] for each in inside}
    if "constants.pkl" in inside or "code" in tops:
        return "TorchScript"
    if tops & {"archive_format", "models"} or "serialized_exported_program.json" in names:
        return "exported program"
    return "torch.save" if "data.pkl" in inside else "zip"


def holds_objects(path: Path) -> bool:
    """Whether what torch.save wrote names classes of more than tensors, as a whole model does.

    The pickle is read as a list of instructions, of which none is run. False where it cannot be read.
    """
    try:
        return any(module not in OF_TENSORS for module in _modules_named(_pickles(path)))
    except (ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return False


def _pickles(path: Path) -> BytesIO:
    """The pickle in an archive, or those at the beginning of an old file, one behind the other."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return BytesIO(file.read(MOST_LOOKED_AT))
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.partition("/")[2] == "data.pkl")
        with archive.open(name) as file:
            return BytesIO(file.read(MOST_LOOKED_AT))


def _modules_named(pickles: BytesIO) -> Iterator[str]:
    """The modules of all classes and functions that pickles ask for, in order, as far as they are whole."""
    for _ in range(PICKLES):
        if pickles.tell() == len(pickles.getbuffer()):
            return
        for instruction, argument, _ in pickletools.genops(pickles):
            if instruction.name == "GLOBAL":
                yield str(argument).partition(" ")[0]
