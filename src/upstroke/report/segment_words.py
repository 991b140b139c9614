"""Turn numbers of an evaluated segmentation into the words that text and page share."""

from collections.abc import Callable
from typing import Any

from upstroke.report.downscale_words import column
from upstroke.report.inspect_text import figures

__all__ = [
    "PRESENCE",
    "beside_words",
    "case_size",
    "distance",
    "found_words",
    "how_judged",
    "length",
    "note_words",
    "percent",
    "score",
    "selection_words",
    "several",
    "verdict_words",
    "volume_unit",
    "with_spread",
]

Json = dict[str, Any]
NOTHING = "–"
# What to say of a class in one case.
PRESENCE = {
    "both": "compared",
    "missed": "missed: nothing was outlined",
    "invented": "invented: there is none",
    "absent": "in neither",
}
KINDS = {"run": "the run", "model": "the model", "predictions": "the predictions in"}
LISTED = 3


def score(value: float | None) -> str:
    """A Dice or IoU with three decimals.

    >>> score(0.84349), score(None)
    ('0.843', '–')
    """
    return column([value], decimals=3)[0]


def distance(value: float | None) -> str:
    """A distance, with two decimals where it is below 10.

    >>> distance(1.0), distance(12.34), distance(None)
    ('1.00', '12.3', '–')
    """
    return NOTHING if value is None else f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def percent(value: float | None) -> str:
    """A relative error with its sign.

    >>> percent(-0.0312), percent(0.5), percent(None), percent(0.0)
    ('−3.1 %', '+50.0 %', '–', '0.0 %')
    """
    if value is None:
        return NOTHING
    rounded = round(100 * value, 1) + 0.0
    return f"{rounded:+.1f} %".replace("-", "−") if rounded else "0.0 %"


def with_spread(part: Json | None, words: Callable[[float | None], str]) -> str:
    """A mean with the standard deviation over cases.

    >>> with_spread({"mean": 0.5, "sd": 0.1}, score), with_spread(None, score)
    ('0.500 ± 0.100', '–')
    """
    if part is None:
        return NOTHING
    return (
        words(part["mean"]) if part["sd"] is None else f"{words(part['mean'])} ± {_plain(words, part['sd'])}"
    )


def _plain(words: Callable[[float | None], str], value: float) -> str:
    return words(value).lstrip("+")


