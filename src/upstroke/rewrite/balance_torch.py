"""Write new kernels into a copy of a PyTorch module."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from upstroke.errors import OptionError, first_line
from upstroke.graph import Graph, Node, sites
from upstroke.graph.torch_state import memory_of
from upstroke.rewrite.balance import NewTensor, Refused, Repair, repaired_kernels
from upstroke.rewrite.kernel_of import layout_of

__all__ = ["RepairedModule", "repaired_module"]

_TENSORS = ("weight", "bias", "gain", "shift")


@dataclass(frozen=True, kw_only=True, eq=False)
class RepairedModule:
    """A copy of a module with new kernels.

    Attributes:
        model: the copy.
        outcomes: what became of each site at which something was found, or that could not be read.
    """

    model: nn.Module
    outcomes: tuple[Repair | Refused, ...]


def repaired_module(
    module: nn.Module, graph: Graph, codes: Sequence[str], *, sites_named: Sequence[str] = ()
) -> RepairedModule:
    """A deep copy of a module in which the kernels of `repaired_kernels` stand; the module stays as it is.

    A kernel is written into the parameter that is the convolution's weight, in memory; one that is computed
    (weight normalisation, a parametrization, a cast), a buffer, and one that something else uses as well are
    refused, each with the reason. A layer that runs several times is repaired once.

    Args:
        module: the model.
        graph: what was recorded of it.
        codes: of the rules, as in `repaired_kernels`.
        sites_named: the sites to repair; by default all.

    Raises:
        OptionError: a code or a site is not known, or the module cannot be copied.

    >>> from upstroke.graph.torch import record
    >>> net = nn.Sequential(nn.ConvTranspose1d(1, 1, 2, stride=2), nn.Tanh())
    >>> repaired = repaired_module(net, record(net, [torch.rand(1, 1, 8)]), ["UP102"])
    >>> first, second = repaired.model[0].weight.flatten().tolist()
    >>> abs(first - second) < 1e-6
    True
    """
    module = getattr(module, "_orig_mod", module)
    outcomes = repaired_kernels(graph, codes, sites_named=sites_named)
    held = _Held(module, graph)
    outcomes = _agreed(
        [_refused_unless(each, held) if isinstance(each, Repair) else each for each in outcomes], held
    )
    model = _copied(module)
    named = dict(model.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for repair in outcomes:
            for part in repair.parts if isinstance(repair, Repair) else ():
                held.view_in(named, part.old).copy_(part.new)
    return RepairedModule(model=model, outcomes=outcomes)


class _Held:
    """Which parameters of a module are the tensors of a graph's steps, and what else uses them."""

    def __init__(self, module: nn.Module, graph: Graph) -> None:
        self._names: dict[int, list[str]] = {}
        self._parameters: dict[str, Tensor] = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            self._parameters[name] = parameter
            self._names.setdefault(memory_of(parameter), []).append(name)
        self._buffers = {
            memory_of(buffer): name for name, buffer in module.named_buffers(remove_duplicate=False)
        }
        self._uses: dict[int, list[tuple[Node, str]]] = {}
        for node in graph.nodes:
            for role, tensor in _tensors_of(node):
                self._uses.setdefault(memory_of(tensor), []).append((node, role))
        self._layouts = {id(site.layer[0]): layout_of(site) for site in sites(graph)}

    def why_not(self, part: NewTensor) -> str:
        """Why a tensor cannot be written; empty where it can."""
        place = memory_of(part.old)
        names = self._names.get(place, [])
        if not names:
            return self._held_elsewhere(part)
        if len({id(self._parameters[name]) for name in names}) > 1:
            return f"{' and '.join(names)} are different parameters that share their memory"
        # what is laid out by copies cannot be written apart
        if any(stride == 0 and n > 1 for stride, n in zip(part.old.stride(), part.old.shape, strict=True)):
            return f"its {part.part} is one number of {names[0]} for several places"
        uses = self._uses[place]
        own = self._layouts[id(part.node)]
        others = [
            node.name
            for node, role in uses
            if node is not part.node and (role != part.part or self._layouts.get(id(node)) != own)
        ]
        if others:
            return f"its {part.part} {names[0]} is used by {', '.join(dict.fromkeys(others))} as well"
        if len(names) > len(uses):
            return f"its {part.part} {names[0]} is {', '.join(names[1:])} too, which may be used otherwise"
        return ""

    def key(self, part: NewTensor) -> tuple[object, ...]:
        """Which numbers of which parameter a tensor is."""
        old = part.old
        return (memory_of(old), old.storage_offset(), tuple(old.shape), old.stride())

    def view_in(self, named: Mapping[str, Tensor], old: Tensor) -> Tensor:
        """The same numbers in a copy of the module with these parameters."""
        name = self._names[memory_of(old)][0]
        original, copied = self._parameters[name], named[name]
        # a copy of a parameter that was part of a larger memory has a memory of its own
        offset = old.storage_offset() - original.storage_offset() + copied.storage_offset()
        return torch.as_strided(copied.detach(), old.shape, old.stride(), int(offset))

    def _held_elsewhere(self, part: NewTensor) -> str:
        buffer = self._buffers.get(memory_of(part.old))
        if buffer is not None:
            return f"its {part.part} is the buffer {buffer}, a fixed kernel that no training has made"
        return (
            f"its {part.part} is computed from others while the model runs (weight normalisation, a "
            "parametrization, a cast); remove that first, so that a parameter holds it"
        )


def _tensors_of(node: Node) -> Iterator[tuple[str, Tensor]]:
    for role in _TENSORS:
        tensor = getattr(node.step, role, None)
        if isinstance(tensor, Tensor):
            yield role, tensor


def _refused_unless(repair: Repair, held: _Held) -> Repair | Refused:
    """The repair, if all its tensors can be written."""
    for part in repair.parts:
        reason = held.why_not(part)
        if reason:
            return Refused(site=repair.site, codes=repair.codes, reason=reason)
    return repair


def _agreed(outcomes: Sequence[Repair | Refused], held: _Held) -> tuple[Repair | Refused, ...]:
    """The outcomes without those that want other values for what another wrote before."""
    wanted: dict[tuple[object, ...], tuple[str, Tensor]] = {}
    agreed: list[Repair | Refused] = []
    for each in outcomes:
        clash = ""
        for part in each.parts if isinstance(each, Repair) else ():
            first, new = wanted.setdefault(held.key(part), (each.site, part.new))
            clash = clash or ("" if torch.equal(new, part.new) else first)
        if clash and isinstance(each, Repair):
            reason = f"its weights are those of {clash} too, which wants other values"
            agreed.append(Refused(site=each.site, codes=each.codes, reason=reason))
        else:
            agreed.append(each)
    return tuple(agreed)


def _copied(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except Exception as error:
        said = first_line(error)
        msg = f"a model is repaired in a copy, and this one cannot be copied: {said}; remove what cannot"
        raise OptionError(msg) from error
