"""Register with PyTorch the upsampling of every channel by itself, its adjoint and the gradient in its taps.

With n = scale * m + p, per channel c::

    upsample(x, taps)[n]               = sum over k of taps[p, k] * x[m + k - origin]
    upsample_adjoint(y, taps)[j]       = sum over the (n, k) that read cell j of taps[p, k] * y[n]
    upsample_taps_gradient(y, x)[p, k] = sum over batch and m of y[n] * x[m + k - origin]

Each is linear in both of its arguments, so each one's gradients are the other two, for any order of
derivative. On the CPU the compiled kernels run, elsewhere and without them PyTorch's grouped convolutions.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypedDict

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad

from upstroke.errors import BackendError, OptionError, ShapeError
from upstroke.ops import grouped
from upstroke.ops.fit import kept
from upstroke.ops.kernels import native
from upstroke.ops.layout import empty, in_layout, is_channels_last
from upstroke.polyphase import Border, Polyphase
from upstroke.polyphase.support import as_constant

__all__ = [
    "BORDERS",
    "adjoint",
    "depthwise",
    "depthwise_adjoint",
    "is_depthwise",
    "runs_on",
    "upsample",
]

# The numbers by which operators and kernels name what stands outside a map.
BORDERS: tuple[Border, ...] = ("zero", "clamp", "circular")

# What the kernels read and write; float16 maps are widened, and the result is rounded once.
_NUMBERS = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2}
_DTYPES = (*_NUMBERS, torch.float16)

# Places are counted in 64 bits: with no size above the one and no map above the other no sum overflows.
_MOST = 2**40
_MOST_NUMBERS = 2**60


def depthwise(
    x: Tensor,
    taps: Tensor,
    *,
    scale: Sequence[int],
    origin: Sequence[int],
    excess: Sequence[int],
    border: Sequence[Border],
) -> Tensor:
    """Upsample every channel by itself; channels-last maps give channels-last maps, in 1 axis too.

    Gradients flow to x and taps. Sums are kept in float64 for float64 maps, else in float32, and rounded
    once.

    Args:
        x: (batch, channels, *cells).
        taps: (phases, channels or 1, *kernel), any floating dtype; 1: the same for every channel.
        scale: of a `Polyphase`, like all below one entry per axis.
        origin: of a `Polyphase`.
        excess: of a `Polyphase`.
        border: of a `Polyphase`.

    >>> x = torch.tensor([[[1.0, 2.0]]])
    >>> numbers = {"scale": (2,), "origin": (0,), "excess": (0,), "border": ("clamp",)}
    >>> depthwise(x, torch.tensor([[[1.0, 0.0]], [[0.5, 0.5]]]), **numbers)
    tensor([[[1.0000, 1.5000, 2.0000, 2.0000]]])
    """
    numbers = list(map(BORDERS.index, border))
    y: Tensor = torch.ops.upstroke.upsample.default(x, taps, scale, origin, excess, numbers)
    return y


def depthwise_adjoint(
    y: Tensor,
    taps: Tensor,
    *,
    size: Sequence[int],
    scale: Sequence[int],
    origin: Sequence[int],
    excess: Sequence[int],
    border: Sequence[Border],
) -> Tensor:
    """The adjoint of `depthwise`, to maps of this size.

    >>> numbers = {"scale": (2,), "origin": (0,), "excess": (0,), "border": ("clamp",)}
    >>> taps = torch.tensor([[[1.0, 0.0]], [[0.5, 0.5]]])
    >>> depthwise_adjoint(torch.ones(1, 1, 4), taps, size=(2,), **numbers)
    tensor([[[1.5000, 2.5000]]])
    """
    numbers = list(map(BORDERS.index, border))
    x: Tensor = torch.ops.upstroke.upsample_adjoint.default(y, taps, size, scale, origin, excess, numbers)
    return x


def upsample(x: Float[Tensor, "b c_in *space"], operator: Polyphase) -> Float[Tensor, "b c_out *grown"]:
    """Apply an operator that treats every channel by itself, over as many channels as x has if it is shared.

    Raises:
        BackendError: the operator, this device or this installation has no such form.
    """
    _check(x, operator)
    return depthwise(x, _taps(x, operator), **_numbers(operator))


def adjoint(y: Float[Tensor, "b c_out *grown"], operator: Polyphase) -> Float[Tensor, "b c_in *space"]:
    """The adjoint of `upsample`.

    Raises:
        BackendError: as `upsample`.
    """
    _check(y, operator)
    size = operator.input_size(y.shape[2:])
    return depthwise_adjoint(y, _taps(y, operator), size=size, **_numbers(operator))


def is_depthwise(operator: Polyphase) -> bool:
    """Whether every channel is upsampled by itself: one channel in and out per group.

    >>> from upstroke.polyphase import linear, shuffle
    >>> is_depthwise(linear(2)), is_depthwise(shuffle(2))
    (True, False)
    """
    return operator.taps.shape[2] == 1 and operator.taps.shape[1] == operator.groups


def runs_on(device: torch.device) -> bool:
    """Whether the compiled kernels are here and serve maps on this device."""
    return device.type == "cpu" and _are_here()


@as_constant
def _are_here() -> bool:
    return native() is not None


def _check(x: Tensor, operator: Polyphase) -> None:
    """Refuse what there are no kernels for."""
    if not is_depthwise(operator):
        msg = (
            "native works on every channel by itself, with one channel in and out per group; got "
            f"{operator.out_channels} outputs of {operator.in_channels} inputs in {operator.groups} groups, "
            "so use impl='auto'"
        )
        raise BackendError(msg)
    if x.device.type not in ("cpu", "meta"):
        msg = f"native needs a map on the CPU; got one on {x.device}, so use impl='auto'"
        raise BackendError(msg)
    if not _are_here():
        msg = (
            "native needs the compiled kernels, which this installation lacks; install a C++17 compiler and "
            "then upstroke again, or use impl='auto'"
        )
        raise BackendError(msg)


def _taps(x: Tensor, operator: Polyphase) -> Tensor:
    """The taps (phases, channels or 1, *kernel) as the kernels read them beside this map."""
    taps, dtype = operator.taps, _sum_dtype(x.dtype)
    if taps.dtype == dtype and taps.device == x.device:
        return taps.squeeze(2)
    return kept(
        operator, ("native", dtype, x.device), lambda: taps.squeeze(2).to(dtype=dtype, device=x.device)
    )


class _Numbers(TypedDict):
    scale: tuple[int, ...]
    origin: tuple[int, ...]
    excess: tuple[int, ...]
    border: tuple[Border, ...]


def _numbers(operator: Polyphase) -> _Numbers:
    return {
        "scale": operator.scale,
        "origin": operator.origin,
        "excess": operator.excess,
        "border": operator.border,
    }


class _Call(NamedTuple):
    """The numbers of one call, checked against one another."""

    samples: tuple[int, ...]
    scale: Sequence[int]
    kernel: Sequence[int]
    origin: Sequence[int]
    border: Sequence[int]

    @property
    def names(self) -> tuple[Border, ...]:
        """What stands outside the map, in words."""
        return tuple(BORDERS[number] for number in self.border)


def _call(
    x: Sequence[int],
    taps: Sequence[int],
    scale: Sequence[int],
    origin: Sequence[int],
    excess: Sequence[int],
    border: Sequence[int],
) -> _Call:
    """Check shapes and numbers, which may be symbols, and count the samples."""
    ndim = len(x) - 2
    if not 1 <= ndim <= 3 or len(taps) != 2 + ndim:
        msg = (
            "x must have shape (batch, channels, *size) with 1 to 3 spatial axes, and taps (phases, "
            f"channels, *kernel) with as many; got shapes {tuple(x)} and {tuple(taps)}"
        )
        raise ShapeError(msg)
    for name, numbers in (("scale", scale), ("origin", origin), ("excess", excess), ("border", border)):
        if len(numbers) != ndim:
            msg = f"{name} must have one number per axis, {ndim} of them; got {tuple(numbers)}"
            raise ShapeError(msg)
    if min(scale) < 1 or min(border) < 0 or max(border) >= len(BORDERS):
        msg = (
            "scale must be at least 1 and border one of 0 (zero), 1 (clamp) and 2 (circular) on every axis; "
            f"got {tuple(scale)} and {tuple(border)}"
        )
        raise OptionError(msg)
    if taps[0] != math.prod(scale) or min(taps[2:]) < 1:
        msg = (
            f"taps must have one entry for each of the {math.prod(scale)} phases of scale {tuple(scale)} and "
            f"at least one tap; got shape {tuple(taps)}"
        )
        raise ShapeError(msg)
    if taps[1] not in (1, x[1]):
        msg = f"taps must have 1 channel, or {x[1]} to match x; got shape {tuple(taps)}"
        raise ShapeError(msg)
    samples = tuple(s * n + e for s, n, e in zip(scale, x[2:], excess, strict=True))
    if min(x[2:]) < 1 or min(samples) < 1:
        msg = (
            "the input must be large enough to leave at least one output sample per axis; got size "
            f"{tuple(x[2:])}, which gives {samples} at scale {tuple(scale)} and excess {tuple(excess)}"
        )
        raise ShapeError(msg)
    return _Call(samples, scale, taps[2:], origin, border)


@lru_cache(maxsize=4096)
def _known_call(
    x: tuple[int, ...],
    taps: tuple[int, ...],
    scale: tuple[int, ...],
    origin: tuple[int, ...],
    excess: tuple[int, ...],
    border: tuple[int, ...],
) -> _Call:
    """`_call`, once for all calls that are alike, and no larger than can be counted."""
    call = _call(x, taps, scale, origin, excess, border)
    largest = max(map(abs, (*x, *call.samples, *call.kernel, *scale, *origin, *excess)))
    if largest > _MOST or math.prod(x) > _MOST_NUMBERS or math.prod((*x[:2], *call.samples)) > _MOST_NUMBERS:
        msg = (
            f"a map may have up to 2^60 numbers and up to 2^40 along an axis; got shape {x}, which gives "
            f"size {call.samples}, so use a smaller one"
        )
        raise ShapeError(msg)
    return call


def _check_pair(first: Tensor, second: Tensor, names: tuple[str, str]) -> None:
    """Refuse tensors that cannot meet: other than floating, or on two devices."""
    if first.dtype not in _DTYPES or not second.is_floating_point():
        msg = (
            f"{names[0]} must be float64, float32, bfloat16 or float16 and {names[1]} floating; "
            f"got {first.dtype} and {second.dtype}, so convert them, for instance by .float()"
        )
        raise OptionError(msg)
    if first.device != second.device:
        msg = (
            f"{names[0]} and {names[1]} must be on one device; got {first.device} and {second.device}, "
            "so move one by .to()"
        )
        raise OptionError(msg)


def _check_maps(y: Tensor, x: Tensor, samples: Sequence[int]) -> None:
    """Refuse maps of which one is not what an upsampling makes of the other."""
    if y.dtype != x.dtype:
        msg = f"y and x must have one dtype; got {y.dtype} and {x.dtype}, so convert one by .to()"
        raise OptionError(msg)
    _check_output(y, (x.shape[0], x.shape[1], *samples))


def _check_output(y: Tensor, wanted: tuple[int, ...]) -> None:
    if tuple(y.shape) != wanted:
        msg = f"y must have the shape {wanted} of the output; got {tuple(y.shape)}"
        raise ShapeError(msg)


def _sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of taps and of sums beside maps of this dtype."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _as(taps: Tensor, dtype: torch.dtype) -> Tensor:
    # PyTorch's own question whether anything is to be done costs ten times as much
    return taps if taps.dtype == dtype else taps.to(dtype)


def _upsample(
    x: Tensor, taps: Tensor, scale: list[int], origin: list[int], excess: list[int], border: list[int]
) -> Tensor:
    _check_pair(x, taps, ("x", "taps"))
    call = _known_call(
        tuple(x.shape), tuple(taps.shape), tuple(scale), tuple(origin), tuple(excess), tuple(border)
    )
    last = is_channels_last(x)
    y = empty(x, (*x.shape[:2], *call.samples), channels_last=last)
    if y.numel() == 0:
        return y
    taps = _as(taps, _sum_dtype(x.dtype))
    kernels = native() if x.device.type == "cpu" else None
    if kernels is None:
        wide = grouped.upsample(
            x.to(taps.dtype),
            taps,
            samples=call.samples,
            scale=call.scale,
            origin=call.origin,
            border=call.names,
        )
        return y.copy_(wide)
    x, out, taps = _plain(x, channels_last=last), _beside(y, channels_last=last), taps.contiguous()
    _run(kernels.upsample, (x, taps, out), x, taps.shape[1], call, last=last)
    return out if out is y else y.copy_(out)


def _adjoint(
    y: Tensor,
    taps: Tensor,
    size: list[int],
    scale: list[int],
    origin: list[int],
    excess: list[int],
    border: list[int],
) -> Tensor:
    _check_pair(y, taps, ("y", "taps"))
    shape = (*y.shape[:2], *size)
    call = _known_call(shape, tuple(taps.shape), tuple(scale), tuple(origin), tuple(excess), tuple(border))
    _check_output(y, (*shape[:2], *call.samples))
    last = is_channels_last(y)
    x = empty(y, shape, channels_last=last)
    if x.numel() == 0:
        return x
    taps = _as(taps, _sum_dtype(y.dtype))
    kernels = native() if y.device.type == "cpu" else None
    if kernels is None:
        wide = grouped.adjoint(
            y.to(taps.dtype),
            taps,
            cells=shape[2:],
            scale=call.scale,
            origin=call.origin,
            border=call.names,
        )
        return x.copy_(wide)
    y, out, taps = _plain(y, channels_last=last), _beside(x, channels_last=last), taps.contiguous()
    _run(kernels.adjoint, (y, taps, out), out, taps.shape[1], call, last=last)
    return out if out is x else x.copy_(out)


def _taps_gradient(
    y: Tensor,
    x: Tensor,
    kernel: list[int],
    shared: bool,
    scale: list[int],
    origin: list[int],
    excess: list[int],
    border: list[int],
) -> Tensor:
    _check_pair(x, y, ("x", "y"))
    shape = (math.prod(scale), 1 if shared else x.shape[1], *kernel)
    call = _known_call(tuple(x.shape), shape, tuple(scale), tuple(origin), tuple(excess), tuple(border))
    _check_maps(y, x, call.samples)
    sums = torch.empty(shape, dtype=_sum_dtype(x.dtype), device=x.device)
    if x.numel() == 0:
        return sums.zero_()
    kernels = native() if x.device.type == "cpu" else None
    if kernels is None:
        every = grouped.taps_gradient(
            y.to(sums.dtype),
            x.to(sums.dtype),
            kernel=call.kernel,
            scale=call.scale,
            origin=call.origin,
            border=call.names,
        )
        return sums.copy_(every.sum(dim=1, keepdim=True) if shared else every)
    last = is_channels_last(x)
    y, x = _plain(in_layout(y, channels_last=last), channels_last=last), _plain(x, channels_last=last)
    _run(kernels.taps_gradient, (y, x, sums), x, shape[1], call, last=last)
    return sums


def _run(
    kernel: Callable[..., None],
    tensors: tuple[Tensor, Tensor, Tensor],
    x: Tensor,
    tap_channels: int,
    call: _Call,
    *,
    last: bool,
) -> None:
    """Run a compiled kernel; x: of the three tensors the map before upsampling."""
    batch, channels, *cells = x.shape
    kernel(
        *(tensor.data_ptr() for tensor in tensors),
        batch,
        channels,
        tap_channels,
        cells,
        call.samples,
        call.scale,
        call.kernel,
        call.origin,
        call.border,
        last,
        _NUMBERS[x.dtype],
        torch.get_num_threads(),
    )


def _plain(maps: Tensor, *, channels_last: bool) -> Tensor:
    """The map without gaps in memory, in a dtype that the kernels read."""
    if maps.dtype not in _NUMBERS:
        maps = maps.to(_sum_dtype(maps.dtype))
    return maps if channels_last else maps.contiguous()


def _beside(maps: Tensor, *, channels_last: bool) -> Tensor:
    """Memory for the kernels to write to: the map itself where they write its dtype."""
    if maps.dtype in _NUMBERS:
        return maps
    return empty(maps[:0].to(_sum_dtype(maps.dtype)), maps.shape, channels_last=channels_last)


def _fake_upsample(
    x: Tensor, taps: Tensor, scale: list[int], origin: list[int], excess: list[int], border: list[int]
) -> Tensor:
    _check_pair(x, taps, ("x", "taps"))
    call = _call(x.shape, taps.shape, scale, origin, excess, border)
    return empty(x, (*x.shape[:2], *call.samples), channels_last=is_channels_last(x))


def _fake_adjoint(
    y: Tensor,
    taps: Tensor,
    size: list[int],
    scale: list[int],
    origin: list[int],
    excess: list[int],
    border: list[int],
) -> Tensor:
    _check_pair(y, taps, ("y", "taps"))
    shape = (*y.shape[:2], *size)
    call = _call(shape, taps.shape, scale, origin, excess, border)
    _check_output(y, (*shape[:2], *call.samples))
    return empty(y, shape, channels_last=is_channels_last(y))


def _fake_taps_gradient(
    y: Tensor,
    x: Tensor,
    kernel: list[int],
    shared: bool,
    scale: list[int],
    origin: list[int],
    excess: list[int],
    border: list[int],
) -> Tensor:
    _check_pair(x, y, ("x", "y"))
    shape = (math.prod(scale), 1 if shared else x.shape[1], *kernel)
    call = _call(x.shape, shape, scale, origin, excess, border)
    _check_maps(y, x, call.samples)
    return torch.empty(shape, dtype=_sum_dtype(x.dtype), device=x.device)


class _Bilinear(torch.autograd.Function):
    """What the three operators share: each keeps of its two tensors what the gradient in the other needs."""

    # how many of an operator's arguments stand before the numbers that all three take
    own_arguments = 2

    @classmethod
    def kept(cls, ctx: Any, inputs: tuple[Any, ...]) -> None:  # noqa: ANN401 - PyTorch's context
        first, second = inputs[:2]
        by_first, by_second = ctx.needs_input_grad[:2]
        if forward_ad._current_level >= 0:
            ctx.save_for_backward(first, second)
            ctx.save_for_forward(first, second)
        else:
            ctx.save_for_backward(first if by_second else None, second if by_first else None)
        ctx.own, ctx.numbers = inputs[2 : cls.own_arguments], inputs[cls.own_arguments :]
        ctx.first, ctx.second = _Kind.of(first), _Kind.of(second)


class _Kind(NamedTuple):
    """What is known of a tensor that is not kept."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    channels_last: bool

    @classmethod
    def of(cls, tensor: Tensor) -> "_Kind":
        return cls(tuple(tensor.shape), tensor.dtype, tensor.ndim > 2 and is_channels_last(tensor))


