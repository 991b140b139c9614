"""Turn a row of linear layers into the one affine map they compute."""

from functools import reduce

from torch import nn

from upstroke.errors import NotRepresentableError
from upstroke.layers.family import from_module, lifts
from upstroke.polyphase import Affine, compose_affine

__all__ = ["lift_sequence"]


@lifts(nn.Sequential)
def lift_sequence(layer: nn.Module, ndim: int | None = None) -> Affine:
    """The composition of all layers; the operator's margin says where it is exact only inside.

    Layers that do nothing in evaluation (`nn.Identity`, dropout) are passed over.
    """
    maps, said = [], ndim or _axes(layer)
    # not named_children, which passes over a layer that stands in the sequence twice
    for name, part in layer._modules.items():
        assert part is not None
        if isinstance(part, nn.Identity) or _is_idle_dropout(part):
            continue
        try:
            maps.append(from_module(part, ndim=said))
        except NotRepresentableError as error:
            msg = f"layer {name} of the sequence has no operator: {error}"
            raise NotRepresentableError(msg) from error
    if not maps:
        msg = "a sequence without layers that compute anything has no number of axes; lift one that has some"
        raise NotRepresentableError(msg)
    return reduce(compose_affine, maps)


def _axes(layer: nn.Module) -> int | None:
    """The number of axes that any layer within says by its type's name."""
    names = (kind.__name__ for part in layer.modules() for kind in type(part).__mro__)
    return next((int(name[-2]) for name in names if name[-2:] in ("1d", "2d", "3d")), None)


def _is_idle_dropout(part: nn.Module) -> bool:
    dropouts = nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d | nn.AlphaDropout
    return isinstance(part, dropouts) and not part.training
