"""Turn a model and changes to it into a copy whose modules compute them."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from upstroke.errors import NotRepresentableError, OptionError, first_line
from upstroke.graph import Graph
from upstroke.graph.steps import PerChannel, Same, Step
from upstroke.graph.torch_calls import CallOf, Calls
from upstroke.rewrite.change import Change, Code, Commuted, Does, Form, Shuffled, Together
from upstroke.rewrite.torch_layers import Passed, Rewritten
from upstroke.rewrite.torch_parts import part_of

__all__ = ["Done", "NotDone", "Swapped", "copied_model", "swapped"]

# Ways through modules from one map to another that are looked at; models have one or two.
_MOST_ROWS = 64
_PLAIN = (bool, int, float, str, torch.dtype, torch.device)
# What runs its parts in ways of its own, and how to come to what it was made from.
_CLOSED: Mapping[str, str] = {
    "OptimizedModule": "is compiled, so give the model before torch.compile",
    "DataParallel": "runs its parts in other threads, so give the module that it holds",
    "DistributedDataParallel": "runs its parts in other processes, so give the module that it holds",
    "FullyShardedDataParallel": "holds parts of its weights alone, so give the module that it was made from",
}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True, kw_only=True, eq=False)
class Done:
    """A change that modules of the new model compute.

    Attributes:
        change: which.
        form: how it is computed.
        parts: paths of the modules that did it before; the first holds the new layers, the others pass on
            what they get.
        said: what is to be known beside that, in sentences without a full stop.
    """

    change: Change
    form: Form
    parts: tuple[str, ...]
    said: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class NotDone:
    """A change that no swap of modules can make.

    Attributes:
        change: which.
        form: how it was to be computed.
        reason: why not, in a sentence without a full stop.
    """

    change: Change
    form: Form
    reason: str

    @property
    def site(self) -> str:
        """Of the change."""
        return self.change.site

    @property
    def codes(self) -> tuple[Code, ...]:
        """Of the change."""
        return self.change.codes


@dataclass(frozen=True, kw_only=True, eq=False)
class Swapped:
    """A copy of a model in which modules were swapped.

    Attributes:
        model: the copy.
        done: the changes that it computes.
        not_done: the others.
    """

    model: nn.Module
    done: tuple[Done, ...]
    not_done: tuple[NotDone, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Row:
    """The modules that compute one change, in the order in which they are called."""

    change: Change
    form: Form
    calls: tuple[CallOf, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(call.part for call in self.calls)


def swapped(model: nn.Module, graph: Graph, calls: Calls, chosen: Sequence[tuple[Change, Form]]) -> Swapped:
    """A copy of a model whose modules compute these changes, as far as whole modules compute them now.

    A change is made where a module, or several called one after the other, take the map that comes in and
    give the one that goes out: the first is replaced by the new layers, the others pass on what they get, so
    that every other name stays. The new layers have weights of their own, and training flags and hooks as
    the replaced ones had where these still have a map to see. A module that is called several times is
    swapped if all its calls are changed alike. The model that is given stays as it is.

    Args:
        model: what was recorded; of one that `torch.compile` made, the model it was made from is copied.
        graph: what `record` gave of it.
        calls: what `record` noted of its modules.
        chosen: changes that do not overlap, each with the form to compute it in.

    >>> from upstroke.graph import affine_of
    >>> from upstroke.graph.torch import record
    >>> net = nn.Sequential(nn.ConvTranspose2d(3, 3, 2, stride=2, groups=3), nn.ReLU())
    >>> calls = Calls()
    >>> graph = record(net, [torch.rand(1, 3, 5, 7)], calls=calls)
    >>> node = graph.nodes[0]
    >>> change = Change(
    ...     site="0",
    ...     codes=("UP303",),
    ...     nodes=(node,),
    ...     first="input",
    ...     last=node.output,
    ...     does=Together(affine=affine_of(node.step, ndim=2), plain=True),
    ...     forms=("native",),
    ...     words="",
    ... )
    >>> [type(part).__name__ for part in swapped(net, graph, calls, [(change, "native")]).model]
    ['Rewritten', 'ReLU']
    """
    model = getattr(model, "_orig_mod", model)
    modules = dict(model.named_modules(remove_duplicate=False))
    rows, not_done = [], []
    for change, form in chosen:
        found = _row_of(change, form, graph, calls, modules)
        if isinstance(found, _Row):
            rows.append(found)
        else:
            not_done.append(NotDone(change=change, form=form, reason=found))
    groups, refused = _groups(rows, calls)
    not_done += refused
    new = copied_model(model, _memo(model))
    done: list[Done] = []
    for group in groups:
        first = group[0]
        held = dict(new.named_modules())
        olds = [held[path] for path in first.parts]
        try:
            part, said = _made(group, olds, new)
        except NotRepresentableError as error:
            reason = str(error)
            not_done += [NotDone(change=row.change, form=row.form, reason=reason) for row in group]
            continue
        passed = [_passed(old, _named(first.parts[0])) for old in olds[1:]]
        for old, stands in zip(olds, (part, *passed), strict=True):
            if old is new:
                new = stands
            else:
                _put(new, old, stands)
        said += _hooks_moved(olds, (part, *passed), first.parts)
        done += [Done(change=row.change, form=row.form, parts=row.parts, said=tuple(said)) for row in group]
    order = {id(change): place for place, (change, _) in enumerate(chosen)}
    return Swapped(
        model=new,
        done=tuple(sorted(done, key=lambda each: order[id(each.change)])),
        not_done=tuple(sorted(not_done, key=lambda each: order[id(each.change)])),
    )


def _row_of(
    change: Change, form: Form, graph: Graph, calls: Calls, modules: Mapping[str, nn.Module]
) -> _Row | str:
    """The modules that compute a change, or why there are none."""
    places = {id(call): place for place, call in enumerate(calls.found)}
    takers: dict[str, list[CallOf]] = {}
    for call in calls.found:
        if _is_plain(call):
            assert call.inputs[0] is not None
            takers.setdefault(call.inputs[0], []).append(call)
    inner = {node.output for node in change.nodes}
    rows: list[tuple[CallOf, ...]] = []
    waiting: list[tuple[CallOf, ...]]
    waiting = [(call,) for first in _firsts(change) for call in takers.get(first, ())]
    while waiting and len(rows) < _MOST_ROWS:
        row = waiting.pop(0)
        reached = row[-1].outputs[0]
        assert reached is not None
        if reached == change.last:
            rows.append(row)
        elif reached in inner or reached not in graph.makers:
            later = [call for call in takers.get(reached, ()) if places[id(call)] > places[id(row[-1])]]
            waiting += [(*row, call) for call in later]
    if not rows:
        return "its steps are calls of functions, and no modules that do them alone"
    # modules inside of others are noted first; code between two modules may look at the map between them
    best = min(rows, key=lambda row: (not _is_sequential(row, modules), places[id(row[-1])]))
    for call in best:
        closed = _closed(call.part, modules)
        if closed is not None:
            return closed
    if best[0].part == "" and not type(modules[""]).__module__.startswith("torch.nn."):
        return "it is all that the model does in its own code, so there is no module to swap"
    if any(_is_held_elsewhere(modules[call.part], modules) for call in best):
        return (
            f"{_named(best[0].part)} is held in a plain list or attribute as well, where it cannot be swapped"
        )
    return _Row(change=change, form=form, calls=best)


def _firsts(change: Change) -> Iterator[str]:
    """The map that comes in, under every name that it has until something is done to it."""
    yield change.first
    for node in change.nodes:
        if not _does_nothing(node.step):
            return
        yield node.output


def _does_nothing(step: Step) -> bool:
    """Whether a step gives what it takes, as a division by a factor of one does."""
    if isinstance(step, PerChannel):
        gain = step.gain is None or bool((step.gain == 1).all())
        return gain and (step.shift is None or not bool(step.shift.any()))
    return isinstance(step, Same)


def _is_plain(call: CallOf) -> bool:
    """Whether a module was given one map and nothing else, and gave another one."""
    one = len(call.inputs) == len(call.outputs) == 1 and not call.others
    return one and None not in (*call.inputs, *call.outputs) and call.inputs != call.outputs


def _is_sequential(row: Sequence[CallOf], modules: Mapping[str, nn.Module]) -> bool:
    """Whether the modules are one, or stand in one `nn.Sequential`, so that no code comes between them."""
    if len(row) == 1:
        return True
    parents = {call.part.rpartition(".")[0] for call in row}
    if len(parents) > 1:
        return False
    return type(modules[parents.pop()]).forward is nn.Sequential.forward


def _closed(path: str, modules: Mapping[str, nn.Module]) -> str | None:
    """Why nothing below a module can be swapped; None if it can."""
    steps = path.split(".") if path else []
    for count in range(len(steps) + 1):
        above = ".".join(steps[:count])
        for kind in type(modules[above]).__mro__:
            if kind.__name__ in _CLOSED:
                return f"{_named(above)} {_CLOSED[kind.__name__]}"
        if isinstance(modules[above], torch.jit.ScriptModule):
            return f"{_named(above)} is TorchScript, so give the Python module that it was made from"
    return None


def _is_held_elsewhere(module: nn.Module, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a module is reachable in ways that no swap reaches."""
    return any(
        value is module or (isinstance(value, list | tuple) and any(each is module for each in value))
        for holder in modules.values()
        for name, value in vars(holder).items()
        if not name.startswith("_") and isinstance(value, nn.Module | list | tuple)
    )


