"""Turn a model that calls functions into a GraphModule that takes maps of any size."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.fx.node import has_side_effect
from torch.utils import _pytree as pytree

from upstroke.errors import OptionError, first_line
from upstroke.graph.torch_caches import nothing_kept
from upstroke.rewrite.torch_export import LEAST_AXES, answer, exported, quiet, unchanged
from upstroke.rewrite.verify import relative_difference
from upstroke.rewrite.verify_torch import TOLERANCE

__all__ = ["How", "Traced", "traced"]

How = Literal["torch.fx", "torch.export"]

# Classes of modules that are not traced into because tracing ends in them; no model needs that many.
_MOST_LEAVES = 64
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True, kw_only=True, eq=False)
class Traced:
    """A model as a graph of calls.

    Attributes:
        module: takes what the model takes and gives what it gives, in evaluation mode; its weights are the
            model's own.
        how: what traced it. `torch.fx` keeps layers as calls of modules, under their names; `torch.export`
            has operators alone, and of the names those of weights and buffers.
        whole: paths of modules that were not traced into, because what they do depends on values or sizes.
        fixed: axes of inputs that must stay as long as in the example, in words.
    """

    module: fx.GraphModule
    how: How
    whole: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


def traced(
    model: nn.Module,
    inputs: Sequence[Any],
    *,
    keywords: Mapping[str, Any] | None = None,
    how: How | None = None,
) -> Traced:
    """A model as a GraphModule whose batch and spatial axes may have any size.

    1. By `torch.fx`. A module in which that ends stays whole, and it is tried again, unless that is the model
       itself.
    2. Where that does not do, by `torch.export`, with all batch and spatial axes dynamic.

    Either result must give what the model gives, on the example and, where the model takes them, on maps of
    another size and batch: types, structure and values. Arguments that are no tensors keep the values of the
    example; another value is refused when the module is called. A model in training mode is copied first.

    Args:
        model: the model, left as it was.
        inputs: an example of what it is called with.
        keywords: further arguments, by name.
        how: the one way to try; by default both.

    Raises:
        OptionError: neither can trace it.

    >>> import torch.nn.functional as F
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(3, 4, 3, padding=1)
    ...     def forward(self, x, grow=True):
    ...         return {"y": self.conv(F.interpolate(x, scale_factor=2) if grow else x)}
    >>> found = traced(Net().eval(), [torch.rand(1, 3, 5, 7)])
    >>> found.how, [node.name for node in found.module.graph.nodes]
    ('torch.fx', ['x', 'grow', 'stays', 'interpolate', 'conv', 'output'])
    >>> found.module(torch.rand(2, 3, 6, 4), grow=True)["y"].shape
    torch.Size([2, 4, 12, 8])
    """
    if any(part.training for part in model.modules()):
        model = copy.deepcopy(model).eval()
    given = dict(keywords or {})
    refusals = {}
    for each, trace in _WAYS.items():
        if how not in (None, each):
            continue
        try:
            found = trace(model, tuple(inputs), given)
            _check(model, found.module, tuple(inputs), given)
        except Exception as error:
            refusals[each] = first_line(error)
        else:
            return found
    said = " and ".join(f"{way} ({reason})" for way, reason in refusals.items())
    msg = (
        f"the model must be traced for calls of functions in it to be replaced; it cannot be by {said}, so "
        'use torch.compile(model, backend="upstroke"), which replaces them while it runs'
    )
    raise OptionError(msg)


@has_side_effect
def stays(value: object, wanted: object, name: str) -> None:
    """Refuse another value than that with which a model was traced."""
    if type(value) is not type(wanted) or value != wanted:
        msg = f"{name} must be {wanted!r}, with which the model was traced; got {value!r}, so trace it anew"
        raise OptionError(msg)


class _Tracer(fx.Tracer):
    """Traces a model whose arguments without tensors keep their values.

    Attributes:
        ended_in: the class of the innermost module in which tracing ended; None for the model itself.
        whole: paths of modules that were not traced into though they are no layers.
    """

    trace_asserts = True

    def __init__(self, arguments: Mapping[str, Any], leaves: set[type[nn.Module]]) -> None:
        super().__init__(param_shapes_constant=True)
        self.ended_in: type[nn.Module] | None = None
        self.whole: list[str] = []
        self._arguments = arguments
        self._leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is called as a whole: PyTorch's layers, ours, and those one cannot look into."""
        if type(m) in self._leaves:
            self.whole.append(module_qualified_name)
            return True
        ours = type(m).__module__.startswith(("upstroke.nn.", "upstroke.rewrite."))
        return ours or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # noqa: ANN401 - whatever a module gives
        """Call a module, and know the innermost one that could not be traced."""
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.ended_in = self.ended_in or type(m)
            raise

    def create_arg(self, a: Any) -> Any:  # noqa: ANN401 - as fx has it
        """What a node takes or gives; objects that are dictionaries with attributes are made anew."""
        if isinstance(a, dict) and type(a) is not dict and is_dataclass(a):
            named = {field.name: getattr(a, field.name) for field in fields(a)}
            given = {name: self.create_arg(value) for name, value in named.items() if value is not None}
            return self.create_node("call_function", type(a), (), given)
        if isinstance(a, dict) and type(a) is not dict:
            msg = f"it returns a {type(a).__name__}, which a graph cannot make"
            raise TypeError(msg)
        return super().create_arg(a)

    def _proxy_placeholder(
        self,
        name: str,
        concrete_args: dict[str, Any] | None,
        sig: Signature,
        fn_for_analysis: Callable[..., Any],
    ) -> Any:  # noqa: ANN401 - a proxy, or the value itself
        """An argument: a tensor, or several, may be any; anything else is what it was in the example."""
        plain = name.lstrip("*")
        value = self._arguments[plain]
        if name != plain:
            if value:
                msg = f"it is called with arguments that its forward takes as {name}"
                raise TypeError(msg)
            return value
        default = sig.parameters[name].default
        given = self.create_proxy("placeholder", name, () if default is Parameter.empty else (default,), {})
        if any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value)):
            return given
        if not all(isinstance(leaf, _PLAIN) for leaf in pytree.tree_leaves(value)):
            msg = f"its argument {name} is a {type(value).__name__}"
            raise TypeError(msg)
        self.create_proxy("call_function", stays, (given, value, name), {})
        return value


