"""Turn one call of PyTorch into where the samples of what it gives sit."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from upstroke.graph.ramp import reshaped
from upstroke.graph.shadow import (
    SPREAD,
    Lost,
    Result,
    Shadow,
    concatenated,
    joined,
    listed,
    mixed,
    moved,
    pooled,
    thinned,
)
from upstroke.graph.shadow_windows import (
    POOLED,
    Mode,
    adaptive,
    nearest,
    padded,
    resized,
    transposed,
    windows,
)

__all__ = ["Seen", "padded_by", "results", "short_name", "slid_over", "targets_of"]

ATTENTION = "attention mixes all positions"
TWO_MAPS = "a product of two maps mixes all positions"


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """One call of an operator that takes a map.

    Attributes:
        func: the operator.
        name: of the operator, without namespace, overload and the underscore of an in-place one.
        args, kwargs: what it was called with.
        given: every argument by its name, defaults filled in.
        outputs: every tensor that it gave.
        shadows: of those tensors among its arguments that are maps, by id.
    """

    func: OpOverload
    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    given: Mapping[str, Any]
    outputs: Sequence[Tensor]
    shadows: Mapping[int, Shadow | Lost]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what it gives."""
        return tuple(self.outputs[0].shape)

    def of(self, *names: str) -> Result:
        """The shadow of the first of these arguments that there is; None if it is a constant."""
        value = next((self.given[name] for name in names if name in self.given), None)
        return self.shadows.get(id(value))

    def located(self) -> list[Shadow]:
        """The shadows of all maps that are located."""
        return [each for each in self.shadows.values() if isinstance(each, Shadow)]

    def again(self, shadow: Shadow, values: Tensor) -> Any:  # noqa: ANN401 - whatever an operator gives
        """What the operator makes of other values in place of the map that has this shadow."""

        def instead(value: Any) -> Any:  # noqa: ANN401
            if isinstance(value, list | tuple):
                return type(value)(map(instead, value))
            return values if self.shadows.get(id(value)) is shadow else value

        given = {key: instead(value) for key, value in self.kwargs.items()}
        return _functional(self.func)(*map(instead, self.args), **given)


_Reader = Callable[[Seen], Result]


def results(seen: Seen) -> list[Result]:
    """A shadow for each tensor that an operator gives."""
    if not seen.shadows:
        return [None] * len(seen.outputs)
    located = seen.located()
    if not located:
        lost = next(each for each in seen.shadows.values() if isinstance(each, Lost))
        return [lost] * len(seen.outputs)
    if seen.name in _APART:
        shadow = located[0]
        return [_piece(seen, shadow, place) for place in range(len(seen.outputs))]
    try:
        first = _first(seen)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # a form of the operator with other arguments than those known here
        first = Lost(reason=f"{seen.name} is not followed in this form: {error}")
    if seen.name in _REDUCTIONS:
        # where a maximum is belongs to the samples whose maximum it is
        return [first] * len(seen.outputs)
    # what else there is are statistics, or the places of a maximum
    return [first, *[Lost(reason=f"{seen.name} gives it beside a map")] * (len(seen.outputs) - 1)]


def _piece(seen: Seen, shadow: Shadow, place: int) -> Shadow | Lost:
    return moved(shadow, lambda values: seen.again(shadow, values)[place])


def _first(seen: Seen) -> Result:
    reader = _READERS.get(seen.name)
    if reader is not None:
        return reader(seen)
    if _is_pointwise(seen.name):
        return joined(list(seen.shadows.values()), seen.shape)
    return Lost(reason=f"{seen.name} is not followed")


def _same(seen: Seen) -> Result:
    return next(iter(seen.shadows.values()))


def _move(seen: Seen) -> Result:
    (shadow, *others) = seen.located()
    if others:
        return Lost(reason=f"{seen.name} takes its places from a map")
    if seen.given.get("step", 1) > 1 and seen.name == "slice":
        return thinned(shadow, lambda values: seen.again(shadow, values))
    return moved(shadow, lambda values: seen.again(shadow, values))


