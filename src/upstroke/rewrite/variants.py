"""Turn inputs that a model takes into others of several sizes, on which two models can be compared."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from upstroke.graph import Graph
from upstroke.graph.onnx_shapes import inputs_of
from upstroke.graph.sizes import coarseness, sized_inputs

if TYPE_CHECKING:
    import onnx

__all__ = ["OpenAxis", "Variant", "open_axes_of_module", "open_axes_of_onnx", "variants"]

Kind = Literal["batch", "space", "alone"]
# Windows of most layers fit into so many samples; a coarser grid needs one whole step of its own.
SMALL = 4


@dataclass(frozen=True, kw_only=True)
class OpenAxis:
    """An axis of an input whose length may vary.

    Attributes:
        leaf: which of the tensors among the inputs, counted from 0, those given by name last.
        axis: which of its axes.
        name: axes of the same name vary together, in the proportion that they have.
        kind: "batch", "space", or "alone" for one not known to be either, which is varied by itself.
        step: samples from one sample of the model's coarsest map to the next.
    """

    leaf: int
    axis: int
    name: str
    kind: Kind
    step: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Variant:
    """Inputs of one size.

    Attributes:
        words: what was done to the inputs that were given, in a few words.
        inputs: arguments, in order.
        keywords: arguments, by name.
    """

    words: str
    inputs: tuple[Any, ...]
    keywords: Mapping[str, Any]

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the tensors among the inputs, in order."""
        return tuple(tuple(leaf.shape) for leaf in _tensors(self.inputs, self.keywords))

    def to(self, dtype: torch.dtype) -> "Variant":
        """The same with every floating tensor in another type."""

        def other(leaf: object) -> object:
            return leaf.to(dtype) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf

        inputs, keywords = pytree.tree_map(other, (self.inputs, dict(self.keywords)))
        return Variant(words=self.words, inputs=inputs, keywords=keywords)


def variants(
    inputs: Sequence[Any],
    keywords: Mapping[str, Any] | None = None,
    *,
    open_axes: Iterable[OpenAxis] = (),
    seed: int = 0,
) -> tuple[Variant, ...]:
    """The given inputs, random ones of the same size, and others of more sizes, those that tell most first.

    All spatial axes at once: the fewest samples that are sensible, each axis longer by another number, one
    more, one less, about half as many more; then a batch of one more; then each axis that varies by itself.
    Floating tensors are drawn from the numbers that were given, so that they stay in their range, or from the
    normal distribution where these are all the same. Tensors of other types keep their values, repeated or
    cut where their axes vary; what is no tensor stays as it is.

    >>> axes = [OpenAxis(leaf=0, axis=i, name=f"space {i}", kind="space", step=2) for i in (2, 3)]
    >>> for variant in variants([torch.rand(1, 3, 8, 12)], open_axes=axes):
    ...     print(variant.words, variant.sizes[0][2:])
    as given (8, 12)
    random (8, 12)
    small (4, 4)
    longer (10, 16)
    one more (9, 13)
    one less (7, 11)
    half as many more (12, 18)
    """
    given = Variant(words="as given", inputs=tuple(inputs), keywords=dict(keywords or {}))
    generator = torch.Generator().manual_seed(seed)
    axes = tuple(open_axes)
    lengths = _lengths(given, axes)
    made = [given]
    seen = set()
    for words, wanted in chain([("random", {})], _wanted(lengths, axes)):
        shapes = _shapes(given, axes, lengths, wanted)
        if shapes is not None and shapes not in seen:
            made.append(_of_shapes(given, shapes, words, generator))
            seen.add(shapes)
    return tuple(made)


def open_axes_of_module(
    graph: Graph, inputs: Sequence[Any], keywords: Mapping[str, Any] | None = None
) -> tuple[OpenAxis, ...]:
    """The axes of a module's inputs that may vary, by what was recorded of it on these inputs.

    Spatial axes are those of the first input that is a map; what ends in the same size varies with it,
    and other maps in proportion. Where no input is a map, each axis behind the first is tried by itself.

    >>> from torch import nn
    >>> from upstroke.graph.torch import record
    >>> inputs = [torch.rand(1, 2, 16)]
    >>> for axis in open_axes_of_module(record(nn.Conv1d(2, 4, 4, stride=4), inputs), inputs):
    ...     print(axis.axis, axis.kind, axis.step)
    0 batch 1
    2 space 4
    """
    tensors = _tensors(inputs, keywords or {})
    # one that is given twice is one map
    by_name = dict(zip(graph.inputs, {id(tensor): tensor for tensor in tensors}.values(), strict=False))
    maps = [name for name in sized_inputs(graph) if name in by_name]
    whole = by_name[maps[0]] if maps else next(iter(tensors), None)
    if whole is None or whole.ndim == 0:
        return ()
    space = len(whole.shape) - 2 if maps else 0
    steps = coarseness(graph, maps[0]) if maps else ()
    ends = {tuple(by_name[name].shape[2:]) for name in maps}
    ids = {id(by_name[name]) for name in maps}
    found: list[OpenAxis] = []
    for leaf, tensor in enumerate(tensors):
        if tensor.ndim and tensor.shape[0] == whole.shape[0]:
            found.append(OpenAxis(leaf=leaf, axis=0, name="batch", kind="batch"))
        is_map = id(tensor) in ids and tensor.ndim == space + 2
        if space and (is_map or (tensor.ndim > space and tuple(tensor.shape[tensor.ndim - space :]) in ends)):
            found += [
                OpenAxis(leaf=leaf, axis=tensor.ndim - space + i, name=f"space {i}", kind="space", step=step)
                for i, step in enumerate(steps)
                if whole.shape[2 + i] > 1
            ]
        elif not maps and tensor is whole:
            names = ((axis, f"axis {axis}") for axis in range(1, tensor.ndim))
            found += [OpenAxis(leaf=leaf, axis=axis, name=name, kind="alone") for axis, name in names]
    return tuple(found)


