"""Turn a model into a cheaper or a repaired one that is handed back only when old and new agree."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from torch import nn

from upstroke.audit.arguments import arguments
from upstroke.errors import OptionError
from upstroke.graph import Graph
from upstroke.graph import sites as sites_of
from upstroke.rewrite.change import Form
from upstroke.rewrite.counting import multiply_adds
from upstroke.rewrite.exact import Rewritten, Settings, all_left, rewrite_exactly, without_the_weakest
from upstroke.rewrite.fixed import Fixed, Pair
from upstroke.rewrite.measure import LEAST_RATIO
from upstroke.rewrite.verify import Verified
from upstroke.rewrite.work import Progress, Work

if TYPE_CHECKING:
    import onnx

    from upstroke.rewrite.work_onnx import Runtime

__all__ = ["fix"]

# How many times as long a model may take that is not called slower, and the seconds to measure it.
NOTICED, SECONDS = 1.01, 3.0
# Names of sites that are shown where one is not known.
MOST_NAMES = 3
RUNTIMES = ("onnxruntime", "openvino")
EXACT = ("UP301", "UP302", "UP303", "fold", "shuffle", "native")


def fix(
    model: "nn.Module | str | PathLike[str] | onnx.ModelProto",
    inputs: Any = None,  # noqa: ANN401 - tensors for a module, sizes for a file
    *,
    keywords: Mapping[str, Any] | None = None,
    name: str = "",
    select: Sequence[str] = (),
    sites: Sequence[str] = (),
    repair: Sequence[str] = (),
    target: "Runtime | None" = None,
    form: Form | None = None,
    least: float = LEAST_RATIO,
    seconds: float = 2.0,
    tolerance: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Fixed:
    """Make a model cheaper without changing what it computes, and repair it where that is asked for.

    1. Make the repairs.
    2. Find what has an exact cheaper form, time every form at the sizes of the example, one thread, and put
       the fastest in place; again until nothing is left to do. A site that does not gain is left alone.
    3. Run old and new on random inputs of several sizes, odd ones too, and compare all outputs.

    Args:
        model: a PyTorch module; the path of an ONNX file; or such a model in memory. It stays as it is.
        inputs: as `check` takes them: for a module the arguments of one forward pass, for a file the sizes of
            its inputs where it leaves them open.
        keywords: further arguments of a module's forward pass, by name.
        name: what to call the model.
        select: codes of the exact rewrites to make: UP301, UP302, UP303, fold, shuffle, native, or "none".
        sites: names of the sites to rewrite or repair; by default all.
        repair: codes of the findings to repair, which changes what the model computes.
        target: what will run an ONNX file: onnxruntime, the default, or openvino.
        form: for all sites that it serves, without measuring any.
        least: leave a site alone that becomes less than so many times as fast.
        seconds: to time the forms of one site.
        tolerance: of relative differences in the model's own precision.
        seed: of random inputs.
        progress: told what is being done, and which share of that is done.

    Returns:
        What came of it. Where old and new do not agree, `model` is the one that was given, and the notes name
        the site.

    Raises:
        FileError: the file is no model.
        MissingExtraError: a package that reads or runs files is not installed.
        OptionError: there is no such code, or the model cannot take the inputs.

    >>> import torch
    >>> net = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1)).eval()
    >>> fixed = fix(net, torch.rand(1, 4, 6, 5), form="transposed")
    >>> fixed.model[0].words, fixed.outcomes[0].words
    ('in place of 0 (Upsample), 1 (Conv2d)', 'Upsample 0 and Conv2d 1 become one operator')
    >>> fixed.is_verified
    True
    """
    tell = progress or _silent
    settings = Settings(form=form, least=least, seconds=seconds)
    _refuse_settings(settings, target, tolerance)
    repair = tuple(code.upper() for code in ((repair,) if isinstance(repair, str) else repair))
    select = _asked(select)
    sites = (sites,) if isinstance(sites, str) else tuple(sites)
    more = {"select": select, "sites": sites, "tolerance": tolerance, "seed": seed}
    given = _work(model, inputs, keywords, name=name, target=target, **more)
    tell("checking the model", 0.0)
    before = given.checked(repair)
    graph = given.read()
    _refuse_unknown(sites, graph)
    old = multiply_adds(graph).total
    base, repaired = given.mended(repair, tell)
    work, rewritten = base.again(), Rewritten()
    if "none" not in select:
        work, rewritten = _no_slower(base, settings, tell)
    fixed = Fixed(
        model=work.model,
        name=work.name,
        source=work.source,
        runtime=work.runtime,
        seed=seed,
        rounds=rewritten.rounds,
        outcomes=tuple(rewritten.outcomes.values()),
        repairs=repaired,
        verified=work.compared(tell) if rewritten.changed else (),
        multiply_adds=Pair(before=old, after=old),
        parameters=work.parameters(),
        before=before,
        after=before,
        notes=(*work.notes(), *_without_form(form, rewritten)),
        work=work,
    )
    if not fixed.is_verified:
        kept = Pair(before=fixed.parameters.before, after=fixed.parameters.before)
        blame = _to_blame(work, rewritten, fixed.verified, tell)
        return replace(fixed, model=given.model, parameters=kept, notes=(blame,))
    return _measured(fixed, work, repair, tell) if fixed.changed else fixed


def _no_slower(base: Work, settings: Settings, tell: Progress) -> tuple[Work, Rewritten]:
    """A workpiece rewritten as far as the model as a whole does not become slower by it.

    A site that gains by itself may make its neighbours wait, which want another layout. Then those that gain
    least are left, and in the end all.
    """
    work = base.again()
    rewritten = rewrite_exactly(work, settings, tell)
    while rewritten.changed and settings.form is None:
        tell("measuring the model with all sites", 0.0)
        # a busy moment may make either slower, but hardly twice
        slower = min(work.slower(seconds=SECONDS) for _ in range(2))
        if slower <= NOTICED:
            break
        reason = f"with it the whole model takes {slower:.3g} times as long, although the site alone gains"
        known = without_the_weakest(rewritten, reason) or all_left(rewritten, reason)
        work = base.again()
        rewritten = rewrite_exactly(work, replace(settings, known=known), tell)
    # where nothing came of it, a model that was traced for it is not handed out
    return work if rewritten.changed else base.again(), rewritten


def _measured(fixed: Fixed, work: Work, repair: Sequence[str], tell: Progress) -> Fixed:
    """The same with what old and new take, and what the check says of the new one."""
    tell("measuring old and new", 0.0)
    took = [
        each.times[0].milliseconds / 1e3
        for each in fixed.outcomes
        if each.became == "rewritten" and each.times
    ]
    # where a form was asked for no site was timed
    measured = work.measured(sites=took or None, seconds=10.0)
    tell("checking the new model", 0.0)
    return replace(
        fixed,
        multiply_adds=replace(fixed.multiply_adds, after=multiply_adds(work.read()).total),
        milliseconds=measured.milliseconds,
        memory=measured.memory,
        memory_of=measured.memory_of,
        share=measured.share,
        gain=measured.words,
        outputs_changed=work.moved() if any(each.is_done for each in fixed.repairs) else (),
        after=work.checked(repair),
    )


def _work(
    model: "nn.Module | str | PathLike[str] | onnx.ModelProto",
    inputs: Any,  # noqa: ANN401
    keywords: Mapping[str, Any] | None,
    *,
    name: str,
    target: "Runtime | None",
    **more: Any,  # noqa: ANN401 - what every workpiece takes
) -> Work:
    """The workpiece that a model is."""
    if isinstance(model, nn.Module):
        from upstroke.rewrite.work_torch import WorkTorch

        if target is not None:
            msg = f"target says what runs an ONNX file; got {target!r} for a module; leave it out"
            raise OptionError(msg)
        args, by_name = arguments(model, inputs)
        kwargs = {**by_name, **(keywords or {})}
        return WorkTorch(model, args, kwargs, name=name or type(model).__name__, **more)
    from upstroke.graph.onnx_file import model_from_file, model_from_memory, need_onnx
    from upstroke.graph.onnx_run import need_onnxruntime

    need_onnx()
    need_onnxruntime()
    from upstroke.rewrite.work_onnx import WorkOnnx

    path = Path(model) if isinstance(model, str | PathLike) else None
    held: Any = model
    proto = model_from_memory(held) if path is None else model_from_file(path)
    file_name = proto.graph.name if path is None else path.name
    return WorkOnnx(proto, inputs, path=path, name=name or file_name, runtime=target or "onnxruntime", **more)


def _asked(select: Sequence[str]) -> tuple[str, ...]:
    """The codes of exact rewrites to make, each known.

    Raises:
        OptionError: there is no such rewrite.
    """
    known = {code.lower(): code for code in (*EXACT, "none")}
    codes = tuple(
        known.get(code.lower(), code) for code in ((select,) if isinstance(select, str) else select)
    )
    unknown = next((code for code in codes if code not in (*EXACT, "none")), None)
    if unknown is not None:
        msg = f"exact rewrites are {', '.join(EXACT)}, or none of them: none; got {unknown!r}"
        raise OptionError(msg)
    return codes


def _refuse_settings(settings: Settings, target: str | None, tolerance: float | None) -> None:
    """Refuse before any work what cannot be meant."""
    numbers = {"least (--least-gain)": settings.least, "seconds": settings.seconds}
    for name, number in numbers.items():
        if not 0 < number < math.inf:
            msg = f"{name} must be a number above 0; got {number}"
            raise OptionError(msg)
    if tolerance is not None and not 0 <= tolerance < math.inf:
        msg = f"tolerance must be a number from 0 on; got {tolerance}"
        raise OptionError(msg)
    if settings.form is not None and settings.form not in get_args(Form):
        msg = f"form must be one of {', '.join(get_args(Form))}; got {settings.form!r}"
        raise OptionError(msg)
    if target not in (None, *RUNTIMES):
        msg = f"target must be {' or '.join(RUNTIMES)}; got {target!r}"
        raise OptionError(msg)


def _refuse_unknown(names: Sequence[str], graph: Graph) -> None:
    """Refuse names that no site has."""
    known = list(dict.fromkeys(site.name for site in sites_of(graph)))
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=MOST_NAMES, cutoff=0.0)
            there = f"the nearest are {', '.join(map(repr, near))}" if near else "the model has no sites"
            msg = f"there is no site {name!r}; {there}; name one as `upstroke check` does"
            raise OptionError(msg)


def _without_form(form: Form | None, rewritten: Rewritten) -> tuple[str, ...]:
    """What is to be said where no site could take the form that was asked for."""
    forms = {each.form for each in rewritten.outcomes.values() if each.became == "rewritten"}
    if form is None or not forms or form in forms:
        return ()
    return (f"no site can take the form {form!r}, so each has the first that serves it",)


def _silent(words: str, share: float) -> None:
    """Tell nobody."""


def _to_blame(work: Work, rewritten: Rewritten, verified: Sequence[Verified], tell: Progress) -> str:
    """Which site makes old and new differ, found by rewriting each of them alone."""
    if not any(case.outputs or case.fault for each in verified for case in each.cases):
        return f"{verified[0].words}, so that no site can be said to compute the same"
    if not _agree(work.again(), tell):
        return "no site is to blame: the model as it is cannot be compared with itself, or does not agree"
    sites = [(each, outcome) for each, outcome in rewritten.outcomes.items() if outcome.became == "rewritten"]
    for key, outcome in sites:
        alone = work.again()
        settings = Settings(known={key: outcome})
        if rewrite_exactly(alone, settings, tell).changed and not _agree(alone, tell):
            return f"site {key[0]} is to blame, in the form {outcome.form!r}; name the others with --site"
    names = ", ".join(dict.fromkeys(site for (site, _), _ in sites))
    return f"no site alone is to blame, but all of these together are: {names}"


def _agree(work: Work, tell: Progress) -> bool:
    return all(each.ok for each in work.compared(tell))
