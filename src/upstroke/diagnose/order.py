"""Turn an operator into its Strang-Fix order, the degree from which polynomials come out with a pattern."""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from upstroke.polyphase import Polyphase, kernel_form, trimmed

__all__ = ["strang_fix_order"]

# A B-spline of degree 5 comes out of float64 with 1e-14, fitted resizes out of float32 with a few 1e-6; half
# precision keeps a tap to half an epsilon, 5e-4 and 4e-3, and this leaves room for a few of them.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 4e-2}


def strang_fix_order(operator: Polyphase, *, tolerance: float | None = None) -> int | None:
    """Least order of the zeros of H at all non-zero image frequencies, over all channel pairs.

    Order L: every partial derivative of H of total degree below L vanishes at every 2 pi j / scale, j != 0.
    Equivalently the moments sum over n of n^r h[n] of total degree below L are the same in all phases. 1 or
    more keeps constants constant, 2 or more sends lines to lines; 0 is stripes or a checkerboard.
    Derivation: docs/idea.md#strangfix-order.

    Args:
        operator: the upsampler.
        tolerance: how far moments, with n counted from the middle of the kernel in half lengths of it, may
            differ between phases, relative to the largest sum |taps| of a phase and channel pair. The
            default is 1e-10 in float64, 1e-5 in float32, 4e-3 in float16 and 4e-2 in bfloat16: formulas for
            kernels cancel some digits, and taps are stored with the rounding of their dtype. Trained kernels
            want a larger one.

    Returns:
        The order, or None where there is nothing to measure: no images because the scale is 1 on every axis,
        or no weight that is not 0.

    >>> from upstroke.polyphase import cubic, linear, nearest
    >>> strang_fix_order(nearest(2)), strang_fix_order(linear(2)), strang_fix_order(cubic(2))
    (1, 3, 1)
    """
    form = trimmed(kernel_form(operator))
    largest = operator.taps.detach().double().abs().flatten(3).sum(dim=-1).max()
    if operator.phases == 1 or not bool(largest > 0):
        return None
    if tolerance is None:
        tolerance = TOLERANCE[operator.taps.dtype]
    kernel = form.kernel.detach().double()
    lengths = kernel.shape[2:]
    # H is a trigonometric polynomial of this degree, and no zero of it has a higher order
    highest = sum(length - 1 for length in lengths)
    for degree in range(highest + 1):
        for powers in _multi_indices(degree, operator.ndim):
            moments = _moments(kernel, powers, operator.scale)
            unlike = (moments - moments.mean(dim=0)).abs().max()
            if bool(unlike > tolerance * largest):
                return degree
    return highest + 1


def _multi_indices(degree: int, ndim: int) -> Iterator[tuple[int, ...]]:
    """All tuples of ndim whole numbers whose sum is the degree."""
    return (powers for powers in product(range(degree + 1), repeat=ndim) if sum(powers) == degree)


def _moments(kernel: Tensor, powers: tuple[int, ...], scale: tuple[int, ...]) -> Tensor:
    """Moments of each phase, shape (phases, out, in); phases in the order in which the kernel meets them."""
    weighted = kernel
    for axis, (power, s) in enumerate(zip(powers, scale, strict=True)):
        length = kernel.shape[2 + axis]
        # from -1 to 1, so that no power runs away
        index = torch.arange(length, device=kernel.device)
        place = (2 * index.double() - (length - 1)) / max(length - 1, 1)
        weighted = weighted * place.pow(power).reshape(-1, *(1,) * (len(scale) - 1 - axis))
        sums = weighted.new_zeros(*weighted.shape[: 2 + axis], s, *weighted.shape[3 + axis :])
        weighted = sums.index_add(2 + axis, index % s, weighted)
    return weighted.flatten(2).movedim(-1, 0)
