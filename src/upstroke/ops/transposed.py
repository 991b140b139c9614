"""Apply an operator by one transposed convolution between a pad and a crop."""

from jaxtyping import Float
from torch import Tensor

from upstroke.ops.border import extend
from upstroke.ops.convolutions import CONV_TRANSPOSE
from upstroke.polyphase import Polyphase, as_transposed

__all__ = ["upsample"]


def upsample(x: Float[Tensor, "b c_in *space"], operator: Polyphase) -> Float[Tensor, "b c_out *grown"]:
    """Extend x as the border says, draw the kernel for every cell, crop.

    The crop that is equal on both sides is left to PyTorch, which then never computes it.
    """
    form = as_transposed(operator)
    grow = CONV_TRANSPOSE[operator.ndim]
    even = tuple(min(sides) for sides in form.crop)
    y = grow(
        extend(x, form.pad, form.border),
        form.weight,
        stride=form.stride,
        padding=even,
        groups=form.groups,
        dilation=form.dilation,
    )
    rest = [(left - e, right - e) for (left, right), e in zip(form.crop, even, strict=True)]
    window = (slice(left, size - right) for (left, right), size in zip(rest, y.shape[2:], strict=True))
    return y[:, :, *window]
