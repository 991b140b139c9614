"""Turn PyTorch modules and their inputs into calls that can be timed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from upstroke.graph.torch import tensors_in
from upstroke.graph.torch_state import left_as_it_was

__all__ = ["calls_of"]


@contextmanager
def calls_of(
    modules: Mapping[str, nn.Module], inputs: Sequence[Any], keywords: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Callable[[], object]]]:
    """Calls without arguments that run each module in evaluation mode, without gradients, on the same inputs.

    Afterwards flags, buffers, inputs and torch's random numbers are as they were.

    >>> net = nn.Dropout()
    >>> with calls_of({"as it is": net}, [torch.ones(3)]) as calls:
    ...     print(calls["as it is"](), net.training)
    tensor([1., 1., 1.]) False
    >>> net.training
    True
    """
    given = dict(keywords or {})
    tensors = list(tensors_in([list(inputs), given]))
    with ExitStack() as stack:
        for module in modules.values():
            originals = stack.enter_context(left_as_it_was(module, tensors))
            for tensor in (*module.buffers(), *tensors):
                originals.before_writing(tensor)
        yield {name: _call(module, inputs, given) for name, module in modules.items()}


def _call(module: nn.Module, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Callable[[], object]:
    def call() -> object:
        with torch.no_grad():
            return module(*inputs, **keywords)

    return call
