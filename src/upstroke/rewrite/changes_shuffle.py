"""Turn a pixel shuffle, and the convolution that makes its phases, into the change that they allow."""

from collections.abc import Iterator
from itertools import pairwise

import torch

from upstroke.errors import NotRepresentableError, ShapeError
from upstroke.graph import Site
from upstroke.graph.patterns import stage_ahead, stage_behind
from upstroke.graph.steps import Convolution, PerChannel, PixelShuffle
from upstroke.rewrite.change import Change, Code, Form, Left, Shuffled
from upstroke.rewrite.changes_asked import Asked, Found, called
from upstroke.rewrite.changes_left import reason_to_leave
from upstroke.rewrite.changes_row import extended, row_from

__all__ = ["shuffle_changes"]


def shuffle_changes(site: Site, asked: Asked) -> Iterator[Found]:
    """What may stand in place of a pixel shuffle, of what makes its phases and of what stands beside both."""
    folded = _folded(site, asked) if "fold" in asked.codes else None
    if folded is not None:
        yield folded
    if not isinstance(folded, Change) and "shuffle" in asked.codes and _is_spelled(site):
        yield _shuffled(site, asked)


def _folded(site: Site, asked: Asked) -> Found | None:
    """Numbers per channel folded into the convolution that makes the phases."""
    graph, layer = asked.graph, site.layer
    alone = all(graph.only_consumer(one.output) is two for one, two in pairwise(layer))
    if len(layer) < 2 or not alone or not isinstance(layer[0].step, Convolution):
        return None
    between = [node for node in layer if isinstance(node.step, PerChannel)]
    beside = (stage_behind(site.node, graph), stage_ahead(layer[0], graph))
    if not between and not any(stage is not None and stage.kind != "1x1 convolution" for stage in beside):
        return None
    codes: tuple[Code, ...] = ("fold", "shuffle") if _is_spelled(site) else ("fold",)
    reason = reason_to_leave(layer, graph, composed=True)
    if reason:
        return Left(site=site.name, codes=("fold",), reason=reason)
    try:
        row = extended(row_from(layer, ndim=site.ndim), graph, ("fold",))
    except (NotRepresentableError, ShapeError):
        return None
    if not between and not row.folded:
        return None
    folded = [*between, *(node for stage in row.folded for node in stage.nodes)]
    words = f"{called(folded)} folded into {called([layer[0]])}, which makes the phases of {site.name}"
    return asked.together(site, row, codes=codes, words=words, first=("shuffle",))


def _shuffled(site: Site, asked: Asked) -> Found:
    """The spelled shuffle by one operator."""
    step = site.node.step
    assert isinstance(step, PixelShuffle)
    codes: tuple[Code, ...] = ("shuffle",)
    words = f"{site.node.operator} becomes one pixel shuffle"
    form: Form = "depth to space" if asked.target == "onnx" else "native"
    reason = reason_to_leave([site.node], asked.graph, composed=False) or _why_no_operator(step, asked)
    if reason:
        return Left(site=site.name, codes=codes, reason=reason)
    return Change(
        site=site.name,
        codes=codes,
        nodes=(site.node,),
        first=site.node.inputs[0],
        last=site.node.output,
        does=Shuffled(shuffle=step),
        forms=(form,),
        words=words,
        multiply_adds=0.0,
    )


def _is_spelled(site: Site) -> bool:
    """Whether several operations spell the shuffle."""
    return "–" in site.node.operator and "upstroke." not in site.node.operator


def _why_no_operator(step: PixelShuffle, asked: Asked) -> str:
    """Why the target has no operator for a shuffle; empty where it has."""
    name = "DepthToSpace" if asked.target == "onnx" else "PixelShuffle"
    if len(step.scale) != 2 or len(set(step.scale)) > 1:
        return f"{name} lays out two axes by one factor"
    if step.source is None:
        return ""
    phases, out = step.source.shape
    by_phases = bool((step.source == torch.arange(phases * out).reshape(phases, out)).all())
    if asked.target == "onnx" and by_phases:
        return ""
    return f"{name} takes the channels in another order"
