"""Hold the laws of batches: they follow from seed and step, whatever is kept, and show every case once an epoch."""

import pickle
import re
from dataclasses import dataclass

import numpy
import pytest
import torch
from PIL import Image

from upstroke.apps.segment.augment import Augmentation
from upstroke.apps.segment.cases import Case
from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.layouts import find_cases
from upstroke.apps.segment.normalise import Normalisation, normalised
from upstroke.apps.segment.resample import resampled
from upstroke.apps.segment.samples import Samples
from upstroke.apps.segment.weights import Weights
from upstroke.errors import OptionError, ShapeError
from upstroke.train import Batches

CLASSES = Classes(values=(0, 100, 255), names=("background", "cell", "wall"))
SIZES = [(19, 26), (30, 17), (9, 40), (21, 22), (33, 30)]


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> tuple[Case, ...]:
    """Five pictures of uneven sizes; in the last the only class is one voxel."""
    data = tmp_path_factory.mktemp("data")
    random = numpy.random.default_rng(3)
    for folder in ("images", "labels"):
        (data / folder).mkdir()
    for number, size in enumerate(SIZES):
        labels = random.choice([0, 100, 255], size=size).astype(numpy.uint8)
        if number == 4:
            labels[:] = 0
            labels[25, 4] = 255
        Image.fromarray(labels).save(data / "labels" / f"{number}.png")
        Image.fromarray(random.integers(0, 255, size, dtype=numpy.uint8)).save(
            data / "images" / f"{number}.png"
        )
    return find_cases(data)


def samples_of(cases, **settings) -> Samples:
    given = {"patch": (16, 12), "batch_size": 2, "seed": 7, "augmentation": Augmentation.preset("full")}
    return Samples(cases, classes=CLASSES, normalisation=Normalisation(), **{**given, **settings})


def equal(ours, theirs) -> bool:
    return torch.equal(ours.images, theirs.images) and torch.equal(ours.labels, theirs.labels)


def test_a_batch_follows_from_seed_and_step_whatever_is_kept(cases):
    kept, read_again, pickled = samples_of(cases), samples_of(cases, memory=0), samples_of(cases)
    assert isinstance(kept, Batches)
    assert (kept.keep(), read_again.keep(), samples_of(cases, memory=9000).keep()) == (5, 0, 2)
    pickled = pickle.loads(pickle.dumps(kept))
    torch.manual_seed(99)
    first = [kept.batch(step) for step in range(6)]
    state = torch.get_rng_state()
    assert all(equal(kept.batch(step), first[step]) for step in (5, 0, 3))
    assert torch.equal(torch.get_rng_state(), state)
    for other in (read_again, pickled):
        assert all(equal(other.batch(step), each) for step, each in enumerate(first))
    another = samples_of(cases, seed=8)
    assert not any(equal(another.batch(step), each) for step, each in enumerate(first))
    images, labels, weights = first[0]
    assert weights is None
    assert (images.shape, images.dtype) == ((2, 1, 16, 12), torch.float32)
    assert (labels.shape, labels.dtype) == ((2, 16, 12), torch.int64)


def test_every_case_is_seen_once_an_epoch_in_an_order_of_its_own(cases):
    samples = samples_of(cases, batch_size=3)
    assert samples.steps_per_epoch == 2
    seen = []
    prepared = samples._case
    samples._case = lambda index: seen.append(index) or prepared(index)
    for step in range(10):
        samples.batch(step)
    epochs = [seen[first : first + 5] for first in range(0, 30, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 3


def test_without_augmentation_a_patch_is_a_part_of_the_normalised_image(cases):
    samples = samples_of(cases[:1], augmentation=Augmentation(), batch_size=4)
    volume = cases[0].read()
    whole = torch.from_numpy(normalised(volume.values, Normalisation()))
    labels = torch.from_numpy(CLASSES.numbers(cases[0].read_labels()))
    parts = whole.unfold(1, 16, 1).unfold(2, 12, 1)[0]
    found = set()
    for step in range(5):
        images, numbers, _ = samples.batch(step)
        for image, number in zip(images, numbers, strict=True):
            ((row, column),) = (parts == image[0]).all(-1).all(-1).nonzero().tolist()
            assert torch.equal(number, labels[row : row + 16, column : column + 12])
            found.add((row, column))
    assert len(found) > 10


@pytest.mark.parametrize(("share", "least", "most"), [(1.0, 60, 60), (1 / 3, 10, 45), (0.0, 0, 30)])
def test_a_share_of_the_patches_lies_about_a_voxel_of_the_foreground(cases, share, least, most):
    samples = samples_of(
        cases[4:], foreground=share, augmentation=Augmentation(), patch=(6, 5), batch_size=60
    )
    assert least <= int((samples.batch(0).labels == 2).any(2).any(1).sum()) <= most
    if share == 1:
        assert (samples.batch(0).labels[:, 3, 2] == 2).all()


def test_a_volume_smaller_than_the_patch_lies_in_its_middle_and_counts_no_more_voxels(cases):
    samples = samples_of(cases[2:3], augmentation=Augmentation(), patch=(16, 48), batch_size=1)
    images, labels, _ = samples.batch(0)
    whole = torch.from_numpy(normalised(cases[2].read().values, Normalisation()))
    assert torch.equal(images[0, :, 4:13, 4:44], whole)
    assert torch.equal(labels[0, 4:13, 4:44], torch.from_numpy(CLASSES.numbers(cases[2].read_labels())))
    assert int((labels >= 0).sum()) == 9 * 40
    assert torch.equal(images[0, 0, 3], images[0, 0, 5])


@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(flips=1.0)])
def test_labels_of_a_net_without_padding_are_the_part_that_its_output_covers(cases, augmentation):
    """Uneven borders, so that a mirrored patch must begin elsewhere; the image goes on beyond the volume."""
    samples = samples_of(
        cases[:1], augmentation=augmentation, patch=(30, 40), output=(19, 26), border=(5, 4), batch_size=1
    )
    images, labels, _ = samples.batch(0)
    backwards = [0, 1] if augmentation.flips else []
    known = torch.from_numpy(CLASSES.numbers(cases[0].read_labels())).flip(backwards)
    whole = torch.from_numpy(normalised(cases[0].read().values, Normalisation()))[0].flip(backwards)
    assert torch.equal(labels[0], known)
    padded = torch.nn.functional.pad(whole[None, None], (4, 10, 5, 6), mode="reflect")
    assert torch.equal(images, padded)


