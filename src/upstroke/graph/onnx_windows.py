"""Turn ONNX's convolutions, pools and pads into steps: all that slides a window or adds a rim."""

from collections.abc import Sequence
from itertools import takewhile

from upstroke.axes import times
from upstroke.graph.onnx_call import LARGEST, Call, CannotReadError
from upstroke.graph.steps import Convolution, Filter, Other, Pad, Pool, Same, Step, TransposedConvolution
from upstroke.polyphase import Border, Margin

__all__ = ["convolution", "pad", "pool", "transposed_convolution"]

BORDERS: dict[str, Border | None] = {"constant": "zero", "edge": "clamp", "wrap": "circular", "reflect": None}


def convolution(call: Call) -> Step:
    """Conv; with weights that depend on the input it is a filter."""
    if call.inputs[1] in call.computed:
        return _filter(call)
    weight = call.weight(1)
    kernel = tuple(weight.shape[2:])
    if not 1 <= len(kernel) <= 3:
        return Other()
    stride, dilation = (_steps(call, name, kernel) for name in ("strides", "dilations"))
    return Convolution(
        weight=weight,
        bias=call.weight(2, name="bias") if call.has(2) else None,
        stride=stride,
        padding=_sides(call, kernel, stride, dilation),
        dilation=dilation,
        groups=call.attributes.get("group", 1),
    )


def _filter(call: Call) -> Step:
    shape = call.shape(1)
    kernel = tuple(size for size in shape[2:] if size is not None) if shape is not None else ()
    if shape is None or not 1 <= len(kernel) <= 3 or len(kernel) != len(shape) - 2:
        return Other()
    stride, dilation = (_steps(call, name, kernel) for name in ("strides", "dilations"))
    sides = _sides(call, kernel, stride, dilation)
    return Filter(kernel=kernel, stride=stride, padding=sides, dilation=dilation)


def transposed_convolution(call: Call) -> Step:
    """ConvTranspose, its output_shape attribute turned into what is cut off."""
    weight = call.weight(1)
    kernel = tuple(weight.shape[2:])
    ndim = len(kernel)
    if not 1 <= ndim <= 3:
        return Other()
    stride, dilation = (_steps(call, name, kernel) for name in ("strides", "dilations"))
    extra = call.numbers("output_padding", (0,) * ndim)
    # more than is there after stride * (n - 1) + 1 samples, if nothing is cut off
    rest = tuple(d * (k - 1) + e for d, k, e in zip(dilation, kernel, extra, strict=True))
    return TransposedConvolution(
        weight=weight,
        bias=call.weight(2, name="bias") if call.has(2) else None,
        stride=stride,
        padding=_crops(call, stride, rest),
        output_padding=extra,
        dilation=dilation,
        groups=call.attributes.get("group", 1),
    )


def pool(call: Call) -> Step:
    """MaxPool and AveragePool; one with holes in its windows is as wide as they reach."""
    kernel = call.numbers("kernel_shape", ())
    if not 1 <= len(kernel) <= 3:
        return Other()
    stride, dilation = (call.numbers(name, (1,) * len(kernel)) for name in ("strides", "dilations"))
    if max(dilation) > 1 and call.operator != "MaxPool":
        return Other()
    return Pool(
        kernel=tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)),
        stride=stride,
        padding=_sides(call, kernel, stride, dilation),
        kind="max" if call.operator == "MaxPool" else "mean",
    )


def pad(call: Call) -> Step:
    """Pad, whose numbers are an attribute before version 11 and an input since."""
    amounts = _amounts(call)
    rank = len(amounts) // 2
    if not any(amounts):
        return Same()
    if not 3 <= rank <= 5 or any(amounts[:2]) or any(amounts[rank : rank + 2]):
        return Other()
    mode = call.attributes.get("mode", "constant")
    border = BORDERS.get(mode)
    if border == "zero" and _filling(call) != 0:
        border = None
    sides = _pairs(amounts[2:rank], amounts[rank + 2 :])
    return Pad(sides=sides, border=border, mirrored=mode == "reflect")


