"""Turn callables into the medians of their times, taken in turns so that a busy moment hits all alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Timing", "interleaved"]

# A clock of the processor that moves in steps longer than this tells quick calls nothing.
FINE = 1e-5


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long one call took, in seconds."""

    median: float
    spread: float
    runs: int


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    *,
    seconds: float = 0.5,
    turns: int = 5,
    before: Callable[[], object] | None = None,
    warm_up: bool = True,
    of_processor: bool = False,
) -> dict[str, Timing]:
    """Median and spread (interquartile range) of each call in seconds, after one warm-up each.

    In each turn every call runs once, and again until its share of `seconds` is spent, so that a quick call
    runs often and a slow one does not make the others wait. Every second turn goes through the calls
    backwards, so that none always follows the same one.

    Args:
        calls: what is timed, by name.
        seconds: for each call, all turns together.
        turns: at least 2; the runs of a call that takes longer than its share.
        before: called before every run and not timed.
        warm_up: whether each call runs once before; not needed where all of them just ran.
        of_processor: count the time that the processor spent on this program, all threads together, where it
            tells, so that what else the machine is doing is not counted; for calls that run on one thread.

    >>> times = interleaved({"nothing": lambda: None}, seconds=0.001)
    >>> times["nothing"].runs >= 5
    True
    """
    for call in calls.values() if warm_up else ():
        call()
    is_fine = of_processor and time.get_clock_info("process_time").resolution <= FINE
    clock = time.process_time if is_fine else time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns):
        for name in list(calls) if turn % 2 == 0 else reversed(list(calls)):
            taken[name] += _one_turn(calls[name], seconds / turns, before, clock)
    return {name: _timing(runs) for name, runs in taken.items()}


def _one_turn(
    call: Callable[[], object],
    seconds: float,
    before: Callable[[], object] | None,
    clock: Callable[[], float],
) -> list[float]:
    """The times of one run, and of as many more as begin within the seconds."""
    taken: list[float] = []
    stop = time.perf_counter() + seconds
    while not taken or time.perf_counter() < stop:
        if before is not None:
            before()
        start = clock()
        call()
        taken.append(clock() - start)
    return taken


def _timing(runs: list[float]) -> Timing:
    quarter, median, three_quarters = statistics.quantiles(runs, n=4)
    return Timing(median=median, spread=three_quarters - quarter, runs=len(runs))
