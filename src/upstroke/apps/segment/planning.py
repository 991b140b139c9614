"""What a data set holds, and a preset, become a network and how volumes are given to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from upstroke.apps.segment.normalise import Normalisation
from upstroke.apps.segment.presets import Preset, patch_for, shape_for
from upstroke.apps.segment.recipe import Recipe
from upstroke.apps.segment.resample import MOST_VOXELS, size_at
from upstroke.apps.segment.survey import Survey
from upstroke.axes import times
from upstroke.errors import OptionError
from upstroke.nn import UNet

__all__ = ["Design", "Wishes", "design"]

# Spacings that differ by less than this share are taken for one: no more than rounding and a scanner's drift.
ALIKE = 0.05


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What somebody said; None leaves it to the preset and the data."""

    patch: tuple[int, ...] | None = None
    batch: int | None = None
    widths: tuple[int, ...] | None = None
    up: str | None = None
    conv: str | None = None
    norm: str | None = None
    spacing: tuple[int | float, ...] | None = None
    augment: str | None = None

    def of(self, preset: Preset) -> Preset:
        """The preset with what was said in its place."""
        words = {"up": self.up, "conv": self.conv, "norm": self.norm}
        said = {name: word for name, word in words.items() if word is not None}
        unet = {**preset.unet, **said}
        if self.up is not None or self.conv is not None:
            # the kernel of a preset fits its own way up
            unet.pop("up_kernel", None)
        changes = {"widths": self.widths, "batch": self.batch, "augment": self.augment}
        given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
        return replace(preset, unet=unet, **given)


@dataclass(frozen=True, kw_only=True)
class Design:
    """How a data set is learnt.

    Attributes:
        recipe: settings of the network, patches, normalisation and spacing.
        output: size of what the network answers for a patch.
        border: where in the patch that begins.
        parameters: that are learnt.
        joins: of each level, the crop on the left and how far the joined maps are apart: 0.
        notes: what was decided, in words.
    """

    recipe: Recipe
    output: tuple[int, ...]
    border: tuple[int, ...]
    parameters: int
    joins: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]


def design(found: Survey, preset: Preset, wishes: Wishes) -> Design:
    """Choose a network and patches for a data set.

    1. Where spacings differ by more than a twentieth, images are brought to the median one.
    2. A network that pads takes patches of the usual size, or as large as the preset allows; it has levels as
       `shape_for` says, and fewer where the smallest image would be too small for them.
    3. A network that does not pad has all levels, because images are mirrored beyond their edge; its patch is
       the least whose output is the usual image, or as large as the preset allows.

    Raises:
        OptionError: a wish does not fit the data.
    """
    assert found.classes is not None
    _check(found, preset, wishes)
    notes = []
    spacing = _spacing(found, wishes)
    if spacing is not None and wishes.spacing is None:
        notes.append(f"spacings differ, so images are brought to the median one, {times_of(spacing)}")
    lengths = spacing or found.spacing.median
    usual, least = (tuple(int(each) for each in sizes) for sizes in (found.sizes.median, found.sizes.least))
    if spacing is not None:
        usual = size_at(usual, found.spacing.median, spacing)
        least = size_at(least, found.spacing.median, spacing)
    fixed = {"in_channels": found.channels, "classes": found.classes.count, "ndim": found.ndim}
    if preset.unet.get("conv") == "valid":
        net = _made(preset, fixed, large(usual), lengths, levels=len(preset.widths), least=1)
        patch = wishes.patch or _valid_patch(net, usual, preset.voxels[found.ndim - 2])
    else:
        net, patch = _padded(preset, fixed, usual, least, lengths, wishes)
        if len(net.widths) < len(preset.widths):
            notes.append(
                f"images of {times(usual)}, {times(least)} the smallest, allow {len(net.widths)} levels"
            )
    if wishes.patch is not None:
        _check_patch(net, wishes.patch, _largest(found, spacing))
    recipe = Recipe(
        classes=found.classes,
        channels=found.channels,
        ndim=found.ndim,
        unet=net.settings,
        normalisation=Normalisation(),
        spacing=spacing,
        patch=patch,
        unit=None if spacing is None else found.unit,
    )
    return Design(
        recipe=recipe,
        output=net.output_size(patch),
        border=net.border,
        parameters=sum(each.numel() for each in net.parameters()),
        joins=tuple(
            {
                "level": join.level,
                "crop": list(join.crop_left),
                "drift": [str(each) for each in join.drift],
            }
            for join in net.joins
        ),
        notes=tuple(notes),
    )


