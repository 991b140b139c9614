"""Turn a site and its neighbours into the exact cheaper form that both have together, where there is one."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

import torch

from upstroke.errors import NotRepresentableError
from upstroke.graph.affine_of import affine_of
from upstroke.graph.form import Graph, Node
from upstroke.graph.row import without_mirrors
from upstroke.graph.sites import Site
from upstroke.graph.steps import (
    Convolution,
    Pad,
    PerChannel,
    Pool,
    Resize,
    Same,
    Step,
    TransposedConvolution,
    Upsampling,
)
from upstroke.polyphase import Polyphase, compose

__all__ = [
    "CommutedPointwise",
    "FoldedPointwise",
    "MergedResize",
    "ResizeRow",
    "Stage",
    "StageKind",
    "commuted_pointwise",
    "folded_pointwise",
    "merged_resize",
    "resize_row",
    "stage_ahead",
    "stage_behind",
]

StageKind = Literal["numbers per channel", "1x1 convolution", "blur"]

_TAPS = {"nearest": 1, "linear": 2, "cubic": 4}


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """A linear stage beside an upsampler, into which it may be folded.

    Attributes:
        nodes: the stage, and the casts and identities between it and the upsampler, in order.
        kind: what it is.
    """

    nodes: tuple[Node, ...]
    kind: StageKind


@dataclass(frozen=True, kw_only=True, eq=False)
class ResizeRow:
    """A resize and the convolution that alone takes its map.

    Attributes:
        resize: the node that grows.
        between: casts, identities and pads on the way.
        convolution: the node that convolves.
    """

    resize: Node
    between: tuple[Node, ...]
    convolution: Node

    @property
    def is_one_layer(self) -> bool:
        """Whether they are upstroke's layer for both, which computes them together as it is."""
        return _is_one_layer(self.resize, self.convolution)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All of them, in order."""
        return (self.resize, *self.between, self.convolution)

    @property
    def proxies(self) -> tuple[Step, ...]:
        """Their steps for one pair of channels, with a kernel of ones."""
        step = self.convolution.step
        assert isinstance(step, Convolution)
        one = replace(step, weight=torch.ones(1, 1, *step.weight.shape[2:]), bias=None, groups=1)
        return (self.resize.step, *(node.step for node in self.between), one)


@dataclass(frozen=True, kw_only=True, eq=False)
class MergedResize:
    """A nearest resize and the convolution that alone takes its map: one operator, border included.

    Attributes:
        resize: the node that grows.
        between: casts, identities and pads on the way.
        convolution: the node that convolves.
        stages: what stands in a row, for one pair of channels, with a kernel of ones.
        together: the one operator, likewise.
        pairs: of channels that meet in the convolution.
    """

    resize: Node
    between: tuple[Node, ...]
    convolution: Node
    stages: tuple[Polyphase, ...]
    together: Polyphase
    pairs: int

    @property
    def is_one_layer(self) -> bool:
        """Whether upstroke's layer for both computes them."""
        return _is_one_layer(self.resize, self.convolution)


@dataclass(frozen=True, kw_only=True, eq=False)
class CommutedPointwise:
    """A 1x1 convolution behind a resize that treats all channels alike: it may as well stand before it.

    Attributes:
        resize: the node that grows.
        between: casts and identities on the way.
        convolution: the 1x1 convolution that alone takes its map.
        bias_stays: whether the bias has to stay behind the resize, which does not leave a constant as it is.
        pairs: of channels that meet in the convolution.
        channels: that come to the convolution and go from it.
        taps: multiply-adds of the resize per sample and channel; 0 where it copies.
    """

    resize: Node
    between: tuple[Node, ...]
    convolution: Node
    bias_stays: bool
    pairs: int
    channels: tuple[int, int]
    taps: float

    @property
    def is_one_layer(self) -> bool:
        """Whether upstroke's layer for both computes them."""
        return _is_one_layer(self.resize, self.convolution)

    def multiply_adds(self, cells: float, samples: float) -> tuple[float, float]:
        """What both cost now and in the other order, for cells that come in and samples that go out."""
        into, out = self.channels
        now = samples * (self.taps * into + self.pairs)
        return now, cells * self.pairs + samples * self.taps * out


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldedPointwise:
    """A 1x1 convolution before or behind a dense transposed convolution: a matrix for its weights.

    Attributes:
        transposed: the node that grows.
        between: casts and identities on the way.
        convolution: the 1x1 convolution.
        side: of the transposed convolution on which it stands.
        channels: that come in, that are between the two, and that go out.
        taps: of the transposed convolution's kernel.
    """

    transposed: Node
    between: tuple[Node, ...]
    convolution: Node
    side: Literal["before", "behind"]
    channels: tuple[int, int, int]
    taps: int

    def multiply_adds(self, cells: float, samples: float) -> tuple[float, float]:
        """What both cost now and as one, for cells that come in and samples that go out."""
        into, middle, out = self.channels
        if self.side == "before":
            now = cells * middle * (into + self.taps * out)
        else:
            now = middle * (cells * self.taps * into + samples * out)
        return now, cells * self.taps * into * out


