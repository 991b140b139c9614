"""Turn a row of nodes, and what is asked of a round, into a change or the reason for none."""

import math
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from upstroke.graph import Graph, Node, Site
from upstroke.graph.steps import Resize, TransposedConvolution, Upsampling
from upstroke.polyphase import Affine
from upstroke.rewrite.change import Change, Code, Form, Left, Together
from upstroke.rewrite.changes_left import reason_to_leave
from upstroke.rewrite.changes_row import Row
from upstroke.rewrite.counting import multiply_adds_of

__all__ = ["Asked", "Found", "Target", "called", "forms_of", "samples_per_cell"]

Target = Literal["onnx", "pytorch"]
Found = Change | Left

UNCONFIRMED = (
    "it is given a size and no scale, and nothing shows that its scale is the same for maps of other sizes"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What is asked of one round.

    Attributes:
        graph: the model.
        target: what the changed model is to be.
        codes: that may be done away with.
        confirmed: names of the sites whose scale is known to be the same for maps of any size, although a
            size was given.
    """

    graph: Graph
    target: Target
    codes: tuple[Code, ...]
    confirmed: Set[str]

    def has_scale(self, site: Site) -> bool:
        """Whether a site grows by one scale whatever the size of its map."""
        step = site.node.step
        return (
            not isinstance(step, Resize) or step.given or self.graph.is_fixed or site.name in self.confirmed
        )

    def together(
        self,
        site: Site,
        row: Row,
        *,
        codes: Sequence[Code],
        words: str,
        first: Sequence[Form] = (),
        only: Form | None = None,
        plain: bool = False,
    ) -> Found:
        """A row as one affine map, by the forms that the target has for it; or why it stays.

        Args:
            site: the site.
            row: the nodes.
            codes: what is done away with, and stays otherwise.
            words: what is done.
            first: forms to put first, in this order, where they are possible.
            only: the only form.
            plain: whether the row is one stage, computed otherwise.
        """
        reason = "" if self.has_scale(site) else UNCONFIRMED
        reason = reason or reason_to_leave(row.nodes, self.graph, composed=not plain)
        forms = (only,) if only else forms_of(row.affine, self.target)
        if not reason and not forms:
            reason = "DepthToSpace lays out two axes by one factor, so that no form has a bias per phase"
        if reason:
            return Left(site=site.name, codes=tuple(codes), reason=reason)
        given = [form for form in first if form == "native" or form in forms]
        return Change(
            site=site.name,
            codes=tuple(codes),
            nodes=row.nodes,
            first=row.nodes[0].inputs[0],
            last=row.nodes[-1].output,
            does=Together(affine=row.affine, plain=plain),
            forms=tuple(dict.fromkeys((*given, *forms))),
            words=words,
            multiply_adds=multiply_adds_of(row.nodes, self.graph),
        )


def forms_of(affine: Affine, target: Target) -> tuple[Form, ...]:
    """The ways to compute an affine map with operators that the target has, apart from upstroke's own.

    A transposed convolution has one bias for all phases. In ONNX phases are laid out by DepthToSpace, which
    has two axes and one factor.
    """
    operator = affine.operator
    bias = affine.bias
    found: list[Form] = []
    if bias is None or bool((bias == bias[:1]).all()):
        found.append("transposed")
    interleaves = target == "pytorch" or (operator.ndim == 2 and len(set(operator.scale)) == 1)
    if interleaves and operator.phases > 1:
        found += ["phases", "shuffle"]
    return tuple(found)


def called(nodes: Iterable[Node]) -> str:
    """Operators and names, as a list in words."""
    words = [f"{node.operator} {node.name}" for node in nodes]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def samples_per_cell(node: Node) -> float:
    """Samples that an upsampler gives for each cell that comes in, away from the border."""
    step = node.step
    if isinstance(step, Resize):
        return math.prod(step.scale)
    if isinstance(step, TransposedConvolution):
        return float(math.prod(step.stride))
    assert isinstance(step, Upsampling)
    return float(step.operator.phases)
