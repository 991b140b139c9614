"""A folder or a zip of pictures becomes a run folder with a generator that draws others."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from upstroke._version import __version__
from upstroke.apps.generate.adversaries import adam, step
from upstroke.apps.generate.augment import Augmenting
from upstroke.apps.generate.batches import PictureBatches
from upstroke.apps.generate.digest import digest_of
from upstroke.apps.generate.drawing import AT_ONCE, SETTLED, drawn, latents
from upstroke.apps.generate.features import own_features
from upstroke.apps.generate.fitting import Fit
from upstroke.apps.generate.gather import Gathered, gather
from upstroke.apps.generate.model import SCHEMA as MODEL
from upstroke.apps.generate.recipes import Loss, Recipe, recipe_named
from upstroke.errors import OptionError
from upstroke.files.safetensors import read_safetensors
from upstroke.nn import Discriminator, Generator, Method
from upstroke.train import (
    Fitted,
    Precision,
    PrecisionWord,
    check_asked,
    check_device,
    derived_seed,
    device_for,
    fit,
    is_first_process,
    precision_for,
    seeded,
)
from upstroke.train.folder import read_config

__all__ = ["Trained", "train"]

Json = dict[str, Any]

# Of a run: looks at samples, at so many of them at most.
LOOKS, JUDGED = 20, 512
# Samples that are judged at least, since a sheet shows so many.
LEAST = 64
# Steps that are timed, after one that is not.
TIMED = 8
SCHEMA, PLAN = "upstroke.generate-train/1", "upstroke.generate-plan/1"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of training.

    Attributes:
        out: the run folder.
        weights: the file in it that holds everything needed to draw.
        report: the page in it.
        kid: kernel distance of samples from the pictures, with the weights that were kept, by the built-in
            feature network.
        diversity: mean distance of two of these samples by that of two pictures.
        steps: done.
        best_step: whose averaged weights were kept: the last at which samples had not collapsed.
        seconds: of training.
        plan: what was trained, `upstroke.generate-plan/1`.
        rank: of this process; the first, 0, speaks.
    """

    out: Path
    weights: Path
    report: Path
    kid: float
    diversity: float
    steps: int
    best_step: int
    seconds: float
    plan: Mapping[str, Any]
    rank: int

    def as_json(self) -> Json:
        """Plain data, schema `upstroke.generate-train/1`."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "run": str(self.out),
            "weights": str(self.weights),
            "report": str(self.report),
            "kid": self.kid,
            "diversity": self.diversity,
            "steps": self.steps,
            "best_step": self.best_step,
            "seconds": self.seconds,
            "plan": dict(self.plan),
        }


def train(
    data: str | Path,
    out: str | Path,
    *,
    recipe: str = "r1",
    steps: int | None = None,
    minutes: int | float | None = None,
    size: int = 64,
    fit_by: Fit = "crop",
    channels: int | None = None,
    flips: bool = False,
    latent: int = 100,
    width: int = 64,
    method: Method = "transposed",
    kernel: int | None = None,
    balanced: bool = True,
    icnr: bool = False,
    judge_width: int | None = None,
    loss: Loss | None = None,
    augment: Literal["none", "full"] | None = None,
    average: float | None = None,
    rate: float | None = None,
    batch: int | None = None,
    precision: PrecisionWord = "auto",
    device: str = "auto",
    devices: int = 1,
    workers: int = 0,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    show: Callable[[Mapping[str, Any]], None] | None = None,
    read: Callable[[int, int], None] | None = None,
    command: Sequence[str] | None = None,
) -> Trained:
    """Train a generator whose upsampling is chosen against a discriminator, on pictures.

    1. All files are read once and made square; what cannot be used is refused before anything is trained.
    2. A small feature network is trained on the pictures themselves, by which samples are judged.
    3. `upstroke.train.fit` trains. Twenty times samples of the same latent vectors are drawn by the averaged
       weights, shown and judged. The last weights are kept, or the last ones before samples collapsed:
       became less than half as varied as the pictures, or more than twice.

    Args:
        data: a folder of pictures, or a zip.
        out: the run folder.
        recipe: "r1", "spectral" or "dcgan", as in `RECIPES`.
        steps: of training; the recipe's unless given.
        minutes: instead of steps: as many as take about so long, by the speed of the first ones.
        size: rows and columns of the pictures: 32, 64 or 128.
        fit_by: how pictures of other shapes become square: "crop", "stretch" or "pad".
        channels: 1 for grey, 3 for colours; what the pictures have unless given.
        flips: whether every other picture is mirrored, left to right.
        latent: numbers in a latent vector.
        width: channels of the generator's last map before the picture.
        method: of upsampling, as `upstroke.nn.Upsampler` has them.
        kernel: of the upsampling layers; as `upstroke.nn.Generator` has it unless given.
        balanced: whether every phase keeps the same gain, through all of training.
        icnr: whether it has it at the start.
        judge_width: channels of the discriminator's first map; as the generator's unless given.
        loss: "non-saturating" or "hinge"; the recipe's unless given.
        augment: "none", or "full" for all kinds of `Augmenting`; the recipe's unless given.
        average: share of the old in the averaged weights; the recipe's unless given.
        rate: learning rate of the generator; the discriminator's changes alike.
        batch: real pictures in a step.
        precision: "auto" takes bf16 where a GPU or processor computes in it, else 32.
        device: as in `fit`.
        devices: processes, each with its own batches.
        workers: processes that make batches ahead.
        seed: of weights, latent vectors, the order of pictures and their changes.
        resume: go on with the run that is in the folder.
        overwrite: begin anew where there is one.
        progress: tell people on stderr how far it is.
        show: given the plan, `upstroke.generate-plan/1`, before training.
        read: is told how many files have been read, and of how many.
        command: the words that started it.

    Raises:
        FileError: data or the folder cannot be used.
        OptionError: an argument has no meaning, or a resumed run differs.
        TrainingError: a loss or a weight became NaN or infinite.
    """
    folder = Path(out)
    check_asked(folder, steps=steps, minutes=minutes, resume=resume, overwrite=overwrite)
    check_device(device, precision)
    chosen = _changed(
        recipe_named(recipe), loss=loss, augment=augment, average=average, rate=rate, batch=batch
    )
    # before all files are read, what the networks refuse
    with seeded(seed, "weights"):
        Generator(latent, width, channels or 3, size, method=method, kernel=kernel, balanced=balanced)
        judge_width = width if judge_width is None else judge_width
        Discriminator(channels or 3, judge_width, size)
    gathered = gather(Path(data), size=size, fit=fit_by, channels=channels, progress=read)
    digest = digest_of(gathered.pictures)
    if resume:
        _check_pictures(folder, digest)
    channels = gathered.pictures.shape[1]
    with seeded(seed, "weights"):
        generator = Generator(
            latent, width, channels, size, method=method, kernel=kernel, balanced=balanced, icnr=icnr
        )
        discriminator = Discriminator(
            channels,
            width if judge_width is None else judge_width,
            size,
            norm=chosen.norm,
            spread=chosen.spread,
        )
    for network in (generator, discriminator):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = PictureBatches(
        gathered.pictures, batch_size=chosen.batch, seed=derived_seed(seed, "pictures"), flips=flips
    )
    named = precision_for(precision, device)
    judged = min(JUDGED, max(LEAST, len(gathered.pictures)))
    length = _length(
        generator, discriminator, batches, chosen,
        steps=steps, minutes=minutes, precision=named, device=device,
        folder=folder, is_begun=resume or not is_first_process(), judged=judged,
    )  # fmt: skip
    every = max(1, length // LOOKS)
    plan = _plan(
        Path(data), gathered, generator, discriminator, chosen,
        flips=flips, steps=length, every=every, epoch=batches.steps_per_epoch * max(1, devices),
        judged=judged, precision=named, device=device_for(device), devices=devices, seed=seed,
    )  # fmt: skip
    if show is not None and is_first_process():
        show(plan)
    from upstroke.apps.generate.learning import Learning, Real

    settings = {
        "generator": generator.settings,
        "discriminator": discriminator.settings,
        "recipe": {key: value for key, value in chosen.as_json().items() if key not in ("words", "steps")},
        "flips": flips,
        "pictures": digest,
    }
    task = Learning(
        generator,
        discriminator,
        chosen,
        real=Real(gathered.pictures, own_features(gathered.pictures)),
        seed=seed,
        metadata=_metadata(Path(data), gathered, settings, seed=seed),
    )
    fitted = fit(
        task,
        folder,
        steps=length,
        batches=batches,
        validation=[torch.arange(judged)],
        every=every,
        monitor="val_kept",
        mode="max",
        seed=seed,
        settings=settings,
        command=command,
        resume=resume,
        overwrite=overwrite,
        precision=named,
        device=device,
        devices=devices,
        workers=workers,
        progress=progress,
    )
    return _trained(fitted, plan)


def _trained(fitted: Fitted, plan: Json) -> Trained:
    judged = read_safetensors(fitted.weights)[1]["judged"]
    return Trained(
        out=fitted.out,
        weights=fitted.weights,
        report=fitted.report,
        kid=judged["kid"],
        diversity=judged["diversity"],
        steps=fitted.step,
        best_step=fitted.best_step or fitted.step,
        seconds=fitted.seconds,
        plan=plan,
        rank=fitted.rank,
    )


def _changed(
    recipe: Recipe,
    *,
    loss: Loss | None,
    augment: Literal["none", "full"] | None,
    average: float | None,
    rate: float | None,
    batch: int | None,
) -> Recipe:
    """The recipe with what was asked for otherwise."""
    if rate is not None and not 0 < rate < float("inf"):
        msg = f"a learning rate must be a number above 0; got {rate:g}"
        raise OptionError(msg)
    if average is not None and not 0 <= average < 1:
        msg = f"average is a share of the old from 0, which keeps none, to below 1; got {average:g}"
        raise OptionError(msg)
    changes = {"loss": loss, "average": average, "rate": rate, "batch": batch}
    given: Json = {name: value for name, value in changes.items() if value is not None}
    if rate is not None:
        given["judging_rate"] = recipe.judging_rate / recipe.rate * rate
    if augment is not None:
        given["augment"] = Augmenting.preset() if augment == "full" else Augmenting()
    return replace(recipe, **given)


def _check_pictures(folder: Path, digest: str) -> None:
    """Refuse to go on with other pictures than those the run was started with."""
    if read_config(folder)["settings"].get("pictures") != digest:
        msg = (
            "a resumed run must have the pictures, the size and the fit it was started with; these differ; "
            "bring them back, or start a new run"
        )
        raise OptionError(msg)


def _metadata(data: Path, gathered: Gathered, settings: Mapping[str, Any], *, seed: int) -> Json:
    """What stands beside the weights: how the generator is made, and what it was trained on."""
    count, channels, size, _ = gathered.pictures.shape
    return {
        "schema": MODEL,
        "version": __version__,
        **{key: settings[key] for key in ("generator", "discriminator", "recipe")},
        "seed": seed,
        "data": {
            "path": str(data.resolve()),
            "digest": settings["pictures"],
            "pictures": count,
            "channels": channels,
            "size": size,
            "fit": gathered.fit,
            "flips": settings["flips"],
        },
    }


def _length(
    generator: Generator,
    discriminator: Discriminator,
    batches: PictureBatches,
    recipe: Recipe,
    *,
    steps: int | None,
    minutes: int | float | None,
    precision: Precision,
    device: str,
    folder: Path,
    is_begun: bool,
    judged: int,
) -> int:
    """How many steps a run has: as said, as it was begun, or as many as fit into the minutes."""
    if steps is not None:
        return steps
    if is_begun:
        return int(read_config(folder)["steps"])
    if minutes is None:
        return recipe.steps
    seconds, picture = _seconds(
        generator, discriminator, batches, recipe, precision=precision, device=device_for(device)
    )
    looking = LOOKS * (judged + SETTLED * AT_ONCE) * picture
    # where looking alone would take more than half of the time, half is learnt all the same
    return max(1, int(max(minutes * 60 - looking, minutes * 30) / seconds))


def _seconds(
    generator: Generator,
    discriminator: Discriminator,
    batches: PictureBatches,
    recipe: Recipe,
    *,
    precision: Precision,
    device: str,
) -> tuple[float, float]:
    """Of a step, and of drawing a picture; of copies, so that the run begins as if nothing had been timed."""
    drawing, judging = copy.deepcopy(generator).to(device), copy.deepcopy(discriminator).to(device)
    optimizers = (adam(drawing, recipe, recipe.rate), adam(judging, recipe, recipe.judging_rate))
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    kind = torch.device(device).type
    with seeded("timing"), torch.autocast(kind, dtype=dtype, enabled=dtype is not None):
        # a whole round of lazy penalties, so that they are timed as often as they come
        count = recipe.lazy * -(-TIMED // recipe.lazy)
        for number in range(-1, count):
            if number == 0:
                begun = time.monotonic()
            told = step(
                drawing,
                judging,
                optimizers,
                batches.batch(number + 1).to(device, memory_format=torch.channels_last),
                torch.randn(recipe.batch, generator.latent).to(device),
                recipe,
                number=number,
                backward=lambda loss: loss.backward(),  # type: ignore[no-untyped-call]
            )
            told["generator"].item()
        seconds = (time.monotonic() - begun) / count
        begun = time.monotonic()
        drawn(drawing.released().eval(), latents(range(AT_ONCE), generator.latent, seed=0), device=device)
    return seconds, (time.monotonic() - begun) / AT_ONCE


def _plan(
    data: Path,
    gathered: Gathered,
    generator: Generator,
    discriminator: Discriminator,
    recipe: Recipe,
    *,
    flips: bool,
    steps: int,
    every: int,
    epoch: int,
    judged: int,
    precision: Precision,
    device: str,
    devices: int,
    seed: int,
) -> Json:
    """What is about to be done: `upstroke.generate-plan/1`."""
    return {
        "schema": PLAN,
        "data": str(data),
        "gathered": {**gathered.as_json(), "flips": flips},
        "generator": {
            **generator.settings,
            "parameters": _count(generator),
            "upsampling": sum(_count(up) for up in generator.ups),
            "drift": [float(each) for each in generator.drift],
        },
        "discriminator": {**discriminator.settings, "parameters": _count(discriminator)},
        "recipe": recipe.as_json(),
        "steps": steps,
        "epochs": steps / epoch,
        "every": every,
        "judged": judged,
        "seed": seed,
        "precision": precision,
        "device": device,
        "devices": devices,
    }


def _count(network: torch.nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())
