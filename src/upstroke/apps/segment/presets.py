"""The name of a preset, and what the images are like, become the settings of a network and its training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from upstroke.errors import OptionError

__all__ = ["PRESETS", "Preset", "Shape", "patch_for", "preset_named", "shape_for"]

# A level has no axis of fewer voxels: below, a window of 3 sees more beyond the edge than within it.
LEAST = 4
# An axis waits while its voxels are so many times as long as the finest: nnU-Net (Isensee et al., 2021).
COARSE = 2.0


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What one name stands for.

    Attributes:
        name: as it is typed.
        words: what it is, in half a sentence.
        widths: channels from the finest level down; data that allow fewer levels take the first ones.
        unet: other settings of the network.
        deep: levels below the finest that answer as well in training, as many as there are at most.
        optimizer: "adamw", or "sgd" with momentum.
        rate: its largest learning rate.
        decay: weight decay.
        momentum: of SGD.
        average: share of the old that stays in the averaged weights each step; 0 keeps those of the step.
        dice: how often the Dice loss counts beside the cross-entropy.
        borders: w0 and sigma of `Weights`, by which rare classes and gaps between neighbours count more in
            the cross-entropy; None: all voxels count alike.
        batch: patches in a step.
        voxels: of a patch at most, in 2-D and in 3-D.
        augment: preset of augmentation.
        steps: where nobody says how many.
    """

    name: str
    words: str
    widths: tuple[int, ...]
    unet: Mapping[str, Any]
    deep: int
    optimizer: Literal["adamw", "sgd"]
    rate: float
    decay: float
    momentum: float
    average: float
    dice: float
    borders: tuple[float, float] | None
    batch: int
    voxels: tuple[int, int]
    augment: Literal["none", "light", "full"]
    steps: int


PRESETS = {
    each.name: each
    for each in (
        Preset(
            name="tiny",
            words="small and quick, for a processor and minutes",
            widths=(16, 32, 64, 128),
            unet={"norm": "instance", "activation": "leaky", "down": "max", "up": "transposed"},
            deep=2,
            optimizer="adamw",
            rate=2e-3,
            decay=1e-2,
            momentum=0.0,
            average=0.99,
            dice=1.0,
            borders=None,
            batch=2,
            voxels=(2**16, 2**17),
            augment="light",
            steps=1000,
        ),
        Preset(
            name="base",
            words="as nnU-Net has it: six levels, strided convolutions, losses at several levels",
            widths=(32, 64, 128, 256, 320, 320),
            unet={"norm": "instance", "activation": "leaky", "down": "conv", "up": "transposed"},
            deep=4,
            optimizer="adamw",
            rate=1e-3,
            decay=1e-2,
            momentum=0.0,
            average=0.999,
            dice=1.0,
            borders=None,
            batch=2,
            voxels=(2**18, 2**21),
            augment="full",
            steps=20_000,
        ),
        Preset(
            # Ronneberger et al., 2015: batch 1, momentum 0.99, cross-entropy with weights for rare classes
            # and for gaps, dropout at the end of the way down, of half the samples as in the network that
            # they gave away. The paper states no learning rate: at ten times this one the loss comes down no
            # further and swings. Beyond the paper, as for all presets, the rate rises first and falls as a
            # cosine to 0, on which the loss comes down once more, and the norm of gradients is cut.
            name="original",
            words="the U-Net of 2015: unpadded convolutions, centred crops, no norm",
            widths=(64, 128, 256, 512, 1024),
            unet={
                "conv": "valid",
                "norm": "none",
                "activation": "relu",
                "down": "max",
                "up": "transposed",
                "up_kernel": 2,
                "bottom_dropout": 0.5,
            },
            deep=0,
            optimizer="sgd",
            rate=1e-3,
            decay=0.0,
            momentum=0.99,
            average=0.0,
            dice=0.0,
            borders=(10.0, 5.0),
            batch=1,
            voxels=(572**2, 188**3),
            augment="full",
            steps=20_000,
        ),
    )
}


def preset_named(name: str) -> Preset:
    """One of the presets.

    Raises:
        OptionError: there is none of that name.

    >>> preset_named("tiny").widths
    (16, 32, 64, 128)
    """
    if name not in PRESETS:
        msg = f"a preset is one of {', '.join(PRESETS)}; got {name!r}"
        raise OptionError(msg)
    return PRESETS[name]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a network goes down: strides between levels, and the kernel of each level, along each axis."""

    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]


def shape_for(
    size: Sequence[int], spacing: Sequence[int | float], *, levels: int, least: int = LEAST
) -> Shape:
    """Strides and kernels that suit the voxels: coarse axes wait until the others have caught up.

    From level to level an axis is halved where

    1. half of it, rounded up, is still `least` voxels, and
    2. its voxels are less than twice as long as the finest of those axes that can be halved.

    The kernel is 3 along an axis whose voxels are less than twice as long as the finest at that level, or
    were at one above, and 1 along the others: neighbours that far away are not the same neighbourhood. There
    are so many levels at most, and fewer where no axis can be halved any more.

    Args:
        size: of what the network is trained on, in voxels.
        spacing: of its voxels, in one unit.
        levels: at most.
        least: voxels of an axis at the coarsest level.

    >>> shape_for((16, 64, 64), (3.0, 1.0, 1.0), levels=4)
    Shape(strides=((1, 2, 2), (2, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)))
    """
    sizes, lengths = list(size), [float(each) for each in spacing]
    wide = [False] * len(sizes)
    strides: list[tuple[int, ...]] = []
    kernels: list[tuple[int, ...]] = []
    while True:
        finest = min(lengths)
        wide = [was or length < COARSE * finest for was, length in zip(wide, lengths, strict=True)]
        kernels.append(tuple(3 if each else 1 for each in wide))
        can = [-(-each // 2) >= least for each in sizes]
        if len(kernels) == levels or not any(can):
            return Shape(strides=tuple(strides), kernels=tuple(kernels))
        finest = min(length for length, is_able in zip(lengths, can, strict=True) if is_able)
        stride = tuple(
            2 if is_able and length < COARSE * finest else 1
            for length, is_able in zip(lengths, can, strict=True)
        )
        strides.append(stride)
        sizes = [-(-each // step) for each, step in zip(sizes, stride, strict=True)]
        lengths = [length * step for length, step in zip(lengths, stride, strict=True)]


def patch_for(
    size: Sequence[int], spacing: Sequence[int | float], *, voxels: int, multiple: Sequence[int]
) -> tuple[int, ...]:
    """The size of patches: the usual image where that is small, else near to a cube of space.

    The edge of the cube, in units of length, is the largest at which the patch has so many voxels at most;
    axes that are shorter are taken whole. Then each is rounded up to a multiple of what the network divides
    it by where it was taken whole, and down where not, but never to nothing.

    >>> patch_for((36, 50, 35), (1.0, 1.0, 1.0), voxels=2**17, multiple=(8, 8, 8))
    (40, 56, 40)
    >>> patch_for((20, 512, 512), (3.0, 1.0, 1.0), voxels=2**17, multiple=(4, 8, 8))
    (20, 80, 80)
    """
    low, high = 0.0, max(count * length for count, length in zip(size, spacing, strict=True))

    def within(edge: float) -> list[float]:
        return [min(float(count), edge / length) for count, length in zip(size, spacing, strict=True)]

    if math.prod(size) > voxels:
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if math.prod(within(middle)) <= voxels else (low, middle)
        high = low
    return tuple(
        -(-count // step) * step if wanted >= count else max(1, int(wanted / step)) * step
        for count, wanted, step in zip(size, within(high), multiple, strict=True)
    )
