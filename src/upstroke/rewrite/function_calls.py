"""Turn the calls of a function in a model's forwards into modules, which can be exchanged one by one."""

import copy
import functools
import inspect
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import has_side_effect
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from upstroke.errors import ShapeError, first_line
from upstroke.graph.torch_state import left_as_it_was, own_tensors

__all__ = ["Called", "WithModules", "decided", "exchanged", "held", "shared_copy", "with_modules"]


# Values that code can be written with.
_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)


class Called(nn.Module):
    """A function as a module.

    Args:
        function: what is called.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: object, **kwargs: object) -> object:
        """Call it."""
        return self.function(*args, **kwargs)


@dataclass(frozen=True, kw_only=True, eq=False)
class WithModules:
    """A copy of a model in which functions are called as modules.

    Attributes:
        model: the copy; it shares all weights with the model.
        replaced: by the path of every part whose forward was traced, the part as it was.
        refused: by the path of every other part that calls the function, why it was not.
    """

    model: nn.Module
    replaced: Mapping[str, nn.Module]
    refused: Mapping[str, str]


def shared_copy(model: nn.Module) -> nn.Module:
    """A copy of a model that has its parameters and buffers themselves."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in own_tensors(model.modules())})


def with_modules(
    model: nn.Module,
    functions: Sequence[Callable[..., Any]],
    inputs: Sequence[Any],
    keywords: Mapping[str, Any] | None = None,
) -> WithModules:
    """A copy of a model in which these functions are called as modules, wherever its own forwards call them.

    The forward of each part that calls one is traced by torch.fx, and none of the parts in it are. Where that
    forward decides by values or sizes, the way that it took is kept, and inputs that would take another are
    refused when they come. What was traced must give what the part gave, to the last bit. PyTorch's own
    layers stay.

    Args:
        model: any module; it stays as it is.
        functions: that are called.
        inputs: what the model is called with.
        keywords: further arguments, by name.

    >>> class Net(nn.Module):
    ...     def forward(self, x):
    ...         return torch.relu(nn.functional.interpolate(x, scale_factor=2))
    >>> found = with_modules(Net(), [nn.functional.interpolate], [torch.rand(1, 3, 5, 7)])
    >>> [type(part).__name__ for part in found.model.children()]
    ['Called']
    """
    new = shared_copy(model)
    callers = _callers(new, functions, inputs, keywords or {})
    replaced, refused = {}, {}
    for path, calls in callers.items():
        part = new.get_submodule(path)
        traced = _traced(part, functions, calls)
        if isinstance(traced, str):
            refused[path] = traced
            continue
        replaced[path] = part
        new = exchanged(new, part, traced)
    return WithModules(model=new, replaced=replaced, refused=refused)


