"""Turn two sets of pictures into how often a linear rule tells them apart by their spectra.

The rule is that of Durall, Keuper and Keuper, "Watch your up-convolution", CVPR 2020, section 4: a linear
classifier of azimuthally averaged power spectra. Here it is logistic regression on their logarithms, and it
is always asked about pictures that it has not seen.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from upstroke.apps.generate.diversity import copies, repeated
from upstroke.axes import times
from upstroke.diagnose import radial_spectrum
from upstroke.errors import OptionError

__all__ = ["Detected", "detector_accuracy"]

FOLDS, REPEATS, SHUFFLES = 5, 2, 99
# Of pictures of each set: 2000 know a share to 2 per cent, and more take a minute for each thousand.
MOST = 1000
# Variance of what rounding to whole bytes takes away, for pictures of bytes.
ROUNDING = 1 / 12
# Where a normal variable stays within of its mean in 95 of 100 cases, in standard deviations.
WITHIN = 1.959963984540054
# The penalty of scikit-learn's LogisticRegression as it comes: C = 1.
INVERSE_PENALTY = 1.0
ITERATIONS, GRADIENT = 50, 1e-9
# A step that must be shorter than this is rounding.
SHORTEST = 1e-6


@dataclass(frozen=True, kw_only=True)
class Detected:
    """How well samples are told from real pictures.

    Attributes:
        accuracy: share of pictures that were told rightly while their fold was held out, mean over repeats.
        low: lower end of the 95 per cent interval of that share (Wilson).
        high: its upper end.
        chance: what guessing gives.
        chance_low: what 2.5 per cent of the shuffles stay below: the same with samples and real pictures
            mixed. Folds share what they learn from, so that this is wider than what coins would give.
        chance_high: what 97.5 per cent of them stay below.
        p_value: (1 + shuffles at or above the accuracy) / (1 + shuffles).
        spread: standard deviation of the accuracy over repeats, which differ in their folds alone.
        pictures: distinct ones of each set that took part; as many of one as of the other.
        samples: distinct pictures among the samples.
        real: distinct pictures among the real ones.
        copies: samples that equal a real picture byte for byte; both then lie in one fold.
        folds: into how many parts the pictures were divided.
        repeats: how often.
        shuffles: how often the two sets were mixed.
        seed: of the draws.
    """

    accuracy: float
    low: float
    high: float
    chance: float
    chance_low: float
    chance_high: float
    p_value: float
    spread: float
    pictures: int
    samples: int
    real: int
    copies: int
    folds: int
    repeats: int
    shuffles: int
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def detector_accuracy(
    samples: NDArray[np.uint8],
    real: NDArray[np.uint8],
    *,
    seed: int = 0,
    folds: int = FOLDS,
    repeats: int = REPEATS,
    shuffles: int = SHUFFLES,
    most: int = MOST,
) -> Detected:
    """Accuracy of a spectral real/fake detector by stratified cross-validation.

    A picture that comes more than once in a set counts once, and the larger set loses pictures at random
    until the two are equal, so that guessing gives 1/2; of more than `most` in both, so many are drawn. For
    each fold mean, deviation and the rule come from the spectra of all others, the rule by logistic
    regression with a squared penalty. The same is done with the sets mixed at random, which says what chance
    gives.

    Args:
        samples: (pictures, channels, y, x).
        real: (pictures, channels, y, x), of the same channels and size.
        seed: of which pictures are left out and how folds are drawn.
        folds: parts that are held out in turn.
        repeats: how often folds are drawn anew.
        shuffles: how often the sets are mixed, to see what chance gives.
        most: pictures of each set that take part.

    Raises:
        OptionError: fewer than two distinct pictures a fold in a set, or pictures that differ in shape.

    >>> generator = np.random.default_rng(0)
    >>> real = generator.integers(0, 200, (40, 1, 16, 16), dtype=np.uint8)
    >>> grid = np.tile(np.array([[0, 40], [40, 0]], dtype=np.uint8), (8, 8))
    >>> detector_accuracy(real[:20] + grid, real[20:], shuffles=3).accuracy > 0.8
    True
    """
    if samples.shape[1:] != real.shape[1:]:
        msg = (
            f"samples and real pictures must have the same channels and size; got "
            f"{times(samples.shape[1:])} and {times(real.shape[1:])}; resize one set"
        )
        raise OptionError(msg)
    if folds < 2 or repeats < 1 or shuffles < 1:
        msg = f"at least 2 folds, 1 repeat and 1 shuffle are needed; got {folds}, {repeats} and {shuffles}"
        raise OptionError(msg)
    if most < 2 * folds:
        msg = f"at least {2 * folds} pictures of each set must take part for {folds} folds; got most {most}"
        raise OptionError(msg)
    sets = [each[np.unique(repeated(each).first)] for each in (samples, real)]
    few = min(most, *(len(each) for each in sets))
    if few < 2 * folds:
        msg = (
            f"to tell samples from real pictures at least {2 * folds} distinct ones of each are needed for "
            f"{folds} folds; got {len(sets[0])} and {len(sets[1])}; give more pictures or fewer folds"
        )
        raise OptionError(msg)
    generator = torch.Generator().manual_seed(seed)
    chosen = [each[torch.randperm(len(each), generator=generator)[:few].numpy()] for each in sets]
    partner = _partners(*chosen)
    spectra = torch.cat([_log_spectra(each) for each in chosen])
    shares = _rights(spectra, partner, folds, repeats, generator)
    accuracy = float(shares.mean())
    null = torch.stack(
        [
            _rights(spectra[order], partner_of, folds, repeats, generator).mean()
            for order, partner_of in (_mixed(partner, generator) for _ in range(shuffles))
        ]
    )
    low, high = _wilson(accuracy, 2 * few)
    chance_low, chance_high = torch.quantile(null, null.new_tensor([0.025, 0.975])).tolist()
    return Detected(
        accuracy=accuracy,
        low=low,
        high=high,
        chance=0.5,
        chance_low=chance_low,
        chance_high=chance_high,
        p_value=(1 + int((null >= accuracy).sum())) / (1 + shuffles),
        spread=float(shares.std(correction=0)),
        pictures=few,
        samples=len(sets[0]),
        real=len(sets[1]),
        copies=int((partner[:few] >= 0).sum()),
        folds=folds,
        repeats=repeats,
        shuffles=shuffles,
        seed=seed,
    )


def _log_spectra(pictures: NDArray[np.uint8]) -> Float[Tensor, "pictures features"]:
    """The logarithm of the power in each bin of each channel; a bin without any has that of rounding."""
    power = radial_spectrum(torch.from_numpy(pictures)).power
    return torch.log(power + ROUNDING / math.prod(pictures.shape[2:])).flatten(1)


def _partners(samples: NDArray[np.uint8], real: NDArray[np.uint8]) -> Int[Tensor, "both"]:
    """For each picture, samples before real ones, its equal in the other set, or -1."""
    equal = torch.from_numpy(copies(samples, real))
    partner = torch.full((len(samples) + len(real),), -1)
    ours = torch.nonzero(equal >= 0).flatten()
    theirs = len(samples) + equal[ours]
    partner[ours], partner[theirs] = theirs, ours
    return partner


def _mixed(
    partner: Int[Tensor, "both"], generator: torch.Generator
) -> tuple[Int[Tensor, "both"], Int[Tensor, "both"]]:
    """Draw an order in which pictures change sets at random, and the partners of those in their new places.

    Equal pictures stay on either side, as they are in the sets themselves.
    """
    few = len(partner) // 2
    paired = torch.nonzero(partner[:few] >= 0).flatten()
    alone = torch.nonzero(partner < 0).flatten()
    alone = alone[torch.randperm(len(alone), generator=generator)]
    half = len(alone) // 2
    order = torch.cat([paired, alone[:half], partner[paired], alone[half:]])
    place = torch.empty_like(order)
    place[order] = torch.arange(2 * few)
    moved = partner[order]
    return order, torch.where(moved >= 0, place[moved.clamp(min=0)], moved)


def _rights(
    spectra: Float[Tensor, "both features"],
    partner: Int[Tensor, "both"],
    folds: int,
    repeats: int,
    generator: torch.Generator,
) -> Float[Tensor, "repeats"]:
    """The share that is told rightly, of pictures the first half of which are taken for samples."""
    is_sample = torch.arange(len(spectra)) < len(spectra) // 2
    shares = []
    for _ in range(repeats):
        scores = _held_out_scores(spectra, is_sample, _folds(partner, folds, generator))
        shares.append(((scores > 0) == is_sample).double().mean())
    return torch.stack(shares)


def _folds(partner: Int[Tensor, "both"], folds: int, generator: torch.Generator) -> Int[Tensor, "both"]:
    """Draw a fold for each picture: as many of either set in each, to one, and equal pictures in one fold.

    Equal pictures on either side of a held-out fold would teach the rule the wrong answer.
    """
    few = len(partner) // 2
    fold = torch.full((2 * few,), -1)
    paired = torch.nonzero(partner[:few] >= 0).flatten()
    paired = paired[torch.randperm(len(paired), generator=generator)]
    fold[paired] = torch.arange(len(paired)) % folds
    fold[partner[paired]] = fold[paired]
    for start in (0, few):
        alone = start + torch.nonzero(partner[start : start + few] < 0).flatten()
        alone = alone[torch.randperm(len(alone), generator=generator)]
        fold[alone] = (len(paired) + torch.arange(len(alone))) % folds
    return fold


def _held_out_scores(
    spectra: Float[Tensor, "both features"], is_sample: Bool[Tensor, "both"], fold: Int[Tensor, "both"]
) -> Float[Tensor, "both"]:
    """What the rule that was learned from all other folds says of each picture: above 0, a sample."""
    scores = spectra.new_empty(len(spectra))
    for each in range(int(fold.max()) + 1):
        held, seen = fold == each, fold != each
        mean, deviation = spectra[seen].mean(dim=0), spectra[seen].std(dim=0, correction=0)
        # a bin that is alike in all pictures says nothing, in a picture of the held-out fold neither
        scale = torch.where(deviation > 0, 1 / deviation, torch.zeros_like(deviation))
        weight = _logistic((spectra[seen] - mean) * scale, is_sample[seen])
        scores[held] = ((spectra[held] - mean) * scale) @ weight[1:] + weight[0]
    return scores


def _logistic(
    features: Float[Tensor, "pictures features"], label: Bool[Tensor, "pictures"]
) -> Float[Tensor, "weights"]:
    """Bias and weights of least log-loss, summed over pictures, plus |weights|^2 / (2 C), without the bias.

    By Newton's method with halved steps, which reaches the one minimum there is.
    """
    design = torch.cat([torch.ones_like(features[:, :1]), features], dim=1)
    sign = label.double() * 2 - 1
    penalty = torch.full((design.shape[1],), 1 / INVERSE_PENALTY, dtype=torch.float64)
    penalty[0] = 0
    weight = torch.zeros_like(penalty)
    value = _loss(weight, design, sign, penalty)
    for _ in range(ITERATIONS):
        wrong = torch.sigmoid(-sign * (design @ weight))
        gradient = penalty * weight - design.T @ (sign * wrong)
        if gradient.abs().max() <= GRADIENT * len(design):
            break
        curvature = (design.T * (wrong * (1 - wrong))) @ design + penalty.diag()
        step = torch.linalg.solve(curvature, gradient)
        share, slope = 1.0, float(gradient @ step)
        while (lower := _loss(weight - share * step, design, sign, penalty)) > value - 1e-4 * share * slope:
            share /= 2
            if share < SHORTEST:
                return weight
        weight, value = weight - share * step, lower
    return weight


def _loss(weight: Tensor, design: Tensor, sign: Tensor, penalty: Tensor) -> float:
    margins = sign * (design @ weight)
    return float(torch.nn.functional.softplus(-margins).sum() + (penalty * weight.square()).sum() / 2)


def _wilson(share: float, count: int) -> tuple[float, float]:
    """The interval of 95 per cent of a share that was found in so many independent cases."""
    squared = WITHIN**2 / count
    middle = (share + squared / 2) / (1 + squared)
    half = WITHIN / (1 + squared) * math.sqrt(share * (1 - share) / count + squared / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)
