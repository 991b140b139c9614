"""Turn the weights of a module under training into their exponential moving average."""

import copy

import torch
from torch import Tensor, nn

from upstroke.errors import OptionError

__all__ = ["MovingAverage"]


class MovingAverage(nn.Module):
    """A copy of a module whose weights follow the original's, the slower the larger the decay.

    Update n, counted from 0, makes of each weight the share d of itself and 1 - d of the original's, with
    d = min(decay, n / (n + 10)), so that the first weights are soon forgotten. Buffers, such as the means of
    batch norms, are taken as they are. The copy needs no gradients; all of it is in the state dict of the
    task that holds it, and so survives a resume.

    Args:
        module: what is trained.
        decay: the share of the old average that stays in a late update, at least 0 and below 1.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> average = MovingAverage(net, decay=0.5)
    >>> with torch.no_grad():
    ...     _ = net.weight.copy_(average.module.weight + 1)
    >>> average.update(net)
    >>> (net.weight - average.module.weight).item()
    0.0
    """

    updates: Tensor

    def __init__(self, module: nn.Module, *, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            msg = f"decay is the share of the old average that stays, at least 0 and below 1; got {decay}"
            raise OptionError(msg)
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.decay = decay
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, *arguments: Tensor) -> Tensor:
        """What the averaged module makes of them."""
        answer: Tensor = self.module(*arguments)
        return answer

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take one step towards the weights of the original; to be called after each of its own."""
        count = int(self.updates)
        share = 1 - min(self.decay, count / (count + 10))
        for mine, its in zip(self.module.parameters(), module.parameters(), strict=True):
            mine.lerp_(its.to(mine.dtype), share)
        for kept, taken in zip(self.module.buffers(), module.buffers(), strict=True):
            kept.copy_(taken)
        self.updates += 1
