"""One image and its mask, wherever they lie, are read as volumes that lie voxel on voxel."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from upstroke.apps.segment.coco import Polygons
from upstroke.axes import times
from upstroke.errors import FileError
from upstroke.files.volumes import Volume, prediction_name, read_labels, read_volume, suffix_of

__all__ = ["AFFINE_TOLERANCE", "Case", "Part", "affines_differ", "check_pair"]

Part = Literal["", "train", "validation", "test"]

# Corners of an image and its mask may lie this part of a voxel apart: header fields are rounded to float32,
# and tools turn one form of the affine into the other.
AFFINE_TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image, or one file for each of its channels, with its mask if it has one.

    Attributes:
        name: path below the folder without suffix, parts separated by "/".
        group: what a split never divides, such as the slices of one patient.
        images: one path, or one for each channel.
        label: path of the mask, outlines, or None.
        names: what values of masks are called, where the data says so.
        part: of a data set that is divided into folders, which this is in.
    """

    name: str
    group: str
    images: tuple[Path, ...]
    label: Path | Polygons | None
    names: tuple[tuple[int, str], ...] = ()
    part: Part = ""

    @property
    def prediction(self) -> Path:
        """Where a prediction goes below the folder of predictions: the name, with the suffix of a mask."""
        file = Path(prediction_name(self.images[0]))
        return Path(self.name + suffix_of(file))

    def read(self) -> Volume:
        """The image, all its channels together.

        Raises:
            FileError: a file cannot be read, or the channels' files differ in size or place.
        """
        first, *others = (read_volume(path) for path in self.images)
        for other in others:
            if other.size != first.size or affines_differ(first, other):
                msg = (
                    f"{other.path} must have the size and affine of {first.path}, because both are channels "
                    f"of {self.name}; their sizes are {other.size} and {first.size}; resample one"
                )
                raise FileError(msg)
        if not others:
            return first
        return replace(first, values=np.concatenate([first.values, *(other.values for other in others)]))

    def read_labels(self) -> Volume:
        """The mask, (1, *space), with values as they stand in files.

        Raises:
            FileError: it cannot be read, or there is none.
        """
        if self.label is None:
            msg = f"{self.name} has no mask; give a folder that has masks as well"
            raise FileError(msg)
        if isinstance(self.label, Path):
            return read_labels(self.label)
        return Volume(
            path=self.images[0],
            values=self.label.labels()[np.newaxis],
            spacing=(1.0, 1.0),
            unit="pixel",
            affine=None,
            kind="png",
            header=None,
        )


def affines_differ(one: Volume, other: Volume) -> bool:
    """Whether corners of two volumes of one size lie more than `AFFINE_TOLERANCE` of a voxel apart."""
    if one.affine is None or other.affine is None:
        return False
    size = (*one.size, 1)[:3]
    corners = np.array([*np.ndindex(2, 2, 2)]) * (np.array(size) - 1)
    apart = np.c_[corners, np.ones(len(corners))] @ (one.affine - other.affine).T
    return bool(np.abs(apart).max() > AFFINE_TOLERANCE * min(one.spacing))


def check_pair(case: Case, image: Volume, mask: Volume) -> None:
    """Refuse a mask that does not lie where its image does, voxel on voxel.

    Raises:
        FileError: it has another size or another affine.
    """
    where = f"{case.label.source} for {case.name}" if isinstance(case.label, Polygons) else str(case.label)
    if mask.size != image.size:
        msg = (
            f"{where} must have the size of its image {image.path}, {times(image.size)}; it has "
            f"{times(mask.size)}; resample the mask to its image"
        )
        raise FileError(msg)
    if affines_differ(image, mask):
        msg = (
            f"{where} must lie where its image {image.path} does; their affines put corners more than "
            f"{AFFINE_TOLERANCE} voxels apart; resample the mask to its image"
        )
        raise FileError(msg)
