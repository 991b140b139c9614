"""Cases become an account of what they hold, or one sentence about what cannot be used."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from upstroke.apps.segment.cases import Case, check_pair
from upstroke.apps.segment.classes import MOST_CLASSES, Classes, inferred_classes
from upstroke.apps.segment.coco import Polygons
from upstroke.axes import times
from upstroke.errors import FileError, OptionError
from upstroke.files.volumes import Volume

__all__ = ["Extent", "Survey", "survey"]

# Of many cases that cannot be used, so many are explained.
EXPLAINED = 3


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Least, median and largest of a number along each axis of space; the median is one of them."""

    least: tuple[int | float, ...]
    median: tuple[int | float, ...]
    largest: tuple[int | float, ...]

    def as_json(self) -> dict[str, list[int | float]]:
        """Plain data."""
        return {"least": list(self.least), "median": list(self.median), "largest": list(self.largest)}


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What the files of a data set hold.

    Attributes:
        cases: how many.
        groups: how many.
        ndim: axes of space, 2 or 3.
        channels: of every image.
        sizes: voxels.
        spacing: of voxels, in `unit`.
        unit: of spacing; "pixel" where files state none.
        classes: of the masks; None where there are no masks.
        masks: how many voxels each class has in the mask of each case, in the order of the cases; none where
            there are no masks.
        intensity: least and largest value of any image.
        notes: what was decided or left out on reading, with the number of cases.
    """

    cases: int
    groups: int
    ndim: int
    channels: int
    sizes: Extent
    spacing: Extent
    unit: str
    classes: Classes | None
    masks: tuple[tuple[int, ...], ...]
    intensity: tuple[float, float]
    notes: tuple[str, ...]

    @property
    def voxels(self) -> tuple[int, ...]:
        """How many voxels each class has in all masks together."""
        return tuple(sum(counts) for counts in zip(*self.masks, strict=True))

    @property
    def empty(self) -> int:
        """How many masks hold the background alone."""
        return sum(not any(counts[1:]) for counts in self.masks)

    def as_json(self) -> dict[str, Any]:
        """Plain data: a class with its value, name, voxels and their share."""
        total = sum(self.voxels)
        names = zip(self.classes.values, self.classes.names, self.voxels, strict=True) if self.classes else ()
        return {
            "cases": self.cases,
            "groups": self.groups,
            "ndim": self.ndim,
            "channels": self.channels,
            "sizes": self.sizes.as_json(),
            "spacing": self.spacing.as_json(),
            "unit": self.unit,
            "classes": [
                {"value": value, "name": name, "voxels": voxels, "share": voxels / total}
                for value, name, voxels in names
            ],
            "empty": self.empty,
            "intensity": list(self.intensity),
            "notes": list(self.notes),
        }


@dataclass
class _Seen:
    """What has been read so far."""

    sizes: list[tuple[int, ...]] = field(default_factory=list)
    spacings: list[tuple[float, ...]] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    least: list[float] = field(default_factory=list)
    largest: list[float] = field(default_factory=list)
    masks: list[dict[int, int]] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    first: tuple[Path, int, int] | None = None


def survey(
    cases: Sequence[Case],
    *,
    least: Sequence[int] | None = None,
    classes: Classes | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Read every file once, refuse what cannot be used, and count what is there.

    Args:
        cases: with masks, or all without.
        least: the smallest size that can be used, per axis.
        classes: what masks may hold; otherwise what the data declares, otherwise whatever they hold.
        progress: called with how many cases have been read, and of how many.

    Raises:
        FileError: cases cannot be used: damaged files, values that are not finite, masks of another size or
            place than their image, labels of no class, images that differ in axes or channels from the
            first or are too small. The first three are explained, the others counted. Or all masks have
            one class only, or parts of the data name classes differently.
        OptionError: there are no cases.
    """
    if not cases:
        msg = "a survey needs one case or more; got none; name a folder that has images"
        raise OptionError(msg)
    declared = _declared(cases)
    seen, wrong = _Seen(), []
    for place, case in enumerate(cases, start=1):
        try:
            _look(case, seen, least=least, classes=classes or declared)
        except FileError as error:
            wrong.append(str(error))
        if progress is not None:
            progress(place, len(cases))
    if wrong:
        raise FileError(_together(wrong, len(cases)))
    found = _classes(seen, classes, declared) if seen.masks else None
    return Survey(
        cases=len(cases),
        groups=len({case.group for case in cases}),
        ndim=len(seen.sizes[0]),
        channels=seen.first[1] if seen.first else 0,
        sizes=_extent(seen.sizes),
        spacing=_extent(seen.spacings),
        unit=seen.units[0] if len(set(seen.units)) == 1 else "mixed",
        classes=found,
        masks=tuple(tuple(mask.get(v, 0) for v in found.values) for mask in seen.masks) if found else (),
        intensity=(min(seen.least), max(seen.largest)),
        notes=tuple(f"{note} ({count} of {len(cases)} cases)" for note, count in seen.notes.items()),
    )


