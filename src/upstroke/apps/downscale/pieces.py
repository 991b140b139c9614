"""The steps of a field are cut into pieces that are refined and written together, and into blocks to read."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Piece", "ReadBlock", "pieces_of", "read_blocks", "steps_together"]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Neighbouring steps of one field.

    Attributes:
        name: of the field.
        start: first step along each leading axis.
        stop: the one after the last.
    """

    name: str
    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def key(self) -> str:
        """Names the piece in the record of a run.

        >>> Piece(name="sst", start=(4, 0), stop=(8, 3)).key
        'sst 4,0'
        """
        return f"{self.name} {','.join(map(str, self.start))}"

    def within(self, block: "ReadBlock") -> tuple[slice, ...]:
        """Where the piece lies in what was read."""
        return tuple(
            slice(start - first, stop - first)
            for start, stop, first in zip(self.start, self.stop, block.start, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class ReadBlock:
    """Steps of one field that are read together, and the pieces that they are cut into."""

    name: str
    start: tuple[int, ...]
    stop: tuple[int, ...]
    pieces: tuple[Piece, ...]


def steps_together(lead: Sequence[int], most: int) -> tuple[int, ...]:
    """Steps along each leading axis, no more than `most` together: whole axes from the last one on.

    >>> steps_together((365, 12), 30), steps_together((365, 12), 5), steps_together((), 3)
    ((2, 12), (1, 5), ())
    """
    together = [1] * len(lead)
    for axis in reversed(range(len(lead))):
        together[axis] = max(1, min(lead[axis], most))
        if together[axis] < lead[axis]:
            break
        most //= together[axis] or 1
    return tuple(together)


def pieces_of(name: str, lead: Sequence[int], together: Sequence[int]) -> Iterator[Piece]:
    """Cut all steps of a field into pieces, in the order in which they lie in a file.

    >>> [piece.key for piece in pieces_of("sst", (5,), (2,))]
    ['sst 0', 'sst 2', 'sst 4']
    """
    for start, stop in _cut((0,) * len(lead), lead, together):
        yield Piece(name=name, start=start, stop=stop)


def read_blocks(
    name: str, lead: Sequence[int], together: Sequence[int], stored: Sequence[int], *, most: int
) -> Iterator[ReadBlock]:
    """Cut all steps of a field into blocks that are read once each, and these into pieces.

    A chunk of the file is unpacked as a whole for any of its steps, so that a block takes whole chunks where
    memory allows; a small field is one block.

    Args:
        name: of the field.
        lead: number of steps along each leading axis.
        together: steps of a piece.
        stored: steps of a chunk in the file; 1 where it has none.
        most: steps that may be held at once.
    """
    if 0 in lead:
        return
    read = list(together)
    for axis in reversed(range(len(lead))):
        others = math.prod(read) // read[axis]
        chunk = -(-stored[axis] // together[axis]) * together[axis]
        if chunk * others <= most:
            # as many whole chunks as there is room for
            read[axis] = max(1, min(most // others // chunk, -(-lead[axis] // chunk))) * chunk
    for start, stop in _cut((0,) * len(lead), lead, read):
        pieces = tuple(
            Piece(name=name, start=first, stop=last) for first, last in _cut(start, stop, together)
        )
        yield ReadBlock(name=name, start=start, stop=stop, pieces=pieces)


def _cut(
    start: Sequence[int], stop: Sequence[int], steps: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    ranges = (range(a, b, step) for a, b, step in zip(start, stop, steps, strict=True))
    for first in itertools.product(*ranges):
        yield first, tuple(min(f + step, b) for f, step, b in zip(first, steps, stop, strict=True))
