"""Turn the words that describe a layer into its operator."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from upstroke.cli.options import per_axis
from upstroke.describe import FIXED, UNIFORM
from upstroke.errors import OptionError, ShapeError
from upstroke.files.weights import Weights, read_weights
from upstroke.polyphase import (
    Polyphase,
    box,
    bspline,
    compose,
    convolution,
    cubic,
    kaiser_sinc,
    linear,
    nearest,
    separable,
    sub_pixel,
    transposed,
    triangle,
)
from upstroke.polyphase.kernels import Centre

__all__ = [
    "Subject",
    "Words",
    "resize_subject",
    "separable_subject",
    "shuffle_subject",
    "transposed_subject",
]

# Beyond these a layer is a mistake in typing, and measuring it would fill the memory.
MOST_PHASES = 4096
MOST_WEIGHTS = 5 * 10**7
# The cubic kernel's slope is -1/2 or -3/4 in use.
LARGEST_A = 100

Words = Mapping[str, str | None]
Numbers = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A layer that is to be inspected.

    Attributes:
        operator: what the numbers are measured on; without weights one channel pair stands for all.
        stages: the layer as it is built, one operator after the other with all channels, for the cost.
        channels: that come in.
        layer: what was asked for, as plain data.
        weights: where the weights come from, as plain data.
        note: what a reader should know about the operator; empty if nothing.
    """

    operator: Polyphase
    stages: tuple[Polyphase, ...]
    channels: int
    layer: dict[str, Any]
    weights: str | dict[str, Any]
    note: str = ""


