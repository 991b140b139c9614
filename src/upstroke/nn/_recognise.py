"""Recognise the layers whose weights can be set or held, and refuse those whose weights cannot."""

import math
from collections.abc import Sequence
from typing import TypeVar

from torch import nn
from torch.nn.parameter import is_lazy

from upstroke.axes import times
from upstroke.errors import OptionError, ShapeError
from upstroke.layers import Interleave
from upstroke.layers.convolution import Conv

__all__ = ["AnyLayer", "check_own", "check_phases", "shuffled", "type_names"]

AnyLayer = TypeVar("AnyLayer", bound=nn.Module)


def shuffled(layer: nn.Module) -> tuple[Conv, tuple[int, ...]] | None:
    """The convolution and the scale, if the layer is a convolution followed by a pixel shuffle."""
    if not isinstance(layer, nn.Sequential) or len(layer) != 2:
        return None
    conv, shuffle = layer
    if isinstance(shuffle, nn.PixelShuffle):
        scale: tuple[int, ...] = (shuffle.upscale_factor,) * 2
    elif isinstance(shuffle, Interleave):
        scale = shuffle.scale
    else:
        return None
    return (conv, scale) if isinstance(conv, Conv) and len(conv.kernel_size) == len(scale) else None


def check_phases(conv: Conv, scale: tuple[int, ...]) -> None:
    """Refuse channels that are no whole phases, or whose phases are made of different input channels."""
    phases = math.prod(scale)
    out, rest = divmod(conv.out_channels, phases)
    if rest:
        msg = (
            f"a pixel shuffle of scale {times(scale)} needs a multiple of {phases} channels; "
            f"got {conv.out_channels}"
        )
        raise ShapeError(msg)
    if out % conv.groups:
        msg = (
            "the phases of a channel can only be alike if they see the same input channels, so groups must "
            f"divide the {out} channels after the shuffle; got groups={conv.groups}"
        )
        raise ShapeError(msg)


def check_own(layer: nn.Module, *, name: str, tensors: Sequence[str] = ("weight", "bias")) -> None:
    """Refuse a layer whose tensors are not there yet, or are made anew whenever they are read."""
    kind = type(layer).__name__
    for each in tensors:
        value = getattr(layer, each)
        if value is not None and each not in layer._parameters:
            msg = (
                f"{name} needs the {each} of {kind} as a parameter, and a parametrization or a hook makes it "
                f"from other tensors; call {name} before that is registered"
            )
            raise OptionError(msg)
        if is_lazy(value):
            msg = f"{kind} has no {each} before its first input; run it once, then call {name}"
            raise OptionError(msg)


def type_names(layer: nn.Module) -> str:
    """The type of a layer, and of those within a sequence."""
    kind = type(layer).__name__
    if type(layer) is nn.Sequential:
        kind += f" of {', '.join(type(part).__name__ for part in layer) or 'nothing'}"
    return kind
