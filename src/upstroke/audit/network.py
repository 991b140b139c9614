"""Turn a report into its subjects in the order in which they run, each with what feeds it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upstroke.audit.pictures import placed
from upstroke.graph import Graph, Node
from upstroke.graph.places import Lost, Place

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


def network_of(report: "Report", places: Mapping[str, Place | Lost]) -> dict[str, Plain]:
    """Inputs, sites, joins, strided layers and outputs in running order, with sizes and what feeds them.

    `index` counts within the record's own list of such subjects, `order` is the place among the model's
    operations, `from` names the steps whose maps arrive, by their places in this list, and `place` says where
    samples sit on the input.
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
                "place": placed(places.get(stop.tensor)),
            }
        )
    return {"steps": steps}


def _stops(report: "Report") -> list[_Stop]:
    graph = report.graph
    places = {node: place for place, node in enumerate(graph.nodes)}

    nodes = [
        *(("site", each.reading.name, each.reading.site.node) for each in report.sites),
        *(("join", each.reading.name, each.reading.branching.node) for each in report.joins),
        *(("reduction", each.reading.name, each.reading.node) for each in report.reductions),
    ]
    counts: Counter[str] = Counter()
    stops = []
    for kind, name, node in nodes:
        stops.append(_Stop(kind=kind, index=counts[kind], name=name, tensor=node.output, order=places[node]))
        counts[kind] += 1
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
    sources: dict[str, tuple[int, ...]] = {
        stop.tensor: (place,) for place, stop in enumerate(stops) if stop.kind == "input"
    }
    fed: dict[int, tuple[int, ...]] = {}
    for node in graph.nodes:
        step = of_node.get(node.output)
        if step is None:
            sources[node.output] = _carried(node, graph, sources)
        else:
            arriving = (each for name in node.inputs for each in sources.get(name, ()))
            fed[step] = tuple(dict.fromkeys(arriving))[:MOST_SOURCES]
            sources[node.output] = (step,)
    return sources, fed


def _carried(node: Node, graph: Graph, sources: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """What a map that is no step comes from: of several that arrive, the last one of its own size.

    A gate, a time embedding or a noise that a map is multiplied with or added to is no branch of it.
    """
    size = graph.size(node.output)
    alike = [name for name in node.inputs if graph.size(name) == size and sources.get(name)]
    arriving = alike or [name for name in node.inputs if sources.get(name)]
    return max((sources[name] for name in arriving), key=max, default=())


def _sizes(size: tuple[int | None, ...] | None) -> list[int | None] | None:
    return None if size is None else list(size)


def _channels(graph: Graph, tensor: str) -> int | None:
    shape = graph.shapes.get(tensor)
    return None if shape is None or len(shape) < 2 else shape[1]
