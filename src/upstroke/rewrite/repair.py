"""Turn a model and the codes of findings into a copy in which they are mended, and what that did."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from upstroke.axes import times
from upstroke.errors import OptionError
from upstroke.graph.sizes import Sizes
from upstroke.rewrite.balance import Refused, Repair
from upstroke.rewrite.fixed import Pair, Repaired
from upstroke.rewrite.reregister import JoinDrift, Plan

if TYPE_CHECKING:
    import onnx

__all__ = ["REPAIRS", "Mended", "mended_module", "mended_onnx"]

KERNELS = ("UP101", "UP102", "UP105", "UP401", "UP402")
DRIFT, SIZES = "UP201", "UP203"
# In the order in which they are made: where samples sit, then what kernels weigh, then sizes.
REPAIRS = (DRIFT, *KERNELS, SIZES)
PIXELS, PERIOD = "input pixels", "samples of period"


@dataclass(frozen=True, kw_only=True, eq=False)
class Mended:
    """A model with repairs.

    Attributes:
        model: a copy; the model itself where nothing was asked for.
        repaired: what was done, and what was not, in order.
    """

    model: Any
    repaired: tuple[Repaired, ...]


def mended_module(
    module: nn.Module,
    inputs: Sequence[Any],
    keywords: Mapping[str, Any],
    codes: Sequence[str],
    *,
    sites: Sequence[str] = (),
    tell: Callable[[str, float], object],
) -> Mended:
    """A copy of a module in which these findings are mended.

    Args:
        module: stays as it is.
        inputs: an example of its arguments.
        keywords: further ones, by name.
        codes: of the rules whose findings are mended.
        sites: at which kernels are mended; by default all.
        tell: told what is being done.

    Raises:
        OptionError: there is no repair of this code.
    """
    from upstroke.graph.torch import record
    from upstroke.rewrite.anysize_torch import any_size_module
    from upstroke.rewrite.balance_torch import repaired_module
    from upstroke.rewrite.reregister_torch import reregistered
    from upstroke.rewrite.torch_swap import copied_model

    asked = _asked(codes)
    if not asked:
        return Mended(model=module, repaired=())
    done: list[Repaired] = []
    model: nn.Module = copied_model(getattr(module, "_orig_mod", module))
    if DRIFT in asked:
        tell("bringing branches onto one grid", 0.0)
        moved = reregistered(model, inputs, keywords=keywords)
        model = moved.model
        done += _of_plan(moved.plan)
    if any(code in KERNELS for code in asked):
        tell("balancing kernels", 0.0)
        kernels = [code for code in asked if code in KERNELS]
        graph = record(model, inputs, kwargs=keywords)
        balanced = repaired_module(model, graph, kernels, sites_named=sites)
        model = balanced.model
        done += _of_kernels(balanced.outcomes)
    if SIZES in asked:
        tell("trying sizes", 0.0)
        sized = any_size_module(model, inputs, record(model, inputs, kwargs=keywords), kwargs=keywords)
        done.append(_of_sizes(sized.words, sized.before, sized.after, is_done=sized.model is not None))
        model = model if sized.model is None else sized.model
    return Mended(model=model, repaired=tuple(done))


def mended_onnx(
    model: "onnx.ModelProto",
    sizes: Mapping[str, Sequence[int]],
    codes: Sequence[str],
    *,
    sites: Sequence[str] = (),
    tell: Callable[[str, float], object],
) -> Mended:
    """A copy of an ONNX model in which these findings are mended; arguments as in `mended_module`.

    Args:
        model: stays as it is.
        sizes: of its inputs.
        codes: of the rules whose findings are mended.
        sites: at which kernels are mended; by default all.
        tell: told what is being done.

    Raises:
        OptionError: there is no repair of this code.
    """
    from upstroke.rewrite.anysize_onnx import any_size_onnx
    from upstroke.rewrite.balance_onnx import repaired_onnx
    from upstroke.rewrite.reregister_onnx import reregistered_onnx

    asked = _asked(codes)
    done: list[Repaired] = []
    if DRIFT in asked:
        tell("bringing branches onto one grid", 0.0)
        moved = reregistered_onnx(model, sizes=sizes)
        model = moved.model
        done += _of_plan(moved.plan)
    if any(code in KERNELS for code in asked):
        tell("balancing kernels", 0.0)
        kernels = [code for code in asked if code in KERNELS]
        balanced = repaired_onnx(model, kernels, sizes=sizes, sites_named=sites)
        model = balanced.model
        done += _of_kernels(balanced.outcomes)
    if SIZES in asked:
        tell("trying sizes", 0.0)
        sized = any_size_onnx(model, sizes=sizes)
        done.append(_of_sizes(sized.words, sized.before, sized.after, is_done=sized.model is not None))
        model = model if sized.model is None else sized.model
    return Mended(model=model, repaired=tuple(done))


def _asked(codes: Sequence[str]) -> tuple[str, ...]:
    wanted = tuple(code.upper() for code in ((codes,) if isinstance(codes, str) else codes))
    unknown = next((code for code in wanted if code not in REPAIRS), None)
    if unknown is not None:
        msg = f"repairs are of {', '.join(REPAIRS)}; got {unknown!r}"
        raise OptionError(msg)
    return wanted


def _of_plan(plan: Plan) -> Iterator[Repaired]:
    """What became of drifts: a line for each resize that moved, and for each join that stays as it is."""
    drifts = {each.name: each for each in plan.drifts}
    for each in plan.mended:
        drift = drifts.get(each.join)
        yield Repaired(
            code=DRIFT,
            site=each.site,
            words=each.words,
            is_done=True,
            measure=Pair() if drift is None else _farthest(drift),
            unit=PIXELS,
            details={
                "join": each.join,
                "taps_before": None if each.before is None else [list(k.taps()) for k in each.before],
                "taps_after": [list(kernel.taps()) for kernel in each.after],
            },
        )
    for left in plan.refused:
        yield Repaired(
            code=DRIFT,
            site=left.name,
            words=left.reason,
            is_done=False,
            measure=Pair(before=_size(left.drift), after=_size(left.drift)),
            unit=PIXELS,
        )


def _farthest(drift: JoinDrift) -> Pair:
    return Pair(before=_size(drift.before), after=_size(drift.after))


def _size(distance: Sequence[Any] | None) -> float | None:
    """The largest part of a distance over its axes, with its sign."""
    return None if not distance else float(max(distance, key=abs))


def _of_kernels(outcomes: Sequence[Repair | Refused]) -> Iterator[Repaired]:
    for each in outcomes:
        if isinstance(each, Refused):
            code = ", ".join(each.codes) or "unread"
            yield Repaired(code=code, site=each.site, words=each.reason, is_done=False)
            continue
        for number, measured in enumerate(each.measured):
            yield Repaired(
                code=measured.code,
                site=each.site,
                words=each.words,
                is_done=True,
                # told once of a site
                relative_change=each.relative_change if number == 0 else None,
                measure=Pair(before=measured.before, after=measured.after),
                unit=measured.unit,
            )


def _of_sizes(words: str, before: Sizes, after: Sizes | None, *, is_done: bool) -> Repaired:
    return Repaired(
        code=SIZES,
        site="the model",
        words=words,
        is_done=is_done,
        measure=Pair(before=_period(before), after=None if after is None else _period(after)),
        unit=PERIOD,
        details={"tried_from": times(before.start)},
    )


def _period(sizes: Sizes) -> float | None:
    """After how many samples the sizes that work repeat; None where they do not."""
    periods = [each.period for each in sizes.along]
    known = [period for period in periods if period is not None]
    return float(math.lcm(*known)) if known and len(known) == len(periods) else None
