"""Turn an ONNX graph into one in which other nodes stand in place of some."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy
import onnx
from onnx import numpy_helper, shape_inference

from upstroke.errors import NotRepresentableError
from upstroke.graph.onnx_file import copied_without, copy_into, opset_versions, without_weights

__all__ = ["Edit", "reads_of"]

# Before this version of the format every weight stands among the inputs of the graph.
WEIGHTS_ARE_NO_INPUTS = 4


class Edit:
    """A graph that is being changed: who makes and who takes every tensor. The model itself stays as it is.

    Attributes:
        model: that it began with.
        version: of the standard operators.
        taken: every name in the model, those in bodies among them.
        makers: the node that gives each tensor.
        weights: the initializers, by name.
        gone: names of tensors that nothing gives any more.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.version = opset_versions(model)[""]
        nodes = list(model.graph.node)
        self._rows = [[node] for node in nodes]
        self._places = {id(node): place for place, node in enumerate(nodes)}
        self.makers = {name: node for node in nodes for name in node.output if name}
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._uses = Counter(name for node in nodes for name in reads_of(node))
        self._uses.update(entry.name for entry in model.graph.output)
        self.taken = set(_names(model.graph))
        self.gone: set[str] = set()

    @property
    def nodes(self) -> Iterator[onnx.NodeProto]:
        """The nodes as they stand now, in order."""
        return (node for row in self._rows for node in row)

    @cached_property
    def inputs(self) -> frozenset[str]:
        """What the model takes; weights that may be given instead of its own are among them."""
        names = (entry.name for entry in self.model.graph.input)
        if self.model.ir_version >= WEIGHTS_ARE_NO_INPUTS:
            return frozenset(names)
        return frozenset(name for name in names if name not in self.weights)

    @cached_property
    def _kinds(self) -> dict[str, onnx.TypeProto.Tensor]:
        """Type and shape of every tensor, as far as they are known without sizes."""
        graph = self.model.graph
        entries = (*graph.value_info, *graph.input, *graph.output)
        kinds = {entry.name: entry.type.tensor_type for entry in entries}
        try:
            inferred = shape_inference.infer_shapes(without_weights(self.model)).graph
        except Exception:  # what cannot be inferred is not known
            return kinds
        kinds |= {entry.name: entry.type.tensor_type for entry in inferred.value_info}
        return kinds

    def dtype(self, name: str) -> int | None:
        """The type of a tensor's numbers, in ONNX's numbers; None if nobody says."""
        if name in self.weights:
            return int(self.weights[name].data_type)
        kind = self._kinds.get(name)
        return int(kind.elem_type) or None if kind is not None else None

    def channels(self, name: str) -> int | None:
        """How many channels a map has; None if nobody says."""
        kind = self._kinds.get(name)
        axes = list(kind.shape.dim) if kind is not None else []
        return axes[1].dim_value or None if len(axes) > 1 else None

    def constant(self, name: str) -> numpy.ndarray | None:
        """The numbers of a weight or of a Constant node; None for any other tensor."""
        if name in self.weights:
            return numpy_helper.to_array(self.weights[name])
        maker = self.makers.get(name)
        if maker is None or maker.op_type != "Constant" or maker.domain not in ("", "ai.onnx"):
            return None
        for attribute in maker.attribute:
            if attribute.name == "value":
                return numpy_helper.to_array(attribute.t)
            if attribute.name == "value_ints":
                return numpy.array(attribute.ints, dtype=numpy.int64)
        return None

    def replace(self, last: str, nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """Put nodes in place of the one that gives a tensor; all the nodes that nothing needs any more.

        These are taken out: the old one, what made its inputs and theirs, up to what something else takes.
        """
        old = self.makers[last]
        other = next((name for name in old.output if name and name != last and self._uses[name]), None)
        if other is not None:
            msg = f"the node that gives {last} gives {other} as well, which something else takes"
            raise NotRepresentableError(msg)
        place = self._places[id(old)]
        self._rows[place].extend(nodes)
        for node in nodes:
            self._places[id(node)] = place
            self._uses.update(reads_of(node))
        removed = self._removed(old)
        self.makers |= {name: node for node in nodes for name in node.output}
        self.gone.discard(last)
        return removed

    def _removed(self, first: onnx.NodeProto) -> list[onnx.NodeProto]:
        waiting, removed = [first], []
        while waiting:
            node = waiting.pop()
            row = self._rows[self._places[id(node)]]
            row[:] = [each for each in row if each is not node]
            removed.append(node)
            self.gone.update(name for name in node.output if name)
            for name in reads_of(node):
                self._uses[name] -= 1
                maker = self.makers.get(name)
                if self._uses[name]:
                    continue
                if name in self.weights:
                    self.gone.add(name)
                elif maker is not None and not any(self._uses[each] for each in maker.output if each):
                    waiting.append(maker)
        return removed

    def takers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that take a tensor, by bodies of theirs too."""
        return [node for node in self.nodes if name in reads_of(node)]

    def is_output(self, name: str) -> bool:
        """Whether the model gives a tensor."""
        return any(entry.name == name for entry in self.model.graph.output)

    def finished(self, weights: Sequence[onnx.TensorProto]) -> onnx.ModelProto:
        """A new model of the nodes as they stand now.

        Args:
            weights: that come in.
        """
        old = self.model
        # what is copied and then thrown away may be more than memory holds
        own = ("node", "initializer", "input", "value_info", "quantization_annotation")
        model = copied_without(old, "graph")
        model.graph.CopyFrom(copied_without(old.graph, *own))
        graph, gone = model.graph, self.gone
        graph.node.extend(self.nodes)
        kept = (each for each in old.graph.initializer if self._is_kept(each.name))
        copy_into(graph.initializer, (*kept, *weights))
        graph.input.extend(each for each in old.graph.input if self._is_kept(each.name))
        if old.ir_version < WEIGHTS_ARE_NO_INPUTS:
            for tensor in weights:
                entry = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
                graph.input.append(entry)
        graph.value_info.extend(each for each in old.graph.value_info if each.name not in gone)
        notes = (each for each in old.graph.quantization_annotation if each.tensor_name not in gone)
        graph.quantization_annotation.extend(notes)
        return model

    def _is_kept(self, name: str) -> bool:
        return name not in self.gone or name in self.inputs


def reads_of(node: onnx.NodeProto) -> list[str]:
    """What a node takes, and what its bodies take from around it, among names of their own."""
    names = [name for name in node.input if name]
    for body in _bodies(node):
        names.extend(name for inner in body.node for name in reads_of(inner))
        names.extend(entry.name for entry in body.output)
    return names


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs


def _names(graph: onnx.GraphProto) -> Iterable[str]:
    """Every name in a graph and in the bodies of its nodes."""
    yield from (entry.name for entry in (*graph.input, *graph.output, *graph.initializer, *graph.value_info))
    yield from (tensor.values.name for tensor in graph.sparse_initializer)
    for node in graph.node:
        yield node.name
        yield from (*node.input, *node.output)
        for body in _bodies(node):
            yield from _names(body)
