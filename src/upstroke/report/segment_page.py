"""Turn the record of an evaluated segmentation and pictures of its worst cases into one HTML page."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from upstroke.report.html import page
from upstroke.report.segment_overlay import overlay
from upstroke.report.segment_words import (
    PRESENCE,
    beside_words,
    case_size,
    distance,
    found_words,
    how_judged,
    length,
    note_words,
    percent,
    score,
    selection_words,
    several,
    verdict_words,
    with_spread,
)
from upstroke.report.svg import Drawing
from upstroke.report.svg_strips import Strip, strips

__all__ = ["segment_page"]

Json = dict[str, Any]
AXES = ("first", "second", "third")


def segment_page(record: Json, pictures: Sequence[Mapping[str, Any]]) -> str:
    """Write an `upstroke.segment-evaluate/1` record, with pictures of the worst cases, as an HTML page.

    Args:
        record: plain data.
        pictures: as `Evaluation.pictures` has them.

    Raises:
        MissingExtraError: pillow is not installed.
    """
    cases = {each["name"]: each for each in record["cases"]}
    return page(
        "segment.html",
        {
            "title": f"{record['source']['name']} on {record['data']} – upstroke segment evaluate",
            "name": f"{record['source']['name']} on {record['data']}",
            "verdict": verdict_words(record),
            "state": {"kind": "note", "shape": "●", "word": "judged"},
            "where": beside_words(record),
            "facts": [("Cases", selection_words(record)), ("Classes", _class_names(record))],
            "notes": note_words(record),
            "unit": length(record),
            "classes": [_class(each) for each in record["classes"]],
            "strips": _strips(record),
            "worst": [_worst(record, cases[each["case"]], each) for each in pictures],
            "shown": several(len(pictures), "case"),
            "key": _key(record),
            "has_sides": any(each["sides"] for each in pictures),
            "cases": [_case(each, record) for each in record["cases"]],
            "names": [each["name"] for each in record["classes"]],
            "judged": how_judged(record),
            "schema": record["schema"],
            "version": record["version"],
        },
    )


def _class_names(record: Json) -> str:
    return ", ".join(each["name"] for each in record["classes"])


def _class(part: Json) -> Json:
    return {
        "name": part["name"],
        "dice": with_spread(part["dice"], score),
        "median": score(None if part["dice"] is None else part["dice"]["median"]),
        "iou": with_spread(part["iou"], score),
        "far": with_spread(part["hausdorff95"], distance),
        "boundary": with_spread(part["boundary"], distance),
        "volume": with_spread(part["volume_error"], percent),
        "cases": found_words(part),
    }


def _strips(record: Json) -> list[Json]:
    """A drawing of the Dice of all cases, and one of their distances."""
    unit = length(record)
    far = f"Hausdorff distance at {record['percentile']} %{', ' if unit else ''}{unit}"
    kinds: tuple[tuple[str, str, tuple[float, float] | None, Callable[[float | None], str], str], ...] = (
        ("dice", "Dice", (0.0, 1.0), score, "1 is perfect."),
        (
            "hausdorff95",
            far,
            None,
            distance,
            "0 is perfect; of cases in which the class is in both outlines.",
        ),
    )
    found = []
    for key, head, limits, words, more in kinds:
        drawing = _strip(record, key, head, limits, words)
        if drawing is not None:
            found.append({"head": head, "panel": drawing, "words": f"{more} A dot is a case."})
    return found


def _strip(
    record: Json,
    key: str,
    head: str,
    limits: tuple[float, float] | None,
    words: Callable[[float | None], str],
) -> Drawing | None:
    rows = []
    for at, part in enumerate(record["classes"]):
        if part[key] is not None:
            values = [case["scores"][at][key] for case in record["cases"]]
            rows.append(
                Strip(
                    name=part["name"],
                    values=[each for each in values if each is not None],
                    quartiles=(part[key]["lower"], part[key]["median"], part[key]["upper"]),
                    words=f"median {words(part[key]['median'])}",
                )
            )
    return strips(rows, limits=limits, label=head)


def _worst(record: Json, case: Json, picture: Mapping[str, Any]) -> Json:
    """One case with its scores and its picture."""
    unit = length(case)
    return {
        "name": case["name"],
        "dice": score(case["dice"]),
        "facts": case_size(case),
        "view": _view_words(picture),
        "picture": overlay(picture, is_marked=_key(record) is not None),
        "rows": [
            {
                "name": part["name"],
                "dice": score(part["dice"]),
                "far": f"{distance(part['hausdorff95'])} {unit}" if part["hausdorff95"] is not None else "–",
                "volume": percent(part["volume_error"]),
                "words": None if part["presence"] == "both" else PRESENCE[part["presence"]],
            }
            for part in case["scores"]
        ],
    }


def _view_words(picture: Mapping[str, Any]) -> str:
    """Which slice is shown, and which part of it."""
    wrong = several(picture["errors"], "voxel")
    words = f"{wrong} differ" if picture["errors"] != 1 else f"{wrong} differs"
    if picture["axis"] is not None:
        plane = f"{picture['plane']}, " if picture["plane"] else ""
        place = f"{picture['index'] + 1} of {picture['slices']} along the {AXES[picture['axis']]} axis"
        words = f"Slice {place} ({plane}the one that differs most): {words}"
    size = picture["true"].shape
    if tuple(size) != tuple(picture["whole"]):
        row, column = picture["corner"]
        part = f"rows {row + 1}–{row + size[0]}, columns {column + 1}–{column + size[1]}"
        words = f"{words}; shown are {part} of {'×'.join(map(str, picture['whole']))}"
    missing = [
        f"; the {what} outlines nothing here"
        for key, what in (("true", "label"), ("predicted", "prediction"))
        if not (picture[key] > 0).any()
    ]
    return f"{words}{''.join(missing)}."


def _key(record: Json) -> str | None:
    """Which number in the pictures is which class; None where there is but one beside the background."""
    named = [each for each in record["classes"] if each["number"]]
    return ", ".join(f"{each['number']} {each['name']}" for each in named) if len(named) > 1 else None


def _case(case: Json, record: Json) -> Json:
    is_many = len(record["classes"]) > 1
    return {
        "name": case["name"],
        "dice": score(case["dice"]),
        "iou": score(case["iou"]),
        "far": distance(case["hausdorff95"]),
        "boundary": distance(case["boundary"]),
        "parts": [
            {
                "head": part["name"],
                "value": score(part["dice"]) if part["presence"] in ("both", "absent") else part["presence"],
            }
            for part in case["scores"]
        ]
        if is_many
        else [],
    }
