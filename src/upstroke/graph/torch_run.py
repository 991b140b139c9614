"""Turn a module and its arguments into a function of the tensors among them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from upstroke.graph.torch_state import left_as_it_was

__all__ = ["runnable"]


@contextmanager
def runnable(
    module: nn.Module, inputs: Sequence[Any], kwargs: Mapping[str, Any] | None = None
) -> Iterator[tuple[Callable[..., Any], list[Tensor]]]:
    """A function that runs the module in evaluation mode, and the tensors that it is given in the example.

    The function takes other tensors in the place of these, all other arguments being as given, and works on
    copies of them. Afterwards the module's flags and buffers and torch's random numbers are as they were.

    >>> net = nn.Sequential(nn.Dropout(), nn.Flatten())
    >>> with runnable(net, [torch.ones(1, 2, 2)]) as (model, tensors):
    ...     print(model(*tensors), net.training)
    tensor([[1., 1., 1., 1.]]) False
    >>> net.training
    True
    """
    module = getattr(module, "_orig_mod", module)
    leaves, form = pytree.tree_flatten((tuple(inputs), dict(kwargs or {})))
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]

    def model(*tensors: Tensor) -> object:
        filled = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor.clone()
        arguments, keywords = pytree.tree_unflatten(filled, form)
        return module(*arguments, **keywords)

    tensors = [leaves[place] for place in places]
    compiled = any(hasattr(part, "_orig_mod") for part in module.modules())
    stance = torch.compiler.set_stance("force_eager") if compiled else nullcontext()
    with left_as_it_was(module, tensors) as originals, stance:
        for buffer in module.buffers():
            originals.before_writing(buffer)
        yield model, tensors
