"""The verb `fix`: a model becomes a cheaper or a repaired one, verified before it is written."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from upstroke.cli.check import ALL_SKIPPED, FINDINGS, refuse_for_file, without_noise
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
    Inputs,
    Quiet,
    Seed,
    Shapes,
    Verbose,
    Weights,
    codes,
    example,
    file_name,
    refuse_both,
    refuse_existing,
)
from upstroke.cli.output import deliver, json_text, page_for, printable
from upstroke.errors import FileError, OptionError

if TYPE_CHECKING:
    from upstroke.rewrite import Fixed
    from upstroke.rewrite.work import Progress

__all__ = ["fix"]

# The heads under which help lists options.
REWRITES, RESULT = "Rewrites and repairs", "Result"


def fix(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An .onnx file, or package.module:factory.")],
    shapes: Shapes = None,
    inputs: Inputs = None,
    weights: Weights = None,
    runtime: Annotated[
        Literal["onnxruntime", "openvino"] | None,
        typer.Option(
            "--for",
            help="What will run the ONNX file; forms are measured there (default: onnxruntime).",
            rich_help_panel=REWRITES,
        ),
    ] = None,
    repair: Annotated[
        list[str] | None,
        typer.Option(
            "--repair",
            metavar="CODES",
            help="Mend these findings, which changes what the model computes: UP102,UP201,UP203 and others.",
            rich_help_panel=REWRITES,
        ),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select",
            metavar="CODES",
            help="Exact rewrites to make: UP301,UP302,UP303,fold,shuffle, or none (default: all).",
            rich_help_panel=REWRITES,
        ),
    ] = None,
    sites: Annotated[
        list[str] | None,
        typer.Option(
            "--site",
            metavar="NAME",
            help="A site to rewrite or repair, as the check names it (default: all).",
            rich_help_panel=REWRITES,
        ),
    ] = None,
    form: Annotated[
        Literal["transposed", "phases", "shuffle"] | None,
        typer.Option(
            "--form",
            help="The form for all merged sites, without measuring any (default: the fastest measured).",
            rich_help_panel=REWRITES,
        ),
    ] = None,
    least: Annotated[
        float,
        typer.Option(
            "--least-gain",
            metavar="RATIO",
            help="Leave a site alone that becomes less than so many times as fast.",
            rich_help_panel=REWRITES,
        ),
    ] = 1.2,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            metavar="NUMBER",
            help="Largest relative difference of old and new (default: 1e-5, and 1e-12 in float64).",
            rich_help_panel=REWRITES,
        ),
    ] = None,
    seed: Seed = 0,
    shown: Annotated[
        Literal["text", "json", "html"],
        typer.Option("--format", help="How the report is written.", rich_help_panel=RESULT),
    ] = "text",
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            parser=file_name,
            help="Write the report to a file, not to the terminal.",
            rich_help_panel=RESULT,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            parser=file_name,
            help="The new model: .onnx, or .pt2 for what a factory builds. Without it nothing is written.",
            rich_help_panel=RESULT,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let --output and --report replace files that exist.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make a model cheaper without changing what it computes, or repair it; old and new are compared first.

    Exit codes: 0 done, or nothing to do; 1 old and new do not agree, so nothing was written; 2 could not be
    read or written; 3 there were sites and none could be read.

    upstroke fix model.onnx --output cheaper.onnx

    upstroke fix model.onnx --for openvino --repair UP102,UP201 --output repaired.onnx
    """
    _refuse_targets(model, weights, output=output, report=report, shown=shown, overwrite=overwrite)
    refuse_both(shapes, inputs)
    subject = located(model)
    _refuse_ending(subject, output)
    settings: dict[str, Any] = {
        "repair": codes(repair or [], option="--repair"),
        "select": tuple(each.strip() for words in select or () for each in words.split(",")),
        "sites": tuple(sites or ()),
        "form": form,
        "least": least,
        "tolerance": tolerance,
        "seed": seed,
        "progress": _teller(quiet=quiet),
    }
    with without_noise():
        fixed = _fixed(subject, settings, shapes, inputs, weights, runtime, seed=seed, quiet=quiet)
        if fixed.is_verified and output is not None:
            fixed = fixed.save(output, overwrite=overwrite)
    _clear(quiet=quiet)
    deliver(_rendered(fixed, shown, report, verbose=verbose), output=report, overwrite=overwrite, quiet=quiet)
    if output is None and fixed.changed and fixed.is_verified and not quiet:
        typer.echo("upstroke: nothing was written; give --output FILE to keep the new model", err=True)
    raise typer.Exit(_code(fixed))


