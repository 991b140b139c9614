"""Turn a task and its batches into a trained model in a run folder, exactly resumable."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy
import torch

from upstroke._version import __version__
from upstroke.errors import MissingExtraError, OptionError
from upstroke.train.batches import Batches, FixedBatches, Stream
from upstroke.train.folder import RunFolder, make_folder, reopen_folder
from upstroke.train.randomness import seeded

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from upstroke.train.checkpoints import InMemory
    from upstroke.train.interrupt import Interrupts
    from upstroke.train.keeper import Keeper, Plan
    from upstroke.train.log import RunLog
    from upstroke.train.task import Task

__all__ = ["Fitted", "Precision", "fit"]

Precision = Literal["32-true", "64-true", "16-mixed", "bf16-mixed", "bf16-true"]
SCHEMA = "upstroke.train/1"
# Validations of a run where nobody says how many steps lie between them.
VALIDATIONS = 20
EXTRA = "training needs the package lightning; pip install 'upstroke[train]'"


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What came of a run.

    Attributes:
        out: the run folder.
        weights: model.safetensors in it: of the best validation, or of the last step without one.
        step: steps done.
        best_step: the step of the best validation; None without validation.
        best: its number.
        is_early: whether training stopped because validation got no better.
        seconds: of training, those before a resume as well.
        rank: of this process; where there are several, the first, 0, is the one that speaks.
    """

    out: Path
    weights: Path
    step: int
    best_step: int | None
    best: float | None
    is_early: bool
    seconds: float
    rank: int


