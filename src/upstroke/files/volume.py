"""Hold a picture or volume as a file stores it, and refuse files that promise more than they can hold."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import FileError

__all__ = ["DEFLATE", "WANTED", "Volume", "VolumeKind", "check_promise"]

VolumeKind = Literal["nifti", "png", "jpeg", "bmp", "tiff"]

# What a file must be.
WANTED = "a picture or a volume"
# Deflate, in gzip, PNG and TIFF, makes at most this many bytes of one.
DEFLATE = 1032.0
# Room for headers, which are small, beside what is packed.
SLACK = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """A picture or volume as it is stored, with what a file like it needs.

    Attributes:
        path: where it was read.
        values: (channels, *space), in stored units; the slope of a NIfTI file is applied. The axes of space
            are (rows, columns) of pictures, (pages, rows, columns) of stacks, and (i, j, k) of NIfTI.
        spacing: size of a voxel along each axis of space, in `unit`; 1.0 where the file does not say.
        unit: "mm", "micron", "pixel" and so on.
        affine: voxel indices to millimetres, (4, 4), of NIfTI; else None.
        kind: of the file.
        header: what is needed to write a file like it.
        notes: what had to be decided or left out on reading, in words.
    """

    path: Path
    values: NDArray[Any]
    spacing: tuple[float, ...]
    unit: str
    affine: NDArray[np.float64] | None
    kind: VolumeKind
    header: Any
    notes: tuple[str, ...] = ()

    @property
    def ndim(self) -> int:
        """How many axes of space there are: 2 or 3."""
        return self.values.ndim - 1

    @property
    def size(self) -> tuple[int, ...]:
        """Voxels along each axis of space."""
        return self.values.shape[1:]


def check_promise(path: Path, promised: int, *, stored: int, ratio: float | None = 1.0) -> None:
    """Refuse a file whose header promises more voxels than its bytes can hold, before room is made for them.

    Args:
        path: the file.
        promised: bytes of voxels that its header speaks of.
        stored: bytes that it has.
        ratio: bytes that at most come out of one that is stored; None where packing has no such limit.

    Raises:
        FileError: they cannot be there, or the machine has less memory than they take.
    """
    if promised <= 0:
        msg = f"{path} must hold voxels; its header says that it has none; write it again"
        raise FileError(msg)
    if ratio is not None and promised > ratio * stored + SLACK:
        msg = (
            f"{path} promises {promised} bytes of voxels and its {stored} bytes cannot hold them; "
            "it is cut off or damaged; copy it again"
        )
        raise FileError(msg)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    if memory is not None and promised > memory:
        msg = f"{path} holds {promised} bytes of voxels, more than the {memory} of this memory; cut it"
        raise FileError(msg)
