"""Apply a fixed resize and a convolution: in a row, as one operator, or the other way round."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.errors import BackendError, OptionError, ShapeError
from upstroke.ops.border import extend
from upstroke.ops.convolutions import CONV
from upstroke.ops.fit import kept
from upstroke.ops.layout import in_layout, is_channels_last
from upstroke.ops.resize_conv_choice import nearest_case
from upstroke.ops.transposed import draw
from upstroke.ops.upsample import upsample
from upstroke.polyphase import (
    Border,
    Margin,
    Polyphase,
    TransposedForm,
    as_transposed,
    compose,
    convolution,
    swap_channels,
)

__all__ = ["FORMS", "SERVES", "Convolution", "ResizeConvForm", "best_form", "resize_conv"]

# Multiply-adds in a row below which to ask costs more than another form saves.
WORTH_A_CHOICE = 2**24

ResizeConvForm = Literal["auto", "in a row", "in a row, channels-last", "one operator", "commuted"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution:
    """A convolution with stride 1.

    Attributes:
        weight: PyTorch's, (out, in / groups, *kernel).
        bias: one number per output channel, or none.
        padding: samples added (left, right), per axis.
        dilation: per axis.
        groups: as in PyTorch.
        border: what the added samples hold.
    """

    weight: Float[Tensor, "c_out in_group *kernel"]
    bias: Float[Tensor, " c_out"] | None
    padding: tuple[Margin, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    border: Border = "zero"

    @property
    def kernel(self) -> tuple[int, ...]:
        """Its taps per axis."""
        return tuple(self.weight.shape[2:])

    @property
    def lengths(self) -> tuple[int, ...]:
        """Samples from the first to the last tap, per axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve a batch of maps."""
        even = all(left == right for left, right in self.padding) and self.border == "zero"
        padding = tuple(left for left, _ in self.padding) if even else (0,) * len(self.padding)
        if not even:
            x = extend(x, self.padding, (self.border,) * len(self.padding))
        return CONV[len(self.padding)](
            x, self.weight, self.bias, padding=padding, dilation=self.dilation, groups=self.groups
        )


def resize_conv(
    x: Float[Tensor, "b c_in *space"],
    operator: Polyphase,
    conv: Convolution,
    *,
    form: ResizeConvForm = "auto",
) -> Float[Tensor, "b c_out *grown"]:
    """Resize a batch of maps by a kernel that all channels share, then convolve it; border included.

    Output size per axis: scale * cells + excess + both paddings + 1 - the kernel's length.

    Args:
        x: the maps.
        operator: the resize, of one channel, shared.
        conv: the convolution.
        form: "auto" takes the one that was measured to be the fastest. "in a row" resizes and convolves;
            "in a row, channels-last" does that with the channels innermost, whatever the layout of x;
            "one operator" is one transposed convolution with the kernel of both, and the outermost samples,
            where a border between the two shows, by a pass of their own; "commuted" convolves first, for a
            convolution of one tap.

    Raises:
        ShapeError: the numbers of axes differ.
        OptionError: there is no such form, or the resize is not one kernel for all channels.
        BackendError: the form does not serve this pair.

    >>> from upstroke.polyphase import linear
    >>> x, weight = torch.rand(1, 3, 6, 5), torch.rand(2, 3, 3, 3)
    >>> conv = Convolution(weight=weight, bias=None, padding=((1, 1), (1, 1)), dilation=(1, 1))
    >>> one, two = (resize_conv(x, linear(4), conv, form=form) for form in ("one operator", "in a row"))
    >>> torch.allclose(one, two, atol=1e-5)
    True
    """
    if operator.ndim != len(conv.kernel) or x.ndim != 2 + operator.ndim:
        msg = (
            "x, the resize and the convolution must have the same number of axes; "
            f"got {x.ndim - 2}, {operator.ndim} and {len(conv.kernel)}"
        )
        raise ShapeError(msg)
    if not operator.shared or operator.in_channels != 1 or operator.out_channels != 1:
        msg = "the resize must be one kernel for all channels; got an operator over channels, so use compose"
        raise OptionError(msg)
    if form not in get_args(ResizeConvForm):
        msg = f"form must be one of {', '.join(get_args(ResizeConvForm))}; got {form!r}"
        raise OptionError(msg)
    if form == "auto":
        form = best_form(x, operator, conv)
    if not SERVES[form](x, operator, conv):
        msg = (
            f"form {form!r} does not serve a kernel of {conv.kernel} with padding {conv.padding} "
            f"after a resize of a map of size {tuple(x.shape[2:])}; use form='in a row'"
        )
        raise BackendError(msg)
    return in_layout(FORMS[form](x, operator, conv), channels_last=is_channels_last(x))


def _in_a_row(x: Tensor, operator: Polyphase, conv: Convolution) -> Tensor:
    return conv(upsample(x, operator))


def _in_a_row_inside(x: Tensor, operator: Polyphase, conv: Convolution) -> Tensor:
    """The small map is brought to the layout in which convolutions are fast, the large one back from it."""
    return conv(upsample(in_layout(x, channels_last=True), operator))


def _commuted(x: Tensor, operator: Polyphase, conv: Convolution) -> Tensor:
    """A convolution of one tap treats all samples alike, so it may as well work on the few cells.

    A bias passes where every sample is a mean of cells, and is added last where weights do not sum to one.
    """
    passes = _keeps_constants(operator)
    y = upsample(replace(conv, bias=conv.bias if passes else None)(x), operator)
    if conv.bias is None or passes:
        return y
    return y + conv.bias.to(y.dtype).reshape(-1, *[1] * operator.ndim)


def _as_one(x: Tensor, operator: Polyphase, conv: Convolution) -> Tensor:
    """Draw the kernel of both for every cell; then what a border between the two changed."""
    both = _both(operator, conv)
    # swapped before it grows
    taps = swap_channels(conv.weight.flatten(2), conv.groups)
    kernel = (taps @ both.spread.to(taps)).view(*taps.shape[:2], *both.length)
    y = draw(x, replace(both.form, weight=kernel, groups=conv.groups), bias=conv.bias)
    for axis, sides in enumerate(both.margin):
        for side, samples in enumerate(sides):
            if samples:
                y = _with_its_end(y, x, operator, conv, axis, side, samples)
    return y


FORMS: Mapping[str, Callable[[Tensor, Polyphase, Convolution], Tensor]] = {
    "in a row": _in_a_row,
    "in a row, channels-last": _in_a_row_inside,
    "one operator": _as_one,
    "commuted": _commuted,
}


def _always(x: Tensor, operator: Polyphase, conv: Convolution) -> bool:
    return True


def _is_pointwise(x: Tensor, operator: Polyphase, conv: Convolution) -> bool:
    return math.prod(conv.kernel) == 1 and not any(map(any, conv.padding))


def _has_a_middle(x: Tensor, operator: Polyphase, conv: Convolution) -> bool:
    """Whether the outermost samples of either end are others, so that each can have its own pass."""
    sizes = operator.output_size(x.shape[2:])
    grown = (
        n + sum(sides) + 1 - length
        for n, sides, length in zip(sizes, conv.padding, conv.lengths, strict=True)
    )
    both = _both(operator, conv)
    return (
        conv.border != "circular"
        and all(sum(margin) < n for margin, n in zip(both.margin, grown, strict=True))
        and all(n > 0 for n in sizes)
    )


SERVES: Mapping[str, Callable[[Tensor, Polyphase, Convolution], bool]] = {
    "in a row": _always,
    "in a row, channels-last": _always,
    "one operator": _has_a_middle,
    "commuted": _is_pointwise,
}


def best_form(x: Tensor, operator: Polyphase, conv: Convolution) -> ResizeConvForm:
    """The form that "auto" takes.

    >>> from upstroke.polyphase import nearest
    >>> weight = torch.zeros(4, 3, 1, 1)
    >>> conv = Convolution(weight=weight, bias=None, padding=((0, 0), (0, 0)), dilation=(1, 1))
    >>> best_form(torch.zeros(1, 3, 6, 5), nearest(2), conv)
    'commuted'
    """
    if _is_pointwise(x, operator, conv):
        return "commuted" if conv.bias is None or _keeps_constants(operator) else "in a row"
    phases = math.prod(operator.scale)
    if math.prod(x.shape[2:]) * x.shape[0] * phases * conv.weight.numel() < WORTH_A_CHOICE:
        return "in a row"
    # in fewer bits the taps of both kernels are rounded one by one => phases of unequal gain, a pattern
    exact = x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")
    if x.device.type != "cpu" or not exact or not _has_a_middle(x, operator, conv):
        return "in a row"
    both = _both(operator, conv)
    return nearest_case(
        batch=x.shape[0],
        channels=conv.weight.shape[1],
        out=conv.weight.shape[0] // conv.groups,
        groups=conv.groups,
        axes=operator.ndim,
        cells=math.prod(x.shape[2:]),
        taps=phases * math.prod(conv.kernel),
        drawn=math.prod(both.length),
        has_margin=any(map(any, both.margin)),
        channels_last=is_channels_last(x),
        training=torch.is_grad_enabled() and (x.requires_grad or conv.weight.requires_grad),
    ).form


@dataclass(frozen=True, kw_only=True, eq=False)
class _Both:
    """A resize and a convolution of known shape as one transposed convolution.

    Attributes:
        form: the transposed convolution, without its weight.
        spread: what every tap of the convolution draws, (taps, samples of the kernel of both).
        length: samples of the kernel of both, per axis.
        margin: samples at either end that a border between the two changes, per axis.
    """

    form: TransposedForm
    spread: Tensor
    length: tuple[int, ...]
    margin: tuple[Margin, ...]


def _both(operator: Polyphase, conv: Convolution) -> _Both:
    kernel, padding, dilation, border = conv.kernel, conv.padding, conv.dilation, conv.border

    def made() -> _Both:
        taps = math.prod(kernel)
        each = torch.eye(taps, dtype=torch.float64).reshape(taps, 1, *kernel)
        one = convolution(each, padding=padding, dilation=dilation, border=border)
        both = compose(operator, one)
        form = as_transposed(both)
        return _Both(
            form=replace(form, shared=False),
            spread=form.weight[0].flatten(1),
            length=tuple(form.weight.shape[2:]),
            margin=both.margin,
        )

    return kept(operator, ("with a convolution", kernel, padding, dilation, border), made)


def _keeps_constants(operator: Polyphase) -> bool:
    """Whether a constant comes out as it was, at the border too."""

    def made() -> bool:
        taps = operator.taps.detach()
        gains = taps.flatten(1).sum(dim=1)
        whole = (gains - 1).abs().max() <= 1e-12 * max(1.0, float(taps.abs().max()))
        edges = zip(operator.border, range(operator.ndim), strict=True)
        return bool(whole) and all(b != "zero" or not operator.reads_outside(axis) for b, axis in edges)

    return kept(operator, "keeps constants", made)


def _with_its_end(
    y: Tensor, x: Tensor, operator: Polyphase, conv: Convolution, axis: int, side: int, samples: int
) -> Tensor:
    """Give y its outermost samples along an axis from a pass in a row over the cells they read."""
    scale, cells = operator.scale[axis], x.shape[2 + axis]
    # the resized samples that these read, the cells that those read, and one more for what rounds
    reach = samples + conv.lengths[axis] + abs(operator.excess[axis])
    few = min(cells, -(-reach // scale) + operator.kernel[axis] + 1)
    part = x.narrow(2 + axis, 0 if side == 0 else cells - few, few)
    end = _in_a_row(part, operator, conv)
    size = y.shape[2 + axis]
    inner = end.narrow(2 + axis, 0 if side == 0 else end.shape[2 + axis] - samples, samples)
    if not y.requires_grad:
        y.narrow(2 + axis, 0 if side == 0 else size - samples, samples).copy_(inner)
        return y
    rest = y.narrow(2 + axis, samples if side == 0 else 0, size - samples)
    return torch.cat([inner, rest] if side == 0 else [rest, inner], dim=2 + axis)
