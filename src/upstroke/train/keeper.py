"""Turn the events of a training loop into checkpoints, numbers and the decision to stop."""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from numpy import ndarray
from torch import Tensor

from upstroke.errors import OptionError, TrainingError
from upstroke.files import write_atomically
from upstroke.files.place import write_together
from upstroke.files.png import png_bytes
from upstroke.files.safetensors import safetensors_bytes
from upstroke.train.checkpoints import InMemory
from upstroke.train.folder import RunFolder
from upstroke.train.interrupt import Interrupts, Stop
from upstroke.train.log import RunLog
from upstroke.train.plan import Plan
from upstroke.train.randomness import seed_all
from upstroke.train.task import Task

__all__ = ["Keeper", "Told"]

# Digits of the step in the name of a picture, so that names are in order.
DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class Told:
    """What there is to tell of a run under way."""

    step: int
    steps: int
    losses: Mapping[str, float]
    monitor: str | None
    value: float | None
    best: float | None


class Keeper(Callback):
    """Counts steps, looks for NaN, saves, and stops early; all of it survives in a checkpoint."""

    numbers: RunLog
    interrupts: Interrupts
    tell: Callable[[Told], None]

    def __init__(self, *, folder: RunFolder, plan: Plan, checkpoints: InMemory) -> None:
        self.folder, self.plan, self.checkpoints = folder, plan, checkpoints
        self.step = self.start = 0
        self.value: float | None = None
        self.best: float | None = None
        self.best_step: int | None = None
        self.without_gain = 0
        self.seconds = 0.0
        self.saved: int | None = None
        self.is_best_unsaved = False
        self.losses: dict[str, float] = {}
        # losses of steps since the last row, as tensors where reading them would make a device wait
        self.pending: list[tuple[int, dict[str, Tensor]]] = []
        self.totals: dict[str, tuple[float, int]] = {}
        self.clock: float | None = None

    @property
    def state_key(self) -> str:
        """Under which the state stands in a checkpoint."""
        return "upstroke"

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "step": self.step,
            "value": self.value,
            "best": self.best,
            "best_step": self.best_step,
            "without_gain": self.without_gain,
            "seconds": self.elapsed(),
            "totals": {name: list(total) for name, total in self.totals.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint was written."""
        self.step = self.start = self.saved = state_dict["step"]
        self.value, self.best = state_dict["value"], state_dict["best"]
        self.best_step, self.without_gain = state_dict["best_step"], state_dict["without_gain"]
        self.seconds = state_dict["seconds"]
        self.totals = {name: (total, count) for name, (total, count) in state_dict["totals"].items()}

    def elapsed(self) -> float:
        """Seconds of training, those before a resume as well."""
        return self.seconds + (0.0 if self.clock is None else time.monotonic() - self.clock)

    def stop_clock(self) -> None:
        """Training is over."""
        self.seconds, self.clock = self.elapsed(), None

    @property
    def is_out_of_patience(self) -> bool:
        """Whether training was stopped early."""
        return self.plan.patience is not None and self.without_gain >= self.plan.patience

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let Lightning's counters begin where the run goes on; see that rates change by steps."""
        self.clock = time.monotonic()
        _task(pl_module).finished_steps = self.step
        for config in trainer.lr_scheduler_configs:
            if config.interval != "step":
                msg = (
                    "learning rates must change by steps, because a run has no epochs; "
                    f'{type(config.scheduler).__name__} has "interval": "{config.interval}"; '
                    'return {"optimizer": ..., "lr_scheduler": {"scheduler": ..., "interval": "step"}}'
                )
                raise OptionError(msg)
        loop = trainer.fit_loop.epoch_loop
        loop.batch_progress.total.ready = self.start
        loop.on_load_checkpoint({"_batches_that_stepped": self.start})

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Between two steps: all of the one before is done, its validation and learning rates too."""
        self._between(trainer, pl_module)
        if trainer.strategy.reduce_boolean_decision(self.interrupts.is_asked, all=False):
            self.save(trainer, pl_module)
            raise Stop
        progress = trainer.fit_loop.epoch_loop.batch_progress
        if batch_idx == 0 and self.start:
            # the counter by which rates change and a run ends; Lightning set it to nought and has counted one
            progress.current.ready += self.start
        seed_all(self.plan.seed, "step", self.step, trainer.global_rank)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Count the step and look at its losses."""
        self.step += 1
        self.numbers.step = self.step
        _task(pl_module).finished_steps = self.step
        self.pending.append((self.step, _losses(outputs)))
        is_row = self.step % self.plan.log_every == 0 or self.step == self.plan.steps
        if is_row or pl_module.device.type == "cpu":
            self._read_pending()
        if is_row and self.totals:
            means = {name: total / count for name, (total, count) in self.totals.items()}
            self.numbers.log_metrics({**means, "seconds": self.elapsed()})
            self.totals = {}
            self.losses = means
        if is_row:
            self._tell()
        if self.step == self.plan.steps and self.plan.monitor is not None:
            # Lightning validates once more before it ends
            trainer.should_stop = True

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the same in every validation, whatever was drawn before."""
        seed_all(self.plan.seed, "validation")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the best, and stop when it does not come any more."""
        name = self.plan.monitor
        if name is None:
            return
        found = trainer.callback_metrics.get(name)
        if found is None:
            known = ", ".join(sorted(trainer.callback_metrics)) or "nothing"
            msg = f"validation must log {name!r}, by which the best is chosen; it logs {known}; monitor one"
            raise OptionError(msg)
        self.value = float(found)
        if math.isnan(self.value):
            self._refuse(f"{name} became NaN in the validation after step {self.step}")
        if self.best is None or (
            self.value < self.best if self.plan.mode == "min" else self.value > self.best
        ):
            self.best, self.best_step, self.without_gain = self.value, self.step, 0
            self.is_best_unsaved = True
        else:
            self.without_gain += 1
        if self.is_out_of_patience:
            trainer.should_stop = True
        if trainer.is_global_zero:
            task = _task(pl_module)
            self._keep_pictures(task.pictures(), task.captions())
        self._tell()

    def _keep_pictures(self, pictures: Mapping[str, ndarray], captions: Mapping[str, str]) -> None:
        if pictures:
            self.folder.pictures.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            if not re.fullmatch(r"\w[\w. -]*", name):
                msg = f"a picture is named in letters, digits and dashes, for it is a file; got {name!r}"
                raise OptionError(msg)
            path = self.folder.pictures / f"{name}-{self.step:0{DIGITS}d}.png"
            write_atomically(path, png_bytes(picture), overwrite=True)
            if name in captions:
                write_atomically(self.folder.pictures / f"{name}.txt", captions[name], overwrite=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the last step."""
        self._between(trainer, pl_module)
        if self.saved != self.step:
            self.save(trainer, pl_module)
        self.stop_clock()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """A termination that was asked for comes between two steps: save, to go on later."""
        if isinstance(exception, SIGTERMException):
            self.save(trainer, pl_module)

    def _between(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.numbers.flush()
        is_due = self.step % self.plan.every == 0 and self.step != self.saved and self.step > self.start
        if is_due or self.is_best_unsaved:
            self.save(trainer, pl_module)

    def save(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write all that belongs to this step together: checkpoints, and the weights of a finished model."""
        self._read_pending()
        task = _task(pl_module)
        bad = next((name for name, each in task.named_parameters() if not _is_finite(each)), None)
        if bad is not None:
            self._refuse(f"the weights {bad} became NaN or infinite by step {self.step}")
        trainer.save_checkpoint(self.folder.last, weights_only=False)
        is_best = self.is_best_unsaved
        if trainer.is_global_zero:
            state = self.checkpoints.written
            files: dict[Path, list[bytes]] = {}
            if is_best:
                files[self.folder.best] = [state]
            if is_best or self.plan.monitor is None:
                tensors, metadata = task.export()
                files[self.folder.weights] = [safetensors_bytes(tensors, metadata)]
            # last, so that a run that is killed in between goes on from before and writes the others again
            files[self.folder.last] = [state]
            write_together(files, overwrite=True)
            self.checkpoints.written = b""
        # no process goes on, or returns, before the files are there
        trainer.strategy.barrier("saved")
        self.is_best_unsaved = False
        self.saved = self.step

    def _read_pending(self) -> None:
        pending, self.pending = self.pending, []
        for step, losses in pending:
            for name, tensor in losses.items():
                value = float(tensor)
                if not math.isfinite(value):
                    word = "NaN" if math.isnan(value) else "infinite"
                    self._refuse(f"{name} became {word} in step {step}")
                total, count = self.totals.get(name, (0.0, 0))
                self.totals[name] = (total + value, count + 1)

    def _refuse(self, what: str) -> None:
        kept = (
            f"the weights of step {self.saved} are kept in {self.folder.last}"
            if self.saved
            else "no weights were kept yet"
        )
        msg = f"training must stay finite; {what}; {kept}; lower the learning rate or clip the gradients"
        raise TrainingError(msg)

    def _tell(self) -> None:
        self.tell(
            Told(
                step=self.step,
                steps=self.plan.steps,
                losses=self.losses,
                monitor=self.plan.monitor,
                value=self.value,
                best=self.best,
            )
        )


def _task(module: LightningModule) -> Task:
    assert isinstance(module, Task)
    return module


def _losses(outputs: object) -> dict[str, Tensor]:
    """The single numbers of what a step returned."""
    found = outputs if isinstance(outputs, Mapping) else {"loss": outputs}
    return {
        str(name): value.detach()
        for name, value in found.items()
        if isinstance(value, Tensor) and value.numel() == 1
    }


def _is_finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())
