"""Turn an affine map into PyTorch layers that compute it."""

from typing import Literal

from torch import nn

from upstroke.errors import OptionError, ShapeError
from upstroke.layers.convolution import to_conv_shuffle
from upstroke.layers.transposed import to_transposed
from upstroke.polyphase import Affine, Polyphase

__all__ = ["to_module"]

Form = Literal["auto", "transposed", "shuffle"]


def to_module(affine: Affine | Polyphase, *, form: Form = "auto") -> nn.Module:
    """PyTorch layers with the same input and output, borders included; weights are copied.

    Args:
        affine: an operator, with its bias if it has one. A shared operator must be expanded to a number of
            channels first, because PyTorch's layers have one.
        form: "transposed" a transposed convolution, "shuffle" a convolution and a pixel shuffle, each with a
            pad or crop around it where PyTorch's own padding cannot say it; "auto" a plain convolution at
            scale 1, else "transposed", unless the bias differs between phases: only "shuffle" holds that.

    Raises:
        ShapeError: the operator is shared.
        NotRepresentableError: form="transposed" with a bias that differs between phases.

    >>> from upstroke.polyphase import triangle
    >>> to_module(triangle(2, ndim=1).expand(1))
    ConvTranspose1d(1, 1, kernel_size=(3,), stride=(2,), padding=(1,), output_padding=(1,), bias=False)
    """
    if isinstance(affine, Polyphase):
        affine = Affine(operator=affine)
    if affine.operator.shared:
        msg = (
            "PyTorch's layers have a number of channels and this operator serves any; "
            "use to_module(operator.expand(channels))"
        )
        raise ShapeError(msg)
    if form not in ("auto", "transposed", "shuffle"):
        msg = f"form must be auto, transposed or shuffle; got {form!r}"
        raise OptionError(msg)
    if form == "auto":
        uneven = affine.bias is not None and not bool((affine.bias == affine.bias[:1]).all())
        form = "shuffle" if uneven or affine.operator.phases == 1 else "transposed"
    return to_transposed(affine) if form == "transposed" else to_conv_shuffle(affine)
