"""A network and samples become losses, and the weights that are kept: the task that the harness trains."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from upstroke.apps.downscale.learned.model import Network
from upstroke.apps.downscale.learned.samples import Judged, Sample
from upstroke.train import Task

__all__ = ["Learning"]

WARM_UP = 50
# The weights that are judged and kept are a mean over about so many steps.
MEMORY = 100
RATES = {"Residual": 4e-3, "TransposedMass": 1e-3}
DECAY = {"Residual": 1e-2, "TransposedMass": 0.0}


class Learning(Task):
    """Least squares, weighted by area, in units of the cubic's own error; AdamW with a falling rate.

    Args:
        make: gives the network as it is before training.
        errors: of each variable, the root mean square error of the cubic.
        steps: that the rate falls over.
        packed: a network as tensors and plain data.
    """

    def __init__(
        self,
        make: Callable[[], Network],
        *,
        errors: Tensor,
        steps: int,
        packed: Callable[[Network], tuple[Mapping[str, Tensor], Mapping[str, Any]]],
    ) -> None:
        super().__init__()
        self.network = make()
        self.averaged = make().requires_grad_(requires_grad=False).eval()
        self.averaged.load_state_dict(self.network.state_dict())
        self.register_buffer("errors", errors, persistent=False)
        self.steps, self.packed = steps, packed
        self.judged_squares = [0.0, 0.0]

    def training_step(self, batch: Sample) -> Tensor:
        """Mean square error of a batch, counted by area, in squares of the cubic's."""
        return self._loss(self.network(batch.inputs), batch)

    def _loss(self, fine: Tensor, batch: Sample) -> Tensor:
        assert isinstance(self.errors, Tensor)
        away = torch.where(batch.counted > 0, fine - batch.target, 0) / self.errors[:, None, None]
        return (batch.counted * away**2).sum() / batch.counted.sum().clamp(min=1e-30)

    def on_train_batch_end(self, *_: object) -> None:
        """Move the averaged weights towards those of this step."""
        share = 1 / min(MEMORY, self.global_step + 2)
        with torch.no_grad():
            for kept, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(now, share)

    def on_validation_epoch_start(self) -> None:
        """Begin to sum."""
        self.judged_squares = [0.0, 0.0]

    def validation_step(self, batch: Judged) -> None:
        """Sum the squared errors of a held-out part, and those of the cubic, in squares of the cubic's."""
        assert isinstance(self.errors, Tensor)
        sample = batch.sample
        fine = self.averaged(sample.inputs)
        away = torch.where(sample.counted > 0, fine - sample.target, 0).double() / self.errors[:, None, None]
        self.judged_squares[0] += float((sample.counted * away**2).sum())
        self.judged_squares[1] += float((batch.squares["cubic"] / self.errors.double() ** 2).sum())

    def on_validation_epoch_end(self) -> None:
        """Say how large the error is where nothing was learnt from, over that of the cubic."""
        squares, cubic = self.judged_squares
        self.log("val_loss", math.sqrt(squares / cubic) if cubic > 0 else 1.0)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - as Lightning has it
        """AdamW, the rate rising over the first steps and falling as a cosine to 0 at the last."""
        kind = type(self.network).__name__
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=RATES[kind], weight_decay=DECAY[kind], betas=(0.9, 0.99)
        )

        def rate(step: int) -> float:
            done = min(step / self.steps, 1.0)
            return min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * done))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def export(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        """The averaged network, and what is needed to apply it."""
        return self.packed(self.averaged)