def exchanged(model: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """The model with one part in the place of another, wherever that stands."""
    if model is old:
        return new
    for owner in list(model.modules()):
        for name, part in owner._modules.items():
            if part is old:
                owner._modules[name] = new
    return model


@dataclass(frozen=True, kw_only=True, eq=False)
class _Call:
    """One call of a part."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class _Watch(TorchFunctionMode):
    """Notes which part's own forward calls a function."""

    def __init__(self, functions: Sequence[Callable[..., Any]]) -> None:
        super().__init__()
        self._functions = functions
        self.stack: list[tuple[str, nn.Module, _Call]] = []
        self.found: dict[str, list[_Call]] = {}

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401 - as PyTorch has it
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function gives
        """Run the function."""
        if func in self._functions and self.stack:
            path, part, call = self.stack[-1]
            if not type(part).__module__.startswith("torch.nn.modules.") and call not in self.found.get(
                path, []
            ):
                self.found.setdefault(path, []).append(call)
        return func(*args, **(kwargs or {}))


def _callers(
    model: nn.Module,
    functions: Sequence[Callable[..., Any]],
    inputs: Sequence[Any],
    keywords: Mapping[str, Any],
) -> dict[str, list[_Call]]:
    """The parts whose own forward calls a function, innermost first, and how they were called."""
    watch = _Watch(functions)
    tensors = [leaf for leaf in pytree.tree_leaves((inputs, keywords)) if isinstance(leaf, Tensor)]
    with ExitStack() as stack:
        for path, part in model.named_modules():

            def begin(part: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:  # noqa: ANN401
                watch.stack.append((path, part, _Call(args=args, kwargs=kwargs)))

            def end(part: nn.Module, args: Any, output: Any) -> None:  # noqa: ANN401 - anything
                watch.stack.pop()

            stack.callback(part.register_forward_pre_hook(begin, with_kwargs=True).remove)
            stack.callback(part.register_forward_hook(end, always_call=True).remove)
        with left_as_it_was(model, tensors), torch.no_grad(), watch:
            model(*inputs, **keywords)
    return dict(sorted(watch.found.items(), key=lambda pair: -pair[0].count(".")))


class _Quiet(fx.GraphModule):
    """A traced forward that raises what it raises, where PyTorch's prints its own code first."""

    def recompile(self) -> Any:  # noqa: ANN401 - a type that only PyTorch's own files name
        """Make the forward anew."""
        code = super().recompile()
        type(self).__call__ = nn.Module.__call__  # type: ignore[method-assign]
        return code


@has_side_effect
def held(value: object, was: object, words: str) -> object:
    """Refuse a value other than that for which a forward was traced."""
    if isinstance(value, fx.Proxy):  # traced again, as PyTorch does to read it from a file
        return value.tracer.create_proxy("call_function", held, (value, was, words), {})
    if value is not was and value != was:
        raise ShapeError(words)
    return None


@has_side_effect
def decided(value: object, was: bool, words: str) -> object:
    """Refuse what would go another way through the code than the one that was traced."""
    if isinstance(value, fx.Proxy):
        return value.tracer.create_proxy("call_function", decided, (value, was, words), {})
    return held(bool(value), was, words)


class _Tuple(tuple[Any, ...]):
    """A tuple that counts as one thing."""

    __slots__ = ()


class _List(list[Any]):
    """A list that counts as one thing."""


class _Dict(dict[str, Any]):
    """A dict that counts as one thing."""


_WHOLE: Mapping[type, Callable[[Any], Any]] = {tuple: _Tuple, list: _List, dict: _Dict}


class _OwnForward(fx.Tracer):
    """Traces one forward, and no part in it, while it runs on real values.

    Where Python decides by a value, the way that it takes is traced, and that the value is the same again is
    checked whenever the traced forward runs. An argument without tensors is such a value.
    """

    def __init__(self, part: nn.Module, call: _Call) -> None:
        super().__init__()
        bound = inspect.signature(part.forward).bind(*call.args, **call.kwargs)
        bound.apply_defaults()
        self._given = bound.arguments
        self._values: dict[fx.Node, Any] = {}
        self._is_running = False
        self._words = (
            f"the forward of {type(part).__name__} was traced where it takes another way than for these "
            "inputs; repair the model again, with inputs like them"
        )

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a part is called and not traced: each is."""
        return True

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *more: Any, **others: Any) -> Any:  # noqa: ANN401
        """A node, and what it gives here."""
        proxy = super().create_proxy(kind, target, args, kwargs, *more, **others)
        if kind == "placeholder":
            value = self._given[target.lstrip("*")]
            self._values[proxy.node] = value
            if any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value)):
                return proxy
            if isinstance(value, _PLAIN):
                super().create_proxy("call_function", held, (proxy, value, self._words), {})
            # a container of PyTorch's own kinds would be traced as its parts, each an argument
            return _WHOLE[type(value)](value) if type(value) in _WHOLE else value
        if kind != "output":
            # what runs here on real values is no part of the trace
            self._is_running = True
            try:
                self._values[proxy.node] = self._run(kind, target, self._real(args), self._real(kwargs))
            finally:
                self._is_running = False
        return proxy

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        """A node, or what a part gives."""
        if self._is_running:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:  # noqa: ANN401
        """A node, or what a part holds."""
        return attr_val if self._is_running else super().getattr(attr, attr_val, parameter_proxy_cache)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """What Python decides by."""
        value = bool(self._values[obj.node])
        super().create_proxy("call_function", decided, (obj, value, self._words), {})
        return value

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Each of what is in something."""
        places = range(len(self._values[obj.node]))
        return iter(
            [self.create_proxy("call_function", operator.getitem, (obj, place), {}) for place in places]
        )

    def _real(self, value: Any) -> Any:  # noqa: ANN401 - whatever a node takes
        return fx.node.map_aggregate(
            value, lambda each: self._values[each.node] if isinstance(each, fx.Proxy) else each
        )

    def _run(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401 - whatever a node gives
        if kind == "call_module":
            return self.root.get_submodule(target)(*args, **kwargs)
        if kind == "get_attr":
            return functools.reduce(getattr, target.split("."), self.root)
        if kind == "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
        return target(*args, **kwargs)


def _traced(
    part: nn.Module, functions: Sequence[Callable[..., Any]], calls: Sequence[_Call]
) -> fx.GraphModule | str:
    """A part with its function calls as modules, or why there is none."""
    name = type(part).__name__
    if isinstance(part, torch.jit.ScriptModule):
        return f"{name} is a TorchScript module, which hides its calls"
    if part._forward_hooks or part._forward_pre_hooks:
        return f"{name} has hooks, which a traced forward would lose"
    try:
        with left_as_it_was(part, _tensors(calls[0])), torch.no_grad():
            graph = _OwnForward(part, calls[0]).trace(part)
        # by which PyTorch traces it again when it is read from a file
        graph._tracer_cls = fx.Tracer
        gm = _Quiet(part, graph, class_name=name)
    except Exception as error:
        return f"the forward of {name} cannot be traced by torch.fx ({first_line(error)})"
    for kind in ("_modules", "_parameters", "_buffers"):
        for key, value in getattr(part, kind).items():
            # the parts that stand in it as they were, which hold what the tracer put beside them
            getattr(gm, kind)[key] = value
    gm.training = part.training
    count = 0
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in functions:
            path = f"{node.target.__name__}_{count}"
            while hasattr(gm, path):
                path += "_"
            gm.add_module(path, Called(node.target))
            with graph.inserting_before(node):
                new = graph.call_module(path, node.args, node.kwargs)
            node.replace_all_uses_with(new)
            graph.erase_node(node)
            count += 1
    gm.recompile()
    if not count:
        return f"the forward of {name} calls it in a way that torch.fx does not see"
    for call in calls:
        reason = _differs(part, gm, call)
        if reason:
            return f"the forward of {name}, traced by torch.fx, {reason}"
    return gm


def _tensors(call: _Call) -> list[Tensor]:
    leaves = pytree.tree_leaves((call.args, dict(call.kwargs)))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _differs(old: nn.Module, new: nn.Module, call: _Call) -> str:
    """What is different in what two modules give; empty if nothing is."""
    given = []
    for part in (old, new):
        with left_as_it_was(part, _tensors(call)), torch.no_grad():
            torch.manual_seed(0)
            try:
                given.append(pytree.tree_leaves(part(*call.args, **call.kwargs)))
            except Exception as error:
                return f"does not run ({first_line(error)})"
    same = len(given[0]) == len(given[1]) and all(
        torch.equal(one, other)
        if isinstance(one, Tensor) and isinstance(other, Tensor)
        else one is other or one == other
        for one, other in zip(*given, strict=True)
    )
    return "" if same else "gives something else"