def test_weights_are_those_of_the_labels_as_they_are_after_augmentation(cases):
    """Where the output is less than the patch, cells are told apart by what lies beyond it as well."""
    weights = Weights(classes=(1.0, 2.0, 4.0), border=3.0, sigma=1.5)
    settings = {"patch": (30, 40), "batch_size": 3}
    whole = samples_of(cases, weights=weights, **settings)
    cropped = samples_of(cases, weights=weights, output=(19, 26), border=(5, 4), **settings)
    unlike = 0
    for step in range(6):
        batch = whole.batch(step)
        assert equal(batch, samples_of(cases, **settings).batch(step))
        assert torch.equal(batch.weights, whole.batch(step).weights)
        for labels, found in zip(batch.labels, batch.weights, strict=True):
            assert torch.equal(found, weights.map(labels, spacing=(1.0, 1.0)))
        inner = cropped.batch(step)
        assert inner.weights.shape == inner.labels.shape == (3, 19, 26)
        assert bool((inner.weights[inner.labels >= 0] >= 1).all())
        unlike += sum(
            not torch.equal(found, weights.map(labels, spacing=(1.0, 1.0)))
            for labels, found in zip(inner.labels, inner.weights, strict=True)
        )
    assert unlike > 0


def test_volumes_are_brought_to_the_spacing_that_is_wanted(cases):
    samples = samples_of(
        cases[:1], spacing=(0.5, 2.0), patch=(38, 13), augmentation=Augmentation(), batch_size=1
    )
    images, labels, _ = samples.batch(0)
    values = normalised(cases[0].read().values, Normalisation())
    known = CLASSES.numbers(cases[0].read_labels())
    assert torch.equal(images[0], torch.from_numpy(resampled(values, size=(38, 13), order=1)))
    assert torch.equal(labels[0], torch.from_numpy(resampled(known[None], size=(38, 13), order=0)[0]))
    judged = samples.held_out(cases[0])
    assert torch.equal(judged.image, images[0])
    assert torch.equal(judged.labels, torch.from_numpy(known))
    assert (judged.spacing, judged.name) == ((1.0, 1.0), cases[0].name)


def test_what_is_kept_is_never_written_to(cases):
    samples = samples_of(cases, augmentation=Augmentation.preset("light"))
    samples.keep()
    before = [(read.image.clone(), read.labels.clone()) for read in samples._kept.values()]
    for step in range(5):
        for tensor in samples.batch(step)[:2]:
            tensor.zero_()
    for (image, labels), read in zip(before, samples._kept.values(), strict=True):
        assert torch.equal(image, read.image)
        assert torch.equal(labels, read.labels)


def test_threads_change_no_bit(cases):
    samples, threads = samples_of(cases, patch=(64, 80)), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [samples.batch(step) for step in range(4)]
        torch.set_num_threads(2)
        assert all(equal(samples.batch(step), each) for step, each in enumerate(alone))
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Uneven(Case):
    """An image whose mask lost a row."""

    def read_labels(self):
        read = Case.read_labels(self)
        object.__setattr__(read, "values", read.values[:, 1:])
        return read


def test_what_cannot_be_a_batch_is_refused(cases):
    for settings, message in (
        ({"patch": (16, 12, 8)}, "the patch (16, 12, 8) must have a number for each axis of 0, which has 2"),
    ):
        with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
            samples_of(cases[:1], **settings).batch(0)
    uneven = Uneven(name="a", group="a", images=cases[0].images, label=cases[0].label)
    message = "a: the image has the size (19, 26) and its mask (18, 26); they must agree"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        samples_of((uneven,)).batch(0)
    message = (
        "the output must lie in the patch; got the patch (16, 12), the output (12, 12) and the border (5, 0)"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        samples_of(cases, output=(12, 12), border=(5, 0))
    with pytest.raises(OptionError, match=r"^batches need a case and a patch or more; got 0 and 2$"):
        samples_of(())
    with pytest.raises(OptionError, match=r"^foreground is a share between 0 and 1; got 1\.5$"):
        samples_of(cases, foreground=1.5)
