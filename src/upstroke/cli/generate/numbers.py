"""Words for numbers of samples become these numbers."""

import re

from upstroke.errors import OptionError

__all__ = ["sample_numbers"]

MOST = 10**6
PART = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)


def sample_numbers(words: str) -> list[int]:
    """Read numbers and ranges of them, both ends included, divided by commas.

    >>> sample_numbers("3,17,40-42")
    [3, 17, 40, 41, 42]
    """
    numbers: list[int] = []
    for part in words.split(","):
        found = PART.fullmatch(part.strip())
        if found is None:
            msg = f"--numbers must be numbers and ranges of them, such as 3,17,40-50; got {words!r}"
            raise OptionError(msg)
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            msg = f"a range of --numbers must go up, such as {last}-{first}; got {part.strip()!r}"
            raise OptionError(msg)
        if last - first >= MOST - len(numbers):
            msg = f"--numbers must be at most {MOST:,} numbers; got {words!r}; draw them in parts"
            raise OptionError(msg)
        numbers.extend(range(first, last + 1))
    return numbers
