"""Turn the sizes of the images into the size of the patches that a network is trained with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from statistics import median

from upstroke.errors import OptionError

__all__ = ["MOST_VOXELS", "Patch", "choose_patch"]

# Of one patch: 48 x 64 x 48 and 400 x 400 fit. A step of two of them takes a third of a second on a CPU.
MOST_VOXELS = 160_000


@dataclass(frozen=True, kw_only=True)
class Patch:
    """The size of a patch, and why it is that."""

    size: tuple[int, ...]
    reason: str


def choose_patch(
    sizes: Sequence[Sequence[int]],
    *,
    scale: Sequence[int],
    least: Sequence[int],
    output_size: Callable[[tuple[int, ...]], tuple[int, ...]] | None = None,
    most: int = MOST_VOXELS,
) -> Patch:
    """Patches as large as the middle one of the images, in whole steps of the network, up to so many voxels.

    Args:
        sizes: of the images at the spacing of the network, in voxels.
        scale: `UNet.scale`; sizes that it divides waste nothing at any level.
        least: `UNet.least_size`; no patch is smaller.
        output_size: `UNet.output_size` of a net without padding: then patches are those whose output covers
            the middle image, and `least` is the size from which on steps of `scale` lose nothing.
        most: voxels of a patch; the longest axis is shortened until they fit.

    Raises:
        OptionError: there are no sizes, or the smallest patch has more voxels than `most`.

    >>> choose_patch([(34, 52, 35), (36, 47, 40)], scale=(16, 16, 16), least=(17, 17, 17))
    Patch(size=(48, 64, 48), reason='the median image, 35x50x38, in steps of 16x16x16')
    >>> choose_patch([(512, 512)], scale=(16, 16), least=(17, 17)).reason
    'the median image, 512x512, in steps of 16x16, shortened to 160000 voxels at most'
    """
    if not sizes:
        msg = "a patch follows from the sizes of images; got none"
        raise OptionError(msg)
    middle = tuple(int(median(axis) + 0.5) for axis in zip(*sizes, strict=True))
    steps = tuple(scale)
    # a padded net runs at any size; one without padding at the least plus whole steps
    first = (
        tuple(_up(n, s) for n, s in zip(least, steps, strict=True)) if output_size is None else tuple(least)
    )
    size = list(first)
    for axis, (wanted, step) in enumerate(zip(middle, steps, strict=True)):
        while _covered(tuple(size), output_size)[axis] < wanted:
            size[axis] += step
    full = tuple(size)
    while prod(size) > most:
        longest = max(
            (axis for axis in range(len(size)) if size[axis] > first[axis]),
            key=size.__getitem__,
            default=None,
        )
        if longest is None:
            msg = (
                f"the smallest patch of this network, {_times(size)}, has more than {most} voxels; allow more"
            )
            raise OptionError(msg)
        size[longest] -= steps[longest]
    reason = f"the median image, {_times(middle)}, in steps of {_times(steps)}"
    if output_size is not None:
        reason += ", and the border that the network takes"
    if tuple(size) != full:
        reason += f", shortened to {most} voxels at most"
    return Patch(size=tuple(size), reason=reason)


def _covered(
    size: tuple[int, ...], output_size: Callable[[tuple[int, ...]], tuple[int, ...]] | None
) -> tuple[int, ...]:
    return size if output_size is None else output_size(size)


def _up(count: int, step: int) -> int:
    return -(-count // step) * step


def _times(numbers: Sequence[int]) -> str:
    return "x".join(map(str, numbers))
