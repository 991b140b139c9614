"""Turn the features of samples and of real pictures into the distance of the two distributions.

FID is the Fréchet distance of two normal distributions with the means and covariances of the features
(Heusel et al. 2017); it is too large for few pictures, by more the more features there are. KID is the
squared maximum mean discrepancy under the kernel (x . y / features + 1)^3 (Bińkowski et al. 2018); its mean
is right for any number of pictures, so that it is 0 on average where the two distributions are one. Both are
computed by torchmetrics, and both are only to be compared under one feature network.
"""

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from upstroke.errors import MissingExtraError, OptionError, ShapeError

__all__ = ["SUBSETS", "FeatureDistances", "feature_distances"]

SUBSETS = 100
# Of pictures in a subset: as in the paper, where there are so many.
MOST = 1000


@dataclass(frozen=True, kw_only=True)
class FeatureDistances:
    """How far samples are from real pictures, as a feature network sees them.

    Attributes:
        fid: Fréchet distance, in squared units of the features.
        kid: kernel distance, mean over subsets; without a unit, may lie below 0 by chance.
        kid_spread: standard deviation of the kernel distance over subsets.
        subsets: how many were drawn.
        subset_size: pictures of either set in each.
        features: numbers of each picture.
        counts: samples and real pictures.
        seed: of the draws.
    """

    fid: float
    kid: float
    kid_spread: float
    subsets: int
    subset_size: int
    features: int
    counts: tuple[int, int]
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "counts": list(self.counts)}


class _Given(nn.Module):
    """What torchmetrics takes for a feature network, given features instead of pictures."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def feature_distances(
    samples: Float[Tensor, "samples features"],
    real: Float[Tensor, "real features"],
    *,
    subsets: int = SUBSETS,
    subset_size: int | None = None,
    seed: int = 0,
) -> FeatureDistances:
    """FID and KID of two sets of features, in float64.

    Args:
        samples: a row for each.
        real: likewise.
        subsets: draws of the kernel distance.
        subset_size: pictures of either set in each; half of the smaller set, at most 1000, where it is not
            given, so that subsets differ.
        seed: of the draws.

    Raises:
        OptionError: fewer than two pictures in a subset, or features that are not finite.
        ShapeError: features of different numbers.
        MissingExtraError: torchmetrics is not installed.

    >>> generator = torch.Generator().manual_seed(0)
    >>> one, other = (torch.randn(400, 3, generator=generator) for _ in range(2))
    >>> alike, apart = (feature_distances(one + shift, other) for shift in (0, 2))
    >>> abs(alike.kid) < 3 * alike.kid_spread, round(apart.fid)
    (True, 12)
    """
    fewest = min(len(samples), len(real))
    size = min(fewest // 2, MOST) if subset_size is None else subset_size
    _check(samples, real, subsets, size)
    frechet, kernel = _metrics(samples.shape[1], subsets, size)
    # the draws of subsets are from the generator of the process
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for metric in (frechet, kernel):
            for rows, is_real in ((samples, False), (real, True)):
                metric.update(rows.detach().cpu().double(), real=is_real)
        fid, (kid, spread) = float(frechet.compute()), kernel.compute()
    return FeatureDistances(
        # a root of rounding may take it below 0
        fid=max(0.0, fid),
        kid=float(kid),
        kid_spread=float(spread),
        subsets=subsets,
        subset_size=size,
        features=samples.shape[1],
        counts=(len(samples), len(real)),
        seed=seed,
    )


def _check(samples: Tensor, real: Tensor, subsets: int, size: int) -> None:
    if samples.shape[1] != real.shape[1]:
        msg = (
            f"features that are compared must be of one network; got {samples.shape[1]} and {real.shape[1]} "
            "numbers"
        )
        raise ShapeError(msg)
    fewest = min(len(samples), len(real))
    if subsets < 1 or not 2 <= size <= fewest:
        msg = (
            f"a kernel distance needs at least 1 subset, of 2 to {fewest} pictures, with {len(samples)} "
            f"samples and {len(real)} real pictures; got {subsets} of {size}"
        )
        raise OptionError(msg)
    for name, rows in (("samples", samples), ("real pictures", real)):
        lost = int((~torch.isfinite(rows)).any(dim=1).sum())
        if lost:
            msg = (
                f"features must be finite; got NaN or infinity of {lost} of {len(rows)} {name}; "
                "take another feature network"
            )
            raise OptionError(msg)


def _metrics(features: int, subsets: int, size: int) -> tuple[Any, Any]:
    """The two distances of torchmetrics, which calls pictures what we give as features."""
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import KernelInceptionDistance
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "torchmetrics":
            raise
        msg = "distances of features need the package torchmetrics; pip install 'upstroke[train]'"
        raise MissingExtraError(msg) from error
    with warnings.catch_warnings():
        # that it keeps all features, which we hold in any case
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance` will save all", UserWarning)
        return (
            FrechetInceptionDistance(feature=_Given(features)),
            KernelInceptionDistance(feature=_Given(features), subsets=subsets, subset_size=size),
        )
