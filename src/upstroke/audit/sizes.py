"""UP203: judge whether a model takes inputs of every size, and gives back what their size promises."""

import math
from collections.abc import Iterator, Sequence

from upstroke.audit.rule import Verdict, rule
from upstroke.audit.subjects import ModelReading
from upstroke.axes import times
from upstroke.graph.sizes import Along, Changed, Failed, Sizes

__all__ = ["sizes_that_break"]

ALONE = "a graph by itself cannot be run at other sizes; give the module or the file"


@rule(
    "UP203",
    "sizes that break",
    ModelReading,
    severity="error",
    threshold=1.0,
    unit="samples of period",
    reason="with a period of 1 every size works; with any other, most sizes fail or come out as others",
    remedy=(
        "pad the input to the next size that works and crop the output, resize each map to the size of the "
        "one it is joined with (upstroke plan shows the sizes), or state the sizes that are meant"
    ),
    fix=(
        "repair: pads the input at its far end to the next size that works and cuts the outputs to what the "
        "true size promises"
    ),
)
def sizes_that_break(reading: ModelReading) -> Verdict:
    """Find sizes that the model fails on, and sizes that come out as others."""
    if not reading.sites:
        return Verdict(kind="ok", words="the model has no upsampling, so nothing was tried")
    sizes = reading.sizes
    if sizes is None or sizes.reason:
        return Verdict(kind="skipped", words=sizes.reason if sizes else ALONE)
    if sizes.fixed:
        words = f"the file fixes the size of its input at {times(sizes.start)}, so no other can come in"
        return Verdict(kind="ok", words=words)
    if sizes.tried == 1:
        return Verdict(kind="skipped", words=f"no other size than {times(sizes.start)} could be tried")
    effort = f"{sizes.tried} sizes tried {sizes.how}, from {times(sizes.start)} up"
    broken = [each for each in sizes.along if not each.takes_all]
    if not broken:
        return Verdict(kind="ok", measure=1.0, words=f"every size works and comes out right: {effort}")
    periods = [each.period for each in sizes.along]
    known = [period for period in periods if period is not None]
    words = f"{_law(sizes, broken)}: {'; '.join(_examples(sizes, broken))} ({effort})"
    return Verdict(
        kind="finding",
        measure=float(math.lcm(*known)) if len(known) == len(periods) else None,
        words=words,
    )


def _law(sizes: Sizes, broken: Sequence[Along]) -> str:
    """Say which sizes work, for all axes at once where they are alike."""
    come = any(each.changed for each in broken)
    works = "comes out right" if come else "works"
    if all(each.right == (sizes.start[each.axes[0]],) for each in sizes.along):
        return f"no other size than {times(sizes.start)} {works}"
    if all(len(each.right) == 1 for each in broken):
        alone = ", ".join(f"{each.right[0]}{_where([each.axes], len(sizes.start))}" for each in broken)
        return f"no other size than {alone} {works}"
    said: dict[str, list[Along]] = {}
    for each in broken:
        said.setdefault(_kind(each), []).append(each)
    axes = len(sizes.start)
    laws = [f"{kind}{_where([each.axes for each in alike], axes)}" for kind, alike in said.items()]
    return f"the only sizes that {'come out right' if come else 'work'} are {', '.join(laws)}"


def _kind(along: Along) -> str:
    """Say what the right sizes have in common.

    >>> _kind(Along(axes=(0,), tried=(8, 9), right=(8,), period=2, remainders=(0,)))
    'multiples of 2'
    """
    if along.period is None:
        if len(along.right) == 1:
            return f"{along.right[0]} alone"
        return f"{len(along.right)} of {len(along.tried)} tried, without a period,"
    if along.remainders == (0,):
        return f"multiples of {along.period}"
    if len(along.remainders) == 1:
        return f"{along.period}k + {along.remainders[0]}"
    *most, last = map(str, along.remainders)
    return f"those that leave {', '.join(most)} or {last} when divided by {along.period}"


def _where(searches: Sequence[tuple[int, ...]], axes: int) -> str:
    if axes == 1:
        return ""
    if any(len(each) > 1 for each in searches):
        return " where all axes grow alike"
    listed = sorted(axis for each in searches for axis in each)
    if len(listed) == axes:
        return " on every axis"
    return f" on {'axis' if len(listed) == 1 else 'axes'} {', '.join(map(str, listed))}"


def _examples(sizes: Sizes, broken: Sequence[Along]) -> Iterator[str]:
    """One size that fails, and one that comes out as another."""
    for failed in [example for each in broken for example in each.failed][:1]:
        yield _failure(failed)
    for changed in [example for each in broken for example in each.changed][:1]:
        yield _change(changed, sizes)


def _failure(failed: Failed) -> str:
    at = f" at {failed.place}" if failed.place else ""
    return f"{times(failed.size)} fails{at}: {failed.error}"


def _change(changed: Changed, sizes: Sizes) -> str:
    axis = f" on axis {changed.axis}" if len(sizes.start) > 1 else ""
    output = f" in output {changed.output}" if changed.output else ""
    return f"{times(changed.size)} comes out as {changed.came} instead of {changed.due}{axis}{output}"
