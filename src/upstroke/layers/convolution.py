"""Turn PyTorch's convolutions into affine maps; and affine maps into convolutions and shuffles."""

import math
from collections.abc import Callable

from torch import nn

from upstroke.errors import NotRepresentableError
from upstroke.layers.assemble import copy_into, crop_layers, in_a_row, pad_layers
from upstroke.layers.bias import with_bias
from upstroke.layers.family import lifts
from upstroke.layers.shuffle import shuffle_layer
from upstroke.polyphase import Affine, Border, Margin, Polyphase, as_conv_shuffle, convolution, transposed

__all__ = ["BORDERS", "Conv", "adjoint_of", "lift_convolution", "padding_sides", "to_conv_shuffle"]

Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d
_LAYERS: dict[int, Callable[..., Conv]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BORDERS: dict[str, Border] = {"zeros": "zero", "replicate": "clamp", "circular": "circular"}


@lifts(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def lift_convolution(layer: nn.Module, ndim: int | None = None) -> Affine:
    """The affine map of a convolution with stride 1, exact everywhere."""
    assert isinstance(layer, Conv)
    if max(layer.stride) > 1:
        msg = (
            f"a convolution with stride {layer.stride} makes maps smaller, so it is no upsampler; "
            "adjoint_of(layer) gives the operator whose adjoint it is"
        )
        raise NotRepresentableError(msg)
    if layer.padding_mode not in BORDERS:
        msg = (
            f"padding_mode='{layer.padding_mode}' continues the map as no border of an operator does; "
            "use zeros, replicate or circular"
        )
        raise NotRepresentableError(msg)
    operator = convolution(
        layer.weight,
        padding=padding_sides(layer),
        dilation=layer.dilation,
        groups=layer.groups,
        border=BORDERS[layer.padding_mode],
    )
    return with_bias(operator, layer.bias)


def adjoint_of(layer: Conv, *, output_padding: int | tuple[int, ...] = 0) -> Polyphase:
    """The operator whose adjoint a strided convolution is: the transposed convolution with its weight.

    `layer(y) - bias == ops.adjoint(y, adjoint_of(layer))` for maps y of the sizes that the operator gives;
    for the others, output_padding = (size + 2 * padding - dilation * (K - 1) - 1) % stride, per axis.

    Raises:
        NotRepresentableError: the padding is not zeros, or not the same on both sides.

    >>> import torch
    >>> from upstroke.ops import adjoint
    >>> layer, y = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False), torch.rand(2, 4, 9, 13)
    >>> torch.allclose(adjoint(y, adjoint_of(layer)), layer(y), atol=1e-6)
    True
    """
    sides = padding_sides(layer)
    if layer.padding_mode != "zeros" or any(left != right for left, right in sides):
        msg = (
            "a convolution is the adjoint of a transposed convolution only with equal zero padding on both "
            f"sides; got padding={layer.padding!r}, padding_mode={layer.padding_mode!r}"
        )
        raise NotRepresentableError(msg)
    return transposed(
        layer.weight,
        stride=layer.stride,
        padding=tuple(left for left, _ in sides),
        output_padding=output_padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )


def to_conv_shuffle(affine: Affine) -> nn.Module:
    """A convolution that makes every phase, and a pixel shuffle; only the convolution where the scale is 1.

    >>> from upstroke.polyphase import linear
    >>> to_conv_shuffle(Affine(operator=linear(2).expand(3)))
    Sequential(
      (0): ReplicationPad2d((1, 1, 1, 1))
      (1): Conv2d(3, 12, kernel_size=(3, 3), stride=(1, 1), groups=3, bias=False)
      (2): PixelShuffle(upscale_factor=2)
    )
    """
    operator, bias = affine.operator, affine.bias
    form = as_conv_shuffle(operator)
    # equal zero padding is the convolution's own
    own = all(left == right >= 0 for left, right in form.pad) and set(form.border) == {"zero"}
    layer = _LAYERS[operator.ndim](
        operator.in_channels,
        operator.out_channels * operator.phases,
        tuple(form.weight.shape[2:]),
        padding=tuple(left for left, _ in form.pad) if own else 0,
        groups=form.groups,
        bias=bias is not None,
        device=form.weight.device,
        dtype=form.weight.dtype,
    )
    copy_into(layer, form.weight, None if bias is None else bias.T.flatten())
    pads = [] if own else pad_layers(form.pad, form.border)
    shuffle = [shuffle_layer(form.scale)] if math.prod(form.scale) > 1 else []
    return in_a_row([*pads, layer, *shuffle, *crop_layers([(0, cut) for cut in form.crop])])


def padding_sides(layer: Conv) -> tuple[Margin, ...]:
    """The padding (left, right) of a convolution per axis, with PyTorch's words spelled out.

    >>> padding_sides(nn.Conv2d(1, 1, (3, 4), padding="same"))
    ((1, 1), (1, 2))
    """
    if layer.padding == "valid":
        return ((0, 0),) * len(layer.kernel_size)
    if layer.padding == "same":
        total = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return tuple((n // 2, n - n // 2) for n in total)
    assert not isinstance(layer.padding, str)
    return tuple((pad, pad) for pad in layer.padding)
