"""Apply a transposed convolution, and each of its gradients, in the form measured to be the fastest."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.ops.convolutions import CONV_TRANSPOSE
from upstroke.ops.dense_choice import best_form
from upstroke.ops.dense_forms import FORMS, OWN, Call, Form, Part
from upstroke.ops.kernels import instructions
from upstroke.ops.layout import empty, is_channels_last
from upstroke.ops.minimal import Filtering, is_served, prepare, run, seen_before
from upstroke.ops.minimal_choice import Use, best_use
from upstroke.ops.recorded import is_recorded
from upstroke.ops.relayout import relaid

__all__ = ["conv_transpose"]

# Multiply-adds in one part below which a call through Python costs more than another form can save:
# some 50 microseconds of it, five per cent of what this many take on one thread.
WORTH_A_CHOICE = 2**23

# What forms were measured in.
_DTYPES = (torch.float32, torch.bfloat16)


def conv_transpose(
    x: Float[Tensor, "b c_in *space"],
    weight: Float[Tensor, "c_in out_group *kernel"],
    bias: Float[Tensor, " c_out"] | None = None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
) -> Float[Tensor, "b c_out *grown"]:
    """The transposed convolution that PyTorch's layer computes, in the layout that came in.

    Sample n = stride * m + dilation * k - padding; output size per axis stride * (cells - 1) + dilation *
    (taps - 1) + 1 - 2 * padding + output_padding. On the CPU in float32 and bfloat16 the product, the
    gradient in x and that in the weight each run in the form that was measured to be the fastest for their
    size, which may be PyTorch's own in its other layout or a few matrix products; elsewhere it is PyTorch's
    call. Where minimal filtering (Winograd) was measured to be faster, the product has fewer multiplications
    than taps. It works on sums of taps, which for a large weight take as long as a few calls to make, so
    there a weight has to come twice without a gradient being wanted in it, and is then kept in that form
    beside itself (four times its numbers for k4 s2) until it is changed in place or gone. Sums are then
    rounded in another order, and a NaN or an infinity in x reaches samples up to two cells further.

    Args:
        x: (batch, channels, *cells).
        weight: as PyTorch has it.
        bias: one number per output channel.
        stride: one number per axis, as those below, such as PyTorch takes.
        padding: samples cut off either end.
        output_padding: samples added at the end.
        dilation: samples from tap to tap.
        groups: as in PyTorch.

    >>> x, weight = torch.ones(1, 1, 3), torch.tensor([[[0.5, 1.0, 0.5]]])
    >>> numbers = {"stride": (2,), "padding": (1,), "output_padding": (1,), "dilation": (1,)}
    >>> conv_transpose(x, weight, **numbers)
    tensor([[[1.0000, 1.0000, 1.0000, 1.0000, 1.0000, 0.5000]]])
    """
    if _is_measured(x, weight, bias, groups):
        numbers = (stride, padding, output_padding, dilation)
        filtered = _filtered_at_once(x, weight, bias, numbers)
        if filtered is not None:
            return filtered
        if torch.compiler.is_compiling() or _is_worth_it(x, weight, numbers, groups):
            return _ours(x, weight, bias, numbers, groups)
    return CONV_TRANSPOSE[x.ndim - 2](
        x,
        weight,
        bias,
        stride=tuple(stride),
        padding=tuple(padding),
        output_padding=tuple(output_padding),
        groups=groups,
        dilation=tuple(dilation),
    )


def _is_measured(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> bool:
    """Whether forms were measured for tensors like these, and may be taken here."""
    tensors = (x, weight) if bias is None else (x, weight, bias)
    return (
        not is_recorded()
        and groups == 1
        and x.dtype in _DTYPES
        and all(each.device.type == "cpu" and each.dtype == x.dtype for each in tensors)
        and x.ndim == weight.ndim
        and x.shape[1] == weight.shape[0]
        and not torch.is_autocast_enabled("cpu")
    )


def _ours(
    x: Tensor, weight: Tensor, bias: Tensor | None, numbers: Sequence[Sequence[int]], groups: int
) -> Tensor:
    y: Tensor = torch.ops.upstroke.conv_transpose.default(x, weight, bias, *map(list, numbers), groups)
    return y


def _is_worth_it(x: Tensor, weight: Tensor, numbers: Sequence[Sequence[int]], groups: int) -> bool:
    """Whether any part is faster in another form than that of PyTorch's call, which needs no operator."""
    batch, _, *cells = x.shape
    if batch * math.prod(cells) * weight.numel() < WORTH_A_CHOICE:
        return False
    call = _call(tuple(cells), weight, numbers, groups)
    if min(call.samples) < 1:
        return False
    if _filtered_use(x, weight, call) != "never":
        return True
    parts: list[Part] = ["forward"]
    if torch.is_grad_enabled():
        if x.requires_grad:
            parts.append("input gradient")
        if weight.requires_grad:
            parts.append("weight gradient")
    last = is_channels_last(x)
    return any(
        best_form(part, batch, weight.shape[0], weight.shape[1], call, channels_last=last, dtype=x.dtype).form
        != OWN
        for part in parts
    )


