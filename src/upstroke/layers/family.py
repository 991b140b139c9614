"""Keep the table of layer types that can be turned into operators, one entry per PyTorch class."""

from collections.abc import Callable

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

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
    _refuse_other_computations(layer, known)
    _refresh_weights(layer)
    return _LIFTS[known](layer, ndim)


def _refuse_other_computations(layer: nn.Module, known: type[nn.Module]) -> None:
    """Refuse a layer that carries the name of a known one and computes something else."""
    name = type(layer).__name__
    replaced = [
        method
        for method in ("forward", "_conv_forward", "_output_padding")
        if method in vars(layer) or getattr(type(layer), method, None) is not getattr(known, method, None)
    ]
    if replaced:
        msg = (
            f"{name} replaces the {replaced[0]} of {known.__name__}, so what it computes is unknown; "
            f"lift a plain {known.__name__} with its weights instead"
        )
        raise NotRepresentableError(msg)
    if isinstance(layer, LazyModuleMixin):
        msg = f"{name} has no weights before its first input; run it once, then lift it"
        raise NotRepresentableError(msg)
    if layer.training and any(isinstance(part, _SpectralNorm) for part in layer.modules()):
        msg = f"{name} under spectral_norm changes its weight when it is read in training; call eval() first"
        raise NotRepresentableError(msg)


def _refresh_weights(layer: nn.Module) -> None:
    """Let the hooks that make a weight make it now, as they do before each call; refuse all others."""
    for hook in layer._forward_pre_hooks.values():
        spectral_in_training = isinstance(hook, SpectralNorm) and layer.training
        if spectral_in_training or not isinstance(hook, WeightNorm | SpectralNorm | BasePruningMethod):
            msg = (
                f"{type(layer).__name__} has a forward pre-hook, {type(hook).__name__}, that may change its "
                "input or weights; remove it, or call eval() if it is spectral_norm, then lift the layer"
            )
            raise NotRepresentableError(msg)
        hook(layer, ())
