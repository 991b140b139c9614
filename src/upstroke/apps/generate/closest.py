"""Turn samples and real pictures, however many, into the real picture nearest to each sample."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from upstroke.apps.generate.diversity import (
    Neighbours,
    copies,
    nearest_neighbours,
    pixel_rows,
    repeated,
)

__all__ = ["LEVELS", "Closest", "closest"]

# Real pictures whose own nearest others are looked for, and pictures that are compared with at a time.
REFERENCES, AT_ONCE = 1000, 2000
# Quantiles that are told of distances, in per cent.
LEVELS = (0, 5, 25, 50, 75, 95, 100)
# Of the distance that the closest 5 per cent of real pictures stay below, the part at which a sample is taken
# for a copy: a sample that differs by so little shows the same thing, in eyes as in numbers.
NEAR, NEAR_LEVEL = 0.5, 5
# Relative, and above what sums in another order change.
TIE = 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class Closest:
    """The nearest real picture of each sample, by pixels after a blur, and how far real ones lie apart.

    Attributes:
        found: index and distance for each sample, and the distances of real pictures from others.
        is_mirrored: for each sample, whether that picture is nearest when it is mirrored.
        is_copy: for each sample, whether it equals a real picture byte for byte.
        limit: the distance below which a sample is as good as a copy.
        references: real pictures whose own nearest others were looked for.
    """

    found: Neighbours
    is_mirrored: NDArray[np.bool_]
    is_copy: NDArray[np.bool_]
    limit: float
    references: int

    @property
    def order(self) -> NDArray[np.int64]:
        """Samples from the closest to the farthest."""
        return np.argsort(self.found.distance, kind="stable")

    @property
    def near(self) -> int:
        """Samples that equal a real picture or lie below the limit."""
        return int((self.is_copy | (self.found.distance < self.limit)).sum())

    def as_json(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Plain data; names are those of the real pictures."""
        return {
            "copies": int(self.is_copy.sum()),
            "near": self.near,
            "limit": self.limit,
            "ratio": self.found.ratio,
            "nearer": self.found.nearer,
            "references": self.references,
            "samples": _quantiles(self.found.distance),
            "real": _quantiles(self.found.real_distance),
            "nearest": [
                {
                    "sample": int(at),
                    "file": names[self.found.index[at]],
                    "distance": float(self.found.distance[at]),
                    "is_mirrored": bool(self.is_mirrored[at]),
                    "is_copy": bool(self.is_copy[at]),
                }
                for at in self.order
            ],
        }


def closest(
    samples: NDArray[np.uint8], real: NDArray[np.uint8], *, is_mirrored: bool = False, seed: int = 0
) -> Closest:
    """Look for the nearest real picture of each sample, and of real pictures among the others.

    Pictures are compared as `pixel_rows` says, a part of them at a time, so that memory does not grow with
    their number. Pictures that come more than once are taken once.

    Args:
        samples: (samples, channels, y, x).
        real: (real, channels, y, x): what was trained on.
        is_mirrored: whether they were mirrored in training, so that their mirror images count as well.
        seed: of which real pictures are compared with the others, where there are very many.

    Raises:
        OptionError: no samples, or fewer than two different real pictures.

    >>> real = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
    >>> found = closest(real[[4, 7], ..., ::-1], real, is_mirrored=True)
    >>> found.found.index, found.is_mirrored, found.near
    (array([4, 7]), array([ True,  True]), 2)
    """
    places = np.unique(repeated(real).first)
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed)).numpy()
    # in their order, so that of equals the first is found
    first = places[np.sort(order[:REFERENCES])]
    rest = places[np.sort(order[REFERENCES:])]
    rows, views = pixel_rows(samples), 2 if is_mirrored else 1
    found = nearest_neighbours(rows, _seen(real[first], is_mirrored=is_mirrored), views=views)
    index, distance, real_distance = first[found.index], found.distance, found.real_distance
    own = pixel_rows(real[first])
    for start in range(0, len(rest), AT_ONCE):
        part = rest[start : start + AT_ONCE]
        more = nearest_neighbours(rows, _seen(real[part], is_mirrored=is_mirrored), held_out=own, views=views)
        index = np.where(more.distance < distance, part[more.index], index)
        distance = np.minimum(distance, more.distance)
        real_distance = np.minimum(real_distance, more.real_distance)
    found = Neighbours(index=index, distance=distance, real_distance=real_distance, is_held_out=False)
    return Closest(
        found=found,
        is_mirrored=_apart(rows, pixel_rows(real[index])) > distance * (1 + TIE) + TIE,
        is_copy=_equals(samples, real, is_mirrored=is_mirrored),
        limit=NEAR * float(np.quantile(real_distance, NEAR_LEVEL / 100)),
        references=len(first),
    )


def _seen(real: NDArray[np.uint8], *, is_mirrored: bool) -> Float[Tensor, "rows numbers"]:
    """Rows of pictures, then of their mirror images where training saw these too."""
    rows = pixel_rows(real)
    return torch.cat([rows, pixel_rows(np.ascontiguousarray(real[..., ::-1]))]) if is_mirrored else rows


def _equals(samples: NDArray[np.uint8], real: NDArray[np.uint8], *, is_mirrored: bool) -> NDArray[np.bool_]:
    found = copies(samples, real) >= 0
    return found | (copies(samples, real[..., ::-1]) >= 0) if is_mirrored else found


def _apart(rows: Tensor, others: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (rows.double() - others.double()).norm(dim=1).numpy()
    return found


def _quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    return {str(level): float(np.quantile(values, level / 100)) for level in LEVELS}
