"""Hold that levels become values and come back, and that each picture comes once in an epoch."""

import re

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.generate.batches import PictureBatches
from upstroke.apps.generate.values import as_bytes, signed
from upstroke.errors import OptionError
from upstroke.train import Batches

PICTURES = numpy.random.default_rng(0).integers(0, 256, (7, 3, 4, 5), dtype=numpy.uint8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_level_comes_back(dtype):
    levels = numpy.arange(256, dtype=numpy.uint8).reshape(4, 64)
    values = signed(levels)
    assert values.dtype == torch.float32
    assert (float(values.min()), float(values.max())) == (-1, 1)
    torch.testing.assert_close(values, torch.tensor(levels / 127.5 - 1, dtype=torch.float32))
    assert (as_bytes(values.to(dtype)) == levels).all()


def test_values_are_rounded_and_held_between_black_and_white():
    values = torch.tensor([-torch.inf, -1.5, 0.4 / 127.5 - 1, 0.6 / 127.5 - 1, 1.5, torch.inf])
    assert as_bytes(values.requires_grad_()).tolist() == [0, 0, 0, 1, 255, 255]
    assert as_bytes(torch.tensor([-1, 0.5, 1], dtype=torch.bfloat16)).tolist() == [0, 191, 255]


def test_values_that_are_not_numbers_are_refused():
    message = "values must be numbers to become pictures; 2 of 3 are NaN; train again"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        as_bytes(torch.tensor([torch.nan, 0, torch.nan]))


def test_levels_are_not_shared_with_values():
    levels = PICTURES.copy()
    signed(levels).zero_()
    assert (levels == PICTURES).all()
    levels.setflags(write=False)  # as of a file that is mapped: torch warns where memory is shared
    assert signed(levels).shape == levels.shape


def index_of(picture):
    return next(k for k, each in enumerate(PICTURES) if (as_bytes(picture) == each).all())


@given(batch_size=st.integers(1, 20), seed=st.integers(0, 99), epoch=st.integers(0, 3))
def test_each_picture_comes_once_in_every_epoch(batch_size, seed, epoch):
    batches = PictureBatches(PICTURES, batch_size=batch_size, seed=seed)
    numbers = range(7 * epoch, 7 * epoch + 7)
    seen = [index_of(batches.batch(n // batch_size)[n % batch_size]) for n in numbers]
    assert sorted(seen) == list(range(7))
    assert batches.steps_per_epoch == -(-7 // batch_size)


def test_epochs_and_seeds_have_orders_of_their_own():
    def order(seed, epoch):
        return tuple(map(index_of, PictureBatches(PICTURES, batch_size=7, seed=seed).batch(epoch)))

    assert len({order(seed, epoch) for seed in range(4) for epoch in range(4)}) > 12


@pytest.mark.parametrize("flips", [False, True])
def test_a_batch_follows_from_its_step(flips):
    batches = PictureBatches(PICTURES, batch_size=3, seed=5, flips=flips)
    assert isinstance(batches, Batches)
    forth = [batches.batch(step) for step in range(9)]
    torch.manual_seed(3)
    again = PictureBatches(PICTURES, batch_size=3, seed=5, flips=flips)
    back = [again.batch(step) for step in reversed(range(9))]
    assert all(torch.equal(*pair) for pair in zip(forth, reversed(back), strict=True))


def test_half_of_the_pictures_are_mirrored_left_to_right():
    plain = PictureBatches(PICTURES, batch_size=100, seed=1)
    flipped = PictureBatches(PICTURES, batch_size=100, seed=1, flips=True)
    counts = []
    for step in range(4):
        before, after = plain.batch(step), flipped.batch(step)
        same = (before == after).flatten(1).all(1)
        mirrored = (before.flip(3) == after).flatten(1).all(1)
        assert (same ^ mirrored).all()
        counts.append(int(mirrored.sum()))
    # of 400, more than four deviations from half would be 40
    assert 160 < sum(counts) < 240
    assert len(set(counts)) > 1


def test_batches_of_nothing_are_refused():
    for pictures, size in ((PICTURES[:0], 4), (PICTURES, 0)):
        message = f"batches need a picture and a batch of one or more; got {len(pictures)} and {size}"
        with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
            PictureBatches(pictures, batch_size=size, seed=0)
