"""Turn ways to compute the same into times, taken in turns on one thread, and into the one to use."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from upstroke.errors import OptionError
from upstroke.rewrite import runtime_onnxruntime, runtime_openvino
from upstroke.rewrite.change import Form
from upstroke.rewrite.runtime_onnxruntime import Session
from upstroke.timing import Timing, interleaved

if TYPE_CHECKING:
    import onnx

__all__ = [
    "AS_IT_IS",
    "LEAST_RATIO",
    "Choice",
    "Gain",
    "choose",
    "gained",
    "one_thread",
    "session_of",
    "timed",
    "words_of_gain",
]

AS_IT_IS = "as it is"
# Medians of one run differ by a few per cent from those of the next; what gains less is not worth a change.
LEAST_RATIO = 1.2
# What the time of a whole model differs by from one run to the next.
SAME = 0.015
# Of two that are closer than this, a second run says which is the faster.
CLOSE = 1.05
# What gains less than so many times the least ratio is timed again.
BARELY = 1.15
# Times of quick calls settle within so many turns; of slow ones two must do.
FEWEST_TURNS, MOST_TURNS = 2, 15
# what a quick call runs for in each turn
SECONDS_IN_A_TURN = 0.003
# a call that takes longer is not run twice to see how long it takes
SECONDS_TO_REPEAT = 0.1
# Where the changed sites take less of a model's time than this, its time is said to be elsewhere.
MOST_OF_IT = 0.5


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which way to compute something is the fastest.

    Attributes:
        form: the one to use; None where what there is stays, because none gains enough.
        best: the fastest form, whether it gains enough or not; None where no form could run.
        timings: of everything that ran, "as it is" among it, in seconds.
        failed: why a form could not run.
    """

    form: Form | None
    best: Form | None
    timings: Mapping[str, Timing]
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times as fast as it is the fastest form is; None where no form could run."""
        return None if self.best is None else self.ratio_of(self.best)

    def ratio_of(self, form: str) -> float:
        """How many times as fast as it is a form is."""
        return self.timings[AS_IT_IS].median / self.timings[form].median


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What a model takes before and after, in one run.

    Attributes:
        before, after: seconds of one call.
        share: part of the time before that the sites took that were changed; None where that is not known.
    """

    before: Timing
    after: Timing
    share: float | None = None

    @property
    def ratio(self) -> float:
        """How many times as fast the model is."""
        return self.before.median / self.after.median

    @property
    def limit(self) -> float | None:
        """How many times as fast it would be if the changed sites took no time at all."""
        if self.share is None:
            return None
        return math.inf if self.share >= 1 else 1 / (1 - self.share)


def choose(
    candidates: Mapping[str, Callable[[], object]], *, least: float = LEAST_RATIO, seconds: float = 2.0
) -> Choice:
    """Time what there is and every form that may stand in its place, and say which to use.

    All take turns, on one thread. Where the two fastest are within 5 % of each other, these two are timed
    once more; of two that take the same, the one that is named first is used. What gains barely enough has to
    do so twice. A form that cannot run is left out.

    Args:
        candidates: calls, by form, and what there is under "as it is".
        least: times as fast as it is a form must be to be used.
        seconds: for all calls together; calls that take longer run twice each all the same.

    Raises:
        OptionError: there is nothing under "as it is", or `least` is not positive.

    >>> choose({"as it is": lambda: sum(range(10_000)), "transposed": lambda: None}, seconds=0.05).form
    'transposed'
    """
    if AS_IT_IS not in candidates:
        msg = f"what a form is compared with must be given as {AS_IT_IS!r}; got {', '.join(candidates)}"
        raise OptionError(msg)
    if not least > 0:
        msg = f"the least ratio must be above 0; got {least}"
        raise OptionError(msg)
    with one_thread():
        took, failed = _first_runs(candidates)
        timings = timed({name: candidates[name] for name in took}, took=took, seconds=seconds)
        first, *others = sorted(timings, key=lambda name: timings[name].median)
        if others and timings[others[0]].median < CLOSE * timings[first].median:
            # in the order of the candidates, so that the first run does not matter
            two = [name for name in timings if name in (first, others[0])]
            timings |= timed({name: candidates[name] for name in two}, took=took, seconds=seconds)
    forms: list[Form] = [name for name in timings if name != AS_IT_IS]  # type: ignore[misc]
    best = min(forms, key=lambda name: timings[name].median, default=None)
    gains = best is not None and timings[AS_IT_IS].median >= least * timings[best].median
    if gains and best is not None and timings[AS_IT_IS].median < BARELY * least * timings[best].median:
        # what gains barely enough does so in two runs, or the same model fixed twice would change twice
        both = {name: candidates[name] for name in (AS_IT_IS, best)}
        timings |= timed(both, took=took, seconds=seconds)
        gains = timings[AS_IT_IS].median >= least * timings[best].median
    return Choice(form=best if gains else None, best=best, timings=timings, failed=failed)


