"""Turn a volume into the array that a network takes: values of one scale, voxels of one spacing."""

from collections.abc import Sequence

import numpy
from jaxtyping import Float
from numpy.typing import NDArray

from upstroke.apps.segment.normalise import Normalisation, normalised
from upstroke.apps.segment.recipe import Recipe
from upstroke.apps.segment.resample import resampled, size_at
from upstroke.axes import times
from upstroke.errors import FileError
from upstroke.files.volumes import Volume

__all__ = ["check_fits", "prepared"]


def check_fits(volume: Volume, recipe: Recipe) -> None:
    """Refuse an image of another kind than those that were learnt from.

    Raises:
        FileError: it has other axes or channels, or values that are no numbers.
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
