"""Turn graphs of one model at several sizes into the resizes whose scale is the same at each of them."""

from collections.abc import Sequence

from upstroke.graph import Graph, sites
from upstroke.graph.steps import Resize

__all__ = ["same_scales"]


def same_scales(graph: Graph, others: Sequence[Graph]) -> set[str]:
    """Names of the sites whose resize was given a size, and grows by one whole scale whatever comes in.

    A decoder that resizes to the size of its skip grows by 2 on maps of even size alone, so whoever reads
    the others should choose odd sizes too, as far as the model takes them.

    Args:
        graph: the model.
        others: the same model, read at other sizes. A site counts only where its map had another size in one
            of them at least, on every axis that grows.

    >>> from upstroke.graph import Node
    >>> def read(cells: int, samples: int) -> Graph:
    ...     step = Resize(mode="nearest", scale=(samples / cells,), coordinates="asymmetric", given=False)
    ...     node = Node(name="up", operator="Resize", inputs=("x",), output="y", step=step)
    ...     shapes = {"x": (1, 1, cells), "y": (1, 1, samples)}
    ...     return Graph(model="", source="", nodes=(node,), inputs=("x",), outputs=("y",), shapes=shapes)
    >>> same_scales(read(4, 8), [read(5, 10)]), same_scales(read(4, 8), [read(4, 9)])
    ({'up'}, set())
    """
    known = [{node.name: node for node in other.nodes} for other in others]
    found = set()
    for site in sites(graph):
        step, size = site.node.step, site.size_in
        if not isinstance(step, Resize) or size is None or any(s != int(s) for s in step.scale):
            continue
        same = [nodes.get(site.name) for nodes in known]
        alike = [node for node in same if node is not None and _is_same(node.step, step)]
        sizes = [other.size(node.inputs[0]) or size for other, node in zip(others, same, strict=True) if node]
        varies = all(
            any(each[axis] != size[axis] for each in sizes) for axis, s in enumerate(step.scale) if s != 1
        )
        if len(alike) == len(others) and varies:
            found.add(site.name)
    return found


def _is_same(step: object, other: Resize) -> bool:
    return (
        isinstance(step, Resize)
        and (step.mode, step.scale, step.coordinates) == (other.mode, other.scale, other.coordinates)
        and step.rounding == other.rounding
    )
