"""UP304: judge whether a dense kernel is so near to a separable one that this could stand for it."""

import math

from upstroke.audit.cheaper import Saving, where
from upstroke.audit.reading import Reading
from upstroke.audit.rule import Verdict, rule
from upstroke.graph.steps import TransposedConvolution

__all__ = ["nearly_separable"]

THRESHOLD = 0.99


@rule(
    "UP304",
    "kernel close to separable",
    Reading,
    severity="note",
    threshold=THRESHOLD,
    unit="rank-1 energy",
    reason=(
        "with 99 % of the energy the output differs by at most 10 % (root mean square, for white input), "
        "where fine-tuning can start from; unrelated kernels of 16 taps and 64 channels keep about 14 %"
    ),
    remedy=(
        "use upstroke.nn.SeparableTransposedConv with the nearest weights, and fine-tune or measure what the "
        "stated error does"
    ),
)
def nearly_separable(reading: Reading) -> Verdict:
    """Measure what the nearest separable weights keep, in the order of the two that is cheaper."""
    step = reading.site.node.step
    if not isinstance(step, TransposedConvolution) or step.groups > 1 or min(step.weight.shape[:2]) < 2:
        return Verdict(kind="ok", words="no dense transposed convolution, so nothing to separate")
    kept = reading.separability
    assert kept is not None
    found = [
        (order, energy, saving)
        for order, energy, saving in (
            ("depthwise-first", kept.depthwise_first, _saving(reading, step, depthwise_first=True)),
            ("pointwise-first", kept.pointwise_first, _saving(reading, step, depthwise_first=False)),
        )
        if saving.saved > 0
    ]
    if not found:
        return Verdict(kind="ok", words="a separable form of it would not be cheaper")
    near = [each for each in found if each[1] >= THRESHOLD]
    if not near:
        order, energy, _ = max(found, key=lambda each: each[1])
        words = f"the nearest separable kernel ({order}) keeps {100 * energy:.3g} % of its energy"
        return Verdict(kind="ok", measure=energy, words=words)
    order, energy, saving = max(near, key=lambda each: each[2].saved)
    error = f"{100 * math.sqrt(1 - energy):.2g} %"
    words = (
        f"the nearest separable kernel ({order}) keeps {100 * energy:.4g} % of its energy: its output "
        f"differs by {error} (root mean square, for white input), with {saving.words}"
    )
    return Verdict(kind="finding", measure=energy, words=words)


def _saving(reading: Reading, step: TransposedConvolution, *, depthwise_first: bool) -> Saving:
    into, out, *kernel = step.weight.shape
    taps, phases = math.prod(kernel), math.prod(step.stride)
    after = taps * into + phases * into * out if depthwise_first else into * out + taps * out
    cells = reading.cells or 1
    return Saving(before=float(cells * taps * into * out), after=float(cells * after), where=where(reading))
