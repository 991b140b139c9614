"""Turn pictures, real and drawn ones alike, into changed ones through which gradients flow."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor

from upstroke.errors import OptionError

__all__ = ["Augmenting", "augmented"]

# For each picture: brightness, saturation, contrast, two of translation, two of the square that is cut out.
DRAWS = 7


@dataclass(frozen=True, kw_only=True)
class Augmenting:
    """How far pictures are changed before a discriminator sees them; 0 leaves them alone.

    Shown real and drawn pictures changed in the same way, a discriminator cannot learn the few real ones by
    heart so soon, and since the changes have gradients a generator learns through them and need not draw
    them. Source, and the numbers of `preset`: Zhao et al. 2020, "Differentiable augmentation for
    data-efficient GAN training".

    Attributes:
        brightness: added to all values, drawn evenly between minus and plus this; values are from -1 to 1.
        saturation: distance from the mean over channels, times 1 - saturation ... 1 + saturation.
        contrast: distance from the mean of the picture, times 1 - contrast ... 1 + contrast.
        translation: moved by whole pixels, up to this share of the size either way, along both axes; what
            comes in is 0, which is mid grey.
        cutout: a square of this share of the size becomes 0; its middle lies anywhere in the picture.
    """

    brightness: float = 0.0
    saturation: float = 0.0
    contrast: float = 0.0
    translation: float = 0.0
    cutout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name in ("brightness", "saturation", "contrast", "translation", "cutout"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                msg = f"{name} is between 0, which changes nothing, and 1; got {value}"
                raise OptionError(msg)

    @classmethod
    def preset(cls) -> "Augmenting":
        """All three kinds as far as in the paper: colour, translation by an eighth, a square of a half."""
        return cls(brightness=0.5, saturation=1.0, contrast=0.5, translation=0.125, cutout=0.5)


def augmented(
    x: Float[Tensor, "b channels height width"], how: Augmenting, *, generator: Generator | None = None
) -> Float[Tensor, "b channels height width"]:
    """Pictures changed, each by its own draws; differentiable in `x`, to any order.

    1. Brightness, saturation and contrast, in this order, on values: x + u, then m + (x - m)·f with m the
       mean over the channels of a pixel, then with m the mean of the picture.
    2. Moved: y[i, j] = x[i - down, j - right], and 0 where that lies outside.
    3. A square set to 0.

    The draws of a batch depend on the generator and the number of pictures alone, neither on what is in them
    nor on `how`: generators in the same state change real and drawn pictures in the same way, and in
    different states by the same chances.

    Args:
        x: values from -1 to 1; afterwards they may lie outside.
        how: how far they are changed.
        generator: on the processor, wherever x is; None: PyTorch's own.
    """
    draws = torch.rand(DRAWS, len(x), generator=generator, dtype=torch.float64)
    # a draw from -1 to 1 for each change of values, shaped to be multiplied with pictures
    light, colour, distance = (2 * draws[:3] - 1).to(x.device, x.dtype)[..., None, None, None]
    if how.brightness:
        x = x + how.brightness * light
    if how.saturation:
        x = _from_mean(x, 1 + how.saturation * colour, axes=(1,))
    if how.contrast:
        x = _from_mean(x, 1 + how.contrast * distance, axes=(1, 2, 3))
    if how.translation:
        for axis, draw in zip((2, 3), draws[3:5], strict=True):
            x = _moved(x, _steps(draw, how.translation, x.shape[axis]).to(x.device), axis)
    if how.cutout:
        x = _cut(x, draws[5:7], how.cutout)
    return x


def _from_mean(x: Tensor, factor: Tensor, *, axes: tuple[int, ...]) -> Tensor:
    mean = x.mean(axes, keepdim=True)
    return (x - mean) * factor + mean


def _steps(draw: Float[Tensor, " b"], share: float, size: int) -> Int64[Tensor, " b"]:
    """Whole pixels from -most to most, each as likely."""
    most = int(share * size + 0.5)
    return (draw * (2 * most + 1)).long() - most


def _moved(x: Tensor, steps: Int64[Tensor, " b"], axis: int) -> Tensor:
    """Each picture moved along an axis by its own number of pixels."""
    size = x.shape[axis]
    shape = (-1, 1, *(size if each == axis else 1 for each in (2, 3)))
    sources = (torch.arange(size, device=x.device) - steps[:, None]).reshape(shape)
    taken = x.gather(axis, sources.clamp(0, size - 1).expand_as(x))
    return taken * ((sources >= 0) & (sources < size))


def _cut(x: Tensor, draws: Float[Tensor, "2 b"], share: float) -> Tensor:
    inside = [_within(draw, share, size).to(x.device) for draw, size in zip(draws, x.shape[2:], strict=True)]
    rows, columns = inside
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])


def _within(draw: Float[Tensor, " b"], share: float, size: int) -> Bool[Tensor, "b size"]:
    """Which pixels along an axis lie in the square; its middle is on any pixel, and may cut it short."""
    length = int(share * size + 0.5)
    start = (draw * (size + 1 - length % 2)).long() - length // 2
    from_start = torch.arange(size) - start[:, None]
    return (from_start >= 0) & (from_start < length)
