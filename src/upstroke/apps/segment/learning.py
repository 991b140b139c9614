"""A U-Net and samples become losses, judgements of whole images, pictures and the weights that are kept."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from upstroke.apps.segment.held_out import Held
from upstroke.apps.segment.losses import Losses, on_grid, segmentation_loss, shares
from upstroke.apps.segment.presets import Preset
from upstroke.apps.segment.recipe import Recipe
from upstroke.apps.segment.resample import resampled
from upstroke.apps.segment.samples import Sample
from upstroke.apps.segment.show import Shown, caption, contact_sheet
from upstroke.apps.segment.tiles import plan_tiles, predict_tiles
from upstroke.nn import UNet
from upstroke.train import MovingAverage, Task

__all__ = ["Learning", "confusion", "dice_of", "judged", "losses_of", "mean_dice"]

# The rate rises over this share of the steps.
WARM_UP = 0.1
# Cases in a picture, and validations from one picture to the next.
PICTURED, EVERY = 3, 4


class Learning(Task):
    """Dice and cross-entropy, judged by the Dice of whole images under averaged weights.

    Args:
        network: as it is before training.
        recipe: how it is applied.
        preset: how it is trained.
        steps: that the learning rate falls over.
        every: steps between validations.
        metadata: what else stands in the file of the weights.
    """

    def __init__(
        self,
        network: UNet,
        recipe: Recipe,
        preset: Preset,
        *,
        steps: int,
        every: int,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.average = MovingAverage(network, decay=preset.average)
        self.recipe, self.preset, self.steps, self.every = recipe, preset, steps, every
        self.metadata = dict(metadata or {})
        self.counts: list[NDArray[numpy.int64]] = []
        self.shown: list[Shown] = []

    def training_step(self, batch: Sample) -> dict[str, Tensor]:
        """The losses of a batch, those of coarser levels for half as much each time."""
        return losses_of(
            self.network, batch.images, batch.labels, dice=self.preset.dice, weights=batch.weights
        )

    def on_train_batch_end(self, *_: object) -> None:
        """Move the averaged weights towards those of this step."""
        self.average.update(self.network)

    def on_validation_epoch_start(self) -> None:
        """Begin to count."""
        self.average.eval()
        self.counts, self.shown = [], []

    def validation_step(self, batch: Held) -> None:
        """Count what a whole image's voxels were taken for."""
        predicted = judged(self.average.module, batch.image, batch.labels.shape, patch=self.recipe.patch)
        true = batch.labels.cpu().numpy()
        self.counts.append(confusion(predicted, true, classes=self.recipe.classes.count))
        if len(self.shown) < PICTURED:
            image = batch.image[0].float().cpu().numpy()
            self.shown.append(Shown(image=image, true=true, predicted=predicted))

    def on_validation_epoch_end(self) -> None:
        """Log the Dice of each class, a mean over cases, and the mean over classes."""
        by_class = mean_dice([dice_of(count) for count in self.counts])
        known = [each for each in by_class if each is not None]
        self.log("val_dice", float(numpy.mean(known)) if known else 0.0)
        # with one class beside the background there is nothing more to say
        if len(by_class) > 1:
            for name, value in zip(self.recipe.classes.names[1:], by_class, strict=True):
                if value is not None:
                    self.log(f"val_dice_{name}", value)

    def pictures(self) -> Mapping[str, UInt8[NDArray[numpy.uint8], "height width *channels"]]:
        """Image, truth and prediction side by side of the same few cases, every few validations."""
        is_due = (self.global_step // self.every) % EVERY == 1 or self.global_step >= self.steps
        return {"held-out": contact_sheet(self.shown)} if self.shown and is_due else {}

    def captions(self) -> Mapping[str, str]:
        """What stands beside what in these pictures."""
        return {"held-out": caption(self.recipe.classes.names[1:])}

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - as Lightning has it
        """The rate rises over the first steps and falls as a cosine to 0 at the last."""
        optimizer = optimizer_of(self.network, self.preset)
        warm_up = max(1, round(WARM_UP * self.steps))

        def rate(step: int) -> float:
            done = min(step / self.steps, 1.0)
            return min(1.0, (step + 1) / warm_up) * (0.5 + 0.5 * math.cos(math.pi * done))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def export(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        """The averaged weights in float32, and what is needed to apply them."""
        return self.average.module.state_dict(), {**self.recipe.as_json(), **self.metadata}


def optimizer_of(network: UNet, preset: Preset) -> torch.optim.Optimizer:
    """The optimizer that a preset asks for; kernels alone decay, not norms and biases."""
    kernels = [each for each in network.parameters() if each.ndim > 1]
    others = [each for each in network.parameters() if each.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": preset.decay}, {"params": others, "weight_decay": 0.0}]
    if preset.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=preset.rate, momentum=preset.momentum)
    return torch.optim.AdamW(groups, lr=preset.rate)


def losses_of(
    network: UNet,
    images: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *out"],
    *,
    dice: float,
    weights: Float[Tensor, "b *out"] | None = None,
) -> dict[str, Tensor]:
    """The loss to be made small, and its parts at the finest level.

    A level that is so many times coarser by halves counts half as much as the one above; all weights
    together are 1.

    Args:
        network: that answers.
        images: as it reads them.
        labels: class numbers of what it should answer, -1 where they are not counted.
        dice: how often the Dice loss counts beside the cross-entropy.
        weights: how often each voxel counts in the cross-entropy; once unless given.
    """
    true = shares(labels, network.classes)
    weighted = None if weights is None else true * weights.unsqueeze(1)
    answers = network.forward_deep(images) if network.deep else [network(images)]
    levels = [0.5**level for level in range(len(answers))]
    found = [
        segmentation_loss(
            answer,
            on_level(true, network, level),
            weighted=None if weighted is None else on_level(weighted, network, level),
        )
        for level, answer in enumerate(answers)
    ]
    total = sum(
        (weight * each.sum(dice=dice) for weight, each in zip(levels, found, strict=True)),
        start=torch.zeros((), device=images.device),
    )
    finest: Losses = found[0]
    return {
        "loss": total / sum(levels),
        "dice_loss": finest.dice.detach(),
        "cross_entropy": finest.cross_entropy.detach(),
    }


def on_level(true: Float[Tensor, "b k *space"], network: UNet, level: int) -> Float[Tensor, "b k *coarse"]:
    """The true shares where a level of the network has its samples."""
    if not level:
        return true
    strides = tuple(
        math.prod(stride[axis] for stride in network.strides[:level]) for axis in range(network.ndim)
    )
    return on_grid(true, strides, down="samples" if network.down == "conv" else "blocks")


def judged(
    network: torch.nn.Module, image: Float[Tensor, "c *space"], size: Sequence[int], *, patch: Sequence[int]
) -> Int[NDArray[numpy.int64], "*out"]:
    """Class numbers of a whole image, in voxels of its file.

    Args:
        network: a `UNet`.
        image: as the network reads it.
        size: of the file; where the image was resampled, scores are brought back before the largest is taken.
        patch: size of what the network is trained on.
    """
    assert isinstance(network, UNet)
    plan = plan_tiles(network, tuple(image.shape[1:]), trained=patch)
    scores = predict_tiles(network, image, plan).float()
    if tuple(scores.shape[1:]) == tuple(size):
        return scores.argmax(dim=0).cpu().numpy()
    chances = torch.softmax(scores, dim=0).cpu().numpy()
    taken: NDArray[numpy.int64] = resampled(chances, size=tuple(size), order=1).argmax(axis=0)
    return taken


def confusion(
    predicted: Int[NDArray[numpy.int64], "*space"], true: Int[NDArray[numpy.int64], "*space"], *, classes: int
) -> Int[NDArray[numpy.int64], "classes classes"]:
    """How many voxels of each true class, by rows, were taken for each, by columns; -1 is not counted."""
    counted = true >= 0
    pairs = numpy.bincount(true[counted] * classes + predicted[counted], minlength=classes**2)
    return pairs.reshape(classes, classes)


def dice_of(counts: Int[NDArray[numpy.int64], "classes classes"]) -> tuple[float | None, ...]:
    """The Dice of each class but the background in one case; None where it is neither there nor predicted.

    >>> dice_of(numpy.array([[5, 1, 0], [0, 2, 0], [0, 0, 0]]))
    (0.8, None)
    """
    both, each = numpy.diag(counts), counts.sum(axis=0) + counts.sum(axis=1)
    return tuple(
        None if all_ == 0 else float(2 * hit / all_) for hit, all_ in zip(both[1:], each[1:], strict=True)
    )


def mean_dice(cases: Sequence[tuple[float | None, ...]]) -> tuple[float | None, ...]:
    """Of each class the mean over the cases in which it is there or predicted; None where it is in none.

    >>> mean_dice([(0.5, None), (1.0, None)])
    (0.75, None)
    """
    columns: list[list[float]] = [
        [each for each in column if each is not None] for column in zip(*cases, strict=True)
    ]
    return tuple(float(numpy.mean(column)) if column else None for column in columns)
