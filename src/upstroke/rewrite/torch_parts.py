"""Turn a change, in one of its forms, into the PyTorch layers that compute it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import get_args

import torch
from torch import Tensor, nn

from upstroke.errors import NotRepresentableError, OptionError
from upstroke.graph.affine_of import affine_of
from upstroke.graph.steps import Convolution, Resize, Upsampling
from upstroke.layers import to_module
from upstroke.layers.assemble import copy_into, pad_layers
from upstroke.layers.convolution import Conv
from upstroke.nn.convolution import Fill, conv_layer
from upstroke.nn.interpolation import Interpolation
from upstroke.ops.native import is_depthwise
from upstroke.polyphase import Affine, Border, Polyphase, as_phase_convs, as_transposed
from upstroke.rewrite.change import Change, Commuted, Form, Shuffled
from upstroke.rewrite.changes_two import resize_and_convolution
from upstroke.rewrite.torch_layers import (
    Channelwise,
    Drawn,
    PerChannelBias,
    PhaseConvolutions,
    Resized,
    ResizedConv,
    Rewritten,
    Shuffle,
)
from upstroke.rewrite.torch_stock import stock_of, upsample_mode

__all__ = ["part_of", "stock_of"]

_FILLS: Mapping[Border, Fill] = {"zero": "zeros", "clamp": "replicate", "circular": "circular"}


def part_of(change: Change, form: Form, *, dtype: torch.dtype, device: torch.device | str) -> Rewritten:
    """The layers that compute what a change's nodes compute together, in one of its forms.

    Weights are copies, composed in the precision of the change and rounded once; they want a gradient if any
    of those that they are made of did. torch's random numbers are left as they are.

    Args:
        change: what is to be computed.
        form: how; one of `change.forms`, or another that can compute it.
        dtype: of the parameters.
        device: of the parameters.

    Raises:
        NotRepresentableError: no layers compute this change in this form.

    >>> from upstroke.graph import Node
    >>> from upstroke.graph.steps import PixelShuffle
    >>> shuffle = PixelShuffle(scale=(2, 3))
    >>> node = Node(name="up", operator="view–permute–view", inputs=("x",), output="y", step=shuffle)
    >>> change = Change(
    ...     site="up",
    ...     codes=("shuffle",),
    ...     nodes=(node,),
    ...     first="x",
    ...     last="y",
    ...     does=Shuffled(shuffle=shuffle),
    ...     forms=("depth to space",),
    ...     words="",
    ... )
    >>> part_of(change, "depth to space", dtype=torch.float32, device="cpu")
    Rewritten(
      in place of up
      (0): Shuffle(scale=(2, 3))
    )
    """
    if form not in get_args(Form):
        msg = f"form must be one of {', '.join(get_args(Form))}; got {form!r}"
        raise OptionError(msg)
    does = change.does
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        if isinstance(does, Shuffled):
            layers: list[nn.Module] = [Shuffle(does.shuffle.scale, does.shuffle.source)]
        elif isinstance(does, Commuted):
            layers = _commuted(does)
        elif form in _LOWERED:
            layers = _LOWERED[form](does.affine, change)
        else:
            raise _refusal(change, form, "one affine map has no such form")
    part = Rewritten(*layers, words=f"in place of {', '.join(node.name for node in change.nodes)}")
    weights = list(_weights(change))
    part.to(device=torch.device(device), dtype=dtype)
    if any(_is_channels_last(weight) for weight in weights):
        part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return part.requires_grad_(any(weight.requires_grad for weight in weights)).eval()


def _transposed(affine: Affine, change: Change) -> list[nn.Module]:
    """A transposed convolution between a pad and a crop."""
    if affine.operator.shared:
        return _native(affine, change)
    _check_exact(affine, change, "transposed")
    made = to_module(affine, form="transposed")
    layers = list(made) if isinstance(made, nn.Sequential) else [made]
    return [
        _drawn(layer)
        if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
        else layer
        for layer in layers
    ]


def _drawn(layer: nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) -> Drawn:
    """PyTorch's layer as ours, with the same parameters."""
    assert isinstance(layer.padding, tuple)
    drawn = Drawn(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        output_padding=layer.output_padding,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias is not None,
        ndim=len(layer.stride),
        device=layer.weight.device,
        dtype=layer.weight.dtype,
    )
    with torch.no_grad():
        copy_into(drawn, layer.weight, layer.bias)
    return drawn


def _shuffled(affine: Affine, change: Change) -> list[nn.Module]:
    """A convolution that makes every phase, and a pixel shuffle."""
    _check_exact(affine, change, "shuffle")
    if affine.operator.shared:
        raise _refusal(change, "shuffle", "it serves maps of any number of channels")
    made = to_module(affine, form="shuffle")
    layers = list(made) if isinstance(made, nn.Sequential) else [made]
    if affine.operator.phases == 1:
        return layers
    # named by its scale alone in our own layers, and so shown as one operator
    place = next(place for place, layer in enumerate(layers) if isinstance(layer, Conv)) + 1
    return [*layers[:place], Shuffle(affine.operator.scale), *layers[place + 1 :]]


def _in_phases(affine: Affine, change: Change) -> list[nn.Module]:
    """One small convolution per phase."""
    _check_exact(affine, change, "phases")
    if affine.operator.shared:
        raise _refusal(change, "phases", "it serves maps of any number of channels")
    form = as_phase_convs(affine.operator)
    return [*pad_layers(form.pad, form.border), PhaseConvolutions(form, affine.bias)]


