"""Turn a run, a model file or a folder of predictions into the label map that it has for each case."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from upstroke.apps.segment.cases import AFFINE_TOLERANCE, Case, affines_differ
from upstroke.apps.segment.classes import Classes, inferred_classes
from upstroke.apps.segment.layouts import find_predictions
from upstroke.apps.segment.prepare import check_fits
from upstroke.axes import times
from upstroke.errors import FileError, OptionError, ShapeError, listed
from upstroke.files.volumes import Volume, read_labels

__all__ = ["Answers", "Kind", "Predictions", "TrainedOn", "opened"]

Kind = Literal["run", "model", "predictions"]


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """The names of the cases that a run learnt from, and of those that it was watched by and held out."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]


@runtime_checkable
class Answers(Protocol):
    """Whatever has a label map for a case."""

    @property
    def kind(self) -> Kind:
        """What it is."""
        ...

    @property
    def classes(self) -> Classes:
        """What its label maps mean."""
        ...

    @property
    def trained_on(self) -> TrainedOn | None:
        """What it learnt from, where it says so."""
        ...

    def has(self, case: Case) -> bool:
        """Whether there is one for this case."""
        ...

    def check(self, volume: Volume) -> None:
        """Refuse an image that it can say nothing of."""
        ...

    def labels(self, case: Case, volume: Volume) -> NDArray[np.int64]:
        """Class numbers, (*space)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Network:
    """A trained network."""

    model: Any
    kind: Kind
    trained_on: TrainedOn | None
    tile: int | Sequence[int] | None

    @property
    def classes(self) -> Classes:
        """Those that it was trained to tell apart."""
        classes: Classes = self.model.recipe.classes
        return classes

    def has(self, case: Case) -> bool:
        """Of every image it says something."""
        return True

    def check(self, volume: Volume) -> None:
        """Refuse an image of another kind than those that it was trained on.

        Raises:
            FileError: it has other axes or channels, or values that are no numbers.
        """
        check_fits(volume, self.model.recipe)

    def labels(self, case: Case, volume: Volume) -> NDArray[np.int64]:
        """What it says of an image.

        Raises:
            ShapeError: the image is too small for it, or the tile.
            FileError: the image is of another kind than those that it was trained on.
        """
        try:
            return np.asarray(self.model.labels(volume, tile=self.tile), dtype=np.int64)
        except ShapeError as error:
            msg = f"{volume.path}: {error}"
            raise ShapeError(msg) from error


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Files that something has written: one for each case, found by its name."""

    folder: Path
    files: Mapping[str, Path]
    classes: Classes
    kind: Kind = "predictions"
    trained_on: TrainedOn | None = None

    def has(self, case: Case) -> bool:
        """Whether there is a file of this case."""
        return case.name in self.files

    def check(self, volume: Volume) -> None:
        """Whatever the image is, the file is compared with it when it is read."""

    def labels(self, case: Case, volume: Volume) -> NDArray[np.int64]:
        """What stands in the file of this case.

        Raises:
            FileError: it is not of the image's size, lies elsewhere, or holds a value that no label has.
        """
        path = self.files[case.name]
        found = read_labels(path)
        if found.size != volume.size:
            msg = (
                f"{path}: a prediction must have the size of its image, {times(volume.size)}; "
                f"got {times(found.size)}; predict it again, at full size"
            )
            raise FileError(msg)
        if affines_differ(found, volume):
            msg = (
                f"{path}: a prediction must lie where its image does, to {AFFINE_TOLERANCE:g} of a voxel; "
                "its affine is another; predict again, or give it the image's affine"
            )
            raise FileError(msg)
        unknown = np.setdiff1d(found.values, self.classes.values)
        if unknown.size:
            known = ", ".join(map(str, self.classes.values))
            msg = (
                f"{path}: predictions must hold the values of the labels, {known}; got {int(unknown[0])}; "
                "write class numbers as the labels have them, or name the class in dataset.json"
            )
            raise FileError(msg)
        return self.classes.numbers(found)


def opened(
    source: Path, cases: Sequence[Case], *, device: str, tile: int | Sequence[int] | None
) -> Network | Predictions:
    """Open what is to be judged.

    Args:
        source: a run folder, a model file, or a folder of predictions.
        cases: that it may be asked about.
        device: where a network runs.
        tile: size of the tiles in which it reads an image; None: as it chooses.

    Raises:
        FileError: it is nothing of these, or no prediction has the name of a case.
    """
    if source.is_dir() and not (source / "model.safetensors").exists():
        if (source / "config.json").exists():
            msg = f"{source} must hold a finished run; its model.safetensors is missing; train to the end"
            raise FileError(msg)
        return _predictions(source, cases)
    if not source.exists():
        msg = f"{source} must be a run, a model or a folder of predictions; there is nothing of that name"
        raise FileError(msg)
    import torch

    from upstroke.apps.segment.model import load_model

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    run = source if source.is_dir() else source.parent if source.name == "model.safetensors" else None
    return Network(
        model=load_model(source, device=device),
        kind="run" if source.is_dir() else "model",
        trained_on=None if run is None else _trained_on(run),
        tile=tile,
    )


def _trained_on(run: Path) -> TrainedOn | None:
    """The cases that the settings of a run name; None where they name none."""
    try:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        split = config["settings"]["cases"]
        return TrainedOn(training=_names(split["train"]), held_out=_names(split["validation"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _names(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        msg = "cases are a list of names"
        raise TypeError(msg)
    return tuple(given)


def _predictions(folder: Path, cases: Sequence[Case]) -> Predictions:
    found = find_predictions(folder, cases)
    if not found:
        msg = (
            f"{folder} must hold predictions under the names of the images, such as "
            f"{cases[0].prediction}; got none for the {len(cases)} cases; "
            "name a folder that upstroke segment predict wrote, or a run"
        )
        raise FileError(msg)
    return Predictions(folder=folder, files=found, classes=_classes(cases))


def _classes(cases: Sequence[Case]) -> Classes:
    """Classes of all values that the labels hold.

    Raises:
        FileError: they hold one value alone, or so many that they are no masks.
    """
    values: set[int] = set()
    names: dict[int, str] = {}
    for case in cases:
        values.update(np.unique(case.read_labels().values).tolist())
        names.update(case.names)
    try:
        return inferred_classes(values, names)
    except OptionError as error:
        msg = (
            f"predictions cannot be judged by the labels of {listed([case.name for case in cases])}: {error}"
        )
        raise FileError(msg) from error
