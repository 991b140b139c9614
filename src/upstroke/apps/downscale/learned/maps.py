"""Coarse fields on cells become whole maps of all that a network reads, and these the parts it is given."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from upstroke.apps.downscale.cells import Cells
from upstroke.apps.downscale.downscaler import downscaler
from upstroke.apps.downscale.fill import LandFill, land_fill
from upstroke.apps.downscale.learned.networks import AROUND, LEAST_ROUGHNESS, NEAR, Inputs

__all__ = ["Ground", "Maps", "Refine", "maps_of", "parts_of", "places_of", "taken", "tiles"]

# What refines the means (ny, nx) of one variable, NaN where there is no value.
Refine: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]

# Rows nearer to a pole than that have cells so narrow that their shape says nothing more.
NARROWEST = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """What does not change from step to step: coarse cells, their parts, and the static fields on these.

    Attributes:
        cells: The coarse cells.
        factor: Parts of a cell along y and x.
        dropped: Rows of parts beyond a pole, before the first and after the last, which no fine field has.
        aspect: (ny, nx) logarithm of a cell's length along x over that along y; 0 on a projection.
        areas: (ny, nx) of the cells.
        part_areas: (ny fy, nx fx) of their parts; of those beyond a pole 0.
        statics: (s, ny fy, nx fx) details of the static fields, 0 where there is no value.
        levels: (s, ny, nx) of the static fields, normalised.
    """

    cells: Cells
    factor: tuple[int, int]
    dropped: tuple[int, int]
    aspect: NDArray[np.float32]
    areas: NDArray[np.float64]
    part_areas: NDArray[np.float64]
    statics: NDArray[np.float32]
    levels: NDArray[np.float32]

    @classmethod
    def of(
        cls, cells: Cells, factor: tuple[int, int], statics: NDArray[np.float32] | None = None
    ) -> "Ground":
        """The ground of coarse cells; statics (s, fine y, fine x) on their parts, NaN where unknown."""
        fine, dropped = cells.refined(factor)
        given = np.zeros((0, *fine.shape), np.float32) if statics is None else statics
        read = [_level_and_details(each, cells, factor) for each in given]
        levels = np.array([level for level, _ in read], np.float32).reshape(-1, *cells.shape)
        details = np.array([detail for _, detail in read], np.float32).reshape(-1, *fine.shape)
        return cls(
            cells=cells,
            factor=factor,
            dropped=dropped,
            aspect=_aspect(cells).astype(np.float32),
            areas=cells.areas(),
            part_areas=np.pad(fine.areas(), (dropped, (0, 0))),
            statics=np.pad(details, ((0, 0), dropped, (0, 0))),
            levels=levels,
        )

    @property
    def is_periodic(self) -> tuple[bool, bool]:
        """Per axis, whether its ends meet."""
        return self.cells.y.is_periodic, self.cells.x.is_periodic


@dataclass(frozen=True, kw_only=True, eq=False)
class Maps:
    """One step of v variables as whole maps, in the names and order of axes of `Inputs`."""

    ground: Ground
    x: NDArray[np.floating]
    valid: NDArray[np.bool_]
    fraction: NDArray[np.floating]
    baseline: NDArray[np.floating]
    means: NDArray[np.floating]
    weights: NDArray[np.floating]

    def cut(self, rows: range, columns: range, *, halo: int) -> Inputs:
        """What a network needs to answer for these cells: a batch of one.

        Beyond an edge the cells of the edge are repeated; round the globe the other end follows.
        """
        ground = self.ground
        places = [
            _with_halo(along, size, halo, is_periodic=turns)
            for along, size, turns in zip(
                (rows, columns), ground.cells.shape, ground.is_periodic, strict=True
            )
        ]
        around = places_of(places[0]), places_of(places[1])
        around_parts = tuple(
            places_of(parts_of(each, f)) for each, f in zip(places, ground.factor, strict=True)
        )
        inner = [place[halo : place.size - halo] for place in places]
        here = places_of(inner[0]), places_of(inner[1])
        here_parts = tuple(places_of(parts_of(each, f)) for each, f in zip(inner, ground.factor, strict=True))
        kind = self.x.dtype
        return Inputs(
            x=_batch(self.x, around),
            valid=_batch(self.valid, around, kind),
            aspect=_batch(ground.aspect[None], around, kind),
            areas=_batch(ground.areas[None], around, kind),
            fraction=_batch(self.fraction[None], around_parts, kind),
            statics=_batch(ground.statics, around_parts, kind),
            levels=_batch(ground.levels, around, kind),
            baseline=_batch(self.baseline, here_parts),
            means=_batch(self.means, here),
            weights=_batch(self.weights, here_parts),
            part_areas=_batch(ground.part_areas[None], here_parts, kind),
        )


def maps_of(
    ground: Ground,
    means: NDArray[np.floating],
    *,
    fractions: NDArray[np.floating],
    refine: Sequence[Refine | None],
    fill: Callable[[NDArray[np.bool_]], LandFill],
) -> Maps:
    """Make the maps of one step.

    Args:
        ground: cells and statics.
        means: (v, ny, nx) block means, float32 or float64; NaN where there is no value.
        fractions: (v, ny fy, nx fx) or (1, ...) what is valid of each part of a cell, 0 beyond a pole.
        refine: of each variable what refines its means by the cubic; None for one that is not known at all.
        fill: gives what fills the cells that a mask (ny, nx) leaves out.
    """
    filled, baselines = [], []
    for one, cubic in zip(means, refine, strict=True):
        valid = np.isfinite(one)
        filled.append(one if valid.all() else fill(valid)(one.astype(np.float64)).astype(one.dtype))
        if cubic is None:
            baselines.append(np.zeros(ground.part_areas.shape, one.dtype))
        else:
            baselines.append(np.pad(np.nan_to_num(cubic(one), nan=0.0), (ground.dropped, (0, 0))))
    return Maps(
        ground=ground,
        x=np.stack(filled),
        valid=np.isfinite(means),
        fraction=fractions.max(axis=0).astype(means.dtype),
        baseline=np.stack(baselines),
        means=means,
        weights=np.broadcast_to(
            (fractions * ground.part_areas).astype(means.dtype), (len(means), *ground.part_areas.shape)
        ),
    )


def parts_of(places: NDArray[np.intp], factor: int) -> NDArray[np.intp]:
    """Places of the parts of cells at these places along one axis.

    >>> parts_of(np.array([2, 0]), 3).tolist()
    [6, 7, 8, 0, 1, 2]
    """
    return (places[:, None] * factor + np.arange(factor)).ravel()


def tiles(shape: tuple[int, int], largest: int) -> Iterator[tuple[range, range]]:
    """Cut a map into rectangles of at most `largest` cells along each axis, as even as can be.

    >>> [(list(rows), list(columns)) for rows, columns in tiles((2, 3), 2)]
    [([0, 1], [0, 1]), ([0, 1], [2])]
    """
    rows, columns = (
        [range(start, min(start + largest, size)) for start in range(0, size, largest)] for size in shape
    )
    for row in rows:
        for column in columns:
            yield row, column


def _level_and_details(
    static: NDArray[np.float32], cells: Cells, factor: tuple[int, int]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Of a static field its means over cells, and what the cubic cannot see, in units of its roughness."""
    known = np.isfinite(static)
    if not known.any():
        return np.zeros(cells.shape), np.zeros(static.shape)
    cubic = downscaler(cells, factor, fraction=None if known.all() else known.astype(np.float64))
    means = cubic.block_means(static)
    turns = cells.y.is_periodic, cells.x.is_periodic
    valid = np.isfinite(means)
    filled = means if valid.all() else land_fill(valid, is_periodic=turns)(means)
    dropped = cells.refined(factor)[1]
    rough = _roughness(filled, turns).repeat(factor[0], 0).repeat(factor[1], 1)
    rough = rough[dropped[0] : len(rough) - dropped[1]]
    return filled, np.nan_to_num((static - cubic(means)) / rough, nan=0.0)