def _look(case: Case, seen: _Seen, *, least: Sequence[int] | None, classes: Classes | None) -> None:
    """Read one case, refuse it or add it to what has been seen."""
    image = case.read()
    low, high = float(image.values.min()), float(image.values.max())
    # NaN and infinity come through least and largest
    if not np.isfinite([low, high]).all():
        bad = int((~np.isfinite(image.values)).sum())
        many = f"{bad} of its {image.values.size} voxels"
        msg = f"{image.path} must hold finite values; {many} are NaN or infinite; fill them"
        raise FileError(msg)
    if seen.first is None:
        seen.first = (image.path, len(image.values), image.ndim)
    _check_alike(image, *seen.first)
    _check_size(image, least)
    counts = None
    if case.label is not None:
        mask = case.read_labels()
        counts = _counted(case, image, mask, classes)
        seen.masks.append(counts)
        for note in mask.notes:
            seen.notes[f"masks: {note}"] = seen.notes.get(f"masks: {note}", 0) + 1
    for note in image.notes:
        seen.notes[note] = seen.notes.get(note, 0) + 1
    seen.sizes.append(image.size)
    seen.spacings.append(image.spacing)
    seen.units.append(image.unit)
    seen.least.append(low)
    seen.largest.append(high)


def _check_alike(image: Volume, first: Path, channels: int, ndim: int) -> None:
    """Refuse an image that no network could take that takes the first one."""
    if image.ndim != ndim:
        msg = (
            f"{image.path} must have {ndim} axes of space as {first} has; it has {image.ndim}; take one away"
        )
        raise FileError(msg)
    if len(image.values) != channels:
        has = f"{len(image.values)} channels" if len(image.values) > 1 else "1 channel"
        msg = f"{image.path} must have as many channels as {first}, {channels}; it has {has}; convert one"
        raise FileError(msg)


def _check_size(image: Volume, least: Sequence[int] | None) -> None:
    if least is not None and any(size < wanted for size, wanted in zip(image.size, least, strict=True)):
        msg = (
            f"{image.path} must have {times(least)} voxels or more for this network; it has "
            f"{times(image.size)}; take it away or choose fewer levels"
        )
        raise FileError(msg)


def _counted(case: Case, image: Volume, mask: Volume, classes: Classes | None) -> dict[int, int]:
    """How many voxels each label has, once the mask is known to fit."""
    check_pair(case, image, mask)
    values, counts = np.unique(mask.values, return_counts=True)
    if len(values) > MOST_CLASSES:
        msg = (
            f"{mask.path} must be a mask, one whole number per class; it holds {len(values)} values, "
            f"{values[0]} to {values[-1]} as a picture does; save the mask without smoothing or shading"
        )
        raise FileError(msg)
    if classes is not None:
        classes.numbers(mask)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def _declared(cases: Sequence[Case]) -> Classes | None:
    """Classes that the data names, where it names any beside the background.

    Raises:
        FileError: two parts of the data have different names for one value.
    """
    names: dict[int, str] = {}
    first: dict[int, Case] = {}
    for case in cases:
        for value, name in case.names:
            if names.setdefault(value, name) != name:
                msg = (
                    f"all parts of the data must name classes alike; {_source(first[value])} calls the value "
                    f"{value} {names[value]} and {_source(case)} calls it {name}; give both one list"
                )
                raise FileError(msg)
            first.setdefault(value, case)
    return inferred_classes({0}, names) if names and set(names) != {0} else None


def _source(case: Case) -> str:
    """What says how the classes of a case are called, or else the case."""
    return str(case.label.source) if isinstance(case.label, Polygons) else case.name


def _classes(seen: _Seen, given: Classes | None, declared: Classes | None) -> Classes:
    """The classes of all masks; one class alone is refused."""
    held = {value for mask in seen.masks for value in mask}
    if len(held) < 2:
        msg = (
            f"masks must hold two classes or more; all {len(seen.masks)} hold only the value {min(held)}; "
            "outline something in them"
        )
        raise FileError(msg)
    if given is not None:
        return given
    try:
        return declared or inferred_classes(held)
    except OptionError as error:
        raise FileError(str(error)) from error


def _together(wrong: list[str], cases: int) -> str:
    """One message of all that is wrong: the first few sentences and the number."""
    if len(wrong) == 1:
        return wrong[0]
    more = f"; and {len(wrong) - EXPLAINED} more" if len(wrong) > EXPLAINED else ""
    return f"{len(wrong)} of {cases} cases cannot be used: " + "; ".join(wrong[:EXPLAINED]) + more


def _extent(rows: Sequence[tuple[int | float, ...]]) -> Extent:
    ordered = [sorted(axis) for axis in zip(*rows, strict=True)]
    return Extent(
        least=tuple(axis[0] for axis in ordered),
        median=tuple(axis[(len(axis) - 1) // 2] for axis in ordered),
        largest=tuple(axis[-1] for axis in ordered),
    )