def open_axes_of_onnx(model: "onnx.ModelProto", graph: Graph) -> tuple[OpenAxis, ...]:
    """The axes of a model's inputs that the file leaves open; those it gives one name vary together.

    >>> from onnx import parser
    >>> from upstroke.graph.onnx import read_onnx
    >>> model = parser.parse_model('''<ir_version: 8, opset_import: ["" : 18]>
    ... net (float[N, 1, 8, W] x) => (float[N, 1, 4, V] y)
    ... { y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x) }''')
    >>> for axis in open_axes_of_onnx(model, read_onnx(model)):
    ...     print(axis.axis, axis.name, axis.kind, axis.step)
    0 N batch 1
    3 W space 2
    """
    maps = [name for name in sized_inputs(graph) if name in graph.shapes]
    found: list[OpenAxis] = []
    for leaf, entry in enumerate(inputs_of(model.graph)):
        is_map = entry.name in maps
        steps = coarseness(graph, entry.name) if is_map else ()
        for axis, dim in enumerate(entry.type.tensor_type.shape.dim):
            if dim.dim_value > 0 or (is_map and axis == 1):
                continue
            kind: Kind = "batch" if axis == 0 else "space" if is_map else "alone"
            name = dim.dim_param or (f"space {axis - 2}" if is_map and axis else f"{entry.name}.{axis}")
            name = "batch" if kind == "batch" and not dim.dim_param else name
            step = steps[axis - 2] if kind == "space" else 1
            found.append(OpenAxis(leaf=leaf, axis=axis, name=name, kind=kind, step=step))
    return tuple(_alike(found))


def _alike(axes: Sequence[OpenAxis]) -> Iterator[OpenAxis]:
    """The axes, those of one name of one kind: what shares its name with an axis of space is one."""
    rank = {"space": 2, "batch": 1, "alone": 0}
    best: dict[str, OpenAxis] = {}
    for each in axes:
        if each.name not in best or rank[each.kind] > rank[best[each.name].kind]:
            best[each.name] = each
    for each in axes:
        of = best[each.name]
        yield OpenAxis(leaf=each.leaf, axis=each.axis, name=each.name, kind=of.kind, step=of.step)


def _lengths(given: Variant, axes: Sequence[OpenAxis]) -> dict[str, int]:
    """The length that each name has now: that of the first axis of the name."""
    sizes = given.sizes
    return {each.name: sizes[each.leaf][each.axis] for each in reversed(axes)}


def _wanted(lengths: Mapping[str, int], axes: Sequence[OpenAxis]) -> Iterator[tuple[str, dict[str, int]]]:
    """What each name's length is to be, under words for it."""
    of_kind = {kind: {each.name: each for each in axes if each.kind == kind} for kind in ("space", "batch")}
    space = {name: (lengths[name], axis.step) for name, axis in of_kind["space"].items()}
    if space:
        yield "small", {name: min(n, step * -(-SMALL // step)) for name, (n, step) in space.items()}
        yield "longer", {name: n + (i + 1) * step for i, (name, (n, step)) in enumerate(space.items())}
        yield "one more", {name: n + 1 for name, (n, _) in space.items()}
        yield "one less", {name: n - 1 for name, (n, _) in space.items()}
        yield (
            "half as many more",
            {name: n + step * max(1, round(n / (2 * step))) for name, (n, step) in space.items()},
        )
    if of_kind["batch"]:
        yield "a batch of one more", {name: lengths[name] + 1 for name in of_kind["batch"]}
    for each in axes:
        if each.kind == "alone":
            yield f"one more on {each.name}", {each.name: lengths[each.name] + 1}


def _shapes(
    given: Variant, axes: Sequence[OpenAxis], lengths: Mapping[str, int], wanted: Mapping[str, int]
) -> tuple[tuple[int, ...], ...] | None:
    """The shape of every tensor at the lengths wanted; None where a proportion does not come out whole."""
    shapes = [list(size) for size in given.sizes]
    for each in axes:
        n, m, has = lengths[each.name], wanted.get(each.name), shapes[each.leaf][each.axis]
        if m is None or m == n or (has == 1 and n != 1):
            continue
        length, rest = divmod(has * m, n) if n else (m, 0)
        if rest or length < 1:
            return None
        shapes[each.leaf][each.axis] = length
    return tuple(map(tuple, shapes))


def _of_shapes(
    given: Variant, shapes: Sequence[tuple[int, ...]], words: str, generator: torch.Generator
) -> Variant:
    leaves, form = pytree.tree_flatten((given.inputs, dict(given.keywords)))
    left = iter(shapes)
    filled = [_drawn(leaf, next(left), generator) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    inputs, keywords = pytree.tree_unflatten(filled, form)
    return Variant(words=words, inputs=inputs, keywords=keywords)


def _drawn(tensor: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random numbers in place of floating ones; others as they are, repeated or cut."""
    if not tensor.is_floating_point():
        for axis, (n, m) in enumerate(zip(tensor.shape, shape, strict=True)):
            if n != m:
                tensor = tensor.index_select(axis, torch.arange(m, device=tensor.device) % n)
        return tensor
    values = tensor.detach().flatten().cpu()
    if values.numel() and bool((values != values[0]).any()):
        place = torch.randint(values.numel(), shape, generator=generator)
        return values[place].to(tensor.device)
    return torch.randn(shape, generator=generator).to(tensor)


def _tensors(inputs: Sequence[Any], keywords: Mapping[str, Any]) -> list[Tensor]:
    leaves = pytree.tree_leaves((tuple(inputs), dict(keywords)))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]
