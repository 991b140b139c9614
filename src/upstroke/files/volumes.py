"""Pictures and volumes become arrays with their place in space, and masks become files beside them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Volume", "VolumeKind"]

VolumeKind = Literal["nifti", "png", "jpeg", "bmp", "tiff"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """A picture or volume as it is stored, with what a file like it needs.

    Attributes:
        path: where it was read.
        values: (channels, *space), in stored units; a NIfTI slope is applied.
        spacing: size of a voxel along each axis of space, in `unit`; 1.0 where the file does not say.
        unit: "mm", "micron", "pixel" and so on.
        affine: voxel indices to millimetres, (4, 4), of NIfTI; else None.
        kind: of the file.
        header: what is needed to write a file like it.
        notes: what was left out on reading, in sentences.
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
