"""Turn samples and real pictures into how varied either are, and how near samples lie to what was trained on.

Pictures are rows of numbers: their pixels, or what a feature network says of them. A generator that has
collapsed gives samples nearer to each other than real pictures are; one that has learned by heart gives
samples nearer to pictures of its training than other real pictures lie (Meehan, Chaudhuri and Dasgupta, "A
non-parametric test to detect data-copying in generative models", AISTATS 2020).
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Real
from numpy.typing import NDArray
from torch import Tensor

from upstroke.errors import OptionError, ShapeError

__all__ = [
    "BLUR",
    "Diversity",
    "Neighbours",
    "Repeats",
    "copies",
    "diversity",
    "nearest_neighbours",
    "pixel_rows",
    "repeated",
]

# Standard deviation in pixels of the blur before pixels are compared: noise and a shift by a pixel, which
# eyes do not see, would else outweigh what they do.
BLUR = 1.0
# Standard deviations that a blur reaches.
REACH = 3
# Rows of either side that are compared at a time.
AT_ONCE = 512
# Pictures that are blurred at a time.
BLURRED = 256


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """How varied samples are beside real pictures.

    Attributes:
        samples: mean distance of two different samples, in the unit of the rows.
        real: that of two different real pictures.
        ratio: the one by the other; 1 for samples as varied, 0 for one sample again and again; None where all
            real pictures are one.
        error: standard error of the ratio, from the spread over pictures.
        counts: samples and real pictures.
    """

    samples: float
    real: float
    ratio: float | None
    error: float | None
    counts: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "samples": self.samples,
            "real": self.real,
            "ratio": self.ratio,
            "error": self.error,
            "counts": list(self.counts),
        }


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """How often pictures of a set are the same byte for byte.

    Attributes:
        pictures: all of them.
        distinct: how many are left when each is taken once.
        most: how often the most frequent one comes.
        first: for each picture, the first that is the same.
    """

    pictures: int
    distinct: int
    most: int
    first: NDArray[np.int64]

    def as_json(self) -> dict[str, Any]:
        """Plain data, without which equals which."""
        return {"pictures": self.pictures, "distinct": self.distinct, "most": self.most}


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The picture of the training that is nearest to each sample, beside how near real pictures lie.

    Attributes:
        index: (samples,), the nearest picture of the training.
        distance: (samples,), how far it is, in the unit of the rows.
        real_distance: how far real pictures are from their nearest picture of the training.
        is_held_out: whether those real pictures took no part in the training; else each picture of the
            training is compared with all others of it.
    """

    index: NDArray[np.int64]
    distance: NDArray[np.float64]
    real_distance: NDArray[np.float64]
    is_held_out: bool

    @property
    def ratio(self) -> float | None:
        """Median distance of samples by that of real pictures; far below 1: learned by heart.

        None where half of the real pictures lie at no distance.
        """
        real = float(np.median(self.real_distance))
        return float(np.median(self.distance)) / real if real else None

    @property
    def nearer(self) -> float:
        """Chance that a sample lies nearer to the training than a real picture; ties count half.

        1/2 for samples like real pictures, towards 1 where they were learned by heart, towards 0 where they
        lie away from all that is real. It is the Mann-Whitney statistic by the product of the two counts.
        """
        ordered = np.sort(self.real_distance)
        below, upto = (np.searchsorted(ordered, self.distance, side=side) for side in ("left", "right"))
        farther = len(ordered) - (below + upto) / 2
        return float(farther.mean() / len(ordered))

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "ratio": self.ratio,
            "nearer": self.nearer,
            "is_held_out": self.is_held_out,
            "samples": [
                {"index": int(index), "distance": float(distance)}
                for index, distance in zip(self.index, self.distance, strict=True)
            ],
            "real": {
                str(level): float(np.quantile(self.real_distance, level / 100))
                for level in (0, 5, 25, 50, 75, 95, 100)
            },
        }


