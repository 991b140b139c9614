"""Turn a site and its linear neighbours into one affine map, as long as that is exact and costs less."""

from collections.abc import Sequence
from dataclasses import dataclass

from upstroke.diagnose import cost
from upstroke.errors import NotRepresentableError, ShapeError
from upstroke.graph import Graph, Node
from upstroke.graph.patterns import Stage, stage_ahead, stage_behind
from upstroke.graph.row import row_of
from upstroke.polyphase import Affine, Margin, compose_affine
from upstroke.rewrite.change import Code

__all__ = ["Row", "extended", "row_from"]

CODES: dict[str, Code] = {"numbers per channel": "fold", "blur": "fold", "1x1 convolution": "UP302"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """Nodes that stand in a row, as one affine map.

    Attributes:
        nodes: in order.
        affine: what they compute, in double precision.
        folded: the stages that were folded in, apart from those the row began with.
        ndim: number of spatial axes.
    """

    nodes: tuple[Node, ...]
    affine: Affine
    folded: tuple[Stage, ...]
    ndim: int

    @property
    def codes(self) -> tuple[Code, ...]:
        """What was folded in does away with, each once."""
        return tuple(dict.fromkeys(CODES[stage.kind] for stage in self.folded))


def row_from(nodes: Sequence[Node], *, ndim: int) -> Row:
    """Nodes as one affine map, right outside of its margin.

    Raises:
        NotRepresentableError: there is none; the message says why.
        ShapeError: a node does not take the channels that come to it.
    """
    affine = row_of([node.step for node in nodes], ndim=ndim)
    return Row(nodes=tuple(nodes), affine=affine, folded=(), ndim=ndim)


def extended(row: Row, graph: Graph, codes: Sequence[Code], *, ahead: bool = True) -> Row:
    """The row with every stage folded in, behind and, if wanted, ahead, that codes allow and that pays.

    Numbers per channel always do; a 1x1 convolution and a blur where multiply-adds fall. None is folded in
    where a border would show.
    """
    longer: Row | None = row
    while longer is not None:
        row = longer
        longer = _with_one_more(row, graph, codes, ahead=ahead)
    return row


def _with_one_more(row: Row, graph: Graph, codes: Sequence[Code], *, ahead: bool) -> Row | None:
    beside = [(stage_behind(row.nodes[-1], graph), True)]
    beside += [(stage_ahead(row.nodes[0], graph), False)] if ahead else []
    for stage, is_behind in beside:
        if stage is None or CODES[stage.kind] not in codes:
            continue
        found = _joined(row, stage, is_behind=is_behind)
        if found is not None:
            return found
    return None


def _joined(row: Row, stage: Stage, *, is_behind: bool) -> Row | None:
    """The row with a stage folded in; None where that is not exact or does not pay."""
    try:
        other = row_of([node.step for node in stage.nodes], ndim=row.ndim)
        first, second = (row.affine, other) if is_behind else (other, row.affine)
        # a matrix over channels costs nothing to judge, and much to multiply
        if stage.kind == "1x1 convolution" and not _narrows(row.affine, other, is_behind=is_behind):
            return None
        both = compose_affine(first, second)
    except (NotRepresentableError, ShapeError):
        return None
    if _is_wider(both.operator.margin, row.affine.operator.margin):
        return None
    if stage.kind == "blur" and not _is_cheaper(both, first, second):
        return None
    nodes = (*row.nodes, *stage.nodes) if is_behind else (*stage.nodes, *row.nodes)
    return Row(nodes=nodes, affine=both, folded=(*row.folded, stage), ndim=row.ndim)


def _narrows(affine: Affine, matrix: Affine, *, is_behind: bool) -> bool:
    """Whether one operator with other channels costs less than it and a matrix over channels."""
    own, other = affine.operator, matrix.operator
    if own.shared or other.shared or own.groups > 1 or other.groups > 1:
        return False
    both = own.taps.shape[1] * own.taps.shape[2]
    taps = float(own.mask.sum())
    pairs = other.in_channels * other.out_channels
    if is_behind:
        return taps * own.in_channels * other.out_channels < taps * both + own.phases * pairs
    return taps * other.in_channels * own.out_channels < taps * both + pairs


def _is_cheaper(both: Affine, first: Affine, second: Affine) -> bool:
    channels = (first.operator if not first.operator.shared else both.operator).in_channels
    row = cost([first.operator, second.operator], channels=channels)
    return cost(both.operator, channels=channels).multiply_adds_per_input < row.multiply_adds_per_input


def _is_wider(margin: Sequence[Margin], other: Sequence[Margin]) -> bool:
    return any(
        one > two
        for sides, own in zip(margin, other, strict=True)
        for one, two in zip(sides, own, strict=True)
    )
