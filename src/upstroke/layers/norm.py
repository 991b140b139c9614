"""Turn batch normalisation in evaluation into the affine map it is."""

import torch
from torch import nn

from upstroke.errors import NotRepresentableError
from upstroke.layers.bias import with_bias
from upstroke.layers.family import lifts
from upstroke.polyphase import Affine, convolution

__all__ = ["lift_batch_norm"]

_AXES = {nn.BatchNorm1d: 1, nn.BatchNorm2d: 2, nn.BatchNorm3d: 3}


@lifts(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
def lift_batch_norm(layer: nn.Module, ndim: int | None = None) -> Affine:
    """The map (x - mean) / sqrt(var + eps) * weight + bias, with the running mean and variance."""
    assert isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
    if layer.training or layer.running_mean is None or layer.running_var is None:
        msg = (
            f"{type(layer).__name__} that normalises by the batch's own mean and variance is not linear; "
            "call eval() on a layer that tracks running statistics"
        )
        raise NotRepresentableError(msg)
    gain = torch.rsqrt(layer.running_var + layer.eps)
    if layer.weight is not None:
        gain = gain * layer.weight
    bias = -layer.running_mean * gain
    if layer.bias is not None:
        bias = bias + layer.bias
    axes = next(axes for kind, axes in _AXES.items() if isinstance(layer, kind))
    operator = convolution(gain.reshape(-1, 1, *(1,) * axes), groups=layer.num_features)
    return with_bias(operator, bias)