def pixel_rows(pictures: NDArray[np.uint8], *, blur: float = BLUR) -> Float[Tensor, "pictures numbers"]:
    """Pixels of pictures (pictures, channels, y, x) as rows whose distance is in levels of 0 to 255.

    It is the root of the mean squared difference over pixels and channels, after a Gaussian blur whose
    standard deviation is given in pixels; beyond the sides the picture is taken to be mirrored.

    >>> black, grey = np.zeros((1, 3, 4, 6), np.uint8), np.full((1, 3, 4, 6), 7, np.uint8)
    >>> round((pixel_rows(grey) - pixel_rows(black)).norm().item(), 4)
    7.0
    """
    if not blur >= 0:
        msg = f"the blur is a standard deviation in pixels, 0 or more; got {blur:g}"
        raise OptionError(msg)
    _, channels, *size = pictures.shape
    parts = [
        _blurred(torch.from_numpy(pictures[start : start + BLURRED]).float(), blur).flatten(1)
        for start in range(0, len(pictures), BLURRED)
    ]
    return torch.cat(parts) / math.sqrt(channels * math.prod(size))


def repeated(pictures: NDArray[np.uint8]) -> Repeats:
    """Find pictures that are the same byte for byte.

    >>> repeated(np.array([3, 5, 3, 3], dtype=np.uint8).reshape(4, 1, 1, 1)).first
    array([0, 1, 0, 0])
    """
    seen: dict[bytes, int] = {}
    first = [seen.setdefault(_mark(each), index) for index, each in enumerate(pictures)]
    return Repeats(
        pictures=len(pictures),
        distinct=len(seen),
        most=max(Counter(first).values(), default=0),
        first=np.array(first, dtype=np.int64),
    )


