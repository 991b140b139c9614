"""Turn an array of bytes into a PNG picture that stands in a page."""

import base64
import io

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import MissingExtraError

__all__ = ["embedded"]


def embedded(picture: NDArray[np.uint8]) -> str:
    """A data URI of levels (y, x), or (y, x, 3) of red, green and blue.

    >>> embedded(np.zeros((2, 3), np.uint8)).partition(",")[0]
    'data:image/png;base64'
    """
    try:
        from PIL import Image
    except ImportError as error:
        msg = "pictures in a page need the package pillow; pip install 'upstroke[train]'"
        raise MissingExtraError(msg) from error
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
