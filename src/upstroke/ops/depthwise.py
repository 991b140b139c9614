"""Apply a depthwise transposed convolution by the kernels that upsample every channel by itself."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.ops.native import depthwise, runs_on
from upstroke.ops.recorded import is_recorded
from upstroke.polyphase import Border

__all__ = ["conv_transpose", "serves"]

_DTYPES = (torch.float32, torch.float64, torch.bfloat16)
_ZERO: Border = "zero"


def serves(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether every channel has a kernel of its own and the compiled kernels take these tensors here.

    Under autocast the dtype of PyTorch's layer is kept, which is why only float32 is taken there.
    """
    dtypes = _DTYPES[:1] if torch.is_autocast_enabled("cpu") else _DTYPES
    return (
        weight.shape[0] == groups
        and weight.shape[1] == 1
        and x.dtype in dtypes
        and x.dtype == weight.dtype
        and x.shape[0] * x.shape[1] > 0
        and x.device == weight.device
        and runs_on(x.device)
        and not is_recorded()
    )


def conv_transpose(
    x: Float[Tensor, "b c *space"],
    weight: Float[Tensor, "c 1 *kernel"],
    bias: Float[Tensor, " c"] | None = None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
) -> Float[Tensor, "b c *grown"]:
    """The depthwise transposed convolution of PyTorch's layer, sums in float32 at least; padding may be < 0.

    Args:
        x: (batch, channels, *cells).
        weight: as PyTorch has it for groups = channels.
        bias: one number per channel.
        stride: one number per axis, as those below.
        padding: samples cut off either end.
        output_padding: samples added at the end.
        dilation: samples from tap to tap.

    >>> x, weight = torch.ones(1, 1, 3), torch.tensor([[[0.5, 1.0, 0.5]]])
    >>> numbers = {"stride": (2,), "padding": (1,), "output_padding": (1,), "dilation": (1,)}
    >>> conv_transpose(x, weight, **numbers)
    tensor([[[1.0000, 1.0000, 1.0000, 1.0000, 1.0000, 0.5000]]])
    """
    if torch.is_autocast_enabled("cpu"):
        x = x.to(torch.get_autocast_dtype("cpu"))
    lengths = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    sizes = zip(lengths, stride, padding, output_padding, strict=True)
    taps, origin = _taps(_dilated(weight.squeeze(1), dilation), stride, padding)
    y = depthwise(
        x,
        taps,
        scale=tuple(stride),
        origin=origin,
        excess=tuple(n - s - 2 * p + e for n, s, p, e in sizes),
        border=(_ZERO,) * len(lengths),
    )
    return y if bias is None else y.add_(bias.to(y.dtype).reshape(-1, *[1] * len(lengths)))


def _dilated(kernel: Tensor, dilation: Sequence[int]) -> Tensor:
    """Kernels (channels, *kernel) with zeros between their taps."""
    if max(dilation) == 1:
        return kernel
    lengths = [d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape[1:], strict=True)]
    spread = kernel.new_zeros(kernel.shape[0], *lengths)
    spread[:, *(slice(None, None, d) for d in dilation)] = kernel
    return spread


def _taps(kernel: Tensor, stride: Sequence[int], padding: Sequence[int]) -> tuple[Tensor, tuple[int, ...]]:
    """Kernels (channels, *kernel) by phase, (phases, channels, *taps), and the origin.

    taps[p, k] = kernel[p + padding + stride * (origin - k)], with as many taps as reach all of the kernel.
    """
    channels, *lengths = kernel.shape
    ndim = len(lengths)
    pad, origin, split = [], [], []
    for length, s, p in zip(lengths, stride, padding, strict=True):
        first, last = -p // s, (length - 1 - p) // s
        pad.append((-p - s * first, s * (last + 1) + p - length))
        origin.append(last)
        split += [last - first + 1, s]
    if any(map(any, pad)):
        kernel = torch.nn.functional.pad(kernel, [side for sides in reversed(pad) for side in sides])
    order = [2 + 2 * axis for axis in range(ndim)], [1 + 2 * axis for axis in range(ndim)]
    phases = kernel.view(channels, *split).permute(*order[0], 0, *order[1])
    taps = phases.flip(dims=tuple(range(1 + ndim, 1 + 2 * ndim))).flatten(0, ndim - 1)
    return taps, tuple(origin)
