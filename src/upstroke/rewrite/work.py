"""Define what a fix needs to know of a model, wherever it comes from, to read and to rewrite it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from upstroke.audit import Report
from upstroke.graph import Graph
from upstroke.rewrite.change import Change, Form, Left
from upstroke.rewrite.fixed import Moved, Pair, Repaired
from upstroke.rewrite.verify import Verified

__all__ = ["SIZES", "Applied", "Chosen", "Measured", "Progress", "Work"]

# Told what is being done, and which share of it is done.
Progress = Callable[[str, float], object]
# Of the check before and after: what is asked of sizes takes long, and no exact rewrite changes it.
SIZES = "UP203"
# Changes, each in the form that was chosen for it.
Chosen = Sequence[tuple[Change, Form]]


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What became of the changes that were to be put in place.

    Attributes:
        how: by what means, for each site at which it was done; empty where there is one way alone.
        left: the sites at which it could not be done.
        postponed: names of the sites at which it can be done when the model has been read once more.
    """

    how: Mapping[str, str]
    left: tuple[Left, ...] = ()
    postponed: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What old and new take as a whole.

    Attributes:
        milliseconds: of one call, medians of one run.
        memory: bytes at the peak.
        memory_of: what the bytes are of.
        share: part of the old one's time that the sites took that were rewritten; None where it is not known.
        words: what that comes to, in a sentence without a full stop.
    """

    milliseconds: Pair
    memory: Pair
    memory_of: str
    share: float | None
    words: str


@runtime_checkable
class Work(Protocol):
    """A model that is being fixed: the one that was given, and what has become of it so far."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def source(self) -> str:
        """What it was read from, in a few words."""

    @property
    def runtime(self) -> str:
        """What runs it."""

    @property
    def model(self) -> Any:  # noqa: ANN401 - a module or a file's content
        """What it has become so far."""

    @property
    def given(self) -> Any:  # noqa: ANN401 - as above
        """What exact rewrites began with: the user's model, or what repairs made of it."""

    def read(self) -> Graph:
        """The graph of what it has become so far."""

    def checked(self, repair: Sequence[str]) -> Report:
        """The check of what it has become so far; sizes are tried only where they are to be repaired."""

    def mended(self, codes: Sequence[str], tell: Progress) -> "tuple[Work, tuple[Repaired, ...]]":
        """A workpiece in which findings of these codes are mended, and what became of each."""

    def planned(self, graph: Graph) -> tuple[Change | Left, ...]:
        """What can be rewritten next."""

    def candidates(self, change: Change) -> Mapping[str, Callable[[], Any]]:
        """Ways to compute what a change does, ready to be timed on the example; "as it is" is the first."""

    def apply(self, chosen: Chosen) -> Applied:
        """Put changes in place."""

    def compared(self, progress: Progress) -> tuple[Verified, ...]:
        """Old and new on inputs of several sizes, in every precision in which both run."""

    def moved(self) -> tuple[Moved, ...]:
        """How far the outputs are from those of the user's model, on the example."""

    def slower(self, *, seconds: float) -> float:
        """How many times as long it takes as what exact rewrites began with."""

    def measured(self, *, sites: Sequence[float] | None, seconds: float) -> Measured:
        """What the user's model and this one take, and what part of the former its sites are."""

    def parameters(self) -> Pair:
        """Numbers that old and new hold."""

    def again(self) -> "Work":
        """The model that was given, to be rewritten anew."""

    def notes(self) -> tuple[str, ...]:
        """What else a user should know, sentences without a full stop."""

    def save(self, path: Path, *, overwrite: bool) -> tuple[str, ...]:
        """Write what it has become, whole or not at all; gives what is to be said of the file."""
