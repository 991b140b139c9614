"""Turn a row of nodes, and what is asked of a round, into a change or the reason for none."""

import math
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from upstroke.graph import Graph, Node, Site
from upstroke.graph.steps import Convolution, PerChannel, Pool, Resize, TransposedConvolution, Upsampling
from upstroke.polyphase import Affine
from upstroke.rewrite.change import Change, Code, Form, Left, Together
from upstroke.rewrite.changes_left import reason_to_leave
from upstroke.rewrite.changes_row import Row

__all__ = ["Asked", "Found", "Target", "called", "forms_of", "multiply_adds_of", "samples_per_cell"]

Target = Literal["onnx", "pytorch"]
Found = Change | Left

UNCONFIRMED = (
    "it is given a size and no scale, and nothing shows that its scale is the same for maps of other sizes"
)
# samples that one output sample is made of, per axis that grows
TAPS = {"nearest": 0, "linear": 2, "cubic": 4}


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


def multiply_adds_of(nodes: Sequence[Node], graph: Graph) -> float | None:
    """What nodes cost at the sizes of a graph, its batch counted, borders taken like the interior."""
    each = [_multiply_adds(node, graph) for node in nodes]
    known = [count for count in each if count is not None]
    return float(sum(known)) if len(known) == len(each) else None


def samples_per_cell(node: Node) -> float:
    """Samples that an upsampler gives for each cell that comes in, away from the border."""
    step = node.step
    if isinstance(step, Resize):
        return math.prod(step.scale)
    if isinstance(step, TransposedConvolution):
        return float(math.prod(step.stride))
    assert isinstance(step, Upsampling)
    return float(step.operator.phases)


def _multiply_adds(node: Node, graph: Graph) -> float | None:
    step = node.step
    is_backwards = isinstance(step, TransposedConvolution)
    shape = graph.shapes.get(node.inputs[0] if is_backwards else node.output)
    if shape is None or len(shape) < 2 or any(n is None for n in shape[2:]):
        return None
    positions = math.prod((shape[0] or 1, *(n or 1 for n in shape[2:])))
    channels = shape[1] or 0
    if isinstance(step, Convolution | TransposedConvolution):
        return positions * float(step.weight.numel())
    if isinstance(step, Resize):
        taps = TAPS[step.mode] ** sum(s != 1 for s in step.scale) if step.mode != "nearest" else 0
        return float(positions * channels * taps)
    if isinstance(step, Upsampling):
        operator = step.operator
        return positions * channels * float(operator.mask.sum()) * operator.taps.shape[2] / operator.phases
    if isinstance(step, Pool):
        return float(positions * channels * math.prod(step.kernel))
    return float(positions * channels) if isinstance(step, PerChannel) else 0.0