def _reshape(seen: Seen) -> Result:
    if "dtype" in seen.given:
        return Lost(reason="its bytes are read as other numbers")
    (shadow,) = seen.located()
    return listed(shadow, seen.shape)


def _expand(seen: Seen) -> Result:
    (shadow,) = seen.located()
    return joined([shadow], seen.shape) if len(seen.shape) == len(shadow.shape) else _move(seen)


def _concatenate(seen: Seen) -> Result:
    tensors = seen.given["tensors"]
    if seen.name == "stack":
        shape = list(tensors[0].shape)
        dim = seen.given["dim"] % (len(shape) + 1)
        shape.insert(dim, 1)
        parts = [_lifted(seen.shadows.get(id(each)), dim) for each in tensors]
        return concatenated(parts, [1] * len(tensors), dim, seen.shape)
    dim = seen.given["dim"] % len(seen.shape)
    kept = [each for each in tensors if each.numel()]
    return concatenated(
        [seen.shadows.get(id(each)) for each in kept], [each.shape[dim] for each in kept], dim, seen.shape
    )


def _lifted(shadow: Result, dim: int) -> Result:
    return moved(shadow, lambda values: values.unsqueeze(dim)) if isinstance(shadow, Shadow) else shadow


def _convolution(seen: Seen) -> Result:
    given, shadow = seen.given, seen.of("input", "x")
    if not isinstance(shadow, Shadow):
        return shadow if shadow is not None else Lost(reason="its weight is computed from the input")
    kernel = seen.given["weight"].shape[2:]
    ndim = len(kernel)
    shadow = mixed(shadow, 1, seen.shape[1], given["groups"])
    if isinstance(shadow, Lost):
        return shadow
    stride, left, dilation = (_per_axis(given[key], ndim) for key in ("stride", "padding", "dilation"))
    slide = transposed if given.get("transposed", seen.name == "conv_transpose") else windows
    return slide(shadow, 2, kernel=kernel, stride=stride, dilation=dilation, left=left, size=seen.shape[2:])


def slid_over(seen: Seen) -> Shadow | None:
    """The map that a kernel of more than one tap slides over; None if there is none."""
    shadow = seen.of("input", "x") if _READERS.get(seen.name) is _convolution else None
    return shadow if isinstance(shadow, Shadow) and max(seen.given["weight"].shape[2:]) > 1 else None


def _upsample(seen: Seen) -> Result:
    """The operator of upstroke that treats every channel by itself."""
    given, shadow = seen.given, seen.of("x")
    if not isinstance(shadow, Shadow):
        return shadow
    # zeros at the ends fill the kernel until it holds whole cells
    drawn = [given["kernel"].movedim(axis, 0).flatten(1).ne(0).any(1) for axis in range(2, given["x"].ndim)]
    ends = [(int(each.int().argmax()), int(each.flip(0).int().argmax())) for each in drawn]
    kernel = tuple(len(each) - sum(both) for each, both in zip(drawn, ends, strict=True))
    return transposed(
        shadow,
        2,
        kernel=kernel,
        stride=given["scale"],
        dilation=(1,) * len(kernel),
        left=tuple(crop - left for crop, (left, _) in zip(given["crop"], ends, strict=True)),
        size=seen.shape[2:],
    )


def _pool(seen: Seen) -> Result:
    given = seen.given
    (shadow,) = seen.located()
    kernel = given["kernel_size"]
    ndim = int(next(letter for letter in seen.name if letter.isdigit()))
    kernel = _per_axis(kernel, ndim)
    stride = _per_axis(given["stride"], ndim) if given["stride"] else kernel
    first = len(seen.shape) - ndim
    return windows(
        shadow,
        first,
        kernel=kernel,
        stride=stride,
        dilation=_per_axis(given.get("dilation", 1), ndim),
        left=_per_axis(given["padding"], ndim),
        size=seen.shape[first:],
    )


