"""Turn a plan, a task and a run folder into training by Lightning."""

import inspect
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from upstroke.errors import OptionError, TrainingError, first_line
from upstroke.files import write_atomically
from upstroke.report.training_page import training_page
from upstroke.train.batches import Batches, FixedBatches, Stream
from upstroke.train.checkpoints import InMemory, read_checkpoint
from upstroke.train.fitted import Fitted
from upstroke.train.folder import RunFolder
from upstroke.train.interrupt import Stop, held_back
from upstroke.train.keeper import Keeper
from upstroke.train.log import RunLog
from upstroke.train.plan import Plan
from upstroke.train.progress import telling
from upstroke.train.record import State, training_record
from upstroke.train.task import Task

__all__ = ["run"]


def run(
    task: Task,
    folder: RunFolder,
    plan: Plan,
    *,
    batches: Batches,
    validation: Sequence[Any] | None,
    progress: bool,
    tensorboard: bool,
) -> Fitted:
    """Train from the start, or from the last checkpoint in the folder."""
    _check_steps(task, has_validation=validation is not None)
    restored = read_checkpoint(folder.last) if os.path.exists(folder.last) else None
    checkpoints = InMemory(restored)
    keeper = Keeper(folder=folder, plan=plan, checkpoints=checkpoints)
    if restored is not None:
        keeper.load_state_dict(restored["callbacks"][keeper.state_key])
    start = keeper.step
    if plan.precision == "64-true":
        # Lightning would do so after it has loaded the checkpoint, into weights of 32 bits
        task.double()
    trainer = _trainer(folder, plan, keeper, checkpoints, is_manual=not task.automatic_optimization)
    is_first = trainer.global_rank == 0
    with ExitStack() as stack:
        keeper.numbers = RunLog(
            folder.metrics,
            start=start,
            tensorboard=folder.tensorboard if tensorboard else None,
            is_first=is_first,
        )
        stack.callback(keeper.numbers.finalize, "")
        trainer.loggers = [keeper.numbers]
        keeper.interrupts = stack.enter_context(held_back())
        keeper.tell = stack.enter_context(telling(is_wanted=progress and is_first, start=start))
        stack.enter_context(_flags_kept())
        stream = Stream(
            batches,
            start=start,
            steps=plan.steps,
            seed=plan.seed,
            workers=plan.workers,
            rank=trainer.global_rank,
            processes=trainer.world_size,
        )
        held_out = None if validation is None else FixedBatches(validation, seed=plan.seed)
        if start < plan.steps and not keeper.is_out_of_patience:
            _train(trainer, task, keeper, stream=stream, held_out=held_out, is_resumed=restored is not None)
    state: State = "early" if keeper.is_out_of_patience and keeper.step < plan.steps else "finished"
    _report(keeper, state=state, is_first=is_first)
    return Fitted(
        out=folder.path,
        weights=folder.weights,
        report=folder.report,
        step=keeper.step,
        best_step=keeper.best_step,
        best=keeper.best,
        is_early=state == "early",
        seconds=keeper.seconds,
        rank=trainer.global_rank,
    )


def _train(
    trainer: Trainer,
    task: Task,
    keeper: Keeper,
    *,
    stream: Stream,
    held_out: FixedBatches | None,
    is_resumed: bool,
) -> None:
    last = keeper.folder.last
    try:
        trainer.fit(
            task,
            train_dataloaders=stream,
            val_dataloaders=held_out,
            ckpt_path=str(last) if is_resumed else None,
        )
    except (Stop, SIGTERMException):
        keeper.stop_clock()
        _report(keeper, state="stopped", is_first=trainer.global_rank == 0)
        kept = f"step {keeper.saved} is kept" if keeper.saved else "nothing is kept yet"
        msg = (
            f"training was stopped after step {keeper.step} of {keeper.plan.steps}; {kept} in "
            f"{keeper.folder.path}; resume it to go on"
        )
        raise KeyboardInterrupt(msg) from None
    except TrainingError:
        keeper.stop_clock()
        _report(keeper, state="failed", is_first=trainer.global_rank == 0)
        raise
    except MisconfigurationException as error:
        msg = f"Lightning cannot train this task; {first_line(error)}; change the task or the options"
        raise OptionError(msg) from error
    except RuntimeError as error:
        if "loading state_dict" not in str(error):
            raise
        msg = f"the weights in {last} are those of another network; give its settings, or start a new run"
        raise OptionError(msg) from error


def _check_steps(task: Task, *, has_validation: bool) -> None:
    if "batch_idx" in inspect.signature(task.training_step).parameters:
        msg = (
            "training_step must take the batch alone, because a number of the batch would begin anew after a "
            "resume; it takes batch_idx; use self.global_step"
        )
        raise OptionError(msg)
    if has_validation and type(task).validation_step is Task.validation_step:
        msg = (
            f"{type(task).__qualname__} must have a validation_step where there are batches for it; it "
            "has none; write one that logs what is monitored, or give no validation"
        )
        raise OptionError(msg)


def _report(keeper: Keeper, *, state: State, is_first: bool) -> None:
    if is_first:
        keeper.numbers.flush()
        record = training_record(
            keeper.folder, state=state, step=keeper.step, best=keeper.best, best_step=keeper.best_step,
            seconds=keeper.seconds,
        )  # fmt: skip
        write_atomically(keeper.folder.report, training_page(record), overwrite=True)


@contextmanager
def _flags_kept() -> Iterator[None]:
    """Lightning asks for deterministic operators on a GPU; afterwards they are as the caller had them."""
    is_on = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(is_on, warn_only=warns)


def _trainer(
    folder: RunFolder, plan: Plan, keeper: Keeper, checkpoints: InMemory, *, is_manual: bool
) -> Trainer:
    kind, _, number = plan.device.partition(":")
    is_cuda = kind == "cuda" or (kind == "auto" and torch.cuda.is_available())
    # one process asks no cluster what it is part of
    alone = [LightningEnvironment()] if plan.devices == 1 else []
    # with several optimizers each backward pass leaves weights of the others without gradients
    several = "ddp_find_unused_parameters_true" if is_manual else "ddp"
    try:
        return Trainer(
            accelerator={"cuda": "gpu"}.get(kind, kind),
            devices=[int(number)] if number else plan.devices,
            strategy="auto" if plan.devices == 1 else several,
            precision=plan.precision,
            # where an operator has no deterministic form the other is taken
            deterministic="warn" if is_cuda else None,
            logger=False,
            callbacks=[keeper],
            max_epochs=1,
            val_check_interval=plan.every if plan.monitor is not None else None,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            log_every_n_steps=plan.log_every,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=plan.clip,
            use_distributed_sampler=False,
            default_root_dir=folder.path,
            plugins=[checkpoints, *alone],
        )
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        how = f"on device {plan.device} in precision {plan.precision}"
        msg = f"this machine cannot train {how}; {first_line(error)}; choose another"
        raise OptionError(msg) from error
