"""Turn gathered pictures into the batches of real ones that a discriminator is shown."""

from dataclasses import KW_ONLY, dataclass

import numpy
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Generator, Tensor

from upstroke.apps.generate.values import signed
from upstroke.errors import OptionError
from upstroke.train import derived_seed

__all__ = ["PictureBatches"]


@dataclass(eq=False)
class PictureBatches:
    """Batches for `upstroke.train`: `batch(step)` follows from `seed` and `step` alone.

    Every picture comes once in each epoch, in an order drawn for that epoch; where the number of pictures is
    no multiple of the batch, a batch has the last of one epoch and the first of the next.

    Attributes:
        pictures: levels.
        batch_size: pictures in a batch.
        seed: of order and flips.
        flips: whether each picture is mirrored, left to right, as often as not, anew in each epoch.

    Raises:
        OptionError: there is no picture, or a batch of none.
    """

    pictures: UInt8[numpy.ndarray, "n channels height width"]
    _: KW_ONLY
    batch_size: int
    seed: int
    flips: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if len(self.pictures) == 0 or self.batch_size < 1:
            msg = (
                "batches need a picture and a batch of one or more; "
                f"got {len(self.pictures)} and {self.batch_size}"
            )
            raise OptionError(msg)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every picture has been seen once, the last one shared with the next epoch."""
        return -(-len(self.pictures) // self.batch_size)

    def batch(self, step: int) -> Float32[Tensor, "b channels height width"]:
        """The pictures of a step, as values from -1 to 1."""
        first = step * self.batch_size
        numbers = range(first, first + self.batch_size)
        values = signed(self.pictures[self._chosen(numbers)])
        if not self.flips:
            return values
        draws = torch.rand(self.batch_size, generator=_generator(self.seed, "flips", step))
        return torch.where((draws < 0.5)[:, None, None, None], values.flip(3), values)

    def _chosen(self, numbers: range) -> Int64[numpy.ndarray, " b"]:
        """The places of the pictures of these numbers, counted from the start of training."""
        count = len(self.pictures)
        epochs = range(numbers[0] // count, numbers[-1] // count + 1)
        orders = torch.cat(
            [torch.randperm(count, generator=_generator(self.seed, "order", epoch)) for epoch in epochs]
        )
        start = numbers[0] - epochs[0] * count
        return orders[start : start + len(numbers)].numpy()


def _generator(*parts: int | str) -> Generator:
    return Generator().manual_seed(derived_seed(*parts))
