"""Differentiate the native operators: each is linear in both of its maps, so its gradients are the others."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from upstroke.errors import BackendError
from upstroke.ops.layout import in_layout, is_channels_last

__all__ = ["Adjoint", "KernelGradient", "Upsample", "differentiable"]

_OPERATORS = torch.ops.upstroke


class _Bilinear(torch.autograd.Function):
    """What the three operators share: each keeps of its two tensors what the gradient in the other needs."""

    # how many of an operator's arguments stand before the numbers that all three take
    own_arguments = 3

    @classmethod
    def kept(cls, ctx: Any, inputs: tuple[Any, ...]) -> None:  # noqa: ANN401 - PyTorch's context
        first, second = inputs[:2]
        by_first, by_second = ctx.needs_input_grad[:2]
        if forward_ad._current_level >= 0:
            ctx.save_for_backward(first, second)
            ctx.save_for_forward(first, second)
        else:
            ctx.save_for_backward(first if by_second else None, second if by_first else None)
        ctx.numbers = inputs[cls.own_arguments :]
        ctx.first, ctx.second = _Kind.of(first), _Kind.of(second)


class _Kind(NamedTuple):
    """What is known of a tensor that is not kept."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    channels_last: bool

    @classmethod
    def of(cls, tensor: Tensor) -> "_Kind":
        return cls(tuple(tensor.shape), tensor.dtype, is_channels_last(tensor))


def _sum_of(*tangents: Tensor | None) -> Tensor | None:
    """The tangent of what is linear in each of its tensors: of those that have one, added."""
    some = [each for each in tangents if each is not None]
    return None if not some else some[0] if len(some) == 1 else sum(some[1:], some[0])


