"""Turn a report into its subjects in the order in which they run, each with what feeds it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upstroke.graph import Graph, Node

if TYPE_CHECKING:
    from upstroke.audit.check import Report

__all__ = ["network_of"]

Plain = Any
# Subjects that one map is drawn from, beyond which a drawing shows nothing anyway.
MOST_SOURCES = 8


@dataclass(frozen=True, kw_only=True)
class _Stop:
    """Where a drawing of the network stops: a subject, or a map that comes in or goes out."""

    kind: str
    index: int
    name: str
    tensor: str
    order: int


def network_of(report: "Report") -> dict[str, Plain]:
    """Inputs, sites, joins, strided layers and outputs in running order, with sizes and what feeds them.

    `index` counts within the record's own list of such subjects, `order` is the place among the model's
    operations, and `from` names the steps whose maps arrive, by their places in this list.
    """
    graph = report.graph
    stops = _stops(report)
    of_node = {
        graph.nodes[stop.order].output: place
        for place, stop in enumerate(stops)
        if 0 <= stop.order < len(graph.nodes)
    }
    sources, fed = _sources(graph, stops, of_node)
    steps = []
    for place, stop in enumerate(stops):
        from_ = sources.get(stop.tensor, ()) if stop.kind == "output" else fed.get(place, ())
        steps.append(
            {
                "kind": stop.kind,
                "index": stop.index,
                "name": stop.name,
                "order": stop.order,
                "size": _sizes(graph.size(stop.tensor)),
                "channels": _channels(graph, stop.tensor),
                "from": [each for each in from_ if each != place],
            }
        )
    return {"steps": steps}


def _stops(report: "Report") -> list[_Stop]:
    graph = report.graph
    places = {node: place for place, node in enumerate(graph.nodes)}

    def at(kind: str, index: int, name: str, node: Node) -> _Stop:
        return _Stop(kind=kind, index=index, name=name, tensor=node.output, order=places[node])

    stops = [
        *(at("site", i, each.reading.name, each.reading.site.node) for i, each in enumerate(report.sites)),
        *(at("join", i, each.reading.name, each.reading.branching.node) for i, each in enumerate(report.joins)),
        *(at("reduction", i, each.reading.name, each.reading.node) for i, each in enumerate(report.reductions)),
    ]  # fmt: skip
    inputs = [
        _Stop(kind="input", index=index, name=name, tensor=name, order=-1)
        for index, name in enumerate(graph.inputs)
        if graph.size(name) is not None
    ]
    outputs = [
        _Stop(kind="output", index=index, name=name, tensor=name, order=len(places))
        for index, name in enumerate(graph.outputs)
    ]
    return [*inputs, *sorted(stops, key=lambda stop: stop.order), *outputs]


def _sources(
    graph: Graph, stops: list[_Stop], of_node: dict[str, int]
) -> tuple[dict[str, tuple[int, ...]], dict[int, tuple[int, ...]]]:
    """The last steps on the ways to each map, and those that feed each step."""
    sources = {stop.tensor: (place,) for place, stop in enumerate(stops) if stop.kind == "input"}
    fed: dict[int, tuple[int, ...]] = {}
    for node in graph.nodes:
        arriving = tuple(dict.fromkeys(_arriving(node, sources)))[:MOST_SOURCES]
        step = of_node.get(node.output)
        if step is not None:
            fed[step] = arriving
        sources[node.output] = arriving if step is None else (step,)
    return sources, fed


def _arriving(node: Node, sources: dict[str, tuple[int, ...]]) -> Iterator[int]:
    for name in node.inputs:
        yield from sources.get(name, ())


def _sizes(size: tuple[int | None, ...] | None) -> list[int | None] | None:
    return None if size is None else list(size)


def _channels(graph: Graph, tensor: str) -> int | None:
    shape = graph.shapes.get(tensor)
    return None if shape is None or len(shape) < 2 else shape[1]