def resize_row(site: Site, graph: Graph) -> ResizeRow | None:
    """The resize of a site and the convolution of stride 1 that alone takes its map, if there are both.

    None for a 1x1 convolution, which `commuted_pointwise` has, and for a resize that makes an axis smaller.
    """
    step = site.node.step
    if not isinstance(step, Resize) or min(step.scale) < 1:
        return None
    between, behind = _behind(site.node, graph, _moves_nothing_or_pads)
    if behind is None or not isinstance(behind.step, Convolution) or max(behind.step.stride) > 1:
        return None
    if max(behind.step.weight.shape[2:]) == 1:
        return None
    return ResizeRow(resize=site.node, between=between, convolution=behind)


def merged_resize(site: Site, graph: Graph) -> MergedResize | None:
    """The nearest resize of a site and the convolution behind it as one operator, if that is exact.

    Exact where the composition has no margin: zeros or edge values beyond the border, and as many samples by
    reflection as the resize has made alike; any groups and dilation. None for a 1x1 convolution, which
    `commuted_pointwise` has.

    >>> from upstroke.graph.sites import sites
    >>> conv = Convolution(
    ...     weight=torch.ones(4, 8, 3), bias=None, stride=(1,), padding=((1, 1),), dilation=(1,)
    ... )
    >>> grow = Resize(mode="nearest", scale=(2.0,), coordinates="asymmetric")
    >>> nodes = (
    ...     Node(name="up", operator="Resize", inputs=("x",), output="u", step=grow),
    ...     Node(name="conv", operator="Conv", inputs=("u",), output="y", step=conv),
    ... )
    >>> graph = Graph(model="", source="", nodes=nodes, inputs=("x",), outputs=("y",), shapes={})
    >>> merged = merged_resize(sites(graph)[0], graph)
    >>> int(merged.together.mask.sum()), merged.pairs
    (4, 32)
    """
    row = resize_row(site, graph)
    if row is None or not isinstance(site.node.step, Resize) or site.node.step.mode != "nearest":
        return None
    assert isinstance(row.convolution.step, Convolution)
    weight = row.convolution.step.weight
    try:
        stages = tuple(affine_of(step, ndim=site.ndim).operator for step in without_mirrors(row.proxies))
    except NotRepresentableError:
        return None
    together = reduce(compose, stages)
    if any(side for sides in together.margin for side in sides):
        return None
    return MergedResize(
        resize=site.node,
        between=row.between,
        convolution=row.convolution,
        stages=stages,
        together=together,
        pairs=weight.shape[0] * weight.shape[1],
    )


def commuted_pointwise(site: Site, graph: Graph) -> CommutedPointwise | None:
    """The 1x1 convolution that alone takes the map of a resize which treats all channels alike, if any.

    Such a resize and a matrix over channels can change places, exactly, whatever its coordinates and ratio. A
    bias can go along where a constant passes the resize unchanged, border included: under every resize, but
    not under an operator that extends its input by zeros.
    """
    taps = _taps_of_a_resize(site.node.step)
    between, behind = _behind(site.node, graph, _moves_nothing)
    if taps is None or behind is None or not _is_pointwise(behind.step):
        return None
    assert isinstance(behind.step, Convolution)
    weight = behind.step.weight
    return CommutedPointwise(
        resize=site.node,
        between=between,
        convolution=behind,
        bias_stays=not isinstance(site.node.step, Resize),
        pairs=weight.shape[0] * weight.shape[1],
        channels=(weight.shape[1] * behind.step.groups, weight.shape[0]),
        taps=taps,
    )


def folded_pointwise(site: Site, graph: Graph) -> tuple[FoldedPointwise, ...]:
    """The 1x1 convolutions before and behind a transposed convolution that fold into its weights.

    Neither may have groups. A bias before a transposed convolution meets a border where fewer taps reach, so
    that one with a bias does not fold there; one behind always does, biases included.
    """
    step = site.node.step
    if not isinstance(step, TransposedConvolution) or step.groups > 1:
        return ()
    taps = math.prod(step.weight.shape[2:])
    into, out = step.weight.shape[:2]
    found = []
    between, ahead = _ahead(site.node, graph)
    if ahead is not None and _is_pointwise(ahead.step):
        assert isinstance(ahead.step, Convolution)
        bias = ahead.step.bias
        if ahead.step.groups == 1 and (bias is None or not bool(bias.any())):
            channels = (ahead.step.weight.shape[1], into, out)
            found.append(
                FoldedPointwise(
                    transposed=site.node,
                    between=between,
                    convolution=ahead,
                    side="before",
                    channels=channels,
                    taps=taps,
                )
            )
    between, behind = _behind(site.node, graph, _moves_nothing)
    if behind is not None and _is_pointwise(behind.step):
        assert isinstance(behind.step, Convolution)
        if behind.step.groups == 1:
            channels = (into, out, behind.step.weight.shape[0])
            found.append(
                FoldedPointwise(
                    transposed=site.node,
                    between=between,
                    convolution=behind,
                    side="behind",
                    channels=channels,
                    taps=taps,
                )
            )
    return tuple(found)


