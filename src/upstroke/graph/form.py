"""Define the one form that models are read into: nodes in order, joined by named tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from upstroke.graph.measured import Measured, Unmeasured
from upstroke.graph.steps import Step

__all__ = ["Graph", "Node", "Shape"]

Shape = tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """One operation of a model.

    Attributes:
        name: what the model calls it: the path of a module, the name of an ONNX node.
        operator: what it is called where it comes from, such as ConvTranspose or aten.convolution.
        inputs: names of the maps it takes; weights and constants are not among them.
        output: name of the map it gives, of its first one if there are several.
        step: what it does.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    output: str
    step: Step


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """A model as nodes in an order in which they can run.

    Attributes:
        model: what the model is called.
        source: what it was read from, in a few words, such as ONNX, opset 12.
        nodes: the operations.
        inputs: names of the maps that come in.
        outputs: names of the maps that go out.
        shapes: of maps, as far as they are known; an axis of unknown size is None.
        measured: where the samples of maps were found to sit, if that was asked for.
        loose: by the name of the map that a node gives, why its weights are not simply numbers of the model,
            in a sentence without a full stop; nothing for all other nodes.
        is_fixed: whether the model takes maps of one size alone, which shapes tell.
    """

    model: str
    source: str
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: Mapping[str, Shape]
    measured: Mapping[str, Measured | Unmeasured] = field(default_factory=dict)
    loose: Mapping[str, str] = field(default_factory=dict)
    is_fixed: bool = False

    @cached_property
    def makers(self) -> Mapping[str, Node]:
        """The node that makes each map."""
        return {node.output: node for node in self.nodes}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that take each map, in order."""
        takers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                takers.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in takers.items()}

    def only_consumer(self, tensor: str) -> Node | None:
        """The node that alone takes a map, which is no output of the model; None if there is no such node."""
        takers = self.consumers.get(tensor, ())
        return takers[0] if len(takers) == 1 and tensor not in self.outputs else None

    def size(self, tensor: str) -> tuple[int | None, ...] | None:
        """Spatial size of a map of shape (batch, channels, *size), as far as it is known."""
        shape = self.shapes.get(tensor)
        return None if shape is None or len(shape) < 3 else shape[2:]
