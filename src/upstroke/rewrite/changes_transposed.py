"""Turn a transposed convolution and its neighbours into the change they allow, or the reason for none."""

from collections.abc import Iterator, Sequence

from upstroke.errors import NotRepresentableError, ShapeError
from upstroke.graph import Node, Site, folded_pointwise
from upstroke.graph.patterns import stage_ahead, stage_behind
from upstroke.polyphase import Affine
from upstroke.rewrite.change import Change, Code, Form, Left
from upstroke.rewrite.changes_asked import Asked, Found, called, samples_per_cell
from upstroke.rewrite.changes_left import reason_to_leave
from upstroke.rewrite.changes_resize import ROOM, commuted_change, is_slow, is_stock
from upstroke.rewrite.changes_row import extended, row_from

__all__ = ["transposed_changes"]

TIE = "folded into its weights it would take as many multiply–adds, or a border would show"


def transposed_changes(site: Site, asked: Asked) -> Iterator[Found]:
    """What may stand in place of a transposed convolution and of the linear stages beside it."""
    commuted = commuted_change(site, asked)
    if commuted is not None:
        yield commuted
        return
    folded = _folded(site, asked)
    if folded is not None:
        yield folded
    if not isinstance(folded, Change):
        yield from _by_own_kernels(site, asked)


def _folded(site: Site, asked: Asked) -> Found | None:
    """The stages beside it folded into its weights; None where there is none that could be."""
    began = _began(site, asked)
    if not began:
        return None
    reason = reason_to_leave([site.node], asked.graph, composed=True)
    if reason:
        return Left(site=site.name, codes=began, reason=reason)
    row = extended(row_from([site.node], ndim=site.ndim), asked.graph, asked.codes)
    missed = tuple(code for code in began if code == "UP302" and code not in row.codes)
    if not row.folded:
        return Left(site=site.name, codes=missed, reason=TIE) if missed else None
    codes: tuple[Code, ...] = row.codes
    if asked.target == "pytorch" and "UP303" in asked.codes and is_slow(site.node, asked):
        codes = ("UP303", *codes)
    stages = [stage.nodes[-1] if stage.nodes[-1] in row.nodes else stage.nodes[0] for stage in row.folded]
    first: tuple[Form, ...] = ("transposed",)
    if asked.target == "pytorch" and _is_layer(row.affine):
        first = ("native", "transposed")
    words = f"{called(stages)} folded into {_name(site.node)}"
    return asked.together(site, row, codes=codes, words=words, first=first)


def _began(site: Site, asked: Asked) -> tuple[Code, ...]:
    """Codes of what stands beside it that might be folded in."""
    found: list[Code] = []
    beside = [stage_behind(site.node, asked.graph), stage_ahead(site.node, asked.graph)]
    if any(stage is not None and stage.kind != "1x1 convolution" for stage in beside):
        found.append("fold")
    costs = [
        each.multiply_adds(1.0, samples_per_cell(site.node)) for each in folded_pointwise(site, asked.graph)
    ]
    if any(after < before for before, after in costs):
        found.append("UP302")
    return tuple(code for code in found if code in asked.codes)


def _by_own_kernels(site: Site, asked: Asked) -> Iterator[Found]:
    """The same by upstroke's layer, which chooses what is fastest among its kernels and PyTorch's."""
    slow = "UP303" in asked.codes and is_slow(site.node, asked)
    if asked.target == "onnx":
        if slow:
            yield Left(site=site.name, codes=("UP303",), reason=ROOM)
        return
    codes: Sequence[Code] = ("UP303",) if slow else ("native",)
    if not is_stock(site.node) or codes[0] not in asked.codes:
        return
    try:
        row = row_from([site.node], ndim=site.ndim)
    except (NotRepresentableError, ShapeError):
        return
    words = f"{_name(site.node)} is computed by upstroke's layer"
    yield asked.together(site, row, codes=codes, words=words, only="native", plain=True)


def _is_layer(affine: Affine) -> bool:
    """Whether upstroke's layer computes a map: zeros outside, and one bias for all phases."""
    operator, bias = affine.operator, affine.bias
    inside = zip(operator.border, range(operator.ndim), strict=True)
    zeros = all(border == "zero" or not operator.reads_outside(axis) for border, axis in inside)
    return zeros and (bias is None or bool((bias == bias[:1]).all()))


def _name(node: Node) -> str:
    return f"{node.operator} {node.name}"
