"""The verb `check`: a model becomes what is wrong with its upsampling, in words, as JSON, as a page."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from upstroke.cli.model import Factory, built, current_folder_first, load, located, notes_on
from upstroke.cli.model_inputs import sizes_for_file, tensors_for_module
from upstroke.cli.options import (
    Example,
    Output,
    Overwrite,
    PageFormat,
    Quiet,
    Seed,
    Verbose,
    codes,
    example,
    file_name,
    refuse_existing,
)
from upstroke.cli.output import deliver, json_text, page_for
from upstroke.errors import FileError, OptionError

if TYPE_CHECKING:
    from upstroke.audit import Report

__all__ = ["PROBES", "check", "exit_code"]

FINDINGS = 1
ALL_SKIPPED = 3
PROBES = ("values",)


def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An .onnx file, or package.module:factory.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="[NAME=]1x3x64x64[:TYPE]",
            help="An example of an input; once for each that has no size of its own.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            parser=file_name,
            help="Weights for what the factory builds: .safetensors, or a state dict of torch.save.",
        ),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option("--select", metavar="CODES", help="Rules to ask, such as UP101,UP2 (default: all)."),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="CODES", help="Rules not to ask.")
    ] = None,
    conserve: Annotated[
        bool,
        typer.Option(
            "--conserve", help="Ask the rules of conservation too: the model promises to keep mass."
        ),
    ] = False,
    fail_on: Annotated[
        Literal["error", "warning", "note"],
        typer.Option("--fail-on", help="Least severity of a finding that makes the exit code 1."),
    ] = "error",
    probe: Annotated[
        Literal["values"] | None,
        typer.Option(
            "--probe",
            metavar="[values]",
            help="Run the model on noise, a constant and coordinate ramps too, and say what they show.",
        ),
    ] = None,
    seed: Seed = 0,
    form: PageFormat = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check the upsampling of a model: an ONNX file is read, what package.module:factory builds is run once.

    Exit codes: 0 clean, 1 findings, 2 could not be read, 3 every site was skipped.

    upstroke check model.onnx

    upstroke check nets:generator --input 1x100x1x1 --weights generator.pth
    """
    _refuse_targets(model, weights, form=form, output=output, overwrite=overwrite)
    examples = [example(words) for words in inputs or ()]
    chosen = codes(select or [], option="--select")
    left_out = codes(ignore or [], option="--ignore")
    subject = located(model)
    if isinstance(subject, Path) and weights is not None:
        msg = f"--weights belongs to package.module:factory; {subject} has its own; leave --weights out"
        raise OptionError(msg)
    with _without_noise():
        report = _checked(
            subject,
            examples,
            weights,
            seed=seed,
            select=chosen,
            ignore=left_out,
            conserve=conserve,
            probe=probe,
            quiet=quiet,
        )
    record = report.as_json()
    text = _rendered(record, form=form, output=output, verbose=verbose)
    deliver(text, output=output, overwrite=overwrite, quiet=quiet)
    raise typer.Exit(exit_code(record, fail_on=fail_on))


def exit_code(record: dict[str, Any], *, fail_on: str) -> int:
    """0 clean or nothing to check, 1 findings that weigh enough, 3 there were sites and all were skipped.

    >>> exit_code({"findings": [], "summary": {"sites": 2, "skipped": 2}}, fail_on="error")
    3
    """
    from upstroke.audit import SEVERITIES

    weighty = SEVERITIES[SEVERITIES.index(fail_on) :]
    if any(finding["severity"] in weighty for finding in record["findings"]):
        return FINDINGS
    summary = record["summary"]
    return ALL_SKIPPED if summary["sites"] and summary["skipped"] == summary["sites"] else 0


def _checked(
    subject: Path | Factory,
    examples: list[Example],
    weights: Path | None,
    *,
    seed: int,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    conserve: bool,
    probe: Literal["values"] | None,
    quiet: bool,
) -> "Report":
    import torch

    from upstroke import audit
    from upstroke.files import read_state_dict

    # a mistyped code is said before the model is loaded
    audit.chosen(select, ignore, conserve=conserve)
    judge = partial(audit.check, select=select, ignore=ignore, conserve=conserve, probe=probe, seed=seed)
    if isinstance(subject, Path):
        return judge(subject, sizes_for_file(examples))
    state = None if weights is None else read_state_dict(weights)
    # what the model imports late is found there too, and weights drawn at random are the same in every run
    with current_folder_first(), torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        module = built(subject)
        if state is not None:
            load(module, state, words=subject.words)
            for note in () if quiet else notes_on(state):
                typer.echo(f"upstroke: {note}", err=True)
        inputs, keywords = tensors_for_module(module, examples, seed=seed)
        return judge(module, inputs, keywords=keywords, name=subject.words)


def _rendered(record: dict[str, Any], *, form: str, output: Path | None, verbose: bool) -> str:
    if form == "json":
        return json_text(record)
    if form == "html":
        from upstroke.report.check_page import check_page

        return check_page(record)
    from upstroke.report.check_text import check_text

    page = page_for(output)
    return check_text(record, width=page.width, colour=page.colour, verbose=verbose)


def _refuse_targets(
    model: str, weights: Path | None, *, form: str, output: Path | None, overwrite: bool
) -> None:
    """Refuse before any work what would be refused after it, and what would replace what is read."""
    if form == "html" and output is None:
        msg = "a page is for a browser and not for a terminal; got no --output; give --output report.html"
        raise OptionError(msg)
    refuse_existing(output, overwrite=overwrite)
    for source in (model, weights):
        if output is not None and source and os.path.realpath(output) == os.path.realpath(source):
            msg = f"--output must not be what is checked; got {output} for both; name another file"
            raise FileError(msg)


@contextlib.contextmanager
def _without_noise() -> Iterator[None]:
    """Keep warnings of torch and onnx to ourselves, and what the user's own code prints off the result."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield
