"""Turn the results of `python -m benchmarks.downscale` into the tables of docs/benchmarks-downscale.md."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.page import between, machine_table
from benchmarks.results import RESULTS, load

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks-downscale.md"
START, END = "<!-- made by python -m benchmarks.downscale: -->", "<!-- until here -->"
NOTHING = "–"
COLUMNS = (
    "who", "threads", "ms", "least", "upstroke is × as fast", "worst block", "without a value",
    "from nothing", "dtype", "MB",
)  # fmt: skip
OURS = "upstroke"
# a run whose times vary by less than this is not said to be slower
LEVEL = 1.05
# bytes of memory in which a large input has to run
ROOM = 2e9

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Target:
    """How many times as fast one contender is to be as another, in rows whose name begins so."""

    words: str
    rows: str
    who: str
    other: str
    needed: float


TARGETS = (
    Target(
        words="file to file, against `cdo remapcon`",
        rows="file to file",
        who=OURS,
        other="cdo remapcon",
        needed=10,
    ),
    Target(
        words="in memory, against xarray-regrid `conservative`",
        rows="in memory",
        who=OURS,
        other="xarray-regrid conservative",
        needed=5,
    ),
)


def page(text: str, folder: Path = RESULTS) -> str:
    """The page with everything between its markers made anew."""
    machine, rows = load("downscale", folder)
    return between(text, "\n".join(_parts(machine, rows)), start=START, end=END)


def write() -> None:
    """Write it."""
    PAGE.write_text(page(PAGE.read_text()))


def _parts(machine: Mapping[str, object], rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        yield "Nothing was measured yet."
        return
    loads = [row["load"] for row in rows]
    busy = f"{min(loads):.1f} to {max(loads):.1f}"
    yield from machine_table(machine, rows, load_when_a_row_began=busy)
    yield "## What was to be reached\n"
    yield from _targets(rows)
    for row in rows:
        yield f"## {_title(row['row'])}\n"
        yield from _table(row)


def _targets(rows: Sequence[Row]) -> Iterator[str]:
    yield "| target | wanted | reached |\n| --- | --- | --- |"
    for target in TARGETS:
        yield f"| {target.words} | ≥ {target.needed:g}× | {_reached(target, rows)} |"
    for row in rows:
        for each in row.get("ways", ()):
            held = each["peak bytes"] <= ROOM
            size = f"{row['coarse bytes'] / 1e9:.3g} GB"
            yield (
                f"| {each['who']}, an input of {size} | in {ROOM / 1e9:g} GB | "
                f"{_yes(held)}: {each['peak bytes'] / 1e9:.2f} GB |"
            )
        if "workers" in row:
            one, *more = row["workers"]
            for each in more:
                ratio = one["s"] / each["s"]
                yield (
                    f"| {each['workers']} workers of dask, against {one['workers']} | more throughput | "
                    f"{_yes(ratio > LEVEL)}: {ratio:.2f}× |"
                )
    yield ""


def _reached(target: Target, rows: Sequence[Row]) -> str:
    ratios = {}
    for row in rows:
        ms = {each["who"]: each["ms"] for each in row.get("times", ())}
        if row["row"].startswith(target.rows) and target.other in ms:
            ratios[_title(row["row"])] = ms[target.other] / ms[target.who]
    if not ratios:
        return "not measured"
    held = all(ratio >= target.needed for ratio in ratios.values())
    said = "; ".join(f"{_number(ratio)}× {name.partition(', ')[2]}" for name, ratio in ratios.items())
    return f"{_yes(held)}: {said}"


def _table(row: Row) -> Iterator[str]:
    if "times" in row:
        yield from _times(row)
    elif "workers" in row:
        size = row["fine bytes"]
        yield "| workers | s | least | fine values in a second | × one worker | worst block |"
        yield "| ---: | ---: | ---: | ---: | ---: | ---: |"
        for each in row["workers"]:
            ratio = row["workers"][0]["s"] / each["s"]
            cells = (
                each["workers"], f"{each['s']:.2f}", f"{each['least']:.2f}",
                f"{size / each['s'] / 1e6:.0f} MB", _ratio(ratio), _power(each["error"]),
            )  # fmt: skip
            yield f"| {' | '.join(map(str, cells))} |"
    else:
        yield (
            f"{row['steps']} steps, {row['coarse bytes'] / 1e9:.1f} GB coarse and "
            f"{row['fine bytes'] / 1e9:.1f} GB fine.\n"
        )
        yield "| | most memory held | s | fine values in a second |\n| --- | ---: | ---: | ---: |"
        for each in row["ways"]:
            rate = row["fine bytes"] / each["s"] / 1e6
            yield f"| {each['who']} | {each['peak bytes'] / 1e9:.2f} GB | {each['s']:.0f} | {rate:.0f} MB |"
    yield ""


def _times(row: Row) -> Iterator[str]:
    times = sorted(row["times"], key=lambda each: each["ms"])
    own = next(each["ms"] for each in row["times"] if each["who"] == OURS)
    yield f"| {' | '.join(COLUMNS)} |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |"
    for each in times:
        ratio = NOTHING if each["who"] == OURS else _ratio(each["ms"] / own)
        cells = (
            each["who"], each["threads"], _number(each["ms"]), _number(each["least"]), ratio,
            _power(each["error"]), _part(each["lacking"]), _part(each["invented"]), each["dtype"],
            NOTHING if each["bytes"] is None else f"{each['bytes'] / 1e6:.0f}",
        )  # fmt: skip
        yield f"| {' | '.join(map(str, cells))} |"
    if "gencon ms" in row:
        yield f"\nThe weights of CDO, made before, took {row['gencon ms']} ms to make."


def _title(name: str) -> str:
    return name[0].upper() + name[1:].replace(" | ", ", ")


def _yes(held: bool) -> str:
    return "yes" if held else "**no**"


def _ratio(ratio: float) -> str:
    return _number(ratio) + (" **slower**" if ratio < 1 / LEVEL else "")


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _part(value: float) -> str:
    return "0" if value == 0 else f"{100 * value:.2g} %"


def _power(value: float) -> str:
    return "0" if value == 0 else f"{value:.0e}"


if __name__ == "__main__":
    write()
