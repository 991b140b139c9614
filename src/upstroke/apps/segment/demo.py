"""Drawn cells are learnt, outlined in pictures that training never saw, and compared with what was drawn."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upstroke.apps.segment.evaluate import Evaluation, evaluate
from upstroke.apps.segment.predict import Predicted, predict
from upstroke.apps.segment.synthetic import CELL, MEMBRANE, synthetic_cells
from upstroke.apps.segment.training import Trained, train
from upstroke.errors import OptionError
from upstroke.files.place import refuse_parts, write_atomically
from upstroke.files.png import png_bytes
from upstroke.report.segment_page import segment_page

__all__ = ["PAGE", "Demo", "demo", "draw"]

PICTURES, NEW, STEPS = 14, 3, 150
PAGE = "report.html"
# Least rows and columns of a drawn picture, and how much the others are larger: all odd, no two alike.
LEAST, MORE = (91, 103), (6, 10)


@dataclass(frozen=True, kw_only=True, eq=False)
class Demo:
    """What the demonstration made and found.

    Attributes:
        folder: where its files are: data, new, run, predictions and report.html.
        trained: what came of training.
        predicted: masks of the pictures in `new`.
        evaluation: the pictures that were held out, against what was drawn.
    """

    folder: Path
    trained: Trained
    predicted: Predicted
    evaluation: Evaluation

    def as_json(self) -> dict[str, Any]:
        """Plain data, schema `upstroke.segment-demo/1`."""
        return {
            "schema": "upstroke.segment-demo/1",
            "folder": str(self.folder),
            "page": PAGE,
            "train": self.trained.as_json(),
            "predict": self.predicted.as_json(),
            "evaluate": self.evaluation.as_json(),
        }


def demo(
    folder: str | os.PathLike[str],
    *,
    pictures: int = PICTURES,
    steps: int = STEPS,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Demo:
    """Draw cells, train the preset `tiny` on them, outline new ones, judge, and write it all into a folder.

    1. `data`: `draw`, pictures with masks; `new`: three more without.
    2. `run`: the preset `tiny` trained on `data`, a fifth of it held out.
    3. `predictions`: masks of `new`.
    4. `report.html`: the pictures that were held out, the worst first.

    The same seed gives the same weights and masks on the same machine.

    Args:
        folder: where everything goes, made if need be.
        pictures: with masks.
        steps: of training.
        seed: of the pictures, the weights and their order.
        overwrite: whether what an earlier demonstration left may be replaced.
        progress: whether bars are shown on a terminal.

    Raises:
        OptionError: too few pictures to hold one out.
        FileError: a file is there, or cannot be written.
        MissingExtraError: the extra `medical` is not installed.
    """
    out = Path(folder)
    refuse_parts(out, ("data", "new", "run", "predictions", PAGE), overwrite=overwrite)
    draw(out / "data", pictures=pictures, new=out / "new", seed=seed, overwrite=overwrite)
    trained = train(
        out / "data",
        out / "run",
        preset="tiny",
        steps=steps,
        seed=seed,
        precision="32",
        device="cpu",
        overwrite=overwrite,
        progress=progress,
    )
    predicted = predict(out / "run", out / "new", out / "predictions", overwrite=overwrite, progress=progress)
    found = evaluate(out / "run", out / "data", which="validation", progress=progress)
    write_atomically(out / PAGE, segment_page(found.as_json(), found.pictures), overwrite=overwrite)
    return Demo(folder=out, trained=trained, predicted=predicted, evaluation=found)


def draw(
    folder: str | os.PathLike[str],
    *,
    pictures: int = PICTURES,
    new: str | os.PathLike[str] | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write drawn cells as a data set for training: `images`, `labels` and `dataset.json` with their names.

    Every picture has another size, odd along both axes.

    Args:
        folder: of the data set, made if need be.
        pictures: with masks.
        new: a folder for three more pictures without.
        seed: of everything that is drawn.
        overwrite: whether files that are there may be replaced.

    Raises:
        OptionError: fewer than two pictures, of which one could be held out.
        FileError: a file is there, or cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as made:
    ...     draw(made, pictures=2)
    ...     sorted(path.relative_to(made).as_posix() for path in Path(made).rglob("*2.png"))
    ['images/cells_02.png', 'labels/cells_02.png']
    """
    if pictures < 2:
        msg = f"training needs two pictures, of which one is held out; got {pictures}; draw more"
        raise OptionError(msg)
    out = Path(folder)
    files: dict[Path, bytes] = {}
    for number in range(1, pictures + 1 + (0 if new is None else NEW)):
        # sizes go up and down, so that pictures without masks are not the largest
        size = (LEAST[0] + MORE[0] * (5 * number % 7), LEAST[1] + MORE[1] * (3 * number % 8))
        drawn = synthetic_cells(size, seed=(seed, number))
        name = f"cells_{number:02d}.png"
        if number > pictures and new is not None:
            files[Path(new) / name] = png_bytes(drawn.image)
        else:
            files[out / "images" / name] = png_bytes(drawn.image)
            files[out / "labels" / name] = png_bytes(drawn.labels)
    names = {"labels": {"background": 0, "cell": CELL, "membrane": MEMBRANE}}
    files[out / "dataset.json"] = (json.dumps(names, indent=2) + "\n").encode()
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data, overwrite=overwrite)
