"""Hold the laws of changes that a generator learns through: seeded, differentiable, nothing at zero."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.generate.augment import Augmenting, augmented
from upstroke.errors import OptionError

KINDS = ("brightness", "saturation", "contrast", "translation", "cutout")


def drawn(count=6, channels=3, size=(9, 14), dtype=torch.float64):
    return torch.rand(count, channels, *size, generator=seed(99), dtype=dtype) * 2 - 1


def seed(number):
    return torch.Generator().manual_seed(number)


@given(st.integers(0, 999))
def test_nothing_changes_at_zero(number):
    x = drawn()
    assert torch.equal(augmented(x, Augmenting(), generator=seed(number)), x)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_changes_something(name):
    x = drawn()
    assert not torch.equal(augmented(x, Augmenting(**{name: 0.5}), generator=seed(0)), x)


def test_draws_follow_from_the_generator_alone():
    x, how = drawn(), Augmenting.preset()
    first = augmented(x, how, generator=seed(7))
    assert torch.equal(first, augmented(x, how, generator=seed(7)))
    assert not torch.equal(first, augmented(x, how, generator=seed(8)))
    torch.manual_seed(7)
    assert torch.equal(first, augmented(x, how))
    # how far one kind goes does not move the draws of another, nor those that come later
    one, other = seed(3), seed(3)
    moved = augmented(x, Augmenting(translation=0.3), generator=one)
    both = augmented(x, Augmenting(translation=0.3, brightness=0.5), generator=other)
    assert torch.equal(moved == 0, (both - moved).abs().lt(1e-12) & (moved == 0))
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=other))


def test_real_and_drawn_pictures_are_changed_in_the_same_way():
    x = drawn()
    whole = Augmenting(brightness=0.5, translation=0.25, cutout=0.5)
    changed = augmented(torch.ones_like(x), whole, generator=seed(2))
    other = augmented(x, whole, generator=seed(2))
    # where ones were moved in or cut out, so were the others
    assert torch.equal(changed == 0, other == 0)
    # and the brightness of a picture is the same in both
    light = (changed - 1).amax((1, 2, 3))
    shifted = augmented(x, Augmenting(translation=0.25, cutout=0.5), generator=seed(2))
    kept = (changed != 0) & (shifted != 0)
    torch.testing.assert_close((other - shifted)[kept], light[:, None, None, None].expand_as(x)[kept])


@given(st.integers(0, 999), st.sampled_from([0.1, 0.25, 1.0]))
def test_translation_is_a_shift_with_zeros(number, share):
    x = drawn(4)
    moved = augmented(x, Augmenting(translation=share), generator=seed(number))
    most = [int(share * size + 0.5) for size in x.shape[2:]]
    for before, after in zip(x, moved, strict=True):
        padded = torch.nn.functional.pad(before, (most[1], most[1], most[0], most[0]))
        windows = padded.unfold(1, x.shape[2], 1).unfold(2, x.shape[3], 1)
        same = (windows == after[:, None, None]).all(-1).all(-1).all(0)
        assert same.any(), "a window of the picture in zeros"


def test_every_shift_is_as_likely():
    x = torch.ones(7000, 1, 8, 8)
    moved = augmented(x, Augmenting(translation=0.3), generator=seed(0))
    rows = moved[:, 0].amax(2)
    down = torch.where(rows[:, 0] == 0, 8 - rows.sum(1), rows.sum(1) - 8)
    counts = torch.stack([(down == step).sum() for step in range(-2, 3)])
    assert counts.sum() == 7000
    # 1400 of each, with a deviation of 33
    assert (counts - 1400).abs().max() < 140


@given(st.integers(0, 999), st.sampled_from([0.2, 0.5, 1.0]))
def test_cutout_is_one_square_of_zeros(number, share):
    x = torch.ones(5, 2, 9, 14)
    cut = augmented(x, Augmenting(cutout=share), generator=seed(number))
    for each in cut:
        zeros = each[0] == 0
        assert torch.equal(zeros, each[1] == 0)
        rows, columns = zeros.any(1), zeros.any(0)
        assert torch.equal(zeros, rows[:, None] & columns)
        for line, size in ((rows, 9), (columns, 14)):
            at = line.nonzero()[:, 0]
            length = int(share * size + 0.5)
            # whole, or cut short at an end, by no more than half
            assert len(at) == at[-1] - at[0] + 1
            assert len(at) == length or (
                (at[0] == 0 or at[-1] == size - 1) and length // 2 <= len(at) < length
            )
    assert (x == 1).all()


def test_values_change_as_the_formula_says():
    x = drawn(3)
    # each picture's own numbers are found by what they do to it, and hold everywhere in it
    lighter = augmented(x, Augmenting(brightness=0.4), generator=seed(1)) - x
    assert (lighter - lighter[:, :1, :1, :1]).abs().max() < 1e-12
    assert lighter.abs().max() <= 0.4
    assert len(set(lighter[:, 0, 0, 0].tolist())) == 3
    for name, axes in (("saturation", (1,)), ("contrast", (1, 2, 3))):
        after = augmented(x, Augmenting(**{name: 0.7}), generator=seed(1))
        mean = x.mean(axes, keepdim=True)
        torch.testing.assert_close(after.mean(axes, keepdim=True), mean)
        factor = ((after - mean) / (x - mean)).flatten(1)
        torch.testing.assert_close(factor, factor[:, :1].expand_as(factor), atol=1e-9, rtol=1e-9)
        assert ((factor - 1).abs() <= 0.7 + 1e-9).all()


def test_changes_go_either_way_as_often_and_each_by_its_own_draw():
    x = drawn(1, size=(8, 8)).expand(4000, -1, -1, -1)
    mean, spread = x.mean((1, 2, 3)), x[:, 0, 0, 0] - x.mean((1, 2, 3))

    def changed(**how):
        return augmented(x, Augmenting(**how), generator=seed(5))

    colour = changed(saturation=1.0)[:, 0, 0, 0] - x[:, :, 0, 0].mean(1)
    ones = torch.ones_like(x)
    moved = augmented(ones, Augmenting(translation=0.5), generator=seed(5))[:, 0]
    cut = 1 - augmented(ones, Augmenting(cutout=0.25), generator=seed(5))[:, 0]
    places = torch.arange(8.0, dtype=x.dtype)
    numbers = [
        (changed(brightness=1.0) - x)[:, 0, 0, 0],
        colour / (x[:, 0, 0, 0] - x[:, :, 0, 0].mean(1)) - 1,
        (changed(contrast=1.0)[:, 0, 0, 0] - mean) / spread - 1,
        *((moved.amax(axis) * (places - 3.5)).sum(1) for axis in (1, 2)),
        *((cut.amax(axis) * (places - 3.5)).sum(1) / cut.amax(axis).sum(1) for axis in (1, 2)),
    ]
    for number in numbers[:3]:
        # evenly between -1 and 1: the mean of 4000 strays by 0.009
        assert abs(float(number.mean())) < 0.04
        torch.testing.assert_close(float(number.std()), 3**-0.5, atol=0.02, rtol=0)
    # correlations of what is independent stray by 0.016
    among = torch.corrcoef(torch.stack(numbers)) - torch.eye(7, dtype=x.dtype)
    assert among.abs().max() < 0.07
    assert all(abs(float(number.mean() / number.std())) < 0.07 for number in numbers)


def test_grey_pictures_have_no_saturation():
    x = drawn(channels=1)
    torch.testing.assert_close(augmented(x, Augmenting(saturation=1.0), generator=seed(1)), x)


@pytest.mark.parametrize("name", [*KINDS, "preset"])
def test_gradients_flow_to_any_order(name):
    how = Augmenting.preset() if name == "preset" else Augmenting(**{name: 0.5})
    x = drawn(2, size=(3, 4)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augmented(x, how, generator=seed(4)), x)
    assert torch.autograd.gradgradcheck(lambda x: augmented(x, how, generator=seed(4)) ** 2, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_types_and_sizes_stay(dtype):
    x = drawn(2, 1, (5, 4), dtype)
    changed = augmented(x, Augmenting.preset(), generator=seed(0))
    assert (changed.dtype, changed.shape) == (x.dtype, x.shape)
    assert augmented(x[:0], Augmenting.preset()).shape == (0, 1, 5, 4)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_strengths_that_mean_nothing_are_refused(name, value):
    message = f"{name} is between 0, which changes nothing, and 1; got {value}"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        Augmenting(**{name: value})
