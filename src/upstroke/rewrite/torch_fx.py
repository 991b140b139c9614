"""Turn a torch.fx.GraphModule and changes into one in which new parts stand in the place of old nodes."""

import inspect
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch.utils import _pytree as pytree

from upstroke.graph import Graph
from upstroke.graph.torch import record
from upstroke.graph.torch_calls import Calls
from upstroke.graph.torch_names import Unique
from upstroke.rewrite.change import Change, Left

__all__ = ["Located", "Part", "RewrittenFx", "copied", "located", "rewritten_fx", "writes"]

# What computes a change: a module, which may hold weights, or a function that a file can name.
Part = nn.Module | Callable[[Tensor], Tensor]

# What a node of torch.fx says of the tensor that it gives.
_ABOUT_VALUES = ("val", "tensor_meta", "example_value")
# Where new parts stand in a module that is rewritten.
_FOLDER = "rewritten"
_WRITING = frozenset(
    getattr(operator, name)
    for name in (
        "delitem", "iadd", "iand", "ifloordiv", "ilshift", "imatmul", "imod", "imul", "ior", "ipow",
        "irshift", "isub", "itruediv", "ixor", "setitem",
    )
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Located:
    """What a GraphModule does, and which of its nodes give which maps.

    Attributes:
        graph: of all operators that ran.
        calls: of every node of torch.fx that gives a tensor, in order, under the node's name.
    """

    graph: Graph
    calls: Calls


@dataclass(frozen=True, kw_only=True, eq=False)
class RewrittenFx:
    """A GraphModule with new parts in it.

    Attributes:
        module: a new one, which shares with the old one all weights that are still used.
        done: the changes that are in it.
        left: the others, each with the reason.
    """

    module: fx.GraphModule
    done: tuple[Change, ...]
    left: tuple[Left, ...]


def located(
    gm: fx.GraphModule,
    inputs: Sequence[Any],
    *,
    keywords: Mapping[str, Any] | None = None,
    name: str = "",
) -> Located:
    """The graph of one run of a GraphModule, node by node, and the maps that its nodes take and give.

    Weights, buffers, inputs and random numbers are left as they were.

    Args:
        gm: traced by `torch.fx`, or the module of an exported program.
        inputs: what it is called with.
        keywords: further arguments, by name.
        name: what the model is called; by default the name of its class.

    Raises:
        OptionError: it cannot run on these arguments.
        ShapeError: it cannot run on inputs of these shapes.

    >>> import torch
    >>> gm = fx.symbolic_trace(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 3)))
    >>> found = located(gm, [torch.rand(1, 3, 5, 7)])
    >>> [(call.part, call.inputs, call.outputs) for call in found.calls.found]
    [('input_1', (), ('input',)), ('_0', ('input',), ('0',)), ('_1', ('0',), ('1',))]
    """
    calls = _OfNodes()
    run = _Run(gm, calls)
    graph = record(run, inputs, kwargs=keywords, name=name or type(gm).__name__, calls=calls)
    return Located(graph=graph, calls=calls)


def rewritten_fx(gm: fx.GraphModule, calls: Calls, chosen: Sequence[tuple[Change, Part]]) -> RewrittenFx:
    """A GraphModule in which each part computes what the nodes of its change did.

    1. The node that gives the map that goes out is replaced by a call of the part on the node that gives the
       map that comes in, at the place where the first of the old nodes stood.
    2. What nobody needs any more is removed, and of modules and weights what only that used.

    A change is left where its ends are not tensors of nodes, as inside of a module that was not traced into;
    where a node between them writes into its input; and where something takes what stands between them, such
    as its size. A part that several changes have in common is there once.

    Args:
        gm: as `located` has seen it, unchanged.
        calls: what `located` found.
        chosen: changes, no two of which share a node, each with the part that computes it.

    >>> import torch
    >>> from upstroke.polyphase import Affine, nearest
    >>> from upstroke.rewrite.change import Together
    >>> gm = fx.symbolic_trace(nn.Sequential(nn.Upsample(scale_factor=2), nn.ReLU()))
    >>> found = located(gm, [torch.rand(1, 3, 5, 7)])
    >>> change = Change(
    ...     site="0", codes=("UP303",), nodes=found.graph.nodes[:1], first="input", last="0",
    ...     does=Together(affine=Affine(operator=nearest(2)), plain=True), forms=("native",), words="",
    ... )
    >>> rewritten_fx(gm, found.calls, [(change, nn.UpsamplingNearest2d(scale_factor=2))]).module
    Sequential(
      (1): ReLU()
      (rewritten): Module(
        (_0): UpsamplingNearest2d(scale_factor=2.0, mode='nearest')
      )
    )
    """
    new = fx.GraphModule(gm, copied(gm.graph), class_name=type(gm).__name__)
    new.meta = dict(gm.meta)
    new.training = gm.training
    rewriting = _Rewriting(new, calls)
    done, left = [], []
    for change, part in chosen:
        stretch = rewriting.stretch(change)
        if isinstance(stretch, str):
            left.append(Left(site=change.site, codes=change.codes, reason=stretch))
        else:
            rewriting.put(change, part, stretch)
            done.append(change)
    new.graph.lint()
    new.recompile()
    return RewrittenFx(module=new, done=tuple(done), left=tuple(left))


def copied(graph: fx.Graph) -> fx.Graph:
    """The same nodes under the same names, and the form of arguments and results, which nobody changes."""
    new = fx.Graph(tracer_cls=graph._tracer_cls)
    copied = new.graph_copy(graph, val_map={}, return_output_node=True)
    assert isinstance(copied, tuple)
    values, output = copied
    new.output(values).meta = dict(output.meta)
    new._codegen = graph._codegen
    return new


class _OfNodes(Calls):
    """Keeps what is noted of nodes, and nothing of modules."""

    @contextmanager
    def watching(self, model: nn.Module, name_of: Callable[[Tensor], str | None]) -> Iterator[None]:
        """Know the names of maps while a model runs inside."""
        self._name_of = name_of
        yield


class _Run(nn.Module):
    """Runs a GraphModule node by node; its parts and weights are the GraphModule's own."""

    def __init__(self, gm: fx.GraphModule, calls: Calls) -> None:
        super().__init__()
        self.__dict__.update(_parameters=gm._parameters, _buffers=gm._buffers, _modules=gm._modules)
        self._steps = _Steps(gm, calls)

    def forward(self, *args: object, **kwargs: object) -> object:
        """Run the GraphModule."""
        graph = self._steps.graph
        values = _flat(self._steps.module, args, kwargs)
        return graph.process_outputs(self._steps.run(*values, enable_io_processing=False))


class _Steps(fx.Interpreter):
    """Runs node after node, and notes what those that give a tensor took and gave."""

    def __init__(self, gm: fx.GraphModule, calls: Calls) -> None:
        super().__init__(gm)
        self._calls = calls

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 - whatever a node gives
        """Run one node."""
        result = super().run_node(n)
        if isinstance(result, Tensor) and n.op != "output":
            self._calls.note(n.name, [self.env.get(each) for each in n.all_input_nodes], result)
        return result


def _flat(gm: Any, args: Sequence[object], kwargs: Mapping[str, object]) -> list[Any]:  # noqa: ANN401 - as fx has it
    """The arguments in the order of the placeholders."""
    codegen = gm.graph._codegen
    info = getattr(codegen, "pytree_info", None)
    if info is None:
        # as the generated code binds them
        bound = inspect.signature(gm.forward).bind(*args, **kwargs)
        bound.apply_defaults()
        return [*bound.args, *bound.kwargs.values()]
    given: tuple[object, ...] = tuple(args)
    spec = info.in_spec
    if spec.type is tuple and spec.num_children == 2 and spec.child(1).type is dict:
        given = (tuple(args), {key: kwargs[key] for key in spec.child(1).context})
    return pytree.tree_leaves(given)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stretch:
    """Nodes in whose place one node is to stand.

    Attributes:
        first: the node that gives the map that comes in; it stays.
        last: the node that gives the map that goes out.
        begin: the first of those that are replaced.
        dead: all nodes that nothing needs without the last one, in order.
    """

    first: fx.Node
    last: fx.Node
    begin: fx.Node
    dead: tuple[fx.Node, ...]


class _Rewriting:
    """A GraphModule while changes are put into it."""

    def __init__(self, gm: fx.GraphModule, calls: Calls) -> None:
        self._gm = gm
        nodes = {node.name: node for node in gm.graph.nodes}
        self._tensors = {nodes[call.part] for call in calls.found}
        self._givers: dict[str, fx.Node] = {}
        for call in calls.found:
            # a node that hands on what it was given, as dropout does, gives the same map later on
            if call.outputs[0] is not None:
                self._givers.setdefault(call.outputs[0], nodes[call.part])
        self._paths: dict[int, str] = {}
        self._unique = Unique()

    def stretch(self, change: Change) -> _Stretch | str:
        """What a change replaces; or why it cannot, in words."""
        first, last = self._givers.get(change.first), self._givers.get(change.last)
        for name, node in ((change.first, first), (change.last, last)):
            if node is None:
                return f"the map {name} is none that a node of the traced model gives"
        assert first is not None
        assert last is not None
        order = list(self._gm.graph.nodes)
        between = [node for node in _between(first, last, order) if node in self._tensors]
        if not between:
            return f"the map {change.last} is not made of the map {change.first} in the traced model"
        dead = _dead_without(last, first, self._gm)
        for node in between:
            if writes(node, self._gm):
                return f"{node.name}, which is a part of it, writes into the map that it takes"
        for node in between:
            if node not in dead:
                return f"something else takes what {node.name} gives, or asks for its size"
        every = tuple(node for node in order if node in dead)
        return _Stretch(first=first, last=last, begin=between[0], dead=every)

    def put(self, change: Change, part: Part, stretch: _Stretch) -> None:
        """Let a part stand in the place of a stretch."""
        graph, last = self._gm.graph, stretch.last
        with graph.inserting_before(stretch.begin):
            if isinstance(part, nn.Module):
                new = graph.call_module(self._path_of(part, change.site), (stretch.first,))
            else:
                new = graph.call_function(part, (stretch.first,))
        new.meta = {key: last.meta[key] for key in _ABOUT_VALUES if key in last.meta}
        last.replace_all_uses_with(new)
        self._tensors.add(new)
        for name in [name for name, node in self._givers.items() if node in stretch.dead]:
            del self._givers[name]
        self._givers[change.last] = new
        for node in reversed(stretch.dead):
            graph.erase_node(node)
        for node in stretch.dead:
            _remove_if_unused(self._gm, node)

    def _path_of(self, part: nn.Module, site: str) -> str:
        """Where a part stands; one that stands somewhere stays there."""
        if id(part) not in self._paths:
            plain = "".join(each if each.isalnum() else "_" for each in site)
            path = self._unique(f"{_FOLDER}.{plain if plain[:1].isalpha() else f'_{plain}'}").replace(
                ":", "_"
            )
            while _has(self._gm, path):
                path += "_"
            self._gm.add_submodule(path, part)
            # what holds the new parts is made in training mode
            self._gm.get_submodule(_FOLDER).train(self._gm.training)
            self._paths[id(part)] = path
        return self._paths[id(part)]


def _between(first: fx.Node, last: fx.Node, order: Sequence[fx.Node]) -> list[fx.Node]:
    """The nodes on all ways from one to another, in order, the last one among them."""
    behind, wanted = {first}, {last}
    for node in order:
        if not behind.isdisjoint(node.all_input_nodes):
            behind.add(node)
    for node in reversed(order):
        if node in wanted:
            wanted.update(node.all_input_nodes)
    return [node for node in order if node in behind and node in wanted and node is not first]


def _dead_without(last: fx.Node, first: fx.Node, gm: fx.GraphModule) -> set[fx.Node]:
    """What nothing needs when something else gives what the last one gives, and needs the first one."""
    dead = set() if writes(last, gm) else {last}
    for node in reversed(gm.graph.nodes):
        users = [user for user in node.users if not _only_asserts(user)]
        is_needed = not users or node is first or node.op in ("placeholder", "output")
        if not is_needed and dead.issuperset(users) and not writes(node, gm):
            dead.add(node)
    return dead | {user for node in dead for user in node.users if _only_asserts(user)}


def _only_asserts(node: fx.Node) -> bool:
    """Whether a node of an exported program only says once more what dtype and device its map has."""
    return node.target is torch.ops.aten._assert_tensor_metadata.default


def writes(node: fx.Node, gm: fx.GraphModule) -> bool:
    """Whether a node may change what it is given, or anything but what it gives."""
    target = node.target
    if node.kwargs.get("inplace") or "out" in node.kwargs:
        return True
    if node.op == "call_module":
        assert isinstance(target, str)
        return bool(getattr(gm.get_submodule(target), "inplace", False)) or node.is_impure()
    if isinstance(target, OpOverload):
        return target._schema.is_mutable or node.is_impure()
    if node.op not in ("call_function", "call_method"):
        return False
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    in_place = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")
    return in_place or target in _WRITING or _is_told_to_write(node) or node.is_impure()


def _is_told_to_write(node: fx.Node) -> bool:
    """Whether a function such as leaky_relu gets its `inplace` by place."""
    if not callable(node.target):
        return False
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)
    except (TypeError, ValueError):
        # one that is not written in Python
        return False
    return bool(bound.arguments.get("inplace", False))


def _remove_if_unused(gm: fx.GraphModule, node: fx.Node) -> None:
    """Remove the module or tensor that a removed node used, if no other node does."""
    if node.op not in ("call_module", "get_attr"):
        return
    path = str(node.target)
    used = {f"{each.target}." for each in gm.graph.nodes if each.op in ("call_module", "get_attr")}
    # used itself, something in it, or what it is in
    while path and not any(each.startswith(f"{path}.") or f"{path}.".startswith(each) for each in used):
        folder, _, name = path.rpartition(".")
        owner = gm.get_submodule(folder)
        if hasattr(owner, name):
            delattr(owner, name)
        # a folder goes with the last thing in it
        if any((owner._modules, owner._parameters, owner._buffers)):
            return
        path = folder


def _has(gm: nn.Module, path: str) -> bool:
    """Whether something stands at a path."""
    for name in path.split("."):
        if not hasattr(gm, name):
            return False
        gm = getattr(gm, name)
    return True
