"""Put what was measured between the markers of a page, with the machine that it was measured on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["between", "machine_table"]


def between(text: str, made: str, *, start: str, end: str) -> str:
    """The text with what stands between two markers replaced.

    >>> between("a <b> old <e> z", "new", start="<b>", end="<e>").split()
    ['a', '<b>', 'new', '<e>', 'z']
    """
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n\n{made.strip()}\n\n{end}{after}"


def machine_table(
    machine: Mapping[str, object], rows: Sequence[Mapping[str, Any]], **more: object
) -> Iterator[str]:
    """The lines of a table: the machine, the commits, the days, and what else is to be said of the rows."""
    days = sorted({str(row["date"])[:10] for row in rows})
    commits = ", ".join(sorted({str(row["commit"]) for row in rows}))
    yield "| measured on | |\n| --- | --- |"
    yield from (f"| {name} | {value} |" for name, value in machine.items())
    yield f"| commit | {commits} |"
    yield f"| day | {' to '.join(dict.fromkeys((days[0], days[-1])))} |"
    yield from (f"| {name.replace('_', ' ')} | {value} |" for name, value in more.items())
    yield ""
