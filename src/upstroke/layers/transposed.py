"""Turn PyTorch's transposed convolutions into affine maps; and affine maps into transposed convolutions."""

from collections.abc import Callable, Iterator

from torch import nn

from upstroke.errors import NotRepresentableError
from upstroke.layers.assemble import copy_into, crop_layers, in_a_row, pad_layers
from upstroke.layers.bias import with_bias
from upstroke.layers.family import lifts
from upstroke.polyphase import Affine, Margin, TransposedForm, as_transposed, transposed

__all__ = ["lift_transposed", "to_transposed"]

_Layer = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
_LAYERS: dict[int, Callable[..., _Layer]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


@lifts(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
def lift_transposed(layer: nn.Module, ndim: int | None = None) -> Affine:
    """The affine map of a transposed convolution, exact everywhere."""
    assert isinstance(layer, _Layer)
    assert isinstance(layer.padding, tuple)
    operator = transposed(
        layer.weight,
        stride=layer.stride,
        padding=layer.padding,
        output_padding=layer.output_padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )
    return with_bias(operator, layer.bias)


def to_transposed(affine: Affine) -> nn.Module:
    """A transposed convolution, with a pad before it and a crop after it where PyTorch needs them.

    Raises:
        NotRepresentableError: the bias differs between phases; a transposed convolution has one per channel.

    >>> from upstroke.polyphase import linear
    >>> to_transposed(Affine(operator=linear(2, ndim=1).expand(3)))
    Sequential(
      (0): ReplicationPad1d((1, 1))
      (1): ConvTranspose1d(3, 3, kernel_size=(4,), stride=(2,), padding=(3,), groups=3, bias=False)
    )
    """
    operator, bias = affine.operator, affine.bias
    if bias is not None and not bool((bias == bias[:1]).all()):
        msg = (
            "a transposed convolution has one bias per channel; this map has one per phase, "
            "so use form='shuffle'"
        )
        raise NotRepresentableError(msg)
    form = as_transposed(operator)
    # what is cut less on the right than on the left is PyTorch's output_padding, up to the stride
    padding = tuple(
        left if left - right in range(s) else min(left, right) for (left, right), s in _sides(form)
    )
    extra = tuple(left - right if left - right in range(s) else 0 for (left, right), s in _sides(form))
    layer = _LAYERS[operator.ndim](
        operator.in_channels,
        operator.out_channels,
        tuple(form.weight.shape[2:]),
        stride=form.stride,
        padding=padding,
        output_padding=extra,
        dilation=form.dilation,
        groups=form.groups,
        bias=bias is not None,
        device=form.weight.device,
        dtype=form.weight.dtype,
    )
    copy_into(layer, form.weight, None if bias is None else bias[0])
    crop = [(left - p, right - p + e) for (left, right), p, e in zip(form.crop, padding, extra, strict=True)]
    return in_a_row([*pad_layers(form.pad, form.border), layer, *crop_layers(crop)])


def _sides(form: TransposedForm) -> Iterator[tuple[Margin, int]]:
    return zip(form.crop, form.stride, strict=True)
