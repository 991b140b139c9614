"""Turn the end of a run into what its caller needs to go on."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Fitted"]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What came of a run.

    Attributes:
        out: the run folder.
        weights: model.safetensors in it: of the best validation, or of the last step without one.
        report: report.html in it.
        step: steps done.
        best_step: steps done at the best validation; None without validation.
        best: its number.
        is_early: whether training stopped because validation got no better.
        seconds: of training, those before a resume as well.
        rank: of this process; where there are several, the first, 0, is the one that speaks.
    """

    out: Path
    weights: Path
    report: Path
    step: int
    best_step: int | None
    best: float | None
    is_early: bool
    seconds: float
    rank: int