def _adaptive_pool(seen: Seen) -> Result:
    (shadow,) = seen.located()
    found: Shadow | Lost = shadow
    sizes = seen.given["output_size"]
    first = len(seen.shape) - len(_per_axis(sizes, 1))
    if math.prod(seen.shape[first:]) == 1 < math.prod(shadow.shape[first:]):
        return Lost(reason=POOLED)
    for dim in range(first, len(seen.shape)):
        if isinstance(found, Shadow):
            found = adaptive(found, dim, seen.shape[dim])
    return found


def _reduce(seen: Seen) -> Result:
    (shadow, *_) = seen.located()
    dims = seen.given.get("dim")
    rank = len(shadow.shape)
    every = list(range(rank)) if dims is None or dims == [] else [dim % rank for dim in _listed(dims)]
    return pooled(shadow, every, keep=bool(seen.given.get("keepdim")), reason=POOLED)


def _product(seen: Seen) -> Result:
    """A matrix product: with a constant a mean over what is summed; with another map everything is mixed."""
    names = next(pair for pair in _FACTORS if all(name in seen.given for name in pair))
    left, right = (seen.shadows.get(id(seen.given[name])) for name in names)
    if left is not None and right is not None:
        return Lost(reason=TWO_MAPS)
    shadow = left if left is not None else right
    if not isinstance(shadow, Shadow):
        return shadow
    rank = len(shadow.shape)
    if left is not None:
        if len(seen.shape) < rank:
            return pooled(shadow, [rank - 1], keep=False, reason=POOLED)
        return mixed(shadow, rank - 1, seen.shape[-1])
    if seen.name == "linear" or len(seen.shape) < rank:
        return Lost(reason="its weight is computed from the input")
    return mixed(shadow, rank - 2, seen.shape[-2])


def _attention(seen: Seen) -> Result:
    return Lost(reason=ATTENTION)


def _fourier(seen: Seen) -> Result:
    return Lost(reason="a Fourier transform mixes all positions")


def _resize(mode: Mode | None, *, antialias: bool = False) -> _Reader:
    def read(seen: Seen) -> Result:
        shadow = seen.of("self", "input")
        if not isinstance(shadow, Shadow):
            return shadow
        first, said = 2, _said_scales(seen)
        for axis, factor in enumerate(said):
            dim = first + axis
            before, after = shadow.shape[dim], seen.shape[dim]
            if before == after and not factor:
                continue
            corners = bool(seen.given.get("align_corners"))
            if corners and before == 1 < after:
                return Lost(reason=SPREAD)
            ratio = _ratio(before, after, None if corners else factor, corners=corners)
            if mode is None:
                shadow = nearest(shadow, dim, _cells(seen, axis), ratio)
            else:
                shadow = _interpolated(shadow, dim, after, ratio, mode, corners=corners, antialias=antialias)
        return shadow

    return read


def _interpolated(
    shadow: Shadow, dim: int, after: int, ratio: Fraction, mode: Mode, *, corners: bool, antialias: bool
) -> Shadow:
    samples = torch.arange(after, dtype=torch.float64)
    places = samples * float(ratio) if corners else (samples + 0.5) * float(ratio) - 0.5
    widened = max(1.0, float(ratio)) if antialias else 1.0
    return resized(shadow, dim, places, ratio, mode=mode, a=-0.5 if antialias else -0.75, widened=widened)


def _ratio(before: int, after: int, factor: float | None, *, corners: bool) -> Fraction:
    """Cells from one sample to the next."""
    if corners:
        return Fraction(before - 1, max(after - 1, 1)) or Fraction(1)
    if factor:
        return Fraction(1 / factor).limit_denominator(1000)
    return Fraction(before, after)


