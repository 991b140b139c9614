"""Turn an ONNX model and the changes chosen for it into a model of standard operators alone."""

from collections.abc import Sequence

import onnx

from upstroke.errors import NotRepresentableError
from upstroke.graph.onnx_file import copied, inlined
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
    >>> [node.op_type for node in rewritten(model, [(change, "shuffle")]).graph.node]
    ['Conv', 'DepthToSpace', 'Slice']
    >>> refusal(change, "native", model)
    "Together has no form 'native' in ONNX"
    """
    if not chosen:
        return copied(model)
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
