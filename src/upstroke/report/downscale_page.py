"""Turn the record of an evaluated downscaling and the fields of one map into one self-contained HTML page."""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upstroke.report.downscale_words import (
    beside_words,
    best_of,
    by_rmse,
    column,
    decimals_for,
    difference_unit,
    grid_words,
    how_judged,
    is_kept,
    kept_words,
    pair_words,
    percent,
    resolved_words,
    scores_of,
    signed,
    two_digits,
    unit_of,
    verdict_words,
)
from upstroke.report.html import page
from upstroke.report.inspect_text import figures
from upstroke.report.maps import Curve, Frame, draw_curves, draw_map, nice

__all__ = ["downscale_page"]

Json = dict[str, Any]
Floats = NDArray[np.floating]
REGIONS = (("interior", "Away from coasts"), ("coast", "At coasts"))
# Heads and keys of all scores of a region; whether a sign is shown.
SCORES = (
    ("RMSE", "rmse", False),
    ("MAE", "mae", False),
    ("Bias", "bias", True),
    ("Most over", "most_over", True),
    ("Most under", "most_under", True),
    ("1 %", "low_error", True),
    ("99 %", "high_error", True),
    ("Least", "least_error", True),
    ("Greatest", "greatest_error", True),
    ("Overshoot", "overshoot", False),
)
# Parts of the values and of the differences that the ends of the scales cut off, in per cent.
TAIL, FAR = 0.2, 1.0
# Widths in inches: of a map that stands beside another, and of an enlarged part beside others.
HALF, PART = 4.4, 2.3


