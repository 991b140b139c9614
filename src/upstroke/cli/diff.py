"""The verb `diff`: two models become what one has that the other has not, in findings, costs and outputs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from upstroke.cli.check import FINDINGS, refuse_for_file, without_noise
from upstroke.cli.model import (
    Factory,
    built_with,
    current_folder_first,
    function_of,
    located,
    made_by,
)
from upstroke.cli.model_inputs import sizes_for_file, tensors_for_module
from upstroke.cli.options import (
    FAIL_ON,
    RULES,
    Example,
    FailOn,
    Ignore,
    Output,
    Overwrite,
    Quiet,
    Seed,
    Select,
    Verbose,
    codes,
    example,
    file_name,
    refuse_both,
    refuse_existing,
)
from upstroke.cli.output import deliver, json_text, page_for
from upstroke.errors import FileError, OptionError

if TYPE_CHECKING:
    from torch import nn

    from upstroke.rewrite.diff import Diff

__all__ = ["diff"]

# The head under which help lists what is run.
MODELS = "Models"


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="An .onnx file, or package.module:factory.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Likewise; of the same kind or of the other.")],
    shapes: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="[NAME=]1x3x64x64[:TYPE]",
            help="An example of an input, for both; once for each that has no size of its own.",
            rich_help_panel=MODELS,
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            "--inputs",
            metavar="MODULE:FUNCTION",
            help="A function of yours that makes all inputs: a tensor, a tuple, a dict of keywords, or both.",
            rich_help_panel=MODELS,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            parser=file_name,
            help="Weights for what the factory OLD builds: .safetensors, or a state dict of torch.save.",
            rich_help_panel=MODELS,
        ),
    ] = None,
    new_weights: Annotated[
        Path | None,
        typer.Option(
            "--new-weights",
            metavar="FILE",
            parser=file_name,
            help="Likewise for what the factory NEW builds.",
            rich_help_panel=MODELS,
        ),
    ] = None,
    seed: Seed = 0,
    select: Select = None,
    ignore: Ignore = None,
    fail_on: FailOn = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            metavar="NUMBER",
            help="Largest relative difference of outputs beyond which the exit code is 1 (default: any).",
            rich_help_panel=RULES,
        ),
    ] = None,
    shown: Annotated[
        Literal["text", "json", "html"], typer.Option("--format", help="How the result is written.")
    ] = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show two models side by side: findings that are gone, new or in both, costs, and how outputs differ.

    Exit codes: 0 nothing new, 1 NEW has a finding from --fail-on up that OLD has not, or outputs differ by
    more than --tolerance, 2 a model could not be read.

    upstroke diff model.onnx cheaper.onnx --tolerance 1e-4

    upstroke diff nets:generator generator.onnx --weights generator.pth --input 1x100x1x1
    """
    _refuse_targets((old, new, weights, new_weights), shown=shown, output=output, overwrite=overwrite)
    refuse_both(shapes, inputs)
    if tolerance is not None and not tolerance >= 0:
        msg = f"--tolerance must be a number from 0 up, such as 1e-5; got {tolerance}"
        raise OptionError(msg)
    asked = {
        "select": () if select is None else codes(select, option="--select"),
        "ignore": () if ignore is None else codes(ignore, option="--ignore"),
        "seed": seed,
    }
    given = (located(old), located(new))
    examples = tuple(example(words) for words in shapes or ())
    function = None if inputs is None else function_of(inputs)
    with without_noise():
        found = _found(given, (weights, new_weights), examples, function, asked, quiet=quiet)
    deliver(_rendered(found, shown, output, verbose=verbose), output=output, overwrite=overwrite, quiet=quiet)
    raise typer.Exit(_code(found, fail_on or "error", tolerance))


def _found(
    given: "tuple[Path | Factory, Path | Factory]",
    weights: tuple[Path | None, Path | None],
    examples: tuple[Example, ...],
    function: Factory | None,
    asked: dict[str, Any],
    *,
    quiet: bool,
) -> "Diff":
    import torch

    from upstroke.rewrite.diff import diff as side_by_side

    is_all_files = all(isinstance(each, Path) for each in given)
    for subject, file in zip(given, weights, strict=True):
        if isinstance(subject, Path):
            refuse_for_file(subject, weights=file, function=function if is_all_files else None)
    names = tuple(each.name if isinstance(each, Path) else each.words for each in given)
    with current_folder_first(), torch.random.fork_rng(devices=()):
        first, second = (
            _loaded(subject, file, seed=asked["seed"], quiet=quiet)
            for subject, file in zip(given, weights, strict=True)
        )
        if is_all_files:
            return side_by_side(first, second, sizes_for_file(examples), names=names, **asked)
        if function is not None:
            return side_by_side(first, second, made_by(function), names=names, **asked)
        module = next(each for each in (first, second) if not isinstance(each, Path))
        tensors, keywords = tensors_for_module(module, examples, seed=asked["seed"])
        return side_by_side(first, second, tensors, keywords=keywords, names=names, **asked)


def _loaded(subject: Path | Factory, weights: Path | None, *, seed: int, quiet: bool) -> "Path | nn.Module":
    """A file as it is, or what a factory builds, in evaluation mode; the same draws for either model."""
    import torch

    from upstroke.files import read_state_dict

    if isinstance(subject, Path):
        return subject
    state = None if weights is None else read_state_dict(weights)
    torch.manual_seed(seed)
    return built_with(subject, state, quiet=quiet).eval()


def _rendered(found: "Diff", shown: str, output: Path | None, *, verbose: bool) -> str:
    record = found.as_json()
    if shown == "json":
        return json_text(record)
    if shown == "html":
        from upstroke.report.diff_page import diff_page

        return diff_page(record)
    from upstroke.report.diff_text import diff_text

    page = page_for(output)
    return diff_text(record, width=page.width, colour=page.colour, verbose=verbose)


def _code(found: "Diff", fail_on: str, tolerance: float | None) -> int:
    weighty = FAIL_ON[: FAIL_ON.index(fail_on) + 1]
    if fail_on != "never" and any(each.severity in weighty for each in found.added):
        return FINDINGS
    return FINDINGS if tolerance is not None and found.largest > tolerance else 0


def _refuse_targets(
    sources: tuple[str | Path | None, ...], *, shown: str, output: Path | None, overwrite: bool
) -> None:
    """Refuse before any work what would be refused after it, and what would replace what is read."""
    if shown == "html" and output is None:
        msg = "a page is for a browser and not for a terminal; got no --output; give --output diff.html"
        raise OptionError(msg)
    refuse_existing(output, overwrite=overwrite)
    for source in sources:
        if output is not None and source and os.path.realpath(output) == os.path.realpath(source):
            msg = f"--output must not be what is read; got {output} for both; name another file"
            raise FileError(msg)
