"""Turn a picture into the power of its frequencies."""

import torch
from jaxtyping import Float, Real
from torch import Tensor

from upstroke.diagnose._finite import check_picture
from upstroke.errors import ShapeError

__all__ = ["picture_axes", "power_spectrum"]


def power_spectrum(picture: Real[Tensor, "*space"]) -> Float[Tensor, "*space"]:
    """Power spectrum |X(2 pi k / n)|^2 / N^2 of a picture under a Hann window, without the picture's mean.

    X = DFT of (picture - mean) * window, the window being the product over axes of (1 - cos(2 pi i / n)) / 2,
    so that the picture's edges do not spread over the spectrum; N is the number of samples. Frequency 0 comes
    first on every axis, as from `torch.fft.fftn`. Units: squared units of the picture. Convention: the
    window's mean of 1/2 per axis is not divided out, so a real wave of amplitude a has a^2 / 4^(axes + 1) at
    each of its two frequencies.

    Raises:
        OptionError: a sample of the picture is not finite.
        ShapeError: the picture has no samples, or not 1, 2 or 3 axes.

    >>> import torch
    >>> stripes = torch.tensor([1.0, -1.0]).repeat(8)
    >>> power_spectrum(stripes)[7:10]
    tensor([0.0625, 0.2500, 0.0625], dtype=torch.float64)
    """
    axes = picture_axes(picture)
    if picture.numel() == 0:
        msg = f"a picture must have at least one sample; got shape {tuple(picture.shape)}"
        raise ShapeError(msg)
    check_picture(picture)
    # without its first sample a constant is 0 exactly, so that rounding leaves it no power
    whole = picture.double()
    whole = whole - whole.flatten()[0]
    windowed = whole - whole.mean()
    for axis, n in enumerate(picture.shape):
        window = torch.hann_window(n, periodic=True, dtype=torch.float64, device=picture.device)
        windowed = windowed * window.reshape(-1, *(1,) * (axes - 1 - axis))
    spectrum: Tensor = torch.fft.fftn(windowed)
    return spectrum.abs().square() / picture.numel() ** 2


def picture_axes(picture: Tensor) -> int:
    """How many axes a picture has; it holds one channel, so these are all that its tensor has.

    >>> import torch
    >>> picture_axes(torch.zeros(5, 7))
    2
    """
    if picture.ndim not in (1, 2, 3):
        msg = f"a picture must have 1, 2 or 3 axes, one channel at a time; got shape {tuple(picture.shape)}"
        raise ShapeError(msg)
    return picture.ndim
