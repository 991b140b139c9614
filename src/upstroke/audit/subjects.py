"""Turn what a graph holds beside its upsampling sites into what the rules need to know of it."""

from dataclasses import dataclass

from upstroke.graph import Branching, Graph, Node, Site

__all__ = ["JoinReading", "ModelReading", "OutputReading", "ReductionReading"]


@dataclass(frozen=True, kw_only=True, eq=False)
class JoinReading:
    """What was read of one join of maps.

    Attributes:
        branching: the join.
        reason: why it could not be read; empty where it could.
    """

    branching: Branching
    reason: str = ""

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.branching.node.name


@dataclass(frozen=True, kw_only=True, eq=False)
class ReductionReading:
    """What was read of one operation that makes maps smaller: a strided convolution or pool.

    Attributes:
        node: the operation.
        reason: why it could not be read; empty where it could.
    """

    node: Node
    reason: str = ""

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.node.name


@dataclass(frozen=True, kw_only=True, eq=False)
class OutputReading:
    """What was read of one map that a model gives.

    Attributes:
        tensor: name of the map.
        reason: why it could not be read; empty where it could.
    """

    tensor: str
    reason: str = ""

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelReading:
    """What was read of a model as a whole.

    Attributes:
        graph: the model.
        sites: its upsampling sites.
        reason: why it could not be read; empty where it could.
    """

    graph: Graph
    sites: tuple[Site, ...]
    reason: str = ""

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.graph.model
