"""Turn the record of inspected pictures into text for a terminal."""

from fractions import Fraction
from pathlib import PurePath
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from upstroke.report.inspect_text import figures, percent
from upstroke.report.page import written

__all__ = ["picture_title", "pictures_text"]

Json = dict[str, Any]
MOST_LISTED = 10


def pictures_text(record: Json, *, width: int = 100, colour: bool = False) -> str:
    """Write an `upstroke.inspect/1` record of pictures as text; all of a long list stand in the JSON."""
    write = _one if record["kind"] == "picture" else _many
    return written(lambda console: write(console, record), width=min(width, 100), colour=colour)


def picture_title(record: Json) -> str:
    """Name the picture that stands for all, which is the most suspicious one.

    >>> picture_title({"pictures": [{"file": "samples/7.png"}, {"file": "samples/3.png"}], "period": [2, 3]})
    '7.png, period 2x3 (most suspicious of 2)'
    """
    count = len(record["pictures"])
    name = PurePath(record["pictures"][0]["file"]).name
    title = f"{name if len(name) <= 40 else f'{name[:37]}…'}, period {_times(record['period'])}"
    return title if count == 1 else f"{title} (most suspicious of {count})"


def _one(console: Console, record: Json) -> None:
    picture = record["pictures"][0]
    psv = picture["psv"]
    console.print(
        Text(f"{record['path']}, {_times(picture['size'])} pixels, period {_period(record)}", "bold")
    )
    console.print(Text(f"Measured on {'; '.join(['grey levels, 0 to 255', *picture['notes']])}."))
    console.print()
    for row in _phase_map(picture["phase_means"]):
        console.print(Text(row), no_wrap=True, crop=False)
    of = " of" if psv["ratio_to_chance"] < 1 else ""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    table.add_row(
        "PSV",
        f"{figures(psv['value'], 3)} squared grey levels, {figures(psv['amplitude'], 3)} grey levels (rms), "
        f"{percent(psv['relative'])} of the picture's variance",
    )
    table.add_row(
        "Chance",
        f"white noise of this size and variance has {figures(psv['chance'], 3)} on average and stays below "
        f"{figures(psv['chance_99'], 3)} in 99 of 100 cases; PSV is {_ratio(psv)}{of} the average",
    )
    table.add_row("Peaks", _peaks(picture, record["period"]))
    console.print()
    console.print(table)
    console.print()
    console.print(Text(_meaning_of_one(picture)))


def _meaning_of_one(picture: Json) -> str:
    rule = (
        "Natural pictures are smooth: they lie far below white noise, and their spectrum has no peak at "
        "these frequencies."
    )
    if picture["stands_out"] and picture["above_chance"]:
        return f"{rule} This one has both: it carries a pattern of this period, or a texture that has it."
    if picture["stands_out"]:
        return (
            f"{rule} This one has a peak, though no higher a PSV than noise could have: a faint pattern of "
            "this period is likely. A folder of such pictures would tell."
        )
    if picture["above_chance"]:
        return (
            f"{rule} This one lies above what noise has in 99 of 100 cases, but no peak stands out: a steep "
            "change of brightness from edge to edge does that too. A folder of such pictures would tell."
        )
    return f"{rule} Nor has this one. A pattern too faint for one picture shows in a folder of them."


def _many(console: Console, record: Json) -> None:
    pictures = record["pictures"]
    count = "1 picture" if len(pictures) == 1 else f"{len(pictures)} pictures"
    console.print(Text(f"{record['path']}, {count}, period {_period(record)}", "bold"))
    console.print(Text(f"Measured on {record['measured_on']}."))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column("picture", overflow="fold")
    for name in ("PSV", "rms", "of chance", "peak"):
        table.add_column(name, justify="right", no_wrap=True)
    for picture in pictures[:MOST_LISTED]:
        psv = picture["psv"]
        peak = picture["worst_peak_db"]
        table.add_row(
            PurePath(picture["file"]).name,
            figures(psv["value"], 3),
            figures(psv["amplitude"], 3),
            _ratio(psv),
            "" if peak is None else f"{peak:.1f} dB".replace("-", "−"),
        )
    console.print(table)
    console.print(
        Text(
            "PSV in squared grey levels, rms its root; of chance: over that of white noise of this size and "
            "variance; peak: highest at the period's frequencies over its surroundings."
        )
    )
    if len(pictures) > MOST_LISTED:
        console.print(Text(f"The {MOST_LISTED} highest of {len(pictures)}; --format json lists all."))
        console.print()
    if record["skipped"]:
        _skipped(console, record["skipped"])
    if record["set"] is None:
        console.print(
            Text("One picture is no set: what pictures share cannot be told from what this one shows.")
        )
        return
    _set(console, record["set"])


