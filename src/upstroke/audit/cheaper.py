"""UP301 and UP302: judge whether the same could be computed with fewer multiply-adds."""

import math
from dataclasses import dataclass

from upstroke.audit.reading import Reading
from upstroke.audit.rule import Verdict, rule
from upstroke.audit.words import per_axis
from upstroke.axes import times
from upstroke.diagnose import cost
from upstroke.graph import CommutedPointwise, FoldedPointwise, MergedResize, Node
from upstroke.graph.steps import Convolution, Resize, TransposedConvolution, Upsampling
from upstroke.polyphase import kernel_form, trimmed

__all__ = ["Saving", "mergeable_resize", "merged_costs", "movable_pointwise", "savings", "where"]

ALREADY = "upstroke's ResizeConv computes both already, in whichever way is the fastest"
REASON = "the result is the same, so any saving is one"


@dataclass(frozen=True, kw_only=True)
class Saving:
    """Multiply-adds of two ways to compute the same.

    Attributes:
        before: as the model does it.
        after: the other way.
        where: of what map these are the numbers.
    """

    before: float
    after: float
    where: str

    @property
    def saved(self) -> float:
        """What the other way saves."""
        return self.before - self.after

    @property
    def words(self) -> str:
        """Both numbers and their ratio."""
        ratio = self.before / self.after if self.after else math.inf
        return f"{ratio:.4g} times fewer multiply–adds: {self.after:,.0f} for {self.before:,.0f} {self.where}"


@rule(
    "UP301",
    "a nearest resize and a convolution that are one operator",
    Reading,
    severity="note",
    threshold=0.0,
    unit="multiply–adds saved",
    reason=REASON,
    remedy=(
        "put upstroke.nn.ResizeConv, which takes the same weights, in place of both: it computes them as one "
        "transposed convolution where that is faster"
    ),
    fix="exact: one operator in place of both, in the fastest form, equal to rounding, border included",
    reads_steps=True,
)
def mergeable_resize(reading: Reading) -> Verdict:
    """Find a nearest resize that only a convolution takes."""
    merged = reading.merged
    if merged is None:
        return Verdict(kind="ok", words="no nearest resize whose map a convolution alone takes")
    if merged.is_one_layer:
        return Verdict(kind="ok", words=ALREADY)
    saving = _of_merged(merged, reading)
    if saving.saved <= 0:
        words = "as one operator it would take as many multiply–adds, because no two taps meet in one cell"
        return Verdict(kind="ok", measure=saving.saved, words=words)
    length = trimmed(kernel_form(merged.together)).support.shape
    words = (
        f"{_name(merged.convolution)} alone takes its map, and both are one transposed convolution "
        f"k{per_axis(tuple(length))} s{per_axis(merged.together.scale)} with {saving.words}"
    )
    return Verdict(kind="finding", measure=saving.saved, words=words)


@rule(
    "UP302",
    "a 1×1 convolution that is cheaper elsewhere",
    Reading,
    severity="note",
    threshold=0.0,
    unit="multiply–adds saved",
    reason=REASON,
    remedy=(
        "put the 1×1 convolution in front of the resize, or fold it into the weights of the transposed "
        "convolution beside it"
    ),
    reads_steps=True,
)
def movable_pointwise(reading: Reading) -> Verdict:
    """Find a 1x1 convolution behind a resize, or beside a transposed convolution."""
    found = []
    if reading.commuted is not None and reading.commuted.is_one_layer:
        return Verdict(kind="ok", words=ALREADY)
    if reading.commuted is not None:
        found.append((_of_moved(reading.commuted, reading), *_commuted_words(reading.commuted)))
    for folded in reading.folded:
        found.append((_of_moved(folded, reading), *_folded_words(folded)))
    if not found:
        return Verdict(kind="ok", words="no 1×1 convolution that could change places or be folded")
    best, words, fix = max(found, key=lambda each: each[0].saved)
    if best.saved <= 0:
        words = "its 1×1 convolution is cheapest where it stands"
        return Verdict(kind="ok", measure=best.saved, words=words)
    return Verdict(kind="finding", measure=best.saved, words=f"{words}, with {best.words}", fix=fix)


def savings(reading: Reading) -> dict[str, Saving]:
    """The most that each of these rules could save at a site, where there is anything to save."""
    moved = [_of_moved(folded, reading) for folded in reading.folded]
    commuted, merged = reading.commuted, reading.merged
    moved += [] if commuted is None or commuted.is_one_layer else [_of_moved(commuted, reading)]
    best = {} if merged is None or merged.is_one_layer else {"UP301": _of_merged(merged, reading)}
    best |= {"UP302": max(moved, key=lambda each: each.saved)} if moved else {}
    return {code: saving for code, saving in best.items() if saving.saved > 0}


def _of_merged(merged: MergedResize, reading: Reading) -> Saving:
    row, one = merged_costs(merged)
    cells = reading.cells or 1
    return Saving(before=float(row * cells), after=float(one * cells), where=where(reading))


def merged_costs(merged: MergedResize) -> tuple[int, int]:
    """Multiply-adds of a resize and a convolution per cell that comes in: in a row, and as one operator."""
    row, one = (
        cost(each).multiply_adds_per_input * merged.pairs for each in (merged.stages, merged.together)
    )
    return row, one


def _of_moved(moved: CommutedPointwise | FoldedPointwise, reading: Reading) -> Saving:
    before, after = moved.multiply_adds(*_sizes(reading))
    return Saving(before=before, after=after, where=where(reading))


def _sizes(reading: Reading) -> tuple[float, float]:
    """Cells that come in and samples that go out; of one cell where sizes are not known."""
    step = reading.site.node.step
    scale: tuple[float, ...] = (1.0,)
    if isinstance(step, Resize):
        scale = step.scale
    elif isinstance(step, TransposedConvolution):
        scale = step.stride
    elif isinstance(step, Upsampling):
        scale = step.operator.scale
    cells = reading.cells or 1
    grown = reading.samples if reading.cells and reading.samples else cells * math.prod(scale)
    return float(cells), float(grown)


def where(reading: Reading) -> str:
    """Say of what map multiply-adds are counted."""
    size = reading.site.size_in
    if size is None or reading.cells is None:
        return "per cell that comes in"
    return f"at {times(cells for cells in size if cells is not None)}"


def _commuted_words(commuted: CommutedPointwise) -> tuple[str, str]:
    convolution = commuted.convolution.step
    assert isinstance(convolution, Convolution)
    has_bias = convolution.bias is not None
    stays = "; its bias stays where it is" if commuted.bias_stays and has_bias else ""
    words = f"{_name(commuted.convolution)} behind it is 1×1 and gives the same in front of it{stays}"
    return words, f"exact: moves the 1×1 convolution in front of the resize{stays}"


def _folded_words(folded: FoldedPointwise) -> tuple[str, str]:
    words = f"{_name(folded.convolution)} {folded.side} it is 1×1 and folds into its weights"
    return words, "exact: folds the 1×1 convolution into the weights of the transposed convolution"


def _name(node: Node) -> str:
    return f"{node.operator} {node.name}"
