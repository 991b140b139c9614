"""What is asked of a refinement, in one value, so that what has no effect is refused in one place."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, get_args

from upstroke.apps.downscale.downscaler import FixedMethod, Quantity
from upstroke.apps.downscale.masks import Surface
from upstroke.axes import whole_per_axis
from upstroke.errors import OptionError
from upstroke.ops import Correction

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["FIXED", "Correction", "Mask", "Quantity", "Statics", "Surface", "Wanted"]

Mask: TypeAlias = "str | os.PathLike[str] | DataArray | None"
Statics: TypeAlias = "str | os.PathLike[str] | Dataset | None"
FIXED = get_args(FixedMethod)


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """What is asked, with the meanings that `downscale` states.

    Attributes:
        factor: parts of a cell along y and x, or one number for both.
        method: a fixed one, or the folder of a training run.
        conserve: whether block means are kept.
        correction: how the last correction changes a block.
        quantity: whether values are means or totals, where that is said.
        mask: the valid fraction of each fine cell.
        valid: the surface that the fields have values on.
        variables: names of the fields to refine; None for all.
        y: name of the coordinate of rows.
        x: name of the coordinate of columns.
        statics: fields that do not change, for a training run.

    Raises:
        OptionError: two settings have no meaning together, or the factor has none.
    """

    factor: int | tuple[int, int]
    method: str | os.PathLike[str] = "cubic"
    conserve: bool = True
    correction: Correction = "additive"
    quantity: Quantity | None = None
    mask: Mask = None
    valid: Surface = "sea"
    variables: Sequence[str] | None = None
    y: str | None = None
    x: str | None = None
    statics: Statics = None

    def __post_init__(self) -> None:
        whole_per_axis(self.factor, 2, name="the factor", least=1)
        if self.statics is not None and self.is_fixed:
            msg = (
                f"static fields are for a training run; got them with the method {self.method}; "
                "leave them out"
            )
            raise OptionError(msg)
        if not self.conserve and self.correction != "additive":
            msg = f"the plain form has no correction; got {self.correction}; leave out one of the two"
            raise OptionError(msg)

    @property
    def is_fixed(self) -> bool:
        """Whether the method is a kernel and no training run."""
        return self.method in FIXED

    @cached_property
    def parts(self) -> tuple[int, int]:
        """Parts of a cell along y and x.

        >>> Wanted(factor=4).parts
        (4, 4)
        """
        rows, columns = whole_per_axis(self.factor, 2, name="the factor", least=1)
        return rows, columns
