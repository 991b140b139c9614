"""A module and its batches become a run folder: the one training harness."""

from typing import TYPE_CHECKING, Any

from upstroke.train.batches import Batches
from upstroke.train.fit import Fitted, fit
from upstroke.train.randomness import derived_seed, seeded

if TYPE_CHECKING:
    from upstroke.train.task import Task

__all__ = ["Batches", "Fitted", "Task", "derived_seed", "fit", "seeded"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as Python asks for it
    """Load Lightning when `Task` is first asked for, which is what needs it."""
    if name != "Task":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from upstroke.train.task import Task

    globals()[name] = Task
    return Task
