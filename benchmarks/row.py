"""Turn a case, a dtype, a work and a number of threads into a row of results: gate, times, memory."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch

from benchmarks import allocation
from benchmarks.cases import CASES, Case, Work
from benchmarks.contender import Contender
from benchmarks.forms import forms, ours
from benchmarks.gate import Expected, expected, verdict
from benchmarks.layers import pytorchs
from benchmarks.memory import Meter
from benchmarks.peers import peers
from upstroke.timing import Timing, interleaved

# a form so many times slower than the fastest one is out of the choice, and would cost the others their time
HOPELESS = 3
# runs that take longer than this, and the many forms of a part, are measured three times and not five
LONG = 0.4
# below it malloc never asks the kernel for pages of its own
LEAST_MAPPED = 128 * 1024
# memory used in advance, in maps in and out: weights, scratch memory and gradients want some as well
ROOM, LEAST_ROOM = 6, 2**24
WHOLE: tuple[Work, ...] = ("forward", "forward+backward")


@dataclass(frozen=True, kw_only=True)
class Key:
    """What a row is about."""

    case: Case
    dtype: str
    work: Work
    threads: int

    @property
    def name(self) -> str:
        """One line that no other row has."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.case.name} | {self.dtype} | {self.work} | {threads}"


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """How long each contender of a row is timed."""

    reused: float = 0.12
    fresh: float = 0.06


def keys() -> Iterator[Key]:
    """Every row, in order; several threads in float32 only, and not for gradients taken apart."""
    for case in CASES:
        for dtype in case.dtypes:
            for work in case.works:
                for threads in case.threads:
                    if threads == 1 or (dtype == "float32" and work in WHOLE):
                        yield Key(case=case, dtype=dtype, work=work, threads=threads)


def measured(key: Key, seconds: Seconds, meter: Meter) -> dict[str, object]:
    """The row. Ends the program if one of ours is wrong."""
    started = time.perf_counter()
    torch.set_num_threads(key.threads)
    bytes_moved, output = _traffic(key)
    is_shown = key.work in WHOLE and key.case.suite != "choice"
    allocation.reuse_pages(ROOM * max(bytes_moved, LEAST_ROOM))
    gated = _gated(key)
    kept, slow = _without_hopeless(gated.right)
    copy = _Copy(bytes_moved)
    turns = 3 if gated.is_long or not is_shown else 5
    calls = {each.name: each.call for each in kept} | {"copy": copy.reused}
    reused = interleaved(calls, seconds=seconds.reused, turns=turns)
    times = [_time(each, "reused", reused[each.name]) | _faults(each) for each in kept]
    copies = [_record("reused", reused["copy"])]
    if is_shown and output >= LEAST_MAPPED:
        allocation.map_fresh_pages()
        chosen = [each for each in kept if not each.is_form]
        calls = {each.name: each.fresh or each.call for each in chosen} | {"copy": copy.fresh}
        fresh = interleaved(calls, seconds=seconds.fresh, turns=turns, before=allocation.forget)
        times += [_time(each, "fresh", fresh[each.name]) | _faults(each, fresh=True) for each in chosen]
        copies.append(_record("fresh", fresh["copy"]))
    return {
        "row": key.name,
        "suite": key.case.suite,
        "case": key.case.name,
        "dtype": key.dtype,
        "work": key.work,
        "threads": key.threads,
        "shape": list(key.case.shape),
        "bytes": bytes_moved,
        "copy": copies,
        "times": times,
        "peak": _peaks(key, meter) if is_shown and key.threads == 1 else [],
        "compile": [_compile(each) for each in kept if each.seconds_to_compile is not None],
        "wrong": gated.wrong,
        "other layout": gated.moved,
        "hopeless": slow,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "seconds": round(time.perf_counter() - started, 1),
    }


@dataclass(frozen=True, kw_only=True)
class Gated:
    """What the gate lets through.

    Attributes:
        right: those whose result is right.
        wrong: peers whose result is not, with its error.
        moved: names of those who gave the map back in another layout than it came in.
        is_long: whether a run of one of the right takes long.
    """

    right: list[Contender]
    wrong: list[dict[str, object]]
    moved: list[str]
    is_long: bool


