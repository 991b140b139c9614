"""Turn ONNX's operators that move, mix or list samples, and are no part of an upsampler, into steps."""

from collections.abc import Callable, Mapping, Sequence

from upstroke.graph.onnx_call import Call
from upstroke.graph.steps import (
    Concatenation,
    Expansion,
    Join,
    Lookup,
    Mixing,
    Other,
    Part,
    PixelUnshuffle,
    Product,
    Reduction,
    Same,
    Slice,
    Softmax,
    Stays,
    Step,
    Transpose,
)

__all__ = ["POSITIONS", "beside", "others_of", "parts_of", "why_lost"]

LOST = {
    **dict.fromkeys(("Attention", "MultiHeadAttention"), "attention mixes all positions"),
    **dict.fromkeys(("DFT", "STFT", "FFT"), "a Fourier transform mixes all positions"),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), "a recurrent layer mixes all positions"),
    **dict.fromkeys(("GridSample", "RoiAlign", "AffineGrid"), "sampled at positions that are computed"),
    "DeformConv": "sampled at positions that are computed",
}
REDUCTIONS = """
    ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare
"""
# What exporters write for "to the end".
LARGEST_INDEX = 2**31 - 1


def why_lost(operator: str) -> str:
    """Why nobody can say where samples sit behind an operator, if there is more to say than its name."""
    return LOST.get(operator, "")


def parts_of(call: Call, axis: int) -> tuple[Part, ...]:
    """What a concatenation lays side by side along an axis."""
    return tuple(
        Part(length=_length(call, place, axis), is_map=name in call.computed)
        for place, name in enumerate(call.inputs)
    )


def beside(call: Call, axis: int) -> Step:
    """A concatenation along any axis, constants among its parts or not."""
    return Concatenation(axis=axis, parts=parts_of(call, axis))


def others_of(call: Call, place: int) -> Step:
    """The step that gives a further output of a node."""
    if call.operator == "Split":
        return _split_at(call, place)
    return Other(reason=why_lost(call.operator))


def _length(call: Call, place: int, axis: int) -> int | None:
    value = call.constant(place)
    shape = call.shape(place) if value is None else value.shape
    return shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None


def _rank(call: Call) -> int | None:
    shape = call.shape()
    return None if shape is None else len(shape)


def _axis(call: Call, default: int) -> int | None:
    """The axis that a node names, counted from the front."""
    rank, axis = _rank(call), int(call.attributes.get("axis", default))
    if axis >= 0:
        return axis
    return None if rank is None else axis + rank


def _whole(call: Call, place: int, name: str) -> tuple[int, ...] | None:
    """Whole numbers that are an attribute in old versions, a constant input in new ones; None if unknown."""
    if name in call.attributes:
        return call.numbers(name, ())
    if not call.has(place):
        return ()
    value = call.constant(place)
    return None if value is None else tuple(int(number) for number in value.flatten())


def _reduction(call: Call) -> Step:
    rank = _rank(call)
    axes: tuple[int, ...] | None
    if call.operator in ("ArgMax", "ArgMin"):
        axes = (int(call.attributes.get("axis", 0)),)
    else:
        axes = _whole(call, 1, "axes")
    if rank is None or axes is None:
        return Other()
    if not axes and call.attributes.get("noop_with_empty_axes", 0):
        return Same()
    named = tuple(sorted({axis % rank for axis in axes or range(rank)}))
    return Reduction(axes=named, is_kept=bool(call.attributes.get("keepdims", 1)))


def _global_pool(call: Call) -> Step:
    rank = _rank(call)
    return Other() if rank is None else Reduction(axes=tuple(range(2, rank)), is_kept=True)


def _einsum(call: Call) -> Step:
    """Einstein's sum of one map that does no more than order its axes anew."""
    taken, _, given = str(call.attributes["equation"]).replace(" ", "").partition("->")
    if len(call.inputs) > 1 or sorted(taken) != sorted(given) or len(set(taken)) < len(taken):
        return Other()
    return Transpose(order=tuple(taken.index(label) for label in given))


def _softmax(call: Call) -> Step:
    # before version 13 it ran over this axis and all behind it
    axis, rank = _axis(call, -1 if call.version >= 13 else 1), _rank(call)
    if axis is None or (call.version < 13 and rank != axis + 1):
        return Other(reason="softmax over positions")
    return Softmax(axis=axis)


def _normalization(call: Call) -> Step:
    """By the map's own statistics, with fixed weights."""
    if len(call.maps) != 1 or call.inputs[0] not in call.computed:
        return Other()
    scale = call.shapes.get(call.inputs[1]) if call.has(1) else ()
    return Stays(by_place=scale is None or len(scale) > 1)


