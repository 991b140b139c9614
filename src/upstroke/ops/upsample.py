"""Apply an operator, with its bias if it has one, by the implementation chosen or named."""

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.errors import OptionError
from upstroke.ops import phases, reference, shuffle, transposed
from upstroke.ops.choose import Impl, choose
from upstroke.ops.fit import fitted
from upstroke.polyphase import Affine, Polyphase

__all__ = ["IMPLS", "upsample"]

# What tests and benchmarks iterate over; each takes a map and an operator that fits it.
IMPLS = {
    "reference": reference.upsample,
    "transposed": transposed.upsample,
    "shuffle": shuffle.upsample,
    "phases": phases.upsample,
}

_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def upsample(
    x: Float[Tensor, "b c_in *space"], operator: Polyphase | Affine, *, impl: Impl = "auto"
) -> Float[Tensor, "b c_out *grown"]:
    """Apply an operator to a batch of maps.

    Output size: scale * size + excess, per axis. The taps are brought to the dtype and device of x;
    gradients flow to x, to the taps and to the bias. A channels-last map gives a channels-last map.

    Args:
        x: batch of maps, any floating dtype.
        operator: a Polyphase, or an Affine, whose bias is added.
        impl: "auto" lets `choose` decide; a name runs that form: "reference" the formula as loops,
            "transposed" one transposed convolution, "shuffle" one convolution and a pixel shuffle, "phases"
            one small convolution per phase.

    Raises:
        ShapeError: x has the wrong number of axes or channels, or is too small to leave any output.
        OptionError: there is no such implementation.

    >>> from upstroke.polyphase import linear
    >>> x = torch.rand(2, 3, 5, 7)
    >>> y = upsample(x, linear((2, 3)))
    >>> expected = torch.nn.functional.interpolate(x, scale_factor=(2, 3), mode="bilinear")
    >>> y.shape, torch.allclose(y, expected, atol=1e-6)
    (torch.Size([2, 3, 10, 21]), True)
    """
    affine = operator if isinstance(operator, Affine) else Affine(operator=operator)
    fit = fitted(x, affine.operator, side="in")
    fit.output_size(x.shape[2:])
    last = _is_channels_last(x)
    if impl == "auto":
        impl = choose(fit, x_shape=tuple(x.shape), dtype=x.dtype, device=x.device, channels_last=last).impl
    if impl not in IMPLS:
        msg = f"impl must be auto or one of {', '.join(IMPLS)}; got {impl!r}"
        raise OptionError(msg)
    y = IMPLS[impl](x, fit)
    if affine.bias is not None:
        copies = fit.out_channels // affine.bias.shape[1]
        bias = affine.bias if copies == 1 else affine.bias.repeat(1, copies)
        y = _add_bias(y, bias.to(y), fit.scale)
    return y.contiguous(memory_format=_CHANNELS_LAST[fit.ndim]) if last else y.contiguous()


def _is_channels_last(x: Tensor) -> bool:
    """By the strides, which tell even for a map of one pixel; one channel is contiguous either way."""
    layout = _CHANNELS_LAST.get(x.ndim - 2)
    if layout is None or x.shape[1] == 1 or not x.is_contiguous(memory_format=layout):
        return False
    return x.stride(1) == 1 and x.stride(-1) == x.shape[1]


def _add_bias(y: Tensor, bias: Tensor, scale: tuple[int, ...]) -> Tensor:
    """Add one number per phase and channel."""
    phases, channels = bias.shape
    ones = (1,) * len(scale)
    # One bias for all phases is stored as one row, expanded; the same addition everywhere.
    if phases == 1 or bias.stride(0) == 0:
        return y + bias[0].reshape(channels, *ones)
    tile = bias.T.reshape(channels, *scale)
    for axis, (s, size) in enumerate(zip(scale, y.shape[2:], strict=True)):
        tile = tile.index_select(1 + axis, torch.arange(size, device=y.device).remainder(s))
    return y + tile