class Upsample(_Bilinear):
    """Of (x, kernel, bias, *numbers)."""

    @staticmethod
    def forward(*inputs: Any) -> Tensor:  # noqa: ANN401
        """Apply it."""
        return _below(_OPERATORS.upsample.default, inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        """Keep what the gradients need."""
        Upsample.kept(ctx, inputs)
        ctx.bias_dtype = None if inputs[2] is None else inputs[2].dtype

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """The gradients in x, kernel and bias."""
        x, kernel = ctx.saved_tensors
        by_x = by_kernel = by_bias = None
        # the gradient in a map lies as the map does
        gradient = in_layout(gradient, channels_last=ctx.first.channels_last)
        if ctx.needs_input_grad[0]:
            cells = ctx.first.shape[2:]
            by_x = _OPERATORS.upsample_adjoint.default(gradient, kernel, cells, *ctx.numbers)
        if ctx.needs_input_grad[1]:
            by_kernel = _in_kernel(gradient, x, ctx.second, ctx.numbers)
        if ctx.needs_input_grad[2]:
            wide = torch.promote_types(gradient.dtype, torch.float32)
            by_bias = gradient.sum((0, *range(2, gradient.ndim)), dtype=wide).to(ctx.bias_dtype)
        return by_x, by_kernel, by_bias, None, None, None, None

    @staticmethod
    def jvp(
        ctx: Any,  # noqa: ANN401
        x: Tensor | None,
        kernel: Tensor | None,
        bias: Tensor | None,
        *_: None,
    ) -> Tensor | None:
        """The tangent."""
        first, second = ctx.saved_tensors
        upsample = _OPERATORS.upsample.default
        by_x = None if x is None else upsample(x, second, None, *ctx.numbers)
        by_kernel = None if kernel is None else upsample(first, kernel, None, *ctx.numbers)
        total = _sum_of(by_x, by_kernel)
        if bias is None:
            return total
        every = bias.reshape(-1, *[1] * (first.ndim - 2))
        return every + (
            upsample(torch.zeros_like(first), second, None, *ctx.numbers) if total is None else total
        )


class Adjoint(_Bilinear):
    """Of (y, kernel, size, *numbers)."""

    @staticmethod
    def forward(*inputs: Any) -> Tensor:  # noqa: ANN401
        """Apply it."""
        return _below(_OPERATORS.upsample_adjoint.default, inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        """Keep what the gradients need."""
        Adjoint.kept(ctx, inputs)
        ctx.size = inputs[2]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """The gradients in y and kernel."""
        y, kernel = ctx.saved_tensors
        by_y = by_kernel = None
        gradient = in_layout(gradient, channels_last=ctx.first.channels_last)
        if ctx.needs_input_grad[0]:
            by_y = _OPERATORS.upsample.default(gradient, kernel, None, *ctx.numbers)
        if ctx.needs_input_grad[1]:
            by_kernel = _in_kernel(y, gradient, ctx.second, ctx.numbers)
        return by_y, by_kernel, None, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, y: Tensor | None, kernel: Tensor | None, *_: None) -> Tensor | None:  # noqa: ANN401
        """The tangent."""
        first, second = ctx.saved_tensors
        adjoint = _OPERATORS.upsample_adjoint.default
        return _sum_of(
            None if y is None else adjoint(y, second, ctx.size, *ctx.numbers),
            None if kernel is None else adjoint(first, kernel, ctx.size, *ctx.numbers),
        )


class KernelGradient(_Bilinear):
    """Of (y, x, length, shared, *numbers)."""

    own_arguments = 4

    @staticmethod
    def forward(*inputs: Any) -> Tensor:  # noqa: ANN401
        """Apply it."""
        return _below(_OPERATORS.upsample_kernel_gradient.default, inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        """Keep what the gradients need."""
        KernelGradient.kept(ctx, inputs)
        ctx.kernel = inputs[2:4]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """The gradients in y and x."""
        y, x = ctx.saved_tensors
        by_y = by_x = None
        if ctx.needs_input_grad[0]:
            x = in_layout(x, channels_last=ctx.first.channels_last)
            by_y = _OPERATORS.upsample.default(x, gradient, None, *ctx.numbers)
        if ctx.needs_input_grad[1]:
            y, cells = in_layout(y, channels_last=ctx.second.channels_last), ctx.second.shape[2:]
            by_x = _OPERATORS.upsample_adjoint.default(y, gradient, cells, *ctx.numbers)
        return by_y, by_x, None, None, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, y: Tensor | None, x: Tensor | None, *_: None) -> Tensor | None:  # noqa: ANN401
        """The tangent."""
        first, second = ctx.saved_tensors
        gradient = _OPERATORS.upsample_kernel_gradient.default
        return _sum_of(
            None if y is None else gradient(y, second, *ctx.kernel, *ctx.numbers),
            None if x is None else gradient(first, x, *ctx.kernel, *ctx.numbers),
        )


def _in_kernel(y: Tensor, x: Tensor, kernel: _Kind, numbers: tuple[Any, ...]) -> Tensor:
    channels, _, *length = kernel.shape
    gradient: Tensor = _OPERATORS.upsample_kernel_gradient.default(y, x, length, channels == 1, *numbers)
    return gradient.to(kernel.dtype)


def _below(operator: Callable[..., Tensor], inputs: tuple[Any, ...]) -> Tensor:
    """Run an operator as if none of its tensors wanted a gradient."""
    with torch._C._AutoDispatchBelowAutograd():
        return operator(*inputs)


def differentiable(operator: Callable[..., Tensor], function: type[_Bilinear]) -> Callable[..., Tensor]:
    """What runs before an operator where somebody may want a gradient.

    PyTorch's `register_autograd` would do the same for a tenth more time without gradients and two thirds
    more with them, and would leave tangents of forward mode out.
    """

    def run(*inputs: Any) -> Tensor:  # noqa: ANN401
        wanted = torch.is_grad_enabled() and any(
            isinstance(each, Tensor) and each.requires_grad for each in inputs[:3]
        )
        if not wanted and forward_ad._current_level < 0:
            return _below(operator, inputs)
        if torch._C._are_functorch_transforms_active():
            msg = (
                "torch.func takes no derivatives through the native kernels; got one of its transforms, so "
                "use torch.autograd, or upsample with impl='transposed'"
            )
            raise BackendError(msg)
        gradient: Tensor = function.apply(*inputs)  # type: ignore[no-untyped-call]
        return gradient

    return run
