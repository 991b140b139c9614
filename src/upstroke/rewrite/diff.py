"""Turn two models into what differs between them: what a check finds, what they cost, what they give."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from upstroke._version import __version__
from upstroke.audit import Finding, Report, check
from upstroke.audit.arguments import arguments
from upstroke.errors import OptionError, first_line
from upstroke.graph.onnx import read_onnx
from upstroke.rewrite.counting import multiply_adds, parameters_of_module, parameters_of_onnx
from upstroke.rewrite.variants import Variant, open_axes_of_module, open_axes_of_onnx, variants
from upstroke.rewrite.verify_torch import runner as runner_of_module

if TYPE_CHECKING:
    import onnx

__all__ = ["Diff", "DiffCase", "OutputChange", "Side", "diff"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One of the two models.

    Attributes:
        report: what a check finds in it.
        parameters: numbers that it holds.
        multiply_adds: at the sizes of the example; None where a size is not known.
    """

    report: Report
    parameters: int
    multiply_adds: float | None


@dataclass(frozen=True, kw_only=True)
class OutputChange:
    """How far one output of the new model is from the old one's.

    Attributes:
        name: of the old one.
        new_name: of the new one.
        largest: largest absolute difference, relative to the largest absolute value of the old one.
        rms: root mean square of the difference, relative to that of the old one.
        mean_shift: mean of the difference, relative to the root mean square of the old one.
        words: why there are no numbers, such as shapes that differ; empty where there are.
    """

    name: str
    new_name: str
    largest: float | None = None
    rms: float | None = None
    mean_shift: float | None = None
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class DiffCase:
    """What both gave for inputs of one size.

    Attributes:
        words: which inputs.
        sizes: shapes of the tensors among them.
        outputs: one for each output of the old model.
        old_refused, new_refused: why a model does not take them; empty where it does.
    """

    words: str
    sizes: tuple[tuple[int, ...], ...]
    outputs: tuple[OutputChange, ...] = ()
    old_refused: str = ""
    new_refused: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Diff:
    """Two models side by side.

    Attributes:
        old, new: the models.
        cases: what they gave, size by size.
    """

    old: Side
    new: Side
    cases: tuple[DiffCase, ...]

    @property
    def gone(self) -> tuple[Finding, ...]:
        """What is found in the old model alone, by code and site."""
        return _without(self.old.report, self.new.report)

    @property
    def added(self) -> tuple[Finding, ...]:
        """What is found in the new model alone, by code and site."""
        return _without(self.new.report, self.old.report)

    @property
    def same(self) -> tuple[Finding, ...]:
        """What is found in both, by code and site, as the new model has it."""
        new, old = self.new.report, self.old.report
        known = set(_keys(old, _places(new)))
        keys = _keys(new, _places(old))
        return tuple(each for each, key in zip(new.findings, keys, strict=True) if key in known)

    @property
    def largest(self) -> float:
        """The largest relative difference of all outputs; infinite where one could not be compared."""
        both = [case for case in self.cases if not (case.old_refused and case.new_refused)]
        if any(case.old_refused or case.new_refused for case in both):
            return math.inf
        found = [each.largest for case in both for each in case.outputs]
        return max((math.inf if each is None else each for each in found), default=0.0)

    def as_json(self) -> dict[str, Any]:
        """The record `upstroke.diff/1`: plain data without NaN or infinity."""
        return {
            "schema": "upstroke.diff/1",
            "version": __version__,
            "old": _side(self.old),
            "new": _side(self.new),
            "findings": {
                "gone": [_finding(each) for each in self.gone],
                "new": [_finding(each) for each in self.added],
                "same": [_finding(each) for each in self.same],
            },
            "largest": self.largest if math.isfinite(self.largest) else None,
            "cases": [_case_json(each) for each in self.cases],
        }