def _call(cells: Sequence[int], weight: Tensor, numbers: Sequence[Sequence[int]], groups: int) -> Call:
    return _made(cells, weight.shape[2:], numbers, groups, weight_last=is_channels_last(weight))


def _made(
    cells: Sequence[int],
    kernel: Sequence[int],
    numbers: Sequence[Sequence[int]],
    groups: int,
    *,
    weight_last: bool,
) -> Call:
    stride, padding, output_padding, dilation = (tuple(each) for each in numbers)
    return Call(
        cells=tuple(cells),
        kernel=tuple(kernel),
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        groups=groups,
        weight_last=weight_last,
    )


def _form(part: Part, maps: Tensor, call: Call, sizes: tuple[int, int, int], *, last: bool) -> Form:
    """The best form of one part for maps like these; sizes: batch, channels in and out."""
    name = OWN
    if _has_forms(maps):
        batch, channels, out = sizes
        name = best_form(part, batch, channels, out, call, channels_last=last, dtype=maps.dtype).form
    return FORMS[part][name]


def _has_forms(maps: Tensor) -> bool:
    """Whether forms were measured for maps like these."""
    return maps.device.type == "cpu" and maps.dtype in _DTYPES and maps.numel() > 0


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    output_padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    call = _call(x.shape[2:], weight, (stride, padding, output_padding, dilation), groups)
    last = is_channels_last(x)
    filtered = _filtered(x, weight, bias, call, is_fixed=not weight.requires_grad)
    if filtered is not None:
        return filtered
    form = _form("forward", x, call, (x.shape[0], x.shape[1], weight.shape[1]), last=last)
    if form.takes_bias:
        y = form.run(x, weight, call, bias)
    else:
        y = form.run(x, weight, call)
        if bias is not None:
            y = y.add_(bias.view(-1, *[1] * call.ndim))
    return relaid(y, channels_last=last)


def _filtered_at_once(
    x: Tensor, weight: Tensor, bias: Tensor | None, numbers: Sequence[Sequence[int]]
) -> Tensor | None:
    """The output for a weight that may be trained, while no gradient is wanted; the operator sees others.

    The operator is not told whether gradients are wanted, so to it such a weight is another one every time.
    """
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or not weight.requires_grad:
        return None
    if x.shape[0] * x[:1].numel() * weight[:1].numel() < WORTH_A_CHOICE:
        return None
    call = _call(x.shape[2:], weight, numbers, 1)
    return _filtered(x, weight, bias, call, is_fixed=True) if min(call.samples) > 0 else None


def _filtered(x: Tensor, weight: Tensor, bias: Tensor | None, call: Call, *, is_fixed: bool) -> Tensor | None:
    """The output by minimal filtering, where that is faster; is_fixed: for a weight that may come again."""
    use = _filtered_use(x, weight, call)
    if use == "never":
        return None
    numbers = _filtering(call)
    prepared = seen_before(weight, numbers) if is_fixed else None
    if prepared is None:
        if use == "prepared":
            return None
        prepared = prepare(weight, numbers)
    return run(x, prepared, bias, numbers, weight.shape[1], call.samples)


def _filtered_use(x: Tensor, weight: Tensor, call: Call) -> Use:
    if call.groups > 1 or not is_served(x, _filtering(call), call.dilation, call.groups):
        return "never"
    return best_use(
        batch=x.shape[0],
        channels=x.shape[1],
        out=weight.shape[1],
        cells=call.cells,
        kernel=call.kernel,
        stride=call.stride,
        channels_last=is_channels_last(x),
        instructions=instructions(),
    ).use


def _filtering(call: Call) -> Filtering:
    return Filtering(kernel=call.kernel, stride=call.stride, padding=call.padding)


