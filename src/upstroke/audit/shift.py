"""UP204: judge whether an output's samples sit where the input's do."""

from fractions import Fraction

from upstroke.audit.drift import SIZE_DEPENDENT
from upstroke.audit.rule import Verdict, rule
from upstroke.audit.subjects import OutputReading
from upstroke.audit.words import on_axes
from upstroke.graph.places import Lost
from upstroke.grid import Grid

__all__ = ["shift_of", "shifted_output"]


def shift_of(grid: Grid) -> tuple[Fraction, ...]:
    """How far a grid is from being registered to that of the input, per axis, in pixels of the input.

    Of two conventions the nearer counts: samples are areas, which cover the input where the first one sits at
    (spacing − 1)/2, as behind a half-pixel resize or a 2×2 pool; or they are points, of which the first sits
    on the first of the input, as behind k3 s2 p1 or align_corners. At spacing 1 both say 0.

    >>> shift_of(Grid.of_input(2).conv((2, 3), stride=2, padding=(0, 1)))
    (Fraction(0, 1), Fraction(0, 1))
    >>> shift_of(Grid.of_input(1).resize(2).conv(2))
    (Fraction(0, 1),)
    >>> shift_of(Grid.of_input(1).conv(3))
    (Fraction(1, 1),)
    """
    return tuple(
        min(offset - (spacing - 1) / 2, offset, key=abs)
        for offset, spacing in zip(grid.offset, grid.spacing, strict=True)
    )


@rule(
    "UP204",
    "shifted output",
    OutputReading,
    severity="warning",
    threshold=0.0,
    unit="input pixels",
    reason="grids are exact fractions, so an output sits on the input's grid or it does not",
    remedy=(
        "undo every step by an upsampler on its grid, as for UP201; where the model stays, resample its "
        "output by the shift, or crop and pad by as many pixels as are whole"
    ),
    fix="repair: that of UP201 also moves the resizes between a join that it mends and the output",
)
def shifted_output(reading: OutputReading) -> Verdict:
    """Measure how far the output is from the input's grid, by the branch in it that is furthest off."""
    place = reading.place
    if not reading.grown:
        return Verdict(kind="ok", words="the model has no upsampling")
    if place is None or isinstance(place, Lost):
        return Verdict(kind="skipped", words="its place is not known" if place is None else place.reason)
    if place.origin not in reading.inputs:
        words = f"its positions are counted on {place.origin}, which is no input to compare it with"
        return Verdict(kind="skipped", words=words)
    ends, mean = (shift_of(place.first), shift_of(place.last)), shift_of(place.grid)
    shift = tuple(max(axis, key=abs) for axis in zip(*ends, strict=True))
    measure = float(max(map(abs, shift)))
    notes = [SIZE_DEPENDENT] if place.grid.size_dependent else []
    of = f"{place.origin!r}"
    if not measure:
        words = "; ".join([f"its samples are registered to those of {of}", *notes])
        return Verdict(kind="ok", measure=0.0, words=words, note=bool(notes))
    words = f"its samples sit {on_axes(shift)} from where those of {of} put them"
    if mean != shift:
        words += f", by the branch in it that is furthest off, and {on_axes(mean)} on average"
    return Verdict(kind="finding", measure=measure, words="; ".join([words, *notes]))
