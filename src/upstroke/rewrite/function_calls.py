"""Turn the calls of a function in a model's forwards into modules, which can be exchanged one by one."""

import copy
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from upstroke.graph.torch_state import left_as_it_was, own_tensors

__all__ = ["Called", "WithModules", "shared_copy", "with_modules"]


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

    The forward of each part that calls one is traced by torch.fx, and none of the parts in it are, so that
    only what stands in that forward itself must not depend on the values or on the sizes of maps by Python's
    own means. What was traced must give what the part gave, to the last bit. PyTorch's own layers stay.

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


class _OwnForward(fx.Tracer):
    """Traces one forward, and no part in it."""

    trace_asserts = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a part is called and not traced: each is."""
        return True


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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = _OwnForward().trace(part, concrete_args=_fixed(part, calls[0]))
    except Exception as error:
        said = " ".join(str(error).split("\n")[0].split()).rstrip(".")
        return f"the forward of {name} cannot be traced by torch.fx ({said or type(error).__name__})"
    gm = _Quiet(part, graph, class_name=name)
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


def _fixed(part: nn.Module, call: _Call) -> dict[str, Any]:
    """The arguments without tensors, which Python may decide by."""
    bound = inspect.signature(part.forward).bind(*call.args, **call.kwargs)
    bound.apply_defaults()
    return {
        name: value
        for name, value in bound.arguments.items()
        if not any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value)) and value != ()
    }


def _differs(old: nn.Module, new: nn.Module, call: _Call) -> str:
    """What is different in what two modules give; empty if nothing is."""
    tensors = [
        leaf for leaf in pytree.tree_leaves((call.args, dict(call.kwargs))) if isinstance(leaf, Tensor)
    ]
    given = []
    for part in (old, new):
        with left_as_it_was(part, tensors), torch.no_grad():
            torch.manual_seed(0)
            try:
                given.append(pytree.tree_leaves(part(*call.args, **call.kwargs)))
            except Exception as error:
                return f"does not run ({' '.join(str(error).split())[:100]})"
    same = len(given[0]) == len(given[1]) and all(
        torch.equal(one, other)
        if isinstance(one, Tensor) and isinstance(other, Tensor)
        else one is other or one == other
        for one, other in zip(*given, strict=True)
    )
    return "" if same else "gives something else"
