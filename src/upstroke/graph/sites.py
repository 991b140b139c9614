"""Turn a graph into its upsampling sites, each in its chain of linear stages, and its joins."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from upstroke.errors import NotRepresentableError
from upstroke.graph.affine_of import affine_of, is_linear
from upstroke.graph.form import Graph, Node
from upstroke.graph.places import Lost, Place, Survey, survey
from upstroke.graph.steps import (
    Convolution,
    Join,
    PerChannel,
    PixelShuffle,
    Pool,
    Resize,
    Same,
    TransposedConvolution,
    Unread,
    Upsampling,
)
from upstroke.grid import drift
from upstroke.polyphase import Affine, compose_affine

__all__ = ["Branch", "Branching", "Site", "joins", "reductions", "sites"]

_MOST_AXES = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """A place where a model grows its maps.

    Attributes:
        name: what the model calls it.
        node: the operation that grows.
        layer: the nodes that make up the upsampler, in order: the node, and before a pixel shuffle the
            convolution that makes its phases, if nothing but numbers per channel stand between them.
        before, after: linear stages around the layer, up to the next operation that is not linear, joins maps
            or makes them smaller.
        ends: what stands behind the last of them: a node, or None for an output of the model or a map that
            several nodes take.
        size_in, size_out: spatial size of the map the layer takes and of the one it gives, as far as known.
        ndim: number of spatial axes.
    """

    name: str
    node: Node
    layer: tuple[Node, ...]
    before: tuple[Node, ...]
    after: tuple[Node, ...]
    ends: Node | None
    size_in: tuple[int | None, ...] | None
    size_out: tuple[int | None, ...] | None
    ndim: int

    @property
    def operator(self) -> str:
        """What the layer is called where it comes from."""
        return " + ".join(node.operator for node in self.layer)

    @property
    def chain(self) -> tuple[Node, ...]:
        """All linear stages in order, the layer among them."""
        return self.before + self.layer + self.after

    def affine(self) -> Affine:
        """The affine map of the layer, right in the interior.

        Raises:
            NotRepresentableError: it has none; the message says why.
        """
        if isinstance(self.node.step, Unread):
            raise NotRepresentableError(self.node.step.reason)
        if self.ndim > _MOST_AXES:
            msg = f"it works along {self.ndim} axes of space, and operators here have 1 to {_MOST_AXES}"
            raise NotRepresentableError(msg)
        first, *rest = (affine_of(node.step, ndim=self.ndim, interior=True) for node in self.layer)
        for each in rest:
            first = compose_affine(first, each)
        return first

    def stages(self) -> tuple[Affine, ...]:
        """The affine maps of the chain, in order, right in the interior; the layer is one of them.

        It stands at the place `len(site.before)`.
        """
        # why the layer itself has none matters before what surrounds it
        own = self.affine()
        before, after = (
            tuple(affine_of(node.step, ndim=self.ndim, interior=True) for node in nodes)
            for nodes in (self.before, self.after)
        )
        return (*before, own, *after)


@dataclass(frozen=True, kw_only=True, eq=False)
class Branch:
    """A map that comes to a join and brings positions to it.

    Attributes:
        tensor: its name.
        site: the last upsampling site on the way to it since the last join, or None.
        place: where its samples sit, or why nobody can say.
    """

    tensor: str
    site: Site | None
    place: Place | Lost


@dataclass(frozen=True, kw_only=True, eq=False)
class Branching:
    """A join of maps.

    Attributes:
        node: the operation that joins them.
        branches: the maps that bring positions to it, in order; those that are copied to every position, such
            as the gates of squeeze-and-excitation, are none.
        drift: how far apart on each axis the samples of the two furthest branches sit, in pixels of the map
            that positions are counted on; of branches that are mixtures themselves, the outermost parts on
            the left and on the right, whichever are further apart; None where there is nothing to compare.
            Positive: those of the first sit further right. A branch that a site grew comes before one that
            none did.
        mean_drift: the same of what the branches are on average.
        reason: why there is no drift; empty where there is.
    """

    node: Node
    branches: tuple[Branch, ...]
    drift: tuple[Fraction, ...] | None
    mean_drift: tuple[Fraction, ...] | None
    reason: str

    @property
    def sites(self) -> tuple[Site | None, ...]:
        """Per branch, the last upsampling site on the way to it, or None."""
        return tuple(branch.site for branch in self.branches)


def sites(graph: Graph) -> tuple[Site, ...]:
    """Every upsampling site of a model, in the order in which they run."""
    return tuple(_site(node, graph) for node in graph.nodes if _grows(node))


def joins(graph: Graph, grown: Sequence[Site]) -> tuple[Branching, ...]:
    """Every join of two or more maps that bring positions to it, in order.

    Args:
        graph: the model.
        grown: its upsampling sites.
    """
    known = {site.node.output: site for site in grown}
    found = survey(graph)
    return tuple(
        _branching(node, found, graph, known)
        for node in graph.nodes
        if len(found.branches.get(node.output, ())) > 1
    )


def _branching(node: Node, found: Survey, graph: Graph, known: dict[str, Site]) -> Branching:
    branches = tuple(
        Branch(tensor=name, site=_last_site(name, graph, known), place=found.places[name])
        for name in (node.inputs[place] for place in found.branches[node.output])
    )
    located = [
        branch.place
        for branch in sorted(branches, key=lambda branch: branch.site is None)
        if isinstance(branch.place, Place)
    ]
    reason = _incomparable(branches, located)
    if reason:
        return Branching(node=node, branches=branches, drift=None, mean_drift=None, reason=reason)
    pairs = list(combinations(located, 2))
    # what was made of the same mixture has the same outermost parts, so it does not sit apart
    each = [(drift(a.first, b.first), drift(a.last, b.last)) for a, b in pairs]
    return Branching(
        node=node,
        branches=branches,
        drift=_widest([distance for both in each for distance in both]),
        mean_drift=_widest([drift(a.grid, b.grid) for a, b in pairs]),
        reason="",
    )


def _incomparable(branches: Sequence[Branch], located: Sequence[Place]) -> str:
    """Why branches have no drift; empty if they have."""
    lost = [branch for branch in branches if isinstance(branch.place, Lost)]
    if len(located) < 2:
        # by reason and not by name, so that many joins of one kind say the same
        reasons = Counter(branch.place.reason for branch in lost if isinstance(branch.place, Lost))
        return "; ".join(
            f"{'a branch has' if count == 1 else f'{count} branches have'} no place ({reason})"
            for reason, count in reasons.items()
        )
    origins = list(dict.fromkeys(place.origin for place in located))
    if len(origins) > 1:
        return f"different origins: {', '.join(origins)}"
    spacings = list(dict.fromkeys(place.grid.spacing for place in located))
    if len(spacings) > 1:
        shown = " and ".join(f"({', '.join(map(str, spacing))})" for spacing in spacings)
        return f"different spacings: {shown} pixels"
    return ""


def _widest(distances: Sequence[tuple[Fraction, ...]]) -> tuple[Fraction, ...]:
    """On each axis the distance that is largest in absolute value."""
    return tuple(max(axis, key=abs) for axis in zip(*distances, strict=True))


def reductions(graph: Graph) -> tuple[Node, ...]:
    """Every convolution and pool that makes its map smaller, in the order in which they run."""
    return tuple(
        node
        for node in graph.nodes
        if isinstance(node.step, Convolution | Pool) and max(node.step.stride) > 1
    )


def _grows(node: Node) -> bool:
    step = node.step
    if isinstance(step, Resize | PixelShuffle):
        return max(step.scale) > 1
    if isinstance(step, Upsampling):
        return max(step.operator.scale) > 1
    if isinstance(step, TransposedConvolution) and max(step.stride) == 1:
        # one of stride 1 that keeps the size, or makes the map smaller, is a convolution
        reach = (
            d * (k - 1) + e
            for d, k, e in zip(step.dilation, step.weight.shape[2:], step.output_padding, strict=True)
        )
        return any(more > sum(cut) for more, cut in zip(reach, step.padding, strict=True))
    return isinstance(step, TransposedConvolution | Unread)


def _site(node: Node, graph: Graph) -> Site:
    layer: tuple[Node, ...] = (node,)
    if isinstance(node.step, PixelShuffle):
        layer = (*_makes_phases(node, graph), node)
    before = _run(layer[0], graph, _linear_before)[::-1]
    after = _run(node, graph, _linear_after)
    last = (after or layer)[-1]
    size_in = graph.size(layer[0].inputs[0]) if layer[0].inputs else None
    size_out = graph.size(node.output)
    return Site(
        name=node.name,
        node=node,
        layer=layer,
        before=tuple(before),
        after=tuple(after),
        ends=graph.only_consumer(last.output),
        size_in=size_in,
        size_out=size_out,
        ndim=_axes(node, size_in, size_out),
    )


def _makes_phases(shuffle: Node, graph: Graph) -> tuple[Node, ...]:
    """The convolution that makes a shuffle's phases, and what stands between; nothing if something else does.

    Others may take their maps as well.
    """
    between: list[Node] = []
    ahead = graph.makers.get(shuffle.inputs[0])
    while ahead is not None and isinstance(ahead.step, PerChannel | Same) and len(ahead.inputs) == 1:
        between.insert(0, ahead)
        ahead = graph.makers.get(ahead.inputs[0])
    if ahead is None or not isinstance(ahead.step, Convolution) or max(ahead.step.stride) > 1:
        return ()
    return (ahead, *between)


def _axes(node: Node, size_in: tuple[int | None, ...] | None, size_out: tuple[int | None, ...] | None) -> int:
    step = node.step
    if isinstance(step, TransposedConvolution):
        return len(step.stride)
    if isinstance(step, Resize | PixelShuffle):
        return len(step.scale)
    if isinstance(step, Upsampling):
        return step.operator.ndim
    return len(size_in or size_out or (0, 0))


def _run(node: Node, graph: Graph, step_from: Callable[[Node, Graph], Node | None]) -> list[Node]:
    """Take steps while there are any."""
    found: list[Node] = []
    following = step_from(node, graph)
    while following is not None:
        found.append(following)
        following = step_from(following, graph)
    return found


def _linear_before(node: Node, graph: Graph) -> Node | None:
    """The readable linear stage whose map this node alone takes."""
    ahead = graph.makers.get(node.inputs[0]) if len(node.inputs) == 1 else None
    if ahead is None or graph.only_consumer(ahead.output) is not node:
        return None
    return ahead if _is_stage(ahead, graph) else None


def _linear_after(node: Node, graph: Graph) -> Node | None:
    """The readable linear stage that alone takes this node's map."""
    behind = graph.only_consumer(node.output)
    return behind if behind is not None and _is_stage(behind, graph) else None


def _is_stage(node: Node, graph: Graph) -> bool:
    """Whether a node is linear, readable and does not make its map smaller."""
    step = node.step
    if len(node.inputs) != 1 or not is_linear(step):
        return False
    if isinstance(step, Convolution):
        return max(step.stride) == 1
    if isinstance(step, Resize):
        return step.coordinates != "align_corners" and all(s >= 1 and s == int(s) for s in step.scale)
    return True


def _last_site(tensor: str, graph: Graph, known: dict[str, Site]) -> Site | None:
    """The last site on the way to a map, without passing another join."""
    while tensor not in known:
        maker = graph.makers.get(tensor)
        if maker is None or len(maker.inputs) != 1 or isinstance(maker.step, Join):
            return None
        tensor = maker.inputs[0]
    return known[tensor]