def diff(
    old: "nn.Module | str | PathLike[str] | onnx.ModelProto",
    new: "nn.Module | str | PathLike[str] | onnx.ModelProto",
    inputs: Any = None,  # noqa: ANN401 - tensors for a module, sizes for a file
    *,
    keywords: Mapping[str, Any] | None = None,
    names: Sequence[str] = ("", ""),
    select: str | Sequence[str] = (),
    ignore: str | Sequence[str] = (),
    seed: int = 0,
) -> Diff:
    """Check two models and run both on the same inputs of several sizes.

    Outputs are paired by name where both models name them alike, else by their order.

    Args:
        old: a PyTorch module, the path of an ONNX file, or a model that onnx has loaded.
        new: likewise, of the same kind or of another.
        inputs: as `check` takes them: for a module the arguments of one forward pass, for two files the sizes
            of the inputs that they leave open. A file beside a module gets the module's tensors, in order.
        keywords: further arguments of a module's forward pass, by name.
        names: what to call the two; by default a module's type and a file's name.
        select: codes of the rules to ask, as for `check`.
        ignore: codes of rules not to ask, likewise.
        seed: of random inputs.

    Raises:
        FileError: a file is no model.
        MissingExtraError: a package that reads or runs files is not installed.
        OptionError: there is no such rule, or a model cannot take the inputs.

    >>> up = [nn.Sequential(nn.Upsample(scale_factor=2, mode=mode)) for mode in ("nearest", "bilinear")]
    >>> found = diff(*up, torch.rand(1, 2, 5, 7), select="UP1")
    >>> [each.rule.code for each in found.gone], found.added, found.cases[0].outputs[0].words
    (['UP104'], (), '')
    """
    models = [_loaded(each) for each in (old, new)]
    module = next((each for each in models if isinstance(each, nn.Module)), None)
    given: tuple[Any, ...]
    if module is not None:
        given, named = arguments(module, inputs)
        named = {**named, **(keywords or {})}
    else:
        given, named = _drawn(models[0], inputs, seed), {}
    tensors = _tensors(given, named)
    sides = [
        _checked(each, source, given, named, tensors, name=name, select=select, ignore=ignore)
        for each, source, name in zip(models, (old, new), names, strict=True)
    ]
    graph = sides[0].report.graph
    axes = (
        open_axes_of_module(graph, given, named)
        if isinstance(models[0], nn.Module)
        else open_axes_of_onnx(models[0], graph)
    )
    before, after = (_call(each) for each in models)
    cases = [_case(before, after, each) for each in variants(given, named, open_axes=axes, seed=seed)]
    return Diff(old=sides[0], new=sides[1], cases=tuple(cases))


def _loaded(model: Any) -> Any:  # noqa: ANN401 - a module, or a model of onnx
    if isinstance(model, nn.Module):
        return model
    if isinstance(model, str | PathLike):
        from upstroke.graph.onnx_file import model_from_file, need_onnx

        need_onnx()
        return model_from_file(Path(model))
    if type(model).__name__ == "ModelProto":
        return model
    msg = (
        "a model to compare must be a torch.nn.Module, the path of an ONNX file or a model that onnx has "
        f"loaded; got {type(model).__name__}"
    )
    raise OptionError(msg)


def _drawn(model: "onnx.ModelProto", sizes: Any, seed: int) -> tuple[Tensor, ...]:  # noqa: ANN401 - as check has it
    """Random tensors for the inputs of a file."""
    from upstroke.graph.onnx_shapes import inputs_of
    from upstroke.rewrite.onnx_example import example_sizes, example_tensor

    shapes = example_sizes(model, sizes)
    generator = torch.Generator().manual_seed(seed)
    return tuple(example_tensor(each, shapes[each.name], generator) for each in inputs_of(model.graph))


def _checked(
    model: Any,  # noqa: ANN401 - a module, or a model of onnx
    source: Any,  # noqa: ANN401 - that, or its path
    given: Sequence[Any],
    named: Mapping[str, Any],
    tensors: Sequence[Tensor],
    **asked: Any,  # noqa: ANN401 - what check takes by name
) -> Side:
    if isinstance(model, nn.Module):
        report = check(model, (tuple(given), dict(named)), **asked)
        parameters = parameters_of_module(model)
    else:
        from upstroke.graph.onnx_shapes import inputs_of

        names = [each.name for each in inputs_of(model.graph)]
        if len(names) != len(tensors):
            msg = (
                f"both models must take as many tensors; got {len(tensors)} for the inputs {', '.join(names)}"
            )
            raise OptionError(msg)
        sizes = {name: tuple(each.shape) for name, each in zip(names, tensors, strict=True)}
        is_file = isinstance(source, str | PathLike)
        report = check(source, sizes, **asked) if is_file else check(read_onnx(model, sizes=sizes), **asked)
        parameters = parameters_of_onnx(model)
    return Side(report=report, parameters=parameters, multiply_adds=multiply_adds(report.graph).total)


def _call(model: Any) -> Callable[[Variant], Mapping[str, Tensor]]:  # noqa: ANN401 - a module, or a model of onnx
    """The model as a function from inputs to its outputs by name."""
    if isinstance(model, nn.Module):
        run = runner_of_module(model)
        return lambda variant: run(*variant.inputs, **variant.keywords)
    from upstroke.rewrite.verify_onnx import runner as runner_of_onnx

    session = runner_of_onnx(model)
    return lambda variant: session(*_tensors(variant.inputs, variant.keywords))


def _case(old: Callable[..., Any], new: Callable[..., Any], variant: Variant) -> DiffCase:
    before, old_refused = _ran(old, variant)
    after, new_refused = _ran(new, variant)
    outputs: tuple[OutputChange, ...] = ()
    if not (old_refused or new_refused):
        outputs = tuple(_changed(*pair) for pair in _paired(before, after))
    return DiffCase(
        words=variant.words,
        sizes=variant.sizes,
        outputs=outputs,
        old_refused=old_refused,
        new_refused=new_refused,
    )