def _said_scales(seen: Seen) -> list[float | None]:
    """The scale factors that came with a resize, per axis; None where a size came alone."""
    given, ndim = seen.given, len(seen.shape) - 2
    if "scale_factors" in given:
        return list(given["scale_factors"] or [None] * ndim)
    return [given[key] for key in ("scales", "scales_d", "scales_h", "scales_w") if key in given]


def _cells(seen: Seen, axis: int) -> Tensor:
    """Which cell each sample copies along an axis, asked of the operator itself."""
    given = seen.given.get("self", seen.given.get("input"))
    assert isinstance(given, Tensor)
    size = given.shape[2:]
    line = torch.arange(size[axis], dtype=torch.float32)
    probe = line.reshape([-1 if place == axis else 1 for place in range(len(size))]).expand(1, 1, *size)
    args = [probe.contiguous() if value is given else value for value in seen.args]
    kwargs = {key: probe.contiguous() if value is given else value for key, value in seen.kwargs.items()}
    found = seen.func(*args, **kwargs)
    assert isinstance(found, Tensor)
    others = [place for place in range(len(size)) if place != axis]
    return found[0, 0].amax(others) if others else found[0, 0]


def _pad(seen: Seen) -> Result:
    shadow = seen.of("self", "input")
    pad = seen.given["pad"] if "pad" in seen.given else seen.given["padding"]
    if not isinstance(shadow, Shadow):
        return shadow
    return padded_by(shadow, pad, inside=seen.name != "constant_pad_nd")


