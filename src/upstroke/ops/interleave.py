"""Put the phases of every cell side by side (pixel shuffle, any number of axes and scales); and back."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.errors import ShapeError
from upstroke.ops.kernels import native
from upstroke.ops.recorded import is_recorded

__all__ = ["deinterleave", "deinterleave_into", "interleave", "interleave_into", "is_served"]

# The compiled kernels move bits, so they ask no more of a number than its width.
_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

# Numbers below which PyTorch has moved them before an operator of ours has begun.
_WORTH_A_CALL = 2**14


def interleave(
    maps: Float[Tensor, "b out_phases *cells"], scale: Sequence[int]
) -> Float[Tensor, "b out *samples"]:
    """Channel o * phases + p becomes phase p of channel o: sample scale * m + p per axis.

    >>> interleave(torch.tensor([[[1.0, 2.0], [10.0, 20.0]]]), (2,))
    tensor([[[ 1., 10.,  2., 20.]]])
    """
    if _is_ours(maps):
        operator = torch.ops.upstroke.interleave.default
        return _applied(operator, _interleave, maps, scale)
    return _interleaved(maps, scale)


def deinterleave(
    samples: Float[Tensor, "b out *samples"], scale: Sequence[int]
) -> Float[Tensor, "b out_phases *cells"]:
    """Undo `interleave`.

    >>> deinterleave(torch.tensor([[[1.0, 10.0, 2.0, 20.0]]]), (2,))
    tensor([[[ 1.,  2.],
             [10., 20.]]])
    """
    if _is_ours(samples):
        operator = torch.ops.upstroke.deinterleave.default
        return _applied(operator, _deinterleave, samples, scale)
    return _deinterleaved(samples, scale)


def interleave_into(
    phases: Float[Tensor, "out_phases *cells"],
    samples: Float[Tensor, "out *samples"],
    scale: Sequence[int],
    *,
    threads: int | None = None,
) -> None:
    """Write the samples that these phases are, which may be a part of a larger map; threads: at most so many.

    >>> y = torch.zeros(1, 6)
    >>> interleave_into(torch.tensor([[1.0], [10.0]]), y[:, 2:4], (2,))
    >>> y
    tensor([[ 0.,  0.,  1., 10.,  0.,  0.]])
    """
    kernels = native() if _can_run(phases, samples) else None
    if kernels is None:
        samples.copy_(_interleaved(phases[None], scale)[0])
    else:
        _run(kernels.interleave, phases, samples, scale, threads)


def deinterleave_into(
    samples: Float[Tensor, "out *samples"],
    phases: Float[Tensor, "out_phases *cells"],
    scale: Sequence[int],
    *,
    threads: int | None = None,
) -> None:
    """Write the phases that these samples are; they may be a part of a larger map; threads: at most so many.

    >>> phases = torch.zeros(2, 1)
    >>> deinterleave_into(torch.tensor([[0.0, 0.0, 1.0, 10.0]])[:, 2:], phases, (2,))
    >>> phases
    tensor([[ 1.],
            [10.]])
    """
    kernels = native() if _can_run(phases, samples) else None
    if kernels is None:
        phases.copy_(_deinterleaved(samples[None], scale)[0])
    else:
        _run(kernels.deinterleave, phases, samples, scale, threads)


def is_served(maps: Tensor) -> bool:
    """Whether the compiled kernels are faster for such maps than PyTorch, and are here."""
    return (
        maps.numel() >= _WORTH_A_CALL
        and maps.device.type == "cpu"
        and maps.dtype in _DTYPES
        and native() is not None
    )


def _is_ours(maps: Tensor) -> bool:
    """Whether the compiled kernels run: compiled code makes its own shuffles, a recording wants PyTorch's."""
    # asked first, so that tracing sees nothing of the rest
    if torch.compiler.is_compiling():
        return False
    return not is_recorded() and is_served(maps) and maps.is_contiguous()


def _applied(
    operator: Callable[..., Tensor], run: Callable[..., Tensor], maps: Tensor, scale: Sequence[int]
) -> Tensor:
    # without a gradient the way through PyTorch's dispatcher takes longer than a small map
    wants_gradient = maps.requires_grad and torch.is_grad_enabled()
    return operator(maps, scale) if wants_gradient else run(maps, scale)


