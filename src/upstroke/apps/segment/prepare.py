"""Turn a volume into the array that a network takes: values of one scale, voxels of one spacing."""

from collections.abc import Sequence

import numpy
from jaxtyping import Float
from numpy.typing import NDArray

from upstroke.apps.segment.normalise import Normalisation, normalised
from upstroke.apps.segment.resample import resampled, size_at
from upstroke.files.volumes import Volume

__all__ = ["prepared"]


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
