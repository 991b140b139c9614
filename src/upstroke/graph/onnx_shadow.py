"""Turn an ONNX model into where the samples of all its maps sit, node by node."""

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from upstroke.graph.form import Shape
from upstroke.graph.measured import Measured, Unmeasured
from upstroke.graph.onnx_call import Call
from upstroke.graph.onnx_file import model_from_file, model_from_memory, need_onnx, opset_versions
from upstroke.graph.onnx_shapes import constants_and_shapes, inputs_of
from upstroke.graph.ramp import reshaped
from upstroke.graph.shadow import (
    Lost,
    Result,
    Shadow,
    Space,
    concatenated,
    joined,
    listed,
    mixed,
    moved,
    pooled,
    read_all,
    shadow_of,
    thinned,
)
from upstroke.graph.shadow_windows import POOLED, nearest, padded, resized, transposed, windows

if TYPE_CHECKING:
    import onnx

__all__ = ["measured_onnx"]

_Shadows = Mapping[str, Result]

UNKNOWN = "its size is not known; give the sizes of the inputs"
COMPUTED = "its numbers are computed while the model runs"
TWO_MAPS = "a product of two maps mixes all positions"


def measured_onnx(
    source: "str | Path | onnx.ModelProto",
    *,
    sizes: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
) -> Mapping[str, Measured | Unmeasured]:
    """Where the samples of every map of an ONNX model sit, by the name of the map.

    Every kernel is taken as its uniform mean over extent and inputs, pools as means, norms and functions of
    one sample as nothing at all, joins as means of the maps that are located; whatever only moves samples is
    done to their positions. The sizes of all maps must follow from those of the inputs.

    Args:
        source: a path, or a model that onnx has loaded, which stays as it is.
        sizes: shapes of the inputs by name, or the shape of the only input; by default those that the model
            says, with one for the batch.

    Raises:
        FileError: there is no such file, or it is no complete ONNX model.
        OptionError: sizes name no input of the model.
        ShapeError: the model cannot take these sizes.
        MissingExtraError: the package onnx is not installed.

    >>> from onnx import parser
    >>> text = '''<ir_version: 8, opset_import: ["" : 18]>
    ... twice (float[1, 3, 5, 7] x) => (float[1, 3, 10, 14] y) <float[4] s = {1, 1, 2, 2}>
    ... { y = Resize <mode = "linear"> (x, , s) }'''
    >>> measured_onnx(parser.parse_model(text))["y"].offset
    (-0.25, -0.25)
    """
    need_onnx()
    model = model_from_file(Path(source)) if isinstance(source, str | Path) else model_from_memory(source)
    constants, shapes = constants_and_shapes(model, sizes or _with_one_each(model))
    versions = opset_versions(model)
    found: dict[str, Shadow | Lost | None] = {}
    spaces: dict[int, Space] = {}
    for entry in inputs_of(model.graph):
        found[entry.name] = _begun(shapes.get(entry.name), spaces)
    for proto in model.graph.node:
        outputs = [name for name in proto.output if name]
        if proto.op_type in ("Shape", "Size") or not found.keys() & set(proto.input) or not outputs:
            continue
        call = Call(
            operator=proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}::{proto.op_type}",
            version=versions.get("", 1),
            attributes=_attributes(proto),
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            constants=constants,
            computed=found.keys(),
            shapes=shapes,
        )
        for name, result in zip(outputs, _results(call, found, len(outputs)), strict=True):
            if result is None and all(found[each] is None for each in call.maps):
                result = _begun(shapes.get(name), spaces)
            found[name] = result
        slid = found.get(proto.input[0]) if proto.op_type in ("Conv", "ConvTranspose") else None
        if isinstance(slid, Shadow) and max(_kernel(call), default=1) > 1:
            spaces[slid.origin].slide(slid)
    return read_all(found, spaces)


def _with_one_each(model: "onnx.ModelProto") -> dict[str, tuple[int, ...]] | None:
    """The shapes of inputs of which only the batch is not known, with one for that."""
    sizes = {}
    for entry in inputs_of(model.graph):
        kind = entry.type.tensor_type
        lengths = [axis.dim_value for axis in kind.shape.dim]
        if len(lengths) > 1 and lengths[0] < 1 and min(lengths[1:]) >= 1:
            sizes[entry.name] = (1, *lengths[1:])
    return sizes or None


