"""Turn calls of PyTorch that move, mix or list samples, and are no part of an upsampler, into steps."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Literal

from torch import Tensor

from upstroke.graph.steps import (
    Columns,
    Concatenation,
    Expansion,
    Join,
    Lookup,
    Mixing,
    Other,
    Part,
    PixelUnshuffle,
    Pool,
    Product,
    Reduction,
    Reversal,
    Roll,
    Slice,
    Softmax,
    Stays,
    Step,
    Windows,
)
from upstroke.graph.torch_call import Call

__all__ = ["READERS", "adaptive", "others_of", "picked", "slice_of", "why_lost"]

_LOST = {
    "_scaled_dot_product": "attention mixes all positions",
    "scaled_dot_product": "attention mixes all positions",
    "_native_multi_head": "attention mixes all positions",
    "_fft": "a Fourier transform mixes all positions",
    "mkldnn_rnn": "a recurrent layer mixes all positions",
    "lstm": "a recurrent layer mixes all positions",
    "_thnn_fused": "a recurrent layer mixes all positions",
    "gru": "a recurrent layer mixes all positions",
    "rnn": "a recurrent layer mixes all positions",
    "rot90": "turned, so that positions run along another axis",
    "grid_sampler": "sampled at positions that are computed",
    "fractional_max_pool": "pooled over windows that are drawn at random",
}


@cache
def why_lost(name: str) -> str:
    """Why nobody can say where samples sit behind an operator, if there is more to say than its name."""
    return next((reason for start, reason in _LOST.items() if name.startswith(start)), "")


def slice_of(axis: int, start: int, stride: int) -> Slice:
    """Every so-manieth sample along an axis."""
    return Slice(cuts=((axis, start, stride),))


def picked(axis: int) -> Mixing:
    """Entries along an axis picked by a list of indices."""
    return Mixing(axis=axis, what="picking by a list of indices")


def others_of(call: Call, results: Sequence[Tensor], place: int) -> Step:
    """The step that gives a further result of a call."""
    if call.name in _SPLITS:
        axis = _dim(call)
        if call.name == "unbind":
            return Slice(cuts=((axis, place, 1),), is_dropped=True)
        return Slice(cuts=((axis, sum(each.shape[axis] for each in results[:place]), 1),))
    if call.name in _REDUCTIONS:
        return _reduction(call)
    return Other(reason=why_lost(call.name))


def adaptive(call: Call, kind: Literal["mean", "max"]) -> Step:
    """A pool over windows that divide the map, or over all of it."""
    after = tuple(call.output.shape[2:])
    before = call.before[0][2:]
    if len(before) != len(after) or len(call.before[0]) != call.output.ndim:
        return Other()
    if all(size == 1 for size in after):
        return Reduction(axes=tuple(range(2, call.output.ndim)), is_kept=True)
    if any(m % n for m, n in zip(before, after, strict=True)):
        return Other(reason="adaptive pooling to a size that does not divide the map's has no even spacing")
    windows = tuple(m // n for m, n in zip(before, after, strict=True))
    return Pool(kernel=windows, stride=windows, padding=((0, 0),) * len(windows), kind=kind)


def _dim(call: Call) -> int:
    """The axis that a call names."""
    return int(call.given.get("dim", 0)) % len(call.before[0])


def _select(call: Call) -> Step:
    axis = _dim(call)
    return Slice(cuts=((axis, call.given["index"] % call.before[0][axis], 1),), is_dropped=True)


def _split(call: Call) -> Step:
    return Slice(cuts=((_dim(call), 0, 1),), is_dropped=call.name == "unbind")


def _reduction(call: Call) -> Step:
    """A reduction over the axes that are named, or over all."""
    rank, named = len(call.before[0]), call.given.get("dim")
    if call.map_in() is None or len(call.before) > 1:
        return Other()
    dims = named if isinstance(named, Sequence) else range(rank) if named is None else [named]
    axes = tuple(sorted({dim % rank for dim in (dims or range(rank))}))
    return Reduction(axes=axes, is_kept=bool(call.given.get("keepdim", False)))


def _extremum(call: Call) -> Step:
    return _either(call) if "other" in call.given else _reduction(call)


def _either(call: Call) -> Step:
    """Each sample is one of those of several maps."""
    return Join(kind="choose") if len(call.before) > 1 else Stays()


def _sum_of_maps(call: Call) -> Step:
    return Join(kind="add") if len(call.before) > 1 else Stays()


def _stays(call: Call) -> Step:
    return Stays(by_place=False)


def _norm(call: Call) -> Step:
    """A normalisation by the map's own statistics, with fixed weights."""
    if len(call.before) > 1:
        return Join(kind="multiply")
    weight = call.given.get("weight")
    return Stays(by_place=isinstance(weight, Tensor) and weight.ndim > 1)