def _ran(call: Callable[..., Any], variant: Variant) -> tuple[Mapping[str, Tensor], str]:
    """What a model gives, or why it gives nothing."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        try:
            return call(variant), ""
        except Exception as error:
            return {}, first_line(error)


Named = tuple[str, Tensor | None]


def _paired(old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> list[tuple[Named, Named]]:
    """Outputs that belong together: of the same name if all have theirs, else in order."""
    if set(old) == set(new):
        return [((name, old[name]), (name, new[name])) for name in old]
    first: list[Named] = list(old.items())
    second: list[Named] = list(new.items())
    count = max(len(first), len(second))
    nothing: Named = ("", None)
    first += [nothing] * (count - len(first))
    second += [nothing] * (count - len(second))
    return list(zip(first, second, strict=True))


def _changed(old: Named, new: Named) -> OutputChange:
    (name, before), (new_name, after) = old, new
    words = ""
    if before is None or after is None:
        words = f"only the {'old' if after is None else 'new'} model gives it"
    elif before.shape != after.shape:
        words = f"its shape is {_size(before)} in the old model and {_size(after)} in the new one"
    if words or before is None or after is None:
        return OutputChange(name=name, new_name=new_name, words=words)
    one, other = before.detach().double(), after.detach().double()
    if not bool(torch.isfinite(one).all() and torch.isfinite(other).all()):
        return OutputChange(name=name, new_name=new_name, words="NaN or infinite values in one of them")
    if not one.numel():
        return OutputChange(name=name, new_name=new_name, words="it holds no numbers")
    apart = other - one
    rms = float(one.square().mean().sqrt())
    return OutputChange(
        name=name,
        new_name=new_name,
        largest=_relative(float(apart.abs().max()), float(one.abs().max())),
        rms=_relative(float(apart.square().mean().sqrt()), rms),
        mean_shift=_relative(float(apart.mean()), rms),
    )


def _relative(value: float, to: float) -> float:
    """A part of something; the value itself where that is zero."""
    return value / to if to else value


def _without(report: Report, other: Report) -> tuple[Finding, ...]:
    """The findings of a report that another has not."""
    known = set(_keys(other, _places(report)))
    keys = _keys(report, _places(other))
    return tuple(each for each, key in zip(report.findings, keys, strict=True) if key not in known)


def _keys(report: Report, others: set[str]) -> list[tuple[str, str]]:
    """Code and place of every finding, as the other model has them; none of the model as a whole."""
    return [
        (each.rule.code, "" if each.site == report.graph.model else _place(each.site, others))
        for each in report.findings
    ]


def _places(report: Report) -> set[str]:
    """The names of all that was judged."""
    names = [{each.reading.name for each in report.sites}, {each.reading.name for each in report.joins}]
    names += [{each.reading.name for each in report.reductions}]
    names += [{each.reading.name for each in report.outputs}]
    return set().union(*names)


def _place(name: str, others: set[str]) -> str:
    """A name as another model has it: what was put in place of a site is called SITE/... there, or SITE.0."""
    short = name
    while short not in others and (cut := max(short.rfind("/"), short.rfind("."))) > 0:
        short = short[:cut]
    return short if short in others else name


def _tensors(inputs: Sequence[Any], keywords: Mapping[str, Any]) -> list[Tensor]:
    leaves = pytree.tree_leaves((tuple(inputs), dict(keywords)))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "that of a single number"


def _side(side: Side) -> dict[str, Any]:
    graph = side.report.graph
    return {
        "model": graph.model,
        "source": graph.source,
        "sites": len(side.report.sites),
        "joins": len(side.report.joins),
        "drifts": [
            {
                "join": each.reading.name,
                "drift": None
                if each.reading.branching.drift is None
                else [float(axis) for axis in each.reading.branching.drift],
            }
            for each in side.report.joins
        ],
        "parameters": side.parameters,
        "multiply_adds": side.multiply_adds,
        "inputs": [{"name": name, "shape": _shape(graph.shapes.get(name))} for name in graph.inputs],
        "outputs": [{"name": name, "shape": _shape(graph.shapes.get(name))} for name in graph.outputs],
    }


def _shape(shape: Sequence[int | None] | None) -> list[int | None] | None:
    return None if shape is None else list(shape)


def _finding(finding: Finding) -> dict[str, Any]:
    measure = finding.verdict.measure
    return {
        "code": finding.rule.code,
        "title": finding.rule.title,
        "site": finding.site,
        "severity": finding.severity,
        "measure": measure if measure is not None and math.isfinite(measure) else None,
        "unit": finding.rule.unit,
        "words": finding.verdict.words,
    }


def _case_json(case: DiffCase) -> dict[str, Any]:
    return {
        "inputs": case.words,
        "sizes": [list(size) for size in case.sizes],
        "refused": {"old": case.old_refused or None, "new": case.new_refused or None},
        "outputs": [
            {
                "name": each.name,
                "new_name": each.new_name,
                "relative_difference": each.largest,
                "relative_rms": each.rms,
                "mean_shift": each.mean_shift,
                "words": each.words or None,
            }
            for each in case.outputs
        ],
    }