def _native(affine: Affine, change: Change) -> list[nn.Module]:
    """The compiled kernels for channels by themselves, and what is measured fastest for the rest."""
    operator, bias = affine.operator, affine.bias
    if any(side for sides in operator.margin for side in sides):
        return [_resized_conv(change)]
    if operator.shared and operator.in_channels == operator.out_channels == 1:
        added = [] if bias is None else [_even_bias(bias, change)]
        return [Resized(operator, _interpolation(change)), *added]
    if operator.shared:
        raise _refusal(change, "native", "one kernel of several channels serves maps of any number of them")
    if not is_depthwise(operator) or set(operator.border) == {"zero"}:
        return _transposed(affine, change)
    return [Channelwise(as_transposed(operator), None if bias is None else _even_bias(bias, change).bias)]


_LOWERED: Mapping[str, Callable[[Affine, Change], list[nn.Module]]] = {
    "transposed": _transposed,
    "phases": _in_phases,
    "shuffle": _shuffled,
    "native": _native,
}


def _commuted(does: Commuted) -> list[nn.Module]:
    """The convolution, then the resize, then the bias if that stays."""
    bias = [] if does.bias is None else [PerChannelBias(does.bias)]
    return [_conv(does.convolution), _resize(does.resize), *bias]


def _conv(step: Convolution) -> nn.Module:
    """PyTorch's layer for a convolution of stride 1."""
    if any(left != right for left, right in step.padding) or step.border is None or max(step.stride) > 1:
        msg = (
            "a convolution that pads unevenly or by reflection, or moves by more than one sample, cannot move"
        )
        raise NotRepresentableError(msg)
    out, group, *kernel = step.weight.shape
    layer = conv_layer(
        group * step.groups,
        out,
        tuple(kernel),
        padding=tuple(left for left, _ in step.padding),
        dilation=step.dilation,
        groups=step.groups,
        padding_mode=_FILLS[step.border],
        bias=step.bias is not None,
        ndim=len(kernel),
        device=step.weight.device,
        dtype=step.weight.dtype,
    )
    copy_into(layer, step.weight, step.bias)
    return layer


def _resize(step: Resize | Upsampling) -> nn.Module:
    """The resize as it was."""
    if isinstance(step, Upsampling):
        return Resized(step.operator)
    name = upsample_mode(step)
    if not step.given:
        msg = (
            "the size that this resize makes is computed in the model's own code, which no layer sees; "
            "rewrite the graph instead"
        )
        raise NotRepresentableError(msg)
    if name is None or step.a == -0.5:
        return Resized(affine_of(step, ndim=len(step.scale)).operator)
    corners = step.coordinates == "align_corners" if step.mode != "nearest" else None
    return nn.Upsample(scale_factor=step.scale, mode=name, align_corners=corners)


def _interpolation(change: Change) -> Interpolation | None:
    """Our layer for the same resize, which knows PyTorch's operator for graphs that leave Python."""
    step = change.nodes[0].step if len(change.nodes) == 1 else None
    if not isinstance(step, Resize) or step.coordinates != "half_pixel" or step.mode == "nearest":
        return None
    if step.mode == "cubic" and step.a != -0.75:
        return None
    return Interpolation(tuple(int(s) for s in step.scale), mode=step.mode, ndim=len(step.scale))


def _resized_conv(change: Change) -> nn.Module:
    """The two layers as they were, where a border between them shows, but computed together."""
    both = resize_and_convolution(change.nodes)
    border = None if both is None else both[1].border
    if both is None or border is None:
        raise _refusal(change, "native", "it is exact only away from the border")
    resize, conv = both
    whole = all(scale == int(scale) >= 1 for scale in resize.scale)
    if not whole or resize.coordinates != "half_pixel" or resize.mode == "nearest" or max(conv.stride) > 1:
        raise _refusal(change, "native", "it is exact only away from the border")
    out, group, *kernel = conv.weight.shape
    layer = ResizedConv(
        group * conv.groups,
        out,
        tuple(kernel),
        scale=tuple(int(scale) for scale in resize.scale),
        mode=resize.mode,
        padding=tuple(left for left, _ in conv.padding),
        dilation=conv.dilation,
        groups=conv.groups,
        padding_mode=_FILLS[border],
        bias=conv.bias is not None,
        ndim=len(kernel),
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    copy_into(layer.conv, conv.weight, conv.bias)
    return layer


def _even_bias(bias: Tensor, change: Change) -> PerChannelBias:
    """A bias that all phases share, as a layer."""
    if not bool((bias == bias[:1]).all()):
        raise _refusal(change, "native", "its bias differs between phases")
    return PerChannelBias(bias[0])


def _check_exact(affine: Affine, change: Change, form: Form) -> None:
    if any(side for sides in affine.operator.margin for side in sides):
        raise _refusal(change, form, "it is exact only away from the border")


def _refusal(change: Change, form: str, reason: str) -> NotRepresentableError:
    return NotRepresentableError(
        f"{change.site} cannot be computed in the form {form!r}, because {reason}; use another form"
    )


def _weights(change: Change) -> Iterator[Tensor]:
    """Every tensor that the nodes of a change hold."""
    for node in change.nodes:
        for field in fields(node.step):
            value = getattr(node.step, field.name)
            value = value.taps if isinstance(value, Polyphase) else value
            if isinstance(value, Tensor):
                yield value


def _is_channels_last(weight: Tensor) -> bool:
    last = torch.channels_last
    return weight.ndim == 4 and weight.is_contiguous(memory_format=last) and not weight.is_contiguous()