def _input_gradient(
    y: Tensor,
    weight: Tensor,
    size: list[int],
    stride: list[int],
    padding: list[int],
    output_padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    call = _call(size, weight, (stride, padding, output_padding, dilation), groups)
    last = is_channels_last(y)
    sizes = (y.shape[0], weight.shape[0], weight.shape[1])
    form = _form("input gradient", y, call, sizes, last=last)
    return relaid(form.run(y, weight, call), channels_last=last)


def _weight_gradient(
    x: Tensor,
    y: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    output_padding: list[int],
    dilation: list[int],
    groups: int,
    channels_last: bool,
) -> Tensor:
    numbers = (stride, padding, output_padding, dilation)
    call = _made(x.shape[2:], kernel, numbers, groups, weight_last=channels_last)
    sizes = (x.shape[0], x.shape[1], y.shape[1] // groups)
    form = _form("weight gradient", x, call, sizes, last=is_channels_last(y))
    return relaid(form.run(x, y, call), channels_last=channels_last)


def _forward_fake(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    output_padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    call = _call(x.shape[2:], weight, (stride, padding, output_padding, dilation), groups)
    shape = (x.shape[0], groups * weight.shape[1], *call.samples)
    return empty(x, shape, channels_last=is_channels_last(x))


def _input_gradient_fake(
    y: Tensor,
    weight: Tensor,
    size: list[int],
    stride: list[int],
    padding: list[int],
    output_padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    return empty(y, (y.shape[0], weight.shape[0], *size), channels_last=is_channels_last(y))


def _weight_gradient_fake(
    x: Tensor,
    y: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    output_padding: list[int],
    dilation: list[int],
    groups: int,
    channels_last: bool,
) -> Tensor:
    return empty(x, (x.shape[1], y.shape[1] // groups, *kernel), channels_last=channels_last)


def _keep(ctx: Any, first: Tensor, second: Tensor, numbers: tuple[Any, ...]) -> None:  # noqa: ANN401 - PyTorch's context
    """Keep of the two tensors what the gradient in the other one needs, and the numbers behind them."""
    wants_first, wants_second = ctx.needs_input_grad[:2]
    ctx.save_for_backward(first if wants_second else None, second if wants_first else None)
    ctx.numbers = numbers
    ctx.shapes = first.shape[2:], second.shape[2:]
    ctx.second_last = is_channels_last(second)


def _forward_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
    x, weight, _, *numbers = inputs
    _keep(ctx, x, weight, tuple(numbers))


def _forward_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    x, weight = ctx.saved_tensors
    by_x = by_weight = by_bias = None
    if ctx.needs_input_grad[0]:
        by_x = _OPERATORS.conv_transpose_input_gradient(gradient, weight, ctx.shapes[0], *ctx.numbers)
    if ctx.needs_input_grad[1]:
        by_weight = _OPERATORS.conv_transpose_weight_gradient(
            x, gradient, ctx.shapes[1], *ctx.numbers, ctx.second_last
        )
    if ctx.needs_input_grad[2]:
        by_bias = gradient.sum(dim=(0, *range(2, gradient.ndim)))
    return by_x, by_weight, by_bias, None, None, None, None, None


def _input_gradient_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
    y, weight, _, *numbers = inputs
    _keep(ctx, y, weight, tuple(numbers))


def _input_gradient_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    y, weight = ctx.saved_tensors
    by_y = by_weight = None
    if ctx.needs_input_grad[0]:
        by_y = _OPERATORS.conv_transpose(gradient, weight, None, *ctx.numbers)
    if ctx.needs_input_grad[1]:
        by_weight = _OPERATORS.conv_transpose_weight_gradient(
            gradient, y, ctx.shapes[1], *ctx.numbers, ctx.second_last
        )
    return by_y, by_weight, None, None, None, None, None, None


def _weight_gradient_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
    x, y, _, *numbers, _ = inputs
    _keep(ctx, x, y, tuple(numbers))


def _weight_gradient_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    x, y = ctx.saved_tensors
    by_x = by_y = None
    if ctx.needs_input_grad[0]:
        by_x = _OPERATORS.conv_transpose_input_gradient(y, gradient, ctx.shapes[0], *ctx.numbers)
    if ctx.needs_input_grad[1]:
        by_y = _OPERATORS.conv_transpose(x, gradient, None, *ctx.numbers)
    return by_x, by_y, None, None, None, None, None, None, None


_NUMBERS = "SymInt[] stride, SymInt[] padding, SymInt[] output_padding, SymInt[] dilation, SymInt groups"
_LIBRARY = torch.library.Library("upstroke", "FRAGMENT")  # type: ignore[no-untyped-call]
_OPERATORS = torch.ops.upstroke


def _register(
    schema: str,
    run: Callable[..., Tensor],
    fake: Callable[..., Tensor],
    setup: Callable[..., None],
    backward: Callable[..., Any],
) -> None:
    """Define one operator: what it computes, the shape and layout of that, and its gradients."""
    _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))  # type: ignore[no-untyped-call]
    name = schema.partition("(")[0]
    _LIBRARY.impl(name, run, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    full = f"upstroke::{name}"
    torch.library.register_fake(full, fake, lib=_LIBRARY)
    torch.library.register_autograd(full, backward, setup_context=setup, lib=_LIBRARY)


_register(
    f"conv_transpose(Tensor x, Tensor weight, Tensor? bias, {_NUMBERS}) -> Tensor",
    _forward,
    _forward_fake,
    _forward_setup,
    _forward_backward,
)
_register(
    f"conv_transpose_input_gradient(Tensor y, Tensor weight, SymInt[] size, {_NUMBERS}) -> Tensor",
    _input_gradient,
    _input_gradient_fake,
    _input_gradient_setup,
    _input_gradient_backward,
)
_register(
    f"conv_transpose_weight_gradient(Tensor x, Tensor y, SymInt[] kernel, {_NUMBERS}, bool channels_last)"
    " -> Tensor",
    _weight_gradient,
    _weight_gradient_fake,
    _weight_gradient_setup,
    _weight_gradient_backward,
)
