"""UP102 and UP105: judge whether a constant comes out constant, and whether anything later could mend it."""

import math

from upstroke.audit.reading import LEARNED, Reading
from upstroke.audit.rule import Severity, Verdict, rule
from upstroke.audit.words import ONE_CELL, level
from upstroke.axes import times
from upstroke.diagnose import ChainGain

__all__ = ["beyond_repair", "loudest", "unbalanced_phases"]

# 1 % of the constant: regular patterns of that contrast on a flat field are within what eyes see.
THRESHOLD = -40.0
BALANCE = "repair: changes its weights by the least that makes its phases answer a constant alike"
NOTE: Severity = "note"


def loudest(chain: ChainGain) -> float:
    """The louder of the patterns of a constant and of the biases, in dB; nan without a reference."""
    return max(chain.worst, chain.worst_bias)


@rule(
    "UP102",
    "unbalanced phases",
    Reading,
    severity="error",
    threshold=THRESHOLD,
    unit="dB",
    reason="1 % of the constant: a regular pattern of that contrast on a flat field is within what eyes see",
    remedy=(
        "train with upstroke.nn.constrain(layer, balanced=True), mend once with "
        "upstroke.nn.project_(layer, balanced=True), or use upstroke.nn.ResizeConv, which is balanced by "
        "its form"
    ),
    fix=BALANCE,
)
def unbalanced_phases(reading: Reading) -> Verdict:
    """Measure the images of a constant behind the chain of linear stages."""
    assert reading.chain is not None
    measured, found = loudest(reading.chain), _is_unbalanced(reading.chain)
    measure = measured if math.isfinite(measured) else None
    if reading.is_one_cell and found:
        return Verdict(kind="ok", measure=measure, words=ONE_CELL, note=True)
    if not found:
        quiet = "constants come out constant"
        if math.isfinite(measured):
            quiet = f"constants come out with a pattern {level(measured, of='them')}"
        return Verdict(kind="ok", measure=measure, words=quiet)
    words, severity = _pattern_words(reading, measured), None
    if reading.trained is False:
        words += "; its weights look untrained, so this is at initialisation"
        severity = NOTE
    elif reading.trained is None and isinstance(reading.site.layer[0].step, LEARNED):
        words += "; it has too few weights to tell whether they are trained"
    return Verdict(kind="finding", measure=measure, words=words, severity=severity)


@rule(
    "UP105",
    "unbalanced and beyond repair",
    Reading,
    severity="error",
    threshold=THRESHOLD,
    unit="dB",
    reason="the level of UP102: what it finds here, nothing later learns to take out",
    remedy=(
        "let a convolution follow, or make this layer balanced with upstroke.nn.constrain(layer, "
        "balanced=True): nothing behind it can take the pattern out"
    ),
    fix=BALANCE,
)
def beyond_repair(reading: Reading) -> Verdict:
    """Find an unbalanced site from which an output is reached without anything that mixes neighbours."""
    assert reading.chain is not None
    if not _is_unbalanced(reading.chain):
        return Verdict(kind="ok", words="nothing to repair: its phases are balanced")
    if reading.is_one_cell:
        return Verdict(kind="ok", words=ONE_CELL)
    if not reading.reaches_output:
        if reading.can_repair is None:
            return Verdict(kind="ok", words="its map reaches no output of the model")
        later = f"{reading.can_repair.operator} {reading.can_repair.name}"
        return Verdict(kind="ok", words=f"{later} comes later and could repair it")
    measured = loudest(reading.chain)
    words, severity = (
        "its pattern reaches an output of the model: nothing that could undo it comes later",
        None,
    )
    if reading.trained is False:
        words, severity = f"{words}; its weights look untrained", NOTE
    return Verdict(
        kind="finding",
        measure=measured if math.isfinite(measured) else None,
        words=words,
        severity=severity,
    )


def _is_unbalanced(chain: ChainGain) -> bool:
    return not chain.is_silent if chain.zero_sum else loudest(chain) > THRESHOLD


def _pattern_words(reading: Reading, measured: float) -> str:
    """Say what constants come out with, and where that differs from the layer alone."""
    assert reading.chain is not None
    assert reading.own is not None
    chain, channels = reading.chain, reading.channels[0]
    many = channels > 1 or bool(reading.site.before)
    from_bias = chain.worst_bias > chain.worst if not chain.zero_sum else not chain.level
    source = f"constants in its {channels} input channels, one at a time, come out with"
    if reading.site.before:
        source = "constants in the input channels of its chain, one at a time, come out with"
    if from_bias:
        source = "its biases add"
    elif not many:
        source = "a constant comes out with"
    words = f"{source} a pattern of period {times(chain.scale)}, "
    if chain.zero_sum:
        return words + "and nothing else of a constant comes through, because its weights sum to zero"
    reference = "them" if many and not from_bias else "a constant of 1" if from_bias else "it"
    words += level(measured, of=reference)
    if many and not from_bias:
        words = words.removesuffix(")") + ", root mean square over channel pairs)"
    alone = loudest(reading.own)
    if len(reading.site.chain) > len(reading.site.layer) and abs(alone - measured) >= 0.05:
        words += f"; {alone:.1f} dB of the layer alone".replace("-", "−") if math.isfinite(alone) else ""
    return words
