"""Turn the record of images that were outlined into text for a terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["segment_predicted_text"]

Json = dict[str, Any]

# More files than these are counted, and listed only in full detail.
LISTED = 8
WORDS = {"whole": "in one piece", "exact": "in {count} exact tiles", "blended": "in {count} blended tiles"}


def segment_predicted_text(
    record: Json, *, width: int = 100, colour: bool = False, verbose: bool = False, quiet: bool = False
) -> str:
    """Write an `upstroke.segment-predict/1` record as text.

    Args:
        record: of `upstroke.apps.segment.predict.predict`.
        width: of a line, in characters.
        colour: whether the terminal has colours.
        verbose: list every file, however many there are, and why it was read in one piece or in tiles.
        quiet: leave out files that went well.

    >>> record = {"target": "out", "files": [], "skipped": ["out/a.png"], "failed": [], "seconds": 0.25}
    >>> print(segment_predicted_text(record), end="")
    out: 0 masks in 0.2 s
      1 was there already and stays
    """
    return written(
        lambda console: _write(console, record, verbose=verbose, quiet=quiet), width=width, colour=colour
    )


def _write(console: Console, record: Json, *, verbose: bool, quiet: bool) -> None:
    files, skipped, failed = record["files"], record["skipped"], record["failed"]
    masks = "1 mask" if len(files) == 1 else f"{len(files)} masks"
    head = Text.assemble((visible(record["target"]), "bold"), f": {masks} in {record['seconds']:.1f} s")
    say(console, "", head, hang=2)
    listed = files if verbose else files[:LISTED]
    for each in () if quiet else listed:
        say(console, "  ", Text(_line(each)), hang=4)
        if verbose:
            say(console, "    ", Text(f"{_read(each)}: {each['tiles']['reason']}"), hang=6)
    if len(files) > len(listed) and not quiet:
        say(console, "  ", Text(f"and {len(files) - len(listed)} more; -v lists them"), hang=4)
    if skipped:
        stay = "1 was there already and stays" if len(skipped) == 1 else f"{len(skipped)} were there and stay"
        say(console, "  ", Text(stay), hang=4)
    shown = failed if verbose else failed[:LISTED]
    for each in shown:
        say(console, "  ", Text.assemble(("not predicted: ", "bold red"), visible(each["reason"])), hang=4)
    if len(failed) > len(shown):
        more = f"and {len(failed) - len(shown)} more that could not be predicted; -v lists them"
        say(console, "  ", Text(more), hang=4)


def _line(each: Json) -> str:
    name = visible(each["target"].rpartition("/")[2])
    size = "x".join(map(str, each["size"]))
    parts = [f"{visible(one['name'])} {_amount(one, each)}" for one in each["classes"][1:]]
    return f"{name}  {size}, {_read(each)}: {', '.join(parts)}"


def _amount(one: Json, each: Json) -> str:
    """How much of an image a class has: its volume where there is one, else its share."""
    if one["volume"] is None:
        return f"{100 * one['share']:.3g} %"
    unit = each["volume_unit"].replace("micron", "µm")
    return f"{one['volume']:.4g} {unit[:-1]}{'²³'[unit.endswith('3')]}"


def _read(each: Json) -> str:
    return WORDS[each["tiles"]["kind"]].format(count=each["tiles"]["count"])
