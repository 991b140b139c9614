"""Turn a trained generator and real pictures into a judgement of its samples."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from upstroke._version import __version__
from upstroke.apps.generate.again import Again, gather_again
from upstroke.apps.generate.features import FeatureNetwork
from upstroke.apps.generate.given_features import Scale, given_features
from upstroke.apps.generate.measures import STAGES, Measures, measured
from upstroke.apps.generate.model import Model, load_model
from upstroke.apps.generate.sheets import sheet
from upstroke.apps.generate.verdicts import verdicts
from upstroke.errors import OptionError
from upstroke.train import check_device, device_for

__all__ = ["MOST", "SAMPLES", "SCHEMA", "Evaluation", "evaluate"]

Json = dict[str, Any]

SCHEMA = "upstroke.generate-evaluate/1"
# Samples, by default and at most; as many real pictures take part in distances, and no fewer than `REAL`.
SAMPLES, MOST, REAL = 1000, 10_000, 2000
# Samples that are drawn between two looks at the clock, in whole batches.
AT_ONCE = 64
# Pictures on a sheet, and pairs of a sample with its nearest real picture.
SHEET, PAIRS = 64, 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What came out.

    Attributes:
        record: plain data, `upstroke.generate-evaluate/1`.
        pictures: what only a page needs: `samples` and `real`, a sheet of each; `pairs`, a sample with its
            nearest real picture, as in `closest.nearest` of the record and in its order; and `distances` of
            samples and of real pictures to the nearest.
    """

    record: Json
    pictures: Mapping[str, Any]

    def as_json(self) -> Json:
        """The record."""
        return self.record


@runtime_checkable
class _Shown(Protocol):
    """What tells people how far it is."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


def evaluate(
    source: str | Path,
    data: str | Path | None = None,
    *,
    samples: int = SAMPLES,
    features: str | Path | None = None,
    feature_output: str | None = None,
    feature_scale: Scale = "signed",
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> Evaluation:
    """Draw samples and hold them against real pictures.

    1. The pictures that the model was trained on are read once more, or those of `data`.
    2. Samples are drawn; number n is the one that number n of the same seed is everywhere.
    3. Grids, spectra, a detector, distances by a feature network, diversity and nearest real pictures are
       measured, and each becomes a word.

    Args:
        source: the run folder, or its model.safetensors.
        data: a folder of real pictures, or a zip; where the model says that it was trained, unless given.
        samples: how many are drawn.
        features: an ONNX file of a feature network; the built-in one is trained on the real pictures
            themselves unless it is given.
        feature_output: which of its outputs; the first unless given.
        feature_scale: what it expects of values: "signed", "unit", "bytes" or "imagenet".
        seed: of samples and all other draws.
        device: where the generator computes.
        progress: whether a bar is shown on a terminal.

    Raises:
        FileError: the model, the pictures or the feature network cannot be used.
        OptionError: an argument has no meaning.
        MissingExtraError: torchmetrics, pillow or onnxruntime is not installed.
    """
    begun = time.monotonic()
    if not 1 <= samples <= MOST:
        msg = f"samples must be a whole number from 1 to {MOST}; got {samples}"
        raise OptionError(msg)
    check_device(device, "auto")
    if features is None and (feature_output is not None or feature_scale != "signed"):
        msg = "an output and a scale are of a feature network that is given; got none; name its ONNX file"
        raise OptionError(msg)
    model = load_model(source, device=device_for(device))
    size = (model.network.channels, model.network.size, model.network.size)
    network: FeatureNetwork | None = None
    if features is not None:
        network = given_features(features, size, output=feature_output, scale=feature_scale)
    with _bar(shown=progress) as show:
        again = gather_again(model, data, progress=lambda done, total: show("reading", done, total))
        drawn = _drawn(model, samples, seed, show)
        found = measured(
            drawn,
            again.gathered.pictures,
            compared=max(REAL, samples),
            is_mirrored=again.is_mirrored,
            network=network,
            seed=seed,
            told=lambda stage: show(f"measuring {stage}", STAGES.index(stage), len(STAGES)),
        )
    record = _record(model, again, found, samples=samples, seed=seed)
    record["seconds"] = time.monotonic() - begun
    return Evaluation(record=record, pictures=_pictures(drawn, again, found))


def _drawn(model: Model, samples: int, seed: int, show: _Shown) -> NDArray[np.uint8]:
    parts = []
    for start in range(0, samples, AT_ONCE):
        show("drawing", start, samples)
        numbers = range(start, min(start + AT_ONCE, samples))
        parts.append(model.draw(model.latents(numbers, seed=seed)))
    return np.concatenate(parts)


def _record(model: Model, again: Again, found: Measures, *, samples: int, seed: int) -> Json:
    answers = verdicts(found, is_trained_on=again.is_trained_on)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "source": _source(model),
        "data": again.as_json(),
        "samples": samples,
        "seed": seed,
        "verdicts": [each.as_json() for each in answers],
        "single": None if found.single is None else [each.as_json() for each in found.single],
        "grid": _plain(found.grid),
        "spectrum": _plain(found.spectra),
        "detector": _plain(found.detector),
        "distances": _plain(found.likeness),
        "diversity": {
            "pixels": _plain(found.pixels),
            "features": _plain(found.features),
            "samples": found.sample_repeats.as_json(),
            "real": found.real_repeats.as_json(),
        },
        "closest": None if found.closest is None else found.closest.as_json(again.gathered.names),
        "missing": [{"measure": name, "reason": reason} for name, reason in found.missing],
    }


@runtime_checkable
class _AsJson(Protocol):
    def as_json(self) -> Json: ...


def _plain(found: _AsJson | None) -> Json | None:
    return None if found is None else found.as_json()


def _source(model: Model) -> Json:
    """The model, as far as its samples follow from it."""
    recipe = model.record.get("recipe")
    return {
        "name": Path(model.source).resolve().name,
        "recipe": recipe.get("name") if isinstance(recipe, Mapping) else None,
        **{
            key: model.settings.get(key)
            for key in ("method", "kernel", "balanced", "icnr", "latent", "width", "channels", "size")
        },
        "parameters": sum(each.numel() for each in model.network.parameters()),
    }


def _pictures(drawn: NDArray[np.uint8], again: Again, found: Measures) -> Json:
    real = again.gathered.pictures
    near = found.closest
    # spread over the whole set, since neighbours in a folder are often alike
    shown = np.unique(np.linspace(0, len(real) - 1, min(SHEET, len(real))).round().astype(int))
    return {
        "samples": sheet(drawn[:SHEET]),
        "real": sheet(real[shown]),
        "pairs": []
        if near is None
        else [
            {
                "sample": drawn[at],
                "real": real[near.found.index[at]][..., :: -1 if near.is_mirrored[at] else 1],
            }
            for at in near.order[:PAIRS]
        ],
        "distances": None
        if near is None
        else {"samples": near.found.distance, "real": near.found.real_distance},
    }


@contextmanager
def _bar(*, shown: bool) -> Iterator[_Shown]:
    """Show how much is done, on a terminal alone."""
    if not shown or sys.stderr is None or not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
