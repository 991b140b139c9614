"""Turn one change of an ONNX model into a small model of its own, as it is now or in a form."""

from collections.abc import Mapping, Sequence

import numpy
import onnx
from onnx import helper, numpy_helper, shape_inference

from upstroke.errors import NotRepresentableError
from upstroke.graph.onnx_constants import Constants
from upstroke.graph.onnx_file import inlined
from upstroke.graph.steps import Resize
from upstroke.rewrite.change import Change, Form
from upstroke.rewrite.onnx_edit import Edit, reads_of
from upstroke.rewrite.onnx_replace import draft_for, replace_by

__all__ = ["alone"]

# Which input of Resize says the sizes of its output.
_SIZES = 3


def alone(
    model: onnx.ModelProto,
    change: Change,
    form: Form | None,
    *,
    sizes: Sequence[int],
    values: Mapping[str, numpy.ndarray] | Constants | None = None,
) -> onnx.ModelProto:
    """One change as a small model from its first map to its last, to be timed or compared by itself.

    Args:
        model: in which the change can be made; it stays as it is.
        change: of it.
        form: in which the change is computed; None for the nodes that stand there now.
        sizes: of the first map, batch and channels included.
        values: of tensors that are computed elsewhere in the model, such as the shape that a reshape makes,
            as `constants_and_shapes` finds them for the sizes of the inputs; a resize to the size of another
            map needs none, because its scale is known.

    Raises:
        NotRepresentableError: the change cannot be done so, or a value from elsewhere is missing.

    >>> from onnx import parser
    >>> from upstroke.graph.onnx import read_onnx
    >>> from upstroke.rewrite.changes import changes
    >>> text = '''<ir_version: 8, opset_import: ["" : 18]>
    ... twice (float[N, 1, H, W] x) => (float[N, 1, P, Q] y)
    ... <float[4] s = {1, 1, 2, 2}, float[1, 1, 3, 3] w = {1, 2, 1, 2, 4, 2, 1, 2, 1}>
    ... { u = Resize <coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (x, , s)
    ...   y = Conv <pads = [1, 1, 1, 1]> (u, w) }'''
    >>> model = parser.parse_model(text)
    >>> (change,) = changes(read_onnx(model), target="onnx")
    >>> for form in (None, "transposed"):
    ...     [node.op_type for node in alone(model, change, form, sizes=(1, 1, 5, 7)).graph.node]
    ['Resize', 'Conv']
    ['ConvTranspose']
    """
    edit = Edit(inlined(model))
    draft = draft_for(edit)
    if form is not None:
        replace_by(change, form, edit, draft)
        edit.weights |= {tensor.name: tensor for tensor in draft.weights}
    return _extracted(edit, change, size=sizes, values=values or {})


def _extracted(
    edit: Edit, change: Change, *, size: Sequence[int], values: Mapping[str, numpy.ndarray] | Constants
) -> onnx.ModelProto:
    """The nodes from the first map of a change to its last, as they stand in a graph, as a model."""
    first, last = change.first, change.last
    model = onnx.ModelProto(ir_version=edit.model.ir_version)
    model.opset_import.extend(edit.model.opset_import)
    graph = model.graph
    graph.name = "alone"
    dtype = edit.dtype(first) or edit.dtype(last) or onnx.TensorProto.FLOAT
    graph.input.append(helper.make_tensor_value_info(first, dtype, list(size)))
    graph.output.append(helper.make_tensor_value_info(last, dtype, [None] * len(size)))
    inside, needed = _inside(edit, first, last)
    graph.node.extend(inside)
    for name in needed & edit.weights.keys():
        graph.initializer.append(edit.weights[name])
    _fix_sizes(model, change, elsewhere=needed - edit.weights.keys())
    _drop_unneeded(graph, last)
    made = {name for node in graph.node for name in node.output}
    known = made | {first} | {tensor.name for tensor in graph.initializer}
    for name in sorted({name for node in graph.node for name in reads_of(node)} - known):
        if name not in values:
            msg = f"{name} is computed elsewhere in the model, from sizes that are not given"
            raise NotRepresentableError(msg)
        graph.initializer.append(numpy_helper.from_array(numpy.ascontiguousarray(values[name]), name))
    return model


def _inside(edit: Edit, first: str, last: str) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes that the last map needs, back to the first one; and the names of what comes from elsewhere.

    Of what does not come from the first map, those that compute constants are among them, and no others.
    """
    reached, computed = {first}, {entry.name for entry in edit.model.graph.input} - edit.weights.keys()
    for node in edit.nodes:
        names = set(reads_of(node))
        if names & reached:
            reached.update(node.output)
        if names & (computed | reached):
            computed.update(node.output)
    waiting, taken, elsewhere = [last], set(), set()
    while waiting:
        name = waiting.pop()
        maker = edit.makers.get(name)
        if name == first or (maker is not None and id(maker) in taken):
            continue
        if maker is None or (name not in reached and name in computed):
            elsewhere.add(name)
            continue
        taken.add(id(maker))
        waiting.extend(reads_of(maker))
    return [node for node in edit.nodes if id(node) in taken], elsewhere


def _fix_sizes(model: onnx.ModelProto, change: Change, *, elsewhere: set[str]) -> None:
    """Give a resize to a size that is computed elsewhere the size that its scale says."""
    scale = next((node.step.scale for node in change.nodes if isinstance(node.step, Resize)), None)
    for node in model.graph.node:
        if node.op_type != "Resize" or len(node.input) <= _SIZES or not _sizes_from(model, node, elsewhere):
            continue
        shape = _shape_of(model, node.input[0])
        axes = next((list(each.ints) for each in node.attribute if each.name == "axes"), None)
        if scale is None or shape is None:
            msg = f"{node.input[_SIZES]} is computed elsewhere in the model, from sizes that are not given"
            raise NotRepresentableError(msg)
        full = [round(n * s) for n, s in zip(shape, (1, 1, *scale), strict=True)]
        sizes = numpy.array([full[axis] for axis in axes] if axes else full, dtype=numpy.int64)
        # other nodes may take the same sizes
        name = f"{node.input[_SIZES]}/alone"
        model.graph.initializer.append(numpy_helper.from_array(sizes, name))
        node.input[_SIZES] = name


def _drop_unneeded(graph: onnx.GraphProto, last: str) -> None:
    """Take out the nodes and weights that made sizes which are now given."""
    needed = {last}
    for node in reversed(list(graph.node)):
        if needed.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            needed.update(reads_of(node))
    for tensor in [each for each in graph.initializer if each.name not in needed]:
        graph.initializer.remove(tensor)


def _sizes_from(model: onnx.ModelProto, node: onnx.NodeProto, elsewhere: set[str]) -> bool:
    """Whether the sizes of a resize come, by whatever computation, from elsewhere."""
    makers = {name: each for each in model.graph.node for name in each.output}
    waiting, seen = [node.input[_SIZES]], set()
    while waiting:
        name = waiting.pop()
        if name in elsewhere:
            return True
        if name in makers and name not in seen:
            seen.add(name)
            waiting.extend(reads_of(makers[name]))
    return False


def _shape_of(model: onnx.ModelProto, name: str) -> list[int] | None:
    """The shape of a map that follows from that of the first one."""
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    for entry in (*inferred.input, *inferred.value_info):
        if entry.name == name:
            sizes = [axis.dim_value for axis in entry.type.tensor_type.shape.dim]
            return sizes if sizes and min(sizes) > 0 else None
    return None
