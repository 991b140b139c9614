"""Turn a volume into the array that a network takes: values of one scale, voxels of one spacing."""

import math
from collections.abc import Sequence

import numpy
from jaxtyping import Float
from numpy.typing import NDArray

from upstroke.apps.segment.normalise import Normalisation, normalised
from upstroke.apps.segment.recipe import Recipe
from upstroke.apps.segment.resample import MOST_VOXELS, resampled, size_at
from upstroke.axes import times
from upstroke.errors import FileError
from upstroke.files.volumes import Volume

__all__ = ["check_fits", "prepared"]


def check_fits(volume: Volume, recipe: Recipe) -> None:
    """Refuse an image of another kind than those that were learnt from.

    Raises:
        FileError: it has other axes or channels, values that are no numbers, or voxels whose length says
            nothing about that of the voxels that the network reads.
    """
    if volume.ndim != recipe.ndim:
        msg = (
            f"{volume.path} must have {recipe.ndim} axes of space, as the images of the training had; it has "
            f"{volume.ndim}, {times(volume.size)}; use a model of such images"
        )
        raise FileError(msg)
    if len(volume.values) != recipe.channels:
        msg = (
            f"{volume.path} must have the channels of the images of the training, {recipe.channels}; "
            f"it has {len(volume.values)}; convert it"
        )
        raise FileError(msg)
    if volume.values.dtype.kind == "f" and not numpy.isfinite(volume.values).all():
        count = int((~numpy.isfinite(volume.values)).sum())
        msg = f"{volume.path} must hold finite numbers; {count} of its values are not; replace these"
        raise FileError(msg)
    _check_spacing(volume, recipe)


def _check_spacing(volume: Volume, recipe: Recipe) -> None:
    """Refuse voxels in another unit than the network's, and those that would become too many."""
    if recipe.spacing is None:
        return
    reads = f"{'x'.join(f'{each:g}' for each in recipe.spacing)} {recipe.unit or ''}".rstrip()
    if recipe.unit is not None and volume.unit != recipe.unit:
        msg = (
            f"{volume.path} must say how long its voxels are in {recipe.unit}, because the network reads "
            f"voxels of {reads}; its unit is {volume.unit}; correct its header, or convert it"
        )
        raise FileError(msg)
    size = size_at(volume.size, volume.spacing, recipe.spacing)
    if math.prod(size) > MOST_VOXELS:
        msg = (
            f"{volume.path} must have {MOST_VOXELS:,} voxels at most when it is brought to the {reads} that "
            f"the network reads; it would have {times(size)}; correct the spacing in its header"
        )
        raise FileError(msg)


def prepared(
    volume: Volume, *, normalisation: Normalisation, spacing: Sequence[float] | None
) -> Float[NDArray[numpy.float32], "channels *space"]:
    """The volume as a network takes it, in training and in use alike.

    Normalised first, since percentiles are those of the voxels that were measured, then brought to
    `spacing`, in the unit of the volume; None: the voxels stay as they are.
    """
    values = normalised(volume.values, normalisation)
    if spacing is None:
        return values
    return resampled(values, size=size_at(values.shape[1:], volume.spacing, spacing), order=1)
