"""The verb `check`: models become what is wrong with their upsampling, in words, as JSON, SARIF or a page."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from upstroke.cli.model import (
    Factory,
    Origin,
    built_with,
    current_folder_first,
    function_of,
    located,
    made_by,
    origin_of,
)
from upstroke.cli.model_inputs import sizes_for_file, tensors_for_module
from upstroke.cli.options import (
    MODEL,
    RULES,
    Example,
    FailOn,
    Ignore,
    Inputs,
    Output,
    Overwrite,
    Quiet,
    ReportFormat,
    Seed,
    Select,
    Shapes,
    Verbose,
    Weights,
    example,
    file_name,
    refuse_both,
    refuse_existing,
)
from upstroke.cli.output import deliver, json_text, page_for
from upstroke.cli.settings import SCHEMA_OF_SEVERAL, Settings, project_of, settled
from upstroke.errors import FileError, OptionError, UpstrokeError

if TYPE_CHECKING:
    from upstroke.audit import Report

__all__ = ["ALL_SKIPPED", "FINDINGS", "PROBES", "check", "exit_code", "refuse_for_file", "without_noise"]

FINDINGS = 1
UNREADABLE = 2
ALL_SKIPPED = 3
# From the best to the worst: of several models the worst decides.
BY_WEIGHT = (0, ALL_SKIPPED, FINDINGS, UNREADABLE)

PROBES = ("values", "geometry", "all")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Input:
    """What the models are run on.

    Attributes:
        examples: shapes of single inputs.
        function: that makes them all.
        weights: of what a factory builds.
        seed: of random numbers.
        probe: the kind of test signals that are sent through them besides.
    """

    examples: tuple[Example, ...]
    function: Factory | None
    weights: Path | None
    seed: int
    probe: Literal["values", "geometry", "all"] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Outcome:
    """What became of one model.

    Attributes:
        model: what was typed for it.
        report: what was found; None where it could not be checked.
        record: the same as plain data, without what stood in the baseline.
        origin: where the model is defined, where that is known.
        reason: why it could not be checked.
    """

    model: str
    report: "Report | None" = None
    record: dict[str, Any] | None = None
    origin: Origin | None = None
    reason: str = ""


def check(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL", help="An .onnx file, or package.module:factory; one or several."),
    ],
    shapes: Shapes = None,
    inputs: Inputs = None,
    weights: Weights = None,
    probe: Annotated[
        Literal["values", "geometry", "all"] | None,
        typer.Option(
            "--probe",
            metavar="[values|geometry|all]",
            help="Run the model on test signals too: noise, a constant, ramps; or positions, against grids.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    seed: Seed = 0,
    select: Select = None,
    ignore: Ignore = None,
    conserve: Annotated[
        bool | None,
        typer.Option(
            "--conserve/--no-conserve",
            help="Ask the rules of conservation too: the model promises to keep mass.",
            rich_help_panel=RULES,
            show_default=False,
        ),
    ] = None,
    fail_on: FailOn = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            metavar="FILE",
            parser=file_name,
            help="An earlier result as JSON: only what is new since then is shown and counts.",
            rich_help_panel=RULES,
        ),
    ] = None,
    no_baseline: Annotated[
        bool,
        typer.Option("--no-baseline", help="Show all, whatever the project says.", rich_help_panel=RULES),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            parser=file_name,
            help="Where tool.upstroke is (default: the nearest pyproject.toml that has it).",
            rich_help_panel=RULES,
        ),
    ] = None,
    isolated: Annotated[
        bool, typer.Option("--isolated", help="Go without tool.upstroke.", rich_help_panel=RULES)
    ] = False,
    form: ReportFormat = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check the upsampling of models: an ONNX file is read, what package.module:factory builds is run once.

    Exit codes: 0 nothing found from --fail-on up, 1 findings, 2 could not be read, 3 every site was skipped.

    upstroke check model.onnx

    upstroke check nets:generator --input 1x100x1x1 --weights generator.pth
    """
    _refuse_targets([*models, weights, config], form=form, output=output, overwrite=overwrite)
    _refuse_combinations(models, shapes, inputs, weights, form=form)
    given = _Input(
        examples=tuple(example(words) for words in shapes or ()),
        function=None if inputs is None else function_of(inputs),
        weights=weights,
        seed=seed,
        probe=probe,
    )
    settings = settled(
        project_of(config, isolated=isolated),
        select=select or (),
        ignore=ignore or (),
        conserve=conserve,
        fail_on=fail_on,
        baseline=baseline,
        no_baseline=no_baseline,
    )
    outcomes = _outcomes(models, given, settings, quiet=quiet)
    for note in () if quiet else (*_unknown_to_baseline(outcomes, settings), *_needless(outcomes, settings)):
        typer.echo(f"upstroke: {note}", err=True)
    if any(each.record is not None for each in outcomes):
        text = _rendered(outcomes, form=form, output=output, verbose=verbose)
        deliver(text, output=output, overwrite=overwrite, quiet=quiet)
    raise typer.Exit(max((_code(each, settings) for each in outcomes), key=BY_WEIGHT.index))


