"""Time every case behind a gate, row by row; a run that was ended goes on where it was."""

import os
import tempfile
import time
from collections.abc import Sequence

import torch

from benchmarks import pages, table
from benchmarks.asked import asked, named
from benchmarks.cases import SUITES
from benchmarks.machine import commit, fingerprint, machine
from benchmarks.memory import Meter
from benchmarks.results import Row, Unfinished, load, save
from benchmarks.row import Key, Seconds, keys, measured


def main() -> None:
    """Measure the rows asked for, write results, and everything that is made from them."""
    wanted = asked("run", __doc__, quick="a quarter of the time for each row")
    chosen = named(list(keys()), wanted.only, name=lambda key: f"{key.case.suite} | {key.name}")
    if wanted.list:
        print("\n".join(f"{key.case.suite} | {key.name}" for key in chosen))
        return
    # the compiled peers are compiled anew in every run, so that their compile times are true
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(prefix="upstroke-bench-")
    torch._inductor.config.compile_threads = 1
    if wanted.quick:
        _measured(chosen, Seconds(reused=0.03, fresh=0.02), unfinished=None)
        return
    seconds = Seconds()
    unfinished = Unfinished(f"{fingerprint()} {seconds} {torch.__version__}")
    rows = _measured(chosen, seconds, unfinished)
    for suite in SUITES:
        own = [row for row in rows if row["suite"] == suite]
        if own:
            order = [key.name for key in keys() if key.case.suite == suite]
            save(suite, machine(), own, order=order)
    unfinished.forget()
    pages.write()
    missing = [suite for suite in SUITES if not load(suite)[1]]
    if missing:
        print(f"The choice is left as it was: nothing was measured of {', '.join(missing)}")
    else:
        table.write()


def _measured(chosen: Sequence[Key], seconds: Seconds, unfinished: Unfinished | None) -> list[Row]:
    """The rows, those of the unfinished run first; says what it is at, and for how long yet."""
    rows = {str(row["row"]): row for row in (unfinished.rows() if unfinished else [])}
    expected = _expected_seconds(chosen)
    left = [key for key in chosen if key.name not in rows]
    if len(left) < len(chosen):
        print(f"{len(chosen) - len(left)} of {len(chosen)} rows are there from the run that was ended")
    meter, head, started, done = Meter(), commit(), time.perf_counter(), 0.0
    for place, key in enumerate(left):
        still = sum(expected[other.name] for other in left[place:])
        pace = (time.perf_counter() - started) / done if done else 1.0
        number = f"{len(chosen) - len(left) + place + 1}/{len(chosen)}"
        print(f"[{number}, {_minutes(pace * still)} left] {key.name}", flush=True)
        row = {**measured(key, seconds, meter), "commit": head}
        print(f"    {_said(row)}", flush=True)
        if unfinished:
            unfinished.add(row)
        rows[key.name] = row
        done += expected[key.name]
    meter.close()
    return [rows[key.name] for key in chosen]


def _expected_seconds(chosen: Sequence[Key]) -> dict[str, float]:
    """How long each row took the last time; five seconds where nobody knows."""
    known = {str(row["row"]): float(str(row["seconds"])) for suite in SUITES for row in load(suite)[1]}
    return {key.name: known.get(key.name, 5.0) for key in chosen}


def _said(row: Row) -> str:
    """The times with outputs in reused memory, in one line."""
    times = row["times"]
    assert isinstance(times, list)
    words = [
        f"{each['who']} {each['layout']} {each['ms']:g}" for each in times if each["outputs"] == "reused"
    ]
    return f"ms: {'; '.join(words)} ({row['seconds']} s)"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


if __name__ == "__main__":
    main()
