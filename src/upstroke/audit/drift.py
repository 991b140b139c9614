"""UP201: judge whether the maps that a join brings together sit on the same grid."""

from collections.abc import Sequence

from upstroke.audit.rule import Verdict, rule
from upstroke.audit.subjects import JoinReading
from upstroke.audit.words import on_axes
from upstroke.graph import Branch
from upstroke.graph.places import Lost, Place

__all__ = ["skip_drift"]

SIZE_DEPENDENT = "at this size alone, because a resize on the way keeps its corners in place"


@rule(
    "UP201",
    "skip drift",
    JoinReading,
    severity="warning",
    threshold=0.0,
    unit="input pixels",
    reason="grids are exact fractions, so branches sit on the same one or they do not",
    remedy=(
        "undo every step by an upsampler on its grid: transposed k3 s2 p1 output_padding 1 for k3 s2 p1, a "
        "half-pixel resize or transposed k4 s2 p1 for a 2×2 pool; upstroke plan shows the grids"
    ),
    fix=(
        "repair: gives the resizes of the decoder the kernels that sit on the encoder's grid; trained "
        "transposed convolutions stay"
    ),
)
def skip_drift(reading: JoinReading) -> Verdict:
    """Compare the places of the branches."""
    branching = reading.branching
    ordered = sorted(branching.branches, key=lambda branch: branch.site is None)
    located = [branch for branch in ordered if isinstance(branch.place, Place)]
    notes = [
        f"{branch.tensor} has no place ({branch.place.reason})"
        for branch in ordered
        if isinstance(branch.place, Lost)
    ]
    if any(isinstance(each.place, Place) and each.place.grid.size_dependent for each in located):
        notes.append(SIZE_DEPENDENT)
    if branching.drift is None:
        return Verdict(
            kind="skipped",
            words="; ".join([branching.reason, *(note for note in notes if note == SIZE_DEPENDENT)]),
        )
    measure = float(max(map(abs, branching.drift)))
    named = _named(located)
    together = f"{named[0]} and {named[1]}" if len(named) == 2 else f"{len(named)} branches"
    if not measure:
        words = "; ".join([f"{together} sit on the same grid", *notes])
        return Verdict(kind="ok", measure=0.0, words=words, note=bool(notes))
    if len(named) == 2:
        words = f"{named[0]} sits {on_axes(branching.drift)} from {named[1]}"
    else:
        listed = ", ".join(named)
        words = f"the furthest two of {together} ({listed}) sit {on_axes(branching.drift)} apart"
    if branching.mean_drift is not None and branching.mean_drift != branching.drift:
        words += f" ({on_axes(branching.mean_drift)} on average)"
    notes.append("training can make up for it, at the cost of as much receptive field")
    return Verdict(kind="finding", measure=measure, words="; ".join([words, *notes]))


def _named(branches: Sequence[Branch]) -> list[str]:
    """Each branch by the site that grew it, or by its map where there is none or it grew several."""
    sites = [branch.site.name if branch.site else branch.tensor for branch in branches]
    return [
        branch.tensor if sites.count(name) > 1 else name for branch, name in zip(branches, sites, strict=True)
    ]
