"""Give a layer's one bias per channel to every phase of an operator."""

from torch import Tensor

from upstroke.polyphase import Affine, Polyphase

__all__ = ["with_bias"]


def with_bias(operator: Polyphase, bias: Tensor | None) -> Affine:
    """An affine map whose phases share the bias, stored as one row.

    >>> import torch
    >>> from upstroke.polyphase import nearest
    >>> with_bias(nearest(2).expand(3), torch.zeros(3)).bias.shape
    torch.Size([4, 3])
    """
    return Affine(operator=operator, bias=None if bias is None else bias.expand(operator.phases, -1))
