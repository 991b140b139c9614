"""Turn the record of pictures that were drawn, one by one or on a way, into text for a terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["generate_interpolated_text", "generate_sampled_text"]

Json = dict[str, Any]
# More ways, or runs of numbers, than these are counted.
LISTED = 8


def generate_sampled_text(record: Json, *, width: int = 100, colour: bool = False) -> str:
    """Write an `upstroke.generate-sample/1` record as text.

    >>> record = {"target": "grid.png", "count": 3, "numbers": [[3, 3], [7, 8]], "seed": 0, "truncate": 0.5}
    >>> record |= {"kind": "sheet", "picture": [1, 32, 32], "size": [66, 66], "seconds": 0.25}
    >>> print(generate_sampled_text(record), end="")
    grid.png: a sheet of 66x66 pixels, 3 pictures of 32x32 in 0.2 s
      samples 3, 7-8 of seed 0, latent vectors shortened to 0.5 of their lengths
    """

    def write(console: Console) -> None:
        say(console, "", _head(record), hang=2)
        numbers = _numbers(record["numbers"])
        sample = "sample" if record["count"] == 1 else "samples"
        say(console, "  ", Text(f"{sample} {numbers} of seed {record['seed']}{_shortened(record)}"), hang=4)

    return written(write, width=width, colour=colour)


def generate_interpolated_text(record: Json, *, width: int = 100, colour: bool = False) -> str:
    """Write an `upstroke.generate-interpolate/1` record as text.

    >>> way = {"first": 3, "last": 17, "angle": 85.25, "lengths": [9.5, 10.125]}
    >>> record = {"target": "strip.png", "count": 9, "steps": 9, "ways": [way], "seed": 0, "truncate": 1.0}
    >>> record |= {"kind": "sheet", "picture": [1, 32, 32], "size": [32, 304], "seconds": 0.25}
    >>> print(generate_interpolated_text(record), end="")
    strip.png: a sheet of 32x304 pixels, 9 pictures of 32x32 in 0.2 s
      from sample 3 to 17 of seed 0: 85 degrees in steps of 10.7, length 9.5 to 10.1
    """

    def write(console: Console) -> None:
        say(console, "", _head(record), hang=2)
        for way in record["ways"][:LISTED]:
            step = way["angle"] / (record["steps"] - 1)
            first, last = way["lengths"]
            words = f"from sample {way['first']} to {way['last']} of seed {record['seed']}: "
            words += f"{way['angle']:.0f} degrees in steps of {step:.3g}, length {first:.3g} to {last:.3g}"
            say(console, "  ", Text(f"{words}{_shortened(record)}"), hang=4)
        if len(record["ways"]) > LISTED:
            say(console, "  ", Text(f"and {len(record['ways']) - LISTED} ways more"), hang=4)

    return written(write, width=width, colour=colour)


def _head(record: Json) -> Text:
    pictures = "1 picture" if record["count"] == 1 else f"{record['count']:,} pictures"
    each = "x".join(map(str, record["picture"][1:]))
    words = f"{pictures} of {each} in {record['seconds']:.1f} s"
    if record["kind"] == "sheet":
        words = f"a sheet of {'x'.join(map(str, record['size']))} pixels, {words}"
    return Text.assemble((visible(record["target"]), "bold"), f": {words}")


def _numbers(runs: list[list[int]]) -> str:
    words = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:LISTED]]
    return ", ".join(words) + (f" and {len(runs) - LISTED} more" if len(runs) > LISTED else "")


def _shortened(record: Json) -> str:
    share = record["truncate"]
    return "" if share == 1 else f", latent vectors shortened to {share:g} of their lengths"
