"""The environment of a process becomes whether it is the first of its run, which speaks and makes folders."""

import os

__all__ = ["is_first_process"]

# By these a process knows that another has started it, and made the folder.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


def is_first_process() -> bool:
    """Whether no other process of the same run has started this one.

    >>> is_first_process()
    True
    """
    return all(os.environ.get(name, "0") in ("0", "") for name in RANKS)
