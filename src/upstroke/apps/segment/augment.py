"""Turn random numbers into what is changed of a patch in training: the place of its voxels, and values."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, exp, inf, log, radians, sin
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from upstroke.apps.segment.deform import Turn, Warp, displacements
from upstroke.apps.segment.mirror import mirrored
from upstroke.apps.segment.resample import along
from upstroke.errors import OptionError

__all__ = ["Augmentation", "drawn_turn", "drawn_warp", "with_other_values"]

Preset = Literal["none", "light", "full"]
# as in the U-Net paper (Ronneberger et al. 2015, section 3.1): 3 points per axis
POINTS = 3


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What may be done to a patch in training, how far, and how often; by default nothing.

    Place: the image is read once, linearly, and the labels at the nearest voxel to the same positions.
    Lengths and angles are in millimetres, or in whatever the spacing is in, so voxels may be flat.
    Values: of a normalised image, whose standard deviation is 1; labels are untouched.

    >>> Augmentation.preset("light")
    ... # doctest: +NORMALIZE_WHITESPACE
    Augmentation(flips=0.0, turns=False, warped=1.0, rotation=10.0, scaling=1.1, elastic=0.0,
        changed=0.3, contrast=0.2, brightness=0.2, gamma=1.5, noise=0.1, blur=0.0)
    """

    flips: float | tuple[float, ...] = 0.0  # how often each axis is mirrored; one for all or one for each
    turns: bool = False  # by quarters, in planes whose spacing is equal: for what has no up and down
    warped: float = 0.0  # how often the image is rotated, scaled and deformed (all three in one resampling)
    rotation: float = 0.0  # degrees, at most this much either way, about every axis
    scaling: float = 1.0  # at most larger or smaller by this factor
    # Standard deviation of the displacements on the coarse grid, as a share of the distance of its points:
    # of the same strain for all sizes. The paper's 10 pixels, 3 points on 572 pixels, are 0.052.
    elastic: float = 0.0
    changed: float = 0.0  # how often each of the following is done, independently
    contrast: float = 0.0  # times 1 - contrast ... 1 + contrast, about the volume's mean
    brightness: float = 0.0  # plus or minus so many standard deviations
    gamma: float = 1.0  # exponent between 1 / gamma and gamma, the patch's mean and deviation kept
    noise: float = 0.0  # Gaussian, of a standard deviation up to this
    blur: float = 0.0  # Gaussian, of a standard deviation up to so many voxels of the finest axis

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        flips = self.flips if isinstance(self.flips, tuple) else (self.flips,)
        for name, shares in (("flips", flips), ("warped", (self.warped,)), ("changed", (self.changed,))):
            if not all(0 <= share <= 1 for share in shares):
                msg = f"{name} is a share between 0 and 1; got {getattr(self, name)}"
                raise OptionError(msg)
        for name in ("scaling", "gamma"):
            if not 1 <= getattr(self, name) < inf:
                msg = f"{name} is a factor from 1 up; got {getattr(self, name)}"
                raise OptionError(msg)
        for name in ("rotation", "elastic", "contrast", "brightness", "noise", "blur"):
            if not 0 <= getattr(self, name) < inf:
                msg = f"{name} must be 0 or more; got {getattr(self, name)}"
                raise OptionError(msg)

    @classmethod
    def preset(cls, name: Preset) -> "Augmentation":
        """`none`, `light` or `full`.

        `light` is for images that all lie one way, and for little training: turned by up to 10 degrees,
        larger or smaller by up to a tenth, and each change of values in three patches of ten. `full` is for
        long training: each axis mirrored in half of the patches, and half warped: turned by up to 15
        degrees (how patients lie), larger or smaller by up to a fifth, and deformed elastically by twice as
        much as in the U-Net paper, which still folds nothing; each change of values is made in a fifth of
        the patches, about as far as in nnU-Net (Isensee et al. 2021).
        """
        if name == "none":
            return cls()
        if name == "light":
            return cls(
                warped=1.0,
                rotation=10.0,
                scaling=1.1,
                changed=0.3,
                contrast=0.2,
                brightness=0.2,
                gamma=1.5,
                noise=0.1,
            )
        if name == "full":
            return cls(
                flips=0.5,
                warped=0.5,
                rotation=15.0,
                scaling=1.2,
                elastic=0.1,
                changed=0.2,
                contrast=0.3,
                brightness=0.3,
                gamma=1.5,
                noise=0.2,
                blur=1.0,
            )
        msg = f"an augmentation is one of none, light, full; got {name!r}"
        raise OptionError(msg)


def drawn_turn(how: Augmentation, *, spacing: Sequence[float], generator: Generator) -> Turn:
    """Which axes are mirrored, and which of equal spacing are exchanged."""
    ndim = len(spacing)
    flips = how.flips if isinstance(how.flips, tuple) else (how.flips,) * ndim
    if len(flips) != ndim:
        msg = f"flips has one share for all axes, or one for each of {ndim}; got {flips}"
        raise OptionError(msg)
    draws = torch.rand(ndim, generator=generator).tolist()
    mirrored = tuple(draw < share for draw, share in zip(draws, flips, strict=True))
    if not how.turns:
        return Turn(axes=tuple(range(ndim)), mirrored=mirrored)
    # mirrored or not by half, any exchange of axes makes every quarter turn as likely
    order = torch.randperm(ndim, generator=generator).tolist()
    axes = list(range(ndim))
    for value in set(spacing):
        equal = [axis for axis in range(ndim) if spacing[axis] == value]
        shuffled = [axis for axis in order if axis in equal]
        for axis, source in zip(equal, shuffled, strict=True):
            axes[axis] = source
    mirrored = tuple(
        draw < (0.5 if list(spacing).count(spacing[axis]) > 1 else share)
        for axis, (draw, share) in enumerate(zip(draws, flips, strict=True))
    )
    return Turn(axes=tuple(axes), mirrored=mirrored)


