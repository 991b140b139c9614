"""Turn an operator into its Strang-Fix order, the degree from which polynomials come out with a pattern."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from upstroke.diagnose._finite import check_taps
from upstroke.errors import OptionError
from upstroke.polyphase import Polyphase, kernel_form, trimmed

__all__ = ["strang_fix_order"]

# In epsilons of the taps' dtype. A tap is stored to half an epsilon of itself, so moments that should agree
# lie within 1 of their mean, and in half precision a second one would already hide stripes of 3 %. Taps of
# float32 and float64 are computed in that dtype as well: the fixed kernels need 7, fitted resizes a few tens.
EPSILONS = {torch.float64: 64.0, torch.float32: 64.0, torch.float16: 1.0, torch.bfloat16: 1.0}


def strang_fix_order(operator: Polyphase, *, tolerance: float | None = None) -> int | None:
    """Least order of the zeros of H at all non-zero image frequencies, over all channel pairs.

    Order L: every partial derivative of H of total degree below L vanishes at every 2 pi j / scale, j != 0.
    Equivalently the moments sum over n of n^r h[n] of total degree below L are the same in all phases. 1 or
    more keeps constants constant, 2 or more sends lines to lines; 0 is stripes or a checkerboard.
    Derivation: docs/idea.md#strangfix-order.

    Args:
        operator: the upsampler.
        tolerance: how far a phase's moment may lie from the mean over phases, relative to the largest
            sum of |n^r h[n]| of a phase and channel pair for the same r, where n is counted from the middle
            of the kernel. The default is the rounding of the taps' dtype: 64 of its machine epsilons in
            float64 (1.4e-14) and float32 (7.6e-6), 1 in float16 (9.8e-4) and bfloat16 (7.8e-3). Trained
            kernels want a larger one.

    Returns:
        The order, or None where there is nothing to measure: no images because the scale is 1 on every axis,
        or no weight that is not 0.

    Raises:
        OptionError: the tolerance is not a finite number of at least 0, or a tap is not finite.

    >>> from upstroke.polyphase import cubic, linear, nearest
    >>> strang_fix_order(nearest(2)), strang_fix_order(linear(2)), strang_fix_order(cubic(2))
    (1, 3, 1)
    """
    if tolerance is None:
        dtype = operator.taps.dtype
        tolerance = EPSILONS[dtype] * torch.finfo(dtype).eps
    elif not (math.isfinite(tolerance) and tolerance >= 0):
        msg = f"tolerance must be a finite number of at least 0; got {tolerance}"
        raise OptionError(msg)
    check_taps(operator.taps, purpose="have a Strang-Fix order")
    if operator.phases == 1 or not bool(operator.taps.any()):
        return None
    form = trimmed(kernel_form(operator))
    kernel = form.kernel.detach().double()
    lengths = kernel.shape[2:]
    # H is a trigonometric polynomial of this degree, and no zero of it has a higher order
    highest = sum(length - 1 for length in lengths)
    for degree in range(highest + 1):
        for powers in _multi_indices(degree, operator.ndim):
            moments = _moments(kernel, powers, operator.scale)
            unlike = (moments - moments.mean(dim=0)).abs().max()
            # what the taps could be off by at most, for these powers
            sizes = _moments(kernel, powers, operator.scale, of_sizes=True)
            if bool(unlike > tolerance * sizes.max()):
                return degree
    return highest + 1


def _multi_indices(degree: int, ndim: int) -> Iterator[tuple[int, ...]]:
    """All tuples of ndim whole numbers whose sum is the degree."""
    if ndim == 1:
        yield (degree,)
        return
    for first in range(degree + 1):
        for rest in _multi_indices(degree - first, ndim - 1):
            yield (first, *rest)


def _moments(
    kernel: Tensor, powers: tuple[int, ...], scale: tuple[int, ...], *, of_sizes: bool = False
) -> Tensor:
    """Moments of each phase, shape (phases, out, in); phases in the order in which the kernel meets them.

    Of sizes: with |h[n]| and |n^r| in place of both.
    """
    weighted = kernel.abs() if of_sizes else kernel
    for axis, (power, s) in enumerate(zip(powers, scale, strict=True)):
        length = kernel.shape[2 + axis]
        # from -1 to 1, so that no power runs away
        index = torch.arange(length, device=kernel.device)
        place = (2 * index.double() - (length - 1)) / max(length - 1, 1)
        place = place.abs() if of_sizes else place
        weighted = weighted * place.pow(power).reshape(-1, *(1,) * (len(scale) - 1 - axis))
        sums = weighted.new_zeros(*weighted.shape[: 2 + axis], s, *weighted.shape[3 + axis :])
        weighted = sums.index_add(2 + axis, index % s, weighted)
    return weighted.flatten(2).movedim(-1, 0)
