"""UP104: judge how loud the replicas are that an upsampler leaves of what it is given."""

import math

from upstroke.audit.imbalance import NOTE
from upstroke.audit.reading import Reading
from upstroke.audit.rule import Severity, Verdict, rule
from upstroke.audit.words import ONE_CELL, level

__all__ = ["weak_rejection"]

# Nearest resizes have -7.7 (x2) to -9.5 dB, linear ones -15.3 and less.
THRESHOLD = -12.0


@rule(
    "UP104",
    "weak image rejection",
    Reading,
    severity="warning",
    threshold=THRESHOLD,
    unit="dB",
    reason=(
        "a quarter of what is repeated, half-way between nearest resizes (−7.7 to −9.5 dB) and linear ones "
        "(−15.3 dB and less), which are the least that interpolates"
    ),
    remedy=(
        "let a convolution follow that can learn to reject them, blur behind the layer, or resize linearly"
    ),
)
def weak_rejection(reading: Reading) -> Verdict:
    """Measure the replicas behind the chain, where nothing later could take them out."""
    if reading.is_one_cell:
        return Verdict(kind="ok", words=ONE_CELL)
    worst = reading.rejection
    measure = worst if math.isfinite(worst) else None
    repeated = level(worst, of="what they repeat", again="it")
    if worst <= THRESHOLD:
        words = "it leaves no replicas of the lower half of the band"
        if measure is not None:
            words = f"replicas of the lower half of the band are {repeated}"
        return Verdict(kind="ok", measure=measure, words=words)
    later = reading.behind_chain
    if not reading.chain_reaches_output:
        words = "its map reaches no output of the model"
        if later is not None:
            loud = f"up to {repeated}" if measure is not None else "left"
            words = f"replicas {loud}; {later.operator} {later.name} comes later and could take them out"
        return Verdict(kind="ok", measure=measure, words=words)
    words = "replicas of the lower half of the band stand where it is itself suppressed, "
    if measure is not None:
        repeated = level(worst, of="what it repeats", again="it")
        words = f"the loudest replica of the lower half of the band is {repeated}, "
    after = reading.site.after[-1:]
    where = f"behind {after[0].operator} {after[0].name}, " if after else ""
    words += f"{where}and nothing that comes later could take it out"
    severity: Severity | None = None
    if reading.looks_drawn:
        words += "; weights in its chain look untrained, so this is at initialisation"
        severity = NOTE
    return Verdict(kind="finding", measure=measure, words=words, severity=severity)