def _begun(shape: Shape | None, spaces: dict[int, Space]) -> Result:
    """The shadow of a map that positions are counted on from here."""
    if shape is None or len(shape) < 3:
        return None
    known = [size for size in shape if size is not None]
    if len(known) < len(shape):
        return Lost(reason=UNKNOWN)
    shadow = shadow_of(known, len(spaces))
    if shadow is not None:
        spaces[shadow.origin] = Space(len(known))
    return shadow


def _attributes(proto: "onnx.NodeProto") -> dict[str, Any]:
    from onnx import helper

    values = {
        each.name: helper.get_attribute_value(each) for each in proto.attribute if not each.ref_attr_name
    }
    return {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for name, value in values.items()
    }


def _results(call: Call, found: _Shadows, count: int) -> list[Result]:
    """A shadow for each output of a node."""
    came = [found[name] for name in call.maps]
    placed = [each for each in came if each is not None]
    if not placed:
        return [None] * count
    if not any(isinstance(each, Shadow) for each in placed):
        return [placed[0]] * count
    if call.operator == "Split":
        return _split(call, found, count)
    try:
        first = _first(call, found)
    except _NotFollowedError as error:
        first = Lost(reason=str(error))
    return [first, *[Lost(reason=f"{call.operator} gives it beside a map")] * (count - 1)]


class _NotFollowedError(Exception):
    """The samples of a node are not located; the message is the reason."""


def _first(call: Call, found: _Shadows) -> Result:
    if call.operator in _SAME.split():
        return _given(call, found)
    if call.operator in _POINTWISE.split():
        maps = [each for name in call.maps if (each := found[name]) is not None]
        return joined(maps, _shape(call))
    reader = _READERS.get(call.operator)
    return Lost(reason=f"{call.operator} is not followed") if reader is None else reader(call, found)


def _given(call: Call, found: _Shadows, place: int = 0) -> Shadow:
    """The shadow of an input, which must be located."""
    shadow = found.get(call.inputs[place])
    if isinstance(shadow, Lost):
        raise _NotFollowedError(shadow.reason)
    if shadow is None:
        raise _NotFollowedError(COMPUTED)
    return shadow


def _shape(call: Call, place: int = 0) -> tuple[int, ...]:
    shape = call.shapes.get(call.outputs[place])
    known = [size for size in shape or () if size is not None]
    if shape is None or len(known) < len(shape):
        raise _NotFollowedError(UNKNOWN)
    return tuple(known)


def _numbers(call: Call, place: int, name: str = "") -> list[int] | None:
    """Whole numbers that are an attribute, or an input that is constant; None if neither is given."""
    if name and name in call.attributes:
        value = call.attributes[name]
        return list(value) if isinstance(value, Sequence) else [value]
    if not call.has(place):
        return None
    constant = call.constant(place)
    if constant is None:
        raise _NotFollowedError(COMPUTED)
    return [int(number) for number in constant.flatten().tolist()]


def _kernel(call: Call) -> tuple[int, ...]:
    """The extent of a kernel."""
    if call.operator in ("Conv", "ConvTranspose"):
        shape = call.shape(1) or ()
        return tuple(size or 1 for size in shape[2:])
    return tuple(call.attributes["kernel_shape"])


