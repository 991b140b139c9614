"""Cases that are held out become whole images as a network reads them, with their labels as they are."""

from collections.abc import Sequence
from typing import NamedTuple, overload

from torch import Tensor

from upstroke.apps.segment.cases import Case
from upstroke.apps.segment.samples import Samples

__all__ = ["Held", "HeldOut", "evenly"]

# What is kept in memory at most; what is beyond is read again in every validation.
MEMORY = 2**30


class Held(NamedTuple):
    """One case that nothing is learnt from.

    Attributes:
        number: of the case among those that are held out.
        image: (channels, *space), normalised, at the spacing that the network reads.
        labels: (*space) of the file, class numbers.
    """

    number: int
    image: Tensor
    labels: Tensor


class HeldOut(Sequence[Held]):
    """Whole cases, read as they are asked for.

    Args:
        cases: in order.
        samples: that know how a case becomes what the network takes.
        memory: bytes of cases that are kept.
    """

    def __init__(self, cases: Sequence[Case], samples: Samples, *, memory: int = MEMORY) -> None:
        self.cases, self.samples, self.left = tuple(cases), samples, memory
        self.kept: dict[int, Held] = {}

    def __len__(self) -> int:
        return len(self.cases)

    @overload
    def __getitem__(self, number: int) -> Held: ...
    @overload
    def __getitem__(self, number: slice) -> list[Held]: ...
    def __getitem__(self, number: int | slice) -> Held | list[Held]:
        """Read a case, or take it from memory."""
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if number in self.kept:
            return self.kept[number]
        held = self._read(range(len(self))[number])
        size = held.image.nbytes + held.labels.nbytes
        if size <= self.left:
            self.left -= size
            self.kept[held.number] = held
        return held

    def _read(self, number: int) -> Held:
        judged = self.samples.held_out(self.cases[number])
        return Held(number, judged.image, judged.labels)


def evenly(count: int, most: int) -> tuple[int, ...]:
    """Numbers below `count`, so many at most, as far apart as can be.

    >>> evenly(40, 4), evenly(3, 4)
    ((5, 15, 25, 35), (0, 1, 2))
    """
    if count <= most:
        return tuple(range(count))
    return tuple((2 * each + 1) * count // (2 * most) for each in range(most))
