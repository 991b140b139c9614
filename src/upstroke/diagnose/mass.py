"""Turn an operator into what it makes of totals and of block means."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.errors import ShapeError
from upstroke.polyphase import Polyphase, kernel_form

__all__ = ["block_mean_error", "mass", "total_kept"]


def mass(operator: Polyphase) -> Float[Tensor, "out in_group"]:
    """Sum over all taps, per channel pair: what a total of 1 becomes where nothing is cropped.

    1 keeps the total of an extensive field (counts), the product of the scales keeps the mean of an
    intensive one (kelvin). Derivation: docs/idea.md#mass.

    >>> from upstroke.polyphase import linear
    >>> mass(linear((2, 4))).item()
    8.0
    """
    return operator.taps.double().flatten(3).sum(dim=(0, -1))


def total_kept(operator: Polyphase, size: int | tuple[int, ...]) -> Float[Tensor, "out in_group"]:
    """Total that arrives of a constant input of this size, over the mass times the input's total.

    1 means that nothing is lost at the border. Less: samples are cropped that zeros outside the input do not
    make up for; more: the border (clamp, circular) adds. In closed form: element i of the kernel counts once
    for every cell whose element i is not cropped, or, where the border is not zero, once for every sample
    that reads it. Dimensionless; inf or nan where the mass is 0.

    >>> import torch
    >>> from upstroke.polyphase import transposed
    >>> total_kept(transposed(torch.ones(1, 1, 4, 4), stride=2, padding=1), (7, 9)).item()
    0.876984126984127
    """
    cells = whole_per_axis(size, operator.ndim, name="size", least=1)
    grown = operator.output_size(cells)
    form = kernel_form(operator)
    total = form.kernel.double()
    for axis, (n, samples, s) in enumerate(zip(cells, grown, operator.scale, strict=True)):
        # the samples that the elements of cell 0 land on
        first = torch.arange(total.shape[2], device=total.device) - form.crop[axis]
        # cell j lands it on sample first + s * j
        least = -torch.div(first, s, rounding_mode="floor")
        most = torch.div(samples - 1 - first, s, rounding_mode="floor")
        if operator.border[axis] == "zero":
            # beyond the input stands nothing; any other border continues the constant
            least, most = least.clamp(min=0), most.clamp(max=n - 1)
        count = (most - least + 1).clamp(min=0).double()
        # takes the first kernel axis that is left
        total = torch.tensordot(total, count, dims=([2], [0]))
    return total / (mass(operator) * math.prod(cells))


def block_mean_error(operator: Polyphase) -> Float[Tensor, ""]:
    """Largest error of a block mean that one cell of size 1 can cause, dimensionless, ideal 0.

    max over channel pairs and k of |mean over p of taps[p][k] - delta|, where delta is 1 for a channel's own
    tap at the origin and 0 elsewhere. With 0, the mean over the samples of every cell is that cell's value.
    Derivation: docs/idea.md#mass.

    Raises:
        ShapeError: the output has an excess, so it is not made of one block per cell, or the channels that go
            out are not those that come in.

    >>> from upstroke.polyphase import linear, nearest
    >>> block_mean_error(nearest(2)).item(), block_mean_error(linear(2, ndim=1)).item()
    (0.0, 0.25)
    """
    if any(operator.excess):
        msg = (
            "block means are defined where the output is one block of scale samples per cell, which needs "
            f"excess 0 on every axis; got {operator.excess}"
        )
        raise ShapeError(msg)
    if operator.in_channels != operator.out_channels:
        msg = (
            "block means are compared channel by channel, so as many must go out as come in; "
            f"got {operator.in_channels} in and {operator.out_channels} out"
        )
        raise ShapeError(msg)
    # room for the origin, should no tap of the kernel read the sample's own cell
    before = [max(0, -o) for o in operator.origin]
    after = [max(0, o + 1 - k) for o, k in zip(operator.origin, operator.kernel, strict=True)]
    roomy = operator.padded(before, after)
    error = roomy.taps.double().mean(dim=0)
    channels = torch.arange(operator.out_channels, device=error.device)
    own = torch.zeros_like(error)
    # the channel axes behind the kernel axes, so that the origin indexes first
    own.movedim((0, 1), (-2, -1))[roomy.origin][channels, channels % operator.taps.shape[2]] = 1
    return (error - own).abs().max()
