"""Edges of uniform cells become their areas, and the edges of the finer or coarser cells they nest with.

Along each axis the cells are equally long, in degrees or in a length. On a sphere their areas are not, and
every weight here is an area: |sin n - sin s| of the two parallels that bound a row, times the length in
longitude. A row centred on a pole reaches half a cell beyond it on paper; its weight ends at the pole.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, lcm, pi
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from upstroke.axes import whole_per_axis
from upstroke.errors import OptionError, ShapeError

__all__ = ["CellAxis", "Cells", "Kind"]

Kind: TypeAlias = Literal["latitude", "longitude", "projected"]

POLE = 90.0
ROUND = 360.0
# What a few sums and products in float64 may have lost, in last places of the largest edge.
LAST_PLACES = 4
# Edges that are off by more, counted in cells, are not meant to be uniform.
UNIFORM = 1e-6
# Two grids are the same where their middles agree to this part of a cell.
OFF_GRID = 1e-2


@dataclass(frozen=True, kw_only=True, eq=False)
class CellAxis:
    """Equally long cells along one horizontal axis.

    >>> rows = CellAxis(name="lat", kind="latitude", edges=np.linspace(-90, 90, 5), is_periodic=False)
    >>> rows.centres.tolist()
    [-67.5, -22.5, 22.5, 67.5]
    >>> rows.weights.round(3).tolist()
    [0.293, 0.707, 0.707, 0.293]

    Attributes:
        name: Of the dimension.
        kind: What the edges are: latitudes or longitudes in degrees, also of a rotated pole, or lengths of a
            projection.
        edges: Where the cells end, one more than there are cells, in storage order, rising or falling; they
            are rounded to the simplest numbers that they can stand for. Latitudes may reach beyond +-90, by
            less than a cell: a row of cells centred on a pole.
        is_periodic: Whether the last cell is the first one's neighbour: longitudes once round the globe.
        units: Of the edges, as the source spells them; degrees where the kind is not projected.

    Raises:
        ShapeError: There is no cell, or the edges are not uniform.
        OptionError: Edges that are no numbers, rows beyond a pole, more than once round the globe, or an axis
            called periodic that is not.
    """

    name: str
    kind: Kind
    edges: NDArray[np.float64]
    is_periodic: bool
    units: str = ""

    def __post_init__(self) -> None:
        edges = np.asarray(self.edges, dtype=np.float64)
        self._refuse_what_is_uneven(edges)
        snapped = _between(edges[0], edges[-1], edges.size - 1)
        snapped.flags.writeable = False
        object.__setattr__(self, "edges", snapped)
        self._refuse_what_is_off_the_globe()

    def __repr__(self) -> str:
        ends = f"{self.edges[0]:.10g} to {self.edges[-1]:.10g}"
        turn = ", periodic" if self.is_periodic else ""
        return f"<{self.name}: {self.size} cells of {self.kind}, {ends}{turn}>"

    @property
    def size(self) -> int:
        """Number of cells."""
        return self.edges.size - 1

    @property
    def spacing(self) -> float:
        """Length of a cell, negative where the edges fall, in the units of the edges."""
        return float(self.edges[-1] - self.edges[0]) / self.size

    @property
    def centres(self) -> NDArray[np.float64]:
        """Middles of the cells, in storage order; of a row beyond a pole, that of the whole row."""
        return _between(self.edges[0], self.edges[-1], 2 * self.size)[1::2]

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Both ends of every cell (n, 2), in storage order; latitudes end at the poles."""
        edges = np.clip(self.edges, -POLE, POLE) if self.kind == "latitude" else self.edges
        return np.stack([edges[:-1], edges[1:]], axis=-1)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Share of each cell in the area of a row or a column of cells.

        Of latitudes |sin n - sin s|, computed as 2 sin(c) sin((n - s) / 2) with c the distance of the middle
        from the nearer pole: what cancels in the difference would cost the polar rows digits. The part beyond
        a pole counts nothing. Of other axes the length of a cell, in the units of the edges.

        >>> rows = CellAxis(name="lat", kind="latitude", edges=np.array([92.0, 88.0]), is_periodic=False)
        >>> bool(abs(rows.weights[0] / (1 - np.sin(np.deg2rad(88))) - 1) < 1e-12)
        True
        """
        if self.kind != "latitude":
            return np.full(self.size, abs(self.spacing))
        first, last = self.bounds[:, 0], self.bounds[:, 1]
        pole = np.where(first + last >= 0, POLE, -POLE)
        # 90 - x is exact where it matters, in the polar half; the mean of two edges near 90 would not be
        from_pole = np.abs((pole - first) + (pole - last)) / 2
        return 2 * np.sin(np.deg2rad(from_pole)) * np.sin(np.deg2rad(np.abs(last - first) / 2))

    def refined(self, factor: int) -> tuple["CellAxis", tuple[int, int]]:
        """Cut every cell into equal parts and drop the parts that lie wholly beyond a pole.

        Returns:
            The finer axis, and how many cells were dropped before its first and after its last.

        Raises:
            OptionError: The factor is no whole number of at least 1.

        >>> rows = CellAxis(name="lat", kind="latitude", edges=np.linspace(-91, 91, 92), is_periodic=False)
        >>> rows.refined(4)
        (<lat: 360 cells of latitude, -90 to 90>, (2, 2))
        """
        (factor,) = whole_per_axis((factor,), 1, name="the factor", least=1)
        edges = _between(self.edges[0], self.edges[-1], self.size * factor)
        before, after = self._beyond_the_poles(edges)
        kept = edges[before : edges.size - after]
        return replace(self, edges=kept), (before, after)

    def coarsened(self, factor: int) -> "CellAxis":
        """Join every so many neighbours into one cell: the inverse of `refined` where it dropped nothing.

        Raises:
            OptionError: The factor is no whole number of at least 1, or does not divide the number of cells.

        >>> CellAxis(name="x", kind="projected", edges=np.arange(7.0), is_periodic=False).coarsened(3)
        <x: 2 cells of projected, 0 to 6>
        """
        (factor,) = whole_per_axis((factor,), 1, name="the factor", least=1)
        if self.size % factor:
            msg = (
                f"the factor must divide the {self.size} cells of {self.name}; got {factor}, "
                f"which leaves {self.size % factor}; crop the axis or take another factor"
            )
            raise OptionError(msg)
        return replace(self, edges=_between(self.edges[0], self.edges[-1], self.size // factor))

    def flipped(self) -> "CellAxis":
        """Store the same cells in the other direction.

        >>> CellAxis(name="x", kind="projected", edges=np.arange(3.0), is_periodic=False).flipped()
        <x: 2 cells of projected, 2 to 0>
        """
        return replace(self, edges=self.edges[::-1])

    def places_of(self, wanted: "CellAxis") -> NDArray[np.intp]:
        """Find where along this axis the cells of another lie, whichever way it runs and wherever it begins.

        Longitudes may differ by whole turns. Both must be on the same cells, to a hundredth of one; this axis
        may go on where the other ends. `array.take(axis.places_of(wanted), axis)` brings values in its order.

        Raises:
            ShapeError: A wanted cell is not one of this axis's.

        >>> globe = CellAxis(name="lon", kind="longitude", edges=np.arange(0.0, 361, 90), is_periodic=True)
        >>> west = CellAxis(name="lon", kind="longitude", edges=np.arange(-90.0, 91, 90), is_periodic=False)
        >>> globe.places_of(west)
        array([3, 0])
        """
        cell = abs(self.spacing)
        ahead = (wanted.centres - self.centres[0]) * np.sign(self.spacing)
        if self.kind == "longitude":
            ahead = (ahead + OFF_GRID * cell) % ROUND - OFF_GRID * cell
        places = np.round(ahead / cell)
        off = np.abs(ahead / cell - places).max()
        same = self.kind == wanted.kind and abs(abs(wanted.spacing) / cell - 1) * wanted.size < OFF_GRID
        if not same or off > OFF_GRID or places.min() < 0 or places.max() >= self.size:
            msg = (
                f"the {_ends(wanted)} must be among the {_ends(self)}; got others; "
                "interpolate one of the two to the grid of the other first"
            )
            raise ShapeError(msg)
        found: NDArray[np.intp] = places.astype(np.intp)
        return found

    def _beyond_the_poles(self, edges: NDArray[np.float64]) -> tuple[int, int]:
        if self.kind != "latitude":
            return 0, 0
        south, north = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
        pole = POLE - UNIFORM * abs(edges[1] - edges[0])
        inside = np.flatnonzero((south < pole) & (north > -pole))
        return int(inside[0]), int(south.size - 1 - inside[-1])

    def _refuse_what_is_uneven(self, edges: NDArray[np.float64]) -> None:
        if edges.ndim != 1 or edges.size < 2:
            msg = (
                f"the edges of {self.name} must be one more than its cells, on one axis, and at least two; "
                f"got shape {edges.shape}"
            )
            raise ShapeError(msg)
        if not np.isfinite(edges).all():
            msg = f"the edges of {self.name} must be finite numbers; got {_first(edges, ~np.isfinite(edges))}"
            raise OptionError(msg)
        cell = (edges[-1] - edges[0]) / (edges.size - 1)
        off = np.abs(edges - np.linspace(edges[0], edges[-1], edges.size)).max()
        rounding = 2 * float(np.spacing(np.abs(edges).max()))
        if cell == 0 or off > UNIFORM * abs(cell) + rounding:
            msg = (
                f"the cells of {self.name} must be equally long and not empty; got edges that are off by "
                f"{off:.3g} from even steps of {cell:.6g}; interpolate the field to a uniform grid first"
            )
            raise ShapeError(msg)

    def _refuse_what_is_off_the_globe(self) -> None:
        if (
            self.kind == "latitude"
            and max(_reach(self.edges[0], self.edges[1]), _reach(self.edges[-1], self.edges[-2])) >= 1
        ):
            msg = (
                f"no row of {self.name} may lie wholly beyond a pole; got edges from {self.edges[0]:.10g} to "
                f"{self.edges[-1]:.10g} degrees; drop the rows beyond +-90"
            )
            raise OptionError(msg)
        length = abs(float(self.edges[-1] - self.edges[0]))
        goes_round = self.kind == "longitude" and abs(length - ROUND) <= UNIFORM * abs(self.spacing)
        if self.kind == "longitude" and length > ROUND and not goes_round:
            msg = (
                f"{self.name} must go round the globe once at most; got cells over {length:.10g} degrees; "
                "drop the columns that come twice"
            )
            raise OptionError(msg)
        if self.is_periodic and not goes_round:
            msg = (
                f"a periodic axis is one of longitudes whose cells go round the globe; got {self.name}, "
                f"{length:.10g} of {self.kind}; pass is_periodic=False"
            )
            raise OptionError(msg)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Cells of a rectangular grid: every row of `y` crossed with every column of `x`.

    >>> rows = CellAxis(name="lat", kind="latitude", edges=np.linspace(-90, 90, 181), is_periodic=False)
    >>> columns = CellAxis(name="lon", kind="longitude", edges=np.arange(361.0), is_periodic=True)
    >>> globe = Cells(y=rows, x=columns)
    >>> globe.shape, round(float(globe.areas().sum() / np.pi), 12)
    ((180, 360), 4.0)

    Attributes:
        y: The rows: latitudes, or the second coordinate of a projection.
        x: The columns: longitudes, or the first coordinate of a projection.
    """

    y: CellAxis
    x: CellAxis

    def __post_init__(self) -> None:
        kinds = (self.y.kind, self.x.kind)
        if kinds not in {("latitude", "longitude"), ("projected", "projected")}:
            msg = (
                "cells are latitudes by longitudes or two lengths of a projection; "
                f"got {self.y.name} of {self.y.kind} by {self.x.name} of {self.x.kind}"
            )
            raise OptionError(msg)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y.size, self.x.size

    @property
    def area_unit(self) -> str:
        """Of `areas`: steradians on the sphere, else the product of the two axes' units.

        >>> length = CellAxis(name="y", kind="projected", edges=np.arange(3.0), is_periodic=False, units="km")
        >>> Cells(y=length, x=length).area_unit
        'km²'
        """
        if self.y.kind == "latitude":
            return "sr"
        units = (self.y.units, self.x.units)
        return f"{units[0]}²" if units[0] == units[1] else " ".join(filter(None, units))

    def areas(self) -> NDArray[np.float64]:
        """Areas (ny, nx), in `area_unit`."""
        columns = self.x.weights
        if self.x.kind == "longitude":
            columns = columns * (pi / 180)
        return self.y.weights[:, None] * columns

    def refined(self, factor: int | tuple[int, int]) -> tuple["Cells", tuple[int, int]]:
        """Cut every cell into factor[0] x factor[1] equal parts and drop rows that lie wholly beyond a pole.

        Returns:
            The finer cells, and how many fine rows were dropped before the first and after the last.
        """
        rows, columns = whole_per_axis(factor, 2, name="the factor", least=1)
        y, dropped = self.y.refined(rows)
        return Cells(y=y, x=self.x.refined(columns)[0]), dropped

    def factor_to(self, fine: "Cells") -> tuple[int, int]:
        """Tell by which factor these cells are refined into others, in any order of rows and columns.

        Raises:
            ShapeError: The others are not nested in these, or do not cover the same area.

        >>> axes = [CellAxis(name=n, kind="projected", edges=np.arange(7.0), is_periodic=False) for n in "yx"]
        >>> cells = Cells(y=axes[0], x=axes[1])
        >>> cells.factor_to(cells.refined((2, 3))[0])
        (2, 3)
        """
        pairs = ((self.y, fine.y), (self.x, fine.x))
        factor = [max(1, round(abs(coarse.spacing / parts.spacing))) for coarse, parts in pairs]
        for (coarse, parts), times in zip(pairs, factor, strict=True):
            cut = coarse.refined(times)[0]
            if cut.size != parts.size or not _lies_on(parts, cut):
                msg = (
                    f"the {_ends(parts)} must be equal parts of the {_ends(coarse)}; got cells of "
                    f"{abs(parts.spacing):.7g} and {abs(coarse.spacing):.7g}; "
                    "interpolate one of the two to a nested grid first"
                )
                raise ShapeError(msg)
        return factor[0], factor[1]

    def coarsened(self, factor: int | tuple[int, int]) -> "Cells":
        """Join blocks of factor[0] x factor[1] cells into one each; both must divide.

        >>> axes = [CellAxis(name=n, kind="projected", edges=np.arange(7.0), is_periodic=False) for n in "yx"]
        >>> Cells(y=axes[0], x=axes[1]).coarsened((2, 3)).shape
        (3, 2)
        """
        rows, columns = whole_per_axis(factor, 2, name="the factor", least=1)
        return Cells(y=self.y.coarsened(rows), x=self.x.coarsened(columns))


