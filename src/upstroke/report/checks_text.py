"""Turn the records of several checked models into text, one after the other, with what they come to."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.check_subjects import SEVERITIES
from upstroke.report.check_text import check_text
from upstroke.report.check_words import counted
from upstroke.report.page import written

__all__ = ["checks_text"]

Json = dict[str, Any]


def checks_text(
    records: Sequence[Json], *, failed: int = 0, width: int = 100, colour: bool = False, verbose: bool = False
) -> str:
    """Write `upstroke.check/1` records as texts and a last line for all; `failed` models have no record."""
    parts = [check_text(each, width=width, colour=colour, verbose=verbose) for each in records]
    sums = {each: sum(record["summary"][f"{each}s"] for record in records) for each in SEVERITIES}
    counts = ", ".join(counted(number, each) for each, number in sums.items() if number) or "no findings"
    lost = f"; {counted(failed, 'model')} could not be checked" if failed else ""

    def write(console: Console) -> None:
        console.print(Text(f"{counted(len(records) + failed, 'model')}: {counts}{lost}"))

    return "\n".join([*parts, written(write, width=min(width, 100), colour=colour)])