def drawn_warp(
    how: Augmentation, *, size: Sequence[int], spacing: Sequence[float], generator: Generator
) -> Warp | None:
    """A rotation, a scaling and an elastic deformation in one; None, most cheaply, where nothing is drawn."""
    if how.rotation == how.elastic == 0 and how.scaling == 1:
        return None
    if not _happens(how.warped, generator):
        return None
    ndim = len(size)
    matrix = torch.eye(ndim, dtype=torch.float64)
    for first in range(ndim):
        for second in range(first + 1, ndim):
            matrix = matrix @ _rotation(
                _between(-how.rotation, how.rotation, generator), plane=(first, second), ndim=ndim
            )
    matrix *= _factor(how.scaling, generator)
    # voxels into millimetres, which are turned, and back
    lengths = torch.tensor(spacing, dtype=torch.float64)
    matrix = matrix * lengths / lengths[:, None]
    return Warp(matrix=matrix, displacement=_elastic(how, size=size, spacing=spacing, generator=generator))


def _elastic(
    how: Augmentation, *, size: Sequence[int], spacing: Sequence[float], generator: Generator
) -> Float[Tensor, "*size d"] | None:
    if how.elastic == 0:
        return None
    # one deviation in all directions, by the axis whose points are nearest to each other, so nothing folds
    nearest = min(count * length for count, length in zip(size, spacing, strict=True)) / POINTS
    coarse = torch.randn(len(size), *(POINTS,) * len(size), generator=generator)
    in_voxels = torch.tensor([how.elastic * nearest / length for length in spacing])
    return displacements(coarse * in_voxels.reshape(-1, *(1,) * len(size)), size)


def _rotation(degrees: float, *, plane: tuple[int, int], ndim: int) -> Float[Tensor, "d d"]:
    matrix = torch.eye(ndim, dtype=torch.float64)
    first, second = plane
    angle = radians(degrees)
    matrix[first, first] = matrix[second, second] = cos(angle)
    matrix[first, second], matrix[second, first] = -sin(angle), sin(angle)
    return matrix


def with_other_values(
    image: Float[Tensor, "channels *size"],
    how: Augmentation,
    *,
    spacing: Sequence[float],
    generator: Generator,
) -> Float[Tensor, "channels *size"]:
    """The image blurred, of other contrast, brightness and gamma, and with noise, in a tensor of its own."""
    if how.blur and _happens(how.changed, generator):
        image = _blurred(image, _between(0.0, how.blur, generator), spacing)
    if how.contrast and _happens(how.changed, generator):
        image = image * _between(1 - how.contrast, 1 + how.contrast, generator)
    if how.brightness and _happens(how.changed, generator):
        image = image + _between(-how.brightness, how.brightness, generator)
    if how.gamma > 1 and _happens(how.changed, generator):
        image = _with_gamma(image, _factor(how.gamma, generator))
    if how.noise and _happens(how.changed, generator):
        deviation = _between(0.0, how.noise, generator)
        image = image + deviation * torch.randn(image.shape, generator=generator)
    return image


def _blurred(image: Tensor, deviation: float, spacing: Sequence[float]) -> Tensor:
    for axis, length in enumerate(spacing, start=1):
        sigma = deviation * min(spacing) / length
        if sigma > 0.1:  # below, less than 1e-10 of a voxel reaches the next
            image = along(image, axis, _gaussian(image.shape[axis], sigma))
    return image.contiguous()


def _gaussian(count: int, sigma: float) -> Float[Tensor, "count count"]:
    """Each voxel's weights on all, the image mirrored at its ends."""
    reach = min(int(4 * sigma + 1), count - 1)
    steps = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    voxels = torch.arange(count)[:, None]
    kernels = (kernel / kernel.sum()).expand(count, -1)
    return torch.zeros(count, count).scatter_add(1, mirrored(voxels + steps, count), kernels)


def _with_gamma(image: Tensor, gamma: float) -> Tensor:
    """Each channel to a power between its least and its greatest value, its mean and deviation as before."""
    result = torch.empty_like(image)
    for channel, target in zip(image, result, strict=True):
        least, most = float(channel.min()), float(channel.max())
        if least == most:
            target.copy_(channel)
            continue
        curved = ((channel - least) / (most - least)) ** gamma
        # NumPy's sums do not depend on the number of threads: a batch follows from its seed, bit for bit
        before, after = channel.numpy(), curved.numpy()
        target.copy_(
            (curved - float(after.mean())) * float(before.std() / after.std()) + float(before.mean())
        )
    return result


def _happens(share: float, generator: Generator) -> bool:
    return float(torch.rand((), generator=generator)) < share


def _between(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def _factor(most: float, generator: Generator) -> float:
    """As often larger than 1 as smaller."""
    return exp(_between(-log(most), log(most), generator))