def transposed_subject(
    words: Words,
    *,
    groups: int,
    channels: tuple[int | None, int | None],
    weights: str | None,
    ndim: int | None,
) -> Subject:
    """A transposed convolution; its weights are (in, out / groups, *kernel) or one bare kernel."""
    axes = _axes(words, ndim)
    stride = _numbers(words, "--stride", axes, least=1)
    padding = _numbers(words, "--padding", axes)
    output_padding = _numbers(words, "--output-padding", axes)
    dilation = _numbers(words, "--dilation", axes, least=1)
    _check_phases(stride)
    given = None if weights is None else read_weights(weights)
    kernel = _kernel(words, axes, given)
    c_in, c_out = channels
    if given is not None:
        weight = _as_weight(
            given, axes, kernel, layout="(in, out / groups, *kernel)", bare_channels=(groups, 1)
        )
        c_in = _same(c_in, weight.shape[0], "--in-channels", given)
        c_out = _same(c_out, weight.shape[1] * groups, "--out-channels", given)
    else:
        c_in, c_out = c_in or groups, c_out or groups
    for option, count in (("--in-channels", c_in), ("--out-channels", c_out)):
        if count % groups:
            msg = f"{option} must be a multiple of --groups; got {count} channels in {groups} groups"
            raise ShapeError(msg)
    _check_weights(c_in * c_out // groups * math.prod(kernel))
    if given is None:
        weight = _uniform(kernel, total=math.prod(stride))
    operator = transposed(
        weight,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        groups=1 if given is None else groups,
    )
    whole = operator if given is not None else _widened(operator, c_in, c_out, groups=groups)
    return Subject(
        operator=operator,
        stages=(whole,),
        channels=c_in,
        layer={
            "kind": "transposed",
            "ndim": axes,
            "kernel": list(kernel),
            "stride": list(stride),
            "padding": list(padding),
            "output_padding": list(output_padding),
            "dilation": list(dilation),
            "groups": groups,
            "in_channels": c_in,
            "out_channels": c_out,
        },
        weights=_origin(given),
    )


def resize_subject(
    words: Words,
    *,
    mode: str,
    centre: str | None,
    a: float | None,
    channels: tuple[int | None, int | None],
    weights: str | None,
    ndim: int | None,
) -> Subject:
    """A resize by a fixed kernel, and the convolution that follows it if there is one."""
    axes = _axes(words, ndim)
    scale = _numbers(words, "--scale", axes, least=1)
    _check_phases(scale)
    fixed = _fixed(mode, scale, centre=centre, a=a)
    layer = {"kind": "resize", "ndim": axes, "mode": mode, "scale": list(scale)}
    if mode not in {"nearest", "box", "triangle"}:
        layer["centre"] = centre or "cell"
    if mode == "cubic":
        layer["a"] = -0.75 if a is None else a
    if words["--kernel"] is None and weights is None:
        for option, count in zip(("--in-channels", "--out-channels"), channels, strict=True):
            if count is not None:
                msg = (
                    f"{option} is that of a convolution after the resize; give its --kernel, or leave it out"
                )
                raise OptionError(msg)
        if words["--padding"] is not None:
            msg = "--padding is that of the convolution after the resize; give its --kernel too"
            raise OptionError(msg)
        return Subject(operator=fixed, stages=(fixed,), channels=1, layer=layer, weights=FIXED)
    given = None if weights is None else read_weights(weights)
    kernel = _kernel(words, axes, given)
    padding = _numbers(words, "--padding", axes)
    c_in, c_out = channels
    if given is None:
        c_in, c_out = c_in or 1, c_out or 1
        _check_weights(c_in * c_out * math.prod(kernel))
        weight = _uniform(kernel, total=1)
    else:
        weight = _as_weight(given, axes, kernel, layout="(out, in, *kernel)", bare_channels=(1, 1))
        c_in = _same(c_in, weight.shape[1], "--in-channels", given)
        c_out = _same(c_out, weight.shape[0], "--out-channels", given)
    after = convolution(weight, padding=padding)
    layer |= {
        "kernel": list(kernel),
        "padding": list(padding),
        "in_channels": c_in,
        "out_channels": c_out,
    }
    return Subject(
        operator=compose(fixed, after),
        stages=(fixed, after if given is not None else _widened(after, c_in, c_out)),
        channels=c_in,
        layer=layer,
        weights=_origin(given),
        note="the numbers are those of the one operator that resize and convolution make together",
    )


def shuffle_subject(
    words: Words, *, channels: tuple[int | None, int | None], weights: str | None, ndim: int | None
) -> Subject:
    """A convolution that makes every phase, then a pixel shuffle; weights are (out * phases, in, *kernel)."""
    axes = _axes(words, ndim)
    scale = _numbers(words, "--scale", axes, least=1)
    padding = _numbers(words, "--padding", axes)
    _check_phases(scale)
    phases = math.prod(scale)
    given = None if weights is None else read_weights(weights)
    kernel = _kernel(words, axes, given)
    c_in, c_out = channels
    if given is not None:
        weight = _as_weight(given, axes, kernel, layout="(out * phases, in, *kernel)")
        if weight.shape[0] % phases:
            msg = (
                f"a pixel shuffle by {_times(scale)} needs weights with a multiple of {phases} output "
                f"channels; {given.name} has {weight.shape[0]}; give the scale that they were made for"
            )
            raise ShapeError(msg)
        c_out = _same(c_out, weight.shape[0] // phases, "--out-channels", given)
        c_in = _same(c_in, weight.shape[1], "--in-channels", given)
    else:
        c_in, c_out = c_in or 1, c_out or 1
        weight = _uniform(kernel, total=1).expand(phases, *(-1,) * (1 + axes))
    _check_weights(c_in * c_out * phases * math.prod(kernel))
    operator = sub_pixel(weight, scale=scale, padding=padding)
    return Subject(
        operator=operator,
        stages=(operator if given is not None else _widened(operator, c_in, c_out),),
        channels=c_in,
        layer={
            "kind": "shuffle",
            "ndim": axes,
            "scale": list(scale),
            "kernel": list(kernel),
            "padding": list(padding),
            "in_channels": c_in,
            "out_channels": c_out,
        },
        weights=_origin(given),
    )


def separable_subject(
    words: Words,
    *,
    channels: tuple[int | None, int | None],
    order: str,
    weights: str | None,
    pointwise_weights: str | None,
    ndim: int | None,
) -> Subject:
    """A depthwise transposed convolution and a 1x1 convolution, in either order."""
    if (weights is None) is not (pointwise_weights is None):
        missing = "--weights" if weights is None else "--pointwise-weights"
        msg = f"a separable layer has weights for both of its stages; {missing} is missing; give both or none"
        raise OptionError(msg)
    first = order == "depthwise-first"
    axes = _axes(words, ndim)
    stride = _numbers(words, "--stride", axes, least=1)
    padding = _numbers(words, "--padding", axes)
    output_padding = _numbers(words, "--output-padding", axes)
    dilation = _numbers(words, "--dilation", axes, least=1)
    _check_phases(stride)
    given = None if weights is None else read_weights(weights)
    mixing = None if pointwise_weights is None else read_weights(pointwise_weights)
    kernel = _kernel(words, axes, given)
    c_in, c_out = channels
    if given is not None and mixing is not None:
        depthwise = _as_weight(given, axes, kernel, layout="(channels, 1, *kernel)")
        pointwise = _as_mixing(mixing, axes)
        middle = pointwise.shape[1 if first else 0]
        if tuple(depthwise.shape[:2]) != (middle, 1):
            msg = (
                f"depthwise weights must have shape ({middle}, 1, *kernel) to match the pointwise weights "
                f"{tuple(pointwise.shape)} {order}; {given.name} has shape {tuple(given.array.shape)}"
            )
            raise ShapeError(msg)
        c_in = _same(c_in, pointwise.shape[1], "--in-channels", mixing)
        c_out = _same(c_out, pointwise.shape[0], "--out-channels", mixing)
    else:
        c_in, c_out = c_in or 1, c_out or 1
        depthwise, pointwise = (
            _uniform(kernel, total=math.prod(stride)),
            torch.ones(1, 1, dtype=torch.float64),
        )
    _check_weights(c_in * c_out * math.prod(kernel))
    operator = separable(
        depthwise,
        pointwise,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        depthwise_first=first,
    )
    one = torch.ones(1, 1, *kernel, dtype=torch.float64)
    grow = transposed(one, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation)
    middle = c_in if first else c_out
    stages = (
        _widened(grow, middle, middle, groups=middle),
        _widened(convolution(torch.full((1, 1, *(1,) * axes), 0.5)), c_in, c_out),
    )
    return Subject(
        operator=operator,
        stages=stages if first else stages[::-1],
        channels=c_in,
        layer={
            "kind": "separable",
            "ndim": axes,
            "order": order,
            "kernel": list(kernel),
            "stride": list(stride),
            "padding": list(padding),
            "output_padding": list(output_padding),
            "dilation": list(dilation),
            "in_channels": c_in,
            "out_channels": c_out,
        },
        weights=_origin(given)
        if mixing is None
        else {"depthwise": _origin(given), "pointwise": _origin(mixing)},
        note="the numbers are those of the dense operator that the two stages equal",
    )


def _fixed(mode: str, scale: Numbers, *, centre: str | None, a: float | None) -> Polyphase:
    """The fixed kernel of this mode, given only the options that mean something for it."""
    if a is not None and mode != "cubic":
        msg = f"--a is the parameter of --mode cubic; got --mode {mode}; leave --a out"
        raise OptionError(msg)
    if a is not None and not abs(a) <= LARGEST_A:
        msg = f"--a must be a finite number from -{LARGEST_A} to {LARGEST_A}, such as -0.75; got {a}"
        raise OptionError(msg)
    if centre is not None and mode in {"nearest", "box", "triangle"}:
        msg = f"--centre has no meaning for --mode {mode}, which sits where it sits; leave it out"
        raise OptionError(msg)
    where: Centre = "sample" if centre == "sample" else "cell"
    ndim = len(scale)
    if mode == "nearest":
        return nearest(scale, ndim=ndim)
    if mode == "linear":
        return linear(scale, ndim=ndim, centre=where)
    if mode == "cubic":
        return cubic(scale, ndim=ndim, a=-0.75 if a is None else a, centre=where)
    if mode == "bspline":
        return bspline(scale, ndim=ndim, centre=where)
    if mode == "kaiser":
        return kaiser_sinc(scale, ndim=ndim, centre=where)
    return box(scale, ndim=ndim) if mode == "box" else triangle(scale, ndim=ndim)


def _axes(words: Words, ndim: int | None) -> int:
    """How many axes there are: as said, or as the first per-axis value has, or 2."""
    counts = {
        option: text.count("x") + 1 for option, text in words.items() if text is not None and "x" in text
    }
    for option, count in counts.items():
        if count > 3:
            msg = f"{option} must have 1 to 3 numbers, one per axis; got {words[option]!r}"
            raise OptionError(msg)
    if ndim is None:
        ndim = next(iter(counts.values()), 2)
    for option, count in counts.items():
        if count != ndim:
            other = next((name for name, n in counts.items() if n == ndim), "--ndim")
            came = words.get(other) or ndim
            msg = f"{option} must have one number for each axis like {other} {came}; got {words[option]!r}"
            raise ShapeError(msg)
    return ndim


def _numbers(words: Words, option: str, ndim: int, *, least: int = 0) -> Numbers:
    """One whole number per axis; 1 for --dilation and 0 for the paddings where nothing is said."""
    text = words[option]
    value = per_axis(text, option=option) if text is not None else (1 if option == "--dilation" else 0)
    numbers = value if isinstance(value, tuple) else (value,) * ndim
    if min(numbers) < least:
        msg = f"{option} must be at least {least} on every axis; got {text or _times(numbers)}"
        raise OptionError(msg)
    return numbers


def _kernel(words: Words, ndim: int, given: Weights | None) -> Numbers:
    """The kernel as said, or as the weights have it."""
    if words["--kernel"] is not None:
        return _numbers(words, "--kernel", ndim, least=1)
    if given is None:
        msg = "--kernel must be given, as a whole number such as 4, unless --weights gives it; got neither"
        raise OptionError(msg)
    shape = tuple(given.array.shape)
    if len(shape) < ndim:
        msg = (
            f"weights must have at least as many axes as the layer, which has {ndim}; {given.name} has shape "
            f"{shape}; give --ndim {max(1, len(shape))}"
        )
        raise ShapeError(msg)
    return shape[-ndim:]


def _as_weight(
    given: Weights, ndim: int, kernel: Numbers, *, layout: str, bare_channels: tuple[int, int] | None = None
) -> Tensor:
    """The weights with their two channel axes; a bare kernel gets them, one pair for each group."""
    shape = tuple(given.array.shape)
    bare = len(shape) == ndim and bare_channels is not None
    if (len(shape) != ndim + 2 and not bare) or shape[-ndim:] != kernel:
        either = f" or {kernel}" if bare_channels is not None else ""
        wanted = layout.replace("*kernel", ", ".join(map(str, kernel)))
        axes = _plural(ndim, "axis", "axes")
        msg = (
            f"weights must have shape {wanted}{either} for kernel {_times(kernel)} on {axes}; {given.name} "
            f"has shape {shape}; give the --kernel and --ndim of these weights"
        )
        raise ShapeError(msg)
    _check_weights(given.array.size)
    weight = torch.from_numpy(given.array.copy())
    return weight.expand(*bare_channels, *kernel).contiguous() if bare and bare_channels else weight


def _as_mixing(given: Weights, ndim: int) -> Tensor:
    shape = tuple(given.array.shape)
    if len(shape) not in (2, 2 + ndim) or any(n != 1 for n in shape[2:]):
        ones = ", 1" * ndim
        msg = (
            f"pointwise weights must have shape (out, in) or (out, in{ones}); {given.name} has shape {shape}"
        )
        raise ShapeError(msg)
    return torch.from_numpy(given.array.copy()).reshape(shape[:2])


def _same(said: int | None, found: int, option: str, given: Weights) -> int:
    if said is not None and said != found:
        msg = f"{option} must match the weights; {given.name} has {found}, got {said}; leave {option} out"
        raise ShapeError(msg)
    return found


def _uniform(kernel: Numbers, *, total: int) -> Tensor:
    """A kernel of equal numbers with this sum, for one channel pair."""
    return torch.full((1, 1, *kernel), total / math.prod(kernel), dtype=torch.float64)


def _widened(pair: Polyphase, c_in: int, c_out: int, *, groups: int = 1) -> Polyphase:
    """The same kernel for every channel pair, without copies."""
    taps = pair.taps.expand(-1, c_out, c_in // groups, *(-1,) * pair.ndim)
    return replace(pair, taps=taps, support=pair.mask, groups=groups)


def _origin(given: Weights | None) -> str | dict[str, Any]:
    if given is None:
        return UNIFORM
    return {"file": given.file, "key": given.key, "dtype": given.dtype, "shape": list(given.array.shape)}


def _check_phases(scale: Numbers) -> None:
    if math.prod(scale) > MOST_PHASES:
        msg = (
            f"a scale of at most {MOST_PHASES} phases can be inspected; got {_times(scale)}, which has "
            f"{math.prod(scale)}; give a smaller one"
        )
        raise OptionError(msg)


def _check_weights(count: int) -> None:
    if count > MOST_WEIGHTS:
        msg = f"a layer of at most {MOST_WEIGHTS} weights can be inspected; got {count}; give smaller numbers"
        raise OptionError(msg)


def _plural(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _times(numbers: Sequence[int]) -> str:
    return "x".join(map(str, numbers))