def downscale_page(record: Json, pictures: Mapping[str, Any]) -> str:
    """Write an `upstroke.downscale-evaluate/1` record, with the arrays of one map, as an HTML page.

    Args:
        record: plain data.
        pictures: arrays, as `Evaluation.pictures` has them.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    best = best_of(record)
    places = {each["name"]: place for place, each in enumerate(record["methods"])}
    return page(
        "downscale.html",
        {
            "title": f"{record['variable']}, {record['source'] or 'field'} – upstroke downscale evaluate",
            "name": record["source"] or record["variable"],
            "verdict": verdict_words(record),
            "state": {"kind": "ok", "shape": "✓", "word": "best"},
            "where": f"{beside_words(record)} {kept_words(record)}",
            "facts": _facts(record),
            "pair": pair_words(record),
            "methods": _methods(record, best["name"]),
            "unit": difference_unit(record),
            "has_spectra": record["spectra"] is not None,
            "regions": _regions(record, best["name"]),
            "map_words": _map_words(record, pictures),
            "zoom": _zoom(record, pictures),
            "zoom_words": _zoom_words(record, pictures),
            "maps": _maps(record, pictures),
            "rows": _rows(record, places),
            "spectra": _spectra(record, places),
            "judged": how_judged(record),
            "schema": record["schema"],
            "version": record["version"],
        },
    )


def _facts(record: Json) -> list[tuple[str, str]]:
    unit, truth = unit_of(record), record["truth"]
    span = f"{figures(truth['least'], 3)} to {figures(truth['greatest'], 3)} {unit}".strip()
    field = record["long_name"]
    name = field if field == record["variable"] else f"{field} ({record['variable']})"
    facts = [("Field", name), ("Cells", grid_words(record))]
    if record["maps"] > 1:
        facts.append(("Maps", f"{record['maps']:,}"))
    if record["pair"] is not None:
        facts.append(("Coarse field", record["coarse_source"] or "a model's own"))
    return [*facts, ("True values", span)]


def _methods(record: Json, best: str) -> list[Json]:
    """The table of methods, the nearest to the truth first."""
    order = by_rmse(record)
    rmse = {name: column([_score(each, name, "rmse") for each in order]) for name, _ in REGIONS}
    nearest = next(each for each in record["methods"] if each["name"] == "nearest")
    rows = []
    for index, method in enumerate(order):
        rows.append(
            {
                "name": method["name"],
                "words": method["words"],
                "is_best": method["name"] == best,
                "rmse": rmse["interior"][index],
                "gain": _gain(method, nearest, record["verdict"]["region"]),
                "coast": rmse["coast"][index],
                "kept": (
                    {"kind": "ok", "shape": "✓", "word": "kept"}
                    if is_kept(method)
                    else {"kind": "warning", "shape": "▲", "word": "changed"}
                ),
                "block_means": two_digits(method["block_means"]["largest"]),
                "total": percent(method["total"]["relative_change"]),
                "resolved": resolved_words(record, method, "isotropic"),
                "lost": method["lost"],
            }
        )
    return rows


def _score(method: Json, region: str, key: str) -> float | None:
    scores = method["scores"][region]
    return None if scores is None else scores[key]


def _gain(method: Json, nearest: Json, region: str) -> str:
    here, there = (_score(each, region, "rmse") for each in (method, nearest))
    if here is None or not there or method["name"] == "nearest":
        return "–"
    return f"{round(100 * (here / there - 1)):+d} %".replace("-", "−")


def _regions(record: Json, best: str) -> list[Json]:
    """All scores of every method, a table for each region."""
    found = []
    for name, title in REGIONS:
        if all(each["scores"][name] is None for each in record["methods"]):
            continue
        columns = []
        decimals = decimals_for(scores_of(record, name, "rmse"))
        for _, key, is_signed in SCORES:
            words = column(scores_of(record, name, key), decimals=decimals)
            columns.append([signed(each) for each in words] if is_signed else words)
        rows = [
            {
                "name": method["name"],
                "is_best": method["name"] == best,
                "cells": [
                    {"head": head, "value": words[index]}
                    for (head, *_), words in zip(SCORES, columns, strict=True)
                ],
                "beyond": percent(_score(method, name, "beyond")),
            }
            for index, method in enumerate(record["methods"])
        ]
        found.append({"name": name, "title": title, "heads": [head for head, *_ in SCORES], "rows": rows})
    return found


def _frame(record: Json, pictures: Mapping[str, Any]) -> Frame:
    grid = record["grid"]
    return Frame(
        y=np.asarray(pictures["y"]),
        x=np.asarray(pictures["x"]),
        is_sphere=grid["kind"] == "latitude",
        is_compass=grid["y"]["units"].lower().startswith("degree") and "north" in grid["y"]["units"].lower(),
        units=grid["y"]["units"],
    )


def _maps(record: Json, pictures: Mapping[str, Any]) -> Json:
    """The whole field: the truth and what methods get, the differences of every method, and its fields."""
    frame, valid, truth = _frame(record, pictures), pictures["valid"], pictures["truth"]
    limits, most = _limits(truth), _farthest(pictures, slice(None), slice(None))

    def drawn(field: Floats, head: str, *, is_difference: bool = False) -> Json:
        data = draw_map(
            field, frame, valid=valid, limits=(-most, most) if is_difference else limits,
            unit=difference_unit(record) if is_difference else unit_of(record),
            is_difference=is_difference, width=HALF,
        )  # fmt: skip
        return _picture(data, head, "")

    fields = {each["name"]: pictures["fields"][each["name"]] for each in by_rmse(record)}
    return {
        "given": [drawn(truth, "The truth"), drawn(pictures["coarse"], "What methods get")],
        "differences": [
            drawn(_difference(field, truth), f"{name} minus the truth", is_difference=True)
            for name, field in fields.items()
        ],
        "fields": [drawn(field, name) for name, field in fields.items()],
    }


def _zoom(record: Json, pictures: Mapping[str, Any]) -> Json:
    """The part with the steepest gradients enlarged: fields, then differences."""
    rows, columns = pictures["zoom"]
    frame = _frame(record, pictures).part(rows, columns)
    valid, truth = pictures["valid"][rows, columns], pictures["truth"][rows, columns]
    unit, apart = unit_of(record), difference_unit(record)
    limits, most = _limits(truth), _farthest(pictures, rows, columns)
    made = {each["name"]: pictures["fields"][each["name"]][rows, columns] for each in by_rmse(record)}
    given = _spread(pictures["coarse"], rows, columns, record)
    fields = [
        _picture(draw_map(field, frame, valid=valid, limits=limits, unit=unit, width=PART), head, "")
        for head, field in {"The truth": truth, "What methods get": given, **made}.items()
    ]
    differences = []
    for name, field in made.items():
        error = _difference(field, truth)
        rmse = f"{two_digits(float(np.sqrt(np.nanmean(error**2))))} {apart}".strip()
        data = draw_map(
            error, frame, valid=valid, limits=(-most, most), unit=apart, is_difference=True, width=PART
        )
        differences.append(_picture(data, f"{name} minus the truth", f"Root mean square {rmse}."))
    return {"fields": fields, "differences": differences}


def _spread(coarse: Floats, rows: slice, columns: slice, record: Json) -> Floats:
    """The coarse field on the fine cells of a part, where these have a value or not."""
    factor = record["factor"]
    fine = coarse.repeat(factor[0], axis=0).repeat(factor[1], axis=1)
    top = record["grid"]["dropped"][0]
    return fine[rows.start + top : rows.stop + top, columns]


def _difference(field: Floats, truth: Floats) -> Floats:
    return field.astype(np.float64) - truth


def _limits(truth: Floats) -> tuple[float, float]:
    known = truth[np.isfinite(truth)]
    low, high = (float(each) for each in np.percentile(known, (TAIL, 100 - TAIL)))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _farthest(pictures: Mapping[str, Any], rows: slice, columns: slice) -> float:
    """Limit of all difference maps: what all but one per cent of the differences of all methods keep to."""
    truth = pictures["truth"][rows, columns]
    apart = [np.abs(_difference(field[rows, columns], truth)) for field in pictures["fields"].values()]
    known = np.concatenate([each[np.isfinite(each)] for each in apart])
    return nice(float(np.percentile(known, 100 - FAR))) if known.size else 1.0


def _rows(record: Json, places: Mapping[str, int]) -> list[Json]:
    """Means of rows of the truth, and each method's mean error and RMSE there."""
    rows, axis = record["truth"]["rows"], record["grid"]["y"]
    is_sphere = record["grid"]["kind"] == "latitude"
    label = "latitude (°)" if is_sphere else f"{axis['name']} ({axis['units']})"
    unit, apart = unit_of(record), difference_unit(record)
    means = [Curve(name="the truth", x=rows, y=record["truth"]["row_means"])]
    factor, top = record["factor"][0], record["grid"]["dropped"][0]
    middles = _of_blocks(rows, factor, top, is_squared=False)
    curves = {
        key: [
            Curve(
                name=each["name"], x=middles, y=_of_blocks(each[key], factor, top), place=places[each["name"]]
            )
            for each in by_rmse(record)
        ]
        for key in ("row_bias", "row_rmse")
    }
    bounds = {key: (0.0, _bound(of)) for key, of in curves.items()}
    return [
        _curves(
            draw_curves(means, x_label=label, y_label=unit),
            "Means along rows",
            "Of the truth, by area; those of every method lie so near that differences are shown.",
        ),
        _curves(
            draw_curves(curves["row_bias"], x_label=label, y_label=apart, limits=bounds["row_bias"]),
            "Error of the means along rows",
            "Root mean square over the fine rows of each coarse row.",
        ),
        _curves(
            draw_curves(curves["row_rmse"], x_label=label, y_label=apart, limits=bounds["row_rmse"]),
            "RMSE of the rows",
            "Over each coarse row.",
        ),
    ]


