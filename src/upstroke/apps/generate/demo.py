"""Drawn flowers are learnt, others are generated, and both are compared on a page."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upstroke.apps.generate.evaluate import Evaluation, evaluate
from upstroke.apps.generate.sample import Sampled, sample
from upstroke.apps.generate.synthetic import synthetic_flower
from upstroke.apps.generate.training import Trained, train
from upstroke.errors import OptionError
from upstroke.files.place import refuse_parts, write_atomically
from upstroke.files.png import png_bytes
from upstroke.report.generate_page import generate_page

__all__ = ["PAGE", "SHEET", "Demo", "demo", "draw"]

PICTURES, SIZE, STEPS, SAMPLES = 300, 32, 3000, 500
PAGE, SHEET = "report.html", "samples.png"


@dataclass(frozen=True, kw_only=True, eq=False)
class Demo:
    """What the demonstration made and found.

    Attributes:
        folder: where its files are: data, run, samples.png and report.html.
        trained: what came of training.
        sampled: the sheet of samples.
        evaluation: of the samples, beside what was drawn.
    """

    folder: Path
    trained: Trained
    sampled: Sampled
    evaluation: Evaluation

    def as_json(self) -> dict[str, Any]:
        """Plain data, schema `upstroke.generate-demo/1`."""
        return {
            "schema": "upstroke.generate-demo/1",
            "folder": str(self.folder),
            "page": PAGE,
            "train": self.trained.as_json(),
            "sample": self.sampled.as_json(),
            "evaluate": self.evaluation.as_json(),
        }


def demo(
    folder: str | os.PathLike[str],
    *,
    pictures: int = PICTURES,
    steps: int = STEPS,
    samples: int = SAMPLES,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Demo:
    """Draw flowers, train a small generator on them, generate others, and judge these.

    1. `data`: `draw`.
    2. `run`: a generator of width 16, balanced, from 64 numbers to 32 x 32.
    3. `samples.png`: sixty-four of its pictures.
    4. `report.html`: what `evaluate` finds.

    The same seed gives the same weights and samples on the same machine.

    Args:
        folder: where everything goes, made if need be.
        pictures: that are drawn.
        steps: of training.
        samples: that are judged.
        seed: of the flowers, the weights and the samples.
        overwrite: whether what an earlier demonstration left may be replaced.
        progress: whether people are told on stderr how far it is.

    Raises:
        OptionError: too few pictures.
        FileError: a file is there, or cannot be written.
        MissingExtraError: the extra `train` is not installed.
    """
    out = Path(folder)
    refuse_parts(out, ("data", "run", SHEET, PAGE), overwrite=overwrite)
    draw(out / "data", pictures=pictures, size=SIZE, seed=seed, overwrite=overwrite)
    trained = train(
        out / "data",
        out / "run",
        steps=steps,
        size=SIZE,
        latent=64,
        width=16,
        seed=seed,
        precision="32",
        device="cpu",
        overwrite=overwrite,
        progress=progress,
    )
    sampled = sample(out / "run", out / SHEET, seed=seed, overwrite=overwrite)
    found = evaluate(out / "run", samples=samples, progress=progress)
    write_atomically(out / PAGE, generate_page(found.as_json(), found.pictures), overwrite=overwrite)
    return Demo(folder=out, trained=trained, sampled=sampled, evaluation=found)


def draw(
    folder: str | os.PathLike[str],
    *,
    pictures: int = PICTURES,
    size: int = SIZE,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write drawn flowers as PNG files, no two alike.

    Args:
        folder: made if need be.
        pictures: how many.
        size: rows and columns of each.
        seed: of everything that is drawn.
        overwrite: whether files that are there may be replaced.

    Raises:
        OptionError: no picture, or a size of less than 8.
        FileError: a file is there, or cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as made:
    ...     draw(made, pictures=2)
    ...     sorted(path.name for path in Path(made).iterdir())
    ['flower_0001.png', 'flower_0002.png']
    """
    if pictures < 1:
        msg = f"at least 1 flower must be drawn; got {pictures}"
        raise OptionError(msg)
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for number in range(1, pictures + 1):
        picture = png_bytes(synthetic_flower(size, seed=seed * pictures + number))
        write_atomically(out / f"flower_{number:04d}.png", picture, overwrite=overwrite)
