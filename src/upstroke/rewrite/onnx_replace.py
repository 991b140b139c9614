"""Turn a change and its form into nodes that stand in a graph in place of those that they replace."""

from collections.abc import Sequence

import onnx

from upstroke.errors import NotRepresentableError
from upstroke.rewrite.change import Change, Form
from upstroke.rewrite.onnx_draft import Draft
from upstroke.rewrite.onnx_edit import Edit
from upstroke.rewrite.onnx_lower import lower

__all__ = ["draft_for", "replace_by"]

# Convolution and resize of maps with any batch, broadcasting as it is now.
_OLDEST = 7
_FLOATS = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
)


def draft_for(edit: Edit) -> Draft:
    """Where the nodes that come into a graph are drafted."""
    return Draft(version=edit.version, taken=edit.taken)


def replace_by(change: Change, form: Form, edit: Edit, draft: Draft) -> None:
    """Put the nodes that compute a change in a form in place of those that did.

    Raises:
        NotRepresentableError: that cannot be done; the message says why.
    """
    dtype = _check(change, edit)
    old = [edit.makers[node.output] for node in change.nodes if node.output in edit.makers]
    near = [edit.weights[name] for node in old for name in node.input if name in edit.weights]
    draft.begin(f"{change.site}/{form.replace(' ', '_')}", dtype=dtype, near=near)
    lower(change, form, edit, draft)
    removed = edit.replace(change.last, draft.end(change.last))
    _check_removed(change, removed, dtype, edit)


def _check(change: Change, edit: Edit) -> int:
    """The type of the numbers in the maps of a change, which has to be one and to be known."""
    if edit.version < _OLDEST:
        msg = f"operators of version {_OLDEST} or later are needed; the model has {edit.version}"
        raise NotRepresentableError(msg)
    given = {entry.name for entry in edit.model.graph.input}
    for name, there in ((change.first, given | edit.makers.keys()), (change.last, edit.makers.keys())):
        if name not in there:
            msg = f"the map {name} does not stand in the file, where several nodes spell what makes it"
            raise NotRepresentableError(msg)
    kinds = [kind for kind in map(edit.dtype, (change.first, change.last)) if kind is not None]
    if not kinds or len(set(kinds)) > 1 or kinds[0] not in _FLOATS:
        names = " and ".join(onnx.TensorProto.DataType.Name(kind) for kind in kinds) or "not known"
        msg = f"the maps {change.first} and {change.last} must be of one floating type; it is {names}"
        raise NotRepresentableError(msg)
    return kinds[0]


def _check_removed(change: Change, removed: Sequence[onnx.NodeProto], dtype: int, edit: Edit) -> None:
    """Refuse what would change more than is said: a map that is needed elsewhere, a weight from outside."""
    for node in change.nodes:
        name = node.output
        if name == change.last or name in edit.gone or name not in edit.makers:
            continue
        takers = [f"{each.op_type} {each.name or each.output[0]}" for each in edit.takers(name)]
        msg = f"the map {name} is also taken by {', '.join(takers) or 'the model as its output'}"
        raise NotRepresentableError(msg)
    for proto in removed:
        given = next((name for name in proto.input if name in edit.weights and name in edit.inputs), None)
        if given is not None:
            msg = f"its weight {given} is an input of the model, which whoever runs it may replace"
            raise NotRepresentableError(msg)
        casts = proto.op_type == "Cast"
        to = next((each.i for each in proto.attribute if casts and each.name == "to"), dtype)
        if to in _FLOATS and to != dtype:
            kind = onnx.TensorProto.DataType.Name(to)
            msg = f"{proto.name or proto.output[0]} rounds the map to {kind} on the way"
            raise NotRepresentableError(msg)
