"""Turn the fields of methods, step by step, into sums from which their scores and spectra follow."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from upstroke.apps.downscale.cases import Case, Grids
from upstroke.apps.downscale.downscaler import Quantity
from upstroke.apps.downscale.scores import MeanErrors, Tally, interior, mean_errors, tallied
from upstroke.apps.downscale.spectra import Windows, power, radial, windows, zonal

__all__ = ["REGIONS", "Account", "Books", "Refine", "Region", "judged"]

Floats = NDArray[np.floating]
Region: TypeAlias = Literal["interior", "coast", "all"]
REGIONS: tuple[Region, ...] = ("interior", "coast", "all")
# A coarse field (y, x) becomes a fine one.
Refine: TypeAlias = Callable[[Floats], Floats]
# Given the valid part of each fine cell, the methods by name.
Prepare: TypeAlias = Callable[[NDArray[np.float64]], Mapping[str, Refine]]
# Kilometres of a degree on a sphere of the Earth's mean radius, 6371.0 km.
KM_PER_DEGREE = 6371.0 * np.pi / 180


@dataclass(frozen=True, kw_only=True, eq=False)
class Waves:
    """Power by wavelength, summed over steps.

    Attributes:
        zonal: along x.
        isotropic: whatever the direction.
    """

    zonal: NDArray[np.float64]
    isotropic: NDArray[np.float64]

    def __add__(self, other: "Waves") -> "Waves":
        return Waves(zonal=self.zonal + other.zonal, isotropic=self.isotropic + other.isotropic)


@dataclass(kw_only=True, eq=False)
class Account:
    """What has been summed up of a method.

    Attributes:
        tallies: by region.
        means: how far its block means, or sums, are from the coarse values: the worst of all steps.
        total: its integral over all cells, summed over steps.
        lost: cells, over all steps, that have a true value and none of the method's.
        rows: (3, y), of the rows: valid area, that times the error, and times its square.
        waves: of the field.
        errors: likewise of its difference from the truth.
    """

    tallies: dict[Region, Tally] = field(default_factory=lambda: {each: Tally() for each in REGIONS})
    means: MeanErrors = field(default_factory=lambda: MeanErrors(largest=0.0, relative=0.0))
    total: float = 0.0
    lost: int = 0
    rows: Any = 0.0
    waves: Waves | None = None
    errors: Waves | None = None


@dataclass(kw_only=True, eq=False)
class Books:
    """What has been summed up of the truth, beside every method's account.

    Attributes:
        accounts: by the name of the method.
        steps: how many.
        coarse_cells: of each region, over all steps.
        areas: of each region, summed over steps.
        total: integral of the coarse field over all valid cells, summed over steps.
        least: least true value.
        greatest: greatest true value.
        rows: (2, y), of the rows: valid area, and that times the truth.
        places: the windows of the last step; None where none is without land.
        windows: how many, over all steps.
        wavelengths: of the powers.
        waves: of the truth.
        unexplained: by region, area times the squared distance of the truth's block means from the coarse
            values.
        farthest: the largest such distance.
        without_truth: coarse cells, over all steps, that have a value where no fine cell has one.
        shown: the first step, and what each method made of it.
    """

    accounts: dict[str, Account]
    steps: int = 0
    coarse_cells: dict[Region, int] = field(default_factory=lambda: dict.fromkeys(REGIONS, 0))
    areas: dict[Region, float] = field(default_factory=lambda: dict.fromkeys(REGIONS, 0.0))
    total: float = 0.0
    least: float = np.inf
    greatest: float = -np.inf
    rows: Any = 0.0
    places: Windows | None = None
    windows: int = 0
    wavelengths: Waves | None = None
    waves: Waves | None = None
    unexplained: dict[Region, float] = field(default_factory=lambda: dict.fromkeys(REGIONS, 0.0))
    farthest: float = 0.0
    without_truth: int = 0
    shown: tuple[Case, dict[str, Floats]] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Setting:
    """What follows from where values are, and is the same for steps that have them at the same cells."""

    key: tuple[bytes, bytes]
    coarse_of: Mapping[Region, NDArray[np.bool_]]
    weights_of: Mapping[Region, NDArray[np.float64]]
    places: Windows | None
    refine: Mapping[str, Refine]


def judged(
    cases: Iterable[Case], grids: Grids, names: Sequence[str], prepare: Prepare, quantity: Quantity = "mean"
) -> Books:
    """Refine every step by every method and sum up how far each is from the truth.

    Args:
        cases: the steps.
        grids: their cells.
        names: of the methods.
        prepare: makes the methods for a mask; asked again only where the mask of a step is another one.
        quantity: whether a block has the mean of its cells or their sum.
    """
    books = Books(accounts={name: Account() for name in names})
    setting: _Setting | None = None
    for case in cases:
        key = (case.fraction.tobytes(), np.isfinite(case.coarse).tobytes())
        if setting is None or setting.key != key:
            size = None if books.places is None else books.places.size
            setting = _setting(key, case, grids, prepare, size)
        truth_waves = _open(books, case, setting, grids, quantity)
        made = {}
        for name in names:
            fine = setting.refine[name](case.coarse)
            _enter(books.accounts[name], fine, case, setting, grids, quantity, truth_waves)
            made[name] = fine
        if books.shown is None:
            books.shown = (case, made)
    return books


def _setting(
    key: tuple[bytes, bytes], case: Case, grids: Grids, prepare: Prepare, size: tuple[int, int] | None
) -> _Setting:
    given = np.isfinite(case.coarse)
    valid = case.fraction > 0
    ones = grids.sums(np.ones_like(case.fraction))
    whole = given & (grids.sums(valid.astype(np.float64)) == ones)
    inner = interior(whole, is_periodic=grids.fine.x.is_periodic, poles=grids.poles)
    everywhere = given & (grids.sums(case.weights) > 0)
    of: dict[Region, NDArray[np.bool_]] = {
        "interior": inner, "coast": everywhere & ~inner, "all": everywhere
    }  # fmt: skip
    latitudes = grids.fine.y.centres if grids.fine.y.kind == "latitude" else None
    return _Setting(
        key=key,
        coarse_of=of,
        weights_of={name: case.weights * grids.spread(cells) for name, cells in of.items()},
        places=windows(
            valid & grids.spread(given),
            grids.factor,
            latitudes=latitudes,
            is_periodic=grids.fine.x.is_periodic,
            size=size,
        ),
        refine=prepare(case.fraction),
    )


def _open(
    books: Books, case: Case, setting: _Setting, grids: Grids, quantity: Quantity
) -> NDArray[np.float64] | None:
    """Enter the truth of a step; its windows, where there are any."""
    books.steps += 1
    area = grids.sums(case.weights)
    apart = np.where(setting.coarse_of["all"], case.means - case.coarse, 0.0)
    for name in REGIONS:
        cells = setting.coarse_of[name]
        books.coarse_cells[name] += int(cells.sum())
        books.areas[name] += float(setting.weights_of[name].sum())
        books.unexplained[name] += float((area * apart**2)[cells].sum())
    books.farthest = max(books.farthest, float(np.abs(apart).max()))
    books.without_truth += int((np.isfinite(case.coarse) & ~(area > 0)).sum())
    books.total += _integral(case.coarse, area, setting.coarse_of["all"], quantity)
    books.least = min(books.least, float(np.nanmin(case.truth)))
    books.greatest = max(books.greatest, float(np.nanmax(case.truth)))
    books.rows = books.rows + np.stack([case.weights.sum(1), np.nansum(case.weights * case.truth, axis=1)])
    if setting.places is None:
        return None
    books.places = setting.places
    books.windows += len(setting.places.corners)
    cut = setting.places.of(case.truth)
    books.wavelengths, waves = _waves(cut, setting.places, grids)
    books.waves = waves if books.waves is None else books.waves + waves
    return cut


def _enter(
    account: Account,
    fine: Floats,
    case: Case,
    setting: _Setting,
    grids: Grids,
    quantity: Quantity,
    truth_cut: NDArray[np.float64] | None,
) -> None:
    """Enter what a method made of a step."""
    for name in REGIONS:
        account.tallies[name] = tallied(account.tallies[name], fine, case.truth, setting.weights_of[name])
    weights = setting.weights_of["all"]
    counts = weights > 0
    has = np.isfinite(fine)
    account.lost += int((counts & ~has).sum())
    account.total += _integral(fine, weights, counts & has, quantity)
    error = np.where(counts & has, fine.astype(np.float64) - case.truth, 0.0)
    weights = np.where(has, weights, 0.0)
    account.rows = account.rows + np.stack(
        [weights.sum(1), (weights * error).sum(1), (weights * error**2).sum(1)]
    )
    account.means = _worse(account.means, _mean_errors(fine, case, setting, grids, quantity))
    if setting.places is not None and truth_cut is not None:
        cut = setting.places.of(np.where(has, fine, 0.0))
        _, waves = _waves(cut, setting.places, grids)
        _, errors = _waves(cut - truth_cut, setting.places, grids)
        account.waves = waves if account.waves is None else account.waves + waves
        account.errors = errors if account.errors is None else account.errors + errors


def _integral(values: Floats, weights: Floats, where: NDArray[np.bool_], quantity: Quantity) -> float:
    each = values[where].astype(np.float64)
    return float(each @ weights[where]) if quantity == "mean" else float(each.sum())


def _mean_errors(fine: Floats, case: Case, setting: _Setting, grids: Grids, quantity: Quantity) -> MeanErrors:
    """Block means in float64, apart from the methods' own; blocks in which a cell was lost have none."""
    weights = case.weights if quantity == "mean" else (case.weights > 0).astype(np.float64)
    area = grids.sums(weights)
    lost = grids.sums(((case.weights > 0) & ~np.isfinite(fine)).astype(np.float64)) > 0
    sums = grids.sums(fine.astype(np.float64) * weights)
    over = area if quantity == "mean" else np.ones_like(area)
    is_known = (area > 0) & ~lost & setting.coarse_of["all"]
    means = np.divide(sums, over, out=np.full_like(sums, np.nan), where=is_known)
    return mean_errors(means, case.coarse)


def _worse(one: MeanErrors, other: MeanErrors) -> MeanErrors:
    return MeanErrors(largest=max(one.largest, other.largest), relative=max(one.relative, other.relative))


def _waves(cut: NDArray[np.float64], places: Windows, grids: Grids) -> tuple[Waves, Waves]:
    """Wavelengths and powers: along x in the axis' own unit, in any direction in km or a projection's."""
    waves = power(cut)
    dy, dx = abs(grids.fine.y.spacing), abs(grids.fine.x.spacing)
    unit = KM_PER_DEGREE if grids.fine.y.kind == "latitude" else 1.0
    along = zonal(waves, places, spacing=dx)
    any_way = radial(waves, places, spacing=(dy * unit, dx * unit))
    return (
        Waves(zonal=along.wavelength, isotropic=any_way.wavelength),
        Waves(zonal=along.power, isotropic=any_way.power),
    )
