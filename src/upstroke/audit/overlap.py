"""UP101 and UP103: judge whether every phase has as many taps, which the shape of a kernel decides."""

from upstroke.audit.imbalance import BALANCE
from upstroke.audit.reading import LEARNED, Reading
from upstroke.audit.rule import Verdict, rule
from upstroke.audit.subjects import ReductionReading
from upstroke.audit.words import ONE_CELL, ONE_OUTPUT
from upstroke.graph.steps import Pool

__all__ = ["uneven_gradient", "uneven_overlap"]


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
    fix=f"{BALANCE}; its overlap stays uneven",
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


@rule(
    "UP103",
    "uneven overlap in the gradient",
    ReductionReading,
    severity="warning",
    threshold=0.0,
    unit="taps apart",
    reason="one tap more in one phase than in another is uneven: equal weights then give unequal gradients",
    remedy=(
        "choose a kernel that is a multiple of the stride (k4 s2 for k3 s2, a mean over the stride and then "
        "k1 for k1 s2); leave it where only the weights are trained and no gradient in the input is used"
    ),
)
def uneven_gradient(reading: ReductionReading) -> Verdict:
    """Compare the taps that each phase of the input has in the adjoint of a strided convolution."""
    assert reading.covered is not None
    counts = reading.covered.counts
    least, most = int(counts.min()), int(counts.max())
    apart = float(most - least)
    if isinstance(reading.node.step, Pool):
        words = "a pool, whose gradient no training can make uneven or even"
        return Verdict(kind="ok", words=words)
    if least == most:
        each = f"{least} {'tap' if least == 1 else 'taps'}"
        words = f"each cell of its input is read by {each}" if counts.numel() > 1 else ONE_OUTPUT
        return Verdict(kind="ok", measure=apart, words=words)
    words = f"its gradient reaches the phases of its input by {least} to {most} taps: {counts.tolist()}"
    if least == 0:
        unread = int((counts == 0).sum())
        words += f"; {unread} of {counts.numel()} cells are never read and get no gradient"
    return Verdict(kind="finding", measure=apart, words=words)
