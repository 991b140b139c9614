"""Turn a graph into its upsampling sites, each in its chain of linear stages, and its joins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from upstroke.errors import NotRepresentableError
from upstroke.graph.affine_of import affine_of, is_linear
from upstroke.graph.form import Graph, Node
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
from upstroke.polyphase import Affine, compose_affine

__all__ = ["Branching", "Site", "joins", "reductions", "sites"]


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
        first, *rest = (affine_of(node.step, ndim=self.ndim, interior=True) for node in self.layer)
        for each in rest:
            first = compose_affine(first, each)
        return first

    def stages(self) -> tuple[Affine, ...]:
        """The affine maps of the chain, in order, right in the interior; the layer is one of them.

        It stands at the place `len(site.before)`.
        """
        before, after = (
            tuple(affine_of(node.step, ndim=self.ndim, interior=True) for node in nodes)
            for nodes in (self.before, self.after)
        )
        return (*before, self.affine(), *after)


@dataclass(frozen=True, kw_only=True, eq=False)
class Branching:
    """A join of maps.

    Attributes:
        node: the operation that joins them.
        sites: per map that comes in, the last upsampling site on the way to it, or None.
    """

    node: Node
    sites: tuple[Site | None, ...]


def sites(graph: Graph) -> tuple[Site, ...]:
    """Every upsampling site of a model, in the order in which they run."""
    return tuple(_site(node, graph) for node in graph.nodes if _grows(node))


def joins(graph: Graph, grown: Sequence[Site]) -> tuple[Branching, ...]:
    """Every join at which a map arrives that one of these sites grew since the last join."""
    known = {site.node.output: site for site in grown}
    found = []
    for node in graph.nodes:
        if isinstance(node.step, Join) and len(node.inputs) > 1:
            branches = tuple(_last_site(name, graph, known) for name in node.inputs)
            if any(branches):
                found.append(Branching(node=node, sites=branches))
    return tuple(found)


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