def _groups(rows: Sequence[_Row], calls: Calls) -> tuple[list[list[_Row]], list[NotDone]]:
    """Rows of the same modules together, and those that cannot be changed alike everywhere."""
    kept, refused = list(rows), []
    while True:
        reasons = [(row, _uncovered(row, kept, calls)) for row in kept]
        bad = [(row, reason) for row, reason in reasons if reason is not None]
        if not bad:
            break
        refused += [NotDone(change=row.change, form=row.form, reason=reason) for row, reason in bad]
        kept = [row for row, reason in reasons if reason is None]
    groups: dict[tuple[str, ...], list[_Row]] = {}
    for row in kept:
        groups.setdefault(row.parts, []).append(row)
    return list(groups.values()), refused


def _uncovered(row: _Row, rows: Sequence[_Row], calls: Calls) -> str | None:
    """Why the modules of a row must stay: a call of one of them that is not changed in the same way."""
    alike = [other for other in rows if other.parts == row.parts]
    for other in alike:
        if other.form != row.form or not _does_the_same(other.change.does, row.change.does):
            return f"{_named(row.parts[0])} is called several times, and not always to do the same"
    for place, part in enumerate(row.parts):
        covered = {id(other.calls[place]) for other in alike}
        if any(call.part == part and id(call) not in covered for call in calls.found):
            return f"{_named(part)} is called several times, and not all of its calls are changed"
    return None


