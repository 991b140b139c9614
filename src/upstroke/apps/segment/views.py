"""Turn a volume with its true and its predicted labels into the part of a slice in which they differ most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from upstroke.files.volumes import Volume

__all__ = ["View", "view"]

Ints: TypeAlias = NDArray[np.integer[Any]]

# Values beyond these percentiles are black and white.
BLACK, WHITE = 0.5, 99.5
# Values that the percentiles are taken of.
SAMPLED = 1_000_000
# Sides of the part that is shown, in voxels, and the room around what is outlined, as a part of it.
LEAST, MOST, ROOM = 32, 256, 0.2
# The planes by the axis that they cut, and what stands at the left and at the top of a picture as
# radiologists look at it: the patient's right or front at the left, the front or the head at the top.
PLANES = {"SI": "axial", "AP": "coronal", "RL": "sagittal"}
LEFT_TOP = {"axial": ("R", "A"), "coronal": ("R", "S"), "sagittal": ("A", "S")}
OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What is shown of a case.

    Attributes:
        image: (rows, columns) grey levels, or (rows, columns, 3) colours.
        true: (rows, columns), class numbers, -1 where not counted.
        predicted: likewise.
        spacing: of rows and of columns.
        plane: "axial", "coronal" or "sagittal" where the file says how the patient lies; else None.
        axis: which axis of space the slice cuts; None of a picture.
        index: of the slice along it, from 0.
        slices: how many there are.
        sides: letters of the patient's sides at the left, top, right and bottom; None where not known.
        corner: row and column of the part in the whole slice.
        whole: rows and columns of the whole slice.
        errors: voxels of the whole slice in which the labels differ.
        marks: class numbers with a row and a column well inside the true region of each.
    """

    image: NDArray[np.uint8]
    true: Ints
    predicted: Ints
    spacing: tuple[float, float]
    plane: str | None
    axis: int | None
    index: int
    slices: int
    sides: tuple[str, str, str, str] | None
    corner: tuple[int, int]
    whole: tuple[int, int]
    errors: int
    marks: tuple[tuple[int, float, float], ...]

    def as_picture(self) -> Mapping[str, Any]:
        """The same under names, for a page."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def view(volume: Volume, true: Ints, predicted: Ints) -> View:
    """Choose the slice with the most voxels in which labels differ, and the part of it in which they do.

    A volume is cut across the axis with the longest spacing, as it was taken; where all are alike, across the
    patient's axis from foot to head, or the first. Of slices in which as many voxels differ, such as none in
    any, it is the one with the most voxels that are truly outlined, and of these the first. A slice with an
    affine is turned as radiologists look at it.

    Args:
        volume: the image, (channels, *space).
        true: (*space), class numbers, -1 where not counted.
        predicted: likewise.
    """
    codes = _codes(volume)
    differs = (true != predicted) & (true >= 0)
    axis, index, slices = None, 0, 1
    if true.ndim == 3:
        axis = _through(volume.spacing, codes)
        across = tuple(each for each in range(3) if each != axis)
        errors, outlined = differs.sum(axis=across), (true > 0).sum(axis=across)
        index = max(range(len(errors)), key=lambda at: (errors[at], outlined[at], -at))
        slices = true.shape[axis]
    kept = tuple(each for each in range(true.ndim) if each != axis)
    planes: list[NDArray[Any]] = [
        each if axis is None else np.take(each, [index], axis).squeeze(axis)
        for each in (true, predicted, differs)
    ]
    image = _shown(
        volume.values if axis is None else np.take(volume.values, [index], axis + 1).squeeze(axis + 1),
        volume.values,
    )
    plane = None if codes is None or true.ndim != 3 or axis is None else PLANES[_pair(codes[axis])]
    turn = _Turn.of(plane, codes, kept)
    image, planes = turn(image), [turn(each) for each in planes]
    rows, columns = _part(planes[0], planes[1], planes[2])
    spacing = (volume.spacing[kept[0]], volume.spacing[kept[1]])
    return View(
        image=np.ascontiguousarray(image[rows, columns]),
        true=planes[0][rows, columns],
        predicted=planes[1][rows, columns],
        spacing=(spacing[1], spacing[0]) if turn.is_transposed else spacing,
        plane=plane,
        axis=axis,
        index=index,
        slices=slices,
        sides=turn.sides,
        corner=(rows.start, columns.start),
        whole=(planes[0].shape[0], planes[0].shape[1]),
        errors=int(planes[2].sum()),
        marks=_marks(planes[0][rows, columns]),
    )


@dataclass(frozen=True, kw_only=True)
class _Turn:
    """How a slice is turned to be looked at."""

    is_transposed: bool = False
    flips: tuple[bool, bool] = (False, False)
    sides: tuple[str, str, str, str] | None = None

    @staticmethod
    def of(plane: str | None, codes: tuple[str, ...] | None, kept: tuple[int, ...]) -> "_Turn":
        if plane is None or codes is None:
            return _Turn()
        left, top = LEFT_TOP[plane]
        ends = [codes[each] for each in kept]
        is_transposed = _pair(ends[0]) == _pair(left)
        down, right = reversed(ends) if is_transposed else ends
        return _Turn(
            is_transposed=is_transposed,
            # a code names the side towards which the index grows
            flips=(down == top, right == left),
            sides=(left, top, OPPOSITE[left], OPPOSITE[top]),
        )

    def __call__(self, plane: NDArray[Any]) -> NDArray[Any]:
        turned = plane.swapaxes(0, 1) if self.is_transposed else plane
        for axis, is_flipped in enumerate(self.flips):
            turned = np.flip(turned, axis) if is_flipped else turned
        return turned


def _codes(volume: Volume) -> tuple[str, ...] | None:
    """Towards which side of the patient each axis of space runs; None where the file does not say."""
    if volume.affine is None:
        return None
    from nibabel.orientations import aff2axcodes

    codes: tuple[str, ...] = tuple(aff2axcodes(volume.affine))  # type: ignore[no-untyped-call]
    return codes if all(each in OPPOSITE for each in codes) else None


def _pair(code: str) -> str:
    """The pair of sides that a code is one of.

    >>> _pair("L"), _pair("I")
    ('RL', 'SI')
    """
    return next(pair for pair in PLANES if code in pair)


def _through(spacing: tuple[float, ...], codes: tuple[str, ...] | None) -> int:
    """The axis that slices are cut across."""
    longest = max(spacing)
    axes = [axis for axis, each in enumerate(spacing) if each > 0.99 * longest]
    if len(axes) > 1 and codes is not None:
        axes.sort(key=lambda axis: codes[axis] not in "SI")
    return axes[0]


def _shown(slice_: NDArray[Any], values: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey levels of the first channel, by percentiles of the whole volume, or the colours of a picture."""
    if values.dtype == np.uint8 and len(values) == 3:
        return np.moveaxis(slice_, 0, -1)
    every = values[0].ravel()[:: max(1, values[0].size // SAMPLED)]
    low, high = (float(each) for each in np.percentile(every.astype(np.float64), (BLACK, WHITE)))
    span = high - low or 1.0
    return np.asarray(np.clip((slice_[0] - low) / span, 0, 1) * 255 + 0.5, dtype=np.uint8)


def _part(true: Ints, predicted: Ints, differs: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns of what is outlined, or of where most differs if that is larger than can be shown."""
    outlined = (true > 0) | (predicted > 0)
    if not outlined.any():
        outlined = np.ones_like(outlined)
    spans = []
    for axis in range(2):
        places = np.flatnonzero(outlined.any(axis=1 - axis))
        first, last = int(places[0]), int(places[-1]) + 1
        room = max(round(ROOM * (last - first)), (LEAST - (last - first) + 1) // 2, 2)
        spans.append((max(first - room, 0), min(last + room, outlined.shape[axis])))
    if max(end - start for start, end in spans) > MOST:
        spans = _densest(differs if differs.any() else outlined, spans)
    return slice(*spans[0]), slice(*spans[1])


def _densest(mask: NDArray[np.bool_], spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The window of at most so many voxels a side, within these spans, that has the most of a mask."""
    (top, bottom), (left, right) = spans
    sums = np.pad(mask[top:bottom, left:right].cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    high, wide = min(MOST, bottom - top), min(MOST, right - left)
    held = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    row, column = (int(each) for each in np.unravel_index(int(np.argmax(held)), held.shape))
    return [(top + row, top + row + high), (left + column, left + column + wide)]


def _marks(true: Ints) -> tuple[tuple[int, float, float], ...]:
    """For each class but the background the middle of the voxel that lies deepest in its region."""
    from scipy.ndimage import distance_transform_edt

    found = []
    for number in np.unique(true[true > 0]).tolist():
        depth = distance_transform_edt(np.pad(true == number, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
        found.append((int(number), float(row) + 0.5, float(column) + 0.5))
    return tuple(found)
