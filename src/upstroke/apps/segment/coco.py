"""COCO annotations become masks: a pixel belongs to the outline that its centre lies in."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import FileError, first_line, listed

__all__ = ["Outline", "Polygons", "annotated", "filled", "read_coco"]

# COCO's packed runs: five bits a character, counted from "0", a sixth where more follow.
FIRST, BITS, MORE, SIGN = 48, 5, 32, 16
# No corner lies so far away, and no picture has so many pixels; both leave room in the numbers that follow.
FARTHEST, MOST_PIXELS = 2**30, 2**30


@dataclass(frozen=True, kw_only=True)
class Outline:
    """One annotated object, or a crowd of them.

    Attributes:
        value: its label.
        rings: closed polygons x0, y0, x1, y1, ... whose union it is; (0, 0) is the corner of the first pixel.
        runs: or else, lengths of runs of other and own pixels in turn, down the columns.
    """

    value: int
    rings: tuple[tuple[int | float, ...], ...] = ()
    runs: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Polygons:
    """All outlines of one picture of `size` (rows, columns), in the order in which they are drawn."""

    source: Path
    size: tuple[int, int]
    outlines: tuple[Outline, ...]

    def labels(self) -> NDArray[np.int64]:
        """The mask, (rows, columns): 0 where no outline is; where several are, the last one annotated."""
        mask = np.zeros(self.size, dtype=np.int64)
        for outline in self.outlines:
            if outline.runs:
                mask[_of_runs(outline.runs, self.size)] = outline.value
            for ring in outline.rings:
                mask[filled(ring, self.size)] = outline.value
        return mask


def filled(ring: Sequence[int | float], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which pixels have their centre (column + 0.5, row + 0.5) in a closed polygon.

    A ring that crosses itself is filled by the even-odd rule. A centre on the outline counts as inside on the
    left and the top of it and as outside on the right and the bottom, so that polygons with a common edge
    share no pixel and leave none out.

    Args:
        ring: x0, y0, x1, y1, ...; it may reach beyond the picture.
        size: rows and columns.

    >>> filled([1, 0, 3, 0, 3, 2, 1, 2], (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    rows, columns = size
    corners = np.asarray(ring, dtype=np.float64).reshape(-1, 2)
    crossings = np.zeros((rows, columns + 1), dtype=np.int64)
    for one, other in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # From top to bottom, so that two polygons compute a common edge alike.
        (left, top), (right, bottom) = sorted((one, other), key=lambda corner: (corner[1], corner[0]))
        first, end = (int(np.clip(np.ceil(edge - 0.5), 0, rows)) for edge in (top, bottom))
        if first >= end:
            continue
        row = np.arange(first, end)
        # The first centre that is not left of the edge; for whole and half corners a tie is exact in floats.
        rise, run = bottom - top, (right - left) * (row + 0.5 - top)
        column = np.ceil(np.clip(left + run / rise, -1, columns + 1) - 0.5).astype(np.int64)
        np.add.at(crossings, (row, np.clip(column, 0, columns)), 1)
    inside: NDArray[np.bool_] = np.cumsum(crossings[:, :columns], axis=1) % 2 == 1
    return inside


def read_coco(path: Path) -> tuple[dict[str, Polygons], dict[int, str]]:
    """Read the outlines of every picture by its file name, and the names of their labels.

    Categories are numbered from 1 in the order of their ids, because 0 is the background here and an
    id like any other in COCO; a category that only heads others and outlines nothing is left out. One that
    heads itself is none of these, so that two parts of a data set number theirs alike.

    Raises:
        FileError: the file is no COCO file of outlines, or contradicts itself; the sentence says where.
    """
    record = _record(path)
    images = _by_id(path, record["images"], "images")
    used = {_id(annotation, "category_id") for annotation in record["annotations"]}
    categories = _by_id(path, record["categories"], "categories")
    kept = [number for number in sorted(categories) if number in used or not _heads(number, categories)]
    values = {number: place for place, number in enumerate(kept, start=1)}
    outlines: dict[Any, list[Outline]] = {number: [] for number in images}
    sizes = {number: _size(path, image) for number, image in images.items()}
    for annotation in record["annotations"]:
        image, category = _id(annotation, "image_id"), _id(annotation, "category_id")
        if image not in images or category not in values:
            key = "image_id" if image not in images else "category_id"
            what = f"{key.removesuffix('_id')} {annotation.get(key)}"
            msg = (
                f"{path}: annotation {annotation.get('id')} speaks of {what}, which is missing; export again"
            )
            raise FileError(msg)
        outlines[image].append(_outline(path, annotation, values[category], sizes[image]))
    found = {
        str(image["file_name"]): Polygons(source=path, size=sizes[number], outlines=tuple(outlines[number]))
        for number, image in images.items()
    }
    if len(found) != len(images):
        msg = f"{path}: two of its {len(images)} images have the same file name; export it again"
        raise FileError(msg)
    return found, {value: str(categories[number].get("name", number)) for number, value in values.items()}


def annotated(path: Path) -> tuple[dict[Path, Polygons], dict[int, str]]:
    """The outlines of every picture that a COCO file speaks of, by the path where the picture lies.

    Pictures lie beside the file, or in a folder `images` there, or as in COCO's own archives in the folder
    that is called like the file (`annotations/instances_val2017.json`: `val2017`), or as CVAT exports them
    in a folder `images` beside that of the file.

    Raises:
        FileError: as `read_coco`; also where pictures are missing, which are named.
    """
    outlines, names = read_coco(path)
    part = path.name.removesuffix(".json").removeprefix("instances_")
    folders = [
        path.parent,
        path.parent / "images",
        path.parent.parent / part,
        path.parent.parent / "images" / part,
    ]
    if path.parent.name == "annotations":
        folders.append(path.parent.parent / "images")
    found, missing = {}, []
    for file, polygons in outlines.items():
        if Path(file).is_absolute() or ".." in Path(file).parts:
            msg = f"{path}: the picture {file} lies outside of its folder; put pictures beside the file"
            raise FileError(msg)
        place = next((folder / file for folder in folders if (folder / file).is_file()), None)
        if place is None:
            missing.append(file)
        else:
            found[place] = polygons
    if missing:
        count = f"{len(missing)} of its {len(outlines)}"
        msg = f"{path}: {count} pictures are not there ({listed(missing)}); copy them beside it"
        raise FileError(msg)
    return found, names


def _record(path: Path) -> dict[str, Any]:
    """The whole of the file, with the three lists that COCO has."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{path} is not a whole JSON file: {first_line(error)}; export it again"
        raise FileError(msg) from error
    for key in ("images", "annotations", "categories"):
        rows = record.get(key) if isinstance(record, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            msg = f"{path} must be a COCO file of outlines; it lists no {key}; export it as COCO segmentation"
            raise FileError(msg)
    return dict(record)


def _by_id(path: Path, rows: Sequence[Mapping[str, Any]], what: str) -> dict[Any, Mapping[str, Any]]:
    """Rows by their id, which must be a whole number and nobody else's."""
    found: dict[Any, Mapping[str, Any]] = {}
    for row in rows:
        number = row.get("id")
        if not isinstance(number, int) or number in found:
            wrong = "twice" if number in found else "and ids are whole numbers"
            msg = f"{path}: its {what} have the id {number!r} {wrong}; export it again"
            raise FileError(msg)
        found[number] = row
    return found


def _heads(number: Any, categories: Mapping[Any, Mapping[str, Any]]) -> bool:  # noqa: ANN401 - of any hash
    """Whether a category is there for the sake of others below it, such as Roboflow's first one."""
    name = categories[number].get("name")
    below = [row for other, row in categories.items() if other != number and row.get("supercategory") == name]
    return bool(below) and categories[number].get("supercategory") != name


def _id(row: Mapping[str, Any], key: str) -> int | None:
    """What a row refers to; None, which nothing has, where that is no whole number."""
    number = row.get(key)
    return number if isinstance(number, int) else None


def _size(path: Path, image: Mapping[str, Any]) -> tuple[int, int]:
    rows, columns = image.get("height"), image.get("width")
    whole = isinstance(rows, int) and isinstance(columns, int) and rows > 0 and columns > 0
    if not whole or not isinstance(image.get("file_name"), str):
        msg = f"{path}: image {image.get('id')} needs file_name, height and width; export it again"
        raise FileError(msg)
    size = int(rows or 0), int(columns or 0)
    if math.prod(size) > MOST_PIXELS:
        msg = f"{path}: image {image.get('id')} has more than {MOST_PIXELS} pixels, {columns}x{rows}; cut it"
        raise FileError(msg)
    return size


def _outline(path: Path, annotation: Mapping[str, Any], value: int, size: tuple[int, int]) -> Outline:
    """One annotation, checked against the size of its picture."""
    where, shape = f"{path}: annotation {annotation.get('id')}", annotation.get("segmentation")
    if isinstance(shape, Mapping):
        return Outline(value=value, runs=_runs(where, shape, size))
    if not isinstance(shape, list) or not shape:
        msg = f"{where} has no outline, only a box perhaps; export it as COCO segmentation"
        raise FileError(msg)
    for ring in shape:
        if not isinstance(ring, list) or len(ring) < 6 or len(ring) % 2 or not all(map(_is_number, ring)):
            msg = f"{where} must have polygons of three corners or more, x and y in turn; export it again"
            raise FileError(msg)
        corners = np.asarray(ring, dtype=np.float64).reshape(-1, 2)
        if (corners.max(axis=0) < 0).any() or (corners.min(axis=0) > size[::-1]).any():
            box = ", ".join(f"{number:g}" for number in (*corners.min(axis=0), *corners.max(axis=0)))
            msg = (
                f"{where} lies outside of its picture of {size[1]}x{size[0]} pixels ({box}); export it again"
            )
            raise FileError(msg)
    return Outline(value=value, rings=tuple(tuple(map(float, ring)) for ring in shape))


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and abs(given) <= FARTHEST


def _runs(where: str, shape: Mapping[str, Any], size: tuple[int, int]) -> tuple[int, ...]:
    """Runs of either form, which must fill the picture exactly."""
    counts = shape.get("counts")
    runs = _unpacked(counts) if isinstance(counts, str) else counts
    whole = isinstance(runs, list) and all(isinstance(run, int) and run >= 0 for run in runs)
    if not whole or shape.get("size") != list(size) or sum(runs or ()) != size[0] * size[1]:
        msg = f"{where} must have runs that fill its picture of {size[1]}x{size[0]} pixels; export it again"
        raise FileError(msg)
    return tuple(runs or ())


def _unpacked(packed: str) -> list[int] | None:
    """COCO's packed runs; from the fourth on, differences from the run before the last."""
    runs: list[int] = []
    number = shift = 0
    for character in packed:
        bits = ord(character) - FIRST
        number |= (bits & (MORE - 1)) << shift
        shift += BITS
        if bits & MORE:
            continue
        if bits & SIGN:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    return None if shift else runs


def _of_runs(runs: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    own = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return own.reshape(size[::-1]).T