def copies(samples: NDArray[np.uint8], training: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each sample the picture of the training that it equals byte for byte, or -1.

    >>> copies(np.array([[2], [9]], dtype=np.uint8), np.array([[7], [2]], dtype=np.uint8))
    array([ 1, -1])
    """
    known: dict[bytes, int] = {}
    for index, each in enumerate(training):
        known.setdefault(_mark(each), index)
    return np.array([known.get(_mark(each), -1) for each in samples], dtype=np.int64)


def diversity(samples: Real[Tensor, "samples numbers"], real: Real[Tensor, "real numbers"]) -> Diversity:
    """Mean distance of two samples against that of two real pictures.

    The standard error of a mean m over pairs is 2 sd(h) / sqrt(n), with h the mean distance of each picture
    from all others, as for every statistic of pairs (Hoeffding 1948).

    Args:
        samples: a row for each.
        real: likewise.

    Raises:
        OptionError: fewer than two pictures in a set.
        ShapeError: rows that differ in length.

    >>> diversity(torch.tensor([[0.0], [3.0]]), torch.tensor([[0.0], [2.0], [4.0]])).ratio
    1.125
    """
    _check_lengths(samples, real)
    if min(len(samples), len(real)) < 2:
        msg = (
            f"at least 2 pictures of each set are needed for a distance of two; got {len(samples)} and "
            f"{len(real)}"
        )
        raise OptionError(msg)
    means, errors = zip(*(_mean_distance(each) for each in (samples, real)), strict=True)
    ratio = error = None
    if means[1] > 0:
        ratio = means[0] / means[1]
        error = math.hypot(errors[0], ratio * errors[1]) / means[1]
    return Diversity(
        samples=means[0], real=means[1], ratio=ratio, error=error, counts=(len(samples), len(real))
    )


def nearest_neighbours(
    samples: Real[Tensor, "samples numbers"],
    training: Real[Tensor, "rows numbers"],
    *,
    held_out: Real[Tensor, "held_out numbers"] | None = None,
    views: int = 1,
) -> Neighbours:
    """Find the picture of the training that is nearest to each sample, and how near real pictures lie.

    Args:
        samples: a row for each.
        training: a row for each picture; then, if there are several views of each (mirrored ones, where
            training mirrors pictures), a row for each in the same order for every further view.
        held_out: real pictures that took no part in the training; without any, each picture of the training
            is compared with all others.
        views: how many rows of the training are of one picture.

    Raises:
        OptionError: no samples, or too few pictures of the training.
        ShapeError: rows that differ in length, or views that do not divide those of the training.

    >>> found = nearest_neighbours(torch.tensor([[1.1], [5.0]]), torch.tensor([[1.0], [4.0], [9.0]]))
    >>> found.index, found.distance.round(3), found.real_distance
    (array([0, 1]), array([0.1, 1. ]), array([3., 3., 5.]))
    """
    if views < 1 or len(training) % views:
        msg = f"rows of the training must be as many for each of {views} views; got {len(training)} rows"
        raise ShapeError(msg)
    count = len(training) // views
    for rows in (samples,) if held_out is None else (samples, held_out):
        _check_lengths(rows, training)
        _check_counts(rows, count, 2 if held_out is None else 1)
    index, distance = _nearest(samples, training, count, is_own=False)
    others = training[:count] if held_out is None else held_out
    _, real_distance = _nearest(others, training, count, is_own=held_out is None)
    return Neighbours(
        index=index, distance=distance, real_distance=real_distance, is_held_out=held_out is not None
    )


def _mark(picture: NDArray[np.uint8]) -> bytes:
    """What two pictures of one size have in common only if they are equal; short, however large they are."""
    return hashlib.blake2b(picture.tobytes(), digest_size=16).digest()


def _check_lengths(one: Tensor, other: Tensor) -> None:
    if one.shape[1] != other.shape[1]:
        msg = f"rows that are compared must be of one length; got {one.shape[1]} and {other.shape[1]} numbers"
        raise ShapeError(msg)


def _check_counts(rows: Tensor, count: int, least: int) -> None:
    if len(rows) < 1 or count < least:
        msg = (
            f"a nearest neighbour needs at least 1 picture, and {least} of the training; got {len(rows)} and "
            f"{count}"
        )
        raise OptionError(msg)


def _blurred(pictures: Float[Tensor, "pictures channels y x"], blur: float) -> Tensor:
    """Gaussian blur along both axes, mirrored beyond the sides."""
    if blur == 0:
        return pictures
    for axis in (2, 3):
        n = pictures.shape[axis]
        offsets = torch.arange(-math.ceil(REACH * blur), math.ceil(REACH * blur) + 1)
        weights = torch.exp(-0.5 * (offsets / blur).square())
        # every sample is a mean of samples: as a matrix, in which mirrored places add up
        places = (torch.arange(n)[:, None] + offsets) % (2 * n)
        places = torch.minimum(places, 2 * n - 1 - places)
        matrix = torch.zeros(n, n).scatter_add_(1, places, (weights / weights.sum()).expand(n, -1))
        pictures = torch.movedim(torch.movedim(pictures, axis, -1) @ matrix.T, -1, axis)
    return pictures


def _mean_distance(rows: Tensor) -> tuple[float, float]:
    """Mean distance of two different rows, and its standard error."""
    n = len(rows)
    sums = torch.zeros(n, dtype=torch.float64)
    for start, other, distance in _blocks(rows, rows):
        # the distance to itself is 0 but for rounding
        if start == other:
            distance.fill_diagonal_(0)
        sums[start : start + len(distance)] += distance.sum(dim=1)
    means = sums / (n - 1)
    return float(means.mean()), 2 * float(means.std(correction=1)) / math.sqrt(n)


def _nearest(
    rows: Tensor, training: Tensor, count: int, *, is_own: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Index and distance of the nearest picture of the training; of no view of its own, if rows are those."""
    best = torch.full((len(rows),), torch.inf, dtype=torch.float64)
    row = torch.zeros(len(rows), dtype=torch.long)
    for start, other, distance in _blocks(rows, training):
        if is_own:
            ours = torch.arange(start, start + distance.shape[0])[:, None]
            theirs = torch.arange(other, other + distance.shape[1]) % count
            distance[ours == theirs] = torch.inf
        nearest, place = distance.min(dim=1)
        part = slice(start, start + len(distance))
        row[part] = torch.where(nearest < best[part], place + other, row[part])
        best[part] = torch.minimum(nearest, best[part])
    # of what was found the difference itself is taken, in which nothing cancels
    exact = torch.cat(
        [
            (part.double() - training[at].double()).norm(dim=1)
            for part, at in zip(torch.split(rows, AT_ONCE), torch.split(row, AT_ONCE), strict=True)
        ]
    )
    return (row % count).numpy(), exact.numpy()


def _blocks(rows: Tensor, others: Tensor) -> Iterator[tuple[int, int, Float[Tensor, "_rows _others"]]]:
    """First row, first other row and distances of all pairs, a block at a time."""
    # a distance does not know where all lie, and rounding does
    level = others[:AT_ONCE].double().mean(dim=0)
    for start in range(0, len(rows), AT_ONCE):
        ours = rows[start : start + AT_ONCE].double() - level
        for other in range(0, len(others), AT_ONCE):
            theirs = others[other : other + AT_ONCE].double() - level
            squared = ours.square().sum(dim=1)[:, None] + theirs.square().sum(dim=1) - 2 * ours @ theirs.T
            yield start, other, squared.clamp(min=0).sqrt()
