"""Turn the sites that rules of gains and of mass find into the nearest kernels that they do not find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from upstroke.audit import RULES, Verdict
from upstroke.audit.conservation import FEW_CHANNELS
from upstroke.audit.reading import LEARNED, Reading, read
from upstroke.errors import NotRepresentableError, OptionError, ShapeError
from upstroke.graph import Graph, Node, Site, sites
from upstroke.graph.steps import PixelShuffle, TransposedConvolution, Unread, Upsampling
from upstroke.rewrite.kernel_of import CannotRepairError, layer_of
from upstroke.rewrite.laws import projected, projected_bias

__all__ = ["REPAIRED", "Measured", "NewTensor", "Refused", "Repair", "repaired_kernels"]

# The rules whose findings new kernels do away with.
REPAIRED = ("UP101", "UP102", "UP105", "UP401", "UP402")
OVERLAP, MASS, BLOCKS = "UP101", "UP401", "UP402"
BALANCE = frozenset({OVERLAP, "UP102", "UP105"})
Part = Literal["weight", "bias"]
_MAY_BE_KERNELS = TransposedConvolution | PixelShuffle | Upsampling | Unread


@dataclass(frozen=True, kw_only=True, eq=False)
class NewTensor:
    """A tensor of a model with the values that it gets.

    Attributes:
        node: the convolution that uses it.
        part: as what.
        old, new: its values, of the same shape and type.
    """

    node: Node
    part: Part
    old: Tensor
    new: Tensor


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a rule that found something says before and after.

    Attributes:
        code: of the rule.
        before, after: its measure, None where there is no number (nothing is left but rounding).
        unit: of both.
        still: what it finds after all; empty where it finds nothing.
    """

    code: str
    before: float | None
    after: float | None
    unit: str
    still: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Repair:
    """New kernels of a site.

    Attributes:
        site: its name.
        codes: of the rules that were asked and found something there.
        parts: the tensors that change.
        words: what is done, in a sentence without a full stop.
        relative_change: norm of the change of the kernels relative to their norm.
        measured: what each of the rules says before and after.
    """

    site: str
    codes: tuple[str, ...]
    parts: tuple[NewTensor, ...]
    words: str
    relative_change: float
    measured: tuple[Measured, ...]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A site at which something is found, or that could not be read, and that stays as it is.

    Attributes:
        site: its name.
        codes: of the rules that were asked and found something there; none where it could not be read.
        reason: why, in a sentence without a full stop.
    """

    site: str
    codes: tuple[str, ...]
    reason: str


def repaired_kernels(
    graph: Graph, codes: Sequence[str], *, sites_named: Sequence[str] = ()
) -> tuple[Repair | Refused, ...]:
    """The nearest kernels of every site at which one of these rules finds something.

    UP101, UP102 and UP105 ask for phases that answer a constant alike: k += (g - G_r) / n_r in phase r, the
    least change, which moves the mass; biases per phase become their mean. UP401 asks for kernels that keep a
    total or a mean, whichever is nearer, and UP402 for blocks that do; both take off what a bias adds. What
    is asked together is one projection. Numbers per channel between a convolution and its pixel shuffle are
    multiplied in before and divided out after. Derivation: docs/idea.md#projections.

    Args:
        graph: the model.
        codes: of the rules, among UP101, UP102, UP105, UP401 and UP402.
        sites_named: the sites to repair; by default all.

    Raises:
        OptionError: a code is none of these, or there is no such site.

    >>> from upstroke.graph.torch import record
    >>> net = torch.nn.Sequential(torch.nn.ConvTranspose1d(1, 1, 3, stride=2), torch.nn.Tanh())
    >>> (repair,) = repaired_kernels(record(net, [torch.rand(1, 1, 8)]), ["UP102"])
    >>> kernel = repair.parts[0].new.flatten()
    >>> bool((kernel[::2].sum() - kernel[1]).abs() < 1e-6)
    True
    """
    found = sites(graph)
    _check_asked(codes, sites_named, found)
    wanted = [site for site in found if not sites_named or site.name in sites_named]
    outcomes = [_outcome(read(site, graph, found), graph, tuple(codes)) for site in wanted]
    return _measured([each for each in outcomes if each is not None], graph)


def _check_asked(codes: Sequence[str], named: Sequence[str], found: Sequence[Site]) -> None:
    for code in codes:
        if code not in REPAIRED:
            msg = f"kernels are repaired for {', '.join(REPAIRED)}; got {code!r}"
            raise OptionError(msg)
    known = [site.name for site in found]
    for name in named:
        if name not in known:
            msg = f"sites to repair must be among {', '.join(known) or 'none'}; got {name!r}"
            raise OptionError(msg)


def _verdict(reading: Reading, code: str) -> Verdict:
    rule = RULES[code]
    if reading.reason and not rule.reads_steps:
        return Verdict(kind="skipped", words=reading.reason)
    return rule.judge(reading)


def _outcome(reading: Reading, graph: Graph, codes: tuple[str, ...]) -> Repair | Refused | None:
    """What becomes of one site; None where no rule finds anything."""
    if reading.reason:
        relevant = isinstance(reading.site.node.step, _MAY_BE_KERNELS)
        return Refused(site=reading.name, codes=(), reason=reading.reason) if relevant else None
    verdicts = {code: _verdict(reading, code) for code in codes}
    found = tuple(code for code, verdict in verdicts.items() if verdict.kind == "finding")
    if not found:
        return None
    asked = {code for code, verdict in verdicts.items() if verdict.kind != "skipped"}
    try:
        return _repair(reading, graph, found, asked, verdicts)
    except CannotRepairError as error:
        return Refused(site=reading.name, codes=found, reason=str(error))
    except (NotRepresentableError, ShapeError) as error:
        return Refused(site=reading.name, codes=found, reason=str(error))


def _repair(
    reading: Reading, graph: Graph, found: tuple[str, ...], asked: set[str], verdicts: Mapping[str, Verdict]
) -> Repair:
    layer = layer_of(reading.site, graph)
    if found == (OVERLAP,) and not asked & {MASS, BLOCKS} and _verdict(reading, "UP102").kind == "ok":
        reason = "its phases answer a constant alike as it is; its overlap is that of its shape"
        raise CannotRepairError(reason)
    if {MASS, BLOCKS} & set(found) and _is_judged_as_whole(reading):
        msg = (
            "the model is linear throughout and is judged as a whole, so that what one stage makes another "
            "may lose; repair its stages before they are put in a row"
        )
        raise CannotRepairError(msg)
    evenly = bool(asked & BALANCE) or _is_to_stay_balanced(reading)
    operator, said = projected(layer.operator, evenly=evenly, mass=MASS in asked, blocks=BLOCKS in asked)
    parts = [_part(layer.node, "weight", layer.weight_of(operator))]
    rows = projected_bias(layer.bias, evenly=evenly, kept=bool({MASS, BLOCKS} & asked))
    if rows is not None and layer.bias is not None and not torch.equal(rows, layer.bias):
        if layer.bias_of is None:
            msg = (
                "what stands between its convolution and the shuffle adds another number to every phase, and "
                "the convolution has no bias to take that back; give it one"
            )
            raise CannotRepairError(msg)
        parts.append(_part(layer.node, "bias", layer.bias_of(rows)))
        said += "; its biases change too"
    change = _relative(parts[0])
    return Repair(
        site=reading.name,
        codes=found,
        parts=tuple(part for part in parts if not torch.equal(part.new, part.old)),
        words=f"its kernels move by {100 * change:.3g} % of their norm, so that {said}",
        relative_change=change,
        measured=tuple(
            Measured(code=code, before=verdicts[code].measure, after=None, unit=RULES[code].unit, still="")
            for code in found
        ),
    )


def _is_judged_as_whole(reading: Reading) -> bool:
    if not reading.is_whole_model or len(reading.site.chain) == len(reading.site.layer):
        return False
    return all(max(stage.operator.taps.shape[1:3]) <= FEW_CHANNELS for stage in reading.site.stages())


def _is_to_stay_balanced(reading: Reading) -> bool:
    """Whether the same number on every tap would unbalance what is balanced."""
    assert reading.covered is not None
    counts = reading.covered.counts
    return int(counts.min()) != int(counts.max()) and _verdict(reading, "UP102").kind == "ok"


def _part(node: Node, part: Part, new: Tensor) -> NewTensor:
    old = getattr(node.step, part).detach()
    return NewTensor(node=node, part=part, old=old, new=new.to(old.dtype))


def _relative(part: NewTensor) -> float:
    old, new = part.old.double(), part.new.double()
    return float((new - old).norm() / old.norm()) if bool(old.any()) else 0.0


def _measured(outcomes: Sequence[Repair | Refused], graph: Graph) -> tuple[Repair | Refused, ...]:
    """The outcomes with what the rules say of the model that has all new kernels."""
    repairs = [each for each in outcomes if isinstance(each, Repair)]
    if not repairs:
        return tuple(outcomes)
    after = _with_new(graph, [part for repair in repairs for part in repair.parts])
    found = sites(after)
    by_name = {site.name: site for site in found}
    return tuple(
        _judged_again(each, read(by_name[each.site], after, found)) if isinstance(each, Repair) else each
        for each in outcomes
    )


def _judged_again(repair: Repair, reading: Reading) -> Repair:
    measured = []
    for each in repair.measured:
        verdict = _verdict(reading, each.code)
        still = verdict.words if verdict.kind == "finding" else ""
        measured.append(replace(each, after=verdict.measure, still=still))
    said = "; ".join(f"{each.code} still finds that {each.still}" for each in measured if each.still)
    return replace(
        repair, measured=tuple(measured), words=f"{repair.words}; {said}" if said else repair.words
    )


def _with_new(graph: Graph, parts: Sequence[NewTensor]) -> Graph:
    """The graph with the new values in its steps."""
    return replace(graph, nodes=tuple(_with_parts(node, parts) for node in graph.nodes))


def _with_parts(node: Node, parts: Sequence[NewTensor]) -> Node:
    step = node.step
    for part in parts:
        if part.node is node and isinstance(step, LEARNED):
            step = replace(step, weight=part.new) if part.part == "weight" else replace(step, bias=part.new)
    return node if step is node.step else replace(node, step=step)
