"""Turn an ONNX model and the changes chosen for it into a model of standard operators alone."""

from collections.abc import Sequence

import onnx

from upstroke.errors import NotRepresentableError
from upstroke.graph.onnx_file import inlined
from upstroke.rewrite.change import Change, Form
from upstroke.rewrite.onnx_edit import Edit
from upstroke.rewrite.onnx_replace import draft_for, replace_by

__all__ = ["refusal", "rewritten", "serves"]


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
    draft = draft_for(edit)
    for change, form in chosen:
        replace_by(change, form, edit, draft)
    return edit.finished(draft.weights)


def refusal(change: Change, form: Form, model: onnx.ModelProto) -> str | None:
    """Why a change cannot be done in a form in a model, without a full stop; None if it can."""
    edit = Edit(inlined(model))
    try:
        replace_by(change, form, edit, draft_for(edit))
    except NotRepresentableError as error:
        return str(error)
    return None


def serves(form: Form, change: Change, model: onnx.ModelProto) -> bool:
    """Whether a change can be done in a form in a model."""
    return refusal(change, form, model) is None
