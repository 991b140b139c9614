"""Put PyTorch layers together: pads, crops, weights copied in, a row of layers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from upstroke.polyphase import Border, Margin

__all__ = ["PADS", "copy_into", "crop_layers", "in_a_row", "pad_layers"]

PADS: dict[Border, dict[int, type[nn.Module]]] = {
    "zero": {1: nn.ZeroPad1d, 2: nn.ZeroPad2d, 3: nn.ZeroPad3d},
    "clamp": {1: nn.ReplicationPad1d, 2: nn.ReplicationPad2d, 3: nn.ReplicationPad3d},
    "circular": {1: nn.CircularPad1d, 2: nn.CircularPad2d, 3: nn.CircularPad3d},
}


def pad_layers(pad: Sequence[Margin], border: Sequence[Border]) -> list[nn.Module]:
    """Layers that add cells as each axis' border says, one per kind of border, and cut where negative."""
    layers = []
    for kind in PADS:
        sides = [
            (max(0, left), max(0, right)) if of_axis == kind else (0, 0)
            for (left, right), of_axis in zip(pad, border, strict=True)
        ]
        layers += _pad_layer(kind, sides)
    return layers + _pad_layer("zero", [(min(0, left), min(0, right)) for left, right in pad])


def crop_layers(crop: Sequence[Margin]) -> list[nn.Module]:
    """A layer that cuts these samples off; none where there is nothing to cut."""
    return _pad_layer("zero", [(-left, -right) for left, right in crop])


def copy_into(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> None:
    """Overwrite a convolution's parameters."""
    assert isinstance(layer.weight, Tensor)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            assert isinstance(layer.bias, Tensor)
            layer.bias.copy_(bias)


def in_a_row(layers: Sequence[nn.Module]) -> nn.Module:
    """The layers in order; a single one as it is."""
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def _pad_layer(kind: Border, sides: Sequence[Margin]) -> list[nn.Module]:
    if not any(side for axis in sides for side in axis):
        return []
    return [PADS[kind][len(sides)](tuple(side for axis in reversed(sides) for side in axis))]
