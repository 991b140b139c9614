"""Losses of scores against true labels: those of MONAI where both are defined, and finite everywhere."""

import pytest
import torch
from monai.losses import DiceCELoss

from upstroke.apps.segment.losses import on_grid, segmentation_loss, shares


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
