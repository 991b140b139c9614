"""Turn two label maps of one image into how well they agree, class by class.

Dice and IoU count voxels. Distances go from boundary voxel to boundary voxel, centre to centre, in the unit
of the spacing: a voxel of a class is on its boundary if a neighbour across a side is of another class, or
missing, because the image ends there. The Hausdorff distance at 95 per cent is the larger of the two directed
95th percentiles (linear between ranks), and the boundary distance is the mean over the boundary voxels of
both. These are MONAI 1.6's `compute_hausdorff_distance(percentile=95)` and
`compute_average_surface_distance(symmetric=True)`. Others count otherwise: MedPy takes the percentile of both
directions together, DeepMind's `surface-distance` weighs each boundary voxel by its area, and Podobnik and
Vrtovec (arXiv:2410.02630) compare eleven programs, so that distances are only to be held against those of the
same convention.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from upstroke.axes import times
from upstroke.errors import MissingExtraError, OptionError, ShapeError

__all__ = ["PERCENTILE", "ClassScores", "Presence", "scores"]

Mask: TypeAlias = NDArray[np.bool_]
Presence: TypeAlias = Literal["both", "missed", "invented", "absent"]

PERCENTILE = 95
# Points in a leaf of the tree: one tree is asked once, for which larger leaves than SciPy's 10 are faster.
LEAF = 32


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """How well one class was found in one image.

    Attributes:
        number: of the class.
        true: voxels that are of it.
        predicted: voxels that were said to be of it.
        common: voxels that are and were.
        hausdorff95: Hausdorff distance at 95 per cent, in the unit of the spacing; None unless the class is
            in both label maps, because there is no boundary to compare.
        boundary: mean distance from boundary to boundary, likewise.
    """

    number: int
    true: int
    predicted: int
    common: int
    hausdorff95: float | None
    boundary: float | None

    @property
    def presence(self) -> Presence:
        """Whether the class is in both label maps, only in the true or in the predicted one, or in none."""
        if self.true:
            return "both" if self.predicted else "missed"
        return "invented" if self.predicted else "absent"

    @property
    def dice(self) -> float | None:
        """Twice the common voxels by all of both, from 0 to 1; None where the class is in neither."""
        both = self.true + self.predicted
        return 2 * self.common / both if both else None

    @property
    def iou(self) -> float | None:
        """Common voxels by those of either, from 0 to 1; None where the class is in neither."""
        either = self.true + self.predicted - self.common
        return self.common / either if either else None


def scores(
    predicted: NDArray[np.integer],
    true: NDArray[np.integer],
    *,
    classes: int,
    spacing: Sequence[float],
    background: bool = False,
) -> tuple[ClassScores, ...]:
    """Compare two label maps.

    Args:
        predicted: (*space), a class number for each voxel.
        true: likewise; voxels of -1 are not counted, and belong to no class in either map.
        classes: how many there are; class 0 is the background.
        spacing: distance of neighbours along each axis.
        background: whether class 0 is judged as well.

    Returns:
        Scores in the order of the class numbers.

    Raises:
        ShapeError: sizes differ, or the spacing is not one number per axis.
        OptionError: a spacing that is not positive.
        MissingExtraError: scipy is not installed.

    >>> true = np.array([[0, 1, 1], [0, 1, 1]])
    >>> (found,) = scores(np.array([[0, 0, 1], [0, 0, 1]]), true, classes=2, spacing=(1.0, 0.5))
    >>> round(found.dice, 3), found.iou, found.hausdorff95
    (0.667, 0.5, 0.5)
    """
    if predicted.shape != true.shape:
        msg = (
            f"two label maps that are compared must have one size; got {times(predicted.shape)} for the "
            f"predicted one and {times(true.shape)} for the true one"
        )
        raise ShapeError(msg)
    if len(spacing) != true.ndim:
        msg = f"the spacing must have a number for each of {true.ndim} axes; got {len(spacing)}"
        raise ShapeError(msg)
    if not all(0 < each < np.inf for each in spacing):
        msg = f"the spacing must be positive on every axis; got {', '.join(f'{each:g}' for each in spacing)}"
        raise OptionError(msg)
    counted = true >= 0
    is_all = bool(counted.all())
    return tuple(
        _compared(
            number,
            (predicted == number) if is_all else (predicted == number) & counted,
            true == number,
            np.asarray(spacing, dtype=np.float64),
        )
        for number in range(0 if background else 1, classes)
    )


def _compared(number: int, predicted: Mask, true: Mask, spacing: NDArray[np.float64]) -> ClassScores:
    sizes = int(true.sum()), int(predicted.sum())
    hausdorff, boundary = _distances(predicted, true, spacing) if all(sizes) else (None, None)
    return ClassScores(
        number=number,
        true=sizes[0],
        predicted=sizes[1],
        common=int((predicted & true).sum()),
        hausdorff95=hausdorff,
        boundary=boundary,
    )


def _distances(predicted: Mask, true: Mask, spacing: NDArray[np.float64]) -> tuple[float, float]:
    """The Hausdorff distance at 95 per cent and the mean distance of the boundaries of two masks."""
    try:
        from scipy.spatial import KDTree
    except ImportError as error:
        msg = "distances of boundaries need the package scipy; pip install 'upstroke[medical]'"
        raise MissingExtraError(msg) from error
    # what is empty around both changes no distance, and a mask that reaches a side of the box ends there
    box = _box(predicted | true)
    edges = [np.argwhere(_boundary(mask[box])) * spacing for mask in (predicted, true)]
    directed = [KDTree(there, leafsize=LEAF).query(here)[0] for here, there in (edges, reversed(edges))]
    return (
        max(float(np.percentile(each, PERCENTILE)) for each in directed),
        float(np.concatenate(directed).mean()),
    )


def _box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box that holds every voxel of a mask that has some."""
    found = []
    for axis in range(mask.ndim):
        places = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        found.append(slice(int(places[0]), int(places[-1]) + 1))
    return tuple(found)


def _boundary(mask: Mask) -> Mask:
    """Voxels of a mask with a neighbour across a side that is not in it, or with none there."""
    from scipy.ndimage import binary_erosion

    inner: Mask = binary_erosion(mask, border_value=0)
    return mask & ~inner