def _fixed(
    subject: Path | Factory,
    settings: dict[str, Any],
    shapes: list[str] | None,
    inputs: str | None,
    weights: Path | None,
    runtime: Literal["onnxruntime", "openvino"] | None,
    *,
    seed: int,
    quiet: bool,
) -> "Fixed":
    import torch

    from upstroke.files import read_state_dict
    from upstroke.rewrite import fix as fix_model

    examples = tuple(example(words) for words in shapes or ())
    function = None if inputs is None else function_of(inputs)
    if isinstance(subject, Path):
        refuse_for_file(subject, weights=weights, function=function)
        return fix_model(subject, sizes_for_file(examples), target=runtime, **settings)
    if runtime is not None:
        msg = f"--for says what runs an ONNX file; {subject.words} is run by PyTorch; leave --for out"
        raise OptionError(msg)
    state = None if weights is None else read_state_dict(weights)
    with current_folder_first(), torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        # what is handed out is for inference, and a new module is set to train
        module = built_with(subject, state, quiet=quiet).eval()
        if function is not None:
            return fix_model(module, made_by(function), name=subject.words, **settings)
        given, keywords = tensors_for_module(module, examples, seed=seed)
        return fix_model(module, given, keywords=keywords, name=subject.words, **settings)


def _rendered(fixed: "Fixed", shown: str, report: Path | None, *, verbose: bool) -> str:
    if shown == "json":
        return json_text(fixed.as_json())
    if shown == "html":
        return fixed.as_html()
    from upstroke.report.fix_text import fix_text

    page = page_for(report)
    return fix_text(fixed.as_json(), width=page.width, colour=page.colour, verbose=verbose)


def _code(fixed: "Fixed") -> int:
    if not fixed.is_verified:
        return FINDINGS
    sites = () if fixed.before is None else fixed.before.sites
    return ALL_SKIPPED if sites and all(site.is_skipped for site in sites) else 0


def _refuse_targets(
    model: str, weights: Path | None, *, output: Path | None, report: Path | None, shown: str, overwrite: bool
) -> None:
    """Refuse before any work what would be refused after it, and what would replace what is read."""
    if shown == "html" and report is None:
        msg = "a page is for a browser and not for a terminal; got no --report; give --report fix.html"
        raise OptionError(msg)
    refuse_existing(output, report, overwrite=overwrite)
    if output is not None and report is not None and os.path.realpath(output) == os.path.realpath(report):
        msg = f"--output and --report must be two files; got {output} for both; name another file"
        raise FileError(msg)
    for target, option in ((output, "--output"), (report, "--report")):
        for source in (model, weights):
            if target is not None and source and _is_one_file(target, source):
                msg = f"{option} must not be what is read; got {target} for both; name another file"
                raise FileError(msg)


def _is_one_file(one: str | Path, other: str | Path) -> bool:
    """Whether two names are of one file, through links of either kind."""
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def _refuse_ending(subject: Path | Factory, output: Path | None) -> None:
    wanted = ".onnx" if isinstance(subject, Path) else ".pt2"
    if output is not None and output.suffix != wanted:
        kind = "an ONNX file" if isinstance(subject, Path) else "what a factory builds"
        msg = f"--output of {kind} must end in {wanted}; got {output}; name it {output.stem}{wanted}"
        raise OptionError(msg)


def _teller(*, quiet: bool) -> "Progress | None":
    """What tells how far the work is, on a terminal alone."""
    if quiet or not sys.stderr.isatty():
        return None

    def tell(words: str, share: float) -> None:
        done = f" ({share:.0%})" if share else ""
        # what is wider than the terminal would leave lines behind
        room = shutil.get_terminal_size().columns - 1 - len(done)
        sys.stderr.write(f"\r\x1b[K{printable(words)[:room]}{done}")
        sys.stderr.flush()

    return tell


def _clear(*, quiet: bool) -> None:
    if not quiet and sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
