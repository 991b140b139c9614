"""UP205: judge whether the border of the last upsampler is darker, because zeros stand beyond it."""

import math

from upstroke.audit.imbalance import NOTE
from upstroke.audit.reading import Reading
from upstroke.audit.rule import Severity, Verdict, rule
from upstroke.audit.words import ONE_CELL

__all__ = ["dark_border"]

# Of the constant, in per cent: as in UP102, a step of that contrast on a flat field is within what eyes see.
THRESHOLD = 1.0


@rule(
    "UP205",
    "border darkened by zero padding",
    Reading,
    severity="warning",
    threshold=THRESHOLD,
    unit="per cent",
    reason="1 % of the constant: a step of that contrast on a flat field is within what eyes see",
    remedy=(
        "continue the map by its edge values in place of zeros: pad the layer's input by replication and "
        "crop what it draws beyond, or use upstroke.nn.ResizeConv(padding_mode='replicate')"
    ),
)
def dark_border(reading: Reading) -> Verdict:
    """Measure what is missing of a constant at the border of the last upsampler."""
    assert reading.border is not None
    if not reading.is_last:
        return Verdict(kind="ok", words="other upsamplers stand between it and the outputs of the model")
    if reading.is_one_cell:
        return Verdict(kind="ok", words=ONE_CELL)
    worst = 100 * float(reading.border.max())
    if math.isnan(worst):
        return Verdict(kind="ok", words="a constant has no answer that could be missing at the border")
    if worst <= THRESHOLD:
        words = "a constant comes out at the border as it does inside" if worst == 0 else "at the border "
        words += "" if worst == 0 else f"{worst:.2g} % of a constant is missing"
        return Verdict(kind="ok", measure=worst, words=words)
    words = f"zeros stand outside its input: {worst:.3g} % of a constant is missing at {_where(reading)}"
    severity: Severity | None = None
    if reading.trained is False:
        words, severity = f"{words}; its weights look untrained", NOTE
    return Verdict(kind="finding", measure=worst, words=words, severity=severity)


def _where(reading: Reading) -> str:
    """Name the ends at which more than the threshold is missing."""
    assert reading.border is not None
    dark = (100 * reading.border > THRESHOLD).tolist()
    names = {1: [("start", "end")], 2: [("top", "bottom"), ("left", "right")]}.get(
        len(dark), [("front", "back"), ("top", "bottom"), ("left", "right")]
    )
    ends = [
        name
        for sides, known in zip(dark, names, strict=True)
        for is_dark, name in zip(sides, known, strict=True)
        if is_dark
    ]
    return "its " + (ends[0] if len(ends) == 1 else f"{', '.join(ends[:-1])} and {ends[-1]}")
