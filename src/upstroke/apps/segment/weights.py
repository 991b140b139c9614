"""Labels of a patch become how often each voxel counts in the loss: rare classes and narrow gaps more."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from upstroke.errors import MissingExtraError, OptionError

__all__ = ["REACH", "Weights", "balance"]

# In sigmas: two cells further away than this together are no gap. There the term is 0.0003 of its largest.
REACH = 4.0


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How often a voxel counts in the cross-entropy, as Ronneberger and others have it.

    w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), with w_c(x) that of the class of x, and d1 and
    d2 the distances from x to the nearest cell and to the second nearest.

    1. A cell is what hangs together, by faces, of one class that is not the first. So cells that touch by a
       corner alone are two, as a thin membrane parts them, and parts of two classes that touch are two as
       well: what lies along the face between them counts more.
    2. The second term holds everywhere; within a cell d1 is 0. It is 0 where d1 + d2 > 4 sigma, and where
       there is no second cell.
    3. Distances are between the middles of voxels, in lengths of the shortest edge of a voxel: on equal edges
       these are voxels, as in the paper; across thick slices a gap is as wide as it is in space.
    4. Voxels that are not counted (-1) belong to no cell and have the weight 0.

    Attributes:
        classes: w_c of each class, as `balance` has it.
        border: w0, what a gap of no width counts more.
        sigma: in lengths of the shortest edge of a voxel.

    Raises `OptionError` where a number is below 0 or not finite, or sigma is 0.

    >>> weights = Weights(classes=(2.0, 0.5), border=10.0, sigma=2.0)
    >>> weights.map(torch.tensor([[1, 1, 0, 1], [-1, 0, 0, 1]]), spacing=(1.0, 1.0))
    tensor([[3.7465, 6.5653, 8.0653, 6.5653],
            [0.0000, 5.2465, 6.8261, 5.8526]])
    """

    classes: tuple[float, ...]
    border: float = 10.0
    sigma: float = 5.0

    def __post_init__(self) -> None:
        """Refuse numbers that weigh nothing."""
        numbers = (*self.classes, self.border, self.sigma)
        if not all(math.isfinite(each) and each >= 0 for each in numbers) or not self.sigma:
            msg = (
                "weights must be numbers from 0 up, and sigma above 0; "
                f"got {', '.join(f'{each:g}' for each in numbers[:-1])} and the sigma {self.sigma:g}"
            )
            raise OptionError(msg)

    def map(
        self,
        labels: Int[Tensor, "*space"],
        *,
        spacing: Sequence[int | float],
        begin: Sequence[int] | None = None,
        size: Sequence[int] | None = None,
    ) -> Float[Tensor, "*size"]:
        """The weight of each voxel of a window; cells are told apart in all of the labels.

        Args:
            labels: class numbers, -1 where they are not counted.
            spacing: lengths of a voxel's edges, in any one unit.
            begin: of the window along each axis; unless given that of the labels.
            size: of the window; unless given that of the labels.
        """
        begin, size = begin or (0,) * labels.ndim, size or labels.shape
        window = tuple(slice(first, first + count) for first, count in zip(begin, size, strict=True))
        numbers = labels.numpy()
        # the last one is that of -1
        own = numpy.asarray((*self.classes, 0.0), dtype=numpy.float32)[numbers[window]]
        if self.border:
            near = _gaps(numbers, classes=len(self.classes), sigma=self.sigma, spacing=spacing, window=window)
            own += self.border * near * (numbers[window] >= 0)
        return torch.from_numpy(own)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"classes": list(self.classes), "border": self.border, "sigma": self.sigma}


def balance(masks: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """What makes all classes count alike over the voxels of these masks, and a voxel 1 in the mean.

    w_c = all voxels / (number of classes x voxels of class c), over all masks together; 1 where there is none
    of a class.

    Args:
        masks: how many voxels each class has in each of them, as `Survey.masks` has it.

    >>> balance([(18, 2), (12, 8)])
    (0.6666666666666666, 2.0)
    """
    voxels = [sum(counts) for counts in zip(*masks, strict=True)]
    has = sum(each > 0 for each in voxels)
    return tuple(sum(voxels) / (has * each) if each else 1.0 for each in voxels)


def _gaps(
    labels: Int[NDArray[Any], "*space"],
    *,
    classes: int,
    sigma: float,
    spacing: Sequence[int | float],
    window: tuple[slice, ...],
) -> Float[NDArray[numpy.float32], "*size"]:
    """The term of gaps, without its factor: every cell is looked at where it reaches, and nowhere else."""
    try:
        from scipy.ndimage import distance_transform_edt, find_objects, label
    except ImportError as error:
        msg = "weights of gaps need the package scipy; pip install 'upstroke[medical]'"
        raise MissingExtraError(msg) from error
    lengths = tuple(each / min(spacing) for each in spacing)
    reach = tuple(math.ceil(REACH * sigma / length) for length in lengths)
    size = tuple(part.stop - part.start for part in window)
    first, second = (numpy.full(size, numpy.inf, dtype=numpy.float32) for _ in range(2))
    for number in range(1, classes):
        cells, _ = label(labels == number)
        for cell, around in enumerate(find_objects(cells), start=1):
            box = _near(around, window, reach)
            target = _near(around, window, reach, beyond=False)
            if any(part.stop <= part.start for part in (*box, *target)) or not (cells[box] == cell).any():
                continue
            whole = distance_transform_edt(cells[box] != cell, sampling=lengths)
            inner = tuple(
                slice(t.start - b.start, t.stop - b.start) for t, b in zip(target, box, strict=True)
            )
            place = tuple(
                slice(t.start - w.start, t.stop - w.start) for t, w in zip(target, window, strict=True)
            )
            distance = whole[inner].astype(numpy.float32)
            second[place] = numpy.minimum(second[place], numpy.maximum(first[place], distance))
            first[place] = numpy.minimum(first[place], distance)
    both = first + second
    return numpy.where(both <= REACH * sigma, numpy.exp(-(both**2) / (2 * sigma**2)), 0).astype(numpy.float32)


def _near(
    around: tuple[slice, ...], window: tuple[slice, ...], reach: tuple[int, ...], *, beyond: bool = True
) -> tuple[slice, ...]:
    """The box of a cell and what it reaches, in the window, or in what reaches into the window."""
    more = reach if beyond else (0,) * len(reach)
    return tuple(
        slice(max(0, cell.start - far, part.start - extra), min(cell.stop + far, part.stop + extra))
        for cell, part, far, extra in zip(around, window, reach, more, strict=True)
    )
