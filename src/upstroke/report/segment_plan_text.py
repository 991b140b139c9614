"""Turn the plan of a training run of `upstroke segment` into text for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written
from upstroke.report.training_words import PRECISIONS

__all__ = ["segment_plan_text"]

Json = dict[str, Any]
# Columns of the names at the left.
HEAD = 12


def segment_plan_text(record: Json, *, width: int = 100, colour: bool = False) -> str:
    """Write an `upstroke.segment-plan/1` record as text."""
    return written(lambda console: _write(console, record), width=width, colour=colour)


def _write(console: Console, record: Json) -> None:
    for name, words in _lines(record):
        say(console, Text(f"{name:<{HEAD}}", "bold"), Text(visible(words)), hang=HEAD)


def _lines(record: Json) -> Iterator[tuple[str, str]]:
    survey, network = record["survey"], record["network"]
    yield "data", f"{record['data']}: {_held(survey)}, {_channels(survey)}"
    yield "sizes", _extent(survey["sizes"])
    yield "spacing", f"{_extent(survey['spacing'])} {survey['unit']}{_brought(record)}"
    yield "classes", "; ".join(map(_class, survey["classes"])) + _empty(survey)
    yield "learnt from", _held(record["train"])
    yield "held out", _checked(record)
    yield "preset", f"{record['preset']['name']}: {record['preset']['words']}"
    yield "network", _network(network)
    yield "joins", _joins(network["joins"])
    yield "patches", _patches(record)
    yield "training", _training(record)
    if record["weights"] is not None:
        yield "weights", _weights(record["weights"], survey["classes"])
    for note in record["notes"]:
        yield "note", note


def _held(part: Json) -> str:
    """Cases, and groups where they are fewer.

    >>> _held({"cases": 1, "groups": 1}), _held({"cases": 9, "groups": 3})
    ('1 case', '9 cases in 3 groups')
    """
    cases = _count(part["cases"], "case")
    return cases if part["groups"] == part["cases"] else f"{cases} in {_count(part['groups'], 'group')}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _channels(survey: Json) -> str:
    return f"{survey['ndim']}-D, {_count(survey['channels'], 'channel')}"


def _extent(extent: Json) -> str:
    """One size, or the least, the median and the largest of each axis.

    >>> _extent({"least": [31, 40], "median": [36, 50], "largest": [43, 59]})
    '31 to 43 x 40 to 59, median 36x50'
    >>> _extent({"least": [1.0, 0.5], "median": [1.0, 0.5], "largest": [1.0, 0.5]})
    '1x0.5'
    """
    if extent["least"] == extent["largest"]:
        return _times(extent["median"])
    pairs = zip(extent["least"], extent["largest"], strict=True)
    axes = " x ".join(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in pairs)
    return f"{axes}, median {_times(extent['median'])}"


def _times(numbers: Sequence[int | float]) -> str:
    return "x".join(f"{each:g}" for each in numbers)


def _brought(record: Json) -> str:
    return "" if record["spacing"] is None else f"; images are brought to {_times(record['spacing'])}"


def _class(each: Json) -> str:
    """A class with its value in files and its share of all voxels.

    >>> _class({"value": 255, "name": "membrane", "share": 0.2183, "voxels": 7})
    'membrane (255) 21.8 %'
    """
    return f"{each['name']} ({each['value']}) {100 * each['share']:.3g} %"


def _empty(survey: Json) -> str:
    return f"; {_count(survey['empty'], 'mask')} without any but the first" if survey["empty"] else ""


def _checked(record: Json) -> str:
    held = record["validation"]
    few = f"; {held['checked']} of them while training" if held["checked"] < held["cases"] else ""
    rest = (
        f"; {_count(record['test']['cases'], 'case')} for tests left alone" if record["test"]["cases"] else ""
    )
    return f"{_held(held)}{few}, judged whole every {_count(record['every'], 'step')}{rest}"


def _network(network: Json) -> str:
    made = network["settings"]
    strides = ", ".join(map(_times, made["strides"]))
    deep = f", answers at {made['deep'] + 1} levels" if made["deep"] else ""
    return (
        f"{'unpadded' if made['conv'] == 'valid' else 'padded'} U-Net, {len(made['widths'])} levels of "
        f"{', '.join(map(str, made['widths']))} channels, strides {strides}, norm {made['norm']}, "
        f"down {made['down']}, up {made['up']}{deep}: {network['parameters']:,} parameters"
    )


def _joins(joins: Sequence[Json]) -> str:
    return "; ".join(
        f"level {each['level']}: {_times_of_words(each['drift'])} pixels apart{_cropped(each['crop'])}"
        for each in joins
    )


def _times_of_words(words: Sequence[str]) -> str:
    return "x".join(words)


def _cropped(crop: Sequence[int]) -> str:
    return f", {_times(crop)} cropped on the left" if any(crop) else ""


def _patches(record: Json) -> str:
    output = record["output"]
    answered = f", of which {_times(output)} is answered" if output != record["patch"] else ""
    taken = f"{record['batch']} of {_times(record['patch'])} in a step"
    return f"{taken}{answered}; augmentation {record['augment']}"


def _training(record: Json) -> str:
    several = f" in {record['devices']} processes" if record["devices"] > 1 else ""
    return (
        f"{_count(record['steps'], 'step')} of {record['optimizer']}, rate {record['rate']:g}, on "
        f"{record['device']}{several}, in {PRECISIONS[record['precision']]}"
    )


def _weights(weights: Json, classes: Sequence[Json]) -> str:
    """What a voxel of each class counts, and what one between two neighbours counts more.

    >>> _weights({"classes": [0.5, 12.25], "border": 10.0, "sigma": 5.0}, [{"name": "a"}, {"name": "b"}])
    'a 0.5, b 12.2; up to 10 more between neighbours, sigma 5 voxels'
    """
    named = ", ".join(
        f"{each['name']} {weight:.3g}" for each, weight in zip(classes, weights["classes"], strict=True)
    )
    return f"{named}; up to {weights['border']:g} more between neighbours, sigma {weights['sigma']:g} voxels"
