"""Turn cases into the batches that a network is trained with, and into whole volumes that it is judged on."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NamedTuple

import numpy
import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from upstroke.apps.segment.augment import Augmentation, drawn_turn, drawn_warp, with_other_values
from upstroke.apps.segment.cases import Case
from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.deform import cut
from upstroke.apps.segment.normalise import Normalisation
from upstroke.apps.segment.prepare import prepared
from upstroke.apps.segment.resample import resampled, size_at
from upstroke.apps.segment.weights import Weights
from upstroke.errors import OptionError, ShapeError
from upstroke.train import derived_seed

__all__ = ["Judged", "Sample", "Samples"]

# Of each class so many places are remembered; more would not make patches any more different.
PLACES = 10_000


class Sample(NamedTuple):
    """A batch: what goes into a network, what should come out, and what each voxel counts; None: 1."""

    images: Float[Tensor, "b channels *patch"]
    labels: Int[Tensor, "b *out"]
    weights: Float[Tensor, "b *out"] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A whole volume, as a network takes it, and its labels on the voxels of its file.

    Attributes:
        image: normalised, at the network's spacing.
        labels: class numbers on the file's own voxels, whose size differs if the spacing does.
        spacing: of the labels, in the unit of the file.
        name: of the case.
    """

    image: Float[Tensor, "channels *space"]
    labels: Int[Tensor, "*own"]
    spacing: tuple[float, ...]
    name: str


class _Read(NamedTuple):
    """A case in memory: the image, the class numbers, and for each class but the background its places."""

    image: Tensor
    labels: Tensor
    spacing: tuple[float, ...]
    places: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        tensors = (self.image, self.labels, *self.places)
        return sum(each.numel() * each.element_size() for each in tensors)


class _Patch(NamedTuple):
    """A patch that a network reads, and what it should answer."""

    image: Tensor
    labels: Tensor
    weights: Tensor | None