def stage_behind(node: Node, graph: Graph) -> Stage | None:
    """The stage that alone takes a node's map and that may be folded into what makes it, if there is one."""
    between, behind = _behind(node, graph, _moves_nothing)
    kind = None if behind is None else _kind(behind.step)
    return None if behind is None or kind is None else Stage(nodes=(*between, behind), kind=kind)


def stage_ahead(node: Node, graph: Graph) -> Stage | None:
    """The stage that makes what a node alone takes and that may be folded into it, if there is one."""
    between, ahead = _ahead(node, graph)
    kind = None if ahead is None or len(ahead.inputs) != 1 else _kind(ahead.step)
    return None if ahead is None or kind is None else Stage(nodes=(ahead, *between), kind=kind)


def _is_one_layer(resize: Node, convolution: Node) -> bool:
    return resize.operator == convolution.operator and resize.operator.startswith("upstroke.")


def _kind(step: Step) -> StageKind | None:
    if isinstance(step, PerChannel):
        return "numbers per channel"
    if _is_pointwise(step):
        return "1x1 convolution"
    return "blur" if _is_blur(step) else None


def _is_blur(step: Step) -> bool:
    """Whether a step filters every channel by itself, without moving to another size."""
    if isinstance(step, Convolution):
        weight = step.weight
        return max(step.stride) == 1 and step.groups == weight.shape[0] and weight.shape[1] == 1
    if isinstance(step, Upsampling):
        return max(step.operator.scale) == 1 and step.operator.shared
    return isinstance(step, Pool) and step.kind == "mean" and max(step.stride) == 1


def _taps_of_a_resize(step: Step) -> float | None:
    """Multiply-adds per sample and channel of a step that treats all channels alike; None for any other."""
    if isinstance(step, Resize):
        if math.prod(step.scale) <= 1:
            return None
        return 0.0 if step.mode == "nearest" else float(_TAPS[step.mode] ** sum(s != 1 for s in step.scale))
    if isinstance(step, Upsampling):
        operator = step.operator
        alike = operator.shared and operator.in_channels == operator.out_channels == 1 and step.bias is None
        return float(operator.mask.sum()) / operator.phases if alike else None
    if isinstance(step, TransposedConvolution):
        weight = step.weight
        depthwise = step.groups == weight.shape[0] and weight.shape[1] == 1 and step.bias is None
        if not depthwise or not bool((weight == weight[:1]).all()):
            return None
        return math.prod(weight.shape[2:]) / math.prod(step.stride)
    return None


def _is_pointwise(step: Step) -> bool:
    return (
        isinstance(step, Convolution)
        and max(step.weight.shape[2:]) == 1
        and max(step.stride) == 1
        and not any(side for sides in step.padding for side in sides)
    )


def _moves_nothing(step: Step) -> bool:
    return isinstance(step, Same) or _is_one(step)


def _is_one(step: Step) -> bool:
    """Whether a step multiplies by one, as a block does whose scale was left as it is by default."""
    if not isinstance(step, PerChannel) or (step.shift is not None and bool(step.shift.any())):
        return False
    return step.gain is None or bool((step.gain == 1).all())


def _moves_nothing_or_pads(step: Step) -> bool:
    return isinstance(step, Pad) or _moves_nothing(step)


def _behind(node: Node, graph: Graph, passes: Callable[[Step], bool]) -> tuple[tuple[Node, ...], Node | None]:
    """What alone takes a node's map, and what is passed on the way."""
    passed: list[Node] = []
    behind = graph.only_consumer(node.output)
    while behind is not None and passes(behind.step) and len(behind.inputs) == 1:
        passed.append(behind)
        behind = graph.only_consumer(behind.output)
    return tuple(passed), behind if behind is not None and len(behind.inputs) == 1 else None


def _ahead(node: Node, graph: Graph) -> tuple[tuple[Node, ...], Node | None]:
    """What makes the map that a node alone takes, and what is passed on the way."""
    passed: list[Node] = []
    ahead = _sole_maker(node, graph)
    while ahead is not None and _moves_nothing(ahead.step):
        passed.insert(0, ahead)
        ahead = _sole_maker(ahead, graph)
    return tuple(passed), ahead


def _sole_maker(node: Node, graph: Graph) -> Node | None:
    maker = graph.makers.get(node.inputs[0]) if len(node.inputs) == 1 else None
    return maker if maker is not None and graph.only_consumer(maker.output) is node else None
