"""Turn pictures into the record and the arrays that are shown of them."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypedDict, runtime_checkable

import numpy
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from upstroke import diagnose
from upstroke.errors import ShapeError

__all__ = [
    "GreyPicture",
    "PictureArrays",
    "UnreadFile",
    "describe_picture",
    "describe_pictures",
    "picture_arrays",
]

DRAWS = 500
# A set shares a pattern where chance would give as much in one case of a hundred.
SIGNIFICANT = 0.01
# Standard normal quantile of 99 %.
NORMAL_99 = 2.3263478740408408
# White content stays mostly below this over its surroundings (see spectral_peaks).
STANDS_OUT = 12.0
# Pixels of the figure's panels along their longer side.
PANEL = 240
DETAIL = 24
# Where a plotted spectrum is cut off: below it there is rounding.
FLOOR = -150.0

Period = tuple[int, int]
Numbers = Float[numpy.ndarray, "..."]


@runtime_checkable
class GreyPicture(Protocol):
    """A picture that has been read: its file's name, its grey levels, and what was decided in reading it."""

    @property
    def file(self) -> str:
        """Where it came from."""

    @property
    def grey(self) -> Float64[numpy.ndarray, "height width"]:
        """Grey levels, 0 (black) to 255 (white) with fractions."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be decided in reading it, in words."""


@runtime_checkable
class UnreadFile(Protocol):
    """A file that could not be read as a picture, and why."""

    @property
    def file(self) -> str:
        """Where it is."""

    @property
    def reason(self) -> str:
        """Why it could not be read, in one sentence."""


class PictureArrays(TypedDict):
    """What the figure of a picture shows.

    Keys:
        picture: the picture, made small, in grey levels.
        detail: a square of its own pixels.
        spectrum: power in dB relative to the largest, frequency 0 in the middle.
        peaks: image frequencies (down, right), in cycles per pixel, with the height over their surroundings
            in dB, or None where it could not be measured.
        phase_means: mean of every phase less the picture's mean, in grey levels.
    """

    picture: Numbers
    detail: Numbers
    spectrum: Numbers
    peaks: Sequence[tuple[float, float, float | None]]
    phase_means: Numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class _Measured:
    """A picture's entry in the record, and its phase means, all that the statistic of a set needs of it."""

    entry: dict[str, Any]
    means: Float[Tensor, "height width"]


@dataclass(kw_only=True, eq=False)
class _Total:
    """The sum of the pictures so far, given up once two differ in size."""

    grey: Tensor | None = None
    differ: bool = False

    def add(self, grey: Tensor) -> None:
        if self.grey is not None and self.grey.shape != grey.shape:
            self.differ, self.grey = True, None
        elif not self.differ:
            self.grey = grey.clone() if self.grey is None else self.grey.add_(grey)


@dataclass(frozen=True, kw_only=True)
class _TooSmall:
    """A picture that holds not one period, and the error that says so."""

    file: str
    reason: str


def describe_picture(picture: GreyPicture, period: Period) -> dict[str, Any]:
    """Write everything that is measured of one picture as the record `upstroke.inspect/1`.

    >>> import numpy
    >>> from upstroke.files.pictures import Picture
    >>> stripes = Picture(file="stripes.png", grey=numpy.tile([10.0, 12.0], (5, 3)))
    >>> [found] = describe_picture(stripes, (1, 2))["pictures"]
    >>> found["phase_means"], found["psv"]["relative"], found["worst_peak_db"]
    ([[-1.0, 1.0]], 1.0, None)
    """
    measured = _measured(picture, period)
    if not isinstance(measured, _Measured):
        raise ShapeError(measured.reason)
    return _record(period, kind="picture", path=picture.file, entries=[measured.entry])


