"""Apply an operator, with its bias if it has one, by the implementation chosen or named."""

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.errors import OptionError
from upstroke.ops import native, phases, reference, shuffle, transposed
from upstroke.ops.choose import Impl, Part, chosen
from upstroke.ops.fit import check_fit, fitted
from upstroke.ops.layout import in_layout, is_channels_last
from upstroke.ops.recorded import leaves
from upstroke.polyphase import Affine, Polyphase

__all__ = ["IMPLS", "upsample"]

# What tests and benchmarks iterate over; each takes a map and an operator that fits it.
IMPLS = {
    "reference": reference.upsample,
    "native": native.upsample,
    "transposed": transposed.upsample,
    "shuffle": shuffle.upsample,
    "phases": phases.upsample,
}


def upsample(
    x: Float[Tensor, "b c_in *space"], operator: Polyphase | Affine, *, impl: Impl = "auto"
) -> Float[Tensor, "b c_out *grown"]:
    """Apply an operator to a batch of maps.

    Output size: scale * size + excess, per axis. The taps are brought to the dtype and device of x;
    gradients flow to x, to the taps and to the bias. A channels-last map gives a channels-last map, in 1 axis
    too.

    What is made of the taps for a form is kept for the next call, unless they want a gradient.

    Args:
        x: batch of maps, any floating dtype.
        operator: a Polyphase, or an Affine, whose bias is added.
        impl: "auto" lets `choose` decide; a name runs that form: "reference" the formula as loops, "native"
            compiled kernels, on the CPU and for one channel in and out per group, "transposed" one transposed
            convolution, "shuffle" one convolution and a pixel shuffle, "phases" one small convolution per
            phase.

    Raises:
        ShapeError: x has the wrong number of axes or channels, or is too small to leave any output.
        OptionError: there is no such implementation.
        BackendError: the implementation that was named cannot run here.

    >>> from upstroke.polyphase import linear
    >>> x = torch.rand(2, 3, 5, 7)
    >>> y = upsample(x, linear((2, 3)))
    >>> expected = torch.nn.functional.interpolate(x, scale_factor=(2, 3), mode="bilinear")
    >>> y.shape, torch.allclose(y, expected, atol=1e-6)
    (torch.Size([2, 3, 10, 21]), True)
    """
    operator, bias = _parts(operator)
    check_fit(x, operator, side="in")
    operator.output_size(x.shape[2:])
    last = is_channels_last(x)
    if impl == "auto":
        impl = _chosen(x, operator, channels_last=last)
    if impl not in IMPLS:
        msg = f"impl must be auto or one of {', '.join(IMPLS)}; got {impl!r}"
        raise OptionError(msg)
    y = IMPLS[impl](x, operator if impl == "native" else fitted(x, operator, side="in"))
    if bias is not None:
        copies = y.shape[1] // bias.shape[1]
        every = bias if copies == 1 else bias.repeat(1, copies)
        y = _add_bias(y, every.to(y), operator.scale)
    return y if impl == "native" and bias is None else in_layout(y, channels_last=last)


def _chosen(x: Tensor, operator: Polyphase, *, channels_last: bool) -> Impl:
    """What `choose` says; in a graph that is made for any size, the form that serves all of them."""
    if leaves():
        return "transposed"
    if torch.compiler.is_compiling():
        depthwise = native.is_depthwise(operator) and native.runs_on(x.device)
        return "native" if depthwise else "transposed"
    parts: tuple[Part, ...] = ("forward",)
    if torch.is_grad_enabled():
        parts += ("gradient in x",) if x.requires_grad else ()
        parts += ("gradient in taps",) if operator.taps.requires_grad else ()
    return chosen(operator, x, channels_last=channels_last, parts=parts)


def _parts(operator: Polyphase | Affine) -> tuple[Polyphase, Tensor | None]:
    return (operator.operator, operator.bias) if isinstance(operator, Affine) else (operator, None)


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
