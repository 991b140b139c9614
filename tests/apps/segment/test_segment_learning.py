"""What is learnt is the stated sum of losses, at stated rates, and is judged by counting voxels."""

import dataclasses
import math

import numpy
import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.held_out import Held
from upstroke.apps.segment.learning import (
    Learning,
    confusion,
    dice_of,
    judged,
    losses_of,
    mean_dice,
    optimizer_of,
)
from upstroke.apps.segment.normalise import Normalisation
from upstroke.apps.segment.presets import preset_named
from upstroke.apps.segment.recipe import Recipe
from upstroke.nn import UNet
from upstroke.train import seeded

STEPS = 40


def net(**options):
    with seeded(1):
        return UNet(2, 3, **{"widths": (3, 4, 5), **options})


def learning(network, **changes):
    recipe = Recipe(
        classes=Classes(values=(0, 3, 7), names=("none", "left", "right")),
        channels=2,
        ndim=network.ndim,
        unet=network.settings,
        normalisation=Normalisation(),
        spacing=None,
        patch=(16, 20),
    )
    preset = dataclasses.replace(preset_named("tiny"), **changes)
    return Learning(network, recipe, preset, steps=STEPS, every=4)


def drawn(seed, *, size=(13, 18), lowest=-1):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 2, *size, generator=generator)
    return images, torch.randint(lowest, 3, (2, *size), generator=generator)


def by_hand(logits, true):
    """Cross-entropy over what is counted and 1 - Dice of the classes but the first, from shares of voxels."""
    logs = torch.log_softmax(logits.double(), 1)
    counted = true.sum(1)
    entropy = -(true * logs).sum() / counted.sum()
    chances = logs.exp() * counted[:, None]
    # of the whole batch
    axes = (0, *range(2, true.ndim))
    both, each = (chances * true).sum(axes), chances.sum(axes) + true.sum(axes)
    return entropy, (1 - ((2 * both + 1e-5) / (each + 1e-5))[1:]).mean()


def one_hot(labels):
    return torch.stack([(labels == number).double() for number in range(3)], dim=1)


def blocks(true, step):
    """Means over blocks, the last ones as much as there is of them."""
    rows = [true[:, :, at : at + step].mean(2) for at in range(0, true.shape[2], step)]
    whole = torch.stack(rows, 2)
    columns = [whole[..., at : at + step].mean(3) for at in range(0, true.shape[3], step)]
    return torch.stack(columns, 3)


@pytest.mark.parametrize("dice", [0.0, 1.0, 2.5])
def test_levels_count_by_halves_and_all_weights_together_are_one(dice):
    network = net(deep=1)
    images, labels = drawn(2, lowest=0)
    found = losses_of(network, images, labels, dice=dice)
    fine, coarse = network.forward_deep(images)
    (entropy, overlap), lower = by_hand(fine, one_hot(labels)), by_hand(coarse, blocks(one_hot(labels), 2))
    expected = (entropy + dice * overlap) * 2 / 3 + (lower[0] + dice * lower[1]) / 3
    assert_close(found["loss"].double(), expected, rtol=1e-5, atol=1e-6)
    assert_close(found["dice_loss"].double(), overlap, rtol=1e-5, atol=1e-6)
    assert_close(found["cross_entropy"].double(), entropy, rtol=1e-5, atol=1e-6)
    assert found["loss"].requires_grad
    assert not found["dice_loss"].requires_grad


def test_what_is_not_labelled_moves_nothing():
    images, labels = drawn(3)
    network = net(norm="none")
    before = losses_of(network, images, labels, dice=1.0)["loss"]
    logits = network(images)
    (wanted,) = torch.autograd.grad(before, network.heads[0].bias, retain_graph=True)
    entropy, overlap = by_hand(logits, one_hot(labels))
    (by_formula,) = torch.autograd.grad(entropy + overlap, network.heads[0].bias)
    assert_close(wanted, by_formula, rtol=1e-4, atol=1e-6)
    assert_close(before.double(), entropy + overlap, rtol=1e-5, atol=1e-6)


