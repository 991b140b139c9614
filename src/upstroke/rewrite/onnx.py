"""Turn an ONNX model and the changes chosen for it into a model of standard operators alone."""

from collections.abc import Mapping, Sequence

import numpy
import onnx

from upstroke.errors import NotRepresentableError
from upstroke.graph.onnx_file import inlined
from upstroke.rewrite.change import Change, Form
from upstroke.rewrite.onnx_alone import extracted
from upstroke.rewrite.onnx_draft import Draft
from upstroke.rewrite.onnx_edit import Edit
from upstroke.rewrite.onnx_lower import lower

__all__ = ["alone", "refusal", "rewritten", "serves"]

# Convolution and resize of maps with any batch, broadcasting as it is now.
_OLDEST = 7
_FLOATS = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
)


def rewritten(model: onnx.ModelProto, chosen: Sequence[tuple[Change, Form]]) -> onnx.ModelProto:
    """A new model in which what was chosen is done; the given one stays as it is.

    Names, order, types and open axes of inputs and outputs, versions and metadata are kept, and so is every
    node that nothing replaces. What only replaced nodes needed goes with them: weights, constants,
    computations of shapes.

    Args:
        model: as it was read, weights in it.
        chosen: changes of which no two share a node, each with the form in which it is to be computed.

    Raises:
        NotRepresentableError: a change cannot be done so; `refusal` says the same beforehand.
    """
    if not chosen:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        return copy
    edit = Edit(inlined(model))
    draft = _draft(edit)
    for change, form in chosen:
        _replace(change, form, edit, draft)
    return edit.finished(draft.weights)


def alone(
    model: onnx.ModelProto,
    change: Change,
    form: Form | None,
    *,
    size: Sequence[int],
    values: Mapping[str, numpy.ndarray] | None = None,
) -> onnx.ModelProto:
    """One change as a small model from its first map to its last, to be timed or compared by itself.

    Args:
        model: in which the change can be made; it stays as it is.
        change: of it.
        form: in which the change is computed; None for the nodes that stand there now.
        size: of the first map, batch and channels included.
        values: of tensors that are computed elsewhere in the model, such as the shape that a reshape makes; a
            resize to the size of another map needs none, because its scale is known.

    Raises:
        NotRepresentableError: the change cannot be done so, or a value from elsewhere is missing.
    """
    edit = Edit(inlined(model))
    draft = _draft(edit)
    if form is not None:
        _replace(change, form, edit, draft)
        edit.weights |= {tensor.name: tensor for tensor in draft.weights}
    return extracted(edit, change, size=size, values=values or {})


def refusal(change: Change, form: Form, model: onnx.ModelProto) -> str | None:
    """Why a change cannot be done in a form in a model, without a full stop; None if it can."""
    edit = Edit(inlined(model))
    try:
        _replace(change, form, edit, _draft(edit))
    except NotRepresentableError as error:
        return str(error)
    return None


def serves(form: Form, change: Change, model: onnx.ModelProto) -> bool:
    """Whether a change can be done in a form in a model."""
    return refusal(change, form, model) is None


def _draft(edit: Edit) -> Draft:
    return Draft(version=edit.version, taken=edit.taken)


def _replace(change: Change, form: Form, edit: Edit, draft: Draft) -> None:
    """Put the nodes that compute a change in place of those that did."""
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