def several(count: int, what: str) -> str:
    """A count with its noun.

    >>> several(1, "case"), several(1200, "voxel")
    ('1 case', '1,200 voxels')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def length(record: Json) -> str:
    """The unit of distances as it is written.

    >>> length({"unit": "mm"}), length({"unit": "pixel"}), length({"unit": None})
    ('mm', 'px', '')
    """
    unit = record["unit"] or ""
    return {"micron": "µm", "pixel": "px"}.get(unit, unit)


def volume_unit(part: Json, ndim: int) -> str:
    """The unit of volumes, or of areas.

    >>> volume_unit({"unit": "mm"}, 3), volume_unit({"unit": "pixel"}, 2)
    ('mm³', 'px')
    """
    unit = length(part)
    return unit if unit == "px" else f"{unit}{'³' if ndim == 3 else '²'}"


def case_size(case: Json) -> str:
    """The size of a case and of its voxels.

    >>> case_size({"size": [35, 51], "spacing": [1.0, 0.5], "unit": "mm"})
    '35×51, voxels of 1×0.5 mm'
    >>> case_size({"size": [35, 51], "spacing": [1.0, 1.0], "unit": "pixel"})
    '35×51 px'
    """
    size = "×".join(map(str, case["size"]))
    if case["unit"] == "pixel" and set(case["spacing"]) == {1.0}:
        return f"{size} px"
    sides = "×".join(figures(each, 3) for each in case["spacing"])
    return f"{size}, voxels of {sides} {length(case)}"


def verdict_words(record: Json) -> str:
    """What came out, in a sentence."""
    mean, count = record["mean"], len(record["cases"])
    if mean["dice"] is None:
        return f"Nothing to score in {several(count, 'case')}"
    what = "Mean Dice" if mean["classes"] > 1 else "Dice"
    return f"{what} {score(mean['dice'])} over {several(count, 'case')}"


def beside_words(record: Json) -> str:
    """The other means, in a sentence."""
    mean, unit = record["mean"], length(record)
    parts = []
    if mean["iou"] is not None:
        parts.append(f"IoU {score(mean['iou'])}")
    if mean["hausdorff95"] is not None:
        parts.append(f"Hausdorff distance at 95 % {distance(mean['hausdorff95'])} {unit}".strip())
    if mean["boundary"] is not None:
        parts.append(f"mean boundary distance {distance(mean['boundary'])} {unit}".strip())
    means = f"{', '.join(parts)}: means over cases" if parts else "There are no means"
    return f"{means}, then over {_classes(mean['classes'])}."


def _classes(count: int) -> str:
    return "the one class" if count == 1 else f"{count} classes"


def selection_words(record: Json) -> str:
    """Which cases were judged, and why these."""
    chosen, count = record["selection"], len(record["cases"])
    source = f"{KINDS[record['source']['kind']]} {record['source']['name']}"
    if chosen["which"] == "validation":
        why = "as asked" if chosen["is_asked"] else f"because {source} was trained on others of this data"
        words = f"{several(count, 'case')} of {chosen['found']:,} in {record['data']}: those held out, {why}."
    else:
        every = "all" if count == chosen["found"] else f"{count:,} of"
        words = f"{every} {several(chosen['found'], 'case')} in {record['data']}.".capitalize()
    return words


def note_words(record: Json) -> list[str]:
    """What else has to be known, a sentence each."""
    chosen, notes = record["selection"], []
    if chosen["learnt_from"]:
        notes.append(
            f"{several(chosen['learnt_from'], 'case')} of these "
            f"{'has' if chosen['learnt_from'] == 1 else 'have'} "
            "the name of a case that the run learnt from: scores of those say little about new cases."
        )
    elif chosen["learnt_from"] is None and record["source"]["kind"] != "predictions":
        notes.append("Which cases it learnt from is not known; scores of those would say little.")
    missing = chosen["without_answer"]
    if missing:
        more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
        names = ", ".join(missing[:LISTED]) + more
        have = "has" if len(missing) == 1 else "have"
        notes.append(f"{several(len(missing), 'case')} {have} no prediction, so no score: {names}.")
    if record["unit"] is None:
        notes.append("The cases have several units of length, so distances have no mean.")
    return notes


def found_words(part: Json) -> str:
    """In how many cases a class was compared, and in how many it was not.

    >>> found_words({"cases": {"both": 38, "missed": 1, "invented": 0, "absent": 1}})
    '38; missed in 1'
    """
    cases = part["cases"]
    more = [f"{word} in {cases[word]:,}" for word in ("missed", "invented") if cases[word]]
    return "; ".join([f"{cases['both']:,}", *more])


def how_judged(record: Json) -> list[tuple[str, str]]:
    """What the numbers mean, by their heads."""
    unit, background = length(record), record["background"]
    far = f"in {unit}" if unit else "in the unit of each case"
    share = record["percentile"]
    each_way = (
        f"From every boundary voxel to the nearest of the other outline, {far}: the {share}th percentile "
        "each way, and the larger of the two. A voxel is on the boundary if a neighbour across a side is of "
        "another class, or missing, because the image ends there. This is MONAI's convention; other programs "
        "have others."
    )
    empty = (
        "A class that is in neither outline of a case is not counted. Where it is missed or invented, Dice "
        "and IoU are 0, and there is no boundary to compare, so that distances are of the other cases alone."
    )
    parts = [
        ("Dice, IoU", "Twice the voxels in common by all of both, and those in common by those of either."),
        (f"Hausdorff {share} %", each_way),
        ("Boundary", f"The mean of these distances over the boundary voxels of both outlines, {far}."),
        ("Volume", "What is predicted minus what is true, by what is true."),
        ("Empty", empty),
        ("Means", "Over cases, ± the standard deviation from case to case; then over classes."),
        ("Worst", "By the mean Dice over a case's classes, then by the larger distance."),
    ]
    name = f"{background['name']} (value {background['value']})"
    parts.append(
        ("Background", f"{name}, {'judged as a class' if background['is_judged'] else 'not judged'}.")
    )
    return parts
