"""Turn PyTorch's padding layers into affine maps, so that they fold into the layer after them."""

from torch import nn

from upstroke.layers.assemble import PADS
from upstroke.layers.family import lifts
from upstroke.polyphase import Affine, pad

__all__ = ["lift_pad"]


@lifts(*(kind for of_border in PADS.values() for kind in of_border.values()))
def lift_pad(layer: nn.Module, ndim: int | None = None) -> Affine:
    """The affine map of a zero, replication or circular pad, for any number of channels."""
    sides = layer.padding
    assert isinstance(sides, tuple)
    border, axes = next(
        (border, axes)
        for border, of_border in PADS.items()
        for axes, kind in of_border.items()
        if isinstance(layer, kind)
    )
    # PyTorch lists the last axis first
    return Affine(operator=pad(sides[::2][::-1], sides[1::2][::-1], ndim=axes, border=border))
