"""Turn what a model returns, whatever structure it has, into the middles of the maps in it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from upstroke.errors import OptionError

__all__ = ["Answers", "Middle", "middle_of", "tensors_in"]

# Channels that are read of a map: enough for what they share, and few enough to keep all answers.
MOST_CHANNELS = 64
# How deep a structure of outputs is followed.
DEPTH = 5


@dataclass(frozen=True, kw_only=True)
class Middle:
    """The part of an output that is read: its border, which padding makes, is left out.

    Attributes:
        output: where it stands in what the model returns, such as sample or 0.1; empty if that is all.
        shape: of the whole tensor.
        axes: how many of its last axes are spatial.
        first: first sample that is read, per axis.
        size: how many are read, per axis.
        channels: which are read.
    """

    output: str
    shape: tuple[int, ...]
    axes: int
    first: tuple[int, ...]
    size: tuple[int, ...]
    channels: tuple[int, ...]

    def of(self, tensor: Tensor) -> Tensor:
        """Its samples, shape (batch, channels, *size), float64."""
        maps = _as_maps(tensor.detach(), self.axes)
        cut = tuple(slice(a, a + n) for a, n in zip(self.first, self.size, strict=True))
        return maps[:, list(self.channels)][:, :, *cut].double().cpu()


def middle_of(output: str, tensor: Tensor, axes: int) -> Middle | None:
    """The middle half of every axis of a map; None where a tensor is empty or has fewer axes.

    The last axes are spatial, the one before them is the channels; any others count as batch.

    >>> middle_of("sample", torch.zeros(1, 3, 8, 14), 2).first
    (2, 3)
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return None
    if tensor.ndim < axes + 1 or min(tensor.shape[-axes:], default=0) < 2:
        return None
    first = tuple(n // 4 for n in tensor.shape[-axes:])
    channels = _as_maps(tensor, axes).shape[1]
    count = min(channels, MOST_CHANNELS)
    return Middle(
        output=output,
        shape=tuple(tensor.shape),
        axes=axes,
        first=first,
        size=tuple(n - 2 * a for n, a in zip(tensor.shape[-axes:], first, strict=True)),
        channels=tuple(i * channels // count for i in range(count)),
    )


class Answers:
    """A model as a function from test signals to the middles of its outputs.

    Args:
        model: takes as many tensors as there are inputs.
        inputs: of the first call, which says what the outputs are.
        axes: how many spatial axes a map has; None for the most that the outputs have.
        seed: of what the model draws itself, set before every call.
    """

    def __init__(
        self, model: Callable[..., Any], inputs: Sequence[Tensor], *, axes: int | None, seed: int
    ) -> None:
        self._model, self._seed = model, seed
        found = list(tensors_in(self._run(inputs)))
        if axes is None:
            spatial = [each.ndim - 2 for _, each in found if each.ndim > 2 and each.is_floating_point()]
            axes = min(max(spatial, default=1), 3)
        middles = [middle_of(name, each, axes) for name, each in found]
        self._shapes = [tuple(each.shape) for _, each in found]
        self._places = [place for place, middle in enumerate(middles) if middle is not None]
        self.axes = axes
        self.middles = tuple(middle for middle in middles if middle is not None)

    def to(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The middle of each map that comes back, shape (batch, channels, *size) each.

        Raises:
            OptionError: the model cannot take this signal, or answers with other shapes than to the example.
        """
        found = [each for _, each in tensors_in(self._run(inputs))]
        if [tuple(each.shape) for each in found] != self._shapes:
            msg = (
                "a model must answer a test signal with the shapes that it gives the example; got "
                f"{_listed([tuple(each.shape) for each in found])} for {_listed(self._shapes)}"
            )
            raise OptionError(msg)
        return [middle.of(found[place]) for place, middle in zip(self._places, self.middles, strict=True)]

    def _run(self, inputs: Sequence[Tensor]) -> object:
        with torch.no_grad(), torch.random.fork_rng(devices=_cuda_devices(inputs)):
            torch.manual_seed(self._seed)
            try:
                return self._model(*inputs)
            except Exception as error:
                said = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
                msg = f"a model must take a test signal in the place of the example to be probed; got: {said}"
                raise OptionError(msg) from error


def tensors_in(structure: object, *, name: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in a structure of outputs, with where it stands.

    >>> [name for name, _ in tensors_in({"sample": torch.zeros(1), "rest": (torch.zeros(1), None)})]
    ['sample', 'rest.0']
    """
    if isinstance(structure, Tensor):
        yield name, structure
        return
    if not depth:
        return
    inside: list[tuple[str, object]] = []
    if isinstance(structure, Mapping):
        inside = [(str(key), value) for key, value in structure.items()]
    elif isinstance(structure, list | tuple):
        names = getattr(structure, "_fields", range(len(structure)))
        inside = [(str(key), value) for key, value in zip(names, structure, strict=True)]
    elif is_dataclass(structure) and not isinstance(structure, type):
        inside = [(each.name, getattr(structure, each.name)) for each in fields(structure)]
    elif hasattr(structure, "__dict__") and not isinstance(structure, type | torch.nn.Module):
        inside = [(key, value) for key, value in vars(structure).items() if not key.startswith("_")]
    for key, value in inside:
        yield from tensors_in(value, name=f"{name}.{key}".lstrip("."), depth=depth - 1)


def _as_maps(tensor: Tensor, axes: int) -> Tensor:
    """Shape (batch, channels, *space); a tensor without an axis for channels has one channel."""
    if tensor.ndim == axes + 1:
        return tensor.unsqueeze(1)
    return tensor.flatten(0, -axes - 2)


def _cuda_devices(inputs: Sequence[Tensor]) -> list[torch.device]:
    return sorted({each.device for each in inputs if each.device.type == "cuda"}, key=str)


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes)) or "none"
