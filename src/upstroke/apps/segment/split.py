"""Cases are divided into those to train on and those to be judged by, whole groups at a time."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from upstroke.apps.segment.cases import Case
from upstroke.errors import OptionError

__all__ = ["Split", "SplitBy", "split"]

SplitBy = Literal["random", "order", "folder"]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Cases to train on and cases to choose the best weights by; none of a group in both.

    Attributes:
        train: to learn from.
        validation: to judge by while training.
        test: in the data's own folder for tests, and used for neither.
    """

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Names of the cases, in order."""
        return {
            "train": [case.name for case in self.train],
            "validation": [case.name for case in self.validation],
            "test": [case.name for case in self.test],
        }


def split(
    cases: Sequence[Case],
    *,
    share: float = 0.2,
    count: int | None = None,
    by: SplitBy = "random",
    seed: int = 0,
) -> Split:
    """Divide cases; whole groups are held out until there are as many cases as wanted, or a few more.

    Args:
        cases: in any order, which is kept on both sides.
        share: part of the cases to hold out.
        count: how many to hold out instead.
        by: "random" draws groups by the seed; "order" holds out the last ones; "folder" those of the data's
            own folder val, valid or validation.
        seed: of the draw, which does not depend on the order of the cases.

    Raises:
        OptionError: one side would be empty, or there is no such folder.
    """
    if count is None and not 0 < share < 1:
        msg = f"share must be more than 0 and less than 1; got {share:g}; 0.2 holds out every fifth case"
        raise OptionError(msg)
    test = tuple(case for case in cases if case.part == "test")
    usable = [case for case in cases if case.part != "test"] or list(cases)
    test = test if len(usable) < len(cases) else ()
    held = _held_by_folder(usable) if by == "folder" else _held(usable, share, count, by, seed)
    train = tuple(case for case in usable if case.group not in held)
    validation = tuple(case for case in usable if case.group in held)
    if not train or not validation:
        groups = len({case.group for case in usable})
        msg = (
            f"training and validation need one case or more each; {len(usable)} cases in {groups} groups "
            f"leave {len(train)} and {len(validation)}; add cases, hold out fewer or group them otherwise"
        )
        raise OptionError(msg)
    return Split(train=train, validation=validation, test=test)


def _held(cases: Sequence[Case], share: float, count: int | None, by: SplitBy, seed: int) -> set[str]:
    """Groups to hold out: from the last on, or in the order drawn."""
    wanted = max(1, round(share * len(cases))) if count is None else count
    sizes: dict[str, int] = {}
    for case in reversed(cases):
        sizes[case.group] = sizes.get(case.group, 0) + 1
    groups = list(sizes) if by == "order" else sorted(sizes)
    if by == "random":
        random.Random(f"split {seed}").shuffle(groups)
    held: set[str] = set()
    for group in groups:
        if sum(sizes[one] for one in held) >= wanted:
            break
        held.add(group)
    return held


def _held_by_folder(cases: Sequence[Case]) -> set[str]:
    held = {case.group for case in cases if case.part == "validation"}
    both = held & {case.group for case in cases if case.part == "train"}
    if not held or both:
        what = (
            f"group {min(both)} is in both folders" if both else "there is no folder val, valid or validation"
        )
        msg = f"a split by folder needs train and val without a common group; {what}; draw at random"
        raise OptionError(msg)
    return held