def describe_pictures(
    pictures: Iterable[GreyPicture | UnreadFile], period: Period, *, path: str, seed: int = 0
) -> dict[str, Any]:
    """Write everything that is measured of a set of pictures as the record `upstroke.inspect/1`.

    The most suspicious comes first: the largest PSV against chance. What pictures share (`set`) is compared
    with 500 draws of random alignment: aligned is what chance gives in at most 1 of 100. It is called shared
    where, besides, a spectral peak stands out, because a common composition is aligned without one: a peak
    of the mean picture, or, where sizes differ, of the median over pictures. Pictures are taken one at a
    time, and none is kept.

    Args:
        pictures: read one by one, perhaps while this runs; files that could not be read are listed.
        period: of the suspected pattern, down and right, in pixels.
        path: what the set is called.
        seed: of the random alignments.

    >>> import numpy
    >>> from upstroke.files.pictures import Picture, Skipped
    >>> noise = numpy.random.default_rng(0).standard_normal((20, 16, 16))
    >>> board = numpy.tile(numpy.eye(2), (8, 8))
    >>> drawn = (Picture(file=f"{i}.png", grey=each + board) for i, each in enumerate(noise))
    >>> record = describe_pictures(drawn, (2, 2), path="samples")
    >>> len(record["pictures"]), record["set"]["shared"]
    (20, True)
    """
    entries: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    means: list[Tensor] = []
    total = _Total()
    # map, unlike a loop over pictures, holds no picture while the next is read
    for each in map(partial(_measured, period=period, total=total), pictures):
        if isinstance(each, _Measured):
            entries.append(each.entry)
            means.append(each.means)
        else:
            skipped.append({"file": each.file, "reason": each.reason})
    if not entries:
        first = f"of the first: {skipped[0]['reason']}" if skipped else "there are none"
        msg = f"{path} must hold pictures of at least one period; none is; {first}"
        raise ShapeError(msg)
    entries.sort(key=lambda one: -one["psv"]["ratio_to_chance"])
    record = _record(period, kind="pictures", path=path, entries=entries, skipped=skipped)
    if len(means) > 1:
        found = diagnose.set_subgrid_variance(means, period, draws=DRAWS, seed=seed)
        mean = torch.stack(means).mean(dim=0)
        peaks, peaks_of = _shared_peaks(entries, total, period)
        worst = _highest(peaks)
        aligned = float(found.p_value) <= SIGNIFICANT
        stands_out = worst is not None and worst > STANDS_OUT
        record["set"] = {
            "pictures": found.pictures,
            "psv": float(found.value),
            "null_mean": float(found.null_mean),
            "null_95": float(found.null_95),
            "null_99": float(found.null_99),
            "p_value": float(found.p_value),
            "aligned": aligned,
            "peaks_db": peaks,
            "peaks_of": peaks_of,
            "worst_peak_db": worst,
            "stands_out": stands_out,
            "shared": aligned and stands_out,
            "draws": found.draws,
            "seed": seed,
            "phase_means": (mean - mean.mean()).tolist(),
        }
    return record


