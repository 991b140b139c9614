"""UP101: judge whether every output phase of a layer has as many taps, which its shape decides."""

from upstroke.audit.reading import LEARNED, Reading
from upstroke.audit.rule import Verdict, rule
from upstroke.audit.words import ONE_CELL

__all__ = ["uneven_overlap"]


@rule(
    "UP101",
    "uneven overlap",
    Reading,
    severity="warning",
    threshold=0.0,
    unit="taps apart",
    reason="one tap more in one phase than in another is already uneven: equal weights then answer unequally",
    remedy=(
        "choose a kernel that is a multiple of the stride (k4 s2 for k3 s2) and a dilation that shares no "
        "factor with it, or use upstroke.nn.ResizeConv"
    ),
)
def uneven_overlap(reading: Reading) -> Verdict:
    """Compare the taps of the phases."""
    assert reading.covered is not None
    counts = reading.covered.counts
    least, most = int(counts.min()), int(counts.max())
    if least == most:
        each = f"{least} {'tap' if least == 1 else 'taps'}"
        words = f"{each} in every phase" if counts.numel() > 1 else "one phase, so nothing can be uneven"
        return Verdict(kind="ok", measure=0.0, words=words)
    if not isinstance(reading.site.layer[0].step, LEARNED):
        words = f"{least} to {most} taps, of a fixed kernel: no training will make them unequal"
        return Verdict(kind="ok", measure=float(most - least), words=words)
    if reading.is_one_cell:
        return Verdict(kind="ok", measure=float(most - least), words=ONE_CELL, note=True)
    words = f"the output's phases have {least} to {most} taps: {counts.tolist()}"
    return Verdict(kind="finding", measure=float(most - least), words=words)
