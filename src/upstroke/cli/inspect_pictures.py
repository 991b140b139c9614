"""Turn picture files into the record and the arrays that are shown of them."""

import math
from pathlib import Path
from typing import Any

import numpy
import torch

from upstroke import diagnose
from upstroke.errors import FileError, ShapeError
from upstroke.files.pictures import Picture, Skipped, read_picture, read_pictures
from upstroke.report.figure import PictureFigure

__all__ = ["picture_figure_of", "pictures_record"]

DRAWS = 500
# A set shares a pattern where chance would give as much in one case of a hundred.
SIGNIFICANT = 0.01
# White content stays mostly below this over its surroundings (see spectral_peaks).
STANDS_OUT = 12.0
# Pixels of the figure's panels along their longer side.
PANEL = 240
DETAIL = 24


def pictures_record(path: Path, *, period: tuple[int, int], seed: int) -> dict[str, Any]:
    """The record `upstroke.inspect/1` of one picture or of a folder, the most suspicious first."""
    measured: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    means = []
    folder = path.is_dir()
    for each in read_pictures(path):
        if isinstance(each, Skipped):
            skipped.append({"file": each.file, "reason": each.reason})
            continue
        try:
            measured.append(_measured(each, period))
        except ShapeError as error:
            msg = f"{each.file}: {error}"
            if not folder:
                raise ShapeError(msg) from error
            skipped.append({"file": each.file, "reason": msg})
            continue
        # all that the set's statistic needs of a picture
        means.append(diagnose.phase_means(torch.from_numpy(each.grey), period))
    if not measured:
        msg = (
            f"{path} must hold pictures of at least one period; none is; of the first: {skipped[0]['reason']}"
        )
        raise FileError(msg)
    record: dict[str, Any] = {
        "schema": "upstroke.inspect/1",
        "kind": "pictures" if folder else "picture",
        "path": str(path),
        "period": list(period),
        "measured_on": "grey levels, 0 to 255; of coloured pictures the luminance",
        "pictures": sorted(measured, key=lambda one: -one["psv"]["ratio_to_chance"]),
        "skipped": skipped,
        "set": None,
    }
    if len(means) > 1:
        found = diagnose.set_subgrid_variance(means, period, draws=DRAWS, seed=seed)
        mean = torch.stack(means).mean(dim=0)
        record["set"] = {
            "pictures": found.pictures,
            "psv": float(found.value),
            "null_mean": float(found.null_mean),
            "null_95": float(found.null_95),
            "null_99": float(found.null_99),
            "p_value": float(found.p_value),
            "shared": float(found.p_value) <= SIGNIFICANT,
            "draws": found.draws,
            "seed": seed,
            "phase_means": (mean - mean.mean()).tolist(),
        }
    return record


def _measured(picture: Picture, period: tuple[int, int]) -> dict[str, Any]:
    grey = torch.from_numpy(picture.grey)
    psv = diagnose.picture_subgrid_variance(grey, period)
    means = diagnose.phase_means(grey, period)
    try:
        levels = diagnose.spectral_peaks(grey, period).decibel
    except ShapeError:
        peaks, worst = None, None
    else:
        peaks = [[_number(float(level)) for level in row] for row in levels]
        worst = max((level for row in peaks for level in row if level is not None), default=None)
    above_chance = float(psv.ratio) > 1
    stands_out = worst is not None and worst > STANDS_OUT
    return {
        "file": picture.file,
        "size": list(picture.grey.shape),
        "notes": list(picture.notes),
        "mean": float(grey.mean()),
        "psv": {
            "value": float(psv.value),
            "amplitude": math.sqrt(float(psv.value)),
            "relative": float(psv.relative),
            "chance": float(psv.chance),
            "ratio_to_chance": float(psv.ratio),
        },
        "phase_means": (means - means.mean()).tolist(),
        "peaks_db": peaks,
        "worst_peak_db": worst,
        "above_chance": above_chance,
        "stands_out": stands_out,
    }


def picture_figure_of(record: dict[str, Any]) -> PictureFigure:
    """The arrays of the figure, for the most suspicious picture."""
    worst = record["pictures"][0]
    grey = read_picture(Path(worst["file"])).grey
    count = len(record["pictures"])
    name = Path(worst["file"]).name
    title = name if len(name) <= 40 else f"{name[:37]}…"
    period = record["period"]
    step = min(max(1, -(-max(grey.shape) // PANEL)), *grey.shape)
    # whole blocks, so that every panel pixel is a mean of equally many
    small = grey[tuple(slice(max(1, n // step) * step) for n in grey.shape)]
    middle = tuple(slice(max(0, n // 2 - DETAIL // 2), n // 2 + DETAIL // 2) for n in grey.shape)
    levels = worst["peaks_db"]
    return {
        "title": f"{title}, period {'x'.join(map(str, period))}"
        + (f" (most suspicious of {count})" if count > 1 else ""),
        "picture": small.reshape(small.shape[0] // step, step, small.shape[1] // step, step).mean(
            axis=(1, 3)
        ),
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
        "phase_means": numpy.asarray(worst["phase_means"], dtype=numpy.float64),
        "phase_title": "Phase means, grey levels",
    }


def _folded(index: int, period: int) -> float:
    """An image frequency in cycles per pixel, from above -1/2 to 1/2."""
    return index / period if 2 * index <= period else index / period - 1


def _spectrum(grey: numpy.ndarray) -> numpy.ndarray:
    """Log power under a Hann window, frequency 0 in the middle; of neighbouring bins the largest is kept."""
    windowed = grey - grey.mean()
    for axis, n in enumerate(grey.shape):
        window = 0.5 - 0.5 * numpy.cos(2 * math.pi * numpy.arange(n) / n) if n > 1 else numpy.ones(1)
        windowed = windowed * numpy.expand_dims(window, 1 - axis)
    power = numpy.fft.fftshift(numpy.abs(numpy.fft.fft2(windowed)) ** 2)
    step = tuple(max(1, n // PANEL) for n in grey.shape)
    cut = power[: power.shape[0] // step[0] * step[0], : power.shape[1] // step[1] * step[1]]
    rows, columns = cut.shape[0] // step[0], cut.shape[1] // step[1]
    pooled = cut.reshape(rows, step[0], columns, step[1]).max(axis=(1, 3))
    most = float(pooled.max())
    return (
        10 * numpy.log10(numpy.maximum(pooled / most, 1e-15))
        if most > 0
        else numpy.full(pooled.shape, -150.0)
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
