"""Turn the operators that PyTorch runs, one by one, into nodes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch._ops import OpOverload
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from upstroke.graph.form import Node, Shape
from upstroke.graph.steps import Join, Other, Same, Step, Unread
from upstroke.graph.torch_names import Running, Unique
from upstroke.graph.torch_state import Originals, memory_of
from upstroke.graph.torch_steps import HOLDS_NO_VALUES, Call, grown, is_larger, pad_of, step_of

__all__ = ["CircularPads", "Origin", "Recorder"]

_BY_COPIES = ("expand", "repeat")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where in a model a node comes from: the path of the innermost module, and the operator's short name."""

    path: str
    name: str


@dataclass(frozen=True, kw_only=True)
class _Map:
    """The name of a map that a tensor holds, and since when."""

    name: str
    time: int


@dataclass(frozen=True, kw_only=True)
class _Write:
    """A map written to a part of some memory: through which view, and when."""

    map: _Map
    view: tuple[object, ...]


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator, composite ones taken apart, and keeps a node for each that takes a map.

    A tensor is a map if it is derived from the model's inputs. Tensors are known by identity and let go when
    the model lets them go. When a model writes to a view, the other views of the same memory become maps too.

    Attributes:
        nodes: in the order in which they ran.
        inputs: names of the maps that came in.
        shapes: of every map.
        origins: of every map that a node gives.
        widened: maps that are others with axes of length one widened, and whether by nothing but copies.
    """

    def __init__(self, running: Running, originals: Originals) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes: list[Node] = []
        self.inputs: tuple[str, ...] = ()
        self.shapes: dict[str, Shape] = {}
        self.origins: dict[str, Origin] = {}
        self.widened: dict[str, bool] = {}
        self._running = running
        self._originals = originals
        self._unique = Unique()
        self._maps: MutableMapping[Tensor, _Map] = WeakTensorKeyDictionary()
        self._writes: dict[int, tuple[StorageWeakRef, list[_Write]]] = {}
        self._spare: set[str] = set()
        self._time = 0
        self._hidden = False

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever an operator gives
        """Run an operator and keep what it did."""
        kwargs = kwargs or {}
        if self._hidden or not hasattr(func, "_schema"):
            return func(*args, **kwargs)
        names, defaults, targets = _arguments(func)
        given = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
        for target in targets:
            if isinstance(given.get(target), Tensor):
                self._originals.before_writing(given[target])
        named = [(tensor, name) for tensor in _tensors(given.values()) if (name := self.map_of(tensor))]
        before = [tuple(tensor.shape) for tensor, _ in named]
        output = func(*args, **kwargs)
        if named:
            written = [given[target] for target in targets if isinstance(given.get(target), Tensor)]
            self._keep(func._schema.name, given, named, before, output, written)
        return output

    def take(self, tensor: Tensor, name: str) -> None:
        """Take a tensor as a map that comes in."""
        if tensor not in self._maps:
            self.inputs += (self._named(tensor, name),)

    def map_of(self, tensor: Tensor) -> str | None:
        """The name of the map that a tensor holds; None if it is a constant."""
        held = self._maps.get(tensor)
        if not self._writes:
            return held.name if held else None
        _, writes = self._writes.get(memory_of(tensor), (None, []))
        since = [write for write in writes if held is None or write.map.time > held.time]
        if not since:
            return held.name if held else None
        if since[-1].view == _view(tensor):
            return since[-1].map.name
        return self._written(tensor, [*([held.name] if held else []), *(write.map.name for write in since)])

    def add_pad(self, tensor: Tensor, pad: Sequence[int], output: Tensor) -> None:
        """Keep a circular pad, which would be seen as a heap of copies."""
        name = self.map_of(tensor)
        if name is not None:
            step = pad_of(pad, tensor.ndim - 2, border="circular")
            self._add("aten._pad_circular", (name,), step, output)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """See nothing of what runs inside."""
        self._hidden = True
        try:
            yield
        finally:
            self._hidden = False

    def nodes_for(self, outputs: Sequence[str]) -> tuple[Node, ...]:
        """The nodes, without second results that nothing takes, such as the places of a maximum."""
        kept, taken = [], set(outputs)
        for node in reversed(self.nodes):
            if node.output in taken or node.output not in self._spare:
                kept.append(node)
                taken |= set(node.inputs)
        return tuple(reversed(kept))

    def _keep(
        self,
        full_name: str,
        given: Mapping[str, Any],
        named: Sequence[tuple[Tensor, str]],
        before: Sequence[tuple[int, ...]],
        output: Any,  # noqa: ANN401 - whatever an operator gives
        targets: Sequence[Tensor],
    ) -> None:
        """Add a node for each tensor that an operator gave; the first is what its step describes."""
        results = [tensor for tensor in _tensors([output]) if tensor.numel()]
        namespace, _, name = full_name.partition("::")
        name = name if name.endswith("__") else name.removesuffix("_")
        if not results or name in HOLDS_NO_VALUES:
            return
        maps = {id(tensor): taken for tensor, taken in named}
        step = step_of(Call(name=name, given=given, maps=maps, before=before, output=results[0]))
        if isinstance(step, Same) and name == "copy":
            taken = [maps[id(given["src"])]]
        else:
            every = [taken for _, taken in named]
            taken = every if isinstance(step, Join) else list(dict.fromkeys(every))
        shown = f"{namespace}.{_as_called(name, given)}"
        first = self._add(shown, taken, step, results[0])
        if name == "stack" or (len(taken) == 1 and _widens(before[0], results[0].shape)):
            self.widened[first] = name in _BY_COPIES
        self._spare |= {self._add(shown, taken, Other(), other) for other in results[1:]}
        for target in targets:
            if any(target is result for result in results):
                self._note_write(target)

    def _add(self, operator: str, taken: Iterable[str], step: Step, output: Tensor) -> str:
        layer = self._running.layer(step)
        path, short = self._running.path, operator.rpartition(".")[2]
        label = path if layer and path else f"{path}.{short}".lstrip(".")
        name = self._named(output, label)
        node = Node(name=name, operator=layer or operator, inputs=tuple(taken), output=name, step=step)
        self.origins[name] = Origin(path=path, name=short)
        self.nodes.append(node)
        if self._spare.issuperset(node.inputs):
            self._spare.add(name)
        return name

    def _named(self, tensor: Tensor, label: str) -> str:
        name = self._unique(label)
        self._time += 1
        self._maps[tensor] = _Map(name=name, time=self._time)
        self.shapes[name] = tuple(tensor.shape)
        return name

    def _note_write(self, target: Tensor) -> None:
        # held weakly, so that no other memory gets the same place as long as this is known
        held = StorageWeakRef(target.untyped_storage())  # type: ignore[no-untyped-call]
        _, writes = self._writes.setdefault(memory_of(target), (held, []))
        writes.append(_Write(map=self._maps[target], view=_view(target)))

    def _written(self, tensor: Tensor, parts: Sequence[str]) -> str:
        """Add a node for a tensor that maps were written into through views of it."""
        after = tuple(tensor.shape)
        shapes = [self.shapes[part] for part in parts]
        comparable = [tuple(size or 0 for size in shape) for shape in shapes if len(shape) == len(after)]
        step: Step = Other()
        if comparable and all(is_larger(shape, after) for shape in comparable):
            step = Unread(reason=grown("writing into parts of a larger map", comparable[0], after))
        return self._add("aten.copy_", dict.fromkeys(parts), step, tensor)


class CircularPads(TorchFunctionMode):
    """Sees a circular pad before PyTorch takes it apart into copies."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever a function gives
        """Run a function, and tell the recorder if it was a circular pad."""
        kwargs = kwargs or {}
        if func is not F.pad:
            return func(*args, **kwargs)
        given = {"mode": "constant", **dict(zip(("input", "pad", "mode"), args, strict=False)), **kwargs}
        if given["mode"] != "circular":
            return func(*args, **kwargs)
        with self._recorder.hidden():
            output = func(*args, **kwargs)
        self._recorder.add_pad(given["input"], given["pad"], output)
        return output


@cache
def _arguments(func: OpOverload) -> tuple[tuple[str, ...], dict[str, Any], tuple[str, ...]]:
    """Names of an operator's arguments, the defaults they have, and which of them it writes to."""
    arguments = func._schema.arguments
    return (
        tuple(argument.name for argument in arguments),
        {argument.name: argument.default_value for argument in arguments if argument.has_default_value()},
        tuple(
            argument.name for argument in arguments if argument.alias_info and argument.alias_info.is_write
        ),
    )


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _as_called(name: str, given: Mapping[str, Any]) -> str:
    """The name by which people call a convolution."""
    if name not in ("convolution", "_convolution"):
        return name
    return f"{'conv_transpose' if given['transposed'] else 'conv'}{given['weight'].ndim - 2}d"


def _widens(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether only axes of length one changed."""
    if len(before) != len(after) or tuple(before) == tuple(after):
        return False
    return all(was in (1, now) for was, now in zip(before, after, strict=True))


def _view(tensor: Tensor) -> tuple[object, ...]:
    return tuple(tensor.shape), tensor.stride(), tensor.storage_offset(), tensor.dtype
