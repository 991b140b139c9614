"""Turn a picture of any size into a square one of the size that is trained on."""

from typing import Literal, get_args

import numpy
from jaxtyping import UInt8

from upstroke.errors import OptionError

__all__ = ["FITS", "Fit", "fitted", "is_enlarged"]

Fit = Literal["crop", "stretch", "pad"]
FITS: tuple[Fit, ...] = get_args(Fit)


def fitted(
    pixels: UInt8[numpy.ndarray, "height width channels"], *, size: int, fit: Fit = "crop"
) -> UInt8[numpy.ndarray, "size size channels"]:
    """A picture as a square.

    1. `crop`: its largest centred square; `stretch`: all of it, whatever its shape; `pad`: all of it in its
       shape, in the middle of the level, per channel, that is the median of its outermost pixels.
    2. Brought to the size by Lanczos' kernel of three lobes, on the levels as stored. To shrink, the kernel
       is as much wider as the picture is larger, so that every pixel counts and nothing aliases; to enlarge,
       it interpolates. `pad` never enlarges. What has the size already is left as it is, bit for bit.

    Where a side is odd and the rest is even, or the other way round, the middle is half a pixel up or left.
    """
    if fit not in FITS:
        msg = f"fit is one of {', '.join(FITS)}; got {fit!r}"
        raise OptionError(msg)
    if fit == "crop":
        side = min(pixels.shape[:2])
        top, left = ((whole - side) // 2 for whole in pixels.shape[:2])
        return _resized(pixels[top : top + side, left : left + side], (size, size))
    if fit == "stretch":
        return _resized(pixels, (size, size))
    longest = max(*pixels.shape[:2], size)
    rows, columns = (max(1, round(each * size / longest)) for each in pixels.shape[:2])
    small = _resized(pixels, (rows, columns))
    around = numpy.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    result = numpy.empty((size, size, pixels.shape[2]), numpy.uint8)
    result[:] = numpy.median(around, axis=0).round()
    top, left = (size - rows) // 2, (size - columns) // 2
    result[top : top + rows, left : left + columns] = small
    return result


def is_enlarged(whole: tuple[int, int], *, size: int, fit: Fit) -> bool:
    """Whether a picture of these rows and columns has to be interpolated along an axis, as `fitted` does it.

    >>> is_enlarged((28, 90), size=32, fit="crop"), is_enlarged((28, 90), size=32, fit="pad")
    (True, False)
    """
    return fit != "pad" and min(whole) < size


def _resized(
    pixels: UInt8[numpy.ndarray, "height width channels"], size: tuple[int, int]
) -> UInt8[numpy.ndarray, "rows columns channels"]:
    if pixels.shape[:2] == size:
        return pixels
    from PIL import Image

    levels = numpy.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    picture = Image.fromarray(levels).resize(size[::-1], Image.Resampling.LANCZOS)
    return numpy.asarray(picture).reshape(*size, -1)
