"""Turn the record of an evaluated downscaling into text for a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.downscale_words import (
    beside_words,
    by_rmse,
    column,
    decimals_for,
    difference_unit,
    grid_words,
    how_judged,
    is_kept,
    kept_words,
    pair_words,
    percent,
    resolved_words,
    two_digits,
    verdict_words,
)
from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["downscale_text"]

Json = dict[str, Any]
REGIONS = (("interior", "Away from coasts"), ("coast", "At coasts"))
SCORES = (
    ("RMSE", "rmse"),
    ("MAE", "mae"),
    ("bias", "bias"),
    ("over", "most_over"),
    ("under", "most_under"),
    ("1 %", "low_error"),
    ("99 %", "high_error"),
    ("least", "least_error"),
    ("greatest", "greatest_error"),
    ("overshoot", "overshoot"),
)
GAP = 2


def downscale_text(record: Json, *, width: int = 100, colour: bool = False, verbose: bool = False) -> str:
    """Write an `upstroke.downscale-evaluate/1` record as text; `verbose` lists all scores."""
    width = min(width, 110)
    return written(lambda console: _write(console, record, verbose=verbose), width=width, colour=colour)


def _write(console: Console, record: Json, *, verbose: bool) -> None:
    name = visible(record["source"] or record["variable"])
    say(
        console,
        "",
        Text.assemble((name, "bold"), f"  {visible(record['variable'])}, {grid_words(record)}"),
        hang=2,
    )
    console.print()
    _methods(console, record)
    if pair_words(record) is not None:
        console.print()
        say(console, "", Text(pair_words(record) or ""))
    if verbose:
        for region, title in REGIONS:
            _scores(console, record, region, title)
        console.print()
        for method in record["methods"]:
            say(console, f"  {visible(method['name'])}: ", Text(visible(method["words"])), hang=4)
        console.print()
        for head, words in how_judged(record):
            say(console, f"  {head}: ", Text(visible(words)), hang=4)
    console.print()
    say(console, "", Text(visible(verdict_words(record)), "green"))
    say(console, "  ", Text(visible(f"{beside_words(record)} {kept_words(record)}")), hang=2)


def _methods(console: Console, record: Json) -> None:
    """A line for each method, the closest to the truth first."""
    order = by_rmse(record)
    unit = difference_unit(record)
    rmse = [
        column([None if each["scores"][name] is None else each["scores"][name]["rmse"] for each in order])
        for name, _ in REGIONS
    ]
    heads = (
        "",
        f"RMSE, {unit}" if unit else "RMSE",
        "at coasts",
        "coarse values",
        "changed by",
        "total by",
        "resolves",
    )
    rows = [
        (
            visible(each["name"]),
            rmse[0][index],
            rmse[1][index],
            "kept" if is_kept(each) else "changed",
            two_digits(each["block_means"]["largest"]),
            percent(each["total"]["relative_change"]),
            resolved_words(record, each, "isotropic"),
        )
        for index, each in enumerate(order)
    ]
    _table(console, heads, rows, left=(0, 3))


def _scores(console: Console, record: Json, region: str, title: str) -> None:
    given = [each for each in record["methods"] if each["scores"][region] is not None]
    if not given:
        return
    decimals = decimals_for([each["scores"][region]["rmse"] for each in given])
    columns = [
        column([each["scores"][region][key] for each in given], decimals=decimals) for _, key in SCORES
    ]
    rows = [
        (visible(each["name"]), *cells, percent(each["scores"][region]["beyond"]))
        for each, cells in zip(given, zip(*columns, strict=True), strict=True)
    ]
    unit = difference_unit(record)
    console.print()
    say(console, "", Text(f"{title}, {unit}" if unit else title, "bold"))
    _table(console, ("", *(head for head, _ in SCORES), "beyond"), rows, left=(0,))


def _table(
    console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: tuple[int, ...]
) -> None:
    """Columns below their heads; where the lines are too short for them, each number behind its head."""
    widths = [max(len(cells[at]) for cells in (heads, *rows)) for at in range(len(heads))]
    if sum(widths) + GAP * len(widths) > console.width:
        for row in rows:
            words = ", ".join(f"{head} {cell}" for head, cell in zip(heads[1:], row[1:], strict=True))
            say(console, f"  {row[0]}: ", Text(words), hang=4)
        return
    for index, cells in enumerate((heads, *rows)):
        line = "  ".join(
            cell.ljust(wide) if at in left else cell.rjust(wide)
            for at, (cell, wide) in enumerate(zip(cells, widths, strict=True))
        )
        style = "bold" if index == 1 else "dim" if index == 0 else ""
        console.print(Text(f"  {line}", style), no_wrap=True, crop=False, overflow="ignore")
