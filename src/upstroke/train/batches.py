"""Turn a function of the step into the stream of batches that a training loop reads."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from torch.utils.data import DataLoader, Dataset

from upstroke.train.randomness import seed_all

__all__ = ["Batches", "FixedBatches", "Stream"]


@runtime_checkable
class Batches(Protocol):
    """What a model is trained on: one batch for each step.

    `batch(step)` follows from the step, and from a seed that the object holds, alone. Then the order of the
    data is no state, a resumed run sees what the unbroken one would have seen, and workers may fetch ahead.
    """

    def batch(self, step: int) -> Any:  # noqa: ANN401 - what a task takes is its own business
        """The batch of a step; tensors, or tuples, lists and dicts of them."""
        ...


class _Numbered(Dataset[Any]):
    """Batches by number; the generators are set for each, so that all that is drawn follows from it."""

    def __init__(self, batches: Batches, *, seed: int, rank: int, processes: int) -> None:
        self.batches, self.seed, self.rank, self.processes = batches, seed, rank, processes

    def __getitem__(self, step: int) -> Any:  # noqa: ANN401 - what `batch` gives
        number = step * self.processes + self.rank
        seed_all(self.seed, "batch", number)
        return self.batches.batch(number)


class Stream:
    """The batches of the steps from `start` on; its length is that of the whole run, resumed or not.

    Of several processes each takes its own share: in step k process r takes batch k * processes + r.
    """

    def __init__(
        self,
        batches: Batches,
        *,
        start: int,
        steps: int,
        seed: int,
        workers: int = 0,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.numbered = _Numbered(batches, seed=seed, rank=rank, processes=processes)
        self.start, self.steps, self.workers = start, steps, workers

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Any]:
        steps = range(self.start, self.steps)
        if not self.workers:
            return map(self.numbered.__getitem__, steps)
        return iter(DataLoader(self.numbered, batch_size=None, sampler=steps, num_workers=self.workers))


class FixedBatches:
    """The batches of validation, the same every time."""

    def __init__(self, batches: Sequence[Any], *, seed: int) -> None:
        self.batches, self.seed = batches, seed

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        for number in range(len(self.batches)):
            seed_all(self.seed, "validation", number)
            yield self.batches[number]
