"""Fine fields become batches of patches to learn from, and held-out regions and days to be judged by.

A patch is a few coarse cells, made from the fine ones as their means, with the fine ones as what is to be
found. What keeps a small network from learning a map by heart:

- the coarse grid is laid anew: it begins at any of the factor[0] x factor[1] fine cells, so that one map
  gives as many different coarse maps;
- patches are mirrored, turned (where both factors are alike) and change their sign;
- a static field is left out where it is itself what is to be found, and now and then elsewhere;
- stripes of every map, and the last days, are never learnt from; training stops when it gets no better there.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upstroke.apps.downscale.cells import CellAxis, Cells
from upstroke.apps.downscale.downscaler import Downscaler, FixedMethod, downscaler
from upstroke.apps.downscale.fill import land_fill
from upstroke.apps.downscale.learned.maps import Ground, Maps, maps_of, parts_of, places_of, taken, tiles
from upstroke.apps.downscale.learned.networks import Inputs
from upstroke.apps.downscale.learned.reference import Reference, no_value
from upstroke.apps.downscale.learned.statics import Static
from upstroke.errors import OptionError
from upstroke.train import derived_seed

__all__ = ["Example", "Judged", "Patches", "Sample", "Samples"]

# Of every map one stripe in so many is held out, and there are at most so many of them.
HELD_OF, MOST_STRIPES, LEAST_STRIPE = 4, 12, 6
# Of so many steps or more, the last one in so many.
DAYS_FROM, DAYS_OF = 5, 6
# Cells along a side of what is learnt from, which the least map has, and of what is judged at once.
PATCH, TILE = 16, 48
# Maps that a round of so many steps draws its patches from, and bytes of maps that are kept.
MAPS_A_ROUND, STEPS_A_ROUND, MOST_BYTES = 8, 16, 2**30
# Of patches, how many do not say which parts of a cell are land, lack a variable, or the static fields.
WITHOUT_MASK, WITHOUT_VARIABLE, WITHOUT_STATIC = 0.25, 0.25, 0.25
MOST_JUDGED = 12
# In standard deviations: fields that differ by less nearly everywhere are one.
ONE_FIELD = 1e-5


class Sample(NamedTuple):
    """A batch of patches: what a network is given, what it should find, and what each fine cell counts."""

    inputs: Inputs
    target: Tensor  # (b, v, parts), 0 where there is no value
    counted: Tensor  # (b, v, parts)


class Judged(NamedTuple):
    """A held-out part of a map, and the squared errors of the fixed methods there, weighted, by variable."""

    sample: Sample
    squares: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """A step on one laying of the coarse grid."""

    maps: Maps
    target: NDArray[np.float32]
    held: NDArray[np.bool_]  # of coarse cells

    @cached_property
    def cells(self) -> NDArray[np.intp]:
        """Cells to learn from, as (row, column): those that are not held out and have a value."""
        return np.argwhere(self.maps.valid.any(axis=0) & ~self.held)

    @property
    def nbytes(self) -> int:
        """Memory, about."""
        maps = self.maps
        return sum(each.nbytes for each in (maps.fraction, maps.baseline, maps.weights, self.target))

    def sample(self, rows: range, columns: range, *, halo: int, held: bool) -> Sample:
        """A part of the map as a batch of one; those cells count that are held out, or those that are not."""
        fy, fx = self.maps.ground.factor
        shape = self.maps.ground.cells.shape
        along = [np.arange(r.start, r.stop) % size for r, size in zip((rows, columns), shape, strict=True)]
        cells = [places_of(each) for each in along]
        parts = [places_of(parts_of(each, f)) for each, f in zip(along, (fy, fx), strict=True)]
        inputs = self.maps.cut(rows, columns, halo=halo)
        chosen = (taken(self.held, cells) == held) & taken(self.maps.valid, cells)
        counts = torch.from_numpy(chosen)[None].repeat_interleave(fy, -2).repeat_interleave(fx, -1)
        target = np.nan_to_num(taken(self.target, parts), nan=0.0)
        return Sample(inputs, torch.from_numpy(target)[None], inputs.weights * counts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Examples of references: every step on every laying of the coarse grid.

    Attributes:
        references: The fine fields.
        factor: Parts of a coarse cell along y and x.
        statics: Fields that do not change.
        fold: Which of every four stripes is held out.
    """

    references: Sequence[Reference]
    factor: tuple[int, int]
    statics: Sequence[Static] = ()
    fold: int = 1

    @cached_property
    def learnt(self) -> list[tuple[int, int]]:
        """Steps to learn from, as (reference, step)."""
        return [each for each in self._all if each not in set(self.held_days)]

    @cached_property
    def held_days(self) -> list[tuple[int, int]]:
        """Steps that are held out as a whole: the last ones of all that lie on the same cells."""
        by_cells: dict[tuple[float, ...], list[tuple[int, int]]] = {}
        for number, step in self._all:
            axes = self.references[number].cells.y, self.references[number].cells.x
            by_cells.setdefault(tuple(float(e) for a in axes for e in (a.edges[0], a.edges[-1])), []).append(
                (number, step)
            )
        return [
            each
            for steps in by_cells.values()
            if len(steps) >= DAYS_FROM
            for each in steps[len(steps) - len(steps) // DAYS_OF - (len(steps) < DAYS_OF) :]
        ]

    @property
    def _all(self) -> list[tuple[int, int]]:
        return [(n, step) for n, reference in enumerate(self.references) for step in range(reference.steps)]

    def example(self, reference: int, step: int, shift: tuple[int, int] = (0, 0)) -> Example:
        """One step, the coarse grid beginning at this fine cell.

        Raises:
            FileError: a variable has no value at all.
        """
        source = self.references[reference]
        fine, rows, columns = _laid(source.cells, self.factor, shift)
        values = source.read(step)[:, rows[:, None], columns]
        for variable, one in zip(source.variables, values, strict=True):
            if not np.isfinite(one).any():
                raise no_value(source.name, variable)
        ground = self._ground(fine, values)
        fractions = np.isfinite(values).astype(np.float64)
        refine = [_refined_by("cubic", ground.cells, self.factor, one) for one in fractions]
        means = np.stack([r.block_means(one) for r, one in zip(refine, values, strict=True)]).astype(
            np.float32
        )
        return Example(
            maps=maps_of(
                ground,
                means,
                fractions=fractions,
                refine=refine,
                fill=lambda mask: land_fill(mask, is_periodic=ground.is_periodic),
            ),
            target=values,
            held=self._held(source.cells, rows, columns),
        )

    def judged(self, *, halo: int) -> Iterator[Judged]:
        """The held-out parts: stripes of the steps that are learnt from, and of the held-out days."""
        some = [*_spread(self.learnt, MOST_JUDGED // 2), *_spread(self.held_days, MOST_JUDGED // 2)]
        for reference, step in some:
            example = self.example(reference, step)
            fixed = _fixed(example, self.factor)
            for rows, columns in tiles(example.maps.ground.cells.shape, TILE):
                if not example.held[rows.start : rows.stop, columns.start : columns.stop].any():
                    continue
                sample = example.sample(rows, columns, halo=halo, held=True)
                if not bool(sample.counted.any()):
                    continue
                yield Judged(
                    sample,
                    {
                        name: _squares(maps, rows, columns, sample, self.factor)
                        for name, maps in fixed.items()
                    },
                )

    def _ground(self, fine: Cells, values: NDArray[np.float32]) -> Ground:
        coarse = fine.coarsened(self.factor)
        fields = [_unless_it_is_learnt(static, static.on(fine), values) for static in self.statics]
        return Ground.of(coarse, self.factor, np.stack(fields) if fields else None)

    def _held(self, fine: Cells, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Coarse cells of which any fine cell lies in a stripe that is held out, across the longer axis."""
        along_x = fine.x.size // self.factor[1] >= fine.y.size // self.factor[0]
        size, parts = (fine.x.size, self.factor[1]) if along_x else (fine.y.size, self.factor[0])
        stripes = min(MOST_STRIPES, size // parts // LEAST_STRIPE) // HELD_OF * HELD_OF or HELD_OF
        number = np.arange(size) * stripes // size
        held = number % HELD_OF == self.fold % HELD_OF
        fy, fx = self.factor
        by_row = np.zeros(rows.size // fy, bool) if along_x else held[rows].reshape(-1, fy).any(axis=1)
        by_column = (
            held[columns].reshape(-1, fx).any(axis=1) if along_x else np.zeros(columns.size // fx, bool)
        )
        held_out: NDArray[np.bool_] = by_row[:, None] | by_column
        return held_out


class Patches:
    """Batches of patches by the number of the step: a function of the seed and of nothing else.

    Args:
        samples: examples.
        halo: cells beyond a patch that the network reads.
        size: patches of a batch.
        seed: of all that is drawn.
    """

    def __init__(self, samples: Samples, *, halo: int, size: int = 16, seed: int = 0) -> None:
        if not samples.learnt:
            msg = "there must be at least one step to learn from; got none; give files with a step in them"
            raise OptionError(msg)
        self.samples, self.halo, self.size, self.seed = samples, halo, size, seed
        self._kept: OrderedDict[tuple[int, int, tuple[int, int]], Example] = OrderedDict()

    def batch(self, step: int) -> Sample:
        """The batch of a step."""
        examples = self._round(step // STEPS_A_ROUND)
        shares = np.array([len(example.cells) for example in examples], dtype=float)
        if not shares.any():
            msg = "there must be values to learn from outside what is held out; got none; give larger fields"
            raise OptionError(msg)
        draw = np.random.default_rng(derived_seed(self.seed, "patches", step))
        chosen = draw.choice(len(examples), self.size, p=shares / shares.sum())
        return joined([self._patch(examples[number], draw) for number in chosen])

    def _round(self, number: int) -> list[Example]:
        """The examples that the patches of some steps are drawn from."""
        draw = np.random.default_rng(derived_seed(self.seed, "round", number))
        learnt, (fy, fx) = self.samples.learnt, self.samples.factor
        # each kind of map comes as often as it has cells, whatever the number of maps is
        cells = np.array([self._cells(n) for n, _ in learnt], dtype=float)
        chosen = draw.choice(len(learnt), MAPS_A_ROUND, p=cells / cells.sum())
        shifts = [(int(draw.integers(fy)), int(draw.integers(fx))) for _ in chosen]
        return [self._example((*learnt[which], shift)) for which, shift in zip(chosen, shifts, strict=True)]

    def _cells(self, reference: int) -> int:
        rows, columns = self.samples.references[reference].cells.shape
        return rows * columns

    def _example(self, key: tuple[int, int, tuple[int, int]]) -> Example:
        if key not in self._kept:
            self._kept[key] = self.samples.example(*key)
            while len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > MOST_BYTES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _patch(self, example: Example, draw: np.random.Generator) -> Sample:
        shape, turns = example.maps.ground.cells.shape, example.maps.ground.is_periodic
        centre = example.cells[draw.integers(len(example.cells))]
        side = PATCH
        starts = []
        for middle, size, periodic in zip(centre, shape, turns, strict=True):
            start = int(middle) - int(draw.integers(side))
            starts.append(start % size if periodic else min(max(start, 0), size - side))
        rows, columns = (range(start, start + side) for start in starts)
        sample = example.sample(rows, columns, halo=self.halo, held=False)
        return altered(sample, draw, can_turn=len(set(self.samples.factor)) == 1)


def altered(sample: Sample, draw: np.random.Generator, *, can_turn: bool) -> Sample:
    """A patch mirrored, turned, of another sign, and with less known of it, as drawn."""
    inputs, target, counted = sample
    tensors = [*inputs, target, counted]
    for axis in (-2, -1):
        if draw.random() < 0.5:
            tensors = [each.flip(axis) for each in tensors]
    if can_turn and draw.random() < 0.5:
        tensors = [each.transpose(-2, -1) for each in tensors]
        aspect = Inputs._fields.index("aspect")
        tensors[aspect] = -tensors[aspect]
    inputs, target, counted = Inputs(*tensors[:-2]), tensors[-2], tensors[-1]
    variables = target.shape[1]
    sign = torch.from_numpy(draw.choice([-1.0, 1.0], variables)).to(target.dtype)[:, None, None]
    inputs = inputs._replace(x=inputs.x * sign, baseline=inputs.baseline * sign, means=inputs.means * sign)
    if draw.random() < WITHOUT_MASK:
        inputs = inputs._replace(fraction=torch.ones_like(inputs.fraction))
    if draw.random() < WITHOUT_STATIC:
        inputs = inputs._replace(statics=0 * inputs.statics, levels=0 * inputs.levels)
    known = draw.random(variables) >= WITHOUT_VARIABLE
    known[draw.integers(variables)] = True
    left = torch.from_numpy(known).to(target.dtype)[:, None, None]
    inputs = inputs._replace(x=inputs.x * left, valid=inputs.valid * left)
    return Sample(inputs, target * sign, counted * left)


def joined(samples: Sequence[Sample]) -> Sample:
    """Batches of one as one batch."""
    inputs = Inputs(*(torch.cat(each) for each in zip(*(sample.inputs for sample in samples), strict=True)))
    return Sample(inputs, torch.cat([s.target for s in samples]), torch.cat([s.counted for s in samples]))


def _laid(
    cells: Cells, factor: tuple[int, int], shift: tuple[int, int]
) -> tuple[Cells, NDArray[np.intp], NDArray[np.intp]]:
    """Fine cells beginning at another one: round the globe all, else without what the factor leaves over."""
    axes: list[CellAxis] = []
    places: list[NDArray[np.intp]] = []
    for axis, parts, start in zip((cells.y, cells.x), factor, shift, strict=True):
        if axis.is_periodic:
            axes.append(replace(axis, edges=axis.edges + start * axis.spacing))
            places.append((np.arange(axis.size) + start) % axis.size)
        else:
            size = (axis.size - start) // parts * parts
            edges = axis.edges[start : start + size + 1]
            axes.append(replace(axis, edges=edges))
            places.append(np.arange(start, start + size))
    return Cells(y=axes[0], x=axes[1]), places[0], places[1]


def _unless_it_is_learnt(
    static: Static, normal: NDArray[np.float32], values: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A static field, without any value where it is what is to be found: it would only be copied."""
    for one in values:
        other = static.normalised(one)
        both = np.isfinite(normal) & np.isfinite(other)
        if both.any() and np.mean(np.abs(normal - other)[both] < ONE_FIELD) > 0.5:
            return np.full_like(normal, np.nan)
    return normal


def _spread(items: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """At most so many, evenly spread, the last one among them."""
    if len(items) <= most:
        return list(items)
    return [items[int(place)] for place in np.linspace(0, len(items) - 1, most).round()]


def _fixed(example: Example, factor: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """What the fixed methods that keep means make of the coarse fields; the cubic is the baseline already."""
    cells = example.maps.ground.cells
    found = {"cubic": example.maps.baseline}
    methods: tuple[FixedMethod, ...] = ("linear", "nearest")
    for method in methods:
        fields = []
        for means, values in zip(example.maps.means, example.target, strict=True):
            refine = _refined_by(method, cells, factor, np.isfinite(values).astype(np.float64))
            fields.append(refine(means))
        found[method] = np.nan_to_num(np.stack(fields), nan=0.0)
    return found


def _refined_by(
    method: FixedMethod, cells: Cells, factor: tuple[int, int], fraction: NDArray[np.float64]
) -> Downscaler:
    """A fixed method that keeps means; without a mask where nothing is missing."""
    return downscaler(cells, factor, method=method, fraction=None if fraction.all() else fraction)


def _squares(
    fine: NDArray[np.float32], rows: range, columns: range, sample: Sample, factor: tuple[int, int]
) -> Tensor:
    at = [
        places_of(parts_of(np.arange(r.start, r.stop), f))
        for r, f in zip((rows, columns), factor, strict=True)
    ]
    there = torch.from_numpy(np.ascontiguousarray(taken(fine, at)))[None]
    return (sample.counted.double() * (there - sample.target).double() ** 2).sum(dim=(0, 2, 3))