def test_the_rate_rises_for_a_tenth_of_the_steps_and_falls_as_a_cosine():
    task = learning(net(), rate=0.5)
    made = task.configure_optimizers()
    assert made["lr_scheduler"]["interval"] == "step"
    optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(STEPS + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    # four steps of warm-up
    expected = [
        0.5 * min(1.0, (k + 1) / 4) * (1 + math.cos(math.pi * k / STEPS)) / 2 for k in range(STEPS + 1)
    ]
    assert rates == pytest.approx(expected)
    assert rates[-1] == 0.0
    assert max(rates) == rates[3]


@pytest.mark.parametrize(("kind", "made"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_kernels_alone_decay(kind, made):
    network = net()
    preset = dataclasses.replace(preset_named("tiny"), optimizer=kind, decay=0.25, rate=0.5, momentum=0.75)
    optimizer = optimizer_of(network, preset)
    assert type(optimizer) is made
    kernels, others = optimizer.param_groups
    assert (kernels["weight_decay"], others["weight_decay"]) == (0.25, 0.0)
    assert {len(each.shape) for each in others["params"]} == {1}
    assert all(each.ndim == 4 for each in kernels["params"])
    assert len(kernels["params"]) + len(others["params"]) == len(list(network.parameters()))
    assert kernels["lr"] == 0.5
    assert kind == "adamw" or kernels["momentum"] == 0.75


def test_the_average_follows_each_step_and_is_what_is_exported():
    task = learning(net(), average=0.5)
    before = {name: tensor.clone() for name, tensor in task.average.module.state_dict().items()}
    with torch.no_grad():
        for each in task.network.parameters():
            each.add_(1.0)
    task.on_train_batch_end(None, None, 0)
    # the share of the old average is 0 in the first update and 1/11 in the second
    with torch.no_grad():
        for each in task.network.parameters():
            each.add_(11.0)
    task.on_train_batch_end(None, None, 1)
    tensors, metadata = task.export()
    for name, tensor in tensors.items():
        assert_close(tensor, before[name] + 11.0)
    assert Recipe.from_json(metadata) == task.recipe


def test_a_confusion_counts_every_pair_but_what_is_not_labelled():
    generator = numpy.random.default_rng(4)
    true, predicted = generator.integers(-1, 3, (5, 7)), generator.integers(0, 3, (5, 7))
    found = confusion(predicted, true, classes=3)
    for row in range(3):
        for column in range(3):
            assert found[row, column] == ((true == row) & (predicted == column)).sum()
    sets = [
        2
        * ((true == k) & (predicted == k)).sum()
        / ((true == k).sum() + ((predicted == k) & (true >= 0)).sum())
        for k in (1, 2)
    ]
    assert dice_of(found) == pytest.approx(tuple(sets))


def test_a_class_that_is_nowhere_has_no_dice():
    none = confusion(numpy.zeros((2, 3), int), numpy.zeros((2, 3), int), classes=3)
    missed = confusion(numpy.zeros((2, 3), int), numpy.ones((2, 3), int), classes=3)
    assert dice_of(none) == (None, None)
    assert dice_of(missed) == (0.0, None)
    assert mean_dice([dice_of(none), dice_of(missed), (1.0, None)]) == (0.5, None)


@pytest.mark.parametrize("size", [(13, 18), (26, 27)])
def test_a_whole_image_is_judged_in_the_voxels_of_its_file(size):
    network = net().eval()
    (image, _), _ = drawn(5)
    with torch.no_grad():
        found = judged(network, image, size, patch=(8, 8))
        chances = torch.softmax(network(image[None]), dim=1)
    # chances are brought to the voxels of the file, at half pixels, before the largest is taken
    there = functional.interpolate(chances, size, mode="bilinear", align_corners=False)
    assert found.shape == size
    assert (found == there[0].argmax(0).numpy()).all()


def test_validation_counts_whole_cases_and_shows_a_few(monkeypatch):
    task = learning(net())
    logged = {}
    monkeypatch.setattr(task, "log", lambda name, value: logged.__setitem__(name, value))
    task.on_validation_epoch_start()
    held = []
    for number in range(4):
        images, labels = drawn(10 + number)
        held.append(Held(number, images[0], labels[0]))
        task.validation_step(held[-1])
    task.on_validation_epoch_end()
    each = [
        dice_of(
            confusion(
                judged(task.average.module, case.image, case.labels.shape, patch=(16, 20)),
                case.labels.numpy(),
                classes=3,
            )
        )
        for case in held
    ]
    left, right = mean_dice(each)
    assert logged == pytest.approx(
        {"val_dice": (left + right) / 2, "val_dice_left": left, "val_dice_right": right}
    )
    assert len(task.shown) == 3
    assert task.captions() == {
        "held-out": "From left to right: the image, the truth, and what was predicted; left orange, right light blue."
    }
    # every 4 steps of validation, from the first on, and at the end
    due = {}
    for step in range(0, STEPS + 1, 4):
        task.finished_steps = step
        due[step] = set(task.pictures()) == {"held-out"}
    assert [step for step, is_due in due.items() if is_due] == [4, 20, 36, 40]