def _gated(key: Key) -> Gated:
    dtype = getattr(torch, key.dtype)
    right, wrong, moved, longest = [], [], [], 0.0
    for each, wanted in _contenders(key, dtype):
        found = verdict(each, wanted)
        if found.right:
            right.append(each)
            longest = max(longest, found.seconds)
            moved += [] if found.keeps_layout else [each.name]
        elif each.is_ours:
            msg = f"{key.name}/{each.name}: off by {found.error:.1e}, so not timed"
            raise SystemExit(msg)
        else:
            wrong.append({"who": each.who, "layout": each.layout, "error": float(f"{found.error:.1e}")})
    return Gated(right=right, wrong=wrong, moved=moved, is_long=longest > LONG)


def _contenders(key: Key, dtype: torch.dtype) -> Iterator[tuple[Contender, Expected]]:
    """Everybody, with what they have to compute."""
    case, work = key.case, key.work
    if work in WHOLE and case.suite != "choice":
        wanted = expected(case, dtype, work)
        for each in (
            *ours(case, dtype=dtype, work=work),
            *peers(case, dtype=dtype, work=work, threads=key.threads),
        ):
            yield each, wanted
    if key.threads > 1:
        return
    for formed in filter(None, (case, case.as_transposed)):
        for each in forms(formed, dtype=dtype, work=work):
            yield each, expected(formed, dtype, work)
    if case.dense_instead is not None:
        instead = case.dense_instead
        for each in (*ours(instead, dtype=dtype, work=work), *forms(instead, dtype=dtype, work=work)):
            yield replace(each, who=f"dense {each.who}"), expected(instead, dtype, work)


def _without_hopeless(contenders: list[Contender]) -> tuple[list[Contender], list[str]]:
    """All but the forms that are far slower than another of their group; and the names of these."""
    # the better of two runs, because one may meet a busy moment
    taken = {each.name: min(_seconds(each.call), _seconds(each.call)) for each in contenders if each.is_form}
    least: dict[tuple[str, str], float] = {}
    for each in contenders:
        if each.is_form:
            least[each.group] = min(least.get(each.group, math.inf), taken[each.name])
    slow = [e.name for e in contenders if e.is_form and taken[e.name] > HOPELESS * least[e.group]]
    return [each for each in contenders if each.name not in slow], slow


class _Copy:
    """PyTorch's copy of half as many bytes as the case reads and writes: it moves as many."""

    def __init__(self, bytes_moved: int) -> None:
        self.source = torch.ones(max(1, bytes_moved // 8))
        self.target = torch.empty_like(self.source)

    def reused(self) -> torch.Tensor:
        return self.target.copy_(self.source)

    def fresh(self) -> torch.Tensor:
        return torch.empty_like(self.source).copy_(self.source)


def _traffic(key: Key) -> tuple[int, int]:
    """Bytes of map read and written, backward as much as forward; and bytes of the output."""
    dtype = getattr(torch, key.dtype)
    case = key.case
    y = pytorchs(case).to("meta")(torch.empty(case.shape, device="meta"))
    size = dtype.itemsize
    cells, samples = torch.Size(case.shape).numel(), y.numel()
    return (2 if key.work == "forward+backward" else 1) * size * (cells + samples), size * samples


def _peaks(key: Key, meter: Meter) -> list[dict[str, object]]:
    dtype = getattr(torch, key.dtype)
    return [
        {
            "who": who,
            "layout": layout,
            "bytes": meter.peak(key.case.name, who=who, dtype=dtype, layout=layout, work=key.work),
        }
        for who in ("upstroke", "PyTorch")
        for layout in key.case.layouts
    ]


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _faults(each: Contender, *, fresh: bool = False) -> dict[str, object]:
    """What shows that the memory was used before, or was not; forms are too many for it."""
    if each.is_form:
        return {}
    return {"faults": allocation.faults((each.fresh if fresh else None) or each.call)}


def _compile(each: Contender) -> dict[str, object]:
    assert each.seconds_to_compile is not None
    return {"who": each.who, "layout": each.layout, "seconds": round(each.seconds_to_compile, 1)}


def _time(each: Contender, outputs: str, timing: Timing) -> dict[str, object]:
    return {"who": each.who, "layout": each.layout} | _record(outputs, timing)


def _record(outputs: str, timing: Timing) -> dict[str, object]:
    return {
        "outputs": outputs,
        "ms": float(f"{1e3 * timing.median:.4g}"),
        "iqr": float(f"{1e3 * timing.spread:.2g}"),
        "runs": timing.runs,
    }