@dataclass(eq=False)
class Samples:
    """Batches of patches for `upstroke.train`: `batch(step)` follows from `seed` and `step` alone.

    Every case gives one patch in each epoch, in an order drawn for that epoch; an epoch is as many patches as
    there are cases. A share of the patches is centred on a voxel of a class other than 0, each class of the
    case as likely, the others lie anywhere. Where a volume is smaller than a patch it lies in its middle:
    beyond the edges the image is mirrored, and the labels are -1, not counted.

    Attributes:
        cases: with labels, all of one number of axes.
        classes: what the values in the masks mean.
        normalisation: of the values, per volume.
        spacing: that volumes are brought to; None: as they are.
        patch: size of the images.
        batch_size: patches in a batch.
        seed: of order, places and augmentation.
        augmentation: what is done to a patch.
        output: size of the labels, `UNet.output_size(patch)`; None: that of the patch.
        border: where they begin in the patch, `UNet.border`; None: 0.
        weights: what makes the weights of voxels from the labels of the whole patch, as they are after
            augmentation; None: all count alike.
        foreground: share of the patches that is centred on a class other than 0.
        memory: bytes of prepared cases that are kept; others are read again each time, to the same batches.

    Raises:
        OptionError: there is no case, or a number has no meaning.
        ShapeError: sizes have different numbers of axes, or the output lies outside of the patch; on reading,
            a case has another number of axes than the patch, or a mask another size than its image.
    """

    cases: Sequence[Case]
    _: KW_ONLY
    classes: Classes
    normalisation: Normalisation
    patch: tuple[int, ...]
    batch_size: int
    seed: int
    spacing: tuple[float, ...] | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    output: tuple[int, ...] | None = None
    border: tuple[int, ...] | None = None
    weights: Weights | None = None
    foreground: float = 1 / 3
    memory: int = 4 * 2**30

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing, and keep no case yet."""
        self._kept: dict[int, _Read] = {}
        self._kept_bytes = 0
        if not self.cases or self.batch_size < 1:
            msg = f"batches need a case and a patch or more; got {len(self.cases)} and {self.batch_size}"
            raise OptionError(msg)
        if not 0 <= self.foreground <= 1:
            msg = f"foreground is a share between 0 and 1; got {self.foreground}"
            raise OptionError(msg)
        if self.output is None:
            self.output = self.patch
        if self.border is None:
            self.border = (0,) * len(self.patch)
        sizes = (self.patch, self.output, self.border)
        if len({len(each) for each in sizes}) > 1 or not all(
            left >= 0 and out > 0 and left + out <= whole for whole, out, left in zip(*sizes, strict=True)
        ):
            msg = (
                f"the output must lie in the patch; got the patch {self.patch}, "
                f"the output {self.output} and the border {self.border}"
            )
            raise ShapeError(msg)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every case has been seen once, the last one shared with the next epoch."""
        return -(-len(self.cases) // self.batch_size)

    def batch(self, step: int) -> Sample:
        """The batch of a step: float32 images and int64 class numbers, -1 where they are not counted."""
        first = step * self.batch_size
        patches = [self._patch(number) for number in range(first, first + self.batch_size)]
        return Sample(
            images=torch.stack([each.image for each in patches]),
            labels=torch.stack([each.labels for each in patches]).long(),
            weights=None
            if self.weights is None
            else torch.stack([each.weights for each in patches if each.weights is not None]),
        )

    def keep(self) -> int:
        """Read what fits into memory now, so that workers that are forked share it; the number of cases."""
        for index in range(len(self.cases)):
            self._case(index)
            if self._kept_bytes >= self.memory:
                break
        return len(self._kept)

    def held_out(self, case: Case) -> Judged:
        """A whole volume to be judged on; it is not kept."""
        volume, labels = case.read(), self.classes.numbers(case.read_labels())
        self._check(case, volume.ndim, volume.values.shape[1:], labels.shape)
        image = prepared(volume, normalisation=self.normalisation, spacing=self.spacing)
        return Judged(
            image=torch.from_numpy(image),
            labels=torch.from_numpy(labels),
            spacing=volume.spacing,
            name=case.name,
        )

    def __getstate__(self) -> dict[str, Any]:
        """What a worker process needs: all but the cases in memory, which it reads itself."""
        return {**self.__dict__, "_kept": {}, "_kept_bytes": 0}

    def _patch(self, number: int) -> _Patch:
        """The patch of this number, counted from the start of training."""
        epoch, place = divmod(number, len(self.cases))
        order = torch.randperm(len(self.cases), generator=_generator(self.seed, "order", epoch))
        read = self._case(int(order[place]))
        generator = _generator(self.seed, "patch", number)
        how = self.augmentation
        turn = drawn_turn(how, spacing=read.spacing, generator=generator)
        taken = turn.before(self.patch)
        warp = drawn_warp(how, size=taken, spacing=read.spacing, generator=generator)
        output, border = self.output or self.patch, self.border or (0,) * len(self.patch)
        right = [whole - out - left for whole, out, left in zip(self.patch, output, border, strict=True)]
        left = turn.border_before(border, right)
        start = self._start(read, size=turn.before(output), generator=generator)
        image, labels = cut(
            read.image,
            read.labels,
            start=[first - lost for first, lost in zip(start, left, strict=True)],
            size=self.patch,
            turn=turn,
            warp=warp,
        )
        spacing = [read.spacing[axis] for axis in turn.axes]
        image = with_other_values(image, how, spacing=spacing, generator=generator)
        weights = None
        if self.weights is not None:
            # cells that are one beyond the output are one
            weights = self.weights.map(labels, spacing=spacing, begin=border, size=output)
        for axis, (first, count) in enumerate(zip(border, output, strict=True)):
            labels = labels.narrow(axis, first, count)
        return _Patch(image, labels, weights)

    def _start(self, read: _Read, *, size: Sequence[int], generator: Generator) -> list[int]:
        """Where the labels of a patch begin: in the volume where it is larger, else about its middle."""
        space = read.labels.shape
        centred = float(torch.rand((), generator=generator)) < self.foreground and bool(read.places)
        draws = torch.rand(len(size), generator=generator, dtype=torch.float64).tolist()
        if centred:
            of_class = read.places[_below(len(read.places), generator)]
            flat = int(of_class[_below(len(of_class), generator)])
            voxel = numpy.unravel_index(flat, tuple(space))
            wanted = [int(at) - count // 2 for at, count in zip(voxel, size, strict=True)]
        else:
            wanted = [
                int(draw * (whole - count + 1)) for draw, whole, count in zip(draws, space, size, strict=True)
            ]
        return [
            min(max(first, 0), whole - count) if whole >= count else (whole - count) // 2
            for first, whole, count in zip(wanted, space, size, strict=True)
        ]

    def _case(self, index: int) -> _Read:
        if index in self._kept:
            return self._kept[index]
        read = self._prepared(self.cases[index])
        if self._kept_bytes + read.bytes <= self.memory:
            self._kept[index] = read
            self._kept_bytes += read.bytes
        return read

    def _prepared(self, case: Case) -> _Read:
        volume, labels = case.read(), self.classes.numbers(case.read_labels())
        self._check(case, volume.ndim, volume.values.shape[1:], labels.shape)
        image = prepared(volume, normalisation=self.normalisation, spacing=self.spacing)
        spacing = volume.spacing
        if self.spacing is not None:
            size = size_at(labels.shape, spacing, self.spacing)
            labels, spacing = resampled(labels[None], size=size, order=0)[0], self.spacing
        numbers = torch.from_numpy(labels).to(torch.int16)
        places = [_some((numbers == k).flatten().nonzero()[:, 0]) for k in range(1, self.classes.count)]
        return _Read(
            image=torch.from_numpy(image),
            labels=numbers,
            spacing=spacing,
            places=tuple(each for each in places if len(each)),
        )

    def _check(self, case: Case, ndim: int, space: tuple[int, ...], labelled: tuple[int, ...]) -> None:
        if ndim != len(self.patch):
            msg = f"the patch {self.patch} must have a number for each axis of {case.name}, which has {ndim}"
            raise ShapeError(msg)
        if space != labelled:
            msg = f"{case.name}: the image has the size {space} and its mask {labelled}; they must agree"
            raise ShapeError(msg)


def _some(places: Tensor) -> Tensor:
    """At most so many of them, the same ones each time that a case is read."""
    if len(places) <= PLACES:
        return places.to(torch.int32) if len(places) and int(places[-1]) < 2**31 else places
    chosen = torch.linspace(0, len(places) - 1, PLACES, dtype=torch.float64).long()
    return places[chosen].clone()


def _below(count: int, generator: Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def _generator(*parts: int | str) -> Generator:
    return Generator().manual_seed(derived_seed(*parts))
