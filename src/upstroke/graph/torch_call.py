"""Define one recorded call of an operator of PyTorch, as the readers of steps take it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["Call", "taken"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One call of an operator of PyTorch, in which at least one argument is a map.

    Attributes:
        name: the operator without namespace, overload and the underscore of an in-place one.
        given: every argument by its name, defaults filled in.
        maps: the map that each argument is, by id, for all tensors that are derived from the model's inputs.
        before: shapes of the maps that come in.
        output: the first tensor that it gives.
    """

    name: str
    given: Mapping[str, Any]
    maps: Mapping[int, str]
    before: Sequence[tuple[int, ...]]
    output: Tensor

    def is_map(self, value: object) -> bool:
        """Whether an argument is derived from the model's inputs."""
        return id(value) in self.maps

    def map_in(self) -> Tensor | None:
        """The argument that operators call self or input, and ours x, if it is a map."""
        value = taken(self.given)
        return value if isinstance(value, Tensor) and self.is_map(value) else None


def taken(given: Mapping[str, Any]) -> object:
    """What an operator works on."""
    return given.get("self", given.get("input", given.get("x", given.get("maps"))))