def _by_fx(model: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Traced:
    """Trace by calling with proxies."""
    bound = signature(model.forward).bind(*inputs, **keywords)
    bound.apply_defaults()
    leaves: set[type[nn.Module]] = set()
    # constants are kept on the model on the way, and by the new module afterwards
    with nothing_kept(model), quiet():
        while True:
            tracer = _Tracer(bound.arguments, leaves)
            try:
                graph = tracer.trace(model)
                break
            except Exception:
                if tracer.ended_in is None or len(leaves) >= _MOST_LEAVES:
                    raise
                leaves.add(tracer.ended_in)
        module = fx.GraphModule(model, graph, class_name=type(model).__name__)
    module.training = False
    return Traced(module=module, how="torch.fx", whole=tuple(dict.fromkeys(tracer.whole)))


def _by_export(model: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Traced:
    """Trace by running on tensors without values."""
    program, fixed = exported(model, inputs, keywords)
    made = program.module()
    assert isinstance(made, fx.GraphModule)
    # the one that was made refuses to be told to evaluate, which it does anyway
    module = fx.GraphModule(made, made.graph, class_name=type(model).__name__)
    module.eval()
    return Traced(module=module, how="torch.export", fixed=fixed)


_WAYS: Mapping[How, Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Traced]] = {
    "torch.fx": _by_fx,
    "torch.export": _by_export,
}


def _check(model: nn.Module, module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """Refuse a module that gives something else than the model, for the example or for other sizes."""
    for given in (_as_it_is, _of_another_size, _of_another_batch):
        changed = pytree.tree_map(given, (inputs, keywords))
        wanted = answer(model, *changed)
        if wanted is None and given is _as_it_is:
            msg = "the model does not run on the example"
            raise ValueError(msg)
        if wanted is not None:
            with unchanged(module, changed), quiet():
                _compare(module(*changed[0], **changed[1]), wanted[0])


def _as_it_is(value: object) -> object:
    return value


def _of_another_size(value: object) -> object:
    """A map of another size and batch, of the same values."""
    if not isinstance(value, Tensor) or not value.ndim:
        return value
    value = torch.cat([value, value[:1]])
    if value.ndim < LEAST_AXES:
        return value
    for axis, size in enumerate(value.shape[2:], start=2):
        halves = size % 2 == 0 and size >= 16
        value = value.narrow(axis, 0, size // 2) if halves else torch.cat([value, value], dim=axis)
    return value


def _of_another_batch(value: object) -> object:
    """A batch with one more."""
    return torch.cat([value, value[:1]]) if isinstance(value, Tensor) and value.ndim else value


def _compare(found: object, wanted: object) -> None:
    """Refuse an output of another form or with other values."""
    ours, form = pytree.tree_flatten(found)
    theirs, expected = pytree.tree_flatten(wanted)
    if type(found) is not type(wanted) or form != expected:
        msg = f"it gives a {type(found).__name__} where the model gives a {type(wanted).__name__}"
        raise TypeError(msg)
    for one, two in zip(ours, theirs, strict=True):
        if not isinstance(two, Tensor):
            same = one is two or one == two
        else:
            same = isinstance(one, Tensor) and one.shape == two.shape and one.dtype == two.dtype
            same = same and relative_difference(two, one) <= TOLERANCE.get(two.dtype, 0.0)
        if not same:
            msg = "what was traced gives other values than the model"
            raise ValueError(msg)
