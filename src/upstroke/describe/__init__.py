"""An operator, or pictures, into the record and the arrays that are shown of it, as plain data."""

from upstroke.describe.layer import (
    AS_GIVEN,
    FIXED,
    UNIFORM,
    LayerArrays,
    describe_layer,
    layer_arrays,
)
from upstroke.describe.pictures import (
    GreyPicture,
    PictureArrays,
    UnreadFile,
    describe_picture,
    describe_pictures,
    picture_arrays,
)

__all__ = [
    "AS_GIVEN",
    "FIXED",
    "UNIFORM",
    "GreyPicture",
    "LayerArrays",
    "PictureArrays",
    "UnreadFile",
    "describe_layer",
    "describe_picture",
    "describe_pictures",
    "layer_arrays",
    "picture_arrays",
]
