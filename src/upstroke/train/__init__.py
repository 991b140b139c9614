"""A module and its batches become a run folder: the one training harness."""

from typing import TYPE_CHECKING, Any

from upstroke.errors import MissingExtraError
from upstroke.train.asked import check_asked
from upstroke.train.average import MovingAverage
from upstroke.train.batches import Batches
from upstroke.train.first import is_first_process
from upstroke.train.fit import fit
from upstroke.train.fitted import Fitted
from upstroke.train.machine import PrecisionWord, check_device, device_for, precision_for
from upstroke.train.plan import Mode, Precision
from upstroke.train.randomness import derived_seed, seeded

if TYPE_CHECKING:
    from upstroke.train.task import Task

__all__ = [
    "Batches",
    "Fitted",
    "Mode",
    "MovingAverage",
    "Precision",
    "PrecisionWord",
    "Task",
    "check_asked",
    "check_device",
    "derived_seed",
    "device_for",
    "fit",
    "is_first_process",
    "precision_for",
    "seeded",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as Python asks for it
    """Load Lightning when `Task` is first asked for, which is what needs it."""
    if name != "Task":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        from upstroke.train.task import Task
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "lightning":
            raise
        msg = "training needs the package lightning; pip install 'upstroke[train]'"
        raise MissingExtraError(msg) from error

    globals()[name] = Task
    return Task
