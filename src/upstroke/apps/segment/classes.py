"""Values in mask files become class numbers, 0 for the background, and the other way round."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import FileError, OptionError, listed
from upstroke.files.volumes import COLOUR, Volume, smallest_integers

__all__ = ["MOST_CLASSES", "Classes", "inferred_classes"]

# Atlases of the brain have some hundred labels; a photograph, or a mask saved with loss, has all 256 values.
MOST_CLASSES = 200
# Of a long list of values, this many are named in a message.
NAMED = 8


@dataclass(frozen=True, kw_only=True)
class Classes:
    """What the values in mask files mean: class k has the value `values[k]` and the name `names[k]`.

    >>> classes = Classes(values=(0, 255), names=("background", "membrane"))
    >>> classes.numbers(np.array([[0, 255, 255]]))
    array([[0, 1, 1]])
    >>> classes.values_of(np.array([[0, 1, 1]]))
    array([[  0, 255, 255]], dtype=uint8)
    """

    values: tuple[int, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse classes that cannot be told apart."""
        if len(self.values) < 2:
            msg = f"a segmentation needs two classes or more; got the values {self.values}; name both"
            raise OptionError(msg)
        if len(self.names) != len(self.values):
            msg = f"every class needs one name; got {len(self.names)} names for {len(self.values)} values"
            raise OptionError(msg)
        for what in (self.values, self.names):
            if len(set(what)) != len(what):
                msg = f"classes must differ from each other; got {', '.join(map(str, what))}; name each once"
                raise OptionError(msg)

    @property
    def count(self) -> int:
        """How many classes there are, background included."""
        return len(self.values)

    def numbers(self, labels: Volume | NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Class numbers 0 .. count - 1, on the axes of space.

        Args:
            labels: values as they stand in files: an array of any shape, or a mask that was read,
                (1, *space), whose one channel is dropped.

        Raises:
            FileError: a mask that was read holds a value of no class.
            OptionError: so does an array.
        """
        values = labels.values[0] if isinstance(labels, Volume) else labels
        order = np.argsort(self.values)
        ordered = np.asarray(self.values, dtype=np.int64)[order]
        places = np.minimum(np.searchsorted(ordered, values), self.count - 1)
        wrong = ordered[places] != values
        if wrong.any():
            where = f"{labels.path}: " if isinstance(labels, Volume) else ""
            known = ", ".join(
                f"{value} ({name})" for value, name in zip(self.values, self.names, strict=True)
            )
            msg = (
                f"{where}labels must be one of {known}; {int(wrong.sum())} voxels have "
                f"{_listed(np.unique(values[wrong]))}; correct the mask, or train with masks that have them"
            )
            raise FileError(msg) if isinstance(labels, Volume) else OptionError(msg)
        return np.asarray(order[places], dtype=np.int64)

    def values_of(self, numbers: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
        """Values as they stand in files, in the smallest integers that hold all of them.

        Raises:
            OptionError: a number is that of no class.
        """
        if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < self.count:
            msg = f"class numbers are 0 to {self.count - 1}; got {int(numbers.min())} to {int(numbers.max())}"
            raise OptionError(msg)
        values: NDArray[np.integer[Any]] = np.asarray(
            self.values, dtype=smallest_integers(min(self.values), max(self.values))
        )[numbers]
        return values

    def as_json(self) -> dict[str, Any]:
        """Plain data, from which `from_json` makes the same classes."""
        return {"values": list(self.values), "names": list(self.names)}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> "Classes":
        """Classes as `as_json` wrote them.

        Raises:
            OptionError: the record holds something else.
        """
        values, names = record.get("values", ()), record.get("names", ())
        if not _is_list_of(values, int) or not _is_list_of(names, str):
            msg = f"classes must be lists of whole values and of names; got {dict(record)!r}; train again"
            raise OptionError(msg)
        return Classes(values=tuple(values), names=tuple(names))


def inferred_classes(values: Iterable[int], names: Mapping[int, str] | None = None) -> Classes:
    """Classes of all values that masks hold: in order, 0 or else the least of them the background.

    Args:
        values: every value that occurs.
        names: what some of them are called, also of values that do not occur; the others are called
            "background", "foreground" where there are two, and "class 3" and so on by their value.

    Raises:
        OptionError: fewer than two values, or more than any set of classes has.

    >>> inferred_classes({255, 0})
    Classes(values=(0, 255), names=('background', 'foreground'))
    >>> inferred_classes([0, 1, 2], {1: "Anterior", 2: "Posterior"}).names
    ('background', 'Anterior', 'Posterior')
    """
    known = dict(names or {})
    ordered = sorted({int(value) for value in values} | set(known))
    if len(ordered) > MOST_CLASSES:
        msg = (
            f"masks hold one whole number per class, at most {MOST_CLASSES}; got {len(ordered)} values from "
            f"{ordered[0]} to {ordered[-1]}; these look like pictures, not masks"
        )
        raise OptionError(msg)
    if len(ordered) < 2:
        has = f"only the value {ordered[0]}" if ordered else "no values"
        msg = f"masks must hold two classes or more; they hold {has}; outline something in them"
        raise OptionError(msg)
    background = 0 if 0 in ordered else ordered[0]
    ordered.remove(background)
    if len(ordered) == 1 and ordered[0] < COLOUR:
        known.setdefault(ordered[0], "foreground")
    known.setdefault(background, "background")
    all_values = (background, *ordered)
    return Classes(
        values=all_values,
        names=tuple(_told_apart([known.get(v, _name_of(v)) for v in all_values], all_values)),
    )


def _name_of(value: int) -> str:
    """What a class is called of which nothing but its value is known; that of a colour is its code."""
    return f"#{value - COLOUR:06x}" if value >= COLOUR else f"class {value}"


def _told_apart(names: list[str], values: tuple[int, ...]) -> list[str]:
    """Names with their value behind them where two are the same."""
    return [
        f"{name} {value}" if names.count(name) > 1 else name
        for name, value in zip(names, values, strict=True)
    ]


def _listed(values: NDArray[Any]) -> str:
    """Values in words, the first few where there are many."""
    return f"the value{'s' if len(values) > 1 else ''} {listed(values.tolist(), most=NAMED)}"


def _is_list_of(given: object, kind: type) -> bool:
    return isinstance(given, list | tuple) and all(
        isinstance(one, kind) and not isinstance(one, bool) for one in given
    )
