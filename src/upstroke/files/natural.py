"""Turn names into keys that sort them as people count: 2 before 10."""

import re

__all__ = ["natural"]


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that puts 2 before 10, and numbers before letters; numbers may have any number of digits.

    >>> sorted(["face10", "face2", "7", "face02b"], key=natural)
    ['7', 'face2', 'face02b', 'face10']
    """
    return [_key(part) for part in re.split(r"(\d+)", name) if part]


def _key(part: str) -> tuple[int, int, str]:
    if not part.isdecimal():
        return (1, 0, part)
    # by length and digits and not as an int, which Python refuses to make of more than 4300 digits
    digits = part.lstrip("0")
    return (0, len(digits), digits)