def _steps(call: Call, name: str, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """How far apart windows stand, or samples within one, per axis of a kernel that the node agrees with."""
    said = call.numbers("kernel_shape", kernel)
    if said != kernel:
        reason = f"its kernel_shape {times(said)} is not that of its weight, {times(kernel)}"
        raise CannotReadError(reason)
    steps = call.numbers(name, (1,) * len(kernel))
    if len(steps) != len(kernel) or not all(1 <= step <= LARGEST for step in steps):
        reason = f"its {name} {times(steps)} are not {len(kernel)} numbers from 1 to {LARGEST}"
        raise CannotReadError(reason)
    return steps


def _sides(
    call: Call, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[Margin, ...]:
    """What is added to the input (left, right) per axis."""
    ndim = len(kernel)
    how = call.attributes.get("auto_pad", "NOTSET")
    if how == "VALID":
        return ((0, 0),) * ndim
    if how == "NOTSET":
        pads = call.numbers("pads", (0,) * 2 * ndim)
        if min(pads) < 0:
            reason = f"its padding {list(pads)} is negative"
            raise CannotReadError(reason)
        return _pairs(pads[:ndim], pads[ndim:])
    sides = []
    for n, k, s, d in zip(call.size(ndim), kernel, stride, dilation, strict=True):
        if n is None and s > 1:
            reason = f"its padding is {how}, which depends on the size of the map"
            raise CannotReadError(reason, grows=False)
        # stride 1 leaves the size as it is, whatever it is
        total = max(0, d * (k - 1) if n is None else (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
        sides.append(_halves(total, upper=how == "SAME_UPPER"))
    return tuple(sides)


def _crops(call: Call, stride: Sequence[int], rest: Sequence[int]) -> tuple[Margin, ...]:
    """What a transposed convolution cuts off its output (left, right) per axis."""
    ndim = len(stride)
    how = call.attributes.get("auto_pad", "NOTSET")
    wanted = call.numbers("output_shape", ())[-ndim:]
    if how == "VALID" and not wanted:
        return ((0, 0),) * ndim
    if how == "NOTSET" and not wanted:
        pads = call.numbers("pads", (0,) * 2 * ndim)
        if min(pads) < 0:
            reason = f"its padding {list(pads)} is negative"
            raise CannotReadError(reason)
        return _pairs(pads[:ndim], pads[ndim:])
    crops = []
    for axis, (n, s, more) in enumerate(zip(call.size(ndim), stride, rest, strict=True)):
        if wanted and n is None:
            reason = (
                "its output_shape is fixed, so what it cuts off depends on the size of the input; give it"
            )
            raise CannotReadError(reason)
        # s * (n - 1) + 1 + more samples are there; without a wanted size, s * n stay
        total = more + 1 - s if n is None or not wanted else s * (n - 1) + 1 + more - wanted[axis]
        if total < 0:
            reason = (
                "it is asked for more samples than its kernels reach, and no standard says which are empty"
            )
            raise CannotReadError(reason)
        crops.append(_halves(total, upper=how == "SAME_UPPER"))
    return tuple(crops)


def _halves(total: int, *, upper: bool) -> Margin:
    """Split a number over both ends; an odd one falls to the upper end or to the lower."""
    less, more = total // 2, total - total // 2
    return (less, more) if upper else (more, less)


def _pairs(before: Sequence[int], after: Sequence[int]) -> tuple[Margin, ...]:
    return tuple(zip(before, after, strict=True))


def _amounts(call: Call) -> tuple[int, ...]:
    """What is added before every axis of the map, batch and channels among them, then after every axis."""
    if call.version < 11:
        return call.numbers("pads", ()) or call.numbers("paddings", ())
    given = call.constant(1)
    if given is None:
        return _none_ahead(call)
    numbers = tuple(given.flatten().tolist())
    if not call.has(3):
        return numbers
    axes, shape = call.constant(3), call.shape()
    if axes is None or shape is None:
        reason = "the axes it adds to are not known before the model runs"
        raise CannotReadError(reason)
    amounts = [0] * 2 * len(shape)
    for place, axis in enumerate(axes.flatten().tolist()):
        for end in range(2):
            amounts[axis % len(shape) + end * len(shape)] = numbers[place + end * axes.size]
    return tuple(amounts)


def _none_ahead(call: Call) -> tuple[int, ...]:
    """Zeros, where sizes that are not known say what is added, and that is said to be nothing ahead.

    Then every sample stays where it is at any size, and at sizes that are right as they come none is added.
    """
    name = call.inputs[1]
    parts = [call.constants.get(each) for each in call.laid.get(name, ())]
    ahead = list(takewhile(lambda part: part is not None, parts))
    known = [int(number) for part in ahead if part is not None for number in part.flatten()]
    shape = call.shape()
    rank = len(shape) if shape is not None else 0
    if name in call.computed or call.has(3) or not rank or len(known) < rank or any(known):
        reason = "what it adds is computed while the model runs"
        raise CannotReadError(reason)
    return (0,) * 2 * rank


def _filling(call: Call) -> float | None:
    """The constant that a pad adds; None if it is not known."""
    if call.version < 11:
        return float(call.attributes.get("value", 0.0))
    if not call.has(2):
        return 0.0
    value = call.constant(2)
    return None if value is None or value.size != 1 else float(value.item())
