"""Turn a program's network, losses and optimizers into what the harness trains."""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch
from jaxtyping import UInt8
from numpy import ndarray
from torch import Tensor

__all__ = ["Task"]


class Task(lightning.pytorch.LightningModule):
    """A network with its losses and optimizers.

    A program writes `training_step(batch)`, `configure_optimizers()` and, where it validates,
    `validation_step(batch)` with `self.log("val_loss", ...)`, as for Lightning, with or without automatic
    optimisation. Three things differ:

    1. `training_step` takes no number of the batch: `global_step` says how many steps are done, after a
       resume as well. It returns the loss, or a dict of losses by name, with automatic optimisation one of
       them "loss"; these are looked at for NaN, shown and written.
    2. Learning rates change by steps (`"interval": "step"`), because a run has no epochs.
    3. What must survive a resume is in parameters, in buffers, or in `on_save_checkpoint` as plain data.

    Before every step all random generators are set from the seed and the number of the step.
    """

    finished_steps: int = 0

    @property
    def global_step(self) -> int:
        """How many steps of the run are done; with two optimizers still one for each batch."""
        return self.finished_steps

    def export(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        """What a finished model consists of, for model.safetensors: tensors by name, and metadata."""
        return self.state_dict(), {}

    def pictures(self) -> Mapping[str, UInt8[ndarray, "height width *channels"]]:
        """Pictures by name that show how far training is, asked for after a validation."""
        return {}

    def captions(self) -> Mapping[str, str]:
        """What is to be seen in pictures of these names, a sentence each."""
        return {}
