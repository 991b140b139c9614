"""What a large field looks like that is written piece by piece, whatever the format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["FieldTarget", "LargeField"]


@dataclass(frozen=True, kw_only=True)
class LargeField:
    """A field that is described first and written later, a slab at a time.

    Attributes:
        name: of the variable.
        dims: names of its axes; the horizontal ones are last.
        shape: along these axes.
        dtype: of what is stored.
        attrs: what CF says of it, `coordinates` included, without the fill value.
        fill: the number that stands for no value; None: NaN says so itself.
        steps: how many steps along each leading axis are written together.
        encoding: how the field that it was made from was stored: its compression is kept.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    fill: float | int | None = None
    steps: tuple[int, ...] = ()
    encoding: Mapping[str, Any] = field(default_factory=dict)

    def filled(self, block: NDArray[Any]) -> NDArray[Any]:
        """Put the number for no value where a block of floats has none.

        >>> sst = LargeField(name="sst", dims=("x",), shape=(2,), dtype=np.dtype("f4"), fill=-9.0)
        >>> sst.filled(np.array([1.0, np.nan], np.float32)).tolist()
        [1.0, -9.0]
        """
        stored = np.ascontiguousarray(block, self.dtype)
        if self.fill is None or np.isnan(self.fill) or stored.dtype.kind != "f":
            return stored
        missing = np.isnan(stored)
        if not missing.any():
            return stored
        return np.where(missing, stored.dtype.type(self.fill), stored)


@runtime_checkable
class FieldTarget(Protocol):
    """Where slabs of large fields go; `write` may be called from several threads at once."""

    def write(self, name: str, start: tuple[int, ...], block: NDArray[Any]) -> None:
        """Put a block at its place: `start` along the leading axes, and all of the horizontal ones."""

    def close(self) -> None:
        """Finish writing."""
