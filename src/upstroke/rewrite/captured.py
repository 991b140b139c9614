"""Turn a graph that torch.compile captured into the common form, weights being shapes without values."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from upstroke.graph import Graph, Node
from upstroke.graph.steps import (
    Convolution,
    Other,
    Pad,
    Reshape,
    Resize,
    Rounding,
    Same,
    Step,
    Transpose,
    TransposedConvolution,
)

__all__ = ["arguments_of", "captured", "hinted", "value_of"]

# Sizes that may change stand as primes, so that no relation between two of them holds by chance.
_FIRST_PRIME = 10007

_CONVOLUTIONS = {torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3}
_TRANSPOSED = {torch.conv_transpose1d: 1, torch.conv_transpose2d: 2, torch.conv_transpose3d: 3}
_PADS = (F.pad, torch._C._nn.pad)
_MODES: Mapping[str, tuple[Literal["nearest", "linear", "cubic"], Rounding]] = {
    "nearest": ("nearest", "floor"),
    "nearest-exact": ("nearest", "round_prefer_ceil"),
    "linear": ("linear", "floor"),
    "bilinear": ("linear", "floor"),
    "trilinear": ("linear", "floor"),
    "bicubic": ("cubic", "floor"),
}
_NAMES: Mapping[object, tuple[str, ...]] = {
    F.interpolate: (
        "input", "size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias",
    ),
    **dict.fromkeys(_CONVOLUTIONS, ("input", "weight", "bias", "stride", "padding", "dilation", "groups")),
    **dict.fromkeys(
        _TRANSPOSED,
        ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
    ),
    **dict.fromkeys(_PADS, ("input", "pad", "mode", "value")),
}  # fmt: skip
_DEFAULTS: Mapping[str, Any] = {
    "bias": None, "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1, "mode": None,
    "value": None, "align_corners": None, "antialias": False,
}  # fmt: skip


def captured(gm: fx.GraphModule) -> Graph:
    """The graph of what was captured; maps and nodes have the names of its nodes.

    Resizes by whole factors, pads, convolutions, transposed convolutions and rearrangements are read; all
    else is `Other`, and so is what an argument of these makes unusual. No value of a weight is looked at, and
    what holds of sizes that may change holds of all that they may be.
    """
    sizes = _Sizes()
    nodes, inputs, outputs, shapes = [], [], (), {}
    for node in gm.graph.nodes:
        value = value_of(node)
        if value is not None:
            shapes[node.name] = sizes.of(value)
        if node.op in ("placeholder", "get_attr"):
            inputs.append(node.name)
        elif node.op == "output":
            outputs = tuple(each.name for each in node.all_input_nodes)
        else:
            nodes += _read(node, shapes)
    return Graph(
        model=type(gm).__name__,
        source="torch.compile",
        nodes=tuple(nodes),
        inputs=tuple(inputs),
        outputs=outputs,
        shapes=shapes,
    )


def value_of(node: fx.Node) -> Tensor | None:
    """The tensor without values that stands for what a node gives; None where it gives none, or several."""
    value = node.meta.get("example_value")
    return value if isinstance(value, Tensor) else None


def hinted(value: Tensor) -> Tensor | None:
    """A tensor on the meta device like the one that was seen while capturing; None if its size is unknown."""
    numbers = [_hint(size) for size in (*value.shape, *value.stride())]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return None
    like = torch.empty_strided(known[: value.ndim], known[value.ndim :], dtype=value.dtype, device="meta")
    return like.requires_grad_() if value.requires_grad else like


def arguments_of(node: fx.Node) -> dict[str, Any] | None:
    """The arguments of a function that is read, by name, with defaults; None for any other node."""
    names = _NAMES.get(node.target) if node.op == "call_function" else None
    if names is None or len(node.args) > len(names):
        return None
    return {**_DEFAULTS, **dict(zip(names, node.args, strict=False)), **node.kwargs}


class _Sizes:
    """Hands out a prime for every size that may change."""

    def __init__(self) -> None:
        self._primes: dict[Any, int] = {}
        self._last = _FIRST_PRIME - 1

    def of(self, value: Tensor) -> tuple[int | None, ...]:
        """The shape of a tensor in these primes; None for an axis that is no whole number of them."""
        return tuple(self._number(size) for size in value.shape)

    def _number(self, size: int | torch.SymInt) -> int | None:
        if isinstance(size, int):
            return size
        expression = size.node.expr
        for symbol in sorted(expression.free_symbols, key=str):
            if symbol not in self._primes:
                self._primes[symbol] = self._next()
        number = expression.subs({symbol: self._primes[symbol] for symbol in expression.free_symbols})
        return int(number) if number.is_Integer else None

    def _next(self) -> int:
        self._last += 1
        while any(self._last % factor == 0 for factor in range(2, math.isqrt(self._last) + 1)):
            self._last += 1
        return self._last


def _hint(size: int | torch.SymInt) -> int | None:
    if isinstance(size, int):
        return size
    hint = size.node.hint if size.node.has_hint() else None
    return None if hint is None else int(hint)


def _read(node: fx.Node, shapes: Mapping[str, tuple[int | None, ...]]) -> list[Node]:
    """A node for whatever takes a tensor."""
    step = _step(node, shapes)
    # weights are known by their shapes, and are no maps to what takes them
    taken = node.all_input_nodes if step is None else node.all_input_nodes[:1]
    inputs = tuple(each.name for each in taken if _may_hold_tensors(each))
    if not inputs:
        return []
    name = getattr(node.target, "__name__", str(node.target))
    return [Node(name=node.name, operator=name, inputs=inputs, output=node.name, step=step or Other())]


def _may_hold_tensors(node: fx.Node) -> bool:
    return not isinstance(node.meta.get("example_value"), int | float | bool | torch.SymInt | torch.SymFloat)


def _step(node: fx.Node, shapes: Mapping[str, tuple[int | None, ...]]) -> Step | None:
    """What a node does, if it is one of those that are read, with plain arguments."""
    if value_of(node) is None:
        return None
    if node.op == "call_method" or node.target in _MOVES:
        return _moved(node, shapes)
    given = arguments_of(node)
    if given is None:
        return None
    before = given.get("input")
    if not isinstance(before, fx.Node) or value_of(before) is None or before is not node.all_input_nodes[0]:
        return None
    sizes = shapes[before.name], shapes[node.name]
    if node.target in _CONVOLUTIONS:
        return _convolution(given, _CONVOLUTIONS[node.target])
    if node.target in _TRANSPOSED:
        return _transposed(given, _TRANSPOSED[node.target])
    return _pad(given, len(sizes[0]) - 2) if node.target in _PADS else _resize(given, *sizes)


def _numbers(value: object, ndim: int) -> tuple[int, ...] | None:
    """One number per axis; None where any is no number that stands in the code."""
    given = tuple(value) if isinstance(value, list | tuple) else (value,)
    values = tuple(each for each in given if type(each) is int) * (ndim if len(given) == 1 else 1)
    return values if len(values) == ndim else None


def _like(value: object) -> Tensor | None:
    """A tensor of the shape of a weight; None where it is no tensor of a known shape."""
    seen = value_of(value) if isinstance(value, fx.Node) else None
    if seen is None or not all(isinstance(size, int) for size in seen.shape):
        return None
    return torch.empty(seen.shape, dtype=seen.dtype, device="meta")


def _convolution(given: Mapping[str, Any], ndim: int) -> Step | None:
    weight, bias = _like(given["weight"]), _like(given["bias"])
    stride, dilation = (_numbers(given[name], ndim) for name in ("stride", "dilation"))
    if weight is None or stride is None or dilation is None or weight.ndim != 2 + ndim:
        return None
    padding = _sides(given["padding"], tuple(weight.shape[2:]), dilation)
    if padding is None or type(given["groups"]) is not int or (bias is None) != (given["bias"] is None):
        return None
    return Convolution(
        weight=weight,
        bias=bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=given["groups"],
    )


def _sides(
    padding: object, kernel: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, int], ...] | None:
    """Samples added at either end."""
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        lengths = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((length // 2, length - length // 2) for length in lengths)
    numbers = _numbers(padding, len(kernel))
    return None if numbers is None else tuple((number, number) for number in numbers)


def _transposed(given: Mapping[str, Any], ndim: int) -> Step | None:
    weight, bias = _like(given["weight"]), _like(given["bias"])
    named = {
        name: _numbers(given[name], ndim) for name in ("stride", "padding", "output_padding", "dilation")
    }
    stride, padding, extra, dilation = named.values()
    if weight is None or stride is None or padding is None or extra is None or dilation is None:
        return None
    if (
        weight.ndim != 2 + ndim
        or type(given["groups"]) is not int
        or (bias is None) != (given["bias"] is None)
    ):
        return None
    return TransposedConvolution(
        weight=weight,
        bias=bias,
        stride=stride,
        padding=tuple((number, number) for number in padding),
        output_padding=extra,
        dilation=dilation,
        groups=given["groups"],
    )


def _pad(given: Mapping[str, Any], ndim: int) -> Step | None:
    numbers = given["pad"]
    plain = isinstance(numbers, list | tuple) and all(type(each) is int and each >= 0 for each in numbers)
    if not plain or ndim < 1 or len(numbers) > 2 * ndim:
        return None
    sides = [*zip(numbers[::2], numbers[1::2], strict=True)]
    sides += [(0, 0)] * (ndim - len(sides))
    placed = tuple(reversed(sides))
    if given["mode"] == "reflect":
        return Pad(sides=placed, border=None, mirrored=True)
    if given["mode"] == "replicate":
        return Pad(sides=placed, border="clamp")
    is_zero = given["mode"] in (None, "constant") and given["value"] in (None, 0)
    return Pad(sides=placed) if is_zero else None


def _resize(
    given: Mapping[str, Any], before: Sequence[int | None], after: Sequence[int | None]
) -> Step | None:
    """A resize by whole factors, whatever was said of them."""
    mode = given["mode"] or "nearest"
    if mode not in _MODES or given["align_corners"] or given["antialias"] is not False:
        return None
    factors = []
    for was, now in zip(before[2:], after[2:], strict=True):
        if not was or not now or now % was:
            return None
        factors.append(now // was)
    kind, rounding = _MODES[mode]
    is_exact = mode == "nearest-exact"
    # PyTorch steps by the inverse in float32, which for a few factors, such as 25, falls short of a cell
    if mode == "nearest" and any(float(torch.tensor(1.0 / s)) * s < 1 for s in factors):
        return None
    return Resize(
        mode=kind,
        scale=tuple(map(float, factors)),
        coordinates="asymmetric" if kind == "nearest" and not is_exact else "half_pixel",
        rounding=rounding,
    )


def _moved(node: fx.Node, shapes: Mapping[str, tuple[int | None, ...]]) -> Step | None:
    """A rearrangement, or none."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    first = node.args[0] if node.args else None
    if (
        name not in _NAMES_OF_MOVES
        or node.kwargs
        or not isinstance(first, fx.Node)
        or value_of(first) is None
    ):
        return None
    rank = len(shapes[first.name])
    if name in ("view", "reshape"):
        return None if any(isinstance(each, torch.dtype) for each in node.args) else Reshape()
    if name == "contiguous":
        return Same()
    rest = node.args[1:]
    axes = rest[0] if len(rest) == 1 and isinstance(rest[0], list | tuple) else rest
    if not all(type(each) is int for each in axes):
        return None
    places = [int(str(each)) % rank for each in axes]
    if name == "permute":
        return Transpose(order=tuple(places))
    order = list(range(rank))
    order[places[0]], order[places[1]] = places[1], places[0]
    return Transpose(order=tuple(order))


_NAMES_OF_MOVES = ("view", "reshape", "permute", "transpose", "contiguous")
_MOVES: tuple[Callable[..., Tensor], ...] = (torch.reshape, torch.permute, torch.transpose)
