"""Turn an operator's taps into how far they are from independent draws of one distribution."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.polyphase import Polyphase, kernel_form, trimmed

__all__ = ["dependence"]

# Below this many taps no statistic tells a trained kernel from a drawn one.
LEAST_TAPS = 64


def dependence(operator: Polyphase) -> Float[Tensor, ""] | None:
    """Largest deviation, in standard errors, of the taps from independent draws of one distribution.

    Freshly initialised weights are such draws, whatever the initialiser, and stay within about 5; training
    makes neighbours alike, and some taps, inputs and outputs larger than others. With N taps w of root mean
    square r and kurtosis q, the deviations are, over all taps and over those of one place in the kernel, of
    one input and of one output: of the mean, sum w / (r sqrt N); of the power P = sum w^2 / (N r^2), which is
    a chi-square of v = 2 N / (q - 1) degrees over v, (P^(1/3) - 1 + 2 / (9 v)) sqrt(9 v / 2) (Wilson and
    Hilferty, "The distribution of chi-square", 1931); and, along each axis, of the products of the N pairs of
    neighbours in the kernel and in a phase, sum w w' / (r^2 sqrt N).

    Returns:
        The largest absolute deviation, inf for taps that are all alike in size; None for fewer than 64 taps.

    >>> from upstroke.polyphase import transposed
    >>> weight = torch.randn(16, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    >>> bool(dependence(transposed(weight, stride=2)) < 5)
    True
    >>> bool(dependence(transposed(weight.cumsum(2), stride=2)) > 5)
    True
    """
    rows = _distinct(operator.taps.detach())
    if len(rows) < operator.phases:
        # phases that start as copies of one draw, as ICNR makes them, are one draw
        distinct = rows.flatten(0, 1) if operator.groups == 1 else rows[0]
        operator = Polyphase(
            taps=distinct[None],
            scale=(1,) * operator.ndim,
            origin=(0,) * operator.ndim,
            excess=(0,) * operator.ndim,
            border=operator.border,
            groups=operator.groups,
        )
    form = trimmed(kernel_form(operator))
    present = form.support
    kernel = form.kernel.detach().double()
    # one operator's kernel is real taps only where its support says so
    taps = kernel.flatten(2)
    taps = taps if bool(present.all()) else taps[:, :, present.flatten()]
    if taps.numel() < LEAST_TAPS:
        return None
    squares = taps.square()
    power = squares.mean()
    # kurtosis less 1: the variance of w^2 over r^4
    spread = squares.var() / power.square()
    if not bool(spread > 0):
        return taps.new_tensor(math.inf)
    unit = power.sqrt()
    deviations = [taps.sum().abs() / (unit * math.sqrt(taps.numel()))]
    for kept in range(3):
        others = tuple(axis for axis in range(3) if axis != kept)
        count = taps.numel() // taps.shape[kept]
        deviations.append(taps.sum(dim=others).abs().max() / (unit * math.sqrt(count)))
        degrees = 2 * count / spread
        roots = (squares.mean(dim=others) / power).pow(1 / 3)
        deviations.append((roots - 1 + 2 / (9 * degrees)).abs().max() * (9 * degrees / 2).sqrt())
    for axis, s in enumerate(operator.scale):
        for lag in {1, s}:
            deviations.append(_of_neighbours(kernel, present, axis, lag) / power)
    return torch.stack(deviations).max()


def _distinct(taps: Tensor) -> Tensor:
    """The taps of every phase once."""
    found: list[Tensor] = []
    for row in taps:
        if not any(torch.equal(row, other) for other in found):
            found.append(row)
    return torch.stack(found) if len(found) < len(taps) else taps


def _of_neighbours(kernel: Tensor, present: Tensor, axis: int, lag: int) -> Tensor:
    """Sum of the products of neighbours this far apart, over the square root of how many there are."""
    length = present.shape[axis] - lag
    if length < 1:
        return kernel.new_zeros(())
    both = present.narrow(axis, 0, length) & present.narrow(axis, lag, length)
    products = kernel.narrow(2 + axis, 0, length) * kernel.narrow(2 + axis, lag, length)
    count = int(both.sum()) * kernel.shape[0] * kernel.shape[1]
    products = products if bool(both.all()) else products * both
    return products.sum().abs() / math.sqrt(max(count, 1))
