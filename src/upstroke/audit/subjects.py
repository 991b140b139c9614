"""Turn what a graph holds beside its upsampling sites into what the rules need to know of it."""

import math
from dataclasses import dataclass

import torch

from upstroke.diagnose import Coverage, coverage
from upstroke.graph import Branching, Graph, Node, Site
from upstroke.graph.places import Lost, Place
from upstroke.graph.sizes import Sizes
from upstroke.graph.steps import Convolution, Pool
from upstroke.polyphase import transposed

__all__ = ["JoinReading", "ModelReading", "OutputReading", "ReductionReading", "read_reduction"]

# Phases, and elements of a kernel with its holes, beyond which taps are not counted.
MOST = 2**20


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
        covered: windows that read each phase of the input, which are the taps of its gradient; an axis on
            which the output has one sample is one phase, because nothing repeats there.
    """

    node: Node
    reason: str = ""
    covered: Coverage | None = None

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.node.name


@dataclass(frozen=True, kw_only=True, eq=False)
class OutputReading:
    """What was read of one map that a model gives.

    Attributes:
        tensor: name of the map.
        place: where its samples sit, or why nobody can say; None where it was not asked.
        inputs: names of the model's inputs.
        grown: whether the model has upsampling sites.
        reason: why it could not be read; empty where it could.
    """

    tensor: str
    place: Place | Lost | None = None
    inputs: tuple[str, ...] = ()
    grown: bool = True
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
        sizes: which sizes of input it takes; None where no rule asks, or there is nothing to try them on.
        reason: why it could not be read; empty where it could.
    """

    graph: Graph
    sites: tuple[Site, ...]
    sizes: Sizes | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.graph.model


def read_reduction(node: Node, graph: Graph) -> ReductionReading:
    """Count the taps of the adjoint of a strided layer, which is a transposed convolution of its shape."""
    step = node.step
    assert isinstance(step, Convolution | Pool)
    kernel = step.kernel if isinstance(step, Pool) else tuple(step.weight.shape[2:])
    dilation = (1,) * len(kernel) if isinstance(step, Pool) else step.dilation
    length = math.prod(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    if length > MOST or math.prod(step.stride) > MOST:
        return ReductionReading(
            node=node, reason="its kernel with its holes is larger than any that is counted"
        )
    size = graph.size(node.output) or (None,) * len(kernel)
    stride = tuple(1 if samples == 1 else s for samples, s in zip(size, step.stride, strict=True))
    shape = transposed(
        torch.ones(1, 1, *kernel),
        stride=stride,
        padding=tuple(left for left, _ in step.padding),
        dilation=dilation,
    )
    return ReductionReading(node=node, covered=coverage(shape))
