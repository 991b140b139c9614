"""Turn a module whose decoder drifts into a copy of it whose resizes sit where the encoder's maps do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn import functional

from upstroke.graph import Graph, Node
from upstroke.graph.torch import record
from upstroke.graph.torch_calls import Calls
from upstroke.rewrite.function_calls import Called, exchanged, shared_copy, with_modules
from upstroke.rewrite.reregister import Plan, Reregistration, plan
from upstroke.rewrite.resampling import Resampling

__all__ = ["Reregistered", "reregistered"]

RESIZES = (
    functional.interpolate,
    functional.upsample,
    functional.upsample_nearest,
    functional.upsample_bilinear,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reregistered:
    """A repaired model.

    Attributes:
        model: a copy with other resizes, which shares all weights; the model itself where nothing is mended.
        plan: what was mended and what was not, in the names of the model as it was.
    """

    model: nn.Module
    plan: Plan


def reregistered(
    model: nn.Module,
    inputs: Sequence[Any],
    *,
    keywords: Mapping[str, Any] | None = None,
    outputs: bool = True,
) -> Reregistered:
    """A copy of a model in which the branches of joins meet, by resizes that put their samples elsewhere.

    A resize that is a layer is exchanged; where a forward calls a function, that one forward is traced by
    torch.fx and the call exchanged in it. What the model computes changes; the model itself does not.

    Args:
        model: any module that `upstroke.check` reads.
        inputs: what it is called with.
        keywords: further arguments, by name.
        outputs: whether outputs behind mended joins are moved onto the grid of the input as well.

    Raises:
        OptionError: the model cannot be read, or not run on these inputs.
        ShapeError: it cannot run on inputs of these shapes.

    >>> import torch
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.down, self.up = nn.Conv2d(1, 4, 3, 2, 1), nn.Upsample(scale_factor=2)
    ...
    ...     def forward(self, x):
    ...         return torch.cat([self.up(self.down(x)), x], dim=1)
    >>> reregistered(Net(), [torch.rand(1, 1, 6, 8)]).model
    Net(
      (down): Conv2d(1, 4, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))
      (up): Resampling(linear ×2 on the cells)
    )
    """
    graph = record(model, inputs, kwargs=keywords)
    found = plan(graph, outputs=outputs)
    kept: dict[str, str] = {}
    while found.mended:
        made = _applied(model, graph, found, inputs, keywords or {})
        if isinstance(made, nn.Module):
            return Reregistered(model=made, plan=found)
        kept |= made
        found = plan(graph, outputs=outputs, kept=kept)
    return Reregistered(model=model, plan=found)


def _applied(
    model: nn.Module, graph: Graph, found: Plan, inputs: Sequence[Any], keywords: Mapping[str, Any]
) -> nn.Module | dict[str, str]:
    """The copy with all that is planned; or the resizes for which that cannot be, each with the reason."""
    new = shared_copy(model)
    located = _located(new, graph, found, inputs, keywords)
    if all(not isinstance(each, str) for each in located.values()):
        return _swapped(new, found, located)
    open_calls = with_modules(model, RESIZES, inputs, keywords)
    located = _located(open_calls.model, graph, found, inputs, keywords)
    failed = {output: each for output, each in located.items() if isinstance(each, str)}
    if failed:
        reasons = "; ".join(open_calls.refused.values())
        return {output: f"{each}; {reasons}" if reasons else each for output, each in failed.items()}
    whole = _swapped(open_calls.model, found, located)
    for path, part in open_calls.replaced.items():
        # a forward in which nothing changed is not traced for nothing
        traced = whole.get_submodule(path)
        if not any(isinstance(each, Resampling) for each in traced.children()):
            whole = exchanged(whole, traced, part)
    return whole


def _located(
    model: nn.Module, graph: Graph, found: Plan, inputs: Sequence[Any], keywords: Mapping[str, Any]
) -> dict[str, nn.Module | str]:
    """For every resize that is to change, by the map that it gives, the module that is it; or why none is."""
    calls = Calls()
    again = record(model, inputs, kwargs=keywords, calls=calls)
    # names are those of modules, of which there may be more now; what runs is the same
    now: Mapping[str, Node] = {}
    if [type(node.step) for node in again.nodes] == [type(node.step) for node in graph.nodes]:
        now = {old.output: new for old, new in zip(graph.nodes, again.nodes, strict=True)}
    wanted: dict[str, list[Reregistration]] = {}
    located: dict[str, nn.Module | str] = {}
    for each in found.mended:
        node = now.get(each.node.output)
        paths = [
            call.part
            for call in calls.found
            if node is not None
            and call.outputs == (node.output,)
            and node.inputs[0] in call.inputs
            and isinstance(model.get_submodule(call.part), nn.Upsample | Called)
        ]
        if not paths:
            located[each.node.output] = f"{each.node.operator} is no layer and no call that can be exchanged"
            continue
        wanted.setdefault(paths[0], []).append(each)
        located[each.node.output] = model.get_submodule(paths[0])
    for path, all_for in wanted.items():
        uses = [call for call in calls.found if model.get_submodule(call.part) is model.get_submodule(path)]
        if len(uses) > len(all_for) or len({each.after for each in all_for}) > 1:
            for each in all_for:
                located[each.node.output] = (
                    f"{path} is called {len(uses)} times, and not all should change alike"
                )
    return located


def _swapped(model: nn.Module, found: Plan, located: Mapping[str, nn.Module | str]) -> nn.Module:
    """The model with other resizes, changed in place."""
    for each in found.mended:
        old = located[each.node.output]
        assert isinstance(old, nn.Module)
        size = old.size if isinstance(old, nn.Upsample) else None
        words = ", ".join(dict.fromkeys(map(str, each.after)))
        new = Resampling(each.operator, words=words, size=size)
        new.training = old.training
        model = exchanged(model, old, new)
    return model
