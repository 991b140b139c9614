"""Tell whether somebody reads what runs, and so needs PyTorch's own operators in place of ours."""

import torch
from torch.autograd import forward_ad

__all__ = ["is_recorded"]


def is_recorded() -> bool:
    """Whether a graph is exported, traced or observed, or `torch.func` or forward mode takes derivatives.

    `torch.compile` takes any registered operator, so it does not count.

    >>> is_recorded()
    False
    """
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting()
    return bool(
        torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        or torch.onnx.is_in_onnx_export()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack() > 0
    )
