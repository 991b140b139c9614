"""Turn the nodes that a change replaces into the calls of PyTorch that they were."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import Tensor

from upstroke.errors import NotRepresentableError
from upstroke.graph import Node
from upstroke.graph.steps import (
    Convolution,
    Join,
    Pad,
    PerChannel,
    PixelShuffle,
    Pool,
    Resize,
    Same,
    Step,
    TransposedConvolution,
    Upsampling,
)
from upstroke.ops import native, upsample
from upstroke.ops.convolutions import CONV, CONV_TRANSPOSE
from upstroke.polyphase import Affine, Border, Margin
from upstroke.rewrite.change import Change

__all__ = ["stock_of", "upsample_mode"]

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
_MODES: Mapping[Border | None, str] = {
    "zero": "constant",
    "clamp": "replicate",
    "circular": "circular",
    # of what no operator has, a change holds reflection alone
    None: "reflect",
}
_MEANS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
# Operators of one shuffle that several calls spell are named in a row, with this between them.
_SPELLED = "–"


def stock_of(change: Change) -> Callable[[Tensor], Tensor]:
    """The nodes of a change as PyTorch's own calls, with the weights that they have, not copies.

    For timing, and to compare with. A shuffle that several calls spelled is spelled; a resize keeps the
    scale that it had, whether that or a size was given.

    Raises:
        NotRepresentableError: a node does something that is none of what changes are made of.
    """
    calls = [(node, _call(node)) for node in change.nodes]

    def run(x: Tensor) -> Tensor:
        maps = {change.first: x}
        for node, call in calls:
            maps[node.output] = call([maps[name] for name in node.inputs])
        return maps[change.last]

    return run


def upsample_mode(step: Resize) -> str | None:
    """PyTorch's word for a resize; None where it has none.

    >>> upsample_mode(Resize(mode="linear", scale=(2.0, 2.0), coordinates="half_pixel"))
    'bilinear'
    """
    if step.mode == "nearest":
        words = {("asymmetric", "floor"): "nearest", ("half_pixel", "round_prefer_ceil"): "nearest-exact"}
        return words.get((step.coordinates, step.rounding))
    if step.coordinates == "asymmetric":
        return None
    if step.mode == "linear":
        return _LINEAR[len(step.scale)]
    return "bicubic" if len(step.scale) == 2 and step.a in (-0.75, -0.5) else None


def _call(node: Node) -> Callable[[Sequence[Tensor]], Tensor]:
    """What a node does to the maps that it takes."""
    if isinstance(node.step, Join):
        return _joined(node, node.step)
    run = _run_of(node.step, node)
    return lambda maps: run(maps[0])


@singledispatch
def _run_of(step: Step, node: Node) -> Callable[[Tensor], Tensor]:
    msg = (
        f"{node.operator} {node.name} is none of the layers that a change replaces, so it cannot be "
        "run alone; time the whole model instead"
    )
    raise NotRepresentableError(msg)


@_run_of.register
def _(step: Same, node: Node) -> Callable[[Tensor], Tensor]:
    return lambda x: x


@_run_of.register
def _(step: Convolution, node: Node) -> Callable[[Tensor], Tensor]:
    even = step.border == "zero" and all(left == right >= 0 for left, right in step.padding)
    padding = tuple(left for left, _ in step.padding) if even else (0,) * len(step.padding)
    conv = CONV[len(padding)]

    def run(x: Tensor) -> Tensor:
        x = x if even else F.pad(x, _listed(step.padding), mode=_MODES[step.border])
        return conv(
            x,
            step.weight,
            step.bias,
            stride=step.stride,
            padding=padding,
            dilation=step.dilation,
            groups=step.groups,
        )

    return run


@_run_of.register
def _(step: TransposedConvolution, node: Node) -> Callable[[Tensor], Tensor]:
    padding = tuple(min(sides) for sides in step.padding)
    rest = [(left - own, right - own) for (left, right), own in zip(step.padding, padding, strict=True)]
    conv = CONV_TRANSPOSE[len(padding)]

    def run(x: Tensor) -> Tensor:
        y = conv(
            x,
            step.weight,
            step.bias,
            stride=step.stride,
            padding=padding,
            output_padding=step.output_padding,
            groups=step.groups,
            dilation=step.dilation,
        )
        return F.pad(y, _listed([(-left, -right) for left, right in rest])) if any(map(any, rest)) else y

    return run


@_run_of.register
def _(step: Resize, node: Node) -> Callable[[Tensor], Tensor]:
    mode = upsample_mode(step)
    if mode is None:
        msg = (
            f"{node.operator} {node.name} is a resize that PyTorch has not, so it cannot be run by PyTorch's "
            "calls; time the model where it comes from"
        )
        raise NotRepresentableError(msg)
    corners = step.coordinates == "align_corners" if step.mode != "nearest" else None
    scale, antialias = list(step.scale), step.mode == "cubic" and step.a != -0.75
    return lambda x: F.interpolate(
        x, scale_factor=scale, mode=mode, align_corners=corners, antialias=antialias
    )


@_run_of.register
def _(step: Upsampling, node: Node) -> Callable[[Tensor], Tensor]:
    bias = None if step.bias is None else step.bias.expand(step.operator.phases, -1)
    if bias is None and native.is_depthwise(step.operator):
        return lambda x: upsample(x, step.operator)

    def run(x: Tensor) -> Tensor:
        operator = step.operator.expand(x.shape[1])
        return upsample(x, Affine(operator=operator, bias=bias))

    return run


@_run_of.register
def _(step: PixelShuffle, node: Node) -> Callable[[Tensor], Tensor]:
    scale, phases = step.scale, math.prod(step.scale)
    if step.source is None and len(scale) == 2 and scale[0] == scale[1] and _SPELLED not in node.operator:
        return lambda x: F.pixel_shuffle(x, scale[0])
    ndim = len(scale)
    source = None if step.source is None else step.source.T.flatten()
    outer = source is not None and _is_phases_first(source, phases)

    def run(x: Tensor) -> Tensor:
        batch, channels, *cells = x.shape
        out = channels // phases
        if outer:
            x = x.reshape(batch, *scale, out, *cells)
            order = [0, 1 + ndim, *[place for axis in range(ndim) for place in (2 + ndim + axis, 1 + axis)]]
        else:
            x = x if source is None else x[:, source]
            x = x.reshape(batch, out, *scale, *cells)
            order = [0, 1, *[place for axis in range(ndim) for place in (2 + ndim + axis, 2 + axis)]]
        sizes = [s * n for s, n in zip(scale, cells, strict=True)]
        return x.permute(order).reshape(batch, out, *sizes)

    return run


@_run_of.register
def _(step: PerChannel, node: Node) -> Callable[[Tensor], Tensor]:
    if "norm" in node.operator.lower() and step.gain is not None and step.gain.numel() > 1:
        zeros, gain = torch.zeros_like(step.gain), step.gain
        return lambda x: F.batch_norm(x, zeros, torch.ones_like(zeros), gain, step.shift, eps=0.0)

    def run(x: Tensor) -> Tensor:
        flat = (-1, *[1] * (x.ndim - 2))
        if step.gain is not None:
            x = x * step.gain.reshape(flat)
        return x if step.shift is None else x + step.shift.reshape(flat)

    return run


@_run_of.register
def _(step: Pad, node: Node) -> Callable[[Tensor], Tensor]:
    sides, mode = _listed(step.sides), _MODES[step.border]
    return lambda x: F.pad(x, sides, mode=mode)


@_run_of.register
def _(step: Pool, node: Node) -> Callable[[Tensor], Tensor]:
    if step.kind != "mean" or any(map(any, step.padding)):
        msg = f"{node.operator} {node.name} is no mean over whole windows, so it is part of no change"
        raise NotRepresentableError(msg)
    mean = _MEANS[len(step.kernel)]
    return lambda x: mean(x, step.kernel, stride=step.stride)


def _joined(node: Node, step: Join) -> Callable[[Sequence[Tensor]], Tensor]:
    """Maps side by side, as those of phases are before they are shuffled."""
    if step.kind == "concatenate" and all(part.is_map for part in step.parts):
        return lambda maps: torch.cat(list(maps), dim=1)
    if step.kind == "add":
        return lambda maps: sum(maps[1:], start=maps[0])
    msg = f"{node.operator} {node.name} joins maps in a way that no change replaces"
    raise NotRepresentableError(msg)


def _is_phases_first(source: Tensor, phases: int) -> bool:
    """Whether channel p * out + o becomes phase p of channel o."""
    out = len(source) // phases
    return torch.equal(
        source, torch.arange(len(source), device=source.device).reshape(phases, out).T.flatten()
    )


def _listed(sides: Sequence[Margin]) -> list[int]:
    """Sides as PyTorch lists them: the last axis first."""
    return [side for axis in reversed(sides) for side in axis]
