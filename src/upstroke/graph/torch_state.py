"""Turn a module that is about to run into one that is, afterwards, what it was before."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["Originals", "left_as_it_was", "memory_of", "own_tensors"]


class Originals:
    """Tensors that must keep their values; a copy is made of one only when something writes to it.

    >>> counter = torch.zeros(3)
    >>> originals = Originals([counter])
    >>> originals.before_writing(counter[1:])
    >>> counter[1:] += 1
    >>> originals.put_back()
    >>> counter
    tensor([0., 0., 0.])
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._kept = {memory_of(tensor): tensor for tensor in tensors if not is_lazy(tensor)}
        self._copies: dict[int, Tensor] = {}

    def before_writing(self, tensor: Tensor) -> None:
        """Copy the tensor that this one shares its memory with, if it is one to keep."""
        place = memory_of(tensor)
        if place in self._kept and place not in self._copies:
            self._copies[place] = self._kept[place].detach().clone()

    def keeps(self, tensor: Tensor) -> bool:
        """Whether this shares its memory with one of them, or is a parameter that only now comes to be."""
        return isinstance(tensor, nn.Parameter) or memory_of(tensor) in self._kept

    def put_back(self) -> None:
        """Write the copies back."""
        with torch.no_grad():
            for place, copy in self._copies.items():
                self._kept[place].copy_(copy)


@contextmanager
def left_as_it_was(module: nn.Module, inputs: Iterable[Tensor]) -> Iterator[Originals]:
    """Run what is inside in evaluation mode; put flags, buffers, inputs and torch's random numbers back.

    Modules that learn their shapes from the first input keep what they learned.
    """
    parts = list(module.modules())
    flags = [(part, part.training) for part in parts]
    # those of a scripted part are its own, and no dict
    buffers = [(part._buffers, dict(part._buffers)) for part in parts if type(part._buffers) is dict]
    tensors = own_tensors(parts)
    inputs = list(inputs)
    originals = Originals([*tensors, *inputs, *_attributes(parts)])
    graded = [(tensor, tensor.requires_grad) for tensor in (*tensors, *inputs) if tensor.is_leaf]
    devices = {tensor.device for tensor in tensors if tensor.is_cuda}
    with torch.random.fork_rng(devices=sorted(devices, key=str)):
        try:
            if any(training for _, training in flags):
                _evaluated(module, parts)
            yield originals
        finally:
            for part, training in flags:
                if part.training != training:
                    part.training = training
            for buffer, before in buffers:
                buffer.update(before)
            for tensor, wanted in graded:
                if tensor.requires_grad != wanted and tensor.is_leaf:
                    tensor.requires_grad_(wanted)
            originals.put_back()


def _evaluated(module: nn.Module, parts: Iterable[nn.Module]) -> None:
    """Bring a module to evaluation mode; one of an exported program has but one, and refuses to be told."""
    try:
        module.eval()
    except NotImplementedError:
        for part in parts:
            part.training = False


def own_tensors(parts: Iterable[nn.Module]) -> list[Tensor]:
    """Parameters and buffers, each part asked once, which is faster than to ask the module for either."""
    held = (group for part in parts for group in (part._parameters, part._buffers))
    return [tensor for group in held for tensor in group.values() if tensor is not None]


def _attributes(parts: Iterable[nn.Module]) -> Iterator[Tensor]:
    """Tensors that parts hold and that are neither parameters nor buffers, alone or in a container."""
    for part in parts:
        for value in vars(part).values():
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, list | tuple):
                yield from (each for each in value if isinstance(each, Tensor))
            elif type(value) is dict and value:
                yield from (each for each in value.values() if isinstance(each, Tensor))


def memory_of(tensor: Tensor) -> int:
    """Where the numbers of a tensor lie: the same for all views of one memory while it is held."""
    return int(tensor.untyped_storage()._cdata)