def timed(
    calls: Mapping[str, Callable[[], object]],
    *,
    took: Mapping[str, float] | None = None,
    seconds: float = 2.0,
) -> dict[str, Timing]:
    """Medians of calls that take turns: many turns of a few milliseconds for quick ones, two for slow ones.

    What is counted is the time of the processor, so that a busy machine, which makes all of them wait, does
    not hide which is the faster.

    Args:
        calls: what is timed, by name.
        took: seconds that a run of each took just now; where it is left out, they run once before.
        seconds: for all together; each runs twice in any case.

    >>> timed({"nothing": lambda: None}, seconds=0.01)["nothing"].runs > 2
    True
    """
    if took is None:
        took = {name: _first_run(call) for name, call in calls.items()}
    turn = sum(max(took[name], SECONDS_IN_A_TURN) for name in calls)
    turns = min(MOST_TURNS, max(FEWEST_TURNS, int(seconds / turn)))
    share = min(turns * SECONDS_IN_A_TURN, seconds / max(len(calls), 1))
    return interleaved(calls, seconds=share, turns=turns, warm_up=False, of_processor=True)


def gained(
    before: Callable[[], object],
    after: Callable[[], object],
    *,
    sites: Sequence[float] | None = None,
    seconds: float = 10.0,
    progress: Callable[[str, float], object] | None = None,
) -> Gain:
    """Time a whole model before and after, in turns and on one thread.

    Args:
        before: runs the model.
        after: runs what was made of it.
        sites: seconds that each changed site took before, if that was measured.
        seconds: for both together.
        progress: told what is being done, and which share of it.

    >>> gained(lambda: sum(range(10_000)), lambda: None, sites=[0.0], seconds=0.05).ratio > 1
    True
    """
    if progress is not None:
        progress("timing the whole model before and after", 0.0)
    with one_thread():
        times = timed({"before": before, "after": after}, seconds=seconds)
    # alone, a site may take more time than within the model, where its input is still in the cache
    share = None if sites is None else min(1.0, sum(sites) / times["before"].median)
    return Gain(before=times["before"], after=times["after"], share=share)


def words_of_gain(gain: Gain) -> str:
    """What the whole model gained, and where its time is if that is little, without a full stop.

    >>> times = [Timing(median=seconds, spread=0.0, runs=5) for seconds in (0.100, 0.096)]
    >>> words_of_gain(Gain(before=times[0], after=times[1], share=0.08))
    'the model takes 96 ms, before 100, so it is 1.04 times as fast; what was changed took 8 % of its time
    before, so that no more than 1.09 times was to be had: the other 92 % is elsewhere'
    """
    before, after = _milliseconds(gain.before), _milliseconds(gain.after)
    is_same = abs(gain.ratio - 1) < SAME
    so = "which is as fast" if is_same else f"so it is {gain.ratio:.2f} times as fast"
    fast = f"the model takes {after} ms, before {before}, {so}"
    if not gain.share or gain.limit is None:
        return fast
    part = f"{fast}; what was changed took {100 * gain.share:.0f} % of its time before"
    if gain.share >= MOST_OF_IT:
        return part
    rest = f"the other {100 - 100 * gain.share:.0f} % is elsewhere"
    return f"{part}, so that no more than {gain.limit:.2f} times was to be had: {rest}"


def session_of(model: "onnx.ModelProto | Path", runtime: Literal["onnxruntime", "openvino"]) -> Session:
    """A function of arrays, in the order of the inputs, that runs an ONNX model on one thread.

    Args:
        model: in memory, or its file.
        runtime: by which it is run.

    Raises:
        FileError: the runtime cannot load the model.
        MissingExtraError: the runtime's package is not installed.

    >>> import numpy as np
    >>> from onnx import parser
    >>> half = parser.parse_model('''<ir_version: 8, opset_import: ["" : 18]>
    ... net (float[2] x, float[2] z) => (float[2] y) { y = Sub (x, z) }''')
    >>> session_of(half, "onnxruntime")([np.full(2, 3, np.float32), np.ones(2, np.float32)])
    [array([2., 2.], dtype=float32)]
    """
    if runtime == "openvino":
        return runtime_openvino.session_of(model)
    return runtime_onnxruntime.session_of(model)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread inside.

    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _first_runs(
    calls: Mapping[str, Callable[[], object]],
) -> tuple[dict[str, float], dict[str, str]]:
    """Seconds that each takes, and why one does not run; what there is must."""
    took, failed = {}, {}
    for name, call in calls.items():
        try:
            took[name] = _first_run(call)
        except Exception as error:
            if name == AS_IT_IS:
                raise
            failed[name] = " ".join(str(error).split())[:200] or type(error).__name__
    return took, failed


def _first_run(call: Callable[[], object]) -> float:
    """Seconds that a call takes; of a quick one the second run, because the first also sets things up."""
    took = _seconds_of(call)
    return took if took > SECONDS_TO_REPEAT else _seconds_of(call)


def _seconds_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _milliseconds(timing: Timing) -> str:
    """Three digits, without an exponent.

    >>> [_milliseconds(Timing(median=seconds, spread=0.0, runs=5)) for seconds in (0.0456, 12.3456)]
    ['45.6', '12,346']
    """
    number = 1000 * timing.median
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"
