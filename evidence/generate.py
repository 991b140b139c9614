"""Generators that upsample in different ways become rows of what grid they leave, and how near they come.

`make evidence` trains and measures row by row; a run that is ended goes on where it was, within a row as
well. Rows are keyed by all that they depend on, so that only what has changed is measured again.

Three tables. "Ways": the same pictures, steps and seeds, one way of upsampling after the other. "Cost": what
a training step of such a generator takes, in turns. "Reached": what is reached in twenty minutes of a
processor, with a sheet of samples.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evidence import rows as measured
from evidence.pictures import faces, garments
from evidence.rows import Measure, Row
from upstroke.apps.generate.augment import Augmenting
from upstroke.apps.generate.batches import PictureBatches
from upstroke.apps.generate.detector import detector_accuracy
from upstroke.apps.generate.distances import feature_distances
from upstroke.apps.generate.diversity import diversity, nearest_neighbours, pixel_rows
from upstroke.apps.generate.drawing import drawn, latents, settled
from upstroke.apps.generate.features import own_features
from upstroke.apps.generate.grid_marks import GridMarks, grid_marks
from upstroke.apps.generate.learning import Learning
from upstroke.apps.generate.picture_grids import picture_grids
from upstroke.apps.generate.recipes import Recipe, recipe_named
from upstroke.apps.generate.sheets import sheet
from upstroke.diagnose import radial_ratio, radial_spectrum
from upstroke.files.png import png_bytes
from upstroke.files.safetensors import read_safetensors
from upstroke.nn import Discriminator, Generator
from upstroke.timing import interleaved
from upstroke.train import fit, seeded

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "generate.json"
SHEETS = HERE.parent / "docs" / "pictures"
RUNS = HERE / "runs" / "generate"
SCHEMA = "upstroke.evidence-generate/1"
SEEDS = (0, 1, 2)
PRECISION = "bf16-mixed"
# Of a comparison, and of what twenty minutes of a processor are enough for; what was taken is shown.
STEPS = 3000
REACHED = {"faces": 11_000, "garments": 15_000}
SIZES = {"faces": 64, "garments": 32}
# Samples that are measured, and pictures of garments that they are compared with.
SAMPLES, COMPARED = 1000, 2000
# Ways of upsampling: settings of a generator.
WAYS: dict[str, dict[str, Any]] = {
    "transposed k4": {"method": "transposed", "kernel": 4},
    "transposed k4, balanced": {"method": "transposed", "kernel": 4, "balanced": True},
    "transposed k3": {"method": "transposed", "kernel": 3},
    "transposed k3, balanced": {"method": "transposed", "kernel": 3, "balanced": True},
    "nearest resize": {"method": "nearest", "kernel": 3},
    "linear resize": {"method": "linear", "kernel": 3},
    "shuffle": {"method": "subpixel", "kernel": 3},
    "shuffle, ICNR": {"method": "subpixel", "kernel": 3, "icnr": True},
    "shuffle, balanced": {"method": "subpixel", "kernel": 3, "balanced": True},
    "separable": {"method": "separable", "kernel": 4},
    "separable, balanced": {"method": "separable", "kernel": 4, "balanced": True},
}
# What `upstroke generate train` takes unless told otherwise.
BEST = "transposed k4, balanced"


def rows() -> list[Row]:
    """The rows of the tables."""
    return [
        *(
            Row(
                name=f"ways, {name}, seed {seed}",
                kind="ways",
                settings={**_how("faces", width=16, steps=STEPS), "way": dict(way), "seed": seed},
            )
            for seed in SEEDS
            for name, way in WAYS.items()
        ),
        *(
            Row(
                name=f"reached, {data}, seed 0",
                kind="reached",
                settings={
                    **_how(data, width=32, steps=steps),
                    "way": dict(WAYS["transposed k4, balanced"]),
                    "seed": 0,
                },
            )
            for data, steps in REACHED.items()
        ),
        Row(name="cost", kind="cost", settings={"ways": WAYS, "width": 64, "size": 64, "batch": 16}),
    ]


def _how(data: str, *, width: int, steps: int) -> dict[str, Any]:
    recipe = recipe_named("r1").as_json()
    # what is not learnt by
    for name in ("name", "words", "steps"):
        del recipe[name]
    return {
        "data": data, "size": SIZES[data], "width": width, "latent": 100, "steps": steps, "recipe": recipe,
        "precision": PRECISION,
    }  # fmt: skip


class Timed(Learning):
    """Learning that counts the seconds that the processor spent on it, in all parts of a run together."""

    def __init__(self, generator: Generator, judge: Discriminator, recipe: Recipe, *, seed: int) -> None:
        super().__init__(generator, judge, recipe, real=None, seed=seed, metadata={})
        self.register_buffer("spent", torch.zeros((), dtype=torch.float64))
        self.since = 0.0

    def on_train_start(self) -> None:
        """Look at the clock."""
        self.since = time.process_time()

    def on_train_batch_end(self, *_: object) -> None:
        """Add what the batch and the step took."""
        now = time.process_time()
        self.spent += now - self.since
        self.since = now

    def export(self) -> tuple[Mapping[str, torch.Tensor], Mapping[str, Any]]:
        """The averaged weights, and the seconds."""
        return super().export()[0], {"cpu_seconds": float(self.spent)}


def pictures_of(settings: Mapping[str, Any], data: Path) -> NDArray[np.uint8]:
    """What is learnt from."""
    return faces(data) if settings["data"] == "faces" else garments()


def as_recipe(numbers: Mapping[str, Any]) -> Recipe:
    """What is learnt by."""
    given = {**numbers, "betas": tuple(numbers["betas"]), "augment": Augmenting(**numbers["augment"])}
    return dataclasses.replace(recipe_named("r1"), **given)


def at_start(settings: Mapping[str, Any]) -> tuple[Generator, Discriminator]:
    """Both networks with the weights that the seed draws."""
    recipe, size = as_recipe(settings["recipe"]), settings["size"]
    with seeded(settings["seed"], "weights"):
        return (
            Generator(settings["latent"], settings["width"], 1, size, **settings["way"]),
            Discriminator(1, settings["width"], size, norm=recipe.norm, spread=recipe.spread),
        )


def trained(row: Row, folder: Path, pictures: NDArray[np.uint8]) -> tuple[Generator, float]:
    """Train the generator of a row, or take what a run has left; and the seconds of the processor."""
    settings, recipe = row.settings, as_recipe(row.settings["recipe"])
    weights = folder / "model.safetensors"
    generator, judge = at_start(settings)
    if not weights.exists():
        for net in (generator, judge):
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        fit(
            Timed(generator, judge, recipe, seed=settings["seed"]),
            folder,
            steps=settings["steps"],
            batches=PictureBatches(pictures, batch_size=recipe.batch, seed=settings["seed"]),
            seed=settings["seed"],
            settings={"row": row.key},
            precision=settings["precision"],
            device="cpu",
            resume=(folder / "config.json").exists(),
            progress=False,
            tensorboard=False,
        )
    tensors, metadata = read_safetensors(weights)
    net = Generator(**{**generator.settings, "balanced": False})
    net.load_state_dict(tensors)
    return net.eval(), metadata["cpu_seconds"]


def judged(net: Generator, pictures: NDArray[np.uint8]) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """What samples are like beside real pictures; and the samples."""
    samples = drawn(net, latents(range(SAMPLES), net.latent, seed=1))
    real = pictures[:COMPARED]
    features = own_features(real, seed=1)
    distances = feature_distances(features(samples), features(real))
    rows_of = pixel_rows(samples), pixel_rows(real)
    ratio = radial_ratio(*(radial_spectrum(torch.from_numpy(each)) for each in (samples, real)))
    # half of all directions have waves up to the half of a cycle per pixel
    ends = (ratio.frequency > 0.375) & (ratio.frequency <= 0.5)
    return {
        "kid": distances.kid,
        "kid_spread": distances.kid_spread,
        "fid": distances.fid,
        "diversity": diversity(*rows_of).ratio,
        "nearest": nearest_neighbours(*rows_of).ratio,
        "detector": detector_accuracy(samples, real).accuracy,
        "high_db": float(ratio.decibel[ends].mean()),
        "grids": [each.as_json() for each in picture_grids(samples, real)],
        "marks": _marks(grid_marks(samples, real)),
    }, samples


def _marks(found: GridMarks) -> list[dict[str, Any]]:
    return [
        {
            "kind": each.kind,
            "period": each.period,
            "samples": each.samples.relative,
            "real": each.real.relative,
            "chance": each.samples.null_95 / each.samples.value * each.samples.relative,
            "verdict": each.verdict,
        }
        for each in found.marks
    ]


def measure_ways(row: Row, folder: Path, data: Path) -> dict[str, Any]:
    """One way of upsampling, and the grids that its pictures have before anything is learnt."""
    pictures = pictures_of(row.settings, data)
    net, seconds = trained(row, folder, pictures)
    found, _ = judged(net, pictures)
    begun = settled(at_start(row.settings)[0])
    samples = drawn(begun, latents(range(SAMPLES), begun.latent, seed=1))
    start = [each.as_json() for each in picture_grids(samples, pictures[:COMPARED])]
    return {
        **found,
        "start": start,
        **_counts(net),
        "steps": row.settings["steps"],
        "cpu_seconds": round(seconds, 1),
    }


def measure_reached(row: Row, folder: Path, data: Path) -> dict[str, Any]:
    """What is reached in a given time, and a sheet of it."""
    pictures = pictures_of(row.settings, data)
    net, seconds = trained(row, folder, pictures)
    found, samples = judged(net, pictures)
    if folder.is_relative_to(RUNS):
        SHEETS.mkdir(exist_ok=True)
        name = f"generate-{row.settings['data']}"
        (SHEETS / f"{name}.png").write_bytes(png_bytes(sheet(samples[:48], columns=12)))
    return {**found, **_counts(net), "steps": row.settings["steps"], "cpu_seconds": round(seconds, 1)}


def _counts(net: Generator) -> dict[str, int]:
    return {
        "parameters": sum(each.numel() for each in net.parameters()),
        "upsampling": sum(each.numel() for up in net.ups for each in up.parameters()),
    }


def measure_cost(row: Row, folder: Path, data: Path) -> dict[str, Any]:
    """Seconds of the processor for forwards and backwards through each generator, taken in turns."""
    settings = row.settings
    steps, counts = {}, {}
    for name, way in settings["ways"].items():
        with seeded(0, "cost"):
            net = Generator(width=settings["width"], size=settings["size"], **way)
            z = torch.randn(settings["batch"], net.latent)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        steps[name], counts[name] = _stepping(net, z), _counts(net)
    times = interleaved(steps, seconds=0.5, turns=15, of_processor=True)
    return {
        "ways": {
            name: {"seconds": times[name].median, "spread": times[name].spread, **counts[name]}
            for name in steps
        }
    }


def _stepping(net: Generator, z: torch.Tensor) -> Callable[[], None]:
    """Pictures, and gradients of all weights."""

    def step() -> None:
        for each in net.parameters():
            each.grad = None
        net(z).square().mean().backward()

    return step


MEASURE: dict[str, Measure] = {"ways": measure_ways, "reached": measure_reached, "cost": measure_cost}


def load(path: Path = RESULTS) -> list[dict[str, Any]]:
    """The rows that were measured."""
    return measured.load(path)


@contextmanager
def shortened(steps: int | None) -> Iterator[None]:
    """Within, rows have so few steps; for trying, because their keys differ from those of the tables."""
    global STEPS, REACHED
    before = STEPS, REACHED
    if steps is not None:
        STEPS, REACHED = steps, dict.fromkeys(REACHED, steps)
    try:
        yield
    finally:
        STEPS, REACHED = before


def main(words: Sequence[str] | None = None) -> None:
    """Measure every row that is not there yet, and write the page."""
    from evidence.page import write

    table = measured.Table(
        rows=rows, measure=MEASURE, shortened=shortened, results=RESULTS, runs=RUNS, schema=SCHEMA
    )
    measured.main(table, words=words, description=__doc__, write=write)


if __name__ == "__main__":
    main()
