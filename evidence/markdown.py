"""Numbers become cells, and cells a table in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["NOTHING", "shown", "spread", "table"]

NOTHING = "–"


def spread(found: Sequence[Mapping[str, Any]], name: str, form: str) -> str:
    """The mean, and the least and the largest where there are several."""
    known = [each[name] for each in found if each.get(name) is not None]
    if not known:
        return NOTHING
    mean = form.format(sum(known) / len(known))
    return mean if len(known) == 1 else f"{mean} ({form.format(min(known))} … {form.format(max(known))})"


def shown(number: float | None, form: str) -> str:
    """A number, or a dash."""
    return NOTHING if number is None else form.format(number)


def table(head: str, lines: Sequence[Sequence[str]], *, words: int) -> str:
    """Lines under a head, names parted by |; the first columns are words, the others numbers."""
    names = head.split("|")
    rule = "|".join([" --- "] * words + [" ---: "] * (len(names) - words))
    return "\n".join(
        [f"| {' | '.join(names)} |", f"|{rule}|", *(f"| {' | '.join(line)} |" for line in lines)]
    )