def fit(
    task: "Task",
    out: str | Path,
    *,
    steps: int,
    batches: Batches,
    validation: Sequence[Any] | None = None,
    every: int | None = None,
    patience: int | None = None,
    monitor: str = "val_loss",
    mode: Literal["min", "max"] = "min",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    command: Sequence[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    precision: Precision = "32-true",
    device: str = "auto",
    devices: int = 1,
    workers: int = 0,
    clip: float | None = None,
    log_every: int | None = None,
    progress: bool = True,
    tensorboard: bool = True,
) -> Fitted:
    """Train a task for so many steps and leave a run folder.

    A run that is killed at any step and resumed ends with the same weights, bit for bit, as one that is not.

    1. The folder is made, or opened again and its settings compared; config.json says what the run is.
    2. In step k the task is given `batches.batch(k)`. After every so many steps it is validated, always on the same
       batches, and a checkpoint is written; the best is kept beside the last.
    3. Ctrl-C is answered between two steps: a checkpoint is written and KeyboardInterrupt raised.

    Args:
        task: what to train; its first weights are the caller's, made under `seeded` if they are to be drawn again.
        out: the run folder.
        steps: batches to train on; a resumed run may be given more.
        batches: what to train on.
        validation: batches to validate on, kept or made as they are asked for; None or none for no validation.
        every: steps between validations, and between checkpoints; a twentieth of all unless given.
        patience: stop after so many validations without a new best.
        monitor: what the task logs in validation that says which is best.
        mode: whether the least is best, or the largest.
        seed: of dropout and all else that is drawn in training.
        settings: plain data that a resumed run must share, such as the options of a command.
        command: the words that started it; `sys.argv` unless given.
        resume: go on with the run that is there.
        overwrite: begin anew where a run is there already.
        precision: as Lightning names it.
        device: "auto", "cpu", "cuda" or "cuda:1".
        devices: processes to train in, each on its own device; in a step each takes its own batch.
        workers: processes that make batches ahead.
        clip: the largest norm of the gradients, with automatic optimisation.
        log_every: steps between rows of metrics.csv; a tenth of `every` unless given.
        progress: tell people on stderr how far it is.
        tensorboard: write for TensorBoard as well, where it is installed.

    Raises:
        OptionError: an argument has no meaning, or a resumed run has other settings.
        FileError: the folder cannot be made, is not empty, or cannot be written.
        TrainingError: a loss or a weight became NaN or infinite; the last good weights are kept.
        KeyboardInterrupt: training was stopped; the words say after which step.
        MissingExtraError: lightning is not installed.
    """
    try:
        import lightning.pytorch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(EXTRA) from error
    from upstroke.train.keeper import Plan
    from upstroke.train.quiet import quiet

    every = every if every is not None else max(1, steps // VALIDATIONS)
    log_every = log_every if log_every is not None else max(1, every // 10)
    _check(steps=steps, every=every, log_every=log_every, devices=devices)
    has_validation = validation is not None and len(validation) > 0
    plan = Plan(
        steps=steps,
        every=every,
        patience=patience,
        monitor=monitor if has_validation else None,
        mode=mode,
        log_every=log_every,
        seed=seed,
    )
    config = {
        "schema": SCHEMA,
        "command": list(sys.argv if command is None else command),
        "versions": _versions(),
        "task": type(task).__qualname__,
        "seed": seed,
        "steps": steps,
        "fit": {
            "every": every,
            "patience": patience,
            "monitor": plan.monitor,
            "mode": mode,
            "precision": precision,
            "devices": devices,
            "clip": clip,
        },
        "settings": dict(settings or {}),
    }
    folder = _folder(Path(out), config, resume=resume, overwrite=overwrite)
    with quiet(), seeded(seed, "fit"):
        return _run(
            task,
            folder,
            plan,
            batches=batches,
            validation=validation if has_validation else None,
            precision=precision,
            device=device,
            devices=devices,
            workers=workers,
            clip=clip,
            progress=progress,
            tensorboard=tensorboard,
        )


def _check(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            msg = f"{name} must be a whole number of at least 1; got {value}"
            raise OptionError(msg)


def _rank() -> int:
    from lightning.pytorch.utilities.rank_zero import rank_zero_only

    return int(getattr(rank_zero_only, "rank", 0))


def _folder(path: Path, config: dict[str, Any], *, resume: bool, overwrite: bool) -> RunFolder:
    if _rank() != 0:
        # the first process has made it, and started this one
        return RunFolder(path=path)
    if resume:
        return reopen_folder(path, config)
    return make_folder(path, config, overwrite=overwrite)


def _versions() -> dict[str, str]:
    import lightning

    return {
        "upstroke": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "numpy": numpy.__version__,
    }


def _run(
    task: "Task",
    folder: RunFolder,
    plan: "Plan",
    *,
    batches: Batches,
    validation: Sequence[Any] | None,
    precision: Precision,
    device: str,
    devices: int,
    workers: int,
    clip: float | None,
    progress: bool,
    tensorboard: bool,
) -> Fitted:
    from upstroke.train.checkpoints import InMemory, read_checkpoint
    from upstroke.train.interrupt import Stop, held_back
    from upstroke.train.keeper import Keeper
    from upstroke.train.log import RunLog
    from upstroke.train.progress import telling

    restored = read_checkpoint(folder.last) if os.path.exists(folder.last) else None
    start = restored["callbacks"]["upstroke"]["step"] if restored else 0
    log = RunLog(folder.metrics, start=start, tensorboard=folder.tensorboard if tensorboard else None)
    checkpoints = InMemory(restored)
    with held_back() as interrupts, telling(is_wanted=progress and _rank() == 0, start=start) as tell:
        keeper = Keeper(
            folder=folder, plan=plan, numbers=log, checkpoints=checkpoints, interrupts=interrupts, tell=tell
        )
        if restored:
            keeper.load_state_dict(restored["callbacks"]["upstroke"])
        trainer = _trainer(
            folder,
            plan,
            keeper,
            log,
            checkpoints,
            precision=precision,
            device=device,
            devices=devices,
            clip=clip,
        )
        stream = Stream(
            batches, start=start, steps=plan.steps, seed=plan.seed, workers=workers, rank=trainer.global_rank,
            processes=trainer.world_size,
        )  # fmt: skip
        try:
            if start < plan.steps and not keeper.is_out_of_patience:
                trainer.fit(
                    task,
                    train_dataloaders=stream,
                    val_dataloaders=None if validation is None else FixedBatches(validation, seed=plan.seed),
                    ckpt_path=str(folder.last) if restored else None,
                )
        except Stop:
            msg = f"training was stopped after step {keeper.step} of {plan.steps}; resume {folder.path} to go on"
            raise KeyboardInterrupt(msg) from None
        finally:
            log.finalize("")
    return Fitted(
        out=folder.path,
        weights=folder.weights,
        step=keeper.step,
        best_step=keeper.best_step,
        best=keeper.best,
        is_early=keeper.is_out_of_patience and keeper.step < plan.steps,
        seconds=keeper.seconds if keeper.step == start else keeper.elapsed(),
        rank=trainer.global_rank,
    )


def _trainer(
    folder: RunFolder,
    plan: "Plan",
    keeper: "Keeper",
    log: "RunLog",
    checkpoints: "InMemory",
    *,
    precision: Precision,
    device: str,
    devices: int,
    clip: float | None,
) -> "Trainer":
    from lightning.pytorch import Trainer
    from lightning.pytorch.plugins.environments import LightningEnvironment

    kind, _, number = device.partition(":")
    # one process asks no cluster what it is part of
    alone = [LightningEnvironment()] if devices == 1 else []
    return Trainer(
        accelerator={"cuda": "gpu"}.get(kind, kind),
        devices=[int(number)] if number else devices,
        strategy="auto" if devices == 1 else "ddp",
        precision=precision,
        logger=log,
        callbacks=[keeper],
        max_epochs=1,
        val_check_interval=plan.every if plan.monitor is not None else None,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=plan.log_every,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=clip,
        use_distributed_sampler=False,
        default_root_dir=folder.path,
        plugins=[checkpoints, *alone],
    )
