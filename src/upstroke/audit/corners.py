"""UP202: judge whether a layer's grid is the same at every size."""

from upstroke.audit.reading import Reading
from upstroke.audit.rule import Verdict, rule
from upstroke.axes import times
from upstroke.graph.steps import Resize

__all__ = ["size_dependent_grid"]


@rule(
    "UP202",
    "grid that depends on the size",
    Reading,
    severity="warning",
    threshold=0.0,
    unit="pixels of its input",
    reason="any dependence on the size moves the samples when the size changes",
    remedy="use align_corners=False, and train again or fine-tune, because the samples move",
    reads_steps=True,
)
def size_dependent_grid(reading: Reading) -> Verdict:
    """Find resizes that keep the corners in place."""
    step = reading.site.node.step
    if not isinstance(step, Resize) or step.coordinates != "align_corners" or step.mode == "nearest":
        return Verdict(kind="ok", words="the distance between its samples does not depend on the size")
    if reading.is_one_cell:
        return Verdict(kind="ok", words="the map that comes in has one cell (1x1), which has no distances")
    away = [(1 - 1 / scale) / 2 for scale in step.scale]
    small, large = reading.site.size_in, reading.site.size_out
    words = (
        "align_corners keeps the corner samples in place, so the distance between samples follows the size"
    )
    if small is None or large is None or None in small or None in large:
        return Verdict(kind="finding", measure=max(away), words=words)
    sizes = [(n, m) for n, m in zip(small, large, strict=True) if n is not None and m is not None]
    spacing = ", ".join(
        f"{n - 1}/{m - 1} = {(n - 1) / (m - 1):.4g}" for n, m in dict.fromkeys(sizes) if m > 1
    )
    words += (
        f": at {times(n for n, _ in sizes)} to {times(m for _, m in sizes)} they lie {spacing} pixels apart, "
        f"and at the edges {max(away):.3g} pixels off the half-pixel grid"
    )
    return Verdict(kind="finding", measure=max(away), words=words)
