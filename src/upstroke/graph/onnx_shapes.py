"""Turn an ONNX model and the sizes of its inputs into constants and the shapes of all its maps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from upstroke.errors import OptionError, ShapeError
from upstroke.graph.form import Shape
from upstroke.graph.onnx_constants import Constants, constants_of, fold
from upstroke.graph.onnx_file import has_schema, opset_versions
from upstroke.graph.onnx_propagation import may_carry

if TYPE_CHECKING:
    import onnx

__all__ = ["constants_and_shapes", "inputs_of"]

# Whose operands must be as long as each other on every axis, or one long.
MEETING = frozenset({"Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Mean", "Pow", "Where"})


@dataclass(frozen=True, kw_only=True)
class _Inferred:
    """What inference makes of a model.

    Attributes:
        shapes: by name, as far as they are known.
        trouble: what stood in the way of inferring them all, or "".
        empty: names of maps without any samples.
    """

    shapes: dict[str, Shape]
    trouble: str
    empty: frozenset[str]


def inputs_of(graph: "onnx.GraphProto") -> "list[onnx.ValueInfoProto]":
    """What a model takes; before version 4 of the format its weights stood among the inputs."""
    weights = {tensor.name for tensor in graph.initializer}
    weights |= {tensor.values.name for tensor in graph.sparse_initializer}
    return [entry for entry in graph.input if entry.name not in weights]


def constants_and_shapes(
    model: "onnx.ModelProto", sizes: Mapping[str, Sequence[int]] | Sequence[int] | None
) -> tuple[Constants, dict[str, Shape]]:
    """Fold and infer in turns until neither finds anything new.

    Raises:
        OptionError: sizes are given for inputs that the model does not have.
        ShapeError: the model cannot take these sizes.
    """
    constants = constants_of(model.graph)
    wanted = _wanted(model.graph, sizes)
    skeleton = _skeleton(model, constants, wanted)
    found = _inferred(skeleton)
    while _fold_all(skeleton, constants, found.shapes):
        found = _inferred(skeleton)
    if wanted:
        _check_maps(skeleton, found, wanted)
        free = _inferred(_skeleton(model, constants_of(model.graph), {})) if found.trouble else found
        if found.trouble and not free.trouble:
            msg = f"the model cannot take {_listed(wanted)}: {found.trouble}; give another size"
            raise ShapeError(msg)
    return constants, found.shapes


def _wanted(
    graph: "onnx.GraphProto", sizes: Mapping[str, Sequence[int]] | Sequence[int] | None
) -> dict[str, tuple[int, ...]]:
    """The sizes by name, checked against what the model says of its inputs."""
    if sizes is None:
        return {}
    inputs = {entry.name: entry for entry in inputs_of(graph)}
    listed = ", ".join(inputs) or "none"
    if not isinstance(sizes, Mapping):
        if len(inputs) != 1:
            msg = f"a size without a name is for a model with one input; this one has {len(inputs)}: {listed}"
            raise OptionError(msg)
        sizes = dict.fromkeys(inputs, sizes)
    for name, size in sizes.items():
        if name not in inputs:
            msg = f"sizes are given for inputs of the model, which are {listed}; got one for {name!r}"
            raise OptionError(msg)
        _check_size(inputs[name], tuple(size))
    return {name: tuple(size) for name, size in sizes.items()}


def _check_size(entry: "onnx.ValueInfoProto", size: tuple[int, ...]) -> None:
    is_single = not size and _shape(entry) is not None and not _shape(entry)
    if not is_single and (not size or min(size) < 1):
        msg = f"the size of input {entry.name!r} must be at least 1 on every axis; got {_times(size)}"
        raise OptionError(msg)
    if max(size, default=1) >= 2**63:
        msg = f"the size of input {entry.name!r} must be below 2**63 on every axis; got {_times(size)}"
        raise OptionError(msg)
    if entry.type.WhichOneof("value") != "tensor_type":
        msg = f"input {entry.name!r} is no tensor, so it has no size; leave it out"
        raise OptionError(msg)
    shape = _shape(entry)
    if shape is None:
        return
    if len(shape) != len(size) or any(n is not None and n != m for n, m in zip(shape, size, strict=True)):
        letters = ["N" if axis == 0 else "?" for axis in range(len(shape))]
        takes = _times(letter if n is None else n for letter, n in zip(letters, shape, strict=True))
        msg = f"input {entry.name!r} takes {takes}; got {_times(size)}"
        raise ShapeError(msg)


def _skeleton(
    model: "onnx.ModelProto", constants: Constants, wanted: Mapping[str, Sequence[int]]
) -> "onnx.ModelProto":
    """The model without its large weights, with the wanted sizes at its inputs, ready for inference."""
    import onnx

    skeleton = onnx.ModelProto(ir_version=max(4, model.ir_version))
    skeleton.opset_import.extend(model.opset_import)
    versions = opset_versions(model)
    graph = skeleton.graph
    graph.name = "skeleton"
    graph.node.extend(node for node in model.graph.node if not all(name in constants for name in node.output))
    for domain in {node.domain for node in graph.node} - {"ai.onnx"} - versions.keys():
        skeleton.opset_import.add(domain=domain, version=1)
    graph.input.extend(inputs_of(model.graph))
    graph.output.extend(model.graph.output)
    # what the file says of shapes in between may be meant for another size
    unknown = {name for node in graph.node if not has_schema(node, versions) for name in node.output}
    graph.value_info.extend(entry for entry in model.graph.value_info if not wanted or entry.name in unknown)
    graph.initializer.extend(constants.tensor(name) for name in constants)
    # exporters write 0 and -1 for what they do not know
    for entry in (*graph.input, *graph.output):
        for axis in entry.type.tensor_type.shape.dim:
            if axis.dim_value < 1 and not axis.dim_param:
                axis.Clear()
    for entry in graph.input:
        if entry.name in wanted:
            entry.type.tensor_type.ClearField("shape")
            for size in wanted[entry.name]:
                entry.type.tensor_type.shape.dim.add(dim_value=size)
    return skeleton


def _inferred(skeleton: "onnx.ModelProto") -> _Inferred:
    """Infer strictly, or, where that fails, what can be inferred."""
    from onnx import shape_inference

    trouble = ""
    carry = may_carry(skeleton.graph)
    try:
        known = shape_inference.infer_shapes(skeleton, strict_mode=True, data_prop=carry)
    except Exception as error:  # InferenceError, or what protobuf raises for more than 2 GiB
        trouble = " ".join((str(error).splitlines() or [type(error).__name__])[0].split()).rstrip(".")
        try:
            known = shape_inference.infer_shapes(skeleton, strict_mode=False, data_prop=carry)
        except Exception:  # then what the file says is all there is
            known = skeleton
    graph = known.graph
    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    entries = (*graph.input, *graph.value_info, *graph.output)
    shapes |= {entry.name: shape for entry in entries if (shape := _shape(entry)) is not None}
    empty = [
        entry.name
        for entry in entries
        if len(axes := entry.type.tensor_type.shape.dim) > 2
        and any(axis.HasField("dim_value") and axis.dim_value < 1 for axis in axes)
    ]
    return _Inferred(shapes=shapes, trouble=trouble, empty=frozenset(empty))


def _fold_all(skeleton: "onnx.ModelProto", constants: Constants, shapes: Mapping[str, Shape]) -> bool:
    """Move every node that can be computed now from the nodes to the weights; whether there was one."""
    version = opset_versions(skeleton)[""]
    before = len(skeleton.graph.node)
    left = []
    for node in skeleton.graph.node:
        if fold(node, version, constants, shapes):
            skeleton.graph.initializer.append(constants.tensor(node.output[0]))
        else:
            left.append(node)
    if len(left) == before:
        return False
    kept = [type(node).FromString(node.SerializeToString()) for node in left]
    del skeleton.graph.node[:]
    skeleton.graph.node.extend(kept)
    return True


def _check_maps(skeleton: "onnx.ModelProto", found: _Inferred, wanted: Mapping[str, Sequence[int]]) -> None:
    """Name the first node at which maps do not meet, or that leaves nothing of its map."""
    for node in skeleton.graph.node:
        came = [shape for shape in map(found.shapes.get, node.input) if shape is not None]
        at = f"{node.name or node.output[0]} ({node.op_type})"
        if came and not found.empty.isdisjoint(node.output) and found.empty.isdisjoint(node.input):
            msg = (
                f"the model cannot take {_listed(wanted)}: {at} would leave nothing of its map of "
                f"{_times(came[0])}; give a larger size"
            )
            raise ShapeError(msg)
        for one, two in pairwise(came):
            if not _meet(node, one, two):
                msg = (
                    f"the model cannot take {_listed(wanted)}: the maps {_times(one)} and {_times(two)} do "
                    f"not meet at {at}; give a size that all its strides divide"
                )
                raise ShapeError(msg)


def _meet(node: "onnx.NodeProto", one: Shape, two: Shape) -> bool:
    if node.op_type == "Concat" and node.domain in ("", "ai.onnx"):
        axes = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
        if not axes or not one:
            return True
        axis = axes[0] % len(one)
        rest = [shape[:axis] + shape[axis + 1 :] for shape in (one, two)]
        return all(None in pair or pair[0] == pair[1] for pair in zip(*rest, strict=False))
    if node.op_type not in MEETING or node.domain not in ("", "ai.onnx"):
        return True
    pairs = zip(reversed(one), reversed(two), strict=False)
    return all(None in pair or 1 in pair or pair[0] == pair[1] for pair in pairs)


def _shape(entry: "onnx.ValueInfoProto") -> Shape | None:
    """The shape of a tensor."""
    kind = entry.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(axis.dim_value if axis.dim_value > 0 else None for axis in kind.shape.dim)


def _listed(wanted: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"{name} = {_times(size)}" for name, size in wanted.items())


def _times(numbers: Iterable[object]) -> str:
    return "x".join("?" if number is None else str(number) for number in numbers)