def _sum_of_tangents(
    ctx: Any,  # noqa: ANN401
    operator: Callable[..., Tensor],
    by_first: Tensor | None,
    by_second: Tensor | None,
) -> Tensor | None:
    """The tangent of a product of two tensors: the operator is linear in each of them."""
    first, second = ctx.saved_tensors
    one = None if by_first is None else operator(by_first, second, *ctx.own, *ctx.numbers)
    two = None if by_second is None else operator(first, by_second, *ctx.own, *ctx.numbers)
    return one + two if one is not None and two is not None else one if two is None else two


class _Upsample(_Bilinear):
    @staticmethod
    def forward(*inputs: Any) -> Tensor:  # noqa: ANN401
        return _below(torch.ops.upstroke.upsample.default, inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        _Upsample.kept(ctx, inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, taps = ctx.saved_tensors
        by_x = by_taps = None
        # the gradient in a map lies as the map does
        gradient = in_layout(gradient, channels_last=ctx.first.channels_last)
        if ctx.needs_input_grad[0]:
            cells = ctx.first.shape[2:]
            by_x = torch.ops.upstroke.upsample_adjoint.default(gradient, taps, cells, *ctx.numbers)
        if ctx.needs_input_grad[1]:
            by_taps = _in_taps(gradient, x, ctx.second, ctx.numbers)
        return by_x, by_taps, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, x: Tensor | None, taps: Tensor | None, *_: None) -> Tensor | None:  # noqa: ANN401
        return _sum_of_tangents(ctx, torch.ops.upstroke.upsample.default, x, taps)


class _Adjoint(_Bilinear):
    own_arguments = 3

    @staticmethod
    def forward(*inputs: Any) -> Tensor:  # noqa: ANN401
        return _below(torch.ops.upstroke.upsample_adjoint.default, inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        _Adjoint.kept(ctx, inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        y, taps = ctx.saved_tensors
        by_y = by_taps = None
        gradient = in_layout(gradient, channels_last=ctx.first.channels_last)
        if ctx.needs_input_grad[0]:
            by_y = torch.ops.upstroke.upsample.default(gradient, taps, *ctx.numbers)
        if ctx.needs_input_grad[1]:
            by_taps = _in_taps(y, gradient, ctx.second, ctx.numbers)
        return by_y, by_taps, None, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, y: Tensor | None, taps: Tensor | None, *_: None) -> Tensor | None:  # noqa: ANN401
        return _sum_of_tangents(ctx, torch.ops.upstroke.upsample_adjoint.default, y, taps)


class _TapsGradient(_Bilinear):
    own_arguments = 4

    @staticmethod
    def forward(*inputs: Any) -> Tensor:  # noqa: ANN401
        return _below(torch.ops.upstroke.upsample_taps_gradient.default, inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        _TapsGradient.kept(ctx, inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        y, x = ctx.saved_tensors
        by_y = by_x = None
        if ctx.needs_input_grad[0]:
            x = in_layout(x, channels_last=ctx.first.channels_last)
            by_y = torch.ops.upstroke.upsample.default(x, gradient, *ctx.numbers)
        if ctx.needs_input_grad[1]:
            y, cells = in_layout(y, channels_last=ctx.second.channels_last), ctx.second.shape[2:]
            by_x = torch.ops.upstroke.upsample_adjoint.default(y, gradient, cells, *ctx.numbers)
        return by_y, by_x, None, None, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, y: Tensor | None, x: Tensor | None, *_: None) -> Tensor | None:  # noqa: ANN401
        return _sum_of_tangents(ctx, torch.ops.upstroke.upsample_taps_gradient.default, y, x)


def _in_taps(y: Tensor, x: Tensor, taps: _Kind, numbers: tuple[Any, ...]) -> Tensor:
    _, channels, *kernel = taps.shape
    operator = torch.ops.upstroke.upsample_taps_gradient.default
    gradient: Tensor = operator(y, x, kernel, channels == 1, *numbers)
    return gradient.to(taps.dtype)


def _below(operator: Callable[..., Tensor], inputs: tuple[Any, ...]) -> Tensor:
    """Run an operator as if none of its tensors wanted a gradient."""
    with torch._C._AutoDispatchBelowAutograd():
        return operator(*inputs)


def _differentiable(operator: Callable[..., Tensor], function: type[_Bilinear]) -> Callable[..., Tensor]:
    """What runs before an operator where somebody may want a gradient.

    PyTorch's `register_autograd` would do the same for a tenth more time without gradients and two thirds
    more with them, and would leave tangents of forward mode out.
    """

    def run(first: Tensor, second: Tensor, *others: Any) -> Tensor:  # noqa: ANN401
        wanted = torch.is_grad_enabled() and (first.requires_grad or second.requires_grad)
        if not wanted and forward_ad._current_level < 0:
            return _below(operator, (first, second, *others))
        if torch._C._are_functorch_transforms_active():
            msg = (
                "torch.func takes no derivatives through the native kernels; got one of its transforms, so "
                "use torch.autograd, or upsample with impl='transposed'"
            )
            raise BackendError(msg)
        gradient: Tensor = function.apply(first, second, *others)  # type: ignore[no-untyped-call]
        return gradient

    return run


def _upsample_vmap(
    info: Any,  # noqa: ANN401 - as PyTorch calls it
    in_dims: Sequence[Any],
    maps: Tensor,
    taps: Tensor,
    *numbers: Any,  # noqa: ANN401
) -> tuple[Tensor, int]:
    return _mapped(torch.ops.upstroke.upsample, info.batch_size, in_dims[:2], maps, taps, numbers)


def _adjoint_vmap(
    info: Any,  # noqa: ANN401 - as PyTorch calls it
    in_dims: Sequence[Any],
    maps: Tensor,
    taps: Tensor,
    *numbers: Any,  # noqa: ANN401
) -> tuple[Tensor, int]:
    return _mapped(torch.ops.upstroke.upsample_adjoint, info.batch_size, in_dims[:2], maps, taps, numbers)


def _mapped(
    operator: Any,  # noqa: ANN401 - PyTorch's type of a registered operator
    count: int,
    in_dims: Sequence[int | None],
    maps: Tensor,
    taps: Tensor,
    numbers: tuple[Any, ...],
) -> tuple[Tensor, int]:
    """Apply to many maps at once: more maps of a batch, or more channels where each has taps of its own."""
    of_maps, of_taps = in_dims
    if of_taps is None:
        assert of_maps is not None
        every = operator(maps.movedim(of_maps, 0).flatten(0, 1), taps, *numbers)
        return every.unflatten(0, (count, -1)), 0
    channels = maps.shape[1] if of_maps is None else maps.movedim(of_maps, 1).shape[2]
    every = taps.movedim(of_taps, 1)
    every = every.expand(*every.shape[:2], channels, *every.shape[3:]).flatten(1, 2)
    return operator(_as_channels(maps, of_maps, count), every, *numbers).unflatten(1, (count, channels)), 1


def _taps_gradient_vmap(
    info: Any,  # noqa: ANN401 - as PyTorch calls it
    in_dims: Sequence[Any],
    y: Tensor,
    x: Tensor,
    kernel: list[int],
    shared: bool,
    *numbers: Any,  # noqa: ANN401
) -> tuple[Tensor, int]:
    """Apply to many pairs of maps at once, as to more channels."""
    maps = (_as_channels(each, dim, info.batch_size) for each, dim in zip((y, x), in_dims, strict=False))
    sums = torch.ops.upstroke.upsample_taps_gradient(*maps, kernel, False, *numbers)
    every = sums.unflatten(1, (info.batch_size, -1))
    return (every.sum(dim=2, keepdim=True) if shared else every), 1


def _as_channels(maps: Tensor, dim: int | None, count: int) -> Tensor:
    """Maps side by side, as channels of one; the same map so many times where there is but one."""
    every = maps[:, None].expand(-1, count, *maps.shape[1:]) if dim is None else maps.movedim(dim, 1)
    return every.flatten(1, 2)


_NUMBERS_OF_ALL = "int[] scale, int[] origin, int[] excess, int[] border"
_LIBRARY = torch.library.Library("upstroke", "FRAGMENT")  # type: ignore[no-untyped-call]


def _register(
    name: str,
    arguments: str,
    forms: tuple[Callable[..., Tensor], Callable[..., Tensor]],
    function: type[_Bilinear],
    mapped: Callable[..., Any],
) -> None:
    """Define one operator; `define` and `impl` cost a third less per call than `custom_op` does."""
    real, fake = forms
    _LIBRARY.define(f"{name}({arguments}, {_NUMBERS_OF_ALL}) -> Tensor", tags=_TAGS)  # type: ignore[no-untyped-call]
    _LIBRARY.impl(name, real, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    full = f"upstroke::{name}"
    torch.library.register_fake(full, fake, lib=_LIBRARY)
    operator = getattr(torch.ops.upstroke, name).default
    _LIBRARY.impl(name, _differentiable(operator, function), "Autograd")  # type: ignore[no-untyped-call]
    torch.library.register_vmap(full, mapped, lib=_LIBRARY)


# the layout of a result follows from that of the map, so compiled code must hand the map over as it lay
_TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_fixed_stride_order)
_register(
    "upsample",
    "Tensor x, Tensor taps",
    (_upsample, _fake_upsample),
    _Upsample,
    _upsample_vmap,
)
_register(
    "upsample_adjoint",
    "Tensor y, Tensor taps, SymInt[] size",
    (_adjoint, _fake_adjoint),
    _Adjoint,
    _adjoint_vmap,
)
_register(
    "upsample_taps_gradient",
    "Tensor y, Tensor x, SymInt[] kernel, bool shared",
    (_taps_gradient, _fake_taps_gradient),
    _TapsGradient,
    _taps_gradient_vmap,
)
