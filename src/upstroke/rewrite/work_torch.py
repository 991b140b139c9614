"""Turn a PyTorch module into a workpiece of a fix: recorded, and rewritten by its modules or as a graph."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import is_parametrized

from upstroke.audit import Report, check
from upstroke.errors import NotRepresentableError, OptionError, ShapeError
from upstroke.graph import Graph
from upstroke.graph.steps import Resize
from upstroke.graph.torch import record
from upstroke.graph.torch_calls import Calls
from upstroke.rewrite.change import Change, Form, Left
from upstroke.rewrite.changes import changes
from upstroke.rewrite.counting import parameters_of_module
from upstroke.rewrite.fixed import Moved, Pair, Repaired
from upstroke.rewrite.measure import AS_IT_IS, gained, words_of_gain
from upstroke.rewrite.memory import peak_of_module
from upstroke.rewrite.outputs import moved
from upstroke.rewrite.repair import mended_module
from upstroke.rewrite.runtime_pytorch import calls_of
from upstroke.rewrite.torch_export import save_exported
from upstroke.rewrite.torch_fx import located, rewritten_fx
from upstroke.rewrite.torch_parts import part_of, stock_of
from upstroke.rewrite.torch_swap import NotDone, swapped
from upstroke.rewrite.torch_traced import traced
from upstroke.rewrite.variants import Variant, open_axes_of_module, variants
from upstroke.rewrite.verify import Verified, verified
from upstroke.rewrite.verify_torch import runner, verified_modules
from upstroke.rewrite.work import SIZES, Applied, Chosen, Measured, Progress

__all__ = ["WorkTorch"]

# After so many seconds no further size of a traced model is tried.
SECONDS_OF_SIZES = 30.0


class WorkTorch:
    """A module, the copy of it that is being rewritten, and an example of its inputs.

    Args:
        model: stays as it is.
        inputs: arguments of a forward pass, in order.
        keywords: by name.
        name: of the model.
        select: codes of what is to be done.
        sites: at which; by default all.
        tolerance: of relative differences in the model's own precision; None for the usual one.
        seed: of random inputs.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Sequence[Any],
        keywords: Mapping[str, Any],
        *,
        name: str,
        select: Sequence[str],
        sites: Sequence[str],
        tolerance: float | None,
        seed: int,
    ) -> None:
        self.name, self.source, self.runtime = name, "PyTorch", "pytorch"
        self.original: nn.Module = model
        self.given: nn.Module = model
        self.model: nn.Module = model
        self._inputs, self._keywords = tuple(inputs), dict(keywords)
        self._select, self._sites = select, sites
        self._tolerance, self._seed = tolerance, seed
        self._calls = Calls()
        self._graph: Graph | None = None
        self._how = ""
        self._said: list[str] = []
        self._done: list[dict[tuple[str, str], Form]] = []

    def read(self) -> Graph:
        """The graph of one recorded pass, and which maps each module, or node of a traced graph, gives."""
        if isinstance(self.model, fx.GraphModule) and self._how:
            found = located(self.model, self._inputs, keywords=self._keywords, name=self.name)
            self._graph, self._calls = found.graph, found.calls
        else:
            self._calls = Calls()
            self._graph = record(
                self.model, self._inputs, kwargs=self._keywords, name=self.name, calls=self._calls
            )
        return self._graph

    def checked(self, repair: Sequence[str]) -> Report:
        """The check of what it has become so far; sizes are tried only where they are to be repaired."""
        return check(
            self.model,
            (self._inputs, self._keywords),
            name=self.name,
            ignore=() if SIZES in repair else (SIZES,),
            conserve=any(code.startswith("UP4") for code in repair),
        )

    def mended(self, codes: Sequence[str], tell: Progress) -> tuple["WorkTorch", tuple[Repaired, ...]]:
        """A workpiece in which findings of these codes are mended, and what became of each."""
        mended = mended_module(self.given, self._inputs, self._keywords, codes, sites=self._sites, tell=tell)
        work = self.again()
        work.given = work.model = mended.model
        return work, mended.repaired

    def planned(self, graph: Graph) -> tuple[Change | Left, ...]:
        """What can be rewritten next; nothing that a module in training mode computes otherwise."""
        found = changes(
            graph, target="pytorch", select=self._select, sites=self._sites, others=self._elsewhere(graph)
        )
        modules = dict(self.given.named_modules())
        return tuple(_in_evaluation(each, modules) for each in found)

    def candidates(self, change: Change) -> Mapping[str, Callable[[], Any]]:
        """The replaced calls as PyTorch's own, and the part in each form that has one."""
        x = self._map_of(change)
        calls: dict[str, Callable[[], Any]] = {AS_IT_IS: _call(stock_of(change), x)}
        for form in change.forms:
            try:
                part = part_of(change, form, dtype=x.dtype, device=x.device)
            except NotRepresentableError:
                continue
            calls[form] = _call(part.eval(), x)
        return calls

    def apply(self, chosen: Chosen) -> Applied:
        """Swap modules where a change is modules' work; where it is not, trace the model and read it anew."""
        assert self._graph is not None
        self._done.append({(change.site, change.last): form for change, form in chosen})
        if self._how:
            return self._apply_in_graph(chosen)
        result = swapped(self.model, self._graph, self._calls, chosen)
        self.model = result.model
        self._said += [words for each in result.done for words in each.said]
        how = {each.change.site: f"swapped at {', '.join(each.parts)}" for each in result.done}
        if not result.not_done:
            return Applied(how=how)
        if any(part.training for part in self.model.modules()):
            reason = "a graph traced of it would evaluate from then on; call model.eval() first"
            return Applied(how=how, left=tuple(_left(each, reason) for each in result.not_done))
        try:
            found = traced(self.model, self._inputs, keywords=self._keywords)
            self._check_sizes(found.module, found.how)
        except OptionError as error:
            return Applied(how=how, left=tuple(_left(each, str(error)) for each in result.not_done))
        self.model, self._how = found.module, found.how
        return Applied(how=how, postponed=frozenset(each.change.site for each in result.not_done))

    def _check_sizes(self, graph: nn.Module, how: str) -> None:
        """Refuse a traced model that takes other sizes than the model."""
        old, new = runner(self.model), runner(graph)
        found = verified(
            old, new, self._variants(), tolerance=math.inf, dtype="its own precision", seed=self._seed,
            seconds=SECONDS_OF_SIZES,
        )  # fmt: skip
        if any(case.fault for case in found.cases):
            msg = f"the model traced by {how} takes other sizes than the model: {found.words}"
            raise OptionError(msg)

    def _apply_in_graph(self, chosen: Chosen) -> Applied:
        assert isinstance(self.model, fx.GraphModule)
        parts = []
        for change, form in chosen:
            x = self._map_of(change)
            parts.append((change, part_of(change, form, dtype=x.dtype, device=x.device)))
        result = rewritten_fx(self.model, self._calls, parts)
        self.model = result.module
        return Applied(
            how={each.site: f"in a graph of {self._how}" for each in result.done}, left=result.left
        )

    def compared(self, progress: Progress) -> tuple[Verified, ...]:
        """Old and new in double precision, where the model runs so, and in its own."""
        found = verified_modules(
            self.given,
            self.model,
            self._variants(),
            remake=self._remade,
            tolerance=self._tolerance,
            seed=self._seed,
            progress=progress,
        )
        return tuple(each for each in (found.double, found.own) if each is not None)

    def moved(self) -> tuple[Moved, ...]:
        """How far the outputs are from those of the user's model, on the example."""
        old, new = runner(self.original), runner(self.model)
        return moved(old(*self._inputs, **self._keywords), new(*self._inputs, **self._keywords))

    def slower(self, *, seconds: float) -> float:
        """How many times as long it takes as what exact rewrites began with."""
        both = {"before": self.given, "after": self.model}
        with calls_of(both, self._inputs, self._keywords) as calls:
            return 1 / gained(calls["before"], calls["after"], seconds=seconds).ratio

    def measured(self, *, sites: Sequence[float] | None, seconds: float) -> Measured:
        """Medians of one run, in turns, and the tensors alive at the worst moment."""
        both = {"before": self.original, "after": self.model}
        with calls_of(both, self._inputs, self._keywords) as calls:
            gain = gained(calls["before"], calls["after"], sites=sites, seconds=seconds)
        before, after = (
            peak_of_module(each, self._inputs, self._keywords) for each in (self.original, self.model)
        )
        return Measured(
            milliseconds=Pair(before=1e3 * gain.before.median, after=1e3 * gain.after.median),
            memory=Pair(before=before.bytes, after=after.bytes),
            memory_of=before.how,
            share=gain.share,
            words=words_of_gain(gain),
        )

    def parameters(self) -> Pair:
        """Parameters and buffers of both."""
        return Pair(before=parameters_of_module(self.original), after=parameters_of_module(self.model))

    def again(self) -> "WorkTorch":
        """The module that rewrites began with, to be rewritten anew."""
        work = WorkTorch(
            self.given, self._inputs, self._keywords, name=self.name, select=self._select,
            sites=self._sites, tolerance=self._tolerance, seed=self._seed,
        )  # fmt: skip
        work.original = self.original
        return work

    def notes(self) -> tuple[str, ...]:
        """What swaps left to say, and whether the model is a graph now."""
        graph = f"the new model is a graph that {self._how} made, with the arguments of the old one"
        return (*dict.fromkeys(self._said), *([graph] if self._how else []))

    def save(self, path: Path, *, overwrite: bool) -> tuple[str, ...]:
        """Write a program of `torch.export`."""
        fixed = save_exported(self.model, self._inputs, path, keywords=self._keywords, overwrite=overwrite)
        return (f"{path} takes no other sizes where {', '.join(fixed)}",) if fixed else ()

    def _remade(self, module: nn.Module) -> nn.Module:
        """What becomes of a model of the same layers when all that was done is done to it."""
        wide = Variant(words="", inputs=self._inputs, keywords=self._keywords).to(torch.float64)
        work = WorkTorch(
            module, wide.inputs, wide.keywords, name=self.name, select=self._select, sites=self._sites,
            tolerance=self._tolerance, seed=self._seed,
        )  # fmt: skip
        for done in self._done:
            found = {
                (each.site, each.last): each for each in work.planned(work.read()) if isinstance(each, Change)
            }
            work.apply([(found[key], form) for key, form in done.items()])
        return work.model

    def _variants(self) -> tuple[Variant, ...]:
        graph = record(self.given, self._inputs, kwargs=self._keywords, name=self.name)
        axes = open_axes_of_module(graph, self._inputs, self._keywords)
        return variants(self._inputs, self._keywords, open_axes=axes, seed=self._seed)

    def _elsewhere(self, graph: Graph) -> tuple[Graph, ...]:
        """The model read at other sizes, for what is given a size and not a scale; those that it takes."""
        if not any(isinstance(node.step, Resize) and not node.step.given for node in graph.nodes):
            return ()
        axes = open_axes_of_module(graph, self._inputs, self._keywords)
        found = []
        for variant in variants(self._inputs, self._keywords, open_axes=axes, seed=self._seed)[2:]:
            try:
                found.append(record(self.model, variant.inputs, kwargs=variant.keywords, name=self.name))
            except (OptionError, ShapeError):
                continue
        return tuple(found)

    def _map_of(self, change: Change) -> Tensor:
        """Random numbers of the shape and type of the map that comes into a change."""
        assert self._graph is not None
        shape = tuple(size or 1 for size in self._graph.shapes[change.first])
        weight = next((each for each in self.given.parameters() if each.is_floating_point()), torch.zeros(()))
        generator = torch.Generator().manual_seed(self._seed)
        return torch.randn(shape, generator=generator).to(weight)


