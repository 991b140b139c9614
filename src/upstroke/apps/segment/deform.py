"""Turn a place in a volume and a deformation into a patch, by one resampling at most, labels exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import torch
from jaxtyping import Float, Int
from torch import Tensor

from upstroke.apps.segment.mirror import mirrored
from upstroke.apps.segment.resample import along
from upstroke.ops import upsample
from upstroke.polyphase import cubic

__all__ = ["NOT_COUNTED", "Turn", "Warp", "cut", "displacements", "piece"]

# the label of a voxel that no loss and no score counts
NOT_COUNTED = -1


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Axes exchanged, then some of them mirrored: voxels change their places and nothing else.

    Axis a of the result is axis `axes[a]` of what came in, read backwards where `mirrored[a]`.

    >>> quarter = Turn(axes=(1, 0), mirrored=(True, False))
    >>> quarter.applied(torch.tensor([[[1, 2, 3], [4, 5, 6]]]))
    tensor([[[3, 6],
             [2, 5],
             [1, 4]]])
    """

    axes: tuple[int, ...]
    mirrored: tuple[bool, ...]

    @classmethod
    def none(cls, ndim: int) -> "Turn":
        """The turn that changes nothing."""
        return cls(axes=tuple(range(ndim)), mirrored=(False,) * ndim)

    def applied(self, x: Tensor) -> Tensor:
        """The last axes of a tensor, one for each of the turn's, exchanged and mirrored."""
        first = x.ndim - len(self.axes)
        x = x.permute(*range(first), *(first + axis for axis in self.axes))
        backwards = [first + axis for axis, mirrored in enumerate(self.mirrored) if mirrored]
        return x.flip(backwards) if backwards else x

    def before(self, size: Sequence[int]) -> tuple[int, ...]:
        """The size that `applied` turns into this one."""
        sizes = [0] * len(self.axes)
        for axis, source in enumerate(self.axes):
            sizes[source] = size[axis]
        return tuple(sizes)

    def border_before(self, left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
        """What must stand on the left of each axis, so that `left` does after the turn."""
        borders = [0] * len(self.axes)
        for axis, (source, is_mirrored) in enumerate(zip(self.axes, self.mirrored, strict=True)):
            borders[source] = right[axis] if is_mirrored else left[axis]
        return tuple(borders)


@dataclass(frozen=True, kw_only=True, eq=False)
class Warp:
    """Where voxels of a patch are read: at matrix @ (voxel - middle) + middle + displacement, in voxels."""

    matrix: Float[Tensor, "d d"]
    displacement: Float[Tensor, "*size d"] | None = None


def piece(
    image: Float[Tensor, "channels *space"],
    labels: Int[Tensor, "*space"],
    *,
    start: Sequence[int],
    size: Sequence[int],
) -> tuple[Float[Tensor, "channels *size"], Int[Tensor, "*size"]]:
    """The voxels from `start` on; beyond its edges the image is mirrored and the labels are -1, not counted.

    Mirrored about the middle of the outermost voxel, which is not doubled, as often as it takes.

    >>> image, labels = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0, 1, 2])
    >>> piece(image, labels, start=(-2,), size=(8,))
    (tensor([[3., 2., 1., 2., 3., 2., 1., 2.]]), tensor([-1, -1,  0,  1,  2, -1, -1, -1]))
    """
    for axis, (first, count) in enumerate(zip(start, size, strict=True)):
        whole = labels.shape[axis]
        if first >= 0 and first + count <= whole:
            image, labels = image.narrow(axis + 1, first, count), labels.narrow(axis, first, count)
            continue
        asked = torch.arange(first, first + count)
        there = mirrored(asked, whole)
        image, labels = image.index_select(axis + 1, there), labels.index_select(axis, there)
        beyond = (asked < 0) | (asked >= whole)
        labels = labels.index_fill(axis, beyond.nonzero()[:, 0], NOT_COUNTED)
    return image, labels


def cut(
    image: Float[Tensor, "channels *space"],
    labels: Int[Tensor, "*space"],
    *,
    start: Sequence[int],
    size: Sequence[int],
    turn: Turn | None = None,
    warp: Warp | None = None,
) -> tuple[Float[Tensor, "channels *size"], Int[Tensor, "*size"]]:
    """A patch of this size: the voxels from `start` on, warped by one resampling, then turned.

    The image is read linearly between voxels and the labels at the nearest voxel to the same positions, so no
    label appears that was not there; without a warp no value changes. Edges are as for `piece`. `start` is
    that of the patch before the turn, whose size is `turn.before(size)`.
    """
    turn = turn or Turn.none(labels.ndim)
    taken = turn.before(size)
    if warp is None:
        image, labels = piece(image, labels, start=start, size=taken)
    else:
        image, labels = _warped(image, labels, start=start, size=taken, warp=warp)
    return turn.applied(image), turn.applied(labels)


def _warped(
    image: Tensor, labels: Tensor, *, start: Sequence[int], size: tuple[int, ...], warp: Warp
) -> tuple[Tensor, Tensor]:
    positions = _from_middle(size) @ warp.matrix.T.float()
    if warp.displacement is not None:
        positions += warp.displacement
    middle = torch.tensor([first + (count - 1) / 2 for first, count in zip(start, size, strict=True)])
    flat = positions.reshape(-1, len(size))
    first = (flat.amin(0) + middle).floor().long()
    # one voxel more on the right than the last position needs, so that no axis of the box has a single voxel
    count = (flat.amax(0) + middle).floor().long() + 2 - first
    image, labels = piece(image, labels, start=first.tolist(), size=count.tolist())

    # grid_sample takes the corner voxels' middles for -1 and 1, and names the last axis first
    half = (count - 1) / 2
    positions += middle - first - half
    positions /= half
    where = positions.flip(-1)[None]
    grid_sample = torch.nn.functional.grid_sample
    image = grid_sample(image[None], where, mode="bilinear", padding_mode="border", align_corners=True)[0]
    numbers = labels[None, None].float()
    numbers = grid_sample(numbers, where, mode="nearest", padding_mode="border", align_corners=True)
    return image, numbers[0, 0].to(labels.dtype)


@lru_cache(maxsize=16)
def _from_middle(size: tuple[int, ...]) -> Float[Tensor, "*size d"]:
    """For each voxel of a patch how far it is from the middle, in voxels."""
    axes = [torch.arange(count, dtype=torch.float32) - (count - 1) / 2 for count in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


def displacements(coarse: Float[Tensor, "d *points"], size: Sequence[int]) -> Float[Tensor, "*size d"]:
    """Vectors on a coarse grid, one for each voxel of a patch: bicubic between half-pixel grids.

    >>> displacements(torch.ones(2, 3, 3), (4, 5)).shape
    torch.Size([4, 5, 2])
    """
    for axis, count in enumerate(size):
        coarse = along(coarse, axis + 1, _interpolation(coarse.shape[axis + 1], count))
    return coarse.movedim(0, -1).contiguous()


@lru_cache(maxsize=64)
def _interpolation(points: int, count: int) -> Float[Tensor, "count points"]:
    """The matrix that interpolates `points` values to `count` by Keys' cubic, the edge continued outwards.

    The points are refined by the least whole factor that covers the patch, and the middle is taken.
    """
    scale = ceil(count / points)
    one_each = torch.eye(points, dtype=torch.float64)[:, None]
    fine = upsample(one_each, cubic(scale, ndim=1, a=-0.5))[:, 0]
    left = (points * scale - count) // 2
    return fine[:, left : left + count].T.float().contiguous()
