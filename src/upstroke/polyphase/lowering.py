"""Turn an operator into the weights of PyTorch's convolutions, in three exact forms; and back."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from upstroke.errors import NotRepresentableError
from upstroke.polyphase._channels import swap_channels
from upstroke.polyphase._extent import dilated
from upstroke.polyphase.kernel_form import KernelForm, from_kernel_form, kernel_form
from upstroke.polyphase.operator import Border, Margin, Polyphase
from upstroke.polyphase.support import Support, cells_beyond, decided_once, fixed

__all__ = [
    "ConvShuffleForm",
    "PhaseConvsForm",
    "TransposedForm",
    "as_conv_shuffle",
    "as_phase_convs",
    "as_transposed",
    "from_conv_shuffle",
    "from_phase_convs",
    "from_transposed",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class TransposedForm:
    """Pad the input, draw the kernel for every cell, crop the output.

    Attributes:
        weight: PyTorch's layout for a transposed convolution, (in, out / groups, *kernel).
        stride, dilation: per axis.
        pad: cells added to the input (left, right), per axis, filled by the border.
        crop: samples cut off the full output (left, right), per axis; never negative.
        border: what the added cells hold, per axis.
        groups: as in PyTorch.
        shared: whether the one kernel serves every channel.
    """

    weight: Float[Tensor, "c_in out_group *kernel"]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pad: tuple[Margin, ...]
    crop: tuple[Margin, ...]
    border: tuple[Border, ...]
    groups: int
    shared: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class ConvShuffleForm:
    """Pad the input, make every phase by one convolution, interleave, crop at the end.

    Attributes:
        weight: PyTorch's layout for a convolution, (out * phases, in / groups, *kernel); channel
            o * phases + p is phase p of channel o, as a pixel shuffle wants it.
        scale: of the shuffle, per axis.
        pad: cells added to the input (left, right), per axis; negative where cells are cut.
        crop: samples cut off the end, per axis.
        border: what the added cells hold, per axis.
        groups: as in PyTorch.
        shared: whether the one kernel serves every channel.
        support: of the operator, because a zero in a weight does not say whether it is a tap.
    """

    weight: Float[Tensor, "out_phases in_group *kernel"]
    scale: tuple[int, ...]
    pad: tuple[Margin, ...]
    crop: tuple[int, ...]
    border: tuple[Border, ...]
    groups: int
    shared: bool
    support: Bool[Tensor, "phases *kernel"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseConvsForm:
    """Pad the input, make every phase by its own small convolution, interleave, crop at the end.

    Attributes:
        weights: per phase PyTorch's layout for a convolution, (out, in / groups, *its own kernel).
        starts: per phase the first cell of the padded input that its convolution reads, per axis.
        kernel: taps per axis between which all phases lie.
        scale, pad, crop, border, groups, shared, support: as in `ConvShuffleForm`.
    """

    weights: tuple[Float[Tensor, "..."], ...]
    starts: tuple[tuple[int, ...], ...]
    kernel: tuple[int, ...]
    scale: tuple[int, ...]
    pad: tuple[Margin, ...]
    crop: tuple[int, ...]
    border: tuple[Border, ...]
    groups: int
    shared: bool
    support: Bool[Tensor, "phases *kernel"]


def as_transposed(operator: Polyphase) -> TransposedForm:
    """The operator as a transposed convolution between a pad and a crop.

    With a zero border the pad is empty unless the output reaches beyond all that is drawn, so that a plain
    transposed convolution remains.

    >>> from upstroke.polyphase import linear
    >>> form = as_transposed(linear(2, ndim=1))
    >>> tuple(form.weight.shape), form.pad, form.crop
    ((1, 1, 4), ((1, 1),), ((3, 3),))
    """
    support = operator.known_support
    window, dilation, pads, crops = _drawn(
        support.flags,
        fixed(support.shape),
        fixed(operator.scale),
        fixed(operator.origin),
        fixed(operator.excess),
        operator.border,
    )
    kernel = kernel_form(operator).kernel[:, :, *(slice(*places) for places in window)]
    return TransposedForm(
        weight=swap_channels(kernel, operator.groups).contiguous(),
        stride=operator.scale,
        dilation=dilation,
        pad=pads,
        crop=crops,
        border=operator.border,
        groups=operator.groups,
        shared=operator.shared,
    )


@decided_once
def _drawn(
    flags: bytes | None,
    shape: tuple[int, ...],
    scale: tuple[int, ...],
    origin: tuple[int, ...],
    excess: tuple[int, ...],
    border: tuple[Border, ...],
) -> tuple[tuple[tuple[int, int, int], ...], tuple[int, ...], tuple[Margin, ...], tuple[Margin, ...]]:
    """Per axis: which elements of the kernel form are drawn, how far they lie apart, the pad and the crop."""
    support = Support(shape, flags)
    windows, steps, pads, crops = [], [], [], []
    for axis, (s, taps) in enumerate(zip(scale, shape[1:], strict=True)):
        present = enumerate(support.present(scale, axis))
        # kernel[p + scale * (taps - 1 - k)] = taps[p][k]
        places = sorted(p + s * (taps - 1 - k) for p, row in present for k in row) or [0]
        first, last = places[0], places[-1]
        step = math.gcd(*(place - first for place in places)) or 1
        left = s * (taps - 1 - origin[axis]) - first
        right = last + 1 - first - s - excess[axis] - left
        # zeros draw nothing, so a zero border only needs cells where the output starts before the kernel
        reaches = support.reach(scale, origin, axis)
        read = (0, 0) if border[axis] == "zero" else cells_beyond(reaches, s, excess[axis])
        before, after = max(read[0], -(left // s)), max(read[1], -(right // s))
        windows.append((first, last + 1, step))
        steps.append(step)
        pads.append((before, after))
        crops.append((left + s * before, right + s * after))
    return tuple(windows), tuple(steps), tuple(pads), tuple(crops)


def from_transposed(form: TransposedForm) -> Polyphase:
    """The operator that a transposed convolution between a pad and a crop computes.

    Raises:
        NotRepresentableError: the crop leaves samples that read beyond the pad, where zeros stand, while
            the border says that something else does.

    >>> from upstroke.polyphase import linear
    >>> from_transposed(as_transposed(linear(2))).isclose(linear(2))
    True
    """
    kernel, support = dilated(swap_channels(form.weight, form.groups), form.dilation)
    grown = zip(form.stride, form.pad, form.crop, kernel.shape[2:], strict=True)
    operator = from_kernel_form(
        KernelForm(
            kernel=kernel,
            support=support,
            crop=tuple(c[0] - s * p[0] for s, p, c in zip(form.stride, form.pad, form.crop, strict=True)),
        ),
        scale=form.stride,
        excess=tuple(s * (sum(p) - 1) + length - sum(c) for s, p, c, length in grown),
        border=form.border,
        groups=form.groups,
        shared=form.shared,
    )
    for axis, (border, pad) in enumerate(zip(form.border, form.pad, strict=True)):
        beyond = operator.cells_beyond(axis)
        if border != "zero" and (beyond[0] > pad[0] or beyond[1] > pad[1]):
            msg = (
                f"a transposed convolution with border {border} must crop every sample that reads beyond "
                f"its pad; axis {axis} reads {beyond} cells beyond the input with a pad of {pad}"
            )
            raise NotRepresentableError(msg)
    return operator


def as_conv_shuffle(operator: Polyphase) -> ConvShuffleForm:
    """The operator as one convolution that makes every phase, and a pixel shuffle.

    >>> from upstroke.polyphase import linear
    >>> form = as_conv_shuffle(linear(2, ndim=1))
    >>> tuple(form.weight.shape), form.pad, form.crop
    ((2, 1, 3), ((1, 1),), (0,))
    """
    pads, crops = _cells_for_all_phases(operator)
    return ConvShuffleForm(
        weight=operator.taps.transpose(0, 1).flatten(0, 1),
        scale=operator.scale,
        pad=pads,
        crop=crops,
        border=operator.border,
        groups=operator.groups,
        shared=operator.shared,
        support=operator.mask,
    )


def from_conv_shuffle(form: ConvShuffleForm) -> Polyphase:
    """The operator that a convolution and a pixel shuffle compute.

    >>> from upstroke.polyphase import cubic
    >>> from_conv_shuffle(as_conv_shuffle(cubic(2))).isclose(cubic(2))
    True
    """
    phases = math.prod(form.scale)
    taps = form.weight.reshape(-1, phases, *form.weight.shape[1:]).transpose(0, 1)
    return _from_cells_for_all_phases(taps, form)


def as_phase_convs(operator: Polyphase) -> PhaseConvsForm:
    """The operator as one small convolution per phase: no multiplications by absent taps at phase ends.

    >>> from upstroke.polyphase import linear
    >>> form = as_phase_convs(linear(2, ndim=1))
    >>> [weight.flatten().tolist() for weight in form.weights], form.starts
    ([[0.25, 0.75], [0.75, 0.25]], ((0,), (1,)))
    """
    support = operator.known_support
    windows = _windows(support.flags, fixed(support.shape))
    slices = (tuple(slice(*places) for places in window) for window in windows)
    weights = [taps[:, :, *window] for taps, window in zip(operator.taps, slices, strict=True)]
    starts = [tuple(first for first, _ in window) for window in windows]
    pads, crops = _cells_for_all_phases(operator)
    return PhaseConvsForm(
        weights=tuple(weights),
        starts=tuple(starts),
        scale=operator.scale,
        pad=pads,
        crop=crops,
        border=operator.border,
        groups=operator.groups,
        shared=operator.shared,
        support=operator.mask,
        kernel=operator.kernel,
    )


def from_phase_convs(form: PhaseConvsForm) -> Polyphase:
    """The operator that one small convolution per phase computes.

    >>> from upstroke.polyphase import cubic
    >>> from_phase_convs(as_phase_convs(cubic(2))).isclose(cubic(2))
    True
    """
    rows = []
    for weight, start in zip(form.weights, form.starts, strict=True):
        sizes = zip(form.kernel, weight.shape[2:], start, strict=True)
        pads = [(first, length - first - own) for length, own, first in sizes]
        rows.append(torch.nn.functional.pad(weight, [side for axis in reversed(pads) for side in axis]))
    return _from_cells_for_all_phases(torch.stack(rows), form)


@decided_once
def _windows(flags: bytes | None, shape: tuple[int, ...]) -> tuple[tuple[Margin, ...], ...]:
    """Per phase and axis the first tap and the one behind the last; a phase without taps keeps one."""
    phases, *kernel = shape
    one = (1,) * len(kernel)
    size = math.prod(kernel)
    windows = []
    for phase in range(phases):
        own = None if flags is None else flags[phase * size : (phase + 1) * size]
        support = Support((1, *kernel), own)
        used = (support.present(one, axis)[0] or (0,) for axis in range(len(kernel)))
        windows.append(tuple((taps[0], taps[-1] + 1) for taps in used))
    return tuple(windows)


def _cells_for_all_phases(operator: Polyphase) -> tuple[tuple[Margin, ...], tuple[int, ...]]:
    """The pad with which a convolution gives every phase of every sample, and the samples too many."""
    pads, crops = [], []
    for s, k, o, e in zip(operator.scale, operator.kernel, operator.origin, operator.excess, strict=True):
        cells = -(-e // s)
        pads.append((o, cells + k - 1 - o))
        crops.append(s * cells - e)
    return tuple(pads), tuple(crops)


def _from_cells_for_all_phases(taps: Tensor, form: ConvShuffleForm | PhaseConvsForm) -> Polyphase:
    sizes = zip(form.scale, form.pad, form.crop, taps.shape[3:], strict=True)
    return Polyphase(
        taps=taps,
        scale=form.scale,
        origin=tuple(left for left, _ in form.pad),
        excess=tuple(s * (sum(pad) - k + 1) - crop for s, pad, crop, k in sizes),
        border=form.border,
        groups=form.groups,
        shared=form.shared,
        support=form.support,
    )
