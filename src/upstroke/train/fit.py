"""Turn a task and its batches into a trained model in a run folder, exactly resumable."""

import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import torch

from upstroke._version import __version__
from upstroke.errors import MissingExtraError
from upstroke.train.batches import Batches
from upstroke.train.first import is_first_process
from upstroke.train.fitted import Fitted
from upstroke.train.folder import SCHEMA, RunFolder, make_folder, reopen_folder
from upstroke.train.plan import Mode, Plan, Precision, plan_for
from upstroke.train.randomness import seeded

if TYPE_CHECKING:
    from upstroke.train.task import Task

__all__ = ["fit"]

EXTRA = "training needs the package lightning; pip install 'upstroke[train]'"


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
    mode: Mode = "min",
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

    A run that is killed at any step and resumed ends with the same weights, bit for bit, as one that is not:
    with the same versions, on the same kind of machine, with as many threads, and on a GPU as far as its
    operators are deterministic.

    1. The folder is made, or opened again and its settings compared; config.json says what the run is.
    2. In step k, counted from 0, the task is given `batches.batch(k)`. Every so many steps it is validated,
       always on the same batches, and a checkpoint is written; the best is kept beside the last.
    3. model.safetensors holds what the task exports at the best validation, or at the last step without one.
    4. Ctrl-C is answered between two steps: a checkpoint is written and KeyboardInterrupt raised.

    Afterwards the generators of Python, NumPy and PyTorch are as they were. The task has the last weights.

    Args:
        task: what to train; its first weights are the caller's, made under `seeded` if they are drawn.
        out: the run folder.
        steps: how many batches to train on; a resumed run may be given more.
        batches: what to train on.
        validation: batches to validate on, kept or made as they are asked for; None for no validation.
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
        log_every: steps between rows of metrics.csv, means over them; a tenth of `every` unless given.
        progress: tell people on stderr how far it is.
        tensorboard: write for TensorBoard as well, where it is installed.

    Raises:
        OptionError: an argument has no meaning, or a resumed run has other settings.
        FileError: the folder cannot be made, is not empty, or cannot be written.
        TrainingError: a loss or a weight became NaN or infinite; the last good weights are kept.
        KeyboardInterrupt: training was stopped; the words say after which step, and how to go on.
        MissingExtraError: lightning is not installed.

    >>> import tempfile
    >>> from upstroke.files.safetensors import read_safetensors
    >>> from upstroke.train import Task
    >>> class Line(Task):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.slope = torch.nn.Parameter(torch.zeros(()))
    ...     def training_step(self, batch):
    ...         return (self.slope * batch - 3 * batch).square().mean()
    ...     def configure_optimizers(self):
    ...         return torch.optim.SGD(self.parameters(), lr=0.25)
    >>> class Ones:
    ...     def batch(self, step):
    ...         return torch.ones(4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fitted = fit(Line(), f"{folder}/run", steps=5, batches=Ones(), progress=False, tensorboard=False)
    ...     read_safetensors(fitted.weights)
    ({'slope': tensor(2.9062)}, {})
    """
    try:
        import lightning.pytorch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(EXTRA) from error
    from upstroke.train.quiet import quiet
    from upstroke.train.run import run

    held_out = validation if validation is not None and len(validation) else None
    plan = plan_for(
        steps=steps,
        every=every,
        patience=patience,
        monitor=None if held_out is None else monitor,
        mode=mode,
        log_every=log_every,
        seed=seed,
        precision=precision,
        device=device,
        devices=devices,
        workers=workers,
        clip=clip,
    )
    words = list(sys.argv if command is None else command)
    config = _config(type(task).__qualname__, plan, command=words, settings=dict(settings or {}))
    with quiet(), seeded(seed, "fit"):
        folder = _folder(Path(out), config, resume=resume, overwrite=overwrite)
        return run(
            task,
            folder,
            plan,
            batches=batches,
            validation=held_out,
            progress=progress,
            tensorboard=tensorboard,
        )


def _config(task: str, plan: Plan, *, command: list[str], settings: dict[str, Any]) -> dict[str, Any]:
    import lightning

    versions = {
        "upstroke": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "lightning": str(lightning.__version__),
        "numpy": numpy.__version__,
    }
    return {
        "schema": SCHEMA,
        "command": command,
        "versions": versions,
        "task": task,
        "seed": plan.seed,
        "steps": plan.steps,
        "fit": dict(plan.kept()),
        "settings": settings,
    }


def _folder(path: Path, config: dict[str, Any], *, resume: bool, overwrite: bool) -> RunFolder:
    if not is_first_process():
        # the first has made it, and started this one
        return RunFolder(path=path)
    return reopen_folder(path, config) if resume else make_folder(path, config, overwrite=overwrite)
