"""Turn images with known labels into how well a model, or a folder of predictions, outlines each of them."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from upstroke._version import __version__
from upstroke.apps.segment.answers import Answers, opened
from upstroke.apps.segment.cases import Case, check_pair
from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.layouts import find_cases
from upstroke.apps.segment.scores import PERCENTILE, ClassScores, scores
from upstroke.apps.segment.spread import spread
from upstroke.apps.segment.views import view
from upstroke.errors import OptionError, listed

__all__ = ["Evaluation", "Which", "evaluate"]

Json: TypeAlias = dict[str, Any]
Which: TypeAlias = Literal["validation", "all"]

SCHEMA = "upstroke.segment-evaluate/1"
# Cases of which pages show a picture.
SHOWN = 12
MEASURES = ("dice", "iou", "hausdorff95", "boundary", "volume_error")


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What came out for every case and class.

    Attributes:
        record: plain data, `upstroke.segment-evaluate/1`.
        pictures: of the worst cases, the worst first: `case`, its name, and what `View.as_picture` gives.
    """

    record: Json
    pictures: tuple[Mapping[str, Any], ...]

    def as_json(self) -> Json:
        """The record."""
        return self.record

    @property
    def dice(self) -> float | None:
        """Mean over classes of the mean Dice over cases; None where no case has any of them."""
        found: float | None = self.record["mean"]["dice"]
        return found


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """One case with its scores."""

    name: str
    group: str
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    unit: str
    seconds: float
    scores: tuple[ClassScores, ...]

    @property
    def dice(self) -> float | None:
        return _mean(each.dice for each in self.scores)

    @property
    def rank(self) -> tuple[bool, float, float, str]:
        """Worst first; what has nothing to be judged by comes last."""
        far = _mean(each.hausdorff95 for each in self.scores)
        return self.dice is None, self.dice or 0.0, -(far or 0.0), self.name

    def as_json(self, classes: Classes) -> Json:
        voxel = float(np.prod(self.spacing))
        return {
            "name": self.name,
            "group": self.group,
            "size": list(self.size),
            "spacing": list(self.spacing),
            "unit": self.unit,
            "seconds": self.seconds,
            **{key: _mean(getattr(each, key) for each in self.scores) for key in MEASURES[:4]},
            "scores": [_score(each, classes, voxel) for each in self.scores],
        }


def evaluate(
    source: str | Path,
    data: str | Path,
    *,
    which: Which | None = None,
    group: str | None = None,
    background: bool = False,
    tile: int | Sequence[int] | None = None,
    device: str = "cpu",
    pictures: int = SHOWN,
    progress: bool = False,
) -> Evaluation:
    """Compare what a model or a folder of predictions outlines with the labels of the data.

    Args:
        source: a run folder, `model.safetensors`, an ONNX file that `segment export` wrote, or a folder of
            predictions under the names of the images.
        data: images with labels, as for training.
        which: "validation" for the cases that the run held out, "all" for all; None: those held out where the
            data holds every case that the run was made from, else all.
        group: a regular expression whose first group names what a case belongs to.
        background: whether class 0 is judged as well.
        tile: size of the tiles in which a network reads an image; None: as it chooses.
        device: where a network runs.
        pictures: of how many of the worst cases pictures are kept.
        progress: whether a bar is shown on a terminal.

    Raises:
        FileError: files that are missing, damaged, not labelled or do not fit each other.
        OptionError: no case is left, or the run says nothing of cases that it held out.
    """
    source, data = Path(source), Path(data)
    found = find_cases(data, group=group)
    answers = opened(source, found, device=device, tile=tile)
    cases, selection = _chosen(found, answers, which, source=source)
    judged: list[_Judged] = []
    kept: list[tuple[tuple[bool, float, float, str], Mapping[str, Any]]] = []
    with _bar(len(cases), shown=progress) as advance:
        for case in cases:
            one, shown = _judge(case, answers, background=background)
            judged.append(one)
            # a picture is made only of a case that is among the worst so far
            if len(kept) < pictures or (kept and one.rank < kept[-1][0]):
                kept = sorted([*kept, (one.rank, {"case": one.name, **shown()})], key=lambda each: each[0])
                kept = kept[:pictures]
            advance()
    judged.sort(key=lambda each: each.rank)
    record: Json = {
        "schema": SCHEMA,
        "version": __version__,
        "source": {"kind": answers.kind, "name": source.resolve().name},
        "data": data.resolve().name,
        "selection": selection,
        "ndim": len(judged[0].size),
        "unit": _unit(judged),
        "percentile": PERCENTILE,
        "background": _background(answers.classes, is_judged=background),
        "classes": _summaries(judged, answers.classes),
        "cases": [each.as_json(answers.classes) for each in judged],
        "pictures": [each["case"] for _, each in kept],
    }
    record["mean"] = _means(record["classes"])
    return Evaluation(record=record, pictures=tuple(each for _, each in kept))


