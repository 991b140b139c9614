"""Turn a node of an ONNX model into plain Python: attributes, constants and shapes as far as known."""

import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
import torch
from torch import Tensor

from upstroke.graph.form import Shape
from upstroke.graph.onnx_constants import Constants

__all__ = ["LARGEST", "Call", "CannotReadError", "as_tensor"]

# No upsampler has a scale, stride, dilation or block above this; what is asked for it would fill any memory.
LARGEST = 2**16


class CannotReadError(Exception):
    """A node could not be read; the message is the reason.

    Attributes:
        grows: whether it may make maps larger, so that the reason matters.
    """

    def __init__(self, reason: str, *, grows: bool = True) -> None:
        super().__init__(reason)
        self.grows = grows


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One node, with what is known of its surroundings.

    Attributes:
        operator: its type.
        version: of the operators of its domain.
        attributes: as Python values, texts decoded.
        inputs, outputs: names; "" for one that is left out.
        constants: values of the inputs that are constant.
        computed: names among the inputs that depend on the values that go into the model.
        shapes: of everything, as far as they are known.
        sized: names of the constants that were computed from the sizes of maps.
        laid: what each Concat lays side by side, by the name of what it gives.
    """

    operator: str
    version: int
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Constants
    computed: Collection[str]
    shapes: Mapping[str, Shape]
    sized: Collection[str] = ()
    laid: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def maps(self) -> tuple[str, ...]:
        """The inputs that depend on the values that go into the model, in order."""
        return tuple(name for name in self.inputs if name in self.computed)

    def has(self, place: int) -> bool:
        """Whether the input at this place is given at all."""
        return place < len(self.inputs) and self.inputs[place] != ""

    def constant(self, place: int) -> numpy.ndarray | None:
        """The value of an input that is constant."""
        return self.constants.get(self.inputs[place]) if self.has(place) else None

    def weight(self, place: int, *, name: str = "weight") -> Tensor:
        """An input that must be a constant of floats.

        Raises:
            CannotReadError: it is not.
        """
        value = self.constant(place)
        if value is None:
            reason = f"its {name} is computed while the model runs"
            raise CannotReadError(reason)
        tensor = as_tensor(value)
        if tensor is None:
            reason = f"its {name} is made of {value.dtype}, not of floating-point numbers"
            raise CannotReadError(reason)
        return tensor

    def shape(self, place: int = 0) -> Shape | None:
        """The shape of an input."""
        return self.shapes.get(self.inputs[place]) if self.has(place) else None

    def size(self, ndim: int) -> tuple[int | None, ...]:
        """The spatial size of the first input."""
        shape = self.shape()
        return (None,) * ndim if shape is None or len(shape) != ndim + 2 else shape[2:]

    def numbers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """An attribute that is a list of whole numbers.

        Raises:
            TypeError: it is something else.
        """
        return tuple(map(operator.index, self.attributes.get(name) or default))


def as_tensor(array: numpy.ndarray) -> Tensor | None:
    """The numbers as a tensor, copied only where the array is read-only; None if they are no floats."""
    writable = array if array.flags.writeable else array.copy()
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(writable.view(numpy.int16)).view(torch.bfloat16)
    return (
        torch.from_numpy(writable) if array.dtype.kind == "f" and array.dtype.itemsize in (2, 4, 8) else None
    )
