"""Turn one recorded call of PyTorch into the step that it is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from upstroke.graph.growth import grown, is_larger
from upstroke.graph.steps import (
    Concatenation,
    Convolution,
    Coordinates,
    Expansion,
    Filter,
    Join,
    Mixing,
    Other,
    Pad,
    Part,
    PerChannel,
    PixelShuffle,
    Pointwise,
    Pool,
    Reshape,
    Resize,
    Rounding,
    Same,
    Stays,
    Step,
    Transpose,
    TransposedConvolution,
    Unread,
    Upsampling,
)
from upstroke.graph.torch_call import Call
from upstroke.graph.torch_call import taken as taken_by
from upstroke.graph.torch_positions import READERS as POSITIONS
from upstroke.graph.torch_positions import adaptive, others_of, picked, slice_of, why_lost
from upstroke.polyphase import Border, KernelForm, Margin, from_kernel_form

__all__ = ["HOLDS_NO_VALUES", "Call", "grown_of", "others_of", "pad_of", "step_of"]

# What these make has a map's shape and none of its values.
HOLDS_NO_VALUES = frozenset(
    {
        "empty_like", "full_like", "new_empty", "new_empty_strided", "new_full", "new_ones",
        "new_zeros", "ones_like", "rand_like", "randint_like", "randn_like", "zeros_like",
    }
)  # fmt: skip

_POINTWISE = frozenset(
    {
        "_prelu_kernel", "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "bitwise_not",
        "ceil", "celu", "clamp", "clamp_max", "clamp_min", "cos", "cosh", "elu", "eq", "erf",
        "erfc", "erfinv", "exp", "exp2", "expm1", "floor", "frac", "ge", "gelu", "gt", "hardshrink",
        "hardsigmoid", "hardswish", "hardtanh", "isfinite", "isinf", "isnan", "le", "leaky_relu",
        "log", "log10", "log1p", "log2", "log_sigmoid", "log_sigmoid_forward", "logical_not",
        "logit", "lt", "mish", "nan_to_num", "ne", "prelu", "reciprocal", "relu", "relu6", "round",
        "rrelu", "rrelu_with_noise", "rsqrt", "sgn", "sigmoid", "sign", "silu", "sin", "sinc",
        "sinh", "softplus", "softshrink", "sqrt", "square", "tan", "tanh", "threshold", "trunc",
    }
)  # fmt: skip
# Larger only because a matrix is wider, a window or a distance is listed, something is put beside the map,
# samples are taken where the input says, or half a spectrum is made whole again.
_NOT_SPATIAL = frozenset(
    {
        "_cdist_forward", "_euclidean_dist", "_fft_c2c", "_fft_c2r", "_fft_r2c",
        "_scaled_dot_product_flash_attention_for_cpu", "_softmax", "addmm", "baddbmm", "bmm", "cat",
        "constant_pad_nd", "embedding", "expand", "grid_sampler_2d", "grid_sampler_3d", "linear", "lstm",
        "matmul", "mkldnn_rnn_layer", "mm", "native_layer_norm", "stack",
    }
)  # fmt: skip


# What no step describes, and what stands for several things: these are looked at for growth.
_MAY_GROW = (Other, Mixing, Expansion)
# operators of upstroke, without their namespace
_OURS = ("conv_transpose", "interleave", "upsample")


def step_of(call: Call) -> Step:
    """The step that a call is; Unread if it grows a map in a way that no step describes."""
    try:
        step = _read(call)
    except (KeyError, TypeError, ValueError, IndexError):
        # a form of the operator with other arguments than those known here
        step = Other()
    if isinstance(step, _MAY_GROW) and call.name not in _NOT_SPATIAL:
        after = tuple(call.output.shape)
        comparable = [shape for shape in _coming(call) if len(shape) == len(after)]
        if comparable and all(is_larger(shape, after) for shape in comparable):
            return Unread(reason=grown(call.name, comparable[0], after))
    return Other(reason=why_lost(call.name)) if isinstance(step, Other) and not step.reason else step


def _coming(call: Call) -> Sequence[tuple[int, ...]]:
    """Shapes of the maps that a call makes another of; of a gradient, what it comes from."""
    if not call.name.endswith("_backward"):
        return call.before
    gradient = call.given.get("grad_output")
    return [tuple(gradient.shape)] if isinstance(gradient, Tensor) and call.is_map(gradient) else []


def grown_of(name: str, given: Mapping[str, Any], output: object) -> Tensor | None:
    """The tensor that an operator made for growing maps has grown; None for any other operator, or if not."""
    backwards = name in ("convolution", "_convolution") and given.get("transposed")
    if not backwards and "upsample_" not in name and name not in ("pixel_shuffle", *_OURS):
        return None
    taken = taken_by(given)
    if not isinstance(taken, Tensor) or not isinstance(output, Tensor):
        return None
    sizes = zip(taken.shape[2:], output.shape[2:], strict=False)
    return taken if any(was < now for was, now in sizes) else None


def pad_of(pad: Sequence[int], ndim: int, *, border: Border | None, mirrored: bool = False) -> Pad | Other:
    """The pad that PyTorch writes as a list with the last axis first, for maps with so many spatial axes."""
    sides = [(left, right) for left, right in zip(pad[::2], pad[1::2], strict=True)]
    if ndim < 1 or any(side != (0, 0) for side in sides[ndim:]):
        return Other()
    sides += [(0, 0)] * (ndim - len(sides))
    return Pad(sides=tuple(sides[:ndim][::-1]), border=border, mirrored=mirrored)


def _read(call: Call) -> Step:
    reader = _READERS.get(call.name) or POSITIONS.get(call.name)
    if reader is not None:
        return reader(call)
    return Pointwise() if call.name in _POINTWISE and len(call.before) == 1 else Other()


def _per_axis(values: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """PyTorch lets one number stand for all axes."""
    given = (values,) if isinstance(values, int) else tuple(values)
    return given * ndim if len(given) == 1 else given


def _both_sides(padding: Sequence[int]) -> tuple[Margin, ...]:
    return tuple([(pad, pad) for pad in padding])


def _convolution(call: Call) -> Step:
    given, weight = call.given, call.given["weight"]
    backwards = given["transposed"]
    ndim = weight.ndim - 2
    stride, padding, dilation = (_per_axis(given[name], ndim) for name in ("stride", "padding", "dilation"))
    if call.is_map(weight) or call.is_map(given["bias"]) or call.map_in() is None:
        if backwards:
            return Unread(reason="its weight is computed from the input")
        if call.map_in() is None:
            return Other()
        kernel, sides = tuple(weight.shape[2:]), _both_sides(padding)
        return Filter(kernel=kernel, stride=stride, padding=sides, dilation=dilation)
    if backwards:
        return TransposedConvolution(
            weight=weight,
            bias=given["bias"],
            stride=stride,
            padding=_both_sides(padding),
            output_padding=_per_axis(given["output_padding"], ndim),
            dilation=dilation,
            groups=given["groups"],
        )
    return Convolution(
        weight=weight,
        bias=given["bias"],
        stride=stride,
        padding=_both_sides(padding),
        dilation=dilation,
        groups=given["groups"],
    )


def _conv_transpose(call: Call) -> Step:
    """The operator of upstroke, which says of one number per axis what PyTorch's says."""
    given = call.given
    return _convolution(replace(call, given={**given, "transposed": True}))


