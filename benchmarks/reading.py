"""Read ratios off a row of results: ours in one layout against everybody else in the same row."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import SHOWN
from benchmarks.results import RESULTS, Row, load

# slower by no more than this is level: two runs of one thing differ by as much
LEVEL = 1.05


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One of our times and what it is compared with, all from one row; None where there is nothing.

    Attributes:
        row: the row of results.
        layout: ours, in and out.
        ms: median, for outputs in reused memory.
        iqr: its spread.
        contiguous: PyTorch's time in the contiguous layout.
        best: PyTorch's time in its better layout.
        best_layout: which that is.
        other: the time of the fastest of the other libraries and torch.compile.
        other_name: who that is.
        share: of the copy rate.
        fresh: how many times faster than PyTorch's better layout, with outputs in fresh memory.
        peak: bytes that the call adds, ours.
        peak_of_pytorch: PyTorch's, in the same layout.
    """

    row: Row
    layout: str
    ms: float
    iqr: float
    contiguous: float | None
    best: float | None
    best_layout: str | None
    other: float | None
    other_name: str | None
    share: float
    fresh: float | None
    peak: int | None
    peak_of_pytorch: int | None

    @property
    def over_contiguous(self) -> float | None:
        """Times faster than PyTorch contiguous."""
        return None if self.contiguous is None else self.contiguous / self.ms

    @property
    def over_best(self) -> float | None:
        """Times faster than PyTorch's better layout."""
        return None if self.best is None else self.best / self.ms

    @property
    def over_other(self) -> float | None:
        """Times faster than the fastest of the others."""
        return None if self.other is None else self.other / self.ms


def all_rows(folder: Path = RESULTS) -> list[Row]:
    """The rows of every suite that pages show."""
    return [row for suite in SHOWN for row in load(suite, folder)[1]]


def shown(row: Row) -> Iterator[Shown]:
    """Ours in each layout, where the row has a time of ours."""
    for layout in ("contiguous", "channels-last"):
        ours = _times(row, "upstroke", "reused").get(layout)
        if ours is None:
            continue
        pytorch = _times(row, "PyTorch", "reused")
        best_layout = min(pytorch, key=lambda name: pytorch[name]["ms"], default=None)
        others = [
            time
            for time in row["times"]
            if time["outputs"] == "reused" and time["who"] in ("torch.compile", "ONNX Runtime", "OpenVINO")
        ]
        other = min(others, key=lambda time: time["ms"], default=None)
        fresh, fresh_pytorch = (_times(row, who, "fresh") for who in ("upstroke", "PyTorch"))
        best_fresh = min((time["ms"] for time in fresh_pytorch.values()), default=None)
        peaks = {(peak["who"], peak["layout"]): peak["bytes"] for peak in row.get("peak", [])}
        copy = next(copy["ms"] for copy in row["copy"] if copy["outputs"] == "reused")
        yield Shown(
            row=row,
            layout=layout,
            ms=ours["ms"],
            iqr=ours["iqr"],
            contiguous=pytorch.get("contiguous", {}).get("ms"),
            best=pytorch[best_layout]["ms"] if best_layout else None,
            best_layout=best_layout,
            other=other["ms"] if other else None,
            other_name=other["who"] if other else None,
            share=copy / ours["ms"],
            fresh=best_fresh / fresh[layout]["ms"] if best_fresh and layout in fresh else None,
            peak=peaks.get(("upstroke", layout)),
            peak_of_pytorch=peaks.get(("PyTorch", layout)),
        )


def _times(row: Row, who: str, outputs: str) -> dict[str, dict[str, float]]:
    """The times of one contender by layout."""
    return {
        time["layout"]: time for time in row["times"] if time["who"] == who and time["outputs"] == outputs
    }
