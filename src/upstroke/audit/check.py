"""Turn a model into the report of what every rule says of everything that it judges."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Generic, Literal

from torch import nn

from upstroke.audit.reading import Reading, read
from upstroke.audit.record import record_of
from upstroke.audit.rule import Rule, S, Severity, Subject, Verdict, chosen
from upstroke.audit.subjects import (
    JoinReading,
    ModelReading,
    OutputReading,
    ReductionReading,
    read_reduction,
)
from upstroke.graph import Graph, joins, reductions, sites

__all__ = ["Finding", "Judged", "Report", "check"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule's finding at one subject.

    Attributes:
        rule: the rule.
        site: name of what it was found at: an upsampling site, a join, a strided layer, an output, the model.
        severity: of this finding.
        verdict: what the rule said.
    """

    rule: Rule
    site: str
    severity: Severity
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged(Generic[S]):
    """A subject with what was measured of it and what the rules said.

    Attributes:
        reading: what was measured.
        verdicts: by the codes of the rules that judge such subjects.
    """

    reading: S
    verdicts: Mapping[str, Verdict]

    @property
    def is_skipped(self) -> bool:
        """Whether rules were asked and none could judge it."""
        return bool(self.verdicts) and all(verdict.kind == "skipped" for verdict in self.verdicts.values())


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """What a check found.

    Attributes:
        graph: the model, as it was read.
        rules: that were asked.
        sites: every upsampling site, in the order in which they run.
        joins: every join of maps, in order.
        reductions: every strided convolution and pool, in order.
        outputs: the maps that the model gives.
        model: the model as a whole.
        probe: by kind what test signals through the real model show, as plain data; None without any.
    """

    graph: Graph
    rules: tuple[Rule, ...]
    sites: tuple[Judged[Reading], ...]
    joins: tuple[Judged[JoinReading], ...]
    reductions: tuple[Judged[ReductionReading], ...]
    outputs: tuple[Judged[OutputReading], ...]
    model: Judged[ModelReading]
    probe: Mapping[str, Any] | None = None

    @property
    def judged(self) -> tuple[Judged[Any], ...]:
        """Everything that was judged: sites, joins, strided layers, outputs, the model."""
        return (*self.sites, *self.joins, *self.reductions, *self.outputs, self.model)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, in the order of what was judged."""
        return tuple(finding for judged in self.judged for finding in self._findings_at(judged))

    def _findings_at(self, judged: Judged[Any]) -> Iterator[Finding]:
        for rule in self.rules:
            verdict = judged.verdicts.get(rule.code)
            if verdict is not None and verdict.kind == "finding":
                severity = verdict.severity or rule.severity
                yield Finding(rule=rule, site=judged.reading.name, severity=severity, verdict=verdict)

    def as_json(self) -> dict[str, Any]:
        """The record `upstroke.check/1`: plain data without NaN or infinity."""
        return record_of(self)


def check(
    model: nn.Module | Graph | str | PathLike[str],
    inputs: Any = None,  # noqa: ANN401 - tensors for a module, sizes for a file
    *,
    keywords: Mapping[str, Any] | None = None,
    name: str = "",
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    conserve: bool = False,
    probe: Literal["values"] | None = None,
    seed: int = 0,
) -> Report:
    """Judge the upsampling of a model by every rule.

    Args:
        model: a PyTorch module, which is run once; the path of an ONNX file, which is not; or a graph.
        inputs: for a module the arguments of one forward pass, a tensor or a tuple; for a file the sizes of
            its inputs, a tuple or a mapping from names to tuples, if it leaves them open.
        keywords: further arguments of a module's forward pass, by name.
        name: what to call the model; by default the module's type or the file's name.
        select: codes of the rules to ask, or what they begin with; by default all.
        ignore: codes of rules not to ask.
        conserve: whether the model promises to keep what comes in, so that the rules of conservation are
            asked as well.
        probe: "values" runs the real model on noise, a constant and coordinate ramps besides; a file is run
            by onnxruntime.
        seed: of the probe's random numbers.

    Raises:
        FileError: the file is no model, or onnxruntime cannot run it for a probe.
        MissingExtraError: a package that reads or runs files is not installed.
        OptionError: there is no such rule, or the model cannot take the inputs or a probe's signals.

    >>> import torch
    >>> odd = nn.Sequential(nn.ConvTranspose2d(4, 4, 3, stride=2), nn.Tanh())
    >>> [finding.rule.code for finding in check(odd, torch.rand(1, 4, 8, 8)).findings]
    ['UP101', 'UP102', 'UP105']
    """
    rules = chosen(select, ignore, conserve=conserve)
    graph = model if isinstance(model, Graph) else _graph(model, inputs, keywords)
    if name:
        graph = replace(graph, model=name)
    found = sites(graph)
    readings = [read(site, graph, found) for site in found]
    return Report(
        graph=graph,
        rules=rules,
        sites=tuple(_judged(reading, rules) for reading in readings),
        joins=tuple(_judged(JoinReading(branching=each), rules) for each in joins(graph, found)),
        reductions=tuple(_judged(read_reduction(node, graph), rules) for node in reductions(graph)),
        outputs=tuple(_judged(OutputReading(tensor=name), rules) for name in graph.outputs),
        model=_judged(ModelReading(graph=graph, sites=found), rules),
        probe=None
        if probe is None
        else {"values": _values(model, inputs, keywords, graph, readings, seed=seed)},
    )


def _values(
    model: nn.Module | Graph | str | PathLike[str],
    inputs: Any,  # noqa: ANN401
    keywords: Mapping[str, Any] | None,
    graph: Graph,
    readings: Sequence[Reading],
    *,
    seed: int,
) -> dict[str, Any]:
    """What test signals through the real model show, as plain data."""
    # late, because most checks run nothing
    from upstroke.audit.periods import periods_of
    from upstroke.audit.values import probed

    periods = periods_of(graph, readings)
    return probed(model, _arguments(inputs), keywords, graph=graph, periods=periods, seed=seed)


def _graph(
    model: nn.Module | str | PathLike[str],
    inputs: Any,  # noqa: ANN401
    keywords: Mapping[str, Any] | None,
) -> Graph:
    if isinstance(model, nn.Module):
        from upstroke.graph.torch import record

        return record(model, _arguments(inputs), kwargs=keywords, name=type(model).__name__)
    from upstroke.graph.onnx import read_onnx

    return read_onnx(Path(model), sizes=inputs)


def _arguments(inputs: Any) -> Sequence[Any]:  # noqa: ANN401
    """What a module's forward pass is called with."""
    return inputs if isinstance(inputs, tuple | list) else () if inputs is None else (inputs,)


def _judged(reading: S, rules: Sequence[Rule]) -> Judged[S]:
    asked = (rule for rule in rules if isinstance(reading, rule.of))
    return Judged(reading=reading, verdicts={rule.code: _verdict(rule, reading) for rule in asked})


def _verdict(rule: Rule, reading: Subject) -> Verdict:
    """Ask a rule; what could not be read is skipped, never ok."""
    skipped = Verdict(kind="skipped", words=reading.reason)
    if reading.reason and not rule.reads_steps:
        return skipped
    verdict = rule.judge(reading)
    return skipped if reading.reason and verdict.kind == "ok" else verdict