def _does_the_same(one: Does, two: Does) -> bool:
    """Whether two changes compute the same with the same numbers."""
    if isinstance(one, Together) and isinstance(two, Together):
        mine, theirs = one.affine.operator, two.affine.operator
        settings = all(
            getattr(mine, name) == getattr(theirs, name)
            for name in ("scale", "origin", "excess", "border", "groups", "shared")
        )
        return settings and _equal(mine.taps, theirs.taps) and _equal(one.affine.bias, two.affine.bias)
    if isinstance(one, Commuted) and isinstance(two, Commuted):
        first, second = one.convolution, two.convolution
        resizes = type(one.resize) is type(two.resize) and str(one.resize) == str(two.resize)
        weights = _equal(first.weight, second.weight) and _equal(first.bias, second.bias)
        return resizes and weights and _equal(one.bias, two.bias)
    if isinstance(one, Shuffled) and isinstance(two, Shuffled):
        mine_, theirs_ = one.shuffle, two.shuffle
        return mine_.scale == theirs_.scale and _equal(mine_.source, theirs_.source)
    return False


def _equal(one: Tensor | None, two: Tensor | None) -> bool:
    if one is None or two is None:
        return one is two
    return one is two or torch.equal(one, two)


def _made(group: Sequence[_Row], olds: Sequence[nn.Module], model: nn.Module) -> tuple[Rewritten, list[str]]:
    """The new layers of rows of the same modules, and what is to be known of them.

    Raises:
        NotRepresentableError: no layers compute this form.
    """
    row = group[0]
    weights = [tensor for old in olds for tensor in old.parameters()]
    like = next(iter((*weights, *model.parameters())), torch.empty(()))
    part = part_of(row.change, row.form, dtype=like.dtype, device=like.device)
    if weights:
        part.requires_grad_(any(tensor.requires_grad for tensor in weights))
    part.words = f"in place of {', '.join(map(_named_kind, row.parts, olds))}"
    part.said = _plain(olds[0])
    part.train(olds[0].training)
    said: list[str] = []
    if len(olds) == 1 and any(each.calls[0].absent for each in group):
        part.keep(olds[0])
        said.append(f"{_named(row.parts[0])} is kept beside its new layers for calls with further arguments")
    inside = [each for old in olds for each in old.modules()]
    if any(isinstance(each, _NORMS) for each in inside):
        said.append("a batch normalisation is part of the weights, so its statistics stay as they are")
    if any(isinstance(each, _DROPOUTS) and each.p > 0 for each in inside):
        said.append("dropout, which does nothing in evaluation, is gone")
    if any(is_parametrized(each) or _makes_weights(each) for each in inside):
        said.append("weights that were made of other tensors are the ones that they made")
    if _are_tied(olds, model):
        said.append("weights that other modules share are shared no longer, and the others keep theirs")
    return part, said


