"""Turn callables into the medians of their times, taken in turns so that a busy moment hits all alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Timing", "interleaved"]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long one call took, in seconds."""

    median: float
    spread: float
    runs: int


def interleaved(
    calls: Mapping[str, Callable[[], object]], *, seconds: float = 0.5, least: int = 5
) -> dict[str, Timing]:
    """Median and spread (interquartile range) of each call in seconds, after one warm-up each.

    The calls take turns until `seconds` per call are spent and each has run `least` times.

    >>> times = interleaved({"nothing": lambda: None}, seconds=0.001)
    >>> times["nothing"].runs >= 5
    True
    """
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    stop = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < stop or min(len(runs) for runs in taken.values()) < least:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    return {name: _timing(runs) for name, runs in taken.items()}


def _timing(runs: list[float]) -> Timing:
    quarter, median, three_quarters = statistics.quantiles(runs, n=4)
    return Timing(median=median, spread=three_quarters - quarter, runs=len(runs))