def padded_by(shadow: Shadow, pad: Sequence[int], *, inside: bool) -> Shadow | Lost:
    """The shadow of a map with samples added.

    Args:
        shadow: of the map.
        pad: left and right of each axis, the last axis first.
        inside: whether what is added are samples of the map itself.
    """
    rank = len(shadow.shape)
    found: Shadow | Lost = shadow
    for axis in range(len(pad) // 2):
        left, right, dim = pad[2 * axis], pad[2 * axis + 1], rank - 1 - axis
        if isinstance(found, Shadow) and (left, right) != (0, 0):
            found = padded(found, dim, left, right) if dim > 1 or inside else _beside(found, dim, left, right)
    return found


def _beside(shadow: Shadow, dim: int, left: int, right: int) -> Shadow | Lost:
    """The shadow of a map between channels that are no map, or of the channels between those cut off."""
    cut, size = max(-left, 0), shadow.shape[dim] + min(left, 0) + min(right, 0)
    kept = moved(shadow, lambda values: values.narrow(dim, cut, size))
    parts = [(each, n) for each, n in ((None, max(left, 0)), (kept, size), (None, max(right, 0))) if n]
    sizes = [n for _, n in parts]
    shape = [sum(sizes) if place == dim else n for place, n in enumerate(shadow.shape)]
    return concatenated([each for each, _ in parts], sizes, dim, shape) or kept


def _lookup(seen: Seen) -> Result:
    """Every number is a row of a table, laid along a new last axis."""
    shadow = seen.of("indices")
    if not isinstance(shadow, Shadow):
        return Lost(reason="its table is computed from the input") if shadow is None else shadow
    return moved(shadow, lambda values: values.unsqueeze(-1).expand(seen.shape))


def _half(seen: Seen) -> Result:
    """GLU: a function of two halves."""
    (shadow,) = seen.located()
    dim = seen.given["dim"] % len(shadow.shape)
    size = shadow.shape[dim] // 2
    halves = [moved(shadow, lambda values, at=at: values.narrow(dim, at * size, size)) for at in range(2)]  # type: ignore[misc]
    return joined(halves, seen.shape)


def _copy(seen: Seen) -> Result:
    source = seen.of("src")
    return joined([source], seen.shape) if isinstance(source, Shadow) else source


def _overwrite(seen: Seen) -> Result:
    return None


def _columns(seen: Seen) -> Result:
    """Windows listed side by side, their padding going on with the positions inside the map."""
    given, shadow = seen.given, seen.of("self")
    if not isinstance(shadow, Shadow):
        return shadow
    for axis, pad in enumerate(given["padding"]):
        if pad:
            shadow = padded(shadow, len(shadow.shape) - 2 + axis, pad, pad)
    return moved(
        shadow,
        lambda values: torch.ops.aten.im2col.default(
            values, given["kernel_size"], given["dilation"], [0, 0], given["stride"]
        ),
    )


def _folded(seen: Seen) -> Result:
    """Columns laid on a map, each sample a mean of those that reach it."""
    (shadow,) = seen.located()

    def fold(values: Tensor) -> Tensor:
        there: Tensor = seen.again(shadow, (~values.isnan()).double())
        total: Tensor = seen.again(shadow, values.nan_to_num(0.0))
        return total / there

    return moved(shadow, fold)


def _interleave(seen: Seen) -> Result:
    given, shadow = seen.given, _same(seen)
    if not isinstance(shadow, Shadow):
        return shadow
    scale = next(list(value) for value in given.values() if isinstance(value, list | tuple))
    count = math.prod(scale)
    batch, channels, *size = shadow.shape
    ndim = len(size)
    if seen.name == "interleave":
        order = [0, 1, *[place for axis in range(ndim) for place in (2 + ndim + axis, 2 + axis)]]
        parted = [batch, channels // count, *scale, *size]
        return moved(shadow, lambda values: reshaped(reshaped(values, parted).permute(order), seen.shape))
    parted = [batch, channels, *[n for m, s in zip(size, scale, strict=True) for n in (m // s, s)]]
    order = [0, 1, *[3 + 2 * axis for axis in range(ndim)], *[2 + 2 * axis for axis in range(ndim)]]
    return moved(shadow, lambda values: reshaped(reshaped(values, parted).permute(order), seen.shape))


def _per_axis(values: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """PyTorch lets one number stand for all axes."""
    given = tuple(values) if isinstance(values, Sequence) else (values,)
    return given * ndim if len(given) == 1 else given


def _listed(values: int | Sequence[int]) -> tuple[int, ...]:
    return _per_axis(values, 1)


@cache
def short_name(func: OpOverload) -> str:
    """An operator without namespace and without the underscore of one that works in place."""
    name = func._schema.name.partition("::")[2]
    return name if name.endswith("__") else name.removesuffix("_")


@cache
def targets_of(func: OpOverload) -> tuple[str, ...]:
    """The arguments that an operator writes to."""
    return tuple(each.name for each in func._schema.arguments if each.alias_info and each.alias_info.is_write)


@cache
def _functional(func: OpOverload) -> OpOverload:
    """The operator that does the same and writes to nothing."""
    if not targets_of(func):
        return func
    packet = getattr(torch.ops.aten, short_name(func))
    found: OpOverload = getattr(packet, func._overloadname)
    return found


@cache
def _is_pointwise(name: str) -> bool:
    """Whether each sample follows from those at the same place."""
    if name in _POINTWISE:
        return True
    packet = getattr(torch.ops.aten, name, None)
    return packet is not None and any(
        torch.Tag.pointwise in getattr(packet, each).tags for each in packet.overloads()
    )


# Beside those that PyTorch itself says are.
_POINTWISE = frozenset(
    {
        "_prelu_kernel", "celu", "complex", "copysign", "fake_quantize_per_tensor_affine", "hardswish",
        "imag", "log_sigmoid", "masked_fill", "native_dropout", "prelu", "real", "relu6", "rrelu",
        "rrelu_with_noise", "rsub", "selu", "view_as_real_copy", "where",
    }
)  # fmt: skip
# The whole map is normalised by its own statistics or by stored ones.
_NORMS = (
    "_batch_norm_no_update", "_fused_rms_norm", "_log_softmax", "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training", "_safe_softmax", "_softmax", "_to_copy", "_weight_norm", "alias",
    "batch_norm", "channel_shuffle_like", "clone", "contiguous", "cudnn_batch_norm", "detach", "dropout",
    "instance_norm", "lift_fresh", "miopen_batch_norm", "native_batch_norm", "native_group_norm",
    "native_layer_norm", "positive", "resolve_conj", "resolve_neg", "rms_norm", "softmax",
)  # fmt: skip
_MOVES = (
    "as_strided", "channel_shuffle", "diagonal", "flip", "gather", "index", "index_select", "movedim",
    "native_channel_shuffle", "permute", "pixel_shuffle", "pixel_unshuffle", "repeat", "repeat_interleave",
    "roll", "rot90", "select", "slice", "t", "take_along_dim", "transpose", "unfold",
)  # fmt: skip
# These give several maps, each a part of the one they take.
_APART = frozenset({"chunk", "split", "split_with_sizes", "unbind", "unsafe_chunk", "unsafe_split"})
_REDUCTIONS = (
    "all", "amax", "amin", "any", "argmax", "argmin", "linalg_vector_norm", "logsumexp", "max", "mean",
    "median", "min", "nansum", "norm", "prod", "std", "std_mean", "sum", "var", "var_mean",
)  # fmt: skip
_FACTORS = (
    ("mat1", "mat2"), ("batch1", "batch2"), ("self", "mat2"), ("self", "other"), ("self", "vec"),
    ("input", "weight"),
)  # fmt: skip

_READERS: dict[str, _Reader] = {
    **dict.fromkeys(_NORMS, _same),
    **dict.fromkeys(_MOVES, _move),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(
        (
            "view", "_unsafe_view", "_reshape_alias", "reshape", "flatten", "unflatten", "squeeze",
            "unsqueeze",
        ),
        _reshape,
    ),
    **dict.fromkeys(("cat", "stack"), _concatenate),
    **dict.fromkeys(("expand", "expand_as"), _expand),
    **dict.fromkeys(("convolution", "_convolution", "conv_transpose"), _convolution),
    "upsample": _upsample,
    **dict.fromkeys(("interleave", "deinterleave"), _interleave),
    **{f"{kind}_pool{n}d": _pool for kind in ("max", "avg") for n in (1, 2, 3)},
    **{f"max_pool{n}d_with_indices": _pool for n in (2, 3)},
    **{f"{tail}adaptive_{kind}_pool{n}d": _adaptive_pool
       for tail in ("", "_") for kind in ("max", "avg") for n in (1, 2, 3)},
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm", "matmul", "linear", "mv", "dot"), _product),
    **dict.fromkeys(
        (
            "_scaled_dot_product_attention_math", "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_cudnn_attention", "scaled_dot_product_attention",
            "_native_multi_head_attention",
        ),
        _attention,
    ),
    **dict.fromkeys(("_fft_c2c", "_fft_c2r", "_fft_r2c"), _fourier),
    **{f"upsample_nearest{n}d": _resize(None) for n in (1, 2, 3)},
    **{f"_upsample_nearest_exact{n}d": _resize(None) for n in (1, 2, 3)},
    "upsample_linear1d": _resize("linear"),
    "upsample_bilinear2d": _resize("linear"),
    "upsample_trilinear3d": _resize("linear"),
    "upsample_bicubic2d": _resize("cubic"),
    "_upsample_bilinear2d_aa": _resize("linear", antialias=True),
    "_upsample_bicubic2d_aa": _resize("cubic", antialias=True),
    **dict.fromkeys(("constant_pad_nd", "pad"), _pad),
    **{f"{kind}_pad{n}d": _pad for kind in ("replication", "reflection") for n in (1, 2, 3)},
    "glu": _half,
    "embedding": _lookup,
    "copy": _copy,
    **dict.fromkeys(("zero", "fill", "normal", "uniform", "random"), _overwrite),
    "im2col": _columns,
    "col2im": _folded,
}  # fmt: skip
