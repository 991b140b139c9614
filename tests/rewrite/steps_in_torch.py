"""Run steps by PyTorch's own functions, so that what stands in their place can be compared with them."""

import torch
import torch.nn.functional as F
from torch import Tensor

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
)

__all__ = ["run_steps"]

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
MODES = {"zero": "constant", "clamp": "replicate", "circular": "circular", None: "reflect"}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def run_steps(steps: list[Step], x: Tensor) -> Tensor:
    """What steps make of a map, one after the other, in double precision."""
    for step in steps:
        x = _run(step, x)
    return x


def _run(step: Step, x: Tensor) -> Tensor:
    ndim = x.ndim - 2
    if isinstance(step, Same):
        return x
    if isinstance(step, Pad):
        assert step.border is not None or step.mirrored
        return _padded(x, step.sides, step.border)
    if isinstance(step, PerChannel):
        shape = (1, -1, *[1] * ndim)
        x = x if step.gain is None else x * step.gain.double().reshape(shape)
        return x if step.shift is None else x + step.shift.double().reshape(shape)
    bias = None if getattr(step, "bias", None) is None else step.bias.double()
    if isinstance(step, Convolution):
        return CONV[ndim](
            _padded(x, step.padding, step.border),
            step.weight.double(),
            bias,
            stride=step.stride,
            dilation=step.dilation,
            groups=step.groups,
        )
    if isinstance(step, TransposedConvolution):
        y = TRANSPOSED[ndim](
            x,
            step.weight.double(),
            bias,
            stride=step.stride,
            padding=tuple(left for left, _ in step.padding),
            output_padding=step.output_padding,
            dilation=step.dilation,
            groups=step.groups,
        )
        for axis, (left, right) in enumerate(step.padding):
            y = y.narrow(2 + axis, 0, y.shape[2 + axis] + left - right)
        return y
    if isinstance(step, Pool):
        return POOL[ndim](x, step.kernel, stride=step.stride)
    if isinstance(step, Resize):
        return _resized(step, x)
    assert isinstance(step, PixelShuffle)
    source = step.source
    if source is not None:
        x = x[:, source.T.flatten()]
    batch, _, *space = x.shape
    y = x.reshape(batch, -1, *step.scale, *space)
    order = [place for axis in range(ndim) for place in (2 + ndim + axis, 2 + axis)]
    return y.permute(0, 1, *order).reshape(
        batch, -1, *(s * n for s, n in zip(step.scale, space, strict=True))
    )


def _resized(step: Resize, x: Tensor) -> Tensor:
    ndim = x.ndim - 2
    if step.mode == "nearest":
        for axis, s in enumerate(step.scale):
            x = x.repeat_interleave(int(s), dim=2 + axis)
        return x
    assert step.coordinates == "half_pixel"
    mode = LINEAR[ndim] if step.mode == "linear" else "bicubic"
    return F.interpolate(x, scale_factor=step.scale, mode=mode)


def _padded(x: Tensor, sides, border) -> Tensor:
    if not any(side for pair in sides for side in pair):
        return x
    return F.pad(x, [side for pair in reversed(sides) for side in pair], mode=MODES[border])


def largest(one: Tensor, two: Tensor) -> float:
    """The largest difference, as a part of the largest number."""
    assert one.shape == two.shape
    one, two = one.detach(), two.detach()
    return float((one - two).abs().max() / two.abs().max().clamp_min(torch.finfo(torch.float64).tiny))
