"""Turn the operators that PyTorch runs, one by one, into nodes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from weakref import ReferenceType, ref

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._ops import OpOverload
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from upstroke.graph.form import Node, Shape
from upstroke.graph.growth import grown, is_larger
from upstroke.graph.steps import Concatenation, Join, Other, Reshape, Same, Step, Transpose, Unread
from upstroke.graph.torch_interleaved import STACKS, Interleaved, Stacked, View, stacked_by, strides_of
from upstroke.graph.torch_names import Running, Unique
from upstroke.graph.torch_shadow import Positions
from upstroke.graph.torch_state import Originals, memory_of
from upstroke.graph.torch_steps import HOLDS_NO_VALUES, Call, grown_of, others_of, pad_of, step_of

__all__ = ["Origin", "Recorder", "Whole"]

_BY_COPIES = ("expand", "repeat")
# What one writes to through these is no map of its own.
_PARTS = ("as_strided", "select", "slice")
# What these give is no constant of the model: a generator starts from it.
_DRAWS = frozenset({"normal", "rand", "rand_like", "randn", "randn_like", "uniform"})
# These write the statistics of the batch without saying so in their schemas.
_NORMS = ("cudnn_batch_norm", "miopen_batch_norm", "native_batch_norm")
# These give statistics beside the map, for their backward pass alone.
_WITH_STATISTICS = frozenset({"native_group_norm", "native_layer_norm"})
_STATISTICS = ("running_mean", "running_var")
_APART = torch._C.DispatchKey.CompositeImplicitAutograd
# Of what could be a map of several samples along at least one axis: batch, channels, space.
_LEAST_AXES = 3
_OUTSIDE = "it was made outside of what is recorded, in another thread or in numpy, for instance"
_COMPLEX = "a transposed convolution of complex numbers is not read"
_TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
_WHOLE = frozenset((*_TRANSPOSED, F.pad))
# Of the types of arguments, those that hold no tensors.
_PLAIN = ("int", "float", "number", "bool", "str", "Device", "Generator", "Layout", "ScalarType")
# Looked at for every operator that runs.
_SEVERAL = (list, tuple)
_VIEWS = (Reshape, Transpose)
_OF_SEVERAL = (Join, Concatenation)


class Origin(NamedTuple):
    """Where in a model a node comes from: the path of the innermost module, and the operator's short name."""

    path: str
    name: str


class _Map(NamedTuple):
    """The name of a map that a tensor holds, and since when.

    The tensor is held weakly, so that a later one at the same place in memory is not taken for it.
    """

    name: str
    time: int
    tensor: ReferenceType[Tensor]


class _Made(NamedTuple):
    """A constant that an operator gave, held weakly, and whether anything from outside went into it."""

    tensor: ReferenceType[Tensor]
    from_outside: bool