def _chosen(
    cases: Sequence[Case], answers: Answers, which: Which | None, *, source: Path
) -> tuple[list[Case], Json]:
    """The cases to judge, and how they were chosen."""
    known = answers.trained_on
    names = {case.name for case in cases}
    is_training_data = (
        known is not None and names >= {*known.training, *known.held_out} and known.held_out != ()
    )
    if which == "validation" and known is None:
        msg = (
            f"held-out cases are known of a run that says what it was trained on; got {source}; "
            "ask for all cases"
        )
        raise OptionError(msg)
    chosen: Which = which or ("validation" if is_training_data else "all")
    asked = list(cases)
    if chosen == "validation" and known is not None:
        asked = [case for case in cases if case.name in set(known.held_out)]
        if not asked:
            msg = (
                "the data must have cases that the run held out, such as "
                f"{listed(known.held_out) or 'none'}; "
                f"got {listed(sorted(names))}; name the data that it was trained on, or ask for all cases"
            )
            raise OptionError(msg)
    judged = [case for case in asked if answers.has(case)]
    learnt = set() if known is None else {*known.training} & {case.name for case in judged}
    return judged, {
        "which": chosen,
        "is_asked": which is not None,
        "is_training_data": None if known is None else is_training_data,
        "found": len(cases),
        "learnt_from": None if known is None else len(learnt),
        "without_answer": [case.name for case in asked if not answers.has(case)],
    }


def _judge(
    case: Case, answers: Answers, *, background: bool
) -> tuple[_Judged, Callable[[], Mapping[str, Any]]]:
    """Scores of one case, and what makes a picture of it."""
    volume = case.read()
    # before the labels, which mean nothing to a network of other images
    answers.check(volume)
    label = case.read_labels()
    check_pair(case, volume, label)
    true = answers.classes.numbers(label)
    start = time.perf_counter()
    predicted = answers.labels(case, volume)
    seconds = time.perf_counter() - start
    found = scores(
        predicted, true, classes=answers.classes.count, spacing=volume.spacing, background=background
    )
    one = _Judged(
        name=case.name,
        group=case.group,
        size=volume.size,
        spacing=volume.spacing,
        unit=volume.unit,
        seconds=seconds,
        scores=found,
    )
    return one, lambda: view(volume, true, predicted).as_picture()


def _score(found: ClassScores, classes: Classes, voxel: float) -> Json:
    return {
        "number": found.number,
        "name": classes.names[found.number],
        "presence": found.presence,
        "dice": found.dice,
        "iou": found.iou,
        "hausdorff95": found.hausdorff95,
        "boundary": found.boundary,
        "true": found.true,
        "predicted": found.predicted,
        "common": found.common,
        "true_volume": found.true * voxel,
        "predicted_volume": found.predicted * voxel,
        "volume_error": (found.predicted - found.true) / found.true if found.true else None,
    }


def _background(classes: Classes, *, is_judged: bool) -> Json:
    return {"name": classes.names[0], "value": classes.values[0], "is_judged": is_judged}


def _unit(judged: Sequence[_Judged]) -> str | None:
    """The unit that all cases share."""
    units = {each.unit for each in judged}
    return units.pop() if len(units) == 1 else None


def _summaries(judged: Sequence[_Judged], classes: Classes) -> list[Json]:
    """What the scores of each class are over all cases."""
    shares_unit = _unit(judged) is not None
    found = []
    for place, first in enumerate(judged[0].scores):
        rows = [_score(each.scores[place], classes, 1.0) for each in judged]
        found.append(
            {
                "number": first.number,
                "name": classes.names[first.number],
                "value": classes.values[first.number],
                "cases": {
                    state: sum(row["presence"] == state for row in rows)
                    for state in ("both", "missed", "invented", "absent")
                },
                "true": sum(row["true"] for row in rows),
                "predicted": sum(row["predicted"] for row in rows),
                **{
                    key: _spread_of(rows, key)
                    if shares_unit or key not in ("hausdorff95", "boundary")
                    else None
                    for key in MEASURES
                },
            }
        )
    return found


def _spread_of(rows: Sequence[Json], key: str) -> Json | None:
    found = spread([row[key] for row in rows])
    return None if found is None else asdict(found)


def _means(classes: Sequence[Json]) -> Json:
    """Means over classes of their means over cases; of a measure that no class has, None."""
    return {
        "classes": len(classes),
        **{
            key: _mean(None if each[key] is None else each[key]["mean"] for each in classes)
            for key in MEASURES[:4]
        },
    }


def _mean(values: "Iterator[float | None]") -> float | None:
    known = [each for each in values if each is not None]
    return float(np.mean(known)) if known else None


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    """Show how much is done, on a terminal alone."""
    if not shown or sys.stderr is None or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("judging", total=total)
        yield lambda: bar.advance(task)