def _left(call: Call, total: Sequence[int]) -> tuple[int, ...]:
    """What is added on the left per axis, or cut off, where this much is on both sides together."""
    how = call.attributes.get("auto_pad", "NOTSET")
    if how == "NOTSET":
        return tuple(call.attributes.get("pads", (0,) * 2 * len(total)))[: len(total)]
    if how == "VALID":
        return (0,) * len(total)
    return tuple(max(0, each) // 2 if how == "SAME_UPPER" else -(-max(0, each) // 2) for each in total)


def _window(call: Call, found: _Shadows) -> Result:
    shadow, shape, kernel = _given(call, found), _shape(call), _kernel(call)
    ones = (1,) * len(kernel)
    stride, dilation = (tuple(call.attributes.get(name, ones)) for name in ("strides", "dilations"))
    if call.operator == "Conv":
        mix = mixed(shadow, 1, shape[1], call.attributes.get("group", 1))
        if isinstance(mix, Lost):
            return mix
        shadow = mix
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    sizes = zip(shadow.shape[2:], shape[2:], stride, reach, strict=True)
    total = [(m - 1) * s + r - n for n, m, s, r in sizes]
    return windows(
        shadow, 2, kernel=kernel, stride=stride, dilation=dilation, left=_left(call, total), size=shape[2:]
    )


def _transposed(call: Call, found: _Shadows) -> Result:
    shadow, shape, kernel = _given(call, found), _shape(call), _kernel(call)
    ones = (1,) * len(kernel)
    stride, dilation = (tuple(call.attributes.get(name, ones)) for name in ("strides", "dilations"))
    extra = tuple(call.attributes.get("output_padding", (0,) * len(kernel)))
    mix = mixed(shadow, 1, shape[1], call.attributes.get("group", 1))
    if isinstance(mix, Lost):
        return mix
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    sizes = zip(shadow.shape[2:], shape[2:], stride, reach, extra, strict=True)
    total = [(n - 1) * s + r + more - m for n, m, s, r, more in sizes]
    if "output_shape" in call.attributes and call.attributes.get("auto_pad", "NOTSET") == "NOTSET":
        # the standard cuts the larger half off the left
        left = tuple(-(-each // 2) for each in total)
    else:
        left = _left(call, total)
    return transposed(mix, 2, kernel=kernel, stride=stride, dilation=dilation, left=left, size=shape[2:])


def _global_pool(call: Call, found: _Shadows) -> Result:
    shadow = _given(call, found)
    return shadow if math.prod(shadow.shape[2:]) == 1 else Lost(reason=POOLED)


def _resize(call: Call, found: _Shadows) -> Result:
    shadow, shape = _given(call, found), _shape(call)
    old = call.operator == "Upsample" or call.version < 11
    place = 1 if old else 2
    said = call.attributes.get("scales")
    if said is None and call.has(place):
        constant = call.constant(place)
        said = None if constant is None or not constant.size else constant.flatten().tolist()
    axes = list(call.attributes.get("axes", range(len(shape))))
    factors = dict(zip((axis % len(shape) for axis in axes), said, strict=True)) if said else {}
    for dim, (before, after) in enumerate(zip(shadow.shape, shape, strict=True)):
        if before != after or factors.get(dim, 1) != 1:
            factor = (
                Fraction(factors[dim]).limit_denominator(1000) if dim in factors else Fraction(after, before)
            )
            shadow = _resized(call, shadow, dim, after, factor, old=old)
    return shadow


def _resized(call: Call, shadow: Shadow, dim: int, after: int, factor: Fraction, *, old: bool) -> Shadow:
    before, mode = shadow.shape[dim], call.attributes.get("mode", "nearest")
    how = "asymmetric" if old else call.attributes.get("coordinate_transformation_mode", "half_pixel")
    ratio = Fraction(before - 1, max(1, after - 1)) or Fraction(1) if how == "align_corners" else 1 / factor
    places = [_place(how, n, before, after, ratio) for n in range(after)]
    if mode == "nearest":
        rounding = "floor" if old else call.attributes.get("nearest_mode", "round_prefer_floor")
        cells = torch.tensor([_rounded(place, rounding) for place in places])
        return nearest(shadow, dim, cells, ratio)
    if mode not in ("linear", "bilinear", "cubic"):
        msg = f"Resize in mode {mode} is not followed"
        raise _NotFollowedError(msg)
    widened = max(1.0, float(ratio)) if call.attributes.get("antialias", 0) else 1.0
    return resized(
        shadow,
        dim,
        torch.tensor([float(place) for place in places], dtype=torch.float64),
        ratio,
        mode="cubic" if mode == "cubic" else "linear",
        a=call.attributes.get("cubic_coeff_a", -0.75),
        widened=widened,
    )


def _place(how: str, n: int, before: int, after: int, ratio: Fraction) -> Fraction:
    """Where sample n of a resize lies, in cells."""
    half = Fraction(1, 2)
    if how in ("asymmetric", "align_corners"):
        return n * ratio
    if how == "pytorch_half_pixel" and after == 1:
        return Fraction(0)
    if how in ("half_pixel", "pytorch_half_pixel"):
        return (n + half) * ratio - half
    if how == "half_pixel_symmetric":
        return Fraction(before, 2) * (1 - after * ratio / before) + (n + half) * ratio - half
    if how == "tf_half_pixel_for_nn":
        return (n + half) * ratio
    msg = f"Resize by {how} is not followed"
    raise _NotFollowedError(msg)


def _rounded(place: Fraction, rounding: str) -> int:
    if rounding == "round_prefer_floor":
        return math.ceil(place - Fraction(1, 2))
    if rounding == "round_prefer_ceil":
        return math.floor(place + Fraction(1, 2))
    return math.floor(place) if rounding == "floor" else math.ceil(place)


def _reshape(call: Call, found: _Shadows) -> Result:
    return listed(_given(call, found), _shape(call))


def _transpose(call: Call, found: _Shadows) -> Result:
    shadow = _given(call, found)
    order = call.attributes.get("perm", range(len(shadow.shape))[::-1])
    return moved(shadow, lambda values: values.permute(*order))


def _slice(call: Call, found: _Shadows) -> Result:
    shadow = _given(call, found)
    starts, ends = _numbers(call, 1, "starts"), _numbers(call, 2, "ends")
    if starts is None or ends is None:
        return Lost(reason=COMPUTED)
    axes = _numbers(call, 3, "axes") or list(range(len(starts)))
    steps = _numbers(call, 4) or [1] * len(starts)

    def cut(values: Tensor) -> Tensor:
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            taken = range(*slice(start, end, step).indices(values.shape[axis]))
            if step < 0:
                values = values.index_select(axis, torch.tensor(list(taken)))
            else:
                picked = [slice(None)] * (axis % values.ndim) + [slice(taken.start, taken.stop, step)]
                values = values[tuple(picked)]
        return values

    return thinned(shadow, cut) if max(steps) > 1 else moved(shadow, cut)


def _split(call: Call, found: _Shadows, count: int) -> list[Result]:
    try:
        shadow = _given(call, found)
        axis = call.attributes.get("axis", 0) % len(shadow.shape)
        sizes = [_shape(call, place)[axis] for place in range(count)]
    except _NotFollowedError as error:
        return [Lost(reason=str(error))] * count
    starts = [sum(sizes[:place]) for place in range(count)]
    return [
        moved(shadow, lambda values, at=at, size=size: values.narrow(axis, at, size))  # type: ignore[misc]
        for at, size in zip(starts, sizes, strict=True)
    ]


def _concatenate(call: Call, found: _Shadows) -> Result:
    shape = _shape(call)
    axis = call.attributes["axis"] % len(shape)
    sizes = []
    for place in range(len(call.inputs)):
        own = call.shape(place)
        if own is None or own[axis] is None:
            return Lost(reason=UNKNOWN)
        sizes.append(own[axis] or 0)
    return concatenated([found.get(name) for name in call.inputs], sizes, axis, shape)


def _pad(call: Call, found: _Shadows) -> Result:
    shadow = _given(call, found)
    amounts = _numbers(call, 1, "paddings" if "paddings" in call.attributes else "pads")
    if amounts is None:
        return Lost(reason=COMPUTED)
    rank = len(shadow.shape)
    axes = [axis % rank for axis in _numbers(call, 3) or range(rank)]
    for place, axis in enumerate(axes):
        left, right = amounts[place], amounts[place + len(axes)]
        if (left, right) != (0, 0):
            if axis < 2 and call.attributes.get("mode", "constant") == "constant":
                return Lost(reason="channels without positions are added")
            shadow = padded(shadow, axis, left, right)
    return shadow


def _gather(call: Call, found: _Shadows) -> Result:
    shadow, indices = _given(call, found), call.constant(1)
    if indices is None:
        return Lost(reason=COMPUTED)
    axis, shape = call.attributes.get("axis", 0) % len(shadow.shape), _shape(call)
    places = torch.as_tensor(indices.astype("int64").flatten()) % shadow.shape[axis]
    return moved(shadow, lambda values: reshaped(values.index_select(axis, places), shape))


def _expand(call: Call, found: _Shadows) -> Result:
    return joined([_given(call, found)], _shape(call))


def _tile(call: Call, found: _Shadows) -> Result:
    shadow, counts = _given(call, found), _numbers(call, 1)
    return Lost(reason=COMPUTED) if counts is None else moved(shadow, lambda values: values.repeat(*counts))


def _depth_to_space(call: Call, found: _Shadows) -> Result:
    shadow, shape, block = _given(call, found), _shape(call), call.attributes["blocksize"]
    batch, channels, height, width = shape
    crd = call.attributes.get("mode", "DCR") == "CRD"
    parted = [batch, channels, block, block] if crd else [batch, block, block, channels]
    order = (0, 1, 4, 2, 5, 3) if crd else (0, 3, 4, 1, 5, 2)
    size = [height // block, width // block]
    return moved(shadow, lambda values: reshaped(reshaped(values, parted + size).permute(order), shape))


def _space_to_depth(call: Call, found: _Shadows) -> Result:
    shadow, shape, block = _given(call, found), _shape(call), call.attributes["blocksize"]
    batch, channels, height, width = shadow.shape
    parted = [batch, channels, height // block, block, width // block, block]
    return moved(shadow, lambda values: reshaped(reshaped(values, parted).permute(0, 3, 5, 1, 2, 4), shape))


def _reduce(call: Call, found: _Shadows) -> Result:
    shadow = _given(call, found)
    one = call.operator in ("ArgMax", "ArgMin")
    axes = [call.attributes.get("axis", 0)] if one else _numbers(call, 1, "axes")
    if not axes and call.attributes.get("noop_with_empty_axes", 0):
        return shadow
    dims = [axis % len(shadow.shape) for axis in axes or range(len(shadow.shape))]
    return pooled(shadow, dims, keep=bool(call.attributes.get("keepdims", 1)), reason=POOLED)


def _product(call: Call, found: _Shadows) -> Result:
    """A matrix product: with a constant a mean over what is summed; with another map everything is mixed."""
    left, right = (found.get(name) for name in call.inputs[:2])
    if left is not None and right is not None:
        return Lost(reason=TWO_MAPS)
    place = 0 if left is not None else 1
    shadow, shape = _given(call, found, place), _shape(call)
    turned = bool(call.attributes.get("transA" if place == 0 else "transB", 0))
    if turned:
        shadow_or_lost = moved(shadow, lambda values: values.transpose(-1, -2))
        if isinstance(shadow_or_lost, Lost):
            return shadow_or_lost
        shadow = shadow_or_lost
    rank = len(shadow.shape)
    if len(shape) != rank:
        return Lost(reason=f"{call.operator} of maps with different numbers of axes is not followed")
    return mixed(shadow, rank - 1, shape[-1]) if place == 0 else mixed(shadow, rank - 2, shape[-2])


_SAME = """
    BatchNormalization Cast CastLike DequantizeLinear Dropout GroupNormalization Identity
    InstanceNormalization LayerNormalization LogSoftmax LpNormalization LRN MeanVarianceNormalization
    QuantizeLinear RMSNormalization Softmax Hardmax Clip
"""
_POINTWISE = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BitShift Ceil Celu
    Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN
    LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu
    Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
"""
_REDUCTIONS = """
    ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare
"""
_READERS: dict[str, Callable[[Call, _Shadows], Result]] = {
    **dict.fromkeys(("Conv", "MaxPool", "AveragePool", "LpPool"), _window),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _global_pool),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(_REDUCTIONS.split(), _reduce),
    **dict.fromkeys(("MatMul", "Gemm"), _product),
    "ConvTranspose": _transposed,
    "Transpose": _transpose,
    "Slice": _slice,
    "Concat": _concatenate,
    "Pad": _pad,
    "Gather": _gather,
    "Expand": _expand,
    "Tile": _tile,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
