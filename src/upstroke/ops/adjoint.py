"""Apply the adjoint of an operator: what a gradient, or a strided convolution, does."""

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.ops import native
from upstroke.ops.border import fold
from upstroke.ops.convolutions import CONV_TRANSPOSE
from upstroke.ops.fit import check_fit, fitted, kept
from upstroke.ops.interleave import deinterleave
from upstroke.ops.recorded import leaves
from upstroke.polyphase import Polyphase, as_conv_shuffle

__all__ = ["adjoint"]


def adjoint(y: Float[Tensor, "b c_out *grown"], operator: Polyphase) -> Float[Tensor, "b c_in *space"]:
    """The map A^T y for which <A x, y> = <x, A^T y> for every x.

    x[c, j] = sum over o and all (n, k) that read cell j of taps[p, o, c, k] * y[o, n]. For a transposed
    convolution it is the strided convolution with the same weight.

    Args:
        y: maps of the operator's output size, scale * cells + excess on every axis.
        operator: any Polyphase; a bias has no adjoint.

    Raises:
        ShapeError: channels or sizes are not such as the operator gives.

    >>> from upstroke.polyphase import nearest
    >>> adjoint(torch.ones(1, 1, 4, 6), nearest((2, 3)))
    tensor([[[[6., 6.],
              [6., 6.]]]])
    """
    check_fit(y, operator, side="out")
    size = operator.input_size(y.shape[2:])
    if native.is_depthwise(operator) and native.runs_on(y.device) and not leaves():
        return native.adjoint(y, operator)
    operator = fitted(y, operator, side="out")
    form = kept(operator, "shuffle", lambda: as_conv_shuffle(operator))
    # the transpose of `shuffle.upsample`, step by step from its end
    whole = torch.nn.functional.pad(y, [side for cut in reversed(form.crop) for side in (0, cut)])
    phases = deinterleave(whole, form.scale)
    extended = CONV_TRANSPOSE[operator.ndim](phases, form.weight, groups=form.groups)
    return fold(extended, form.pad, form.border, size)
