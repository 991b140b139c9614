"""UP102 and UP105: judge whether a constant comes out constant, and whether anything later could mend it."""

import math

from upstroke.audit.reading import Reading
from upstroke.audit.rule import Verdict, rule
from upstroke.audit.words import ONE_CELL, level
from upstroke.axes import times
from upstroke.diagnose import ChainGain

__all__ = ["beyond_repair", "loudest", "unbalanced_phases"]

# 1 % of the constant: regular patterns of that contrast on a flat field are within what eyes see.
THRESHOLD = -40.0


def loudest(chain: ChainGain) -> float:
    """The louder of the patterns of a constant and of the biases, in dB; nan without a reference."""
    if chain.zero_sum:
        return math.nan
    return max(float(chain.worst), float(chain.worst_bias))


@rule(
    "UP102",
    "every output phase answers a constant alike",
    severity="error",
    threshold=THRESHOLD,
    unit="dB",
    reason="1 % of the constant: a regular pattern of that contrast on a flat field is within what eyes see",
    remedy=(
        "train with upstroke.nn.constrain(layer, balanced=True), mend once with "
        "upstroke.nn.project_(layer, balanced=True), or use upstroke.nn.ResizeConv, which is balanced by "
        "its form"
    ),
)
def unbalanced_phases(reading: Reading) -> Verdict:
    """Measure the images of a constant behind the chain of linear stages."""
    assert reading.chain is not None
    measured, found = loudest(reading.chain), _is_unbalanced(reading.chain)
    measure = measured if math.isfinite(measured) else None
    if reading.is_one_cell and found:
        return Verdict(kind="ok", measure=measure, words=ONE_CELL, note=True)
    if not found:
        quiet = "a constant comes out constant"
        if math.isfinite(measured):
            quiet = f"a constant comes out with a pattern {level(measured)}"
        return Verdict(kind="ok", measure=measure, words=quiet)
    words = _pattern_words(reading, measured)
    if reading.trained is False:
        words += "; its weights look untrained, so this is at initialisation"
        return Verdict(kind="finding", measure=measure, words=words, severity="note")
    return Verdict(kind="finding", measure=measure, words=words)


@rule(
    "UP105",
    "a later convolution can repair an unbalanced upsampler",
    severity="error",
    threshold=THRESHOLD,
    unit="dB",
    reason="the level of UP102: what it finds here reaches an output of the model unchanged",
    remedy=(
        "let a convolution follow, or make this layer balanced with upstroke.nn.constrain(layer, "
        "balanced=True): nothing behind it can take the pattern out"
    ),
)
def beyond_repair(reading: Reading) -> Verdict:
    """Find an unbalanced site from which an output is reached without anything that mixes neighbours."""
    assert reading.chain is not None
    if not _is_unbalanced(reading.chain):
        return Verdict(kind="ok", words="nothing to repair: its phases are balanced")
    if reading.is_one_cell:
        return Verdict(kind="ok", words=ONE_CELL)
    if reading.can_repair is not None:
        later = f"{reading.can_repair.operator} {reading.can_repair.name}"
        return Verdict(kind="ok", words=f"{later} comes later and could repair it")
    measured = loudest(reading.chain)
    words = "its pattern reaches an output of the model: only operations on each sample alone come later"
    severity = None
    if reading.trained is False:
        words, severity = f"{words}; its weights look untrained", "note"
    return Verdict(
        kind="finding",
        measure=measured if math.isfinite(measured) else None,
        words=words,
        severity="note" if severity else None,
    )


def _is_unbalanced(chain: ChainGain) -> bool:
    if chain.zero_sum:
        return bool(chain.response.abs().max() > 0)
    return loudest(chain) > THRESHOLD


def _pattern_words(reading: Reading, measured: float) -> str:
    """Say what a constant comes out with, and where that differs from the layer alone."""
    assert reading.chain is not None
    assert reading.own is not None
    chain = reading.chain
    period = times(chain.decibel.shape)
    from_bias = not chain.zero_sum and float(chain.worst_bias) > float(chain.worst)
    source = "its biases add" if from_bias else "a constant comes out with"
    words = f"{source} a pattern of period {period}, {level(measured)}"
    alone = loudest(reading.own)
    if len(reading.site.chain) > len(reading.site.layer) and abs(alone - measured) >= 0.05:
        words += f"; {alone:.1f} dB of the layer alone".replace("-", "−") if math.isfinite(alone) else ""
    return words
