"""Keep the table of layer types that can be turned into operators, one entry per PyTorch class."""

from collections.abc import Callable

from torch import nn

from upstroke.errors import NotRepresentableError
from upstroke.polyphase import Affine

__all__ = ["Lift", "from_module", "lifts"]

Lift = Callable[[nn.Module, int | None], Affine]

_LIFTS: dict[type[nn.Module], Lift] = {}


def lifts(*kinds: type[nn.Module]) -> Callable[[Lift], Lift]:
    """Register a function as the way to turn layers of these types into affine maps."""

    def register(lift: Lift) -> Lift:
        for kind in kinds:
            _LIFTS[kind] = lift
        return lift

    return register


def from_module(layer: nn.Module, *, ndim: int | None = None) -> Affine:
    """The affine map that a layer computes: exact, or refused by name.

    Takes transposed convolutions, convolutions with stride 1, nearest, linear and cubic `nn.Upsample` of a
    whole factor, pixel shuffle, batch normalisation in evaluation, padding layers, and `nn.Sequential` of
    these, in 1, 2 and 3 axes. Gradients flow from the taps to the layer's weights. Where a sequence equals
    one operator only away from its border, the operator's `margin` says how far. Whatever forward hooks do
    to a layer's output is not seen.

    Args:
        layer: the layer.
        ndim: number of axes, for the one layer that does not say it: a nearest `nn.Upsample` with one scale.
            By default what the layers beside it in a sequence say, else 2.

    Raises:
        NotRepresentableError: the layer is not linear, or no fixed set of phases describes it.

    >>> import torch
    >>> layer = nn.ConvTranspose2d(4, 6, 3, stride=(2, 3), padding=1)
    >>> affine, x = from_module(layer), torch.rand(2, 4, 5, 7)
    >>> torch.allclose(affine(x), layer(x), atol=1e-6)
    True
    """
    known = next((kind for kind in type(layer).__mro__ if kind in _LIFTS), None)
    if known is None:
        msg = (
            f"only layers that are linear in their input have an operator; got {type(layer).__name__}, "
            "so lift the layers before and after it one by one"
        )
        raise NotRepresentableError(msg)
    if type(layer).forward is not known.forward:
        msg = (
            f"{type(layer).__name__} replaces the forward of {known.__name__}, so what it computes is unknown"
            f"; lift a plain {known.__name__} with its weights instead"
        )
        raise NotRepresentableError(msg)
    return _LIFTS[known](layer, ndim)
