"""Turn a resize, a convolution and what stands beside them into the two steps that a layer of both takes."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from upstroke.graph import Node
from upstroke.graph.row import in_double
from upstroke.graph.steps import Convolution, Pad, PerChannel, Resize, Same

__all__ = ["resize_and_convolution", "scaled"]


def resize_and_convolution(nodes: Sequence[Node]) -> tuple[Resize, Convolution] | None:
    """The resize that a row begins with, and one convolution for all that stands behind it, if there is one.

    A pad in front of a convolution that pads nothing is the convolution's own, and numbers per channel behind
    it are folded into its weights, in double precision. None where more is added than one convolution can,
    unevenly, or by reflection.

    >>> import torch
    >>> grow = Resize(mode="linear", scale=(2.0,), coordinates="half_pixel")
    >>> conv = Convolution(
    ...     weight=torch.ones(4, 8, 3), bias=None, stride=(1,), padding=((0, 0),), dilation=(1,)
    ... )
    >>> steps = (grow, Pad(sides=((1, 1),), border="clamp"), conv, PerChannel(gain=torch.ones(4), shift=None))
    >>> row = [Node(name="", operator="", inputs=("x",), output="y", step=step) for step in steps]
    >>> both = resize_and_convolution(row)
    >>> both[1].padding, both[1].border
    (((1, 1),), 'clamp')
    """
    first, *rest = [node.step for node in nodes if not isinstance(node.step, Same)]
    ahead = [step for step in rest if isinstance(step, Pad)]
    convolutions = [step for step in rest if isinstance(step, Convolution)]
    behind = [step for step in rest if isinstance(step, PerChannel)]
    in_order = [id(step) for step in rest] == [id(step) for step in (*ahead, *convolutions, *behind)]
    if not isinstance(first, Resize) or len(convolutions) != 1 or len(ahead) > 1 or not in_order:
        return None
    convolution = convolutions[0]
    if ahead:
        if any(map(any, convolution.padding)) or min(map(min, ahead[0].sides)) < 0:
            return None
        convolution = replace(convolution, padding=ahead[0].sides, border=ahead[0].border)
    if convolution.border is None or any(left != right for left, right in convolution.padding):
        return None
    for numbers in behind:
        convolution = scaled(convolution, numbers)
    return first, convolution


def scaled(convolution: Convolution, numbers: PerChannel) -> Convolution:
    """A convolution, in double precision, with numbers per channel folded into it."""
    exact, per = in_double(convolution), in_double(numbers)
    assert isinstance(exact, Convolution)
    assert isinstance(per, PerChannel)
    weight, bias = exact.weight, exact.bias
    out = weight.shape[0]
    gain = weight.new_ones(out) if per.gain is None else per.gain.expand(out)
    shift: Tensor | None = None if per.shift is None else per.shift.expand(out)
    if bias is not None:
        shift = bias * gain if shift is None else bias * gain + shift
    return replace(exact, weight=weight * gain.reshape(-1, *[1] * (weight.ndim - 1)), bias=shift)