def _of_blocks(
    rows: Sequence[float | None], factor: int, top: int, *, is_squared: bool = True
) -> list[float | None]:
    """Root mean squares of fine rows over coarse ones, or means; of those that have a value."""
    starts = range(-top, len(rows), factor)
    blocks = [[each for each in rows[max(at, 0) : at + factor] if each is not None] for at in starts]
    power = 2 if is_squared else 1
    return [
        (sum(each**power for each in block) / len(block)) ** (1 / power) if block else None
        for block in blocks
    ]


def _bound(curves: Sequence[Curve]) -> float:
    """A limit that shows all but the outermost half per cent of the values."""
    known = [each for curve in curves for each in curve.y if each is not None]
    return nice(float(np.percentile(known, 99.5))) if known else 1.0


def _spectra(record: Json, places: Mapping[str, int]) -> list[Json]:
    if record["spectra"] is None:
        return []
    found = []
    for way, head in (("isotropic", "in any direction"), ("zonal", "along rows")):
        spectrum = record["spectra"][way]
        waves, label = spectrum["wavelength"], f"wavelength ({spectrum['unit']})"
        marks = {"2 coarse cells": spectrum["coarse_limit"]}
        for key, title, words in (
            (
                "ratio",
                f"Power {head}",
                (
                    "Of each method by that of the truth: 1 is right. Left of the mark the coarse grid "
                    "has the wave."
                ),
            ),
            (
                "error_ratio",
                f"Error {head}",
                (
                    "Power of the difference by that of the truth: below a half the wave is resolved, at "
                    "1 all of it is missing."
                ),
            ),
        ):
            curves = [
                Curve(name=each["name"], x=waves, y=each["spectra"][way][key], place=places[each["name"]])
                for each in by_rmse(record)
                if each["spectra"] is not None
            ]
            floor = 0.01 if key == "ratio" else 0.001
            data = draw_curves(
                curves, x_label=label, y_label="by that of the truth", scales=("log", "log"), marks=marks,
                limits=(floor, 10.0), level=1.0 if key == "ratio" else 0.5, is_falling=True,
            )  # fmt: skip
            found.append(_curves(data, title, words))
    return found


def _picture(data: bytes, head: str, words: str) -> Json:
    # the size stands in bytes 16 to 24 of every PNG
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    return {"source": _uri(data, "image/png"), "head": head, "words": words, "width": width, "height": height}


def _curves(data: bytes, head: str, words: str) -> Json:
    return {"source": _uri(data, "image/svg+xml"), "head": head, "words": words, "width": 880, "height": 580}


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _map_words(record: Json, pictures: Mapping[str, Any]) -> str:
    which = "" if record["maps"] == 1 else f"Map {pictures['map']} of the file. "
    return (
        f"{which}Fields share one scale of colours, differences another, on which white is 0; one per "
        "cent of these lies "
        "beyond its ends. Coasts are the boundary of the cells that have a value."
    )


def _zoom_words(record: Json, pictures: Mapping[str, Any]) -> str:
    rows, columns = pictures["zoom"]
    size = " × ".join(
        str(math.ceil((span.stop - span.start) / factor))
        for span, factor in zip((rows, columns), record["factor"], strict=True)
    )
    return f"{size} coarse cells with the largest steps from cell to cell in the truth."
