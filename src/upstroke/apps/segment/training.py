"""A folder of images with masks becomes a run folder with a network that outlines others."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy
import torch

from upstroke._version import __version__
from upstroke.apps.segment.augment import Augmentation
from upstroke.apps.segment.cases import Case
from upstroke.apps.segment.held_out import HeldOut, evenly
from upstroke.apps.segment.layouts import find_cases
from upstroke.apps.segment.planning import Design, Wishes, design
from upstroke.apps.segment.presets import Preset, preset_named
from upstroke.apps.segment.samples import Samples
from upstroke.apps.segment.split import Split, SplitBy, split
from upstroke.apps.segment.survey import Survey, survey
from upstroke.apps.segment.weights import Weights, balance
from upstroke.errors import OptionError
from upstroke.files.safetensors import read_safetensors, write_safetensors
from upstroke.nn import UNet
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

# Of a run; each looks at so many held-out cases at most, and the end at all of them.
VALIDATIONS, CHECKED = 20, 12
# Steps between two of them at least: what so few change is not worth a look.
SOONEST = 10
# Largest norm of the gradients, as in nnU-Net (Isensee et al., 2021): only what would break a run is cut.
CLIP = 12.0
# Steps that are timed, after one that is not.
TIMED = 4
SCHEMA, PLAN = "upstroke.segment-train/1", "upstroke.segment-plan/1"

Json = dict[str, Any]
AnyNumber = TypeVar("AnyNumber", int, int | float)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of training.

    Attributes:
        out: the run folder.
        weights: the file in it that holds everything needed to apply the network.
        report: the page in it.
        classes: names, without the background.
        dice: of each class, mean over all held-out cases in which it is there or predicted; None in none.
        mean_dice: over classes.
        cases: that were held out.
        steps: done.
        best_step: whose averaged weights were kept, the best on the held-out cases that were looked at.
        is_early: whether training stopped before the last step.
        seconds: of training.
        plan: what was trained, `upstroke.segment-plan/1`.
        notes: what a reader should know, a sentence each.
        rank: of this process; the first, 0, speaks.
    """

    out: Path
    weights: Path
    report: Path
    classes: tuple[str, ...]
    dice: tuple[float | None, ...]
    mean_dice: float
    cases: int
    steps: int
    best_step: int
    is_early: bool
    seconds: float
    plan: Mapping[str, Any]
    notes: tuple[str, ...]
    rank: int

    def as_json(self) -> Json:
        """Plain data, schema `upstroke.segment-train/1`."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "run": str(self.out),
            "weights": str(self.weights),
            "report": str(self.report),
            "dice": dict(zip(self.classes, self.dice, strict=True)),
            "mean_dice": self.mean_dice,
            "cases": self.cases,
            "steps": self.steps,
            "best_step": self.best_step,
            "is_early": self.is_early,
            "seconds": self.seconds,
            "plan": dict(self.plan),
            "notes": list(self.notes),
        }


def train(
    data: str | Path,
    out: str | Path,
    *,
    preset: str = "base",
    steps: int | None = None,
    minutes: int | float | None = None,
    validation_data: str | Path | None = None,
    share: float = 0.2,
    count: int | None = None,
    split_by: SplitBy = "random",
    group: str | None = None,
    patch: Sequence[int] | None = None,
    batch: int | None = None,
    widths: Sequence[int] | None = None,
    up: str | None = None,
    conv: str | None = None,
    norm: str | None = None,
    spacing: Sequence[int | float] | None = None,
    augment: str | None = None,
    patience: int | None = None,
    precision: PrecisionWord = "auto",
    device: str = "auto",
    devices: int = 1,
    workers: int = 0,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    show: Callable[[Mapping[str, Any]], None] | None = None,
    command: Sequence[str] | None = None,
) -> Trained:
    """Train a U-Net whose skips line up on images with masks.

    1. All files are read once; what cannot be used is refused before anything is trained, and classes are
       what the masks hold.
    2. Whole groups of cases are held out. The network's levels, kernels and patches follow from the voxels,
       as `design` says; its first weights from the seed.
    3. `upstroke.train.fit` trains. Twelve held-out cases at most, spread over all of them, are judged twenty
       times, whole, at their own size; the averaged weights with the best mean Dice are kept.
    4. These are judged on all held-out cases, by `Trained.dice`.

    Args:
        data: a folder of images with masks, as `find_cases` knows them.
        out: the run folder.
        preset: "tiny", "base" or "original".
        steps: of training; the preset's unless given.
        minutes: instead of steps: as many as take about so long, by the speed of the first ones.
        validation_data: a folder of cases to judge by, instead of holding some of `data` out.
        share: of the cases that is held out.
        count: how many to hold out instead.
        split_by: "random" groups, the last ones in "order", or those in the data's own "folder".
        group: regular expression of which cases belong together, as in `find_cases`.
        patch: size of what is trained on.
        batch: patches in a step.
        widths: channels of each level.
        up: method of the way up, as `upstroke.nn.Upsampler` has them.
        conv: "same" or "valid".
        norm: "instance", "batch", "group" or "none".
        spacing: to which images are brought; unless given the median one where they differ.
        augment: "none", "light" or "full".
        patience: stop after so many judgements without a new best.
        precision: "auto" takes bf16 where a GPU or processor computes in it, else 32.
        device: as in `fit`.
        devices: processes, each with its own batches.
        workers: processes that make batches ahead.
        seed: of weights, patches, their order and the split.
        resume: go on with the run that is in the folder.
        overwrite: begin anew where there is one.
        progress: tell people on stderr how far it is.
        show: given the plan, `upstroke.segment-plan/1`, before training.
        command: the words that started it.

    Raises:
        FileError: data or the folder cannot be used.
        OptionError: an argument has no meaning or does not fit the data, or a resumed run differs.
        TrainingError: a loss or a weight became NaN or infinite.
    """
    folder = Path(out)
    check_asked(folder, steps=steps, minutes=minutes, resume=resume, overwrite=overwrite)
    check_device(device, precision)
    wishes = Wishes(
        patch=_tuple(patch),
        batch=batch,
        widths=_tuple(widths),
        up=up,
        conv=conv,
        norm=norm,
        spacing=_tuple(spacing),
        augment=augment,
    )
    chosen = wishes.of(preset_named(preset))
    parts = _parted(
        Path(data), validation_data, group=group, share=share, count=count, by=split_by, seed=seed
    )
    if resume:
        _check_cases(folder, parts)
    found = survey((*parts.train, *parts.validation))
    made = design(found, chosen, wishes)
    with seeded(seed, "weights"):
        network = UNet(**made.recipe.unet)
    # by what is learnt from alone, which was read first
    weights = _weights(found.masks[: len(parts.train)], chosen)
    samples = _samples(parts.train, made, chosen, weights=weights, seed=seed)
    held_out = HeldOut(parts.validation, samples)
    checked = HeldOut([parts.validation[each] for each in evenly(len(held_out), CHECKED)], samples)
    named = precision_for(precision, device)
    length = _length(
        network,
        samples,
        checked,
        chosen,
        steps=steps,
        minutes=minutes,
        precision=named,
        device=device,
        folder=folder,
        is_begun=resume or not is_first_process(),
        judged_last=len(held_out),
    )
    every = max(min(SOONEST, length), length // VALIDATIONS)
    plan = _plan(
        Path(data),
        found,
        parts,
        made,
        chosen,
        weights=weights,
        steps=length,
        every=every,
        checked=len(checked),
        precision=named,
        device=device_for(device),
        devices=devices,
    )
    if show is not None and is_first_process():
        show(plan)
    from upstroke.apps.segment.learning import Learning

    task = Learning(network, made.recipe, chosen, steps=length, every=every)
    fitted = fit(
        task,
        folder,
        steps=length,
        batches=samples,
        validation=checked,
        every=every,
        patience=patience,
        monitor="val_dice",
        mode="max",
        seed=seed,
        settings=_settings(parts, found, made, chosen, weights=weights),
        command=command,
        resume=resume,
        overwrite=overwrite,
        precision=named,
        device=device,
        devices=devices,
        workers=workers,
        clip=CLIP,
        progress=progress,
    )
    return _finished(fitted, held_out, plan=plan, notes=(*found.notes, *made.notes))


def _tuple(given: Sequence[AnyNumber] | None) -> tuple[AnyNumber, ...] | None:
    return None if given is None else tuple(given)


def _parted(
    data: Path,
    validation: str | Path | None,
    *,
    group: str | None,
    share: float,
    count: int | None,
    by: SplitBy,
    seed: int,
) -> Split:
    """Cases to learn from and cases to judge by, of one folder or of two."""
    cases = find_cases(data, group=group)
    if validation is None:
        return split(cases, share=share, count=count, by=by, seed=derived_seed(seed, "split"))
    held = find_cases(Path(validation), group=group)
    twice = sorted(
        {each.resolve() for case in cases for each in case.images}
        & {each.resolve() for case in held for each in case.images}
    )
    if twice:
        msg = f"what is held out must not be learnt from; {twice[0]} is in both folders; part them"
        raise OptionError(msg)
    return Split(train=cases, validation=held)


def _check_cases(folder: Path, parts: Split) -> None:
    """Refuse to go on with other cases than those the run was started with."""
    before = read_config(folder)["settings"].get("cases", {})
    for part, words in (("train", "to learn from"), ("validation", "that are held out")):
        was, now = set(before.get(part, ())), {case.name for case in getattr(parts, part)}
        changed = sorted(was ^ now)
        if changed:
            new = sum(name in now for name in changed)
            msg = (
                f"a resumed run must have the cases it was started with; of those {words} "
                f"{len(changed) - new} are gone and {new} are new, such as {changed[0]}; "
                "bring the data back, or start a new run"
            )
            raise OptionError(msg)


def _weights(masks: Sequence[Sequence[int]], preset: Preset) -> Weights | None:
    """What voxels count, where the preset says that they do not count alike."""
    if preset.borders is None:
        return None
    border, sigma = preset.borders
    return Weights(classes=balance(masks), border=border, sigma=sigma)


def _samples(
    cases: Sequence[Case], made: Design, preset: Preset, *, weights: Weights | None, seed: int
) -> Samples:
    recipe = made.recipe
    return Samples(
        cases,
        classes=recipe.classes,
        normalisation=recipe.normalisation,
        spacing=recipe.spacing,
        patch=recipe.patch,
        output=made.output,
        border=made.border,
        batch_size=preset.batch,
        augmentation=Augmentation.preset(preset.augment),
        weights=weights,
        seed=seed,
    )


def _length(
    network: UNet,
    samples: Samples,
    checked: HeldOut,
    preset: Preset,
    *,
    steps: int | None,
    minutes: int | float | None,
    precision: Precision,
    device: str,
    folder: Path,
    is_begun: bool,
    judged_last: int,
) -> int:
    """How many steps a run has: as said, as it was begun, or as many as fit into the minutes."""
    if steps is not None:
        return steps
    if is_begun:
        return int(read_config(folder)["steps"])
    if minutes is None:
        return preset.steps
    step, case = _seconds(network, samples, checked, preset, precision=precision, device=device)
    judging = case * (VALIDATIONS * len(checked) + judged_last)
    left = minutes * 60 - judging
    # where judging alone would take more than half of the time, half is learnt all the same
    return max(1, int(max(left, minutes * 30) / step))


def _seconds(
    network: UNet, samples: Samples, checked: HeldOut, preset: Preset, *, precision: Precision, device: str
) -> tuple[float, float]:
    """Of a step, and of judging a case; of a copy, so that the run begins as if nothing had been timed."""
    from upstroke.apps.segment.learning import judged, losses_of, optimizer_of

    kind = device_for(device)
    trial = copy.deepcopy(network).to(kind)
    optimizer = optimizer_of(trial, preset)
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    held = checked[0]
    with seeded("timing"), torch.autocast(torch.device(kind).type, dtype=dtype, enabled=dtype is not None):
        for number in range(TIMED + 1):
            if number == 1:
                begun = time.monotonic()
            sample = samples.batch(number)
            found = losses_of(
                trial,
                sample.images.to(kind),
                sample.labels.to(kind),
                dice=preset.dice,
                weights=None if sample.weights is None else sample.weights.to(kind),
            )
            optimizer.zero_grad()
            found["loss"].backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            found["loss"].item()
        step = (time.monotonic() - begun) / TIMED
        with torch.no_grad():
            begun = time.monotonic()
            judged(trial.eval(), held.image.to(kind), held.labels.shape, patch=samples.patch)
    return step, time.monotonic() - begun


def _settings(parts: Split, found: Survey, made: Design, preset: Preset, *, weights: Weights | None) -> Json:
    """What a resumed run must share, and what others need to know of it."""
    recipe = made.recipe.as_json()
    return {
        "preset": preset.name,
        "classes": recipe["classes"],
        "unet": recipe["unet"],
        "patch": recipe["patch"],
        "spacing": recipe["spacing"],
        "batch": preset.batch,
        "augment": preset.augment,
        "optimizer": {
            "kind": preset.optimizer,
            "rate": preset.rate,
            "decay": preset.decay,
            "momentum": preset.momentum,
            "average": preset.average,
            "dice": preset.dice,
            "weights": None if weights is None else weights.as_json(),
        },
        "data": {
            "voxels": list(found.voxels),
            "sizes": found.sizes.as_json(),
            "spacing": found.spacing.as_json(),
            "intensity": list(found.intensity),
        },
        "cases": parts.as_json(),
    }


def _plan(
    data: Path,
    found: Survey,
    parts: Split,
    made: Design,
    preset: Preset,
    *,
    weights: Weights | None,
    steps: int,
    every: int,
    checked: int,
    precision: Precision,
    device: str,
    devices: int,
) -> Json:
    """What is about to be done: `upstroke.segment-plan/1`."""
    recipe = made.recipe.as_json()
    return {
        "schema": PLAN,
        "data": str(data),
        "survey": found.as_json(),
        "train": {"cases": len(parts.train), "groups": len({case.group for case in parts.train})},
        "validation": {
            "cases": len(parts.validation),
            "groups": len({case.group for case in parts.validation}),
            "checked": checked,
        },
        "test": {"cases": len(parts.test)},
        "preset": {"name": preset.name, "words": preset.words},
        "network": {"settings": recipe["unet"], "parameters": made.parameters, "joins": list(made.joins)},
        "patch": recipe["patch"],
        "output": list(made.output),
        "spacing": recipe["spacing"],
        "batch": preset.batch,
        "augment": preset.augment,
        "optimizer": preset.optimizer,
        "rate": preset.rate,
        "weights": None if weights is None else weights.as_json(),
        "steps": steps,
        "every": every,
        "precision": precision,
        "device": device,
        "devices": devices,
        "notes": [*found.notes, *made.notes],
    }


def _finished(fitted: Fitted, held_out: HeldOut, *, plan: Json, notes: tuple[str, ...]) -> Trained:
    """Judge the weights that were kept on all that is held out, and say so in their file."""
    from upstroke.apps.segment.learning import confusion, dice_of, judged, mean_dice
    from upstroke.apps.segment.recipe import Recipe

    tensors, metadata = read_safetensors(fitted.weights)
    recipe = Recipe.from_json(metadata, source=str(fitted.weights))
    by_class: tuple[float | None, ...] = (None,) * (recipe.classes.count - 1)
    if fitted.rank == 0:
        network = UNet(**recipe.unet)
        network.load_state_dict(dict(tensors))
        with torch.inference_mode():
            each = [
                dice_of(
                    confusion(
                        judged(network.eval(), held.image, held.labels.shape, patch=recipe.patch),
                        held.labels.numpy(),
                        classes=recipe.classes.count,
                    )
                )
                for held in held_out
            ]
        by_class = mean_dice(each)
        found = {
            "dice": dict(zip(recipe.classes.names[1:], by_class, strict=True)),
            "cases": len(held_out),
            "step": fitted.best_step,
        }
        write_safetensors(fitted.weights, tensors, {**metadata, "held_out": found}, overwrite=True)
    known = [each for each in by_class if each is not None]
    return Trained(
        out=fitted.out,
        weights=fitted.weights,
        report=fitted.report,
        classes=recipe.classes.names[1:],
        dice=by_class,
        mean_dice=float(numpy.mean(known)) if known else 0.0,
        cases=len(held_out),
        steps=fitted.step,
        best_step=fitted.best_step or fitted.step,
        is_early=fitted.is_early,
        seconds=fitted.seconds,
        plan=plan,
        notes=notes,
        rank=fitted.rank,
    )