def _upsample(call: Call) -> Step:
    """The operator of upstroke that treats every channel by itself."""
    given = call.given
    kernel, bias, border = given["kernel"], given["bias"], [get_args(Border)[n] for n in given["border"]]
    if call.is_map(kernel) or call.is_map(bias) or call.map_in() is None:
        return Unread(reason="its kernel is computed from the input")
    shared = kernel.shape[0] == 1
    scale, crop, excess = (tuple(given[name]) for name in ("scale", "crop", "excess"))
    sizes = zip(kernel.shape[2:], scale, crop, excess, strict=True)
    padding = tuple((left, length - s - left - extra) for length, s, left, extra in sizes)
    if not shared and set(border) == {"zero"} and min(map(min, padding)) >= 0:
        return TransposedConvolution(
            weight=kernel,
            bias=bias,
            stride=scale,
            padding=padding,
            output_padding=(0,) * len(scale),
            dilation=(1,) * len(scale),
            groups=kernel.shape[0],
        )
    support = _without_zeros_at_ends(kernel)
    operator = from_kernel_form(
        KernelForm(kernel=kernel.detach(), support=support, crop=crop),
        scale=scale,
        excess=excess,
        border=tuple(border),
        groups=1 if shared else kernel.shape[0],
        shared=shared,
    )
    return Upsampling(operator=operator, bias=bias)


