"""A field that does not change, on cells of its own, becomes what a network reads on the cells of a map."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upstroke.apps.downscale.cells import CellAxis, Cells
from upstroke.errors import OptionError

__all__ = ["Static", "axis_from_json", "axis_to_json"]

# Counted in cells: two grids whose middles are further apart are not the same.
APART = 1e-3
ROUND = 360.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Static:
    """A field with its cells and what it is normalised by.

    Attributes:
        name: By which it is asked for.
        cells: That it is known on; fine ones.
        values: (ny, nx), NaN where there is none.
        mean: Of its values.
        spread: Their standard deviation.
    """

    name: str
    cells: Cells
    values: NDArray[np.float32]
    mean: float
    spread: float

    @classmethod
    def of(cls, name: str, cells: Cells, values: NDArray[Any]) -> "Static":
        """A field normalised by its own values.

        Raises:
            OptionError: it has no finite value, or only one.
        """
        known = values[np.isfinite(values)]
        if not known.size or not float(known.std()) > 0:
            msg = f"the static field {name} needs values that differ; got {known.size} finite ones, all alike"
            raise OptionError(msg)
        kept = np.where(np.isfinite(values), values, np.nan).astype(np.float32)
        return cls(name=name, cells=cells, values=kept, mean=float(known.mean()), spread=float(known.std()))

    def normalised(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values of this field, wherever they are from, less their mean, in standard deviations."""
        normal: NDArray[np.float32] = ((values - self.mean) / self.spread).astype(np.float32)
        return normal

    def on(self, fine: Cells) -> NDArray[np.float32]:
        """The field on these cells, normalised.

        Raises:
            OptionError: it does not cover them.
        """
        rows, columns = (
            _places(own, wanted) for own, wanted in ((self.cells.y, fine.y), (self.cells.x, fine.x))
        )
        if rows is None or columns is None:
            msg = (
                f"the static field {self.name} must cover the fine cells, {fine.y} by {fine.x}; it is known "
                "on "
                f"{self.cells.y} by {self.cells.x}; give one for these cells"
            )
            raise OptionError(msg)
        return self.normalised(self.values[np.ix_(rows, columns)])


def axis_to_json(axis: CellAxis) -> dict[str, Any]:
    """An axis as plain data; `axis_from_json` gives it back to the last bit."""
    return {
        "name": axis.name,
        "kind": axis.kind,
        "first": float(axis.edges[0]),
        "last": float(axis.edges[-1]),
        "size": axis.size,
        "is_periodic": axis.is_periodic,
        "units": axis.units,
    }


def axis_from_json(words: dict[str, Any]) -> CellAxis:
    """The axis that `axis_to_json` wrote."""
    edges = np.linspace(words["first"], words["last"], words["size"] + 1)
    return CellAxis(
        name=words["name"],
        kind=words["kind"],
        edges=edges,
        is_periodic=words["is_periodic"],
        units=words["units"],
    )


def _places(own: CellAxis, wanted: CellAxis) -> NDArray[np.intp] | None:
    """Where the wanted cells are among one's own; None if any is not, or they are of other lengths."""
    if own.kind != wanted.kind or abs(abs(own.spacing) - abs(wanted.spacing)) * wanted.size > APART * abs(
        own.spacing
    ):
        return None
    away = (wanted.centres - own.edges[0]) / own.spacing - 0.5
    if own.kind == "longitude":
        turn = ROUND / abs(own.spacing)
        away = (away + APART) % turn - APART
    nearest = np.rint(away)
    if np.abs(away - nearest).max() > APART or nearest.min() < 0 or nearest.max() >= own.size:
        return None
    places: NDArray[np.intp] = nearest.astype(np.intp)
    return places