def exit_code(record: dict[str, Any], *, fail_on: str) -> int:
    """0 clean or nothing to check, 1 findings that weigh enough, 3 there were sites and all were skipped.

    >>> exit_code({"findings": [], "summary": {"sites": 2, "skipped": 2}}, fail_on="error")
    3
    """
    from upstroke.audit import SEVERITIES

    weighty = () if fail_on == "never" else SEVERITIES[SEVERITIES.index(fail_on) :]
    if any(finding["severity"] in weighty for finding in record["findings"]):
        return FINDINGS
    summary = record["summary"]
    return ALL_SKIPPED if summary["sites"] and summary["skipped"] == summary["sites"] else 0


def _code(outcome: _Outcome, settings: Settings) -> int:
    return UNREADABLE if outcome.record is None else exit_code(outcome.record, fail_on=settings.fail_on)


def _outcomes(
    models: Sequence[str], given: _Input, settings: Settings, *, quiet: bool
) -> tuple[_Outcome, ...]:
    """Check one model after the other; of several, one that cannot be read does not keep the others."""
    if len(models) == 1:
        return (_outcome(models[0], given, settings, alone=True, quiet=quiet),)
    outcomes = []
    for words in models:
        try:
            outcomes.append(_outcome(words, given, settings, alone=False, quiet=quiet))
        except UpstrokeError as error:
            typer.echo(f"upstroke: {error}", err=True)
            outcomes.append(_Outcome(model=words, reason=str(error)))
    return tuple(outcomes)


def _outcome(words: str, given: _Input, settings: Settings, *, alone: bool, quiet: bool) -> _Outcome:
    from upstroke.audit import since

    subject = located(words)
    with without_noise():
        report = _checked(subject, given, settings, quiet=quiet)
        origin = origin_of(subject)
    record = report.as_json()
    if settings.baseline is not None:
        record = since(record, settings.baseline.of(record["model"], alone=alone))
    return _Outcome(model=words, report=report, record=record, origin=origin)


def _checked(subject: Path | Factory, given: _Input, settings: Settings, *, quiet: bool) -> "Report":
    import torch

    from upstroke import audit
    from upstroke.files import read_state_dict

    def judge(model: Any, inputs: Any, **more: Any) -> "Report":  # noqa: ANN401 - what audit.check takes
        return audit.check(
            model,
            inputs,
            select=settings.select,
            ignore=settings.ignore,
            conserve=settings.conserve,
            suppress=settings.suppress,
            probe=given.probe,
            seed=given.seed,
            **more,
        )

    if isinstance(subject, Path):
        refuse_for_file(subject, weights=given.weights, function=given.function)
        return judge(subject, sizes_for_file(given.examples))
    state = None if given.weights is None else read_state_dict(given.weights)
    # what the model imports late is found there too, and weights drawn at random are the same in every run
    with current_folder_first(), torch.random.fork_rng(devices=()):
        torch.manual_seed(given.seed)
        module = built_with(subject, state, quiet=quiet)
        if given.function is not None:
            return judge(module, made_by(given.function), name=subject.words)
        inputs, keywords = tensors_for_module(module, given.examples, seed=given.seed)
        return judge(module, inputs, keywords=keywords, name=subject.words)