def picture_arrays(picture: GreyPicture, period: Period) -> PictureArrays:
    """Compute what a figure shows of one picture.

    >>> import numpy
    >>> from upstroke.files.pictures import Picture
    >>> stripes = Picture(file="stripes.png", grey=numpy.tile([10.0, 12.0], (5, 3)))
    >>> arrays = picture_arrays(stripes, (1, 2))
    >>> arrays["phase_means"].tolist(), arrays["peaks"]
    ([[-1.0, 1.0]], [(0.0, 0.5, None)])
    """
    grey = picture.grey
    levels = _peaks(torch.from_numpy(grey), period)
    means = diagnose.phase_means(torch.from_numpy(grey), period)
    step = min(max(1, -(-max(grey.shape) // PANEL)), *grey.shape)
    # whole blocks, so that every panel pixel is a mean of equally many
    small = _blocks(grey, (step, step)).mean(axis=(1, 3))
    middle = tuple(slice(max(0, n // 2 - DETAIL // 2), n // 2 + DETAIL // 2) for n in grey.shape)
    return {
        "picture": small,
        "detail": grey[middle],
        "spectrum": _spectrum(grey),
        "peaks": [
            (
                _folded(down, period[0]),
                _folded(right, period[1]),
                None if levels is None else levels[down][right],
            )
            for down in range(period[0])
            for right in range(period[1])
            if (down, right) != (0, 0)
        ],
        "phase_means": (means - means.mean()).numpy(),
    }


def _record(
    period: Period,
    *,
    kind: str,
    path: str,
    entries: list[dict[str, Any]],
    skipped: Sequence[dict[str, str]] = (),
) -> dict[str, Any]:
    return {
        "schema": "upstroke.inspect/1",
        "kind": kind,
        "path": path,
        "period": list(period),
        "measured_on": "grey levels, 0 to 255; of coloured pictures the luminance",
        "pictures": entries,
        "skipped": list(skipped),
        "set": None,
    }


def _shared_peaks(
    entries: Sequence[dict[str, Any]], total: _Total, period: Period
) -> tuple[list[list[float | None]] | None, str]:
    """Peaks of the mean picture, or of the median over pictures where they have no mean."""
    if total.grey is not None and not total.differ:
        return _peaks(total.grey / len(entries), period), "mean picture"
    measured = [each["peaks_db"] for each in entries if each["peaks_db"] is not None]
    if not measured:
        return None, "median over pictures"
    down, right = period
    return [
        [
            _median([each[row][column] for each in measured if each[row][column] is not None])
            for column in range(right)
        ]
        for row in range(down)
    ], "median over pictures"


def _median(levels: list[float]) -> float | None:
    return statistics.median(levels) if levels else None


def _highest(peaks: list[list[float | None]] | None) -> float | None:
    return max((level for row in peaks or () for level in row if level is not None), default=None)


def _chance_99(phases: int) -> float:
    """The 99 % quantile of PSV over chance for white content: chi-square over its degrees of freedom.

    Wilson and Hilferty's cube root, within 1 %: 3.79 for 4 phases, exactly 3.78.

    >>> round(_chance_99(4), 2), round(_chance_99(2), 2)
    (3.79, 6.59)
    """
    spread = 2 / (9 * (phases - 1))
    return float((1 - spread + NORMAL_99 * math.sqrt(spread)) ** 3)


def _measured(
    picture: GreyPicture | UnreadFile, period: Period, total: _Total | None = None
) -> _Measured | UnreadFile:
    """All numbers of one picture, which is added to the total; what is no picture comes back as it is."""
    if isinstance(picture, UnreadFile):
        return picture
    grey = torch.from_numpy(picture.grey)
    try:
        psv = diagnose.picture_subgrid_variance(grey, period)
    except ShapeError as error:
        return _TooSmall(file=picture.file, reason=f"{picture.file}: {error}")
    means = diagnose.phase_means(grey, period)
    peaks = _peaks(grey, period)
    worst = _highest(peaks)
    above = _chance_99(math.prod(period))
    if total is not None:
        total.add(grey)
    entry = {
        "file": picture.file,
        "size": list(picture.grey.shape),
        "notes": list(picture.notes),
        "mean": float(grey.mean()),
        "psv": {
            "value": float(psv.value),
            "amplitude": math.sqrt(float(psv.value)),
            "relative": float(psv.relative),
            "chance": float(psv.chance),
            "chance_99": above * float(psv.chance),
            "ratio_to_chance": float(psv.ratio),
            "ratio_99": above,
        },
        "phase_means": (means - means.mean()).tolist(),
        "peaks_db": peaks,
        "worst_peak_db": worst,
        "above_chance": float(psv.ratio) > above,
        "stands_out": worst is not None and worst > STANDS_OUT,
    }
    return _Measured(entry=entry, means=means)


def _peaks(grey: Tensor, period: Period) -> list[list[float | None]] | None:
    """Heights of the peaks in dB, None where there is no number; None for a picture too small for any."""
    try:
        levels = diagnose.spectral_peaks(grey, period).decibel.tolist()
    except ShapeError:
        return None
    return [[level if math.isfinite(level) else None for level in row] for row in levels]


def _folded(index: int, period: int) -> float:
    """An image frequency in cycles per pixel, from above -1/2 to 1/2."""
    return index / period if 2 * index <= period else index / period - 1


def _spectrum(grey: Float64[numpy.ndarray, "height width"]) -> Float64[numpy.ndarray, "rows columns"]:
    """Power in dB relative to the largest, frequency 0 in the middle; of neighbouring bins the largest."""
    power = torch.fft.fftshift(diagnose.power_spectrum(torch.from_numpy(grey))).numpy()
    pooled = _blocks(power, tuple(max(1, n // PANEL) for n in grey.shape)).max(axis=(1, 3))
    most = float(pooled.max())
    if most == 0:
        return numpy.full(pooled.shape, FLOOR)
    decibel: numpy.ndarray = 10 * numpy.log10(numpy.maximum(pooled / most, 10 ** (FLOOR / 10)))
    return decibel


def _blocks(values: numpy.ndarray, block: tuple[int, ...]) -> numpy.ndarray:
    """Cut into whole blocks: (blocks down, down, blocks right, right)."""
    counts = [n // size for n, size in zip(values.shape, block, strict=True)]
    cut = values[tuple(slice(count * size) for count, size in zip(counts, block, strict=True))]
    return cut.reshape([part for pair in zip(counts, block, strict=True) for part in pair])
