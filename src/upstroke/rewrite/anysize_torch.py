"""Turn a PyTorch module into one that takes inputs of any size."""

import copy
import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from upstroke.audit.sizes import sizes_that_break
from upstroke.audit.subjects import ModelReading
from upstroke.errors import OptionError, ShapeError
from upstroke.graph import Graph, sites
from upstroke.graph.sizes import Sizes
from upstroke.graph.torch import record
from upstroke.graph.torch_sizes import SizedCall, sized_call, torch_sizes
from upstroke.rewrite.anysize import CannotPadError, Padding, padding_for

__all__ = ["AnySize", "AnySizeModule", "any_size_module"]

# The name of an argument of forward, and where in it a tensor stands.
Path = tuple[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class AnySizeModule:
    """What became of a module whose sizes break.

    Attributes:
        model: the module in an `AnySize`; None where it is left as it is.
        words: what it does, or why it is left, in a sentence without a full stop.
        before, after: the sizes that the module takes, and the `AnySize`; None where that was not tried.
    """

    model: "AnySize | None"
    words: str
    before: Sizes
    after: Sizes | None = None


def any_size_module(
    module: nn.Module,
    inputs: Sequence[Any],
    graph: Graph,
    *,
    kwargs: Mapping[str, Any] | None = None,
    sizes: Sizes | None = None,
    capture: float = 0.0,
) -> AnySizeModule:
    """Find out which sizes a module takes, and make it take all others too.

    Args:
        module: the model; the result holds it, and no copy of it.
        inputs: what it is called with.
        graph: what was recorded of it on these inputs.
        kwargs: further arguments, by name.
        sizes: what `torch_sizes` found, where that is known already.
        capture: seconds that recording it took, which says how sizes are tried.

    >>> net = nn.Sequential(nn.Conv1d(2, 4, 2, stride=2), nn.ConvTranspose1d(4, 2, 2, stride=2))
    >>> x = torch.rand(1, 2, 16)
    >>> made = any_size_module(net, [x], record(net, [x]))
    >>> net(x[..., :15]).shape, made.model(x[..., :15]).shape
    (torch.Size([1, 2, 14]), torch.Size([1, 2, 15]))
    """
    before = sizes or torch_sizes(module, inputs, graph, kwargs=kwargs, capture=capture)
    call = sized_call(module, inputs, graph, kwargs=kwargs)
    if isinstance(call, Sizes):
        return AnySizeModule(model=None, words=call.reason, before=before)
    try:
        paths = _paths(call)
        with call.ready():
            padding = padding_for(before, call.tried(before.how), shares=_shares(paths, len(call.start)))
    except CannotPadError as error:
        return AnySizeModule(model=None, words=str(error), before=before)
    leading = next(path for path, tensor in _leaves(call) if tensor is call.leading)
    model = AnySize(module, padding, leading=leading, parts=paths)
    model.train(module.training)
    again = record(model, inputs, kwargs=kwargs)
    after = torch_sizes(model, inputs, again, kwargs=kwargs, capture=capture)
    verdict = sizes_that_break(ModelReading(graph=again, sites=sites(again), sizes=after))
    if verdict.kind == "finding":
        words = f"padding to {padding} does not make every size right: {verdict.words}"
        return AnySizeModule(model=None, words=words, before=before, after=after)
    words = f"inputs are padded to {padding} and outputs cut to what their true size promises"
    return AnySizeModule(model=model, words=words, before=before, after=after)


class AnySize(nn.Module):
    """A model that takes inputs of any size.

    Inputs are continued at the far end of every axis by their edge values, up to the next size that the model
    takes, and the maps that come out are cut to what the true size promises. No position moves, and at sizes
    that the model takes it is called as it is, so that the result is the same bit for bit. Inputs that have
    the size of the leading one, or a fixed part of it, are padded along with it, wherever they stand among
    the arguments; outputs may be in any structure of containers, mappings and objects.

    The model is the attribute `model`, so names in the state dict begin with "model.".

    Args:
        model: the model.
        padding: what to pad and cut.
        leading: the argument whose size counts: a name of forward's, and where in it, as pytree says.
        parts: which arguments are maps, and how long each is per sample of the leading one.

    >>> from upstroke.rewrite.anysize import AxisSizes, Padding
    >>> even = Padding(axes=(AxisSizes(period=2),) * 2, cuts=(), outputs=1)
    >>> AnySize(nn.Identity(), even, leading=("input", ""))
    AnySize(
      sizes: multiples of 2
      (model): Identity()
    )
    """

    def __init__(
        self,
        model: nn.Module,
        padding: Padding,
        *,
        leading: Path,
        parts: Mapping[Path, tuple[Fraction | None, ...]] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.padding, self.leading = model, padding, leading
        self.parts = dict(parts or {})

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the model takes and gives
        """What the model makes of the arguments, at their true size.

        Raises:
            OptionError: the leading argument is missing, or the model gives another number of tensors than
                when its sizes were found.
            ShapeError: of an input so small nothing would be left.
        """
        size = self._size(args, kwargs)
        right = self.padding.right(size)
        if right == size:
            return self.model(*args, **kwargs)

        def padded(path: Path, leaf: object) -> object:
            if not isinstance(leaf, Tensor):
                return leaf
            return _continued(leaf, self._lengths(path, leaf, size, right))

        args, kwargs = _mapped_arguments(padded, args, kwargs, names=_names(self.model))
        return self._cut(self.model(*args, **kwargs), size)

    def extra_repr(self) -> str:
        """The sizes that the model takes."""
        return f"sizes: {self.padding}"

    def _size(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
        found: list[Tensor] = []

        def look(path: Path, leaf: object) -> object:
            if path == self.leading and isinstance(leaf, Tensor):
                found.append(leaf)
            return leaf

        _mapped_arguments(look, args, kwargs, names=_names(self.model))
        axes = len(self.padding.axes)
        if not found or found[0].ndim < axes:
            msg = (
                f"a model of any size must be called with a tensor of {axes} axes of space as "
                f"{''.join(self.leading)}, whose size it goes by; got none; give it"
            )
            raise OptionError(msg)
        return tuple(found[0].shape[found[0].ndim - axes :])

    def _lengths(self, path: Path, leaf: Tensor, size: Sequence[int], right: Sequence[int]) -> dict[int, int]:
        """What an argument's last axes have to become; nothing for one that is no map."""
        axes = len(size)
        own = tuple(leaf.shape[max(0, leaf.ndim - axes) :])
        shares = self.parts.get(path)
        if shares is None:
            # not among the arguments that were seen: one like the leading one goes along with it
            return (
                dict(zip(range(-axes, 0), right, strict=True))
                if own == tuple(size) and leaf.ndim > axes
                else {}
            )
        lengths = {}
        for dim, share, has, n, m in zip(range(-axes, 0), shares, own, size, right, strict=True):
            if share is not None and math.floor(share * n) <= has <= math.ceil(share * n):
                lengths[dim] = int(share * m)
        return lengths

    def _cut(self, output: Any, size: Sequence[int]) -> Any:  # noqa: ANN401 - any structure
        place = -1

        def cut(tensor: Tensor) -> Tensor:
            nonlocal place
            place += 1
            for each in self.padding.cuts:
                due = each.due(size[each.axis])
                if each.output != place or tensor.shape[each.dim] <= due:
                    continue
                if due < 1:
                    msg = (
                        f"the input must be so large that something is left of output {place}; got "
                        f"{'x'.join(map(str, size))}, of which {due} samples would be; give a larger one"
                    )
                    raise ShapeError(msg)
                tensor = tensor.narrow(each.dim, 0, due)
            return tensor

        result = _mapped_output(cut, output)
        if place + 1 != self.padding.outputs:
            msg = (
                f"the model must give {self.padding.outputs} tensors, as it did when its sizes were found; "
                f"got {place + 1}; find its sizes on such a call"
            )
            raise OptionError(msg)
        return result


def _paths(call: SizedCall) -> dict[Path, tuple[Fraction | None, ...]]:
    """Where the maps among the arguments stand, and how long each is per sample of the leading one."""
    found: dict[Path, tuple[Fraction | None, ...]] = {}
    for path, tensor in _leaves(call):
        varied = call.varied.get(id(tensor))
        if varied is not None:
            own = tuple(tensor.shape[tensor.ndim - varied.axes :])
            found[path] = tuple(
                None if has == 1 and n != 1 else Fraction(has, n)
                for has, n in zip(own, call.start, strict=True)
            )
    return found


def _shares(paths: Mapping[Path, tuple[Fraction | None, ...]], axes: int) -> list[list[int]]:
    """Per axis, what must divide a size so that every input has a whole length."""
    return [
        [share.denominator for shares in paths.values() if (share := shares[axis]) is not None]
        for axis in range(axes)
    ]


def _leaves(call: SizedCall) -> list[tuple[Path, Tensor]]:
    found: list[tuple[Path, Tensor]] = []

    def look(path: Path, leaf: object) -> object:
        if isinstance(leaf, Tensor):
            found.append((path, leaf))
        return leaf

    _mapped_arguments(look, tuple(call.inputs), call.kwargs, names=_names(call.module))
    return found


def _names(module: nn.Module) -> tuple[str, ...]:
    """Of the arguments that forward takes by place."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return ()
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(each.name for each in parameters if each.kind in by_place)


def _mapped_arguments(
    change: Callable[[Path, object], object],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    names: Sequence[str],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with every leaf changed, which is known by its argument's name however that is given."""

    def each(name: str, value: object) -> object:
        return pytree.tree_map_with_path(lambda path, leaf: change((name, pytree.keystr(path)), leaf), value)

    placed = tuple(
        each(names[place] if place < len(names) else f"argument {place}", value)
        for place, value in enumerate(args)
    )
    return placed, {name: each(name, value) for name, value in kwargs.items()}


def _mapped_output(change: Callable[[Tensor], Tensor], value: Any, *, depth: int = 4) -> Any:  # noqa: ANN401
    """A structure with every tensor changed, in the order in which `tensors_in` finds them."""

    def one(leaf: Any) -> Any:  # noqa: ANN401 - whatever stands in a structure
        if isinstance(leaf, Tensor):
            return change(leaf)
        if depth and isinstance(leaf, Mapping):
            changed = {key: _mapped_output(change, each, depth=depth - 1) for key, each in leaf.items()}
            made = copy.copy(leaf)
            made.update(changed)  # type: ignore[attr-defined]
            return made
        if depth and hasattr(leaf, "__dict__") and not isinstance(leaf, type | nn.Module):
            changed = {key: _mapped_output(change, each, depth=depth - 1) for key, each in vars(leaf).items()}
            if dataclasses.is_dataclass(leaf):
                own = {field.name for field in dataclasses.fields(leaf) if field.init}
                return dataclasses.replace(leaf, **{key: changed[key] for key in own & changed.keys()})  # type: ignore[type-var]
            made = copy.copy(leaf)
            vars(made).update(changed)
            return made
        return leaf

    return pytree.tree_map(one, value)


def _continued(tensor: Tensor, lengths: Mapping[int, int]) -> Tensor:
    """A tensor continued at the far end of axes by its edge values."""
    more = {dim: n - tensor.shape[dim] for dim, n in lengths.items() if n > tensor.shape[dim]}
    axes = len(lengths)
    if not more:
        return tensor
    if tensor.is_floating_point() and 1 <= axes <= 3 and tensor.ndim in (axes + 1, axes + 2):
        pads = [side for dim in range(-1, -axes - 1, -1) for side in (0, more.get(dim, 0))]
        return nn.functional.pad(tensor, pads, mode="replicate")
    for dim in more:
        last = tensor.shape[dim] - 1
        places = torch.arange(lengths[dim], device=tensor.device).clamp(max=last)
        tensor = tensor.index_select(dim, places)
    return tensor
