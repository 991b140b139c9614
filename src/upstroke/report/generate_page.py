"""Turn the record of a judged generator and pictures of it into one HTML page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upstroke.report.embedded import embedded
from upstroke.report.generate_evaluated_words import (
    answers,
    beside_words,
    distance_rows,
    diversity_rows,
    how_judged,
    is_as_wanted,
    mark_rows,
    near_words,
    network_words,
    note_words,
    single_rows,
    source_words,
    state_of,
    verdict_words,
)
from upstroke.report.html import page
from upstroke.report.inspect_text import figures
from upstroke.report.svg import Drawing
from upstroke.report.svg_bands import Band, bands
from upstroke.report.svg_marks import Amount, amounts
from upstroke.report.svg_strips import Strip, strips

__all__ = ["generate_page"]

Json = dict[str, Any]
# The sides that pictures of pairs are shown at, at least.
SHOWN = 96


def generate_page(record: Json, pictures: Mapping[str, Any]) -> str:
    """Write an `upstroke.generate-evaluate/1` record, with pictures, as an HTML page.

    Args:
        record: plain data.
        pictures: as `Evaluation.pictures` has them.

    Raises:
        MissingExtraError: pillow is not installed.
    """
    size = record["source"]["size"]
    return page(
        "generate.html",
        {
            "title": f"{record['source']['name']} – upstroke generate evaluate",
            "name": record["source"]["name"],
            "verdict": verdict_words(record),
            "state": state_of(is_as_wanted(record)),
            "where": beside_words(record),
            "facts": [
                ("Generator", source_words(record)),
                ("Real pictures", f"{record['data']['name']}, {record['data']['pictures']:,}"),
            ],
            "notes": note_words(record),
            "answers": answers(record),
            "sheets": [
                _sheet("Samples, numbered from 0 in rows", pictures["samples"]),
                _sheet("Real pictures, from first to last", pictures["real"]),
            ],
            "single": single_rows(record),
            "marks": _marks(record),
            "rows": mark_rows(record),
            "is_grey": record["data"]["channels"] == 1,
            "spectra": _spectra(record),
            "distances": distance_rows(record),
            "network": network_words(record),
            "diversity": diversity_rows(record),
            "near": None if record["closest"] is None else near_words(record),
            "near_panel": _distances(pictures["distances"]),
            "pairs": _pairs(record, pictures["pairs"]),
            "side": max(SHOWN, size),
            "judged": how_judged(record),
            "schema": record["schema"],
            "version": record["version"],
        },
    )


def _sheet(words: str, levels: NDArray[np.uint8]) -> Json:
    return {"words": words, "picture": embedded(levels), "height": len(levels), "width": levels.shape[1]}


def _embedded(levels: NDArray[np.uint8]) -> str:
    return embedded(levels[..., 0] if levels.shape[-1] == 1 else levels)


def _marks(record: Json) -> list[Json]:
    """A drawing of what samples have in common in their levels, and one of how loud details are."""
    found = []
    for kind, head in (("level", "In common, levels of 255"), ("detail", "Louder details, %")):
        rows = [
            Amount(
                name=" ".join(filter(None, (f"period {each['period']}", each["channel"]))),
                samples=each["sizes"][0],
                chance=each["sizes"][1],
                real=each["sizes"][2],
                is_marked=each["word"] == "above both",
            )
            for each in mark_rows(record)
            if each["kind"] == kind
        ]
        drawing = amounts(rows, label=head) if rows else None
        if drawing is not None:
            found.append({"head": head, "panel": drawing})
    return found


def _spectra(record: Json) -> list[Json]:
    """Power of both sets, and of samples over that of real pictures, by frequency."""
    part = record["spectrum"]
    if part is None:
        return []
    ratio = [
        Band(name="samples", level=part["decibel"], low=part["low"], high=part["high"]),
        Band(
            name="real pictures",
            level=[0.0 for _ in part["frequency"]],
            low=part["real_low"],
            high=part["real_high"],
        ),
    ]
    power = [
        Band(name=name, level=_decibel(part[key]), low=_nothing(part), high=_nothing(part))
        for name, key in (("samples", "samples"), ("real pictures", "real"))
    ]
    found = []
    for head, curves in (("Power over that of real pictures, dB", ratio), ("Power, dB", power)):
        drawing = bands(part["frequency"], curves, high_from=part["high_from"], label=head)
        if drawing is not None:
            found.append({"head": head, "panel": drawing})
    return found


def _decibel(power: Sequence[float | None]) -> list[float | None]:
    return [None if not each else 10 * math.log10(each) for each in power]


def _nothing(part: Json) -> list[float | None]:
    return [None for _ in part["frequency"]]


def _distances(distances: Mapping[str, NDArray[np.float64]] | None) -> Drawing | None:
    """Distances of samples to the nearest real picture, above those of real pictures to one another."""
    if distances is None:
        return None
    rows = [
        Strip(
            name=name,
            values=[float(each) for each in distances[key]],
            quartiles=_quartiles(distances[key]),
            words=f"median {figures(float(np.median(distances[key])), 3)}",
        )
        for name, key in (("samples", "samples"), ("real pictures", "real"))
    ]
    return strips(rows, limits=None, label="Distance to the nearest real picture, levels")


def _quartiles(values: NDArray[np.float64]) -> tuple[float, float, float]:
    lower, middle, upper = (float(np.quantile(values, share)) for share in (0.25, 0.5, 0.75))
    return lower, middle, upper


def _pairs(record: Json, pairs: Sequence[Mapping[str, NDArray[np.uint8]]]) -> list[Json]:
    """The samples that lie nearest to a real picture, each beside it."""
    if record["closest"] is None:
        return []
    return [
        {
            "number": near["sample"],
            "file": near["file"],
            "distance": figures(near["distance"], 3),
            "is_mirrored": near["is_mirrored"],
            "is_copy": near["is_copy"],
            "sample": _embedded(np.moveaxis(pair["sample"], 0, -1)),
            "real": _embedded(np.moveaxis(pair["real"], 0, -1)),
        }
        for near, pair in zip(record["closest"]["nearest"], pairs, strict=False)
    ]
