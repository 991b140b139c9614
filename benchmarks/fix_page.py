"""Turn the results of `python -m benchmarks.fix` into the tables of docs/benchmarks-fix.md."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.page import between, machine_table
from benchmarks.results import RESULTS, load

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks-fix.md"
START, END = "<!-- made by python -m benchmarks.fix: -->", "<!-- until here -->"
COLUMNS = (
    "model", "for", "input", "sites rewritten", "their ratios", "left",
    "ms before", "ms now", "×", "sites took", "differs by",
)  # fmt: skip
NOTHING = "–"
RUNTIMES = {"pytorch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
# wanted of the ratios of rewritten sites, by target: of their median, of the least, and which sites count
WANTED = {
    "pytorch": (None, 1.7, "UP301"),
    "onnxruntime": (1.6, 1.2, None),
    "openvino": (1.6, 1.2, None),
}
# a whole model that takes longer by less than this has not become slower: runs differ by that much
LEVEL = 1.05

Row = Mapping[str, Any]


def page(text: str, folder: Path = RESULTS) -> str:
    """The page with everything between its markers made anew."""
    machine, rows = load("fix", folder)
    return between(text, "\n".join(_parts(machine, rows)), start=START, end=END)


def write() -> None:
    """Write it."""
    PAGE.write_text(page(PAGE.read_text()))


def _parts(machine: Mapping[str, object], rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        yield "Nothing was measured yet."
        return
    yield from machine_table(machine, rows)
    models = [row for row in rows if "target" in row]
    yield "## What was to be reached\n"
    yield from _targets(models)
    yield "## Models\n"
    yield f"| {' | '.join(COLUMNS)} |"
    yield "| --- | --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | --- |"
    yield from (_model(row) for row in models)
    yield ""
    for row in rows:
        if "times" in row:
            yield from _generator(row)


def _targets(rows: Sequence[Row]) -> Iterator[str]:
    yield "| target | wanted | reached |\n| --- | --- | --- |"
    for target, (median, least, code) in WANTED.items():
        ratios = [ratio for row in rows if row["target"] == target for ratio in _ratios(row, code)]
        wanted = f"none below {least}×" + ("" if median is None else f", median ≥ {median}×")
        what = f"{'rewritten sites' if code is None else f'{code} rewritten'} in {RUNTIMES[target]}"
        if not ratios:
            yield f"| {what} | {wanted} | none was rewritten |"
            continue
        middle = statistics.median(ratios)
        held = min(ratios) >= least and (median is None or middle >= median)
        said = f"{_yes(held)}: {len(ratios)} sites, least {min(ratios):.2f}, median {middle:.2f}"
        yield f"| {what} | {wanted} | {said} |"
    slower = [row["row"] for row in rows if row["ms"][0] and row["ms"][1] > LEVEL * row["ms"][0]]
    yield f"| whole models | never slower by more than 5 % | {_yes(not slower)}{_named(slower)} |"
    wrong = [row["row"] for row in rows if any(each["wrong"] for each in row["verified"])]
    yield f"| old and new | agree | {_yes(not wrong)}{_named(wrong)} |"
    again = [row["row"] for row in rows if row["changed again"]]
    yield f"| a fixed model fixed again | is not changed | {_yes(not again)}{_named(again)} |\n"


def _model(row: Row) -> str:
    ratios = sorted(_ratios(row))
    left = sum(each["became"] == "left" for each in row["sites"])
    before, after = row["ms"]
    cells = [
        row["model"],
        RUNTIMES[row["target"]],
        row["input"],
        str(sum(each["became"] == "rewritten" for each in row["sites"])),
        f"{ratios[0]:.2f} to {ratios[-1]:.2f}" if ratios else NOTHING,
        str(left),
        *(_number(each) for each in (before, after)),
        f"{before / after:.2f}" if before and after else NOTHING,
        NOTHING if row["share"] is None else f"{100 * row['share']:.0f} %",
        ", ".join(f"{_power(each['largest'])} {each['dtype']}" for each in row["verified"]) or NOTHING,
    ]
    return f"| {' | '.join(cells)} |"


def _generator(row: Row) -> Iterator[str]:
    yield f"## {row['model']}\n"
    times = {each["who"]: each for each in row["times"]}
    own = min((each["ms"] for who, each in times.items() if who.startswith("fixed")), default=None)
    yield "| who | ms | the fastest fixed is × as fast |\n| --- | ---: | ---: |"
    for who, each in sorted(times.items(), key=lambda pair: pair[1]["ms"]):
        ratio = NOTHING if own is None or who.startswith("fixed") else f"{each['ms'] / own:.2f}"
        yield f"| {who} | {each['ms']:.3g} ± {each['spread']:.2g} | {ratio} |"
    yield ""


def _ratios(row: Row, code: str | None = None) -> list[float]:
    """How many times as fast each rewritten site is, of those at which the rule found something."""
    return [
        each["ratio"]
        for each in row["sites"]
        if each["became"] == "rewritten" and each["ratio"] and (code is None or code in each["codes"])
    ]


def _yes(held: bool) -> str:
    return "yes" if held else "**no**"


def _named(names: Sequence[str]) -> str:
    return f": {', '.join(name.replace(' | ', ' for ') for name in names)}" if names else ""


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _power(value: float | None) -> str:
    return "∞" if value is None else "0" if value == 0 else f"{value:.0e}"


if __name__ == "__main__":
    write()
