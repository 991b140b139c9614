"""Turn the plan of a training run of `upstroke generate` into text for a terminal."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written
from upstroke.report.training_words import PRECISIONS, counted

__all__ = ["generate_plan_text"]

Json = dict[str, Any]
# Columns of the names at the left, and files that are listed before the rest is counted.
HEAD, LISTED = 14, 10
FITS = {
    "crop": "their largest centred squares",
    "stretch": "stretched to squares",
    "pad": "whole, padded to squares",
}


def generate_plan_text(record: Json, *, width: int = 100, colour: bool = False) -> str:
    """Write an `upstroke.generate-plan/1` record as text."""
    return written(lambda console: _write(console, record), width=width, colour=colour)


def _write(console: Console, record: Json) -> None:
    for name, words in _lines(record):
        say(console, Text(f"{name:<{HEAD}}", "bold"), Text(visible(words)), hang=HEAD)


def _lines(record: Json) -> Iterator[tuple[str, str]]:
    gathered = record["gathered"]
    yield "pictures", f"{record['data']}: {_held(gathered)}"
    yield "read as", _read(gathered)
    if gathered["repeated"]:
        yield "note", f"{counted(gathered['repeated'], 'picture')} the same as one before, pixel by pixel"
    for note in gathered["notes"]:
        yield "note", note
    if gathered["others"]:
        each = ", ".join(
            f"{count} {ending or 'without ending'}" for ending, count in gathered["others"].items()
        )
        yield "left alone", f"files that are not named like pictures: {each}"
    skipped = gathered["skipped"]
    for file in skipped[:LISTED]:
        yield "skipped", file["reason"]
    if len(skipped) > LISTED:
        yield "skipped", f"and {len(skipped) - LISTED:,} more"
    yield "recipe", f"{record['recipe']['name']}: {record['recipe']['words']}"
    yield "generator", _generator(record["generator"])
    if any(record["generator"]["drift"]):
        drift = " x ".join(f"{each:g}" for each in record["generator"]["drift"])
        yield (
            "note",
            f"this kernel moves the picture by {drift} cells of the 4x4 sketch off the half-pixel grid",
        )
    yield "discriminator", _discriminator(record["discriminator"])
    yield "training", _training(record)


def _held(gathered: Json) -> str:
    low, high = gathered["sizes"]["least"], gathered["sizes"]["largest"]
    sizes = _times(low) if low == high else f"{_times(low)} to {_times(high)}"
    formats = ", ".join(f"{count:,} {name}" for name, count in gathered["formats"].items())
    return f"{counted(gathered['pictures'], 'picture')} of {sizes} ({formats})"


def _read(gathered: Json) -> str:
    side = gathered["size"]
    kind = "grey" if gathered["channels"] == 1 else "red, green and blue"
    enlarged = f"; {gathered['enlarged']:,} of them were smaller" if gathered["enlarged"] else ""
    mirrored = ", every other one mirrored" if gathered["flips"] else ""
    return f"{side}x{side}, {kind}, {FITS[gathered['fit']]}{mirrored}{enlarged}"


def _times(numbers: list[int]) -> str:
    return "x".join(map(str, numbers))


def _generator(made: Json) -> str:
    held = ", gains of all phases held equal" if made["balanced"] else ""
    start = ", gains of all phases equal at the start" if made["icnr"] and not made["balanced"] else ""
    return (
        f"{made['latent']} numbers to {made['size']}x{made['size']}, width {made['width']}, upsampling "
        f"{made['method']} with kernel {made['kernel']}{held}{start}: {made['parameters']:,} parameters, "
        f"{made['upsampling']:,} of them in upsampling layers"
    )


def _discriminator(made: Json) -> str:
    spread = ", told how much a batch differs" if made["spread"] else ""
    return f"width {made['width']}, norm {made['norm']}{spread}: {made['parameters']:,} parameters"


def _training(record: Json) -> str:
    recipe = record["recipe"]
    several = f" in {record['devices']} processes" if record["devices"] > 1 else ""
    return (
        f"{counted(record['steps'], 'step')} of {recipe['batch']} pictures ({record['epochs']:.3g} epochs), "
        f"{recipe['loss']} loss, rate {recipe['rate']:g}, {record['judged']} samples looked at every "
        f"{counted(record['every'], 'step')}, on {record['device']}{several}, in "
        f"{PRECISIONS[record['precision']]}"
    )