class _Write(NamedTuple):
    """A map written to a part of some memory: through which view, and when."""

    map: _Map
    view: View


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator, composite ones taken apart, and keeps a node for each that takes a map.

    A tensor is a map if it is derived from the model's inputs, from noise that the model draws, or from a
    constant that it grows, as a generator does that starts from a learned one. Tensors are known by identity
    and let go when the model lets them go. When a model writes to a view, the other views of the same memory
    become maps too.

    Attributes:
        nodes: in the order in which they ran.
        inputs: names of the maps that came in, then of the noise and the constants that maps began with.
        shapes: of every map.
        origins: of every map that a node gives.
        widened: maps that are others with axes of length one widened, and whether by nothing but copies.
        stacked: maps that are others beside each other, or among zeros, along axes of their own.
        written: maps that others were written into in turns.
    """

    def __init__(self, running: Running, originals: Originals, positions: Positions | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes: list[Node] = []
        self.inputs: tuple[str, ...] = ()
        self.shapes: dict[str, Shape] = {}
        self.origins: dict[str, Origin] = {}
        self.widened: dict[str, bool] = {}
        self.stacked: dict[str, Stacked] = {}
        self.written: dict[str, Interleaved] = {}
        self._running = running
        self._originals = originals
        self._positions = positions
        self._unique = Unique()
        self._maps: dict[int, _Map] = {}
        self._made: dict[int, _Made] = {}
        self._writes: dict[int, tuple[StorageWeakRef, list[_Write]]] = {}
        self._spare: set[str] = set()
        self._parts: set[str] = set()
        self._views: dict[str, dict[str, View]] = {}
        self._own: set[str] = set()
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
        form = _form(func)
        if form.is_composite and torch.is_inference_mode_enabled():
            # there PyTorch asks before it takes an operator apart: its own parts, as outside of that mode,
            # and not those that a compiler would take
            with self:
                return func._op_dk(_APART, *args, **kwargs)
        name, targets = form.name, form.targets
        given = {**form.defaults, **dict(zip(form.names, args, strict=False)), **kwargs}
        if targets or form.is_norm:
            if form.is_norm and given.get("training"):
                targets = (*targets, *_STATISTICS)
            for target in targets:
                if isinstance(given.get(target), Tensor):
                    self._originals.before_writing(given[target])
        named = self._maps_among(form, given)
        from_outside = not named and any(map(self._is_from_outside, _tensors(given.values())))
        before = [tuple(tensor.shape) for tensor, _ in named]
        output = func(*args, **kwargs)
        start = None if named else grown_of(name, given, output)
        if start is not None and self._is_from_outside(start) and self._add_made_outside(start):
            named, before = self._maps_among(form, given), [tuple(start.shape)]
        elif start is not None:
            self._begin(start, "constant")
            named, before = self._maps_among(form, given), [tuple(start.shape)]
            # a constant again for whoever else takes it
            self._spare.add(self._maps.pop(id(start)).name)
        if named:
            self._keep(form, given, named, before, output)
            if self._positions is not None:
                self._positions.saw(func, args, kwargs, given, named, output)
                for result in _tensors([output]):
                    held = self._held(result)
                    if held is not None:
                        self._positions.read(held.name, result)
        for result in _tensors([output]):
            if self._held(result) is None:
                self._made[id(result)] = _Made(ref(result), from_outside)
        drawn = name in _DRAWS and isinstance(output, Tensor) and output.numel() > 1
        if drawn and not self._originals.keeps(output):
            self._begin(output, name)
        return output

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether PyTorch wraps every call of the above, so that compiled code does not compile it as well.

        Compiled parts run uncompiled while they are recorded, so nothing does; the wrapper takes time.
        """
        return False

    def take(self, tensor: Tensor, name: str) -> None:
        """Take a tensor as a map that comes in."""
        if self._held(tensor) is None:
            self.inputs += (self._named(tensor, name),)
            if self._positions is not None:
                self._positions.begin(self._maps[id(tensor)].name, tensor)

    def _maps_among(self, form: "_Form", given: Mapping[str, Any]) -> list[tuple[Tensor, str]]:
        """The arguments that are maps, each with its name."""
        found = []
        for key in form.tensors:
            value = given.get(key)
            if isinstance(value, Tensor):
                if (name := self.map_of(value)) is not None:
                    found.append((value, name))
            elif isinstance(value, _SEVERAL):
                found += [(each, name) for each in _tensors(value) if (name := self.map_of(each))]
        return found

    def _held(self, tensor: Tensor) -> _Map | None:
        """What this very tensor was last taken as."""
        held = self._maps.get(id(tensor))
        return held if held is not None and held.tensor() is tensor else None

    def _begin(self, tensor: Tensor, label: str) -> None:
        """Take a tensor that the model has of its own as a map, if it is none."""
        if self.map_of(tensor) is None:
            self.take(tensor, label)
            self._own.add(self._maps[id(tensor)].name)

    def map_of(self, tensor: Tensor) -> str | None:
        """The name of the map that a tensor holds; None if it is a constant."""
        held = self._held(tensor)
        written = self._writes.get(memory_of(tensor)) if self._writes else None
        if written is None or (held is not None and written[1][-1].map.time <= held.time):
            return held.name if held else None
        since = [write for write in written[1] if held is None or write.map.time > held.time]
        if since[-1].view == _view(tensor):
            return since[-1].map.name
        return self._written(tensor, held, since)

    def take_made_outside(self, outputs: Sequence[Tensor]) -> None:
        """Take outputs that nothing seen here made as maps that come from the inputs in an unknown way.

        Another thread has modes of its own, and values that pass through numpy come back as new tensors. Only
        where no output is a map: else these are constants, as positions are that are returned beside it.
        """
        outputs = [tensor for tensor in outputs if tensor.ndim >= _LEAST_AXES]
        if any(self.map_of(tensor) is not None for tensor in outputs):
            return
        for tensor in outputs:
            if self._is_from_outside(tensor):
                self._add_made_outside(tensor)

    def _is_from_outside(self, tensor: Tensor) -> bool:
        """Whether a constant is none of the model's and not made of those by what was seen."""
        made = self._made.get(id(tensor))
        if made is not None and made.tensor() is tensor:
            return made.from_outside
        return tensor.layout is torch.strided and not self._originals.keeps(tensor)

    def _add_made_outside(self, tensor: Tensor) -> bool:
        """Keep a map that was made in a way that cannot be seen, if a map came in that it may be made of."""
        given = (name for name in self.inputs if name not in self._own)
        maps = tuple(name for name in given if len(self.shapes[name]) >= _LEAST_AXES)
        if not maps or tensor.ndim < _LEAST_AXES:
            return False
        # whichever module runs when it is first seen has not made it
        name, step = self._named(tensor, "outside"), Unread(reason=_OUTSIDE)
        self.origins[name] = Origin("", "outside")
        self.nodes.append(Node(name=name, operator="not recorded", inputs=maps, output=name, step=step))
        if self._positions is not None:
            self._positions.lose(tensor, _OUTSIDE)
        return True

    def add_unread(self, operator: str, tensor: Tensor, reason: str, output: Tensor) -> None:
        """Keep an upsampler that cannot be read, in place of the calls that PyTorch makes of it."""
        name = self.map_of(tensor)
        if name is not None:
            self._add(f"aten.{operator}", (name,), Unread(reason=reason), output)
            if self._positions is not None:
                self._positions.lose(output, reason)
        else:
            self._made[id(output)] = _Made(ref(output), self._is_from_outside(tensor))

    def add_pad(self, tensor: Tensor, pad: Sequence[int], output: Tensor) -> None:
        """Keep a circular pad, which would be seen as a heap of copies."""
        name = self.map_of(tensor)
        if name is not None:
            step = pad_of(pad, tensor.ndim - 2, border="circular")
            label = self._add("aten._pad_circular", (name,), step, output)
            if self._positions is not None:
                self._positions.padded(tensor, pad, output)
                self._positions.read(label, output)
        else:
            self._made[id(output)] = _Made(ref(output), self._is_from_outside(tensor))

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """See nothing of what runs inside."""
        self._hidden = True
        try:
            yield
        finally:
            self._hidden = False

    def inputs_for(self, nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[str, ...]:
        """The maps that came in, and of the model's own those that something takes."""
        taken = {name for node in nodes for name in node.inputs} | set(outputs)
        return tuple(name for name in self.inputs if name in taken or name not in self._own)

    def nodes_for(self, outputs: Sequence[str]) -> tuple[Node, ...]:
        """The nodes, without those that nothing takes.

        These are places of a maximum, constants grown for nothing, parts of a map that are written to, and
        views, as a product of matrices makes before it finds that it needs none.
        """
        kept, taken, spare = [], set(outputs), self._spare | self._parts
        for node in reversed(self.nodes):
            is_spare = node.output in spare or isinstance(node.step, _VIEWS)
            if node.output in taken or not is_spare:
                kept.append(node)
                taken |= set(node.inputs)
        return tuple(reversed(kept))

    def _keep(
        self,
        form: "_Form",
        given: Mapping[str, Any],
        named: Sequence[tuple[Tensor, str]],
        before: Sequence[tuple[int, ...]],
        output: Any,  # noqa: ANN401 - whatever an operator gives
    ) -> None:
        """Add a node for each tensor that an operator gave; the first is what its step describes."""
        name = form.name
        values = (output[0],) if name in _WITH_STATISTICS else (output,)
        results = [tensor for tensor in _tensors(values) if tensor.numel()]
        if not results or name in HOLDS_NO_VALUES:
            return
        maps = {id(tensor): taken for tensor, taken in named}
        call = Call(name=name, given=given, maps=maps, before=before, output=results[0])
        step = step_of(call)
        taken = [taken for _, taken in named]
        if name == "copy" and isinstance(step, Same):
            taken = [maps[id(given["src"])]]
        elif len(taken) > 1 and not isinstance(step, _OF_SEVERAL):
            taken = list(dict.fromkeys(taken))
        shown = f"{form.namespace}.{_as_called(name, given)}"
        first = self._add(shown, taken, step, results[0])
        # a comparison makes a table of yes and no, as masks are
        after = self.shapes[first]
        if len(taken) == 1 and _widens(before[0], after) and results[0].dtype != torch.bool:
            self.widened[first] = name in _BY_COPIES
        if name in _PARTS:
            self._parts.add(first)
        stacked = stacked_by(name, given, maps, results[0]) if name in STACKS else None
        if stacked is not None:
            self.stacked[first] = stacked
        for place, other in enumerate(results[1:], start=1):
            self._spare.add(self._add(shown, taken, others_of(call, results, place), other))
        for target in form.targets:
            if any(given.get(target) is result for result in results):
                self._note_write(given[target])

    def _add(self, operator: str, taken: Iterable[str], step: Step, output: Tensor) -> str:
        layer, path = self._running.layer(step), self._running.path
        short = operator.rpartition(".")[2]
        label = path if layer and path else f"{path}.{short}" if path else short
        name, inputs = self._named(output, label), tuple(taken)
        self.origins[name] = Origin(path, short)
        self.nodes.append(Node(name=name, operator=layer or operator, inputs=inputs, output=name, step=step))
        if self._spare and self._spare.issuperset(inputs):
            self._spare.add(name)
        return name

    def _named(self, tensor: Tensor, label: str) -> str:
        name = self._unique(label)
        self._time += 1
        self._maps[id(tensor)] = _Map(name, self._time, ref(tensor))
        self.shapes[name] = tuple(tensor.shape)
        return name

    def _note_write(self, target: Tensor) -> None:
        place, write = memory_of(target), _Write(self._maps[id(target)], _view(target))
        if place in self._writes:
            self._writes[place][1].append(write)
            return
        # held weakly, so that no other memory gets the same place as long as this is known
        held = StorageWeakRef(target.untyped_storage())  # type: ignore[no-untyped-call]
        self._writes[place] = held, [write]

    def _written(self, tensor: Tensor, held: _Map | None, since: Sequence[_Write]) -> str:
        """Add a node for a tensor that maps were written into through views of it."""
        after = tuple(tensor.shape)
        views = {write.map.name: write.view for write in since}
        earlier = self._views.get(held.name) if held else None
        if held and earlier:  # in this one a part of the same was missing
            views, held = {**earlier, **views}, None
        parts = [*([held.name] if held else []), *views]
        shapes = [self.shapes[part] for part in parts]
        comparable = [tuple(size or 0 for size in shape) for shape in shapes if len(shape) == len(after)]
        step: Step = Other()
        larger = bool(comparable) and all(is_larger(shape, after) for shape in comparable)
        if larger:
            step = Unread(reason=grown("writing into parts of a larger map", comparable[0], after))
        name = self._add("aten.copy_", dict.fromkeys(parts), step, tensor)
        if larger and held is None:
            self._views[name] = views
            self._parts.add(name)
            with self.hidden():
                turns = strides_of(tensor, views)
            if turns is not None:
                self.written[name] = turns
        return name


class Whole(TorchFunctionMode):
    """Sees circular pads, and transposed convolutions of complex numbers, before PyTorch takes them apart."""

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
        """Run a function, and tell the recorder if it was one of these."""
        kwargs = kwargs or {}
        if func not in _WHOLE:
            return func(*args, **kwargs)
        if func in _TRANSPOSED:
            taken = args[0] if args else kwargs["input"]
            if not taken.is_complex():
                return func(*args, **kwargs)
            with self._recorder.hidden():
                output = func(*args, **kwargs)
            self._recorder.add_unread(func.__name__, taken, _COMPLEX, output)
            return output
        given = {"mode": "constant", **dict(zip(("input", "pad", "mode"), args, strict=False)), **kwargs}
        if given["mode"] != "circular":
            return func(*args, **kwargs)
        with self._recorder.hidden():
            output = func(*args, **kwargs)
        self._recorder.add_pad(given["input"], given["pad"], output)
        return output


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What is known of an operator before it is called.

    Attributes:
        namespace, name: the name without the underscore of an operator that works in place.
        names: of its arguments.
        defaults: of those that have one.
        tensors: names of those that may be tensors, or lists of them.
        targets: names of the arguments that it writes to.
        is_norm: whether it writes statistics too, in training.
        is_composite: whether PyTorch makes it of other operators.
    """

    namespace: str
    name: str
    names: tuple[str, ...]
    defaults: dict[str, Any]
    tensors: tuple[str, ...]
    targets: tuple[str, ...]
    is_norm: bool
    is_composite: bool


@cache
def _form(func: OpOverload) -> _Form:
    arguments = func._schema.arguments
    name = _short_name(func._schema.name)
    return _Form(
        namespace=func._schema.name.partition("::")[0],
        name=name,
        names=tuple(argument.name for argument in arguments),
        defaults={
            argument.name: argument.default_value for argument in arguments if argument.has_default_value()
        },
        tensors=tuple(argument.name for argument in arguments if _may_be_tensor(argument.type)),
        targets=tuple(
            argument.name for argument in arguments if argument.alias_info and argument.alias_info.is_write
        ),
        is_norm=name in _NORMS,
        is_composite=torch._C._dispatch_has_kernel_for_dispatch_key(
            func.name(),  # type: ignore[no-untyped-call]
            "CompositeImplicitAutograd",
        ),
    )


def _may_be_tensor(kind: object) -> bool:
    """Whether an argument of this type of PyTorch's may be a tensor, or hold some."""
    return not any(word in str(kind) for word in _PLAIN) or "Tensor" in str(kind)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, _SEVERAL):
            yield from _tensors(value)


def _as_called(name: str, given: Mapping[str, Any]) -> str:
    """The name by which people call a convolution."""
    if name not in ("convolution", "_convolution"):
        return name
    return f"{'conv_transpose' if given['transposed'] else 'conv'}{given['weight'].ndim - 2}d"


def _short_name(full_name: str) -> str:
    """An operator without namespace and without the underscore of one that works in place."""
    name = full_name.partition("::")[2]
    return name if name.endswith("__") else name.removesuffix("_")


def _widens(before: Shape, after: Shape) -> bool:
    """Whether only axes of length one changed."""
    if len(before) != len(after) or before == after:
        return False
    return all(was in (1, now) for was, now in zip(before, after, strict=True))


def _view(tensor: Tensor) -> View:
    return tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()), tensor.dtype
