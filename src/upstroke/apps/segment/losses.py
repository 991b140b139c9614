"""Scores of classes and true labels become the losses that a network is trained by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

__all__ = ["Losses", "on_grid", "segmentation_loss", "shares"]

# In voxels; so little that it counts only where a class is neither there nor predicted.
SMOOTH = 1e-5


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Two losses, each from 0, the best.

    Attributes:
        dice: 1 - the soft Dice coefficient, mean over classes without the background, at most 1.
        cross_entropy: mean over voxels, in natural units, each as often as it counts.
    """

    dice: Tensor
    cross_entropy: Tensor

    def sum(self, *, dice: float) -> Tensor:
        """The cross-entropy, and so many times the Dice loss."""
        return self.cross_entropy + dice * self.dice if dice else self.cross_entropy


def shares(labels: Int[Tensor, "b *space"], classes: int) -> Float[Tensor, "b {classes} *space"]:
    """What share of each voxel is of which class: 1 of its own, and nothing where it is not counted (-1).

    >>> shares(torch.tensor([[1, 0, -1]]), 2)
    tensor([[[0., 1., 0.],
             [1., 0., 0.]]])
    """
    numbers = torch.arange(classes, device=labels.device).view(-1, *[1] * (labels.ndim - 1))
    return (labels.unsqueeze(1) == numbers).float()


def on_grid(
    share: Float[Tensor, "b k *space"], strides: Sequence[int], *, down: Literal["blocks", "samples"]
) -> Float[Tensor, "b k *coarse"]:
    """The shares on the grid of a coarser level, so that what is learnt there is in its place.

    Args:
        share: of each class in each voxel.
        strides: fine voxels per coarse one, along each axis.
        down: "blocks" where a coarse voxel stands for a block of fine ones, as after pooling: it gets their
            mean, the last block as much as there is of it. "samples" where it stands on the first of them,
            as after a strided convolution k3 p1: it gets that one's.

    >>> fine = shares(torch.tensor([[1, 0, 0, 0, 1]]), 2)
    >>> on_grid(fine, (2,), down="blocks")[0, 1], on_grid(fine, (2,), down="samples")[0, 1]
    (tensor([0.5000, 0.0000, 1.0000]), tensor([1., 0., 1.]))
    """
    if down == "samples":
        for axis, stride in enumerate(strides, start=2):
            share = share[(slice(None),) * axis + (slice(None, None, stride),)]
        return share
    pooled = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}[len(strides)]
    mean: Tensor = pooled(share, tuple(strides), ceil_mode=True)
    return mean


def segmentation_loss(
    logits: Float[Tensor, "b k *space"],
    share: Float[Tensor, "b k *space"],
    *,
    weighted: Float[Tensor, "b k *space"] | None = None,
) -> Losses:
    """Soft Dice and cross-entropy of scores against true shares, in float32 whatever the scores are in.

    With p the softmax of the scores, t the shares and c = the sum of t over classes, what counts of a voxel:

    1. cross-entropy = - sum of w t log p / sum of c, over voxels and classes, where `weighted` is w t, and w
       otherwise 1;
    2. Dice of class k = (2 sum of t p + e) / (sum of t + sum of c p + e), sums over the voxels of the whole
       batch, because a class that one image lacks is in another; e = 1e-5.

    The background is left out of the Dice: it is most of an image, so that its Dice is near 1 from the first
    steps on and tells nothing, and what is wrong there is wrong in another class as well. Where a class is
    absent from a batch its Dice is near 0 until nothing is predicted, and its gradient on a score is at most
    1/4. Weights are those of the cross-entropy alone. Source: Milletari et al., V-Net, 2016, without squares;
    Isensee et al., nnU-Net, 2021; the weights Ronneberger et al., 2015.

    >>> true = shares(torch.tensor([[0, 1, 1, -1]]), 2)
    >>> scores = torch.tensor([[[3.0, -3, -3, 9], [-3, 3, 3, -9]]])
    >>> losses = segmentation_loss(scores, true)
    >>> round(float(losses.dice), 6), round(float(losses.cross_entropy), 6)
    (0.001856, 0.002476)
    """
    axes = (0, *range(2, logits.ndim))
    logs = torch.log_softmax(logits.float(), dim=1)
    counted = share.sum(dim=1, keepdim=True)
    cross_entropy = -((share if weighted is None else weighted) * logs).sum() / counted.sum().clamp(
        min=SMOOTH
    )
    chances = logs.exp()
    both = (share * chances).sum(dim=axes)[1:]
    each = (share.sum(dim=axes) + (counted * chances).sum(dim=axes))[1:]
    dice = (2 * both + SMOOTH) / (each + SMOOTH)
    return Losses(dice=1 - dice.mean(), cross_entropy=cross_entropy)
