"""Turn a model into the report of what every rule says of every upsampling site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from upstroke.audit.reading import Reading, read
from upstroke.audit.record import record_of
from upstroke.audit.rule import Rule, Severity, Verdict, chosen
from upstroke.graph import Branching, Graph, joins, sites

__all__ = ["Finding", "Judged", "Report", "check"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule's finding at one site.

    Attributes:
        rule: the rule.
        site: name of the site.
        severity: of this finding.
        verdict: what the rule said.
    """

    rule: Rule
    site: str
    severity: Severity
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A site with what was measured of it and what the rules said.

    Attributes:
        reading: what was measured.
        verdicts: by the rules' codes.
    """

    reading: Reading
    verdicts: Mapping[str, Verdict]

    @property
    def is_skipped(self) -> bool:
        """Whether no rule could judge the site."""
        return all(verdict.kind == "skipped" for verdict in self.verdicts.values())


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """What a check found.

    Attributes:
        graph: the model, as it was read.
        rules: that were asked.
        sites: every upsampling site, in the order in which they run.
        joins: the joins that grown maps come to.
    """

    graph: Graph
    rules: tuple[Rule, ...]
    sites: tuple[Judged, ...]
    joins: tuple[Branching, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, in the order of the sites."""
        return tuple(
            Finding(
                rule=rule,
                site=judged.reading.site.name,
                severity=judged.verdicts[rule.code].severity or rule.severity,
                verdict=judged.verdicts[rule.code],
            )
            for judged in self.sites
            for rule in self.rules
            if judged.verdicts[rule.code].kind == "finding"
        )

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
) -> Report:
    """Judge every upsampling site of a model by every rule.

    Args:
        model: a PyTorch module, which is run once; the path of an ONNX file, which is not; or a graph.
        inputs: for a module the arguments of one forward pass, a tensor or a tuple; for a file the sizes of
            its inputs, a tuple or a mapping from names to tuples, if it leaves them open.
        keywords: further arguments of a module's forward pass, by name.
        name: what to call the model; by default the module's type or the file's name.
        select: codes of the rules to ask, or what they begin with; by default all.
        ignore: codes of rules not to ask.

    Raises:
        FileError: the file is no model.
        OptionError: there is no such rule, or the model cannot take the inputs.

    >>> import torch
    >>> odd = nn.Sequential(nn.ConvTranspose2d(4, 4, 3, stride=2), nn.Tanh())
    >>> [finding.rule.code for finding in check(odd, torch.rand(1, 4, 8, 8)).findings]
    ['UP101', 'UP102', 'UP105']
    """
    rules = chosen(select, ignore)
    graph = model if isinstance(model, Graph) else _graph(model, inputs, keywords)
    if name:
        graph = replace(graph, model=name)
    found = sites(graph)
    return Report(
        graph=graph,
        rules=rules,
        sites=tuple(_judged(read(site, graph), rules) for site in found),
        joins=joins(graph, found),
    )


def _graph(
    model: nn.Module | str | PathLike[str],
    inputs: Any,  # noqa: ANN401
    keywords: Mapping[str, Any] | None,
) -> Graph:
    if isinstance(model, nn.Module):
        from upstroke.graph.torch import record

        arguments = inputs if isinstance(inputs, tuple | list) else () if inputs is None else (inputs,)
        return record(model, arguments, kwargs=keywords, name=type(model).__name__)
    from upstroke.graph.onnx import read_onnx

    return read_onnx(Path(model), sizes=inputs)


def _judged(reading: Reading, rules: Sequence[Rule]) -> Judged:
    return Judged(reading=reading, verdicts={rule.code: _verdict(rule, reading) for rule in rules})


def _verdict(rule: Rule, reading: Reading) -> Verdict:
    """Ask a rule; what could not be read is skipped, never ok."""
    skipped = Verdict(kind="skipped", words=reading.reason)
    if reading.reason and not rule.reads_steps:
        return skipped
    verdict = rule.judge(reading)
    return skipped if reading.reason and verdict.kind == "ok" else verdict