def _interleaved(maps: Tensor, scale: Sequence[int]) -> Tensor:
    """`interleave` by PyTorch."""
    # A square 2-D pixel shuffle is PyTorch's own, which keeps channels-last without a copy.
    if len(scale) == 2 and scale[0] == scale[1]:
        return torch.nn.functional.pixel_shuffle(maps, scale[0])
    ndim, (batch, channels, *cells) = len(scale), maps.shape
    blocks = maps.reshape(batch, channels // math.prod(scale), *scale, *cells)
    order = [0, 1] + [place for axis in range(ndim) for place in (2 + ndim + axis, 2 + axis)]
    return blocks.permute(order).reshape(
        batch, blocks.shape[1], *(s * n for s, n in zip(scale, cells, strict=True))
    )


def _deinterleaved(samples: Tensor, scale: Sequence[int]) -> Tensor:
    """`deinterleave` by PyTorch."""
    ndim, (batch, channels, *sizes) = len(scale), samples.shape
    split = [part for n, s in zip(sizes, scale, strict=True) for part in (n // s, s)]
    blocks = samples.reshape(batch, channels, *split)
    order = [0, 1] + [3 + 2 * axis for axis in range(ndim)] + [2 + 2 * axis for axis in range(ndim)]
    return blocks.permute(order).reshape(batch, channels * math.prod(scale), *split[::2])


def _can_run(phases: Tensor, samples: Tensor) -> bool:
    """Whether the kernels can walk both: each phase, and each line of samples, lies without gaps."""
    *strides, one = samples.stride()
    sizes = samples.shape[1:]
    return (
        samples.device.type == "cpu"
        and samples.dtype in _DTYPES
        and samples.numel() > 0
        and phases[0].is_contiguous()
        and phases.stride(0) >= phases[0].numel()
        and one == 1
        and all(
            outer >= inner * n for outer, inner, n in zip(strides, (*strides[1:], one), sizes, strict=True)
        )
    )


def _run(
    kernel: Callable[..., None], phases: Tensor, samples: Tensor, scale: Sequence[int], threads: int | None
) -> None:
    kernel(
        phases.data_ptr(),
        samples.data_ptr(),
        samples.shape[0],
        phases.shape[1:],
        scale,
        phases.stride(0),
        samples.stride()[:-1],
        samples.element_size(),
        threads or torch.get_num_threads(),
    )


def _samples_shape(shape: Sequence[int], scale: Sequence[int]) -> tuple[int, ...]:
    """The shape that interleaving makes."""
    _check_scale(shape, scale)
    batch, channels, *cells = shape
    phases = math.prod(scale)
    if channels % phases:
        msg = (
            f"maps must have a channel for each of the {phases} phases of scale {tuple(scale)}, or a "
            f"multiple of so many; got shape {tuple(shape)}"
        )
        raise ShapeError(msg)
    return (batch, channels // phases, *(s * n for s, n in zip(scale, cells, strict=True)))


def _phases_shape(shape: Sequence[int], scale: Sequence[int]) -> tuple[int, ...]:
    """The shape that deinterleaving makes."""
    _check_scale(shape, scale)
    batch, channels, *sizes = shape
    if any(n % s for n, s in zip(sizes, scale, strict=True)):
        msg = f"samples must have a multiple of scale {tuple(scale)} as size; got shape {tuple(shape)}"
        raise ShapeError(msg)
    return (batch, channels * math.prod(scale), *(n // s for n, s in zip(sizes, scale, strict=True)))


def _check_scale(shape: Sequence[int], scale: Sequence[int]) -> None:
    if not 1 <= len(scale) <= 3 or len(shape) != 2 + len(scale) or min(scale) < 1:
        msg = (
            "scale must have a number of at least 1 for each of 1 to 3 spatial axes of a map "
            f"(batch, channels, *size); got {tuple(scale)} for shape {tuple(shape)}"
        )
        raise ShapeError(msg)


def _interleave(maps: Tensor, scale: Sequence[int]) -> Tensor:
    samples = maps.new_empty(_samples_shape(maps.shape, scale))
    if maps.numel():
        # the batch is more channels
        interleave_into(maps.contiguous().flatten(0, 1), samples.flatten(0, 1), scale)
    return samples


def _deinterleave(samples: Tensor, scale: Sequence[int]) -> Tensor:
    maps = samples.new_empty(_phases_shape(samples.shape, scale))
    if maps.numel():
        deinterleave_into(samples.contiguous().flatten(0, 1), maps.flatten(0, 1), scale)
    return maps


def _fake_interleave(maps: Tensor, scale: list[int]) -> Tensor:
    return maps.new_empty(_samples_shape(maps.shape, scale))


def _fake_deinterleave(samples: Tensor, scale: list[int]) -> Tensor:
    return samples.new_empty(_phases_shape(samples.shape, scale))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401 - PyTorch's context
    ctx.scale = inputs[1]


def _interleave_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
    return torch.ops.upstroke.deinterleave.default(gradient, ctx.scale), None


def _deinterleave_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
    return torch.ops.upstroke.interleave.default(gradient, ctx.scale), None


_LIBRARY = torch.library.Library("upstroke", "FRAGMENT")  # type: ignore[no-untyped-call]


def _register(
    schema: str,
    run: Callable[..., Tensor],
    fake: Callable[..., Tensor],
    backward: Callable[..., Any],
) -> None:
    """Define one operator: what it computes, the shape of that, its gradient, and many of it at once."""
    _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))  # type: ignore[no-untyped-call]
    name = schema.partition("(")[0]
    _LIBRARY.impl(name, run, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    full, operator = f"upstroke::{name}", getattr(torch.ops.upstroke, name).default
    torch.library.register_fake(full, fake, lib=_LIBRARY)
    torch.library.register_autograd(full, backward, setup_context=_setup, lib=_LIBRARY)

    def mapped(
        info: Any,  # noqa: ANN401 - as PyTorch calls it
        in_dims: Sequence[Any],
        maps: Tensor,
        scale: list[int],
    ) -> tuple[Tensor, int]:
        every = operator(maps.movedim(in_dims[0], 0).flatten(0, 1), scale)
        return every.unflatten(0, (info.batch_size, -1)), 0

    torch.library.register_vmap(full, mapped, lib=_LIBRARY)


_register(
    "interleave(Tensor maps, SymInt[] scale) -> Tensor", _interleave, _fake_interleave, _interleave_backward
)
_register(
    "deinterleave(Tensor samples, SymInt[] scale) -> Tensor",
    _deinterleave,
    _fake_deinterleave,
    _deinterleave_backward,
)