def _set(console: Console, found: Json) -> None:
    """What the pictures share, beside what they would share by chance."""
    for row in _phase_map(found["phase_means"]):
        console.print(Text(row), no_wrap=True, crop=False)
    console.print()
    shared = found["shared"]
    sign = "≤" if _is_least(found) else "="
    chance = f"p {sign} {figures(found['p_value'], 2)}"
    if shared:
        head = "The pictures share a pattern"
    elif found["aligned"] and found["peaks_db"] is None:
        head = (
            f"The pictures share something at this alignment ({chance}), but are too small to tell a "
            "spectral peak: a common composition does that too"
        )
    elif found["aligned"]:
        head = (
            f"The pictures share something at this alignment ({chance}), but no spectral peak stands out: a "
            "common composition does that; no pattern"
        )
    else:
        head = "No shared pattern is seen"
    level = found["worst_peak_db"]
    whose = "the mean picture" if found["peaks_of"] == "mean picture" else "the median over pictures"
    peak = "" if level is None else f" The highest peak of {whose} is {level:.1f} dB.".replace("-", "−")
    scene = " Pictures of one scene share its details too." if shared else ""
    console.print(
        Text.assemble(
            (f"{head}{': ' if shared or not found['aligned'] else '. '}", "yellow" if shared else "green"),
            f"{'the' if shared or not found['aligned'] else 'The'} mean picture's PSV is "
            f"{figures(found['psv'], 3)}; with each picture shifted at random it is "
            f"{figures(found['null_mean'], 3)} on average and below {figures(found['null_99'], 3)} in 99 of "
            f"100 of {found['draws']} draws ({chance}).{peak}{scene}",
        )
    )


def _is_least(found: Json) -> bool:
    return bool(found["p_value"] < 1.5 / (1 + found["draws"]))


def _skipped(console: Console, skipped: list[Json]) -> None:
    files = "1 file" if len(skipped) == 1 else f"{len(skipped)} files"
    console.print(Text(f"{files} skipped:", "yellow"))
    for each in skipped[:MOST_LISTED]:
        console.print(Text(f"  {each['reason']}"))
    if len(skipped) > MOST_LISTED:
        console.print(Text(f"  and {len(skipped) - MOST_LISTED} more; --format json lists all"))
    console.print()


def _peaks(picture: Json, period: list[int]) -> str:
    if picture["peaks_db"] is None:
        return "the picture is too small to compare the image frequencies with those around them"
    found = []
    for down, row in enumerate(picture["peaks_db"]):
        for right, level in enumerate(row):
            # of a real picture, j and -j are the same
            mirrored = (-down % period[0], -right % period[1])
            if (down, right) != (0, 0) and (down, right) <= mirrored:
                shown = "no power" if level is None else f"{level:.1f} dB".replace("-", "−")
                place = f"{Fraction(down, period[0])}, {Fraction(right, period[1])}"
                found.append((level, f"({place}) {shown}"))
    found.sort(key=lambda one: float("-inf") if one[0] is None else one[0], reverse=True)
    words = ", ".join(text for _, text in found[:4])
    more = f" and {len(found) - 4} lower ones" if len(found) > 4 else ""
    return (
        f"{words}{more} over their surroundings, at (down, right) cycles per pixel; white noise stays mostly "
        "below 12 dB"
    )


def _phase_map(means: list[list[float]]) -> list[str]:
    """Means of the phases as rows and columns; nothing where they are too many to read."""
    if len(means) > 8 or len(means[0]) > 8:
        return []
    cells = [[f"{value:+.3f}".replace("-", "−") for value in row] for row in means]
    size = max(len(cell) for row in cells for cell in row)
    title = "mean of each phase less the mean of all, in grey levels"
    return [title, *("  " + "  ".join(cell.rjust(size) for cell in row) for row in cells)]


def _ratio(psv: Json) -> str:
    ratio = psv["ratio_to_chance"]
    return percent(ratio) if ratio < 1 else f"{figures(ratio, 3)} times"


def _period(record: Json) -> str:
    return _times(record["period"])


def _times(numbers: list[int]) -> str:
    return "x".join(map(str, numbers))
