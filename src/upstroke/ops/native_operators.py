"""Register with PyTorch the upsampling of channels by themselves, its adjoint and the gradient in its kernel.

Cell m draws its kernel, number i of it on sample n = scale * m + i - crop; per channel c::

    upsample(x, kernel, bias)[n]       = bias + sum over i of kernel[i] * x[m], n = scale * m + i - crop
    upsample_adjoint(y, kernel)[j]     = sum over the (n, i) that read cell j of kernel[i] * y[n]
    upsample_kernel_gradient(y, x)[i]  = sum over batch and n of y[n] * x[m]

Cells outside of the map are read as the border says. Each is linear in both of its tensors, so each one's
gradients are the other two, for any order of derivative. On the CPU the compiled kernels run, elsewhere and
without them PyTorch's grouped convolutions.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from upstroke.ops import grouped, kernels
from upstroke.ops.layout import empty, in_layout, is_channels_last
from upstroke.ops.native_call import (
    DTYPES,
    Call,
    call_of,
    check_bias,
    check_maps,
    check_output,
    check_pair,
    known_call,
)
from upstroke.ops.native_gradients import Adjoint, KernelGradient, Upsample, differentiable

__all__: list[str] = []


def _sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of kernels, biases and sums beside maps of this dtype."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _beside(numbers: Tensor, maps: Tensor) -> Tensor:
    """A kernel or bias without gaps in memory, as the kernels read it beside these maps."""
    dtype = _sum_dtype(maps.dtype)
    # PyTorch's own question whether anything is to be done costs ten times as much
    return (numbers if numbers.dtype == dtype else numbers.to(dtype)).contiguous()


def _compiled(maps: Tensor) -> kernels.Kernels | None:
    return kernels.native() if maps.device.type == "cpu" else None


def _upsample(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    scale: list[int],
    crop: list[int],
    excess: list[int],
    border: list[int],
) -> Tensor:
    check_pair(x, kernel, ("x", "kernel"))
    check_bias(x, bias)
    call = _known(x.shape, kernel.shape, scale, crop, excess, border)
    last = is_channels_last(x)
    y = empty(x, (*x.shape[:2], *call.samples), channels_last=last)
    if y.numel() == 0:
        return y
    kernel = _beside(kernel, x)
    native = _compiled(x)
    if native is None:
        wide = grouped.upsample(x.to(kernel.dtype), kernel, call)
        if bias is not None:
            wide = wide + bias.to(kernel.dtype).reshape(-1, *[1] * len(scale))
        return y.copy_(wide)
    bias = None if bias is None else _beside(bias, x)
    x, out = _plain(x, channels_last=last), _memory(y, channels_last=last)
    native.upsample(
        x.data_ptr(),
        kernel.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        out.data_ptr(),
        _problem(x, kernel.shape[0], call, last=last),
    )
    return out if out is y else y.copy_(out)


def _adjoint(
    y: Tensor,
    kernel: Tensor,
    size: list[int],
    scale: list[int],
    crop: list[int],
    excess: list[int],
    border: list[int],
) -> Tensor:
    check_pair(y, kernel, ("y", "kernel"))
    shape = (*y.shape[:2], *size)
    call = _known(shape, kernel.shape, scale, crop, excess, border)
    check_output(y, (*shape[:2], *call.samples))
    last = is_channels_last(y)
    x = empty(y, shape, channels_last=last)
    if x.numel() == 0:
        return x
    kernel = _beside(kernel, y)
    native = _compiled(y)
    if native is None:
        return x.copy_(grouped.adjoint(y.to(kernel.dtype), kernel, call, cells=shape[2:]))
    y, out = _plain(y, channels_last=last), _memory(x, channels_last=last)
    problem = _problem(out, kernel.shape[0], call, last=last)
    native.adjoint(y.data_ptr(), kernel.data_ptr(), out.data_ptr(), problem)
    return out if out is x else x.copy_(out)


def _kernel_gradient(
    y: Tensor,
    x: Tensor,
    length: list[int],
    shared: bool,
    scale: list[int],
    crop: list[int],
    excess: list[int],
    border: list[int],
) -> Tensor:
    check_pair(x, y, ("x", "y"))
    shape = (1 if shared else x.shape[1], 1, *length)
    call = _known(x.shape, shape, scale, crop, excess, border)
    check_maps(y, x, call.samples)
    sums = torch.empty(shape, dtype=_sum_dtype(x.dtype), device=x.device)
    if x.numel() == 0:
        return sums.zero_()
    native = _compiled(x)
    if native is None:
        every = grouped.kernel_gradient(y.to(sums.dtype), x.to(sums.dtype), call)
        return sums.copy_(every.sum(dim=0, keepdim=True) if shared else every)
    last = is_channels_last(x)
    y, x = _plain(in_layout(y, channels_last=last), channels_last=last), _plain(x, channels_last=last)
    problem = _problem(x, shape[0], call, last=last)
    native.kernel_gradient(y.data_ptr(), x.data_ptr(), sums.data_ptr(), problem)
    return sums


def _known(x: Sequence[int], kernel: Sequence[int], *numbers: list[int]) -> Call:
    return known_call(tuple(x), tuple(kernel), *map(tuple, numbers))


def _problem(x: Tensor, kernel_channels: int, call: Call, *, last: bool) -> kernels.Numbers:
    """What the kernels know of a call; x: of the maps the one before upsampling."""
    return _known_problem(
        tuple(x.shape), kernel_channels, call, last, DTYPES[x.dtype], torch.get_num_threads()
    )


@lru_cache(maxsize=4096)
def _known_problem(
    shape: tuple[int, ...], kernel_channels: int, call: Call, last: bool, number: int, threads: int
) -> kernels.Numbers:
    native = kernels.native()
    assert native is not None
    batch, channels, *cells = shape
    return native.Problem(
        batch=batch,
        channels=channels,
        kernel_channels=kernel_channels,
        cells=cells,
        samples=call.samples,
        scale=call.scale,
        kernel=call.length,
        crop=call.crop,
        border=call.border,
        channels_last=last,
        number=number,
        threads=threads,
    )


def _plain(maps: Tensor, *, channels_last: bool) -> Tensor:
    """The map without gaps in memory, in a dtype that the kernels read."""
    if maps.dtype not in DTYPES:
        maps = maps.to(_sum_dtype(maps.dtype))
    return maps if channels_last else maps.contiguous()


def _memory(maps: Tensor, *, channels_last: bool) -> Tensor:
    """Memory for the kernels to write to: the map itself where they write its dtype."""
    if maps.dtype in DTYPES:
        return maps
    return empty(maps[:0].to(_sum_dtype(maps.dtype)), maps.shape, channels_last=channels_last)


def _fake_upsample(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    scale: list[int],
    crop: list[int],
    excess: list[int],
    border: list[int],
) -> Tensor:
    check_pair(x, kernel, ("x", "kernel"))
    check_bias(x, bias)
    call = call_of(x.shape, kernel.shape, scale, crop, excess, border)
    return empty(x, (*x.shape[:2], *call.samples), channels_last=is_channels_last(x))


def _fake_adjoint(
    y: Tensor,
    kernel: Tensor,
    size: list[int],
    scale: list[int],
    crop: list[int],
    excess: list[int],
    border: list[int],
) -> Tensor:
    check_pair(y, kernel, ("y", "kernel"))
    shape = (*y.shape[:2], *size)
    call = call_of(shape, kernel.shape, scale, crop, excess, border)
    check_output(y, (*shape[:2], *call.samples))
    return empty(y, shape, channels_last=is_channels_last(y))


def _fake_kernel_gradient(
    y: Tensor,
    x: Tensor,
    length: list[int],
    shared: bool,
    scale: list[int],
    crop: list[int],
    excess: list[int],
    border: list[int],
) -> Tensor:
    check_pair(x, y, ("x", "y"))
    shape = (1 if shared else x.shape[1], 1, *length)
    call = call_of(x.shape, shape, scale, crop, excess, border)
    check_maps(y, x, call.samples)
    return torch.empty(shape, dtype=_sum_dtype(x.dtype), device=x.device)


def _upsample_vmap(
    info: Any,  # noqa: ANN401 - as PyTorch calls it
    in_dims: Sequence[Any],
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    *numbers: Any,  # noqa: ANN401
) -> tuple[Tensor, int]:
    of_x, of_kernel, of_bias = in_dims[:3]
    operator, count = torch.ops.upstroke.upsample, info.batch_size
    if of_kernel is None and of_bias is None:
        return _more_maps(operator, count, of_x, x, (kernel, bias, *numbers))
    channels = x.shape[1] if of_x is None else x.movedim(of_x, 1).shape[2]
    every = None if bias is None else _each_of(bias, of_bias, count, 0).flatten()
    kernels_of_all = _every_kernel(kernel, of_kernel, count, channels)
    y: Tensor = operator(_as_channels(x, of_x, count), kernels_of_all, every, *numbers)
    return _apart(y, 1, count), 1


def _adjoint_vmap(
    info: Any,  # noqa: ANN401 - as PyTorch calls it
    in_dims: Sequence[Any],
    y: Tensor,
    kernel: Tensor,
    *numbers: Any,  # noqa: ANN401
) -> tuple[Tensor, int]:
    of_y, of_kernel = in_dims[:2]
    operator, count = torch.ops.upstroke.upsample_adjoint, info.batch_size
    if of_kernel is None:
        return _more_maps(operator, count, of_y, y, (kernel, *numbers))
    channels = y.shape[1] if of_y is None else y.movedim(of_y, 1).shape[2]
    x = operator(_as_channels(y, of_y, count), _every_kernel(kernel, of_kernel, count, channels), *numbers)
    return _apart(x, 1, count), 1


def _kernel_gradient_vmap(
    info: Any,  # noqa: ANN401 - as PyTorch calls it
    in_dims: Sequence[Any],
    y: Tensor,
    x: Tensor,
    length: list[int],
    shared: bool,
    *numbers: Any,  # noqa: ANN401
) -> tuple[Tensor, int]:
    """Apply to many pairs of maps at once, as to more channels."""
    maps = (_as_channels(each, dim, info.batch_size) for each, dim in zip((y, x), in_dims, strict=False))
    sums = torch.ops.upstroke.upsample_kernel_gradient(*maps, length, False, *numbers)
    every = _apart(sums, 0, info.batch_size)
    return (every.sum(dim=1, keepdim=True) if shared else every), 0


def _more_maps(
    operator: Callable[..., Tensor], count: int, dim: int | None, maps: Tensor, others: tuple[Any, ...]
) -> tuple[Tensor, int]:
    """Apply to many maps at once, as to more maps of a batch: one kernel serves them all."""
    assert dim is not None
    every = operator(maps.movedim(dim, 0).flatten(0, 1), *others)
    return _apart(every, 0, count), 0


def _every_kernel(kernel: Tensor, dim: int | None, count: int, channels: int) -> Tensor:
    """The kernels of every map one after the other, one for each of its channels."""
    every = _each_of(kernel, dim, count, 0)
    return every.expand(count, channels, *every.shape[2:]).flatten(0, 1)


def _as_channels(maps: Tensor, dim: int | None, count: int) -> Tensor:
    """Maps side by side, as channels of one."""
    return _each_of(maps, dim, count, 1).flatten(1, 2)


def _apart(together: Tensor, dim: int, count: int) -> Tensor:
    """What was put together along an axis, so many times, by itself again."""
    every: Tensor = together.unflatten(dim, (count, -1))  # type: ignore[no-untyped-call]
    return every


def _each_of(tensor: Tensor, dim: int | None, count: int, to: int) -> Tensor:
    """What is mapped over, at this place; the same so many times where there is but one."""
    if dim is not None:
        return tensor.movedim(dim, to)
    return tensor.unsqueeze(to).expand(*tensor.shape[:to], count, *tensor.shape[to:])


_NUMBERS_OF_ALL = "int[] scale, int[] crop, int[] excess, int[] border"
_LIBRARY = torch.library.Library("upstroke", "FRAGMENT")  # type: ignore[no-untyped-call]
# the layout of a result follows from that of the map, so compiled code must hand the map over as it lay
_TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_fixed_stride_order)


def _register(
    name: str,
    arguments: str,
    forms: tuple[Callable[..., Tensor], Callable[..., Tensor]],
    function: type[Upsample | Adjoint | KernelGradient],
    mapped: Callable[..., Any],
) -> None:
    """Define one operator; `define` and `impl` cost a third less per call than `custom_op` does."""
    real, fake = forms
    _LIBRARY.define(f"{name}({arguments}, {_NUMBERS_OF_ALL}) -> Tensor", tags=_TAGS)  # type: ignore[no-untyped-call]
    _LIBRARY.impl(name, real, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    full = f"upstroke::{name}"
    torch.library.register_fake(full, fake, lib=_LIBRARY)
    operator = getattr(torch.ops.upstroke, name).default
    _LIBRARY.impl(name, differentiable(operator, function), "Autograd")  # type: ignore[no-untyped-call]
    torch.library.register_vmap(full, mapped, lib=_LIBRARY)


_register(
    "upsample",
    "Tensor x, Tensor kernel, Tensor? bias",
    (_upsample, _fake_upsample),
    Upsample,
    _upsample_vmap,
)
_register(
    "upsample_adjoint",
    "Tensor y, Tensor kernel, SymInt[] size",
    (_adjoint, _fake_adjoint),
    Adjoint,
    _adjoint_vmap,
)
_register(
    "upsample_kernel_gradient",
    "Tensor y, Tensor x, SymInt[] length, bool shared",
    (_kernel_gradient, _fake_kernel_gradient),
    KernelGradient,
    _kernel_gradient_vmap,
)