def _softmax(call: Call) -> Step:
    return Softmax(axis=_dim(call))


def _along(what: str) -> Callable[[Call], Step]:
    def read(call: Call) -> Step:
        rank = len(call.before[0])
        return Mixing(axis=int(call.given.get("dim", -1)) % rank, what=what) if rank else Other()

    return read


def _product(call: Call) -> Step:
    """A product of matrices: of two maps, or of one and fixed weights."""
    given = call.given
    sides = [
        given[key] for key in ("self", "input", "mat1", "batch1", "mat2", "batch2", "weight") if key in given
    ]
    first, second = sides[-2:]
    if call.is_map(first) and call.is_map(second):
        return Product() if len(call.before) == 2 else Other()
    if len(call.before) > 1 or call.output.ndim < 2:
        return Other()
    if call.is_map(first):
        return Mixing(axis=call.output.ndim - 1)
    return Mixing(axis=call.output.ndim - 2) if call.is_map(second) else Other()


def _stack(call: Call) -> Step:
    parts = tuple(Part(length=1, is_map=call.is_map(each)) for each in call.given["tensors"])
    return Concatenation(axis=int(call.given.get("dim", 0)) % call.output.ndim, parts=parts, is_new=True)


def _roll(call: Call) -> Step:
    rank, given = call.output.ndim, call.given
    dims = given.get("dims") or []
    if not dims:
        return Other(reason="rolled as one long row")
    return Roll(moves=tuple((dim % rank, by) for dim, by in zip(dims, given["shifts"], strict=True)))


def _flip(call: Call) -> Step:
    rank = call.output.ndim
    return Reversal(axes=tuple(dim % rank for dim in call.given["dims"]))


def _im2col(call: Call) -> Step:
    given = call.given
    if len(call.before[0]) != 4:
        return Other()
    numbers = {key: tuple(given[key]) for key in ("stride", "dilation", "padding")}
    kernel = tuple(given["kernel_size"])
    counts = tuple(
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, d, p in zip(
            call.before[0][2:],
            kernel,
            numbers["stride"],
            numbers["dilation"],
            numbers["padding"],
            strict=True,
        )
    )
    return Columns(kernel=kernel, count=counts, **numbers)


def _unfold(call: Call) -> Step:
    rank = len(call.before[0])
    return Windows(axis=call.given["dimension"] % rank, stride=call.given["step"])


def _pixel_unshuffle(call: Call) -> Step:
    if call.output.ndim != 4:
        return Other()
    factor = call.given["downscale_factor"]
    return PixelUnshuffle(scale=(factor, factor))


def _embedding(call: Call) -> Step:
    return Lookup() if len(call.before) == 1 and call.is_map(call.given["indices"]) else Other()


def _repeat(call: Call) -> Step:
    return Expansion()


def _adaptive_max(call: Call) -> Step:
    return adaptive(call, "max")


_SPLITS = (
    "chunk",
    "split",
    "split_with_sizes",
    "unbind",
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
)
_REDUCTIONS = (
    "all", "amax", "amin", "any", "argmax", "argmin", "linalg_vector_norm", "logsumexp", "max", "mean",
    "median", "min", "nansum", "norm", "prod", "std", "std_mean", "sum", "var", "var_mean",
)  # fmt: skip

READERS: Mapping[str, Callable[[Call], Step]] = {
    "select": _select,
    **dict.fromkeys(_SPLITS, _split),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(("max", "min"), _extremum),
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin", "where", "masked_fill"), _either),
    **dict.fromkeys(("addcmul", "addcdiv", "lerp"), _sum_of_maps),
    "channel_shuffle": _stays,
    **dict.fromkeys(("native_layer_norm", "native_group_norm", "layer_norm", "group_norm"), _norm),
    **dict.fromkeys(("_fused_rms_norm", "rms_norm", "instance_norm"), _norm),
    **dict.fromkeys(("_softmax", "_log_softmax", "softmax", "log_softmax", "_safe_softmax"), _softmax),
    **dict.fromkeys(("addmm", "baddbmm", "bmm", "linear", "matmul", "mm", "_addmm_activation"), _product),
    "glu": _along("a gated unit"),
    **dict.fromkeys(("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"), _along("a cumulative sum")),
    **dict.fromkeys(("sort", "topk", "kthvalue", "mode"), _along("sorting")),
    "stack": _stack,
    "flip": _flip,
    "roll": _roll,
    "im2col": _im2col,
    "unfold": _unfold,
    "pixel_unshuffle": _pixel_unshuffle,
    "embedding": _embedding,
    "repeat": _repeat,
    **{f"adaptive_max_pool{n}d": _adaptive_max for n in (2, 3)},
}