def _check(found: Survey, preset: Preset, wishes: Wishes) -> None:
    """Refuse wishes that fit no image of this data, or no machine."""
    if len(preset.widths) < 2 or min(preset.widths) < 1:
        got = ",".join(map(str, preset.widths))
        msg = f"widths must be channels of two levels or more, each at least 1, such as 16,32; got {got}"
        raise OptionError(msg)
    for name, numbers in (("patch", wishes.patch), ("spacing", wishes.spacing)):
        if numbers is not None and len(numbers) != found.ndim:
            msg = f"{name} must have a number for each of {found.ndim} axes; got {times_of(numbers)}"
            raise OptionError(msg)
    if wishes.patch is not None and math.prod(wishes.patch) > MOST_VOXELS:
        msg = f"patch must have {MOST_VOXELS:,} voxels at most; got {times(wishes.patch)}; give a smaller one"
        raise OptionError(msg)
    if wishes.spacing is not None:
        usual = tuple(int(each) for each in found.sizes.median)
        size = size_at(usual, found.spacing.median, wishes.spacing)
        if math.prod(size) > MOST_VOXELS:
            msg = (
                f"spacing must leave images {MOST_VOXELS:,} voxels at most; {times_of(wishes.spacing)} makes "
                f"{times(usual)} {times(size)}; give a longer one"
            )
            raise OptionError(msg)


def _largest(found: Survey, spacing: Sequence[float] | None) -> tuple[int, ...]:
    """The longest axes of any image, as the network reads it."""
    size = tuple(int(each) for each in found.sizes.largest)
    return size if spacing is None else size_at(size, found.spacing.largest, spacing)


def _check_patch(net: UNet, patch: tuple[int, ...], largest: tuple[int, ...]) -> None:
    """Refuse what is never an image: beyond the largest one, rounded up to what pools divide."""
    output = net.output_size(patch)
    if any(size >= most + step for size, most, step in zip(output, largest, net.scale, strict=True)):
        answered = "" if output == patch else f", of which {times(output)} is answered"
        msg = (
            f"a patch must lie in the images, the largest of which have {times(largest)}; got "
            f"{times(patch)}{answered}; give a smaller one"
        )
        raise OptionError(msg)


def times_of(numbers: Sequence[int | float]) -> str:
    """Numbers of axes as they are typed.

    >>> times_of((1.0, 0.5))
    '1x0.5'
    """
    return "x".join(f"{each:g}" for each in numbers)


def large(size: Sequence[int]) -> tuple[int, ...]:
    """A size that limits no number of levels."""
    return tuple(2**30 for _ in size)


def _spacing(found: Survey, wishes: Wishes) -> tuple[float, ...] | None:
    pairs = zip(found.spacing.least, found.spacing.largest, strict=True)
    if wishes.spacing is None and all(largest <= least * (1 + ALIKE) for least, largest in pairs):
        return None
    if found.unit == "mixed":
        msg = (
            "images that are brought to one spacing must state theirs in one unit; got several, and spacings "
            f"of {times_of(found.spacing.least)} to {times_of(found.spacing.largest)}; correct their headers"
        )
        raise OptionError(msg)
    return tuple(float(each) for each in wishes.spacing or found.spacing.median)


def _padded(
    preset: Preset,
    fixed: Mapping[str, Any],
    usual: tuple[int, ...],
    least: tuple[int, ...],
    lengths: Sequence[int | float],
    wishes: Wishes,
) -> tuple[UNet, tuple[int, ...]]:
    voxels = preset.voxels[len(usual) - 2]
    rough = wishes.patch or patch_for(usual, lengths, voxels=voxels, multiple=(1,) * len(usual))
    for levels in range(len(preset.widths), 1, -1):
        net = _made(preset, fixed, rough, lengths, levels=levels)
        if all(need <= has for need, has in zip(net.least_size, least, strict=True)):
            return net, wishes.patch or patch_for(usual, lengths, voxels=voxels, multiple=net.scale)
    msg = (
        f"images must have {times(net.least_size)} voxels or more for a network of two levels; the smallest "
        f"have {times(least)}; leave them out"
    )
    raise OptionError(msg)


def _made(
    preset: Preset,
    fixed: Mapping[str, Any],
    size: Sequence[int],
    lengths: Sequence[int | float],
    *,
    levels: int,
    **options: int,
) -> UNet:
    """The network without memory for its weights."""
    shape = shape_for(size, lengths, levels=levels, **options)
    if not shape.strides:
        msg = (
            f"patches must have 7 voxels along an axis or more, to have two levels; got {times(tuple(size))}"
        )
        raise OptionError(msg)
    depth = len(shape.strides)
    deep = 0 if preset.unet.get("conv") == "valid" else min(preset.deep, depth - 1)
    with torch.device("meta"):
        return UNet(
            **fixed,
            **preset.unet,
            widths=preset.widths[: depth + 1],
            strides=shape.strides,
            kernels=shape.kernels,
            deep=deep,
        )


def _valid_patch(net: UNet, usual: Sequence[int], voxels: int) -> tuple[int, ...]:
    """The least patch whose output is the usual image, or as long as its axes may be; every pool divides."""
    edge = math.floor(voxels ** (1 / net.ndim) + 1e-9)
    # the least size of an output is that of which no pool leaves anything over; another step is a scale away
    patch = []
    for size, given, scale, wanted in zip(
        net.least_size, net.output_size(net.least_size), net.scale, usual, strict=True
    ):
        steps = min(-(-max(0, wanted - given) // scale), max(0, edge - size) // scale)
        patch.append(size + steps * scale)
    return tuple(patch)
