"""Apply a depthwise transposed convolution by the kernels that upsample every channel by itself."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.ops.native import pays, runs_on
from upstroke.ops.recorded import is_recorded

__all__ = ["conv_transpose", "serves"]

_DTYPES = (torch.float32, torch.float64, torch.bfloat16)


def serves(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether every channel has a kernel of its own and the compiled kernels take these tensors and pay.

    Under autocast the dtype of PyTorch's layer is kept, which is why only maps that it would take are taken
    there: those of float32, or of the dtype that it computes in already.
    """
    return (
        # before sizes are looked at, which a tracer has as tensors
        not is_recorded()
        and weight.shape[0] == groups
        and weight.shape[1] == 1
        and _fit(x.dtype, weight.dtype)
        and x.device == weight.device
        and runs_on(x.device)
        and x.shape[0] * x.shape[1] > 0
        and pays(x)
    )


def _fit(maps: torch.dtype, weight: torch.dtype) -> bool:
    if not torch.is_autocast_enabled("cpu"):
        return maps in _DTYPES and maps == weight
    own = torch.get_autocast_dtype("cpu")
    # what a layer before has left is of that dtype, and the kernels take weights as they are
    return weight == torch.float32 and (maps == torch.float32 or (maps == own == torch.bfloat16))


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
    kernel = _dilated(weight, dilation)
    sizes = zip(kernel.shape[2:], stride, padding, output_padding, strict=True)
    excess = [length - s - 2 * p + e for length, s, p, e in sizes]
    # border 0: nothing is drawn by cells outside of the map
    numbers = list(stride), list(padding), excess, [0] * len(excess)
    y: Tensor = torch.ops.upstroke.upsample.default(x, kernel, bias, *numbers)
    return y


def _dilated(weight: Tensor, dilation: Sequence[int]) -> Tensor:
    """Kernels (channels, 1, *kernel) with zeros between their taps."""
    if max(dilation) == 1:
        return weight
    lengths = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    spread = weight.new_zeros(*weight.shape[:2], *lengths)
    spread[:, :, *(slice(None, None, d) for d in dilation)] = weight
    return spread