def _passed(old: nn.Module, by: str) -> Passed:
    """What passes on its map in place of a module whose work is done elsewhere."""
    passed = Passed(words=f"computed in {by}", said=_plain(old))
    passed.training = old.training
    return passed


def _named_kind(path: str, old: nn.Module) -> str:
    return f"{_named(path)} ({type(old).__name__})"


def _named(path: str) -> str:
    return path or "the model"


def _makes_weights(module: nn.Module) -> bool:
    """Whether a hook of PyTorch's own makes a weight before every call, as the older weight_norm does."""
    return any(map(_is_pytorchs, module._forward_pre_hooks.values()))


def _is_pytorchs(hook: Callable[..., object]) -> bool:
    return type(hook).__module__.startswith("torch.nn.utils")


def _are_tied(olds: Sequence[nn.Module], model: nn.Module) -> bool:
    """Whether modules outside of these hold some of their parameters."""
    own = {id(tensor) for old in olds for tensor in old.parameters()}
    inside = {id(each) for old in olds for each in old.modules()}
    return any(
        id(tensor) in own
        for each in model.modules()
        if id(each) not in inside
        for tensor in each.parameters(recurse=False)
    )


def _plain(old: nn.Module) -> dict[str, Any]:
    """What a module says of itself in numbers and words, for those who ask."""
    said = ((name, value) for name, value in vars(old).items() if name[0] != "_" and name != "training")
    return {name: value for name, value in said if _is_said(value)}


def _is_said(value: object) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(each, _PLAIN) for each in value)
    return value is None or isinstance(value, _PLAIN)


def _put(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module in all places where another one is."""
    for holder in list(model.modules()):
        # but for what is kept for other calls
        if holder is not new:
            for name, child in holder._modules.items():
                if child is old:
                    holder._modules[name] = new


def _hooks_moved(olds: Sequence[nn.Module], news: Sequence[nn.Module], paths: Sequence[str]) -> list[str]:
    """Give hooks to what now takes the same map, or gives it; say of the others that they are gone."""
    lost = []
    for place, (old, new) in enumerate(zip(olds, news, strict=True)):
        gone = [*old._backward_hooks.values(), *old._backward_pre_hooks.values()]
        before = _users(old._forward_pre_hooks)
        if place == 0:
            new._forward_pre_hooks = before
            new._forward_pre_hooks_with_kwargs = old._forward_pre_hooks_with_kwargs.copy()
        else:
            gone += before.values()
        after = _users(old._forward_hooks)
        if place == len(olds) - 1:
            new._forward_hooks = after
            new._forward_hooks_with_kwargs = old._forward_hooks_with_kwargs.copy()
            new._forward_hooks_always_called = old._forward_hooks_always_called.copy()
        else:
            gone += after.values()
        if gone or any(_has_hooks(each) for each in old.modules() if each is not old):
            lost.append(f"hooks of {_named(paths[place])} are gone, because what they saw is made no longer")
        for name in ("_forward_hooks", "_forward_pre_hooks"):
            # what is kept for other calls keeps only what makes its weights, for hooks run around it
            kept = ((key, hook) for key, hook in getattr(old, name).items() if _is_pytorchs(hook))
            setattr(old, name, OrderedDict(kept))
    return lost


def _users(hooks: Mapping[int, Callable[..., object]]) -> "OrderedDict[int, Callable[..., object]]":
    """Hooks but those by which PyTorch makes weights."""
    return OrderedDict((key, hook) for key, hook in hooks.items() if not _is_pytorchs(hook))


def _has_hooks(module: nn.Module) -> bool:
    return any(_users(getattr(module, name)) for name in _HOOKS)


def copied_model(model: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """A copy of a model, which is changed in its place.

    Args:
        model: stays as it is.
        memo: copies of some of its parts, as `copy.deepcopy` takes them.

    Raises:
        OptionError: it holds what cannot be copied.
    """
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:
        said = first_line(error)
        msg = f"a model is changed in a copy, and this one cannot be copied: {said}; remove what cannot"
        raise OptionError(msg) from error


def _memo(model: nn.Module) -> dict[int, Any]:
    """Copies of tensors that `deepcopy` refuses: attributes that an operation gave, with its gradient."""
    return {
        id(tensor): tensor.detach().clone() for tensor in _attributes(model.modules()) if not tensor.is_leaf
    }


def _attributes(parts: Iterable[nn.Module]) -> Iterator[Tensor]:
    for part in parts:
        for held in (vars(part), part._buffers):
            yield from (value for value in held.values() if isinstance(value, Tensor))
