"""Turn features of samples and real pictures into distances, and what two halves of real pictures give."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.apps.generate.distances import FeatureDistances, feature_distances
from upstroke.apps.generate.features import FeatureNetwork

__all__ = ["Likeness", "likeness"]


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """FID and KID of samples, beside the least that one can expect.

    A Fréchet distance of few pictures is too large, so that no distance should be held against 0. Real
    pictures in two halves have the distance that equals have; as many samples as one half has, against the
    other half, have one that may be compared with it.

    Attributes:
        network: the feature network, as it describes itself.
        samples: all of them, against all real pictures.
        half: as many samples as `floor` has real pictures, against the same half of the real pictures.
        floor: real pictures of one half against those of the other half.
    """

    network: dict[str, Any]
    samples: FeatureDistances
    half: FeatureDistances
    floor: FeatureDistances

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "network": self.network,
            **{key: getattr(self, key).as_json() for key in ("samples", "half", "floor")},
        }


def likeness(
    samples: Float[Tensor, "samples features"],
    real: Float[Tensor, "real features"],
    network: FeatureNetwork,
    *,
    seed: int = 0,
) -> Likeness:
    """Distances of features of samples from those of real pictures, and of real pictures from each other.

    Args:
        samples: a row for each.
        real: likewise.
        network: that gave both.
        seed: of how the real pictures are halved, and of all other draws.

    Raises:
        OptionError: fewer than 4 samples or 8 real pictures, or features that are not finite.
        MissingExtraError: torchmetrics is not installed.
    """
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
    middle = len(real) // 2
    one, other = real[order[:middle]], real[order[middle:]]
    count = min(len(one), len(samples))
    return Likeness(
        network=network.as_json(),
        samples=feature_distances(samples, real, seed=seed),
        half=feature_distances(samples[:count], other, seed=seed),
        floor=feature_distances(one[:count], other, seed=seed),
    )
