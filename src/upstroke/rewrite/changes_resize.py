"""Turn a resize and what stands behind it into the change that both allow, or the reason for none."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce

from upstroke.audit.slow_path import THRESHOLD, measured_like
from upstroke.diagnose import cost
from upstroke.errors import NotRepresentableError
from upstroke.graph import CommutedPointwise, Node, Site, affine_of, commuted_pointwise
from upstroke.graph.patterns import ResizeRow, resize_row, stage_behind
from upstroke.graph.row import in_double, without_mirrors
from upstroke.graph.steps import Convolution, PerChannel, Resize, TransposedConvolution, Upsampling
from upstroke.polyphase import compose
from upstroke.rewrite.change import Change, Code, Commuted, Left
from upstroke.rewrite.changes_asked import Asked, Found, called, samples_per_cell
from upstroke.rewrite.changes_left import is_half, reason_to_leave
from upstroke.rewrite.changes_row import extended, row_from
from upstroke.rewrite.changes_two import resize_and_convolution, scaled
from upstroke.rewrite.counting import multiply_adds_of

__all__ = ["commuted_change", "is_slow", "is_stock", "resize_changes"]

ROOM = "kernels of upstroke's own are for PyTorch, and an ONNX model has none"


@dataclass(frozen=True, kw_only=True)
class _Costs:
    """Multiply-adds per cell of a resize and a convolution, as they are and as one operator.

    Attributes:
        row: of both in a row.
        one: as one operator.
        has_margin: whether a border shows between them.
    """

    row: float
    one: float
    has_margin: bool


def resize_changes(site: Site, asked: Asked) -> Iterator[Found]:
    """What may stand in place of a resize and of what alone takes its map."""
    commuted = commuted_change(site, asked)
    if commuted is not None:
        yield commuted
        return
    row = resize_row(site, asked.graph)
    merged = None if row is None else _merged(site, row, asked)
    if merged is not None:
        yield merged
    if not isinstance(merged, Change):
        yield from _by_own_kernels(site, asked)


def commuted_change(site: Site, asked: Asked) -> Found | None:
    """A 1x1 convolution put in front of what treats all channels alike; None where that saves nothing."""
    found = commuted_pointwise(site, asked.graph)
    if found is None or found.is_one_layer or "UP302" not in asked.codes:
        return None
    grown = samples_per_cell(site.node)
    before, after = found.multiply_adds(1.0, grown)
    if after >= before:
        return None
    nodes = (found.resize, *found.between, found.convolution)
    reason = reason_to_leave(nodes, asked.graph, composed=False) or _why_no_other_channels(found, asked)
    if reason:
        return Left(site=site.name, codes=("UP302",), reason=reason)
    codes: tuple[Code, ...] = ("UP302",)
    convolution = found.convolution.step
    assert isinstance(convolution, Convolution)
    stage = stage_behind(found.convolution, asked.graph)
    words = f"{_name(found.convolution)} comes in front of {_name(found.resize)}"
    can_fold = stage is not None and stage.kind == "numbers per channel" and "fold" in asked.codes
    if stage is not None and can_fold and not is_half(nodes):
        longer = (*nodes, *stage.nodes)
        if not reason_to_leave(longer, asked.graph, composed=True):
            nodes, codes = longer, ("UP302", "fold")
            numbers = next(node.step for node in stage.nodes if isinstance(node.step, PerChannel))
            convolution = scaled(convolution, numbers)
            words += f", and {called(stage.nodes)} is folded into it"
    bias = convolution.bias if found.bias_stays else None
    return Change(
        site=site.name,
        codes=codes,
        nodes=nodes,
        first=nodes[0].inputs[0],
        last=nodes[-1].output,
        does=Commuted(
            convolution=replace(convolution, bias=None) if found.bias_stays else convolution,
            resize=_as_resize(site),
            bias=bias,
        ),
        forms=("commuted",),
        words=words,
        multiply_adds=multiply_adds_of(nodes, asked.graph),
    )


def is_slow(node: Node, asked: Asked) -> bool:
    """Whether a measured case most like a node says that PyTorch is slow at it."""
    shape = asked.graph.shapes.get(node.inputs[0], ())
    cells = [n for n in shape[2:] if n is not None]
    if len(shape) < 3 or len(cells) < len(shape) - 2 or not shape[1]:
        return False
    row = measured_like(node.step, channels=shape[1], cells=math.prod(cells))
    return row is not None and row.pytorch / row.upstroke >= THRESHOLD


def is_stock(node: Node) -> bool:
    """Whether PyTorch's own operator or layer computes a node, and none of upstroke's."""
    name = node.operator.removeprefix("aten.")
    return name.startswith(("ConvTranspose", "conv_transpose", "Upsample", "upsample_", "_upsample_"))


def _merged(site: Site, row: ResizeRow, asked: Asked) -> Found | None:
    """A fixed resize and a convolution as one operator."""
    step = site.node.step
    assert isinstance(step, Resize)
    if "UP301" not in asked.codes or row.is_one_layer:
        return None
    try:
        affine_of(step, ndim=site.ndim)
    except NotRepresentableError:
        return None
    codes: tuple[Code, ...] = ("UP301",)
    try:
        costs = _costs(row, site.ndim)
    except NotRepresentableError as error:
        return Left(site=site.name, codes=codes, reason=str(error))
    pays = costs.one < costs.row
    if step.mode == "nearest" and not pays:
        return None
    only_native = costs.has_margin or not pays
    if asked.target == "onnx" and costs.has_margin:
        reason = (
            f"{_name(row.convolution)} pads what the resize gives in another way than the resize goes on, so "
            "that no one operator computes both up to the border"
        )
        return Left(site=site.name, codes=codes, reason=reason)
    if asked.target == "onnx" and not pays:
        reason = f"as one operator it would take {costs.one / costs.row:.3g} times as many multiply–adds"
        return Left(site=site.name, codes=codes, reason=reason)
    # before anything large is multiplied
    reason = reason_to_leave(row.nodes, asked.graph, composed=True)
    if reason:
        return Left(site=site.name, codes=codes, reason=reason)
    if only_native and resize_and_convolution(row.nodes) is None:
        reason = f"what {_name(row.convolution)} finds beyond the border is no padding that a layer has"
        return Left(site=site.name, codes=codes, reason=reason)
    whole = row_from(row.nodes, ndim=site.ndim)
    behind = ("fold",) if only_native else ("fold", "UP302")
    codes_beside = [code for code in asked.codes if code in behind]
    whole = extended(whole, asked.graph, codes_beside, ahead=not only_native)
    if step.mode != "nearest" and asked.target == "pytorch" and is_slow(site.node, asked):
        codes = ("UP301", "UP303")
    words = f"{_name(row.resize)} and {_name(row.convolution)} become one operator"
    if whole.folded:
        words += f", with {called(node for stage in whole.folded for node in stage.nodes)} folded in"
    return asked.together(
        site,
        whole,
        codes=tuple(dict.fromkeys((*codes, *whole.codes))),
        words=words,
        first=("native",) if asked.target == "pytorch" else ("phases",),
        only="native" if only_native else None,
    )


def _costs(row: ResizeRow, ndim: int) -> _Costs:
    step = row.convolution.step
    assert isinstance(step, Convolution)
    out, in_group = step.weight.shape[:2]
    stages = [affine_of(each, ndim=ndim).operator for each in without_mirrors(row.proxies)]
    together = reduce(compose, stages)
    resize = cost(stages[0]).multiply_adds_per_input * in_group * step.groups
    taps = math.prod(step.weight.shape[2:]) * stages[0].phases
    return _Costs(
        row=float(resize + taps * out * in_group),
        one=float(cost(together).multiply_adds_per_input * out * in_group),
        has_margin=any(side for sides in together.margin for side in sides),
    )


def _by_own_kernels(site: Site, asked: Asked) -> Iterator[Found]:
    """A fixed resize that PyTorch is known to be slow at, by upstroke's kernels."""
    codes: tuple[Code, ...] = ("UP303",)
    if "UP303" not in asked.codes or not is_slow(site.node, asked):
        return
    if asked.target == "onnx":
        yield Left(site=site.name, codes=codes, reason=ROOM)
        return
    if not is_stock(site.node):
        return
    try:
        row = row_from([site.node], ndim=site.ndim)
    except NotRepresentableError as error:
        yield Left(site=site.name, codes=codes, reason=str(error))
        return
    words = f"{_name(site.node)} is computed by upstroke's kernels"
    yield asked.together(site, row, codes=codes, words=words, only="native", plain=True)


def _as_resize(site: Site) -> Resize | Upsampling:
    """What grows, as a step that serves any number of channels."""
    step = site.node.step
    if isinstance(step, TransposedConvolution):
        one = replace(step, weight=step.weight[:1], groups=1)
        operator = affine_of(in_double(one), ndim=site.ndim).operator
        return Upsampling(operator=replace(operator, shared=True))
    assert isinstance(step, Resize | Upsampling)
    return step


def _why_no_other_channels(found: CommutedPointwise, asked: Asked) -> str:
    """Why a resize cannot work on as many channels as the convolution gives; empty where it can."""
    step = found.resize.step
    is_sized = isinstance(step, Resize) and not step.given
    if not is_sized or asked.target != "onnx" or found.channels[0] == found.channels[1]:
        return ""
    return (
        f"it is given a size, which names {found.channels[0]} channels, and in front of it the convolution "
        f"would give {found.channels[1]}"
    )


def _name(node: Node) -> str:
    return f"{node.operator} {node.name}"
