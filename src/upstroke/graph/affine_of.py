"""Turn a step into the affine map it computes, exact or refused."""

import math
from dataclasses import replace
from functools import singledispatch
from typing import Literal

import torch
from torch import Tensor

from upstroke.errors import NotRepresentableError
from upstroke.graph.steps import (
    Convolution,
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
from upstroke.polyphase import (
    Affine,
    Border,
    Polyphase,
    convolution,
    cubic,
    identity,
    linear,
    nearest,
    shuffle,
    transposed,
)
from upstroke.polyphase import pad as padded

Centre = Literal["cell", "sample"]

__all__ = ["affine_of", "is_linear"]


# Phases, and elements of a kernel with its holes, beyond which an operator is not written down: no network
# that people train comes near them.
MOST_PHASES, MOST_ELEMENTS = 2**16, 2**28


def is_linear(step: Step) -> bool:
    """Whether a step is linear in its input and treats all positions alike, readable or not.

    >>> is_linear(Same())
    True
    """
    if isinstance(step, Pool):
        return step.kind == "mean" and max(step.stride) == 1
    return isinstance(
        step,
        Convolution | TransposedConvolution | Resize | Upsampling | PixelShuffle | PerChannel | Pad | Same,
    )


def affine_of(step: Step, *, ndim: int, interior: bool = False) -> Affine:
    """The affine map of a linear step, for maps of so many spatial axes.

    With `interior`, a border that no operator has (reflection) is read as zeros: right for all that is
    measured away from the edge.

    Raises:
        NotRepresentableError: no fixed set of phases describes it.

    >>> affine_of(Resize(mode="nearest", scale=(2.0,), coordinates="asymmetric"), ndim=1).operator.scale
    (2,)
    """
    _check_room(step)
    if interior and isinstance(step, Convolution | Pad) and step.border is None:
        step = replace(step, border="zero")
    if interior and isinstance(step, Resize):
        step = replace(step, rescaled=False)
    if interior and isinstance(step, Pool):
        step = replace(step, padding=((0, 0),) * ndim)
    return _affine_of(step, ndim)


def _check_room(step: Step) -> None:
    """Refuse, before anything is made of it, what would not fit into memory."""
    scale: tuple[float, ...] = (1,)
    if isinstance(step, Resize | PixelShuffle):
        scale = step.scale
    elements = 0
    if isinstance(step, TransposedConvolution):
        scale = step.stride
    if isinstance(step, Convolution | TransposedConvolution):
        sizes = zip(step.dilation, step.weight.shape[2:], strict=True)
        elements = math.prod(step.weight.shape[:2]) * math.prod(d * (k - 1) + 1 for d, k in sizes)
    if not all(map(math.isfinite, scale)) or math.prod(scale) > MOST_PHASES or elements > MOST_ELEMENTS:
        msg = (
            f"its scale {'x'.join(f'{s:g}' for s in scale)}, or its kernel with its holes, is larger than "
            "any that can be measured"
        )
        raise NotRepresentableError(msg)


@singledispatch
def _affine_of(step: Step, ndim: int) -> Affine:
    msg = f"{type(step).__name__} is not linear in its input, so it has no operator"
    raise NotRepresentableError(msg)


@_affine_of.register
def _(step: Same, ndim: int) -> Affine:
    return Affine(operator=identity(ndim=ndim))


@_affine_of.register
def _(step: Convolution, ndim: int) -> Affine:
    if max(step.stride) > 1:
        msg = f"a convolution with stride {step.stride} makes maps smaller, so it is no upsampler"
        raise NotRepresentableError(msg)
    if step.border is None:
        msg = "a convolution that pads by reflection continues the map as no border of an operator does"
        raise NotRepresentableError(msg)
    operator = convolution(
        step.weight, padding=step.padding, dilation=step.dilation, groups=step.groups, border=step.border
    )
    return _with_bias(operator, step.bias)


@_affine_of.register
def _(step: TransposedConvolution, ndim: int) -> Affine:
    operator = transposed(
        step.weight,
        stride=step.stride,
        padding=tuple(left for left, _ in step.padding),
        dilation=step.dilation,
        groups=step.groups,
    )
    # excess takes the padding of both sides, and was given the left one twice
    excess = tuple(
        e + left - right + extra
        for e, (left, right), extra in zip(operator.excess, step.padding, step.output_padding, strict=True)
    )
    return _with_bias(replace(operator, excess=excess), step.bias)


@_affine_of.register
def _(step: Resize, ndim: int) -> Affine:
    if step.coordinates == "align_corners":
        msg = (
            f"{step.mode} with align_corners samples at a spacing that depends on the input size, "
            "so no fixed set of phases describes it"
        )
        raise NotRepresentableError(msg)
    if any(scale != int(scale) or scale < 1 for scale in step.scale):
        factors = "x".join(f"{scale:g}" for scale in step.scale)
        msg = f"a resize by {factors} is no whole number of output samples per cell on every axis"
        raise NotRepresentableError(msg)
    scale = tuple(int(each) for each in step.scale)
    centre: Centre = "cell" if step.coordinates == "half_pixel" else "sample"
    if step.mode == "nearest":
        return Affine(operator=nearest(scale, ndim=ndim, centre=centre, rounding=step.rounding))
    if step.mode == "linear":
        return Affine(operator=linear(scale, ndim=ndim, centre=centre))
    if step.rescaled:
        # of two weights one lies inside, so that linear gives the edge value either way
        msg = "a cubic resize that leaves out what lies beyond the edge is no border of an operator"
        raise NotRepresentableError(msg)
    return Affine(operator=cubic(scale, ndim=ndim, a=step.a, centre=centre))


@_affine_of.register
def _(step: Upsampling, ndim: int) -> Affine:
    bias = step.bias
    # a shared operator is read as that of one channel, and each channel has a bias of its own
    operator = step.operator if bias is None else step.operator.expand(bias.shape[0])
    return _with_bias(operator, bias)


@_affine_of.register
def _(step: PixelShuffle, ndim: int) -> Affine:
    if step.source is None:
        return Affine(operator=shuffle(step.scale, ndim=ndim))
    zero: Border = "zero"
    phases, out = step.source.shape
    taps = torch.zeros(phases, out, phases * out)
    taps.scatter_(2, step.source[:, :, None], 1.0)
    return Affine(
        operator=Polyphase(
            taps=taps.reshape(*taps.shape, *(1,) * ndim),
            scale=step.scale,
            origin=(0,) * ndim,
            excess=(0,) * ndim,
            border=(zero,) * ndim,
        )
    )


@_affine_of.register
def _(step: Pool, ndim: int) -> Affine:
    if step.kind != "mean" or max(step.stride) > 1 or any(side for sides in step.padding for side in sides):
        msg = (
            "only a mean over windows that are one apart, without padding, has an operator; "
            f"got a {step.kind} of stride {step.stride} and padding {step.padding}"
        )
        raise NotRepresentableError(msg)
    window = torch.full((1, 1, *step.kernel), 1 / math.prod(step.kernel), dtype=torch.float64)
    return Affine(operator=replace(convolution(window), shared=True))


@_affine_of.register
def _(step: PerChannel, ndim: int) -> Affine:
    given = step.gain if step.gain is not None else step.shift
    if given is None:
        return Affine(operator=identity(ndim=ndim))
    gain = torch.ones_like(given) if step.gain is None else step.gain
    channels = max(gain.numel(), 1 if step.shift is None else step.shift.numel())
    gain = gain.expand(channels)
    operator = convolution(gain.reshape(-1, 1, *(1,) * ndim), groups=channels)
    if channels == 1:
        operator = replace(operator, shared=True, groups=1)
    return _with_bias(operator, None if step.shift is None else step.shift.expand(channels))


@_affine_of.register
def _(step: Pad, ndim: int) -> Affine:
    if step.border is None:
        msg = (
            "padding by reflection, or by a constant other than 0, continues the map as no border of an "
            "operator does"
        )
        raise NotRepresentableError(msg)
    before, after = zip(*step.sides, strict=True)
    return Affine(operator=padded(before, after, ndim=ndim, border=step.border))


def _with_bias(operator: Polyphase, bias: Tensor | None) -> Affine:
    return Affine(operator=operator, bias=None if bias is None else bias.expand(operator.phases, -1))
