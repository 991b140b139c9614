"""What is asked of a run is refused before any file is read, where it would be refused afterwards."""

from pathlib import Path

from upstroke.errors import FileError, OptionError
from upstroke.train.first import is_first_process
from upstroke.train.folder import read_config

__all__ = ["check_asked"]


def check_asked(
    folder: Path, *, steps: int | None, minutes: int | float | None, resume: bool, overwrite: bool
) -> None:
    """See that a run can have this length, and begin or go on in this folder.

    Raises:
        OptionError: the length is said twice or means nothing, or the run shall both go on and begin anew.
        FileError: there is no run to go on with, or one that would be lost.
    """
    if steps is not None and minutes is not None:
        msg = f"give steps or minutes, not both; got {steps} and {minutes:g}"
        raise OptionError(msg)
    if minutes is not None and not 0 < minutes < float("inf"):
        msg = f"minutes must be a number above 0; got {minutes:g}"
        raise OptionError(msg)
    if resume and overwrite:
        msg = "resume goes on with a run and overwrite begins anew; give one of them"
        raise OptionError(msg)
    if resume:
        read_config(folder)
    elif not overwrite and is_first_process() and (folder / "config.json").exists():
        msg = f"a new run needs a new folder; {folder} holds a run already; resume it, or choose another name"
        raise FileError(msg)
