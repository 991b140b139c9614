"""Apply an operator by one convolution that makes every phase, then interleave them."""

from jaxtyping import Float
from torch import Tensor

from upstroke.ops.border import extend
from upstroke.ops.convolutions import CONV
from upstroke.ops.fit import kept
from upstroke.ops.interleave import interleave
from upstroke.polyphase import Polyphase, as_conv_shuffle

__all__ = ["upsample"]


def upsample(x: Float[Tensor, "b c_in *space"], operator: Polyphase) -> Float[Tensor, "b c_out *grown"]:
    """Extend x as the border says, convolve to out * phases channels, pixel shuffle, cut the end."""
    form = kept(operator, "shuffle", lambda: as_conv_shuffle(operator))
    phases = CONV[operator.ndim](extend(x, form.pad, form.border), form.weight, groups=form.groups)
    y = interleave(phases, form.scale)
    return y[:, :, *(slice(n) for n in operator.output_size(x.shape[2:]))]
