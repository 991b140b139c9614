"""Turn the taps of the phases into one kernel with a crop, the form of a transposed convolution; and back."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from upstroke.polyphase._extent import extent
from upstroke.polyphase.operator import Border, Margin, Polyphase

__all__ = [
    "KernelForm",
    "from_kernel_form",
    "kernel_crop",
    "kernel_form",
    "kernel_numbers",
    "kernel_support",
    "trimmed",
    "with_kernel",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class KernelForm:
    """What one input cell j draws into the output: kernel element i lands on sample scale * j + i - crop.

    The tie to the taps, per axis: taps[p][k] = kernel[p + crop + scale * (origin - k)].

    Attributes:
        kernel: shape (out channels, in channels of one group, *length).
        support: shape (*length), true where an element exists.
        crop: elements cut off on the left, per axis; negative where the output starts before the kernel.
    """

    kernel: Float[Tensor, "out in_group *length"]
    support: Bool[Tensor, "*length"]
    crop: tuple[int, ...]


def kernel_form(operator: Polyphase) -> KernelForm:
    """The kernel and its left crop.

    >>> from upstroke.polyphase import linear
    >>> form = kernel_form(linear(2, ndim=1))
    >>> form.kernel.squeeze().tolist(), form.crop
    ([0.0, 0.25, 0.75, 0.75, 0.25, 0.0], (2,))
    """
    return KernelForm(
        kernel=kernel_numbers(operator),
        support=kernel_support(operator),
        crop=kernel_crop(operator),
    )


def kernel_numbers(operator: Polyphase) -> Tensor:
    """The kernel of the kernel form alone."""
    return _interleave(operator.taps, operator.scale)


def kernel_support(operator: Polyphase) -> Tensor:
    """The support of the kernel form alone, without laying out the taps."""
    return _interleave(operator.mask[:, None, None], operator.scale)[0, 0]


def kernel_crop(operator: Polyphase) -> tuple[int, ...]:
    """The left crop of the kernel form alone."""
    sizes = zip(operator.scale, operator.kernel, operator.origin, strict=True)
    return tuple(s * (k - 1 - o) for s, k, o in sizes)


def _interleave(taps: Tensor, scale: Sequence[int]) -> Tensor:
    """Lay taps (phases, out, in, *kernel) out as a kernel (out, in, *(scale * kernel))."""
    ndim = len(scale)
    _, out, in_group, *kernel = taps.shape
    # kernel[p + scale * (kernel - 1 - k)] = taps[p][k]: taps run backwards along the kernel
    blocks = taps.flip(dims=tuple(range(3, 3 + ndim))).reshape(*scale, out, in_group, *kernel)
    order = [ndim, ndim + 1]
    for axis in range(ndim):
        order += [ndim + 2 + axis, axis]
    return blocks.permute(order).reshape(out, in_group, *(s * k for s, k in zip(scale, kernel, strict=True)))


def from_kernel_form(
    form: KernelForm,
    *,
    scale: tuple[int, ...],
    excess: tuple[int, ...],
    border: tuple[Border, ...],
    groups: int = 1,
    shared: bool = False,
    margin: tuple[Margin, ...] = (),
) -> Polyphase:
    """The operator that draws this kernel for every input cell; absent elements around it are trimmed.

    >>> one = KernelForm(kernel=torch.ones(1, 1, 4), support=torch.ones(4, dtype=torch.bool), crop=(1,))
    >>> from_kernel_form(one, scale=(2,), excess=(0,), border=("zero",)).taps.squeeze().tolist()
    [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]
    """
    form = trimmed(form)
    ndim = len(scale)
    before, after, origin = [], [], []
    for length, crop, s in zip(form.kernel.shape[2:], form.crop, scale, strict=True):
        # the first element must fall on phase 0, the last one on the last phase
        left = -crop % s
        right = -(left + length) % s
        before.append(left)
        after.append(right)
        origin.append((left + length + right) // s - 1 - (crop + left) // s)
    pads = [side for axis in zip(reversed(before), reversed(after), strict=True) for side in axis]
    kernel = torch.nn.functional.pad(form.kernel, pads)
    support = torch.nn.functional.pad(form.support, pads)
    return Polyphase(
        taps=_deinterleave(kernel, scale),
        support=_deinterleave(support[None, None], scale)[:, 0, 0],
        scale=scale,
        origin=tuple(origin),
        excess=excess,
        border=border,
        groups=groups,
        shared=shared,
        margin=margin or ((0, 0),) * ndim,
    )


def with_kernel(operator: Polyphase, form: KernelForm) -> Polyphase:
    """The same operator with another kernel.

    >>> from upstroke.polyphase import linear
    >>> with_kernel(linear(2), kernel_form(linear(2))).isclose(linear(2))
    True
    """
    return from_kernel_form(
        form,
        scale=operator.scale,
        excess=operator.excess,
        border=operator.border,
        groups=operator.groups,
        shared=operator.shared,
        margin=operator.margin,
    )


def _deinterleave(kernel: Tensor, scale: Sequence[int]) -> Tensor:
    """Undo `_interleave`."""
    ndim = len(scale)
    out, in_group, *length = kernel.shape
    split: list[int] = []
    for size, s in zip(length, scale, strict=True):
        split += [size // s, s]
    blocks = kernel.reshape(out, in_group, *split)
    order = [3 + 2 * axis for axis in range(ndim)] + [0, 1] + [2 + 2 * axis for axis in range(ndim)]
    taps = blocks.permute(order).flatten(0, ndim - 1)
    return taps.flip(dims=tuple(range(3, 3 + ndim)))


def trimmed(form: KernelForm) -> KernelForm:
    """Cut absent elements off both ends of every axis; an empty kernel keeps one absent element."""
    kernel, support, crop = form.kernel, form.support, list(form.crop)
    for axis in range(support.ndim):
        used = extent(support, axis) or range(1)
        kernel = kernel.narrow(2 + axis, used.start, len(used))
        support = support.narrow(axis, used.start, len(used))
        crop[axis] -= used.start
    return KernelForm(kernel=kernel, support=support, crop=tuple(crop))
