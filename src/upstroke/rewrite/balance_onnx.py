"""Write new kernels into a copy of an ONNX model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from upstroke.graph.onnx import read_onnx
from upstroke.graph.onnx_file import copied, model_from_memory
from upstroke.rewrite.balance import NewTensor, Refused, Repair, repaired_kernels

if TYPE_CHECKING:
    import onnx

__all__ = ["RepairedFile", "repaired_onnx"]

_PLACE = {"weight": 1, "bias": 2}
_QUANTISED = {"DequantizeLinear", "QuantizeLinear"}
_CONVOLUTIONS = {"Conv", "ConvTranspose"}


@dataclass(frozen=True, kw_only=True, eq=False)
class RepairedFile:
    """A copy of an ONNX model with new kernels.

    Attributes:
        model: the copy.
        outcomes: what became of each site at which something was found, or that could not be read.
    """

    model: "onnx.ModelProto"
    outcomes: tuple[Repair | Refused, ...]


def repaired_onnx(
    model: "onnx.ModelProto",
    codes: Sequence[str],
    *,
    sizes: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
    sites_named: Sequence[str] = (),
) -> RepairedFile:
    """A copy of a model in which the kernels of `repaired_kernels` stand; the model stays as it is.

    A weight that only repaired convolutions take, with the same new values, is replaced under its name; of
    one that something else takes, or that is computed from other constants, they get a copy of their own.
    Quantised weights, and those that are inputs of the model, are refused.

    Args:
        model: the model, with its weights in it.
        codes: of the rules, as in `repaired_kernels`.
        sizes: shapes of its inputs, as in `read_onnx`.
        sites_named: the sites to repair; by default all.

    Raises:
        FileError: it is no complete ONNX model.
        OptionError: a code or a site is not known.
    """
    new = copied(model_from_memory(model))
    graph = read_onnx(new, sizes=sizes)
    outcomes = repaired_kernels(graph, codes, sites_named=sites_named)
    writer = _Writer(new)
    outcomes = tuple(writer.checked(each) if isinstance(each, Repair) else each for each in outcomes)
    writer.write([part for each in outcomes if isinstance(each, Repair) for part in each.parts])
    return RepairedFile(model=new, outcomes=outcomes)


class _Writer:
    """Puts tensors into the nodes of a model, which it owns."""

    def __init__(self, model: "onnx.ModelProto") -> None:
        self._graph, self._version = model.graph, model.ir_version
        self._makers = {name: node for node in self._graph.node for name in node.output if name}
        self._initializers: dict[str, onnx.TensorProto] = {
            tensor.name: tensor for tensor in self._graph.initializer
        }
        # before version 4 of the format all weights had to stand among the inputs
        self._given = {entry.name for entry in self._graph.input} if self._version >= 4 else set()

    def checked(self, repair: Repair) -> Repair | Refused:
        """The repair, if all its tensors can be written."""
        for part in repair.parts:
            reason = self._why_not(part)
            if reason:
                return Refused(site=repair.site, codes=repair.codes, reason=reason)
        return repair

    def write(self, parts: Sequence[NewTensor]) -> None:
        """Give every node its new tensors, and drop constants that nothing takes any more."""
        by_name: dict[str, list[NewTensor]] = {}
        for part in parts:
            by_name.setdefault(self._name(part), []).append(part)
        before = set(_taken(self._graph))
        for name, alike in by_name.items():
            self._write(name, alike)
        self._drop(before - set(_taken(self._graph)))

    def _why_not(self, part: NewTensor) -> str:
        node = self._makers.get(part.node.output)
        if node is None or node.op_type not in _CONVOLUTIONS:
            return "several operations spell its convolution, so that no single weight holds its kernel"
        name = self._name(part)
        if name in self._given:
            return f"its {part.part} {name} is an input of the model, which whoever runs it may give"
        if any(maker.op_type in _QUANTISED for maker in self._made_by(name)):
            return f"its {part.part} {name} is quantised, and whole numbers hold no such small changes"
        return ""

    def _name(self, part: NewTensor) -> str:
        return str(self._makers[part.node.output].input[_PLACE[part.part]])

    def _made_by(self, name: str) -> "Iterator[onnx.NodeProto]":
        """The nodes that a constant is computed by."""
        waiting, seen = [name], {name}
        while waiting:
            maker = self._makers.get(waiting.pop())
            if maker is not None:
                yield maker
                waiting += [each for each in maker.input if each not in seen]
                seen |= set(maker.input)

    def _write(self, name: str, parts: Sequence[NewTensor]) -> None:
        alone = list(_taken(self._graph)).count(name) == len(parts)
        alike = all(torch.equal(part.new, parts[0].new) for part in parts)
        if name in self._initializers and alone and alike:
            _fill(self._initializers[name], parts[0])
            return
        for part in parts:
            self._makers[part.node.output].input[_PLACE[part.part]] = self._add(name, part)

    def _add(self, name: str, part: NewTensor) -> str:
        """The name of an initializer with these values; those that are alike are one."""
        for own in (each for each in self._initializers if each.startswith(f"{name}_repaired")):
            if self._initializers[own].raw_data == _bytes(part.new):
                return own
        taken = {*self._initializers, *self._makers, *(entry.name for entry in self._graph.input)}
        fresh = f"{name}_repaired"
        while fresh in taken:
            fresh += "_"
        tensor = self._graph.initializer.add(name=fresh, dims=tuple(part.new.shape))
        tensor.data_type = _types()[part.new.dtype]
        tensor.raw_data = _bytes(part.new)
        self._initializers[fresh] = tensor
        return fresh

    def _drop(self, loose: set[str]) -> None:
        """Remove the constants that were taken before, and whatever was only there for them."""
        while loose:
            name = loose.pop()
            if name in self._initializers:
                self._graph.initializer.remove(self._initializers.pop(name))
                for entry in [entry for entry in self._graph.input if entry.name == name]:
                    self._graph.input.remove(entry)
            elif name in self._makers:
                node, before = self._makers[name], set(_taken(self._graph))
                if before.isdisjoint(node.output):
                    self._graph.node.remove(node)
                    loose |= before - set(_taken(self._graph))


def _types() -> dict[torch.dtype, int]:
    from onnx import TensorProto

    return {
        torch.float32: TensorProto.FLOAT,
        torch.float64: TensorProto.DOUBLE,
        torch.float16: TensorProto.FLOAT16,
        torch.bfloat16: TensorProto.BFLOAT16,
    }


def _fill(tensor: "onnx.TensorProto", part: NewTensor) -> None:
    for field in ("float_data", "double_data", "int32_data", "external_data", "data_location"):
        tensor.ClearField(field)
    tensor.raw_data = _bytes(part.new)


def _bytes(values: torch.Tensor) -> bytes:
    numbers: bytes = values.contiguous().view(torch.uint8).numpy().tobytes()
    return numbers


def _taken(graph: "onnx.GraphProto") -> Iterator[str]:
    """Every name that a node, a body within one or an output takes, as often as it does."""
    for node in graph.node:
        yield from _taken_by(node)
    yield from (entry.name for entry in graph.output)


def _taken_by(node: "onnx.NodeProto") -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        # 5 is a graph, 10 a list of them
        for body in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
            yield from _taken(body)
