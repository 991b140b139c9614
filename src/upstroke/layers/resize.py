"""Turn PyTorch's resizing layers into affine maps: nearest, linear and cubic by a whole factor."""

from collections.abc import Callable

from torch import nn

from upstroke.errors import NotRepresentableError
from upstroke.layers.family import lifts
from upstroke.polyphase import Affine, Polyphase, cubic, linear, nearest

__all__ = ["lift_resize"]

# mode: the operator of this scale, and its number of axes where the mode's name fixes it
_MODES: dict[str, tuple[Callable[..., Polyphase], int | None]] = {
    "nearest": (nearest, None),
    "nearest-exact": (nearest, None),
    # the mean over the one cell that an output sample lies in
    "area": (nearest, None),
    "linear": (linear, 1),
    "bilinear": (linear, 2),
    "trilinear": (linear, 3),
    "bicubic": (cubic, 2),
}


@lifts(nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d)
def lift_resize(layer: nn.Module, ndim: int | None = None) -> Affine:
    """The affine map of a resize, for any number of channels; exact everywhere, the edge clamped.

    PyTorch computes its coordinates in float32, so for scales that are no power of two its own result is off
    by up to 2e-4.
    """
    assert isinstance(layer, nn.Upsample)
    if layer.align_corners:
        msg = (
            f"{layer.mode} with align_corners=True samples at a spacing that depends on the input size, "
            "so no fixed set of phases describes it; use align_corners=False"
        )
        raise NotRepresentableError(msg)
    if layer.scale_factor is None:
        msg = (
            f"Upsample(size={layer.size}) has a scale that depends on the input size, so no fixed set of "
            "phases describes it; use scale_factor"
        )
        raise NotRepresentableError(msg)
    given = layer.scale_factor
    factors = given if isinstance(given, tuple) else (given,)
    if any(factor != int(factor) or factor < 1 for factor in factors):
        msg = (
            f"Upsample(scale_factor={given}) is no whole number of output samples per cell, so its phases "
            "never repeat in step with the cells; use a whole scale_factor"
        )
        raise NotRepresentableError(msg)
    make, axes = _MODES[layer.mode]
    whole = tuple(int(factor) for factor in factors)
    # a nearest resize by one number takes maps of any number of axes, so its neighbours must say
    said = axes or (len(whole) if isinstance(given, tuple) else ndim or 2)
    return Affine(operator=make(whole[0] if len(whole) == 1 else whole, ndim=said))
