"""Tell whether somebody reads what runs, and so needs PyTorch's own operators in place of ours."""

import torch
from torch.autograd import forward_ad

__all__ = ["is_recorded", "is_watched", "leaves"]


def leaves() -> bool:
    """Whether a graph is made for elsewhere, or torch.func works on it: both know only PyTorch's."""
    traced = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    return traced or torch.onnx.is_in_onnx_export() or torch._C._are_functorch_transforms_active()


def is_watched() -> bool:
    """Whether tensors made now may be others than they seem: fake ones, or those of a trace."""
    modes: int = torch._C._len_torch_dispatch_stack()
    return modes > 0 or leaves()


def is_recorded() -> bool:
    """Whether a graph is exported, traced or observed, or `torch.func` or forward mode takes derivatives.

    `torch.compile` takes any registered operator, so it does not count.

    >>> is_recorded()
    False
    """
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting()
    return forward_ad._current_level >= 0 or is_watched()
