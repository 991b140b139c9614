"""Losses of scores against true labels: those of MONAI where both are defined, and finite everywhere."""

import pytest
import torch
from monai.losses import DiceCELoss
from torch.nn import functional

from upstroke.apps.segment.learning import losses_of
from upstroke.apps.segment.losses import on_grid, segmentation_loss, shares
from upstroke.nn import UNet

DOWNS = {"max": "blocks", "conv": "samples"}


def drawn(classes, *space, seed=0, batch=2):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, classes, *space, generator=generator)
    return logits, torch.randint(classes, (batch, *space), generator=generator)


@pytest.mark.parametrize(("classes", "space"), [(2, (5, 7)), (4, (5, 6, 3))])
def test_value_and_gradient_are_those_of_monai(classes, space):
    logits, labels = drawn(classes, *space)
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    loss = segmentation_loss(ours, shares(labels, classes)).sum(dice=1.0)
    outside = DiceCELoss(softmax=True, to_onehot_y=True, include_background=False, batch=True)
    wanted = outside(theirs, labels[:, None])
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    wanted.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_weights_count_in_the_cross_entropy_as_pytorch_has_it_and_leave_the_dice():
    logits, labels = drawn(3, 5, 7)
    labels[0, 0] = -1
    weights = torch.rand(labels.shape, generator=torch.Generator().manual_seed(5)) * 12
    true = shares(labels, 3)
    ours = segmentation_loss(logits, true, weighted=true * weights.unsqueeze(1))
    each = functional.cross_entropy(logits, labels, reduction="none", ignore_index=-1)
    torch.testing.assert_close(ours.cross_entropy, (weights * each).sum() / (labels >= 0).sum())
    assert torch.equal(ours.dice, segmentation_loss(logits, true).dice)


@pytest.mark.parametrize("down", ["max", "conv"])
def test_weights_of_coarser_levels_stand_where_their_samples_do(down):
    """Of a level on samples those of the samples; of one on blocks the mean of weights and labels together."""
    torch.manual_seed(0)
    net = UNet(1, 3, widths=(2, 3, 4), norm="none", down=down, deep=1).eval()
    _, labels = drawn(3, 9, 12)
    weights = torch.rand(labels.shape, generator=torch.Generator().manual_seed(5)) * 12
    images = torch.randn(2, 1, 9, 12, generator=torch.Generator().manual_seed(6))
    found = losses_of(net, images, labels, dice=0.5, weights=weights)
    fine, coarse = net.forward_deep(images)
    logs, true = torch.log_softmax(coarse, dim=1), shares(labels, 3)
    wanted, dice = torch.zeros(()), segmentation_loss(coarse, on_grid(true, (2, 2), down=DOWNS[down])).dice
    for row in range(5):
        for column in range(6):
            block = (..., slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2))
            if down == "conv":
                block = (..., slice(2 * row, 2 * row + 1), slice(2 * column, 2 * column + 1))
            there = (true * weights.unsqueeze(1))[block].mean(dim=(2, 3))
            wanted = wanted - (there * logs[..., row, column]).sum() / (2 * 5 * 6)
    finest = (weights * functional.cross_entropy(fine, labels, reduction="none")).mean()
    dice_fine = segmentation_loss(fine, true).dice
    torch.testing.assert_close(found["cross_entropy"], finest.detach())
    torch.testing.assert_close(found["loss"], (finest + 0.5 * dice_fine + (wanted + 0.5 * dice) / 2) / 1.5)
    plain = losses_of(net, images, labels, dice=0.5)
    alike = losses_of(net, images, labels, dice=0.5, weights=torch.ones(labels.shape))
    assert torch.equal(plain["loss"], alike["loss"])


def test_voxels_that_are_not_counted_change_nothing():
    logits, labels = drawn(3, 4, 6)
    wide_logits, wide = drawn(3, 4, 9, seed=1)
    wide_logits[..., :6], wide[:] = logits, -1
    wide[..., :6] = labels
    ours = segmentation_loss(wide_logits.requires_grad_(), shares(wide, 3))
    wanted = segmentation_loss(logits, shares(labels, 3))
    torch.testing.assert_close((ours.dice, ours.cross_entropy), (wanted.dice, wanted.cross_entropy))
    ours.sum(dice=1.0).backward()
    assert bool((wide_logits.grad[..., 6:] == 0).all())
    assert bool((wide_logits.grad[..., :6] != 0).all())


@pytest.mark.parametrize("label", [0, -1])
@pytest.mark.parametrize("size", [1e-3, 1.0, 100.0])
def test_gradients_are_finite_and_small_where_a_class_is_absent_or_nothing_is_counted(label, size):
    logits, labels = drawn(3, 5, 4)
    logits = (size * logits).requires_grad_()
    losses = segmentation_loss(logits, shares(torch.full_like(labels, label), 3))
    (gradient,) = torch.autograd.grad(losses.dice, logits, retain_graph=True)
    # two classes are absent, and each has half of the mean
    assert bool(torch.isfinite(gradient).all())
    assert float(gradient.abs().max()) <= 0.25
    losses.cross_entropy.backward()
    assert bool(torch.isfinite(logits.grad).all())


def test_low_precision_is_left_at_the_door():
    logits, labels = drawn(3, 16, 9)
    halved = logits.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        ours = segmentation_loss(halved, shares(labels, 3))
    wanted = segmentation_loss(halved.float(), shares(labels, 3))
    assert ours.dice.dtype == ours.cross_entropy.dtype == torch.float32
    assert (ours.dice, ours.cross_entropy) == (wanted.dice, wanted.cross_entropy)


def test_shares_of_a_coarser_level_stand_where_its_samples_do():
    _, labels = drawn(3, 5, 7)
    labels[0, 0, 0] = -1
    fine = shares(labels, 3)
    blocks = on_grid(fine, (2, 3), down="blocks")
    assert blocks.shape == (2, 3, 3, 3)
    # a block in the middle, and the last one, of which there is one row and one column
    torch.testing.assert_close(blocks[1, :, 1, 1], fine[1, :, 2:4, 3:6].mean(dim=(1, 2)))
    torch.testing.assert_close(blocks[1, :, 2, 2], fine[1, :, 4, 6])
    # of the first block one voxel in six is not counted
    assert float(blocks[0, :, 0, 0].sum()) == pytest.approx(5 / 6)
    samples = on_grid(fine, (2, 3), down="samples")
    assert torch.equal(samples, fine[:, :, [0, 2, 4]][..., [0, 3, 6]])