def _left(undone: NotDone, reason: str) -> Left:
    """A change that neither modules nor a graph can make."""
    words = f"{undone.reason}; and {reason}"
    return Left(site=undone.change.site, codes=undone.change.codes, reason=words)


def _call(layer: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], Tensor]:
    def call() -> Tensor:
        with torch.inference_mode():
            return layer(x)

    return call


def _in_evaluation(planned: Change | Left, modules: Mapping[str, nn.Module]) -> Change | Left:
    """A change, unless it goes by what a layer computes only in evaluation mode."""
    for node in planned.nodes if isinstance(planned, Change) else ():
        # the second call of a module has a number behind its name
        part = modules.get(node.name) or modules.get(node.name.partition(":")[0])
        reason = "" if part is None or not part.training else _only_in_evaluation(part, node.name)
        if reason:
            words = f"{reason}; call model.eval() first"
            return Left(site=planned.site, codes=planned.codes, reason=words)
    return planned


def _only_in_evaluation(part: nn.Module, name: str) -> str:
    """What a layer in training mode does otherwise in evaluation mode; empty where that is nothing."""
    if isinstance(part, nn.modules.batchnorm._BatchNorm):
        return (
            f"batch normalisation {name} is in training mode, where it goes by the statistics of each batch"
        )
    if is_parametrized(part) or part._forward_pre_hooks:
        return f"{name} is in training mode, where what makes its weights may do so otherwise in each call"
    return ""