def _interleave(call: Call) -> Step:
    """The operator of upstroke that is a pixel shuffle over any number of axes."""
    return PixelShuffle(scale=tuple(call.given["scale"]))


def _batch_norm(call: Call) -> Step:
    """The map (x - mean) / sqrt(var + eps) * weight + bias, with the running mean and variance."""
    given = call.given
    mean, var = given.get("running_mean"), given.get("running_var")
    constants = [mean, var, given.get("weight"), given.get("bias")]
    if given.get("training", False) or mean is None or var is None or any(map(call.is_map, constants)):
        return Stays(by_place=False)
    gain = torch.rsqrt(var + given.get("eps", given.get("epsilon")))
    if given["weight"] is not None:
        gain = gain * given["weight"]
    shift = -mean * gain
    return PerChannel(gain=gain, shift=shift if given["bias"] is None else shift + given["bias"])


def _resize(
    mode: Literal["nearest", "linear", "cubic"],
    coordinates: Coordinates,
    *,
    rounding: Rounding = "floor",
    a: float = -0.75,
    rescaled: bool = False,
) -> Callable[[Call], Step]:
    def read(call: Call) -> Step:
        given, sizes = call.given, zip(_space_in(call), call.output.shape[2:], strict=True)
        said = _said_scales(given)
        corners = bool(given.get("align_corners"))
        # with corners aligned the spacing follows from the sizes, whatever factor was given
        scale = tuple(
            float(factor) if factor and not corners else after / before
            for factor, (before, after) in zip(said, sizes, strict=True)
        )
        return Resize(
            mode=mode,
            scale=scale,
            coordinates="align_corners" if corners else coordinates,
            rounding=rounding,
            a=a,
            given=all(said),
            rescaled=rescaled,
        )

    return read


def _said_scales(given: Mapping[str, Any]) -> list[float | None]:
    """The scale factors that came with a resize, per axis; None where a size came alone."""
    if "scale_factors" in given:
        return list(given["scale_factors"] or [None] * len(given["output_size"]))
    return [given[name] for name in ("scales", "scales_d", "scales_h", "scales_w") if name in given]


def _space_in(call: Call) -> tuple[int, ...]:
    taken = call.given.get("self", call.given.get("input"))
    assert isinstance(taken, Tensor)
    return tuple(taken.shape[2:])


def _pixel_shuffle(call: Call) -> Step:
    if call.output.ndim != 4:
        return Unread(reason="pixel_shuffle works on a map without a batch axis; give the model a batch")
    factor = call.given["upscale_factor"]
    return PixelShuffle(scale=(factor, factor))