def _product(call: Call) -> Step:
    """A product of matrices: of two maps, or of one and fixed weights."""
    after = call.shapes.get(call.outputs[0])
    if call.has(2) and call.inputs[2] in call.computed:
        return Other()
    if len(call.maps) == 2:
        return Product() if not _turned(call) else Other()
    if after is None or len(after) < 2:
        return Other()
    first = call.inputs[0] in call.computed
    if first and call.attributes.get("transA", 0):
        return Other()
    return Mixing(axis=len(after) - (1 if first else 2))


def _turned(call: Call) -> bool:
    return bool(call.attributes.get("transA", 0) or call.attributes.get("transB", 0))


def _slice(call: Call) -> Step:
    rank = _rank(call)
    starts, ends = _whole(call, 1, "starts"), _whole(call, 2, "ends")
    axes, steps = _whole(call, 3, "axes"), _whole(call, 4, "steps")
    if rank is None or starts is None or axes is None or steps is None:
        return Other()
    named = [axis % rank for axis in axes or range(len(starts))]
    strides = steps or (1,) * len(starts)
    shape, after = call.shape(), call.shapes.get(call.outputs[0])
    found = []
    for place, (axis, start, stride) in enumerate(zip(named, starts, strides, strict=True)):
        size = None if shape is None else shape[axis]
        if stride < 1:
            return Other(reason="flipped, so that positions run backwards")
        begins = start if start >= 0 else None if size is None else max(0, start + size)
        if begins is None:
            return Other()
        end = None if ends is None else ends[place]
        whole = end is not None and (end >= size if size is not None else end >= LARGEST_INDEX)
        if (
            begins == 0
            and stride == 1
            and (whole or (size is not None and after is not None and after[axis] == size))
        ):
            continue
        found.append((axis, begins, stride))
    return Slice(cuts=tuple(found)) if found else Same()


def _gather(call: Call) -> Step:
    """One entry along an axis, or entries picked by a constant list; or rows of a table picked by a map."""
    index = call.constant(1)
    axis = _axis(call, 0)
    if call.inputs[0] not in call.computed:
        return Lookup() if axis == 0 and len(_table(call)) == 2 else Other()
    if index is None or axis is None:
        return Other()
    if index.ndim == 0:
        size = _length(call, 0, axis)
        start = int(index)
        if start < 0 and size is None:
            return Other()
        return Slice(cuts=((axis, start if start >= 0 else start + (size or 0), 1),), is_dropped=True)
    return Mixing(axis=axis, what="picking by a list of indices") if index.ndim == 1 else Other()


def _table(call: Call) -> Sequence[int]:
    value = call.constant(0)
    return () if value is None else value.shape


def _split(call: Call) -> Step:
    return _split_at(call, 0)


def _split_at(call: Call, place: int) -> Step:
    axis = _axis(call, 0)
    if axis is None:
        return Other()
    lengths = [call.shapes.get(name) for name in call.outputs[:place]]
    sizes = [None if shape is None else shape[axis] for shape in lengths]
    known = [size for size in sizes if size is not None]
    return Slice(cuts=((axis, sum(known), 1),)) if len(known) == len(sizes) else Other()


def _space_to_depth(call: Call) -> Step:
    block = int(call.attributes["blocksize"])
    return PixelUnshuffle(scale=(block, block))


def _expansion(call: Call) -> Step:
    """Copies; of samples they would make the map larger, and are judged by its shape."""
    return Expansion()


def _tile(call: Call) -> Step:
    before, after = call.shape(), call.shapes.get(call.outputs[0])
    if before is None or after is None or len(before) != len(after):
        return Other()
    grows = [was != now and was != 1 for was, now in zip(before, after, strict=True)]
    return Other() if any(grows[1:]) else Expansion()


def _either(call: Call) -> Step:
    return Join(kind="choose") if len(call.maps) > 1 else Stays()


def _cumulative(call: Call) -> Step:
    axis, rank = call.constant(1), _rank(call)
    if axis is None or rank is None:
        return Other(reason="a cumulative sum mixes all positions")
    return Mixing(axis=int(axis) % rank, what="a cumulative sum")


def _sorting(call: Call) -> Step:
    axis = _axis(call, -1)
    return Other() if axis is None else Mixing(axis=axis, what="sorting")


POSITIONS: Mapping[str, Callable[[Call], Step]] = {
    "CumSum": _cumulative,
    "Einsum": _einsum,
    "Expand": _expansion,
    "Gather": _gather,
    "Gemm": _product,
    "GlobalAveragePool": _global_pool,
    "GlobalLpPool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "GroupNormalization": _normalization,
    "InstanceNormalization": _normalization,
    "LRN": _normalization,
    "LayerNormalization": _normalization,
    "LogSoftmax": _softmax,
    "LpNormalization": _normalization,
    "MatMul": _product,
    "MeanVarianceNormalization": _normalization,
    "RMSNormalization": _normalization,
    "Slice": _slice,
    "Softmax": _softmax,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Tile": _tile,
    "TopK": _sorting,
    "Where": _either,
    **dict.fromkeys(REDUCTIONS.split(), _reduction),
}
