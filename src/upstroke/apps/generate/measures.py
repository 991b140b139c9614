"""Turn samples and real pictures into all that is measured of a generator, or why something is not."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from upstroke.apps.generate.closest import Closest, closest
from upstroke.apps.generate.detector import Detected, detector_accuracy
from upstroke.apps.generate.diversity import Diversity, Repeats, diversity, pixel_rows, repeated
from upstroke.apps.generate.features import FeatureNetwork, own_features
from upstroke.apps.generate.grid_marks import PERIODS, GridMarks, grid_marks
from upstroke.apps.generate.likeness import Likeness, likeness
from upstroke.apps.generate.picture_grids import PictureGrid, picture_grids
from upstroke.diagnose import RadialRatio, RadialSpectrum, radial_ratio, radial_spectrum
from upstroke.errors import OptionError, ShapeError

__all__ = ["HIGH", "STAGES", "Measures", "Spectra", "measured"]

Json = dict[str, Any]
Found = TypeVar("Found")

# What is measured, in order, as people are told of it.
STAGES = ("grids", "spectra", "a detector", "features", "distances", "diversity", "neighbours")
# Pictures of each set by which grids, spectra and diversity are measured: enough for two digits, and the time
# grows with their number, of diversity with its square.
MOST = 2000
# Fewer pictures share by chance whatever a grid could leave.
FEWEST = 16
# Cycles per pixel above which a wave counts as of high frequency: half of what pixels can hold.
HIGH = 0.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectra:
    """Azimuthal power spectra of both sets.

    Attributes:
        samples: of the samples.
        real: of the real pictures.
        ratio: power of the samples over that of the real pictures.
    """

    samples: RadialSpectrum
    real: RadialSpectrum
    ratio: RadialRatio

    @property
    def high(self) -> float:
        """Power at high frequencies, samples over real pictures, in dB; infinite or nan without."""
        ours, theirs = (float(_high(each)) for each in (self.samples, self.real))
        if not ours or not theirs:
            return math.nan if ours == theirs else math.copysign(math.inf, ours - theirs)
        return 10 * math.log10(ours / theirs)

    @property
    def beyond(self) -> float:
        """The farthest that the samples' mean lies beyond 90 per cent of real pictures at a high frequency.

        In dB, negative where below them; 0 where it lies nowhere beyond.
        """
        at = self.ratio.frequency >= HIGH
        over = (self.ratio.decibel - self.ratio.other_high)[at].nan_to_num(nan=0.0, posinf=math.inf)
        under = (self.ratio.other_low - self.ratio.decibel)[at].nan_to_num(nan=0.0, posinf=math.inf)
        most, least = float(over.max()), float(under.max())
        if max(most, least) <= 0:
            return 0.0
        return most if most >= least else -least

    def as_json(self) -> Json:
        """Plain data; null where there is no power to compare."""
        ratio = self.ratio
        return {
            "frequency": ratio.frequency.tolist(),
            **{key: _finite(_mean(getattr(self, key))) for key in ("samples", "real")},
            "decibel": _finite(ratio.decibel),
            "error": _finite(ratio.error),
            "low": _finite(ratio.low),
            "high": _finite(ratio.high),
            "real_low": _finite(ratio.other_low),
            "real_high": _finite(ratio.other_high),
            "high_from": HIGH,
            "high_decibel": _number(self.high),
            "beyond": _number(self.beyond),
            "counts": [len(self.samples.power), len(self.real.power)],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Measures:
    """All that was measured; None where it could not be.

    Attributes:
        single: grids of single pictures, by period, beside those of noise.
        grid: of which periods samples have marks in common.
        spectra: of both sets.
        detector: how well the sets are told apart by their spectra.
        likeness: distances by a feature network.
        pixels: how varied pixels are.
        features: how varied features are.
        closest: the nearest real picture of each sample.
        sample_repeats: samples that are the same.
        real_repeats: real pictures that are the same.
        missing: what could not be measured, and why.
    """

    single: tuple[PictureGrid, ...] | None
    grid: GridMarks | None
    spectra: Spectra | None
    detector: Detected | None
    likeness: Likeness | None
    pixels: Diversity | None
    features: Diversity | None
    closest: Closest | None
    sample_repeats: Repeats
    real_repeats: Repeats
    missing: tuple[tuple[str, str], ...]


def measured(
    samples: NDArray[np.uint8],
    real: NDArray[np.uint8],
    *,
    compared: int | None = None,
    is_mirrored: bool = False,
    network: FeatureNetwork | None = None,
    seed: int = 0,
    told: Callable[[str], None] = lambda stage: None,
) -> Measures:
    """Measure samples against real pictures.

    Args:
        samples: (samples, channels, y, x).
        real: (real, channels, y, x), of the same channels and size.
        compared: at most so many real pictures, drawn at random, take part in distances of features; the
            nearest are looked for among all of them.
        is_mirrored: whether training mirrored its pictures.
        network: of features; None: the built-in one, trained on the real pictures with another seed than
            in training.
        seed: of all draws.
        told: is called with each of `STAGES` before it.
    """
    missing: list[tuple[str, str]] = []

    def taken(name: str, take: Callable[[], Found]) -> Found | None:
        try:
            return take()
        except (OptionError, ShapeError) as error:
            missing.append((name, str(error)))
            return None

    some = _drawn(real, len(real) if compared is None else compared, seed)
    ours, theirs = samples[:MOST], _drawn(real, MOST, seed)
    told(STAGES[0])
    periods = [each for each in PERIODS if 2 * each <= min(samples.shape[2:])]
    single = taken("grids of single pictures", lambda: picture_grids(ours, theirs, periods=periods))
    grid = taken("grid", lambda: _grid(ours, theirs, seed))
    told(STAGES[1])
    spectra = taken("spectrum", lambda: _spectra(ours, theirs))
    told(STAGES[2])
    detector = taken("detector", lambda: detector_accuracy(samples, some, seed=seed))
    told(STAGES[3])
    # another one than that by which people followed the training
    eyes = network or taken("features", lambda: own_features(real, seed=seed + 1))
    features = None if eyes is None else [eyes(each) for each in (samples, some)]
    told(STAGES[4])
    found = None
    varied = None
    if eyes is not None and features is not None:
        one, other = features
        found = taken("distances", lambda: likeness(one, other, eyes, seed=seed))
        varied = taken("diversity of features", lambda: diversity(one[:MOST], other[:MOST]))
    told(STAGES[5])
    pixels = taken("diversity", lambda: diversity(pixel_rows(ours), pixel_rows(theirs)))
    told(STAGES[6])
    near = taken("nearest", lambda: closest(samples, real, is_mirrored=is_mirrored, seed=seed))
    return Measures(
        single=single,
        grid=grid,
        spectra=spectra,
        detector=detector,
        likeness=found,
        pixels=pixels,
        features=varied,
        closest=near,
        sample_repeats=repeated(samples),
        real_repeats=repeated(real),
        missing=tuple(missing),
    )


def _drawn(real: NDArray[np.uint8], most: int, seed: int) -> NDArray[np.uint8]:
    """At most so many pictures, drawn at random, in their order."""
    if len(real) <= most:
        return real
    drawn = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))[:most]
    chosen: NDArray[np.uint8] = real[np.sort(drawn.numpy())]
    return chosen


def _grid(samples: NDArray[np.uint8], real: NDArray[np.uint8], seed: int) -> GridMarks:
    """Marks of grids in samples that differ: what one shows again and again is no grid that all share."""
    distinct = samples[np.unique(repeated(samples).first)]
    if len(distinct) < FEWEST:
        msg = (
            f"to tell a grid from chance at least {FEWEST} distinct samples are needed; got {len(distinct)}; "
            "give more"
        )
        raise OptionError(msg)
    side = min(samples.shape[2:])
    return grid_marks(distinct, real, periods=[each for each in PERIODS if 2 * each <= side], seed=seed)


def _spectra(samples: NDArray[np.uint8], real: NDArray[np.uint8]) -> Spectra:
    ours, theirs = (radial_spectrum(torch.from_numpy(each)) for each in (samples, real))
    return Spectra(samples=ours, real=theirs, ratio=radial_ratio(ours, theirs))


def _mean(spectrum: RadialSpectrum) -> Float[Tensor, "bins"]:
    return spectrum.power.mean(dim=(0, 1))


def _high(spectrum: RadialSpectrum) -> Tensor:
    at = spectrum.frequency >= HIGH
    return (_mean(spectrum) * spectrum.waves.double())[at].sum()


def _finite(values: Float[Tensor, "bins"]) -> list[float | None]:
    return [_number(each) for each in values.tolist()]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