def _rendered(outcomes: Sequence[_Outcome], *, form: str, output: Path | None, verbose: bool) -> str:
    records = [each.record for each in outcomes if each.record is not None]
    failed = [(each.model, each.reason) for each in outcomes if each.record is None]
    if form == "json":
        return json_text(records[0] if len(outcomes) == 1 else _several(records, failed))
    if form == "sarif":
        return json_text(_sarif(outcomes))
    if form == "html":
        from upstroke.report.check_page import check_page

        return check_page(records[0])
    from upstroke.report.check_text import check_text
    from upstroke.report.checks_text import checks_text

    page = page_for(output)
    if len(outcomes) == 1:
        return check_text(records[0], width=page.width, colour=page.colour, verbose=verbose)
    return checks_text(records, failed=len(failed), width=page.width, colour=page.colour, verbose=verbose)


def _several(records: list[dict[str, Any]], failed: list[tuple[str, str]]) -> dict[str, Any]:
    from upstroke import __version__

    return {
        "schema": SCHEMA_OF_SEVERAL,
        "version": __version__,
        "checks": records,
        "failed": [{"model": model, "reason": reason} for model, reason in failed],
    }


def _sarif(outcomes: Sequence[_Outcome]) -> dict[str, Any]:
    from upstroke.audit import page_of
    from upstroke.report.sarif import Source, sarif

    checks = [
        (each.record, None if each.origin is None else Source(file=each.origin.file, line=each.origin.line))
        for each in outcomes
        if each.record is not None
    ]
    codes = {rule["code"] for record, _ in checks for rule in record["rules"]}
    failed = [(each.model, each.reason) for each in outcomes if each.record is None]
    return sarif(checks, pages={code: page_of(code) for code in codes}, failed=failed, folder=Path.cwd())


def _unknown_to_baseline(outcomes: Sequence[_Outcome], settings: Settings) -> Iterator[str]:
    """Say which models the baseline does not know, so that all they have is new."""
    if settings.baseline is None:
        return
    for each in outcomes:
        if each.record is not None:
            model = each.record["model"]
            earlier = settings.baseline.of(model, alone=len(outcomes) == 1)
            if earlier is None:
                yield f"{settings.baseline.file} says nothing of {model}, so all its findings are new"
            elif earlier["model"] != model:
                yield f"{settings.baseline.file} is of {earlier['model']}; {model} is compared with it"


def _needless(outcomes: Sequence[_Outcome], settings: Settings) -> Iterator[str]:
    """Say which suppressions cover nothing in any of the models that they speak of."""
    reports = [each.report for each in outcomes if each.report is not None]
    for suppression, place in zip(settings.suppress, settings.places, strict=True):
        concerned = [each for each in reports if suppression.concerns(each.graph.model)]
        if concerned and all(suppression in each.needless for each in concerned):
            models = ", ".join(each.graph.model for each in concerned)
            what = f"(site {suppression.site!r}, {suppression.code})"
            yield f"{place} {what} covers nothing in {models}; take it out"


def _refuse_targets(
    sources: Sequence[str | Path | None], *, form: str, output: Path | None, overwrite: bool
) -> None:
    """Refuse before any work what would be refused after it, and what would replace what is read."""
    if form == "html" and output is None:
        msg = "a page is for a browser and not for a terminal; got no --output; give --output report.html"
        raise OptionError(msg)
    refuse_existing(output, overwrite=overwrite)
    for source in sources:
        if output is not None and source and os.path.realpath(output) == os.path.realpath(source):
            msg = f"--output must not be what is checked; got {output} for both; name another file"
            raise FileError(msg)


def _refuse_combinations(
    models: Sequence[str],
    shapes: Sequence[str] | None,
    inputs: str | None,
    weights: Path | None,
    *,
    form: str,
) -> None:
    refuse_both(shapes, inputs)
    if len(models) > 1 and weights is not None:
        msg = f"--weights belongs to one model; got {len(models)} models; check them one by one"
        raise OptionError(msg)
    if len(models) > 1 and form == "html":
        msg = f"a page shows one model; got {len(models)} models; check them one by one"
        raise OptionError(msg)


def refuse_for_file(file: Path, *, weights: Path | None, function: Factory | None) -> None:
    """Refuse for an ONNX file what belongs to the code that builds a model."""
    if weights is not None:
        msg = f"--weights belongs to package.module:factory; {file} has its own; leave --weights out"
        raise OptionError(msg)
    if function is not None:
        msg = (
            f"--inputs belongs to package.module:factory; {file} is read and not run; give sizes that it "
            "leaves open as --input 1x3x64x64"
        )
        raise OptionError(msg)


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Keep warnings of torch and onnx to ourselves, and what the user's own code prints off the result."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield
