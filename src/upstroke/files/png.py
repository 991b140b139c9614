"""Turn an array of bytes into a PNG picture."""

import io

import numpy
from jaxtyping import UInt8

from upstroke.errors import MissingExtraError, ShapeError

__all__ = ["png_bytes"]


def png_bytes(picture: UInt8[numpy.ndarray, "..."]) -> bytes:
    """The content of a PNG file.

    Args:
        picture: levels of shape (height, width), or (height, width, channels) with 1 or 3 channels.

    Raises:
        ShapeError: it is no picture.
        MissingExtraError: the package pillow is not installed.

    >>> png_bytes(numpy.zeros((5, 7, 3), numpy.uint8))[1:4]
    b'PNG'
    """
    if not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (1, 3))) or picture.size == 0:
        msg = f"a picture has shape (height, width) or (height, width, 1 or 3); got {picture.shape}"
        raise ShapeError(msg)
    try:
        from PIL import Image
    except ImportError as error:
        msg = "writing pictures needs the package pillow; pip install 'upstroke[train]'"
        raise MissingExtraError(msg) from error
    flat = picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
    buffer = io.BytesIO()
    Image.fromarray(numpy.ascontiguousarray(flat)).save(buffer, "PNG")
    return buffer.getvalue()
