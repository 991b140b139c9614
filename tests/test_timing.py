"""Calls are timed in turns, each often enough, and what is done before a run is not counted."""

from types import SimpleNamespace

import pytest

from upstroke import timing
from upstroke.timing import interleaved


class Clock:
    """A clock that only calls move."""

    def __init__(self):
        self.now, self.resolution = 0.0, 1e-9

    def perf_counter(self):
        return self.now

    def process_time(self):
        """Half of the time goes to others."""
        return self.now / 2

    def get_clock_info(self, name):
        assert name == "process_time"
        return SimpleNamespace(resolution=self.resolution)

    def takes(self, *seconds):
        """A call that takes these seconds, then the last of them again and again."""
        left = list(seconds)

        def call():
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_calls_take_turns_in_either_direction(clock):
    order = []
    interleaved({name: lambda name=name: order.append(name) for name in "abc"}, seconds=0.0, turns=3)
    # the first three warm up
    assert "".join(order) == "abc" + "abc" + "cba" + "abc"


def test_a_slow_call_runs_once_a_turn_and_a_quick_one_for_its_share(clock):
    # powers of two: the clock's sums are exact
    times = interleaved({"slow": clock.takes(8.0), "quick": clock.takes(0.25)}, seconds=4.0, turns=4)
    assert times["slow"].runs == 4
    assert times["quick"].runs == 4 * 4
    assert (times["slow"].median, times["quick"].median) == (8.0, 0.25)
    assert times["slow"].spread == times["quick"].spread == 0.0


def test_what_is_done_before_a_run_is_done_each_time_and_not_counted(clock):
    done = []
    before = clock.takes(100.0)
    times = interleaved(
        {"call": clock.takes(1.0)}, seconds=0.0, turns=3, before=lambda: (done.append(1), before())
    )
    assert len(done) == times["call"].runs == 3
    assert times["call"].median == 1.0


def test_the_median_and_the_spread_are_those_of_the_runs_without_the_warm_up(clock):
    times = interleaved({"call": clock.takes(99.0, 5.0, 1.0, 2.0, 3.0, 4.0)}, seconds=0.0, turns=5)
    assert times["call"].median == 3.0
    # quartiles of 1 to 5 by the (n + 1) rule: 1.5 and 4.5
    assert times["call"].spread == 3.0


@pytest.mark.parametrize(("resolution", "counted"), [(1e-9, 1.0), (0.015625, 2.0)])
def test_the_time_of_the_processor_is_counted_where_it_is_told_finely(clock, resolution, counted):
    clock.resolution = resolution
    times = interleaved({"call": clock.takes(2.0)}, seconds=0.0, turns=3, of_processor=True)
    assert times["call"].median == counted
    assert interleaved({"call": clock.takes(2.0)}, seconds=0.0, turns=3)["call"].median == 2.0
