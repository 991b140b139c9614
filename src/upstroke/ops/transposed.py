"""Apply an operator by one transposed convolution between a pad and a crop."""

from jaxtyping import Float
from torch import Tensor

from upstroke.ops.border import extend
from upstroke.ops.dense import conv_transpose
from upstroke.ops.fit import kept
from upstroke.polyphase import Polyphase, TransposedForm, as_transposed

__all__ = ["draw", "upsample"]


def upsample(x: Float[Tensor, "b c_in *space"], operator: Polyphase) -> Float[Tensor, "b c_out *grown"]:
    """Extend x as the border says, draw the kernel for every cell, crop."""
    return draw(x, kept(operator, "transposed", lambda: as_transposed(operator)))


def draw(
    x: Float[Tensor, "b c_in *space"], form: TransposedForm, *, bias: Float[Tensor, " c_out"] | None = None
) -> Float[Tensor, "b c_out *grown"]:
    """Extend x by the form's pad, draw the kernel for every cell, add the bias, crop.

    The crop that is equal on both sides is left to PyTorch, which then never computes it; for the rest the
    result is a view. No number is read on the way, so a recorded graph holds all of it.
    """
    even = tuple(min(sides) for sides in form.crop)
    y = conv_transpose(
        extend(x, form.pad, form.border),
        form.weight,
        bias,
        stride=form.stride,
        padding=even,
        output_padding=(0,) * len(even),
        dilation=form.dilation,
        groups=form.groups,
    )
    rest = [(left - e, right - e) for (left, right), e in zip(form.crop, even, strict=True)]
    window = (slice(left, size - right) for (left, right), size in zip(rest, y.shape[2:], strict=True))
    return y[:, :, *window]