def _adaptive_mean(call: Call) -> Step:
    """Where it grows by whole factors, each window is the one cell that the sample lies in."""
    before, after = _space_in(call), tuple(call.output.shape[2:])
    if len(before) + 2 != call.output.ndim or any(n % m for m, n in zip(before, after, strict=True)):
        return adaptive(call, "mean")
    scale = tuple(float(n // m) for m, n in zip(before, after, strict=True))
    return Resize(mode="nearest", scale=scale, coordinates="asymmetric", given=False)


def _index_select(call: Call) -> Step:
    return _nearest_by_index(call, call.given["dim"], call.given["index"])


def _index(call: Call) -> Step:
    placed = [(dim, index) for dim, index in enumerate(call.given["indices"]) if index is not None]
    if len(placed) == 1:
        return _nearest_by_index(call, *placed[0])
    taken = call.map_in()
    if (
        taken is None
        or taken.ndim != call.output.ndim
        or [dim for dim, _ in placed] != [*range(2, taken.ndim)]
    ):
        return Other()
    # a mesh: the index of each axis is as long as its result along that axis alone
    steps = []
    for place, (dim, index) in enumerate(placed):
        flat = (1,) * (len(placed) - 1 - place)
        if tuple(index.shape) not in [(len(index.flatten()), *flat), (*(1,) * place, index.numel(), *flat)]:
            return Other()
        steps.append(_nearest_by_index(call, dim, index.flatten()))
    scales = [step.scale for step in steps if isinstance(step, Resize)]
    if len(scales) < len(placed):
        return Other()
    scale = tuple(max(factors) for factors in zip(*scales, strict=True))
    return Resize(mode="nearest", scale=scale, coordinates="asymmetric", given=False)


def _without_zeros_at_ends(kernel: Tensor) -> Tensor:
    """Which taps of a kernel are there: our operators fill kernels with zeros until they hold whole cells."""
    filled = kernel.detach().flatten(0, 1).ne(0).any(0)
    support = torch.ones_like(filled)
    for axis in range(filled.ndim):
        used = filled.movedim(axis, 0).reshape(filled.shape[axis], -1).any(1).nonzero().flatten().tolist()
        place = torch.arange(filled.shape[axis])
        inside = (place >= used[0]) & (place <= used[-1]) if used else place >= 0
        support &= inside.reshape([-1 if each == axis else 1 for each in range(filled.ndim)])
    return support


def _edges_repeated(index: Tensor, size: int) -> Margin | None:
    """How often an index repeats the first and the last cell, all others once and in order; else None."""
    if index.dtype == torch.bool or size < 2 or len(index) < size:
        return None
    left = int((index == 0).sum()) - 1
    right = len(index) - size - left
    if left < 0 or right < 0:
        return None
    cells = torch.arange(-left, size + right, device=index.device).clamp(0, size - 1)
    return (left, right) if torch.equal(index, cells.to(index.dtype)) else None


def _nearest_by_index(call: Call, dim: int, index: Tensor) -> Step:
    """A nearest resize written as a list of cells: 0, 0, 1, 1, 2, 2."""
    taken = call.map_in()
    if taken is None or call.is_map(index) or index.ndim != 1 or index.is_floating_point():
        return Other()
    axis, size = dim % taken.ndim, taken.shape[dim]
    sides = _edges_repeated(index, size)
    if axis >= 2 and sides is not None and max(sides) > 0:
        every = tuple(sides if place == axis else (0, 0) for place in range(2, taken.ndim))
        return Pad(sides=every, border="clamp")
    if axis < 2 or index.dtype == torch.bool or size == 0 or len(index) % size or not len(index):
        return picked(axis)
    factor = len(index) // size
    if not torch.equal(index, torch.arange(len(index), device=index.device).to(index.dtype) // factor):
        return picked(axis)
    scale = tuple(float(factor) if place == axis else 1.0 for place in range(2, taken.ndim))
    return Resize(mode="nearest", scale=scale, coordinates="asymmetric", given=False)


def _col2im(call: Call) -> Step:
    if max(call.given["stride"]) == 1:
        return Other()
    return Unread(reason="fold lays columns side by side on a larger map in a way that is not read")


def _grid_sampler(call: Call) -> Step:
    """Samples at places that the input says are no upsampling, unless there are whole times as many."""
    before, after = _space_in(call), tuple(call.output.shape[2:])
    uneven = len(before) != len(after) or any(now % was for was, now in zip(before, after, strict=False))
    if call.is_map(call.given["grid"]) and uneven:
        return Other()
    larger = is_larger(call.before[0], tuple(call.output.shape))
    return (
        Unread(reason=grown("grid_sample", call.before[0], tuple(call.output.shape))) if larger else Other()
    )


def _view(call: Call) -> Step:
    if "dtype" in call.given:  # the same bytes, read as other numbers
        return Other()
    return Same() if tuple(call.output.shape) == call.before[0] else Reshape()


def _permute(call: Call) -> Step:
    rank = call.output.ndim
    return Transpose(order=tuple(dim % rank for dim in call.given["dims"]))


def _transpose(call: Call) -> Step:
    rank = call.output.ndim
    order = list(range(rank))
    if rank:
        first, second = call.given.get("dim0", 0) % rank, call.given.get("dim1", rank - 1) % rank
        order[first], order[second] = second, first
    return Transpose(order=tuple(order))


def _same(call: Call) -> Step:
    taken = call.map_in()
    # numbers become whole, or only true and false
    rounds = taken is not None and taken.is_floating_point() and not call.output.is_floating_point()
    return Pointwise() if rounds and not call.output.is_complex() else Same()


def _expand(call: Call) -> Step:
    return Same() if tuple(call.output.shape) == call.before[0] else Expansion()


def _copy(call: Call) -> Step:
    source = call.given["src"]
    return Same() if call.is_map(source) and source.shape == call.output.shape else Other()


def _dropout(call: Call) -> Step:
    return Stays() if call.given.get("train") else Same()


def _add(call: Call, sign: int = 1) -> Step:
    """A map plus alpha times another, or times a constant."""
    first, second = call.given["self"], call.given["other"]
    factor = sign * call.given.get("alpha", 1)
    if first is second:
        return PerChannel(gain=_numbers(1 + factor, call), shift=None)
    if call.is_map(first) and call.is_map(second):
        return Join(kind="add")
    if call.is_map(first):
        shift = _constant(second, call)
        return Stays() if shift is None else PerChannel(gain=None, shift=factor * shift)
    shift = _constant(first, call)
    gain = None if factor == 1 else _numbers(factor, call)
    return Stays() if shift is None else PerChannel(gain=gain, shift=shift)


def _subtract(call: Call) -> Step:
    return _add(call, sign=-1)


def _subtract_from(call: Call) -> Step:
    """Other minus alpha times self."""
    first, second = call.given["self"], call.given["other"]
    if call.is_map(first) and call.is_map(second):
        return Join(kind="add")
    shift = _constant(second, call)
    if shift is None or not call.is_map(first):
        return Stays()
    return PerChannel(gain=_numbers(-call.given.get("alpha", 1), call), shift=shift)


def _multiply(call: Call) -> Step:
    first, second = call.given["self"], call.given["other"]
    if first is second:
        return Pointwise()
    if call.is_map(first) and call.is_map(second):
        return Join(kind="multiply")
    gain = _constant(second if call.is_map(first) else first, call)
    return Stays() if gain is None else PerChannel(gain=gain, shift=None)


def _divide(call: Call) -> Step:
    first, second = call.given["self"], call.given["other"]
    if call.is_map(first) and call.is_map(second):
        return Join(kind="multiply")
    constant = _constant(second if call.is_map(first) else first, call)
    if constant is None:
        return Stays()
    if call.is_map(second) or call.given.get("rounding_mode") is not None:
        return Pointwise()
    return PerChannel(gain=1 / constant, shift=None)


def _negate(call: Call) -> Step:
    return PerChannel(gain=_numbers(-1, call), shift=None)


def _power(call: Call) -> Step:
    exponent = call.given.get("exponent")
    return Pointwise() if isinstance(exponent, int | float) and call.is_map(call.given["self"]) else Other()


def _numbers(value: int | float, call: Call) -> Tensor:
    """One number for all channels, of the type that the map gets."""
    output = call.output
    dtype = output.dtype if output.is_floating_point() else torch.get_default_dtype()
    return torch.tensor([float(value)], dtype=dtype, device=output.device)


def _constant(value: object, call: Call) -> Tensor | None:
    """A constant beside a map as one number per channel, or one for all; None if it varies otherwise."""
    if isinstance(value, int | float):
        return _numbers(value, call)
    shape = tuple(call.output.shape)
    if not isinstance(value, Tensor) or value.is_complex() or value.ndim > len(shape):
        return None
    if not value.is_floating_point():
        value = value.to(_numbers(0, call).dtype)
    if shape != call.before[0]:
        return None
    if value.numel() == 1:
        return value.reshape(1)
    aligned = (1,) * (len(shape) - value.ndim) + tuple(value.shape)
    per_channel = len(shape) > 1 and aligned[1] == shape[1] and math.prod(aligned) == shape[1]
    return value.reshape(-1) if per_channel else None


def _concatenate(call: Call) -> Step:
    dim = call.given.get("dim", 0) % max(call.output.ndim, 1)
    parts = tuple(
        Part(length=each.shape[dim], is_map=call.is_map(each))
        for each in call.given["tensors"]
        if each.numel()
    )
    return Join(kind="concatenate", parts=parts) if dim == 1 else Concatenation(axis=dim, parts=parts)


def _zero_pad(call: Call) -> Step:
    taken, pad = call.given["self"], call.given["pad"]
    if taken.is_complex() and max(pad) > 0:
        return Unread(reason="it pads a spectrum, which grows the map in a way that is not read")
    only_cuts = max(pad) <= 0
    return pad_of(pad, taken.ndim - 2, border="zero" if only_cuts or call.given["value"] == 0 else None)


def _pad(border: Border | None, *, mirrored: bool = False) -> Callable[[Call], Step]:
    def read(call: Call) -> Step:
        return pad_of(call.given["padding"], call.output.ndim - 2, border=border, mirrored=mirrored)

    return read


def _slice(call: Call) -> Step:
    taken, given = call.given["self"], call.given
    axis = given["dim"] % taken.ndim
    size = taken.shape[axis]
    start, stop, step = slice(given["start"], given["end"], given["step"]).indices(size)
    if (start, stop, step) == (0, size, 1):
        return Same()
    if axis < 2 or step != 1 or stop <= start:
        return slice_of(axis, start, step)
    sides = [(0, 0)] * (taken.ndim - 2)
    sides[axis - 2] = (-start, stop - size)
    return Pad(sides=tuple(sides))


def _pool(kind: Literal["mean", "max"], ndim: int) -> Callable[[Call], Step]:
    def read(call: Call) -> Step:
        given = call.given
        kernel, padding = (_per_axis(given[name], ndim) for name in ("kernel_size", "padding"))
        stride = _per_axis(given["stride"], ndim) if given["stride"] else kernel
        dilation = _per_axis(given.get("dilation", 1), ndim)
        reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
        return Pool(kernel=reach, stride=stride, padding=_both_sides(padding), kind=kind)

    return read


_READERS: dict[str, Callable[[Call], Step]] = {
    "convolution": _convolution,
    "_convolution": _convolution,
    "conv_transpose": _conv_transpose,
    "upsample": _upsample,
    "interleave": _interleave,
    **dict.fromkeys(
        (
            "native_batch_norm",
            "_native_batch_norm_legit",
            "_native_batch_norm_legit_no_training",
            "_batch_norm_no_update",
            "cudnn_batch_norm",
            "miopen_batch_norm",
            "batch_norm",
        ),
        _batch_norm,
    ),
    # round_prefer_ceil of a half-pixel position is the cell in which the sample's centre lies
    **{f"upsample_nearest{n}d": _resize("nearest", "asymmetric") for n in (1, 2, 3)},
    **{
        f"_upsample_nearest_exact{n}d": _resize("nearest", "half_pixel", rounding="round_prefer_ceil")
        for n in (1, 2, 3)
    },
    "upsample_linear1d": _resize("linear", "half_pixel"),
    "upsample_bilinear2d": _resize("linear", "half_pixel"),
    "upsample_trilinear3d": _resize("linear", "half_pixel"),
    "upsample_bicubic2d": _resize("cubic", "half_pixel"),
    "_upsample_bilinear2d_aa": _resize("linear", "half_pixel", rescaled=True),
    "_upsample_bicubic2d_aa": _resize("cubic", "half_pixel", a=-0.5, rescaled=True),
    "pixel_shuffle": _pixel_shuffle,
    "_adaptive_avg_pool2d": _adaptive_mean,
    "_adaptive_avg_pool3d": _adaptive_mean,
    "index_select": _index_select,
    "index": _index,
    "col2im": _col2im,
    **dict.fromkeys(("grid_sampler_2d", "grid_sampler_3d"), _grid_sampler),
    **dict.fromkeys(("view", "_unsafe_view", "_reshape_alias", "reshape", "squeeze", "unsqueeze"), _view),
    "permute": _permute,
    **dict.fromkeys(("transpose", "t"), _transpose),
    **dict.fromkeys(("alias", "clone", "contiguous", "detach", "lift_fresh", "positive", "_to_copy"), _same),
    "expand": _expand,
    "copy": _copy,
    **dict.fromkeys(("dropout", "native_dropout"), _dropout),
    "add": _add,
    "sub": _subtract,
    "rsub": _subtract_from,
    "mul": _multiply,
    "div": _divide,
    "neg": _negate,
    "pow": _power,
    "cat": _concatenate,
    "constant_pad_nd": _zero_pad,
    **{f"replication_pad{n}d": _pad("clamp") for n in (1, 2, 3)},
    **{f"reflection_pad{n}d": _pad(None, mirrored=True) for n in (1, 2, 3)},
    "slice": _slice,
    **{f"max_pool{n}d{tail}": _pool("max", n) for n in (2, 3) for tail in ("", "_with_indices")},
    **{f"avg_pool{n}d": _pool("mean", n) for n in (2, 3)},
}