def _roughness(means: NDArray[np.floating], turns: tuple[bool, bool]) -> NDArray[np.floating]:
    """Root mean square of differences from the 3 x 3 mean over the 5 x 5 around, as `Residual` has it."""
    places = [
        _with_halo(range(size), size, NEAR + AROUND, is_periodic=turn)
        for size, turn in zip(means.shape, turns, strict=True)
    ]
    x = torch.from_numpy(means[np.ix_(*places)])[None, None]
    away = x[..., NEAR:-NEAR, NEAR:-NEAR] - F.avg_pool2d(x, 2 * NEAR + 1, 1)
    square = F.avg_pool2d(away**2, 2 * AROUND + 1, 1)[0, 0].numpy()
    least = LEAST_ROUGHNESS**2 * np.median(square) + np.finfo(np.float32).tiny
    rough: NDArray[np.floating] = np.sqrt(square + least)
    return rough


def _aspect(cells: Cells) -> NDArray[np.float64]:
    if cells.y.kind != "latitude":
        return np.full(cells.shape, np.log(abs(cells.x.spacing / cells.y.spacing)))
    narrowed = np.maximum(np.cos(np.deg2rad(cells.y.centres)), NARROWEST)
    return np.broadcast_to(np.log(narrowed * abs(cells.x.spacing / cells.y.spacing))[:, None], cells.shape)


def _with_halo(along: range, size: int, halo: int, *, is_periodic: bool) -> NDArray[np.intp]:
    places = np.arange(along.start - halo, along.stop + halo)
    return places % size if is_periodic else places.clip(0, size - 1)


def taken(maps: NDArray[Any], places: Sequence[slice | NDArray[np.intp]]) -> NDArray[Any]:
    """Rows and columns of maps; slices, which are views, wherever that can be."""
    rows, columns = places
    return maps[..., rows, :][..., columns]


def places_of(places: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """The places, as a slice where they follow each other."""
    first, last = int(places[0]), int(places[-1])
    follows = last - first == places.size - 1 and bool((np.diff(places) == 1).all())
    return slice(first, last + 1) if follows else places


def _batch(
    maps: NDArray[Any], at: Sequence[slice | NDArray[np.intp]], dtype: np.dtype | None = None
) -> Tensor:
    return torch.from_numpy(np.array(taken(maps, at), dtype=dtype, order="C"))[None]
