"""Turn a model into the report of what every rule says of everything that it judges."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal

from torch import nn

from upstroke.audit.arguments import arguments
from upstroke.audit.reading import Reading, read
from upstroke.audit.record import kind_of, record_of, verdicts_of
from upstroke.audit.rule import RULES, Rule, S, Severity, Subject, Verdict, chosen
from upstroke.audit.shown import frame_of, framed, page_of_record, text_of_record
from upstroke.audit.subjects import (
    JoinReading,
    ModelReading,
    OutputReading,
    ReductionReading,
    read_reduction,
)
from upstroke.audit.suppress import Suppression
from upstroke.errors import FileError, OptionError, ShapeError
from upstroke.graph import Branching, Graph, joins, reductions, sites
from upstroke.graph.places import places
from upstroke.graph.sizes import Sizes

if TYPE_CHECKING:
    import pandas as pd

Probe = Literal["values", "geometry", "all"]

__all__ = ["Finding", "Judged", "Report", "Suppressed", "check"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule's finding at one subject.

    Attributes:
        rule: the rule.
        site: name of what it was found at: an upsampling site, a join, a strided layer, an output, the model.
        kind: of what it was found at, such as transposed, resize, concatenate or output.
        severity: of this finding.
        verdict: what the rule said.
    """

    rule: Rule
    site: str
    kind: str
    severity: Severity
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Suppressed:
    """A finding that is not reported, because it is meant.

    Attributes:
        finding: the finding.
        suppression: what says so, and why.
    """

    finding: Finding
    suppression: Suppression


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged(Generic[S]):
    """A subject with what was measured of it and what the rules said.

    Attributes:
        reading: what was measured.
        verdicts: by the codes of the rules that judge such subjects.
        suppressed: what says that a finding is meant, by the code of its rule.
    """

    reading: S
    verdicts: Mapping[str, Verdict]
    suppressed: Mapping[str, Suppression] = field(default_factory=dict)

    def findings(self, rules: Sequence[Rule]) -> "Iterator[Finding]":
        """What these rules found, the suppressed included."""
        for rule in rules:
            verdict = self.verdicts.get(rule.code)
            if verdict is not None and verdict.kind == "finding":
                yield Finding(
                    rule=rule,
                    site=self.reading.name,
                    kind=kind_of(self.reading),
                    severity=verdict.severity or rule.severity,
                    verdict=verdict,
                )

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
        suppressions: of findings that are meant.
    """

    graph: Graph
    rules: tuple[Rule, ...]
    sites: tuple[Judged[Reading], ...]
    joins: tuple[Judged[JoinReading], ...]
    reductions: tuple[Judged[ReductionReading], ...]
    outputs: tuple[Judged[OutputReading], ...]
    model: Judged[ModelReading]
    probe: Mapping[str, Any] | None = None
    suppressions: tuple[Suppression, ...] = ()

    @property
    def judged(self) -> tuple[Judged[Any], ...]:
        """Everything that was judged: sites, joins, strided layers, outputs, the model."""
        return (*self.sites, *self.joins, *self.reductions, *self.outputs, self.model)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings that no suppression covers, in the order of what was judged."""
        return tuple(
            finding
            for judged in self.judged
            for finding in judged.findings(self.rules)
            if finding.rule.code not in judged.suppressed
        )

    @property
    def suppressed(self) -> tuple[Suppressed, ...]:
        """All other findings, each with the first suppression that covers it."""
        return tuple(
            Suppressed(finding=finding, suppression=judged.suppressed[finding.rule.code])
            for judged in self.judged
            for finding in judged.findings(self.rules)
            if finding.rule.code in judged.suppressed
        )

    @property
    def needless(self) -> tuple[Suppression, ...]:
        """Suppressions that cover no finding in this model, although all their rules were asked."""
        asked = {rule.code for rule in self.rules}
        found = [finding for judged in self.judged for finding in judged.findings(self.rules)]
        return tuple(
            each
            for each in self.suppressions
            if each.concerns(self.graph.model)
            and {code for code in RULES if code.startswith(each.code.upper())} <= asked
            and not any(_covers(each, finding, self.graph.model) for finding in found)
        )

    def as_json(self) -> dict[str, Any]:
        """The record `upstroke.check/1`: plain data without NaN or infinity."""
        return record_of(self)

    def as_text(self, *, width: int | None = None, verbose: bool = False) -> str:
        """What `upstroke check` prints, as wide as the terminal; `verbose` lists what is fine, too."""
        return text_of_record(self.as_json(), width=width, verbose=verbose)

    def as_html(self) -> str:
        """The page that `upstroke check --format html` writes; it needs nothing beside it."""
        return page_of_record(self.as_json())

    def to_frame(self) -> "pd.DataFrame":
        """A table of pandas with a row for each verdict.

        Its columns are what was judged (site, kind), by which rule (code, title), what the rule said
        (verdict, severity, measure, unit, words), from where on it is a finding (threshold) and, of a finding
        that is meant, why (suppressed).

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return frame_of(
            [
                (judged.reading.name, kind_of(judged.reading), verdicts_of(judged, self.rules))
                for judged in self.judged
            ],
            self.as_json(),
        )

    def __str__(self) -> str:
        return self.as_text().rstrip("\n")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return framed(self.as_html())


def check(
    model: nn.Module | Graph | str | PathLike[str],
    inputs: Any = None,  # noqa: ANN401 - tensors for a module, sizes for a file
    *,
    keywords: Mapping[str, Any] | None = None,
    name: str = "",
    select: str | Sequence[str] = (),
    ignore: str | Sequence[str] = (),
    conserve: bool = False,
    probe: Probe | None = None,
    seed: int = 0,
    suppress: Sequence[Suppression] = (),
) -> Report:
    """Judge the upsampling of a model by every rule.

    Args:
        model: a PyTorch module, which is run once; the path of an ONNX file, which is not; or a graph.
        inputs: for a module the arguments of one forward pass: a tensor, a tuple or list of arguments, a
            mapping of keywords, a tuple of both, or a function without arguments that makes any of these;
            arrays of numpy will do. For a file the sizes of its inputs, a tuple or a mapping from names to
            tuples, if it leaves them open.
        keywords: further arguments of a module's forward pass, by name.
        name: what to call the model; by default the module's type or the file's name.
        select: codes of the rules to ask, or what they begin with, one or several; by default all.
        ignore: codes of rules not to ask, one or several.
        conserve: whether the model promises to keep what comes in, so that the rules of conservation are
            asked as well.
        probe: "values" runs the real model on noise, a constant and coordinate ramps besides (a file is run
            by onnxruntime); "geometry" sends positions through it, every kernel taken as its uniform mean,
            and compares where samples sit with what the grids say; "all" does both.
            Where it cannot, `report.probe` has the reason, and the rules are asked all the same.
        seed: of the probe's random numbers.
        suppress: findings that are meant, each with the reason; `report.suppressed` has them.

    Raises:
        FileError: the file is no model.
        MissingExtraError: a package that reads or runs files is not installed.
        OptionError: there is no such rule, or the model cannot take the inputs.

    >>> import torch
    >>> odd = nn.Sequential(nn.ConvTranspose2d(4, 4, 3, stride=2), nn.Tanh())
    >>> report = check(odd, torch.rand(1, 4, 8, 8), select=["UP101", "UP102"])
    >>> [finding.rule.code for finding in report.findings]
    ['UP101', 'UP102']
    """
    if probe not in (None, "values", "geometry", "all"):
        msg = f"probe must be None, 'values', 'geometry' or 'all'; got {probe!r}"
        raise OptionError(msg)
    rules = chosen(select, ignore, conserve=conserve)
    if probe in ("values", "all"):
        _refuse_what_cannot_run(model)
    if isinstance(model, nn.Module):
        inputs, by_name = arguments(model, inputs)
        keywords = {**by_name, **(keywords or {})}
    geometry = probe in ("geometry", "all")
    started = time.perf_counter()
    graph = model if isinstance(model, Graph) else _graph(model, inputs, keywords, geometry=geometry)
    capture = time.perf_counter() - started
    if name:
        graph = replace(graph, model=name)
    found = sites(graph)

    def judged(reading: S) -> Judged[S]:
        return _judged(reading, rules, suppress, model=graph.model)

    readings = [read(site, graph, found) for site in found]
    joined = joins(graph, found)
    asks_sizes = found and any(rule.code == "UP203" for rule in rules)
    sizes = _sizes(model, inputs, keywords, graph, capture) if asks_sizes else None
    probed: dict[str, Any] = {}
    if probe in ("values", "all"):
        probed["values"] = _values(model, inputs, keywords, graph, readings, seed=seed)
    if geometry:
        probed["geometry"] = _geometry(model, inputs, graph, joined)
    return Report(
        graph=graph,
        rules=rules,
        sites=tuple(map(judged, readings)),
        joins=tuple(judged(JoinReading(branching=each)) for each in joined),
        reductions=tuple(judged(read_reduction(node, graph)) for node in reductions(graph)),
        outputs=tuple(judged(each) for each in _outputs(graph, grown=bool(found))),
        model=judged(ModelReading(graph=graph, sites=found, sizes=sizes)),
        probe=None if probe is None else probed,
        suppressions=tuple(suppress),
    )


def _refuse_what_cannot_run(model: nn.Module | Graph | str | PathLike[str]) -> None:
    """Say before any work that no probe can be had of this, or not on this machine."""
    if isinstance(model, Graph):
        msg = (
            "to be probed a model must run, which a graph does not; give the module or the file it comes from"
        )
        raise OptionError(msg)
    if not isinstance(model, nn.Module):
        from upstroke.graph.onnx_run import need_onnxruntime

        need_onnxruntime()


def _values(
    model: nn.Module | Graph | str | PathLike[str],
    inputs: Any,  # noqa: ANN401
    keywords: Mapping[str, Any] | None,
    graph: Graph,
    readings: Sequence[Reading],
    *,
    seed: int,
) -> dict[str, Any]:
    """What test signals through the real model show, or why nothing does, as plain data."""
    # late, because most checks run nothing
    from upstroke.audit.periods import periods_of
    from upstroke.audit.values import probed, unprobed

    periods = periods_of(graph, readings)
    given = inputs if isinstance(model, nn.Module) else ()
    try:
        return probed(model, given, keywords, graph=graph, periods=periods, seed=seed)
    except (FileError, OptionError, ShapeError) as error:
        # what the rules said is known by now, and is not lost to a signal
        return unprobed(str(error), seed=seed)


def _geometry(
    model: nn.Module | Graph | str | PathLike[str],
    inputs: Any,  # noqa: ANN401
    graph: Graph,
    joined: Sequence[Branching],
) -> dict[str, Any]:
    """What positions sent through the real model say of its joins and outputs, as plain data."""
    from upstroke.audit.geometry import geometry_record

    measured = graph.measured
    if isinstance(model, str | PathLike):
        from upstroke.graph.onnx_shadow import measured_onnx

        try:
            measured = measured_onnx(Path(model), sizes=inputs)
        except (FileError, OptionError, ShapeError) as error:
            return geometry_record(graph, joined, {}, reason=str(error))
    return geometry_record(graph, joined, measured)


def _graph(
    model: nn.Module | str | PathLike[str],
    inputs: Any,  # noqa: ANN401
    keywords: Mapping[str, Any] | None,
    *,
    geometry: bool,
) -> Graph:
    if isinstance(model, nn.Module):
        from upstroke.graph.torch import record

        return record(model, inputs, kwargs=keywords, name=type(model).__name__, geometry=geometry)
    if not isinstance(model, str | PathLike):
        msg = f"the model must be a torch.nn.Module or the path of an ONNX file; got {type(model).__name__}"
        raise OptionError(msg)
    if callable(inputs):
        msg = "an ONNX file is not run; got a function for its inputs; give their sizes, as in (1, 3, 64, 64)"
        raise OptionError(msg)
    from upstroke.graph.onnx import read_onnx

    return read_onnx(Path(model), sizes=inputs)


def _sizes(
    model: nn.Module | Graph | str | PathLike[str],
    inputs: Any,  # noqa: ANN401
    keywords: Mapping[str, Any] | None,
    graph: Graph,
    capture: float,
) -> Sizes | None:
    """Which sizes of input a model takes; None of a graph, which nothing can be tried on."""
    if isinstance(model, Graph):
        return None
    if isinstance(model, nn.Module):
        from upstroke.graph.torch_sizes import torch_sizes

        return torch_sizes(model, inputs, graph, kwargs=keywords, capture=capture)
    from upstroke.graph.onnx_sizes import onnx_sizes

    return onnx_sizes(Path(model), graph)


def _outputs(graph: Graph, *, grown: bool) -> Iterator[OutputReading]:
    placed = places(graph)
    for name in graph.outputs:
        yield OutputReading(tensor=name, place=placed.get(name), inputs=graph.inputs, grown=grown)


def _judged(
    reading: S, rules: Sequence[Rule], suppressions: Sequence[Suppression], *, model: str
) -> Judged[S]:
    asked = (rule for rule in rules if isinstance(reading, rule.of))
    bare = Judged(reading=reading, verdicts={rule.code: _verdict(rule, reading) for rule in asked})
    suppressed = {
        finding.rule.code: suppression
        for finding in bare.findings(rules)
        # the first that covers a finding is entered last
        for suppression in reversed(suppressions)
        if _covers(suppression, finding, model)
    }
    return replace(bare, suppressed=suppressed)


def _covers(suppression: Suppression, finding: Finding, model: str) -> bool:
    return suppression.covers(code=finding.rule.code, site=finding.site, model=model)


def _verdict(rule: Rule, reading: Subject) -> Verdict:
    """Ask a rule; what could not be read is skipped, never ok."""
    skipped = Verdict(kind="skipped", words=reading.reason)
    if reading.reason and not rule.reads_steps:
        return skipped
    verdict = rule.judge(reading)
    return skipped if reading.reason and verdict.kind == "ok" else verdict