def simplest_between(low: Fraction, high: Fraction) -> Fraction:
    """Find the fraction of the least denominator in an interval, and of these the one nearest to 0.

    >>> simplest_between(Fraction("0.4399999"), Fraction("0.4400001"))
    Fraction(11, 25)
    """
    if low <= 0 <= high:
        return Fraction(0)
    if high < 0:
        return -simplest_between(-high, -low)
    whole = ceil(low)
    if whole <= high:
        return Fraction(whole)
    below = floor(low)
    return below + 1 / simplest_between(1 / (high - below), 1 / (low - below))


def _between(first: float, last: float, cells: int) -> NDArray[np.float64]:
    """Edges of so many cells, each the float64 nearest to a fraction, so that nested axes share theirs."""
    slack = Fraction(LAST_PLACES * float(np.spacing(max(abs(first), abs(last)))))
    a, b = (_meant(Fraction(float(end)), slack) for end in (first, last))
    step = (b - a) / cells
    below = lcm(a.denominator, step.denominator)
    start, stride = int(a * below), int(step * below)
    return np.array([(start + k * stride) / below for k in range(cells + 1)])


def _meant(value: Fraction, slack: Fraction) -> Fraction:
    """Give the simple fraction that a float64 stands for, or the number itself where several are as near."""
    simple = simplest_between(value - slack, value + slack)
    # fractions of denominators up to q are at least 1/q^2 apart, so that no other one is meant
    return simple if 4 * slack * simple.denominator**2 < 1 else value


def _lies_on(own: CellAxis, wanted: CellAxis) -> bool:
    try:
        own.places_of(wanted)
    except ShapeError:
        return False
    return True


def _ends(axis: CellAxis) -> str:
    return f"{axis.size} cells of {axis.name} from {axis.edges[0]:.10g} to {axis.edges[-1]:.10g}"


def _reach(outer: float, inner: float) -> float:
    """How much of a cell lies beyond a pole, in cells: outer is its edge away from the other cells."""
    return (abs(outer) - POLE) / abs(outer - inner)


def _first(values: NDArray[np.float64], where: NDArray[np.bool_]) -> str:
    at = int(np.flatnonzero(where)[0])
    return f"{values[at]} at place {at}"
