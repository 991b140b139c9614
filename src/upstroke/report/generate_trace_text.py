"""Turn the record of what pixels of a generator depend on into text for a terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["WHOLE", "agreement_words", "between_words", "generate_trace_text", "pixel_words", "reach_words"]

Json = dict[str, Any]
WHOLE = (
    "Every pixel depends on the picture as a whole only through the latent vector, of which all cells of the "
    "sketch are made."
)


def generate_trace_text(record: Json, *, width: int = 100, colour: bool = False) -> str:
    """Write an `upstroke.generate-trace/1` record as text."""

    def write(console: Console) -> None:
        head = Text.assemble((visible(record["run"]), "bold"), f": {between_words(record)}")
        say(console, "", head, hang=2)
        say(console, "  ", Text(agreement_words(record)), hang=4)
        say(console, "  ", Text(WHOLE), hang=4)
        for line in (pixel_words(record["pixel"]), reach_words(record["cell"])):
            say(console, "  ", Text(line), hang=4)
        for each in record["pixel"]["reads"]:
            place = ",".join(map(str, each["cell"]))
            console.print(Text(f"    cell {place}  {100 * each['share']:5.1f} % of its change"))

    return written(write, width=width, colour=colour)


def between_words(record: Json) -> str:
    """How many cells pixels depend on.

    >>> between_words({"algebra": {"least": 1, "most": 9}, "cells": [4, 4]})
    'a pixel depends on 1 to 9 of the 16 cells of the sketch'
    """
    least, most = record["algebra"]["least"], record["algebra"]["most"]
    count = f"{least}" if least == most else f"{least} to {most}"
    return f"a pixel depends on {count} of the {record['cells'][0] * record['cells'][1]} cells of the sketch"


def agreement_words(record: Json) -> str:
    """Whether algebra and measurement say the same.

    >>> agreement_words({"agrees": True, "pairs": 9, "beyond": 0, "missed": 0})
    'algebra and measurement agree on all 9 pairs of a pixel and a cell'
    >>> agreement_words({"agrees": False, "pairs": 9, "beyond": 0, "missed": 2})
    'of 9 pairs of a pixel and a cell that kernels allow, 2 change nothing with these weights; none beyond'
    """
    pairs = f"{record['pairs']:,} pairs of a pixel and a cell"
    if record["agrees"]:
        return f"algebra and measurement agree on all {pairs}"
    beyond = f"{record['beyond']:,} were measured beyond them" if record["beyond"] else "none beyond"
    return f"of {pairs} that kernels allow, {record['missed']:,} change nothing with these weights; {beyond}"


def pixel_words(seen: Json) -> str:
    """What a pixel depends on.

    >>> pixel_words({"pixel": [20, 33], "cells": 4, "measured": 4})
    'pixel 20,33 depends on 4 cells, measured 4'
    """
    cells = f"{seen['cells']} cell{'s' * (seen['cells'] != 1)}"
    return f"pixel {','.join(map(str, seen['pixel']))} depends on {cells}, measured {seen['measured']}"


def reach_words(reach: Json) -> str:
    """What a cell reaches.

    >>> reach_words({"cell": [1, 2], "rows": [1, 30], "columns": [17, 46], "pixels": 900, "measured": 900})
    'cell 1,2 reaches rows 1 to 30 and columns 17 to 46: 900 pixels, measured 900'
    """
    (top, bottom), (left, right) = reach["rows"], reach["columns"]
    return (
        f"cell {','.join(map(str, reach['cell']))} reaches rows {top} to {bottom} and columns {left} to "
        f"{right}: {reach['pixels']:,} pixels, measured {reach['measured']:,}"
    )
