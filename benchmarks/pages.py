"""Turn the results into the tables of docs/benchmarks.md and README.md."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.cases import SHOWN
from benchmarks.page import between
from benchmarks.reading import LEVEL, Shown, all_rows, shown
from benchmarks.results import RESULTS, Row, load
from benchmarks.targets import CASE, TARGETS, Target, dense_over_separable, saving

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
START, END = "<!-- made by make bench: -->", "<!-- until here -->"

TITLES = {
    "depthwise": "Depthwise and fixed upsampling",
    "dense": "Transposed convolutions over all channels",
    "resize_conv": "Resize and convolution, convolution and shuffle",
    "separable": "Depthwise-separable transposed convolutions",
    "models": "Whole nets",
}
WORKS = {"forward": "forward", "forward+backward": "forward and backward"}
NOTHING = "–"
SPACE = "\N{NO-BREAK SPACE}"
# (case, dtype, work) of the rows that the README shows
CHOSEN = (
    ("depthwise k4 s2 p1, 64 @128x128", "float32", "forward"),
    ("depthwise k4 s2 p1, 64 @128x128", "bfloat16", "forward"),
    ("bilinear x2, 64 @512x512", "float32", "forward"),
    ("bicubic x2, 64 @128x128", "float32", "forward"),
    ("nearest x2 + k3, 64->64 @128x128", "float32", "forward"),
    ("U-Net 128->64 k2 s2 @256x256", "float32", "forward"),
    ("HiFi-GAN 256->128 k16 s8 @512", "float32", "forward"),
    ("DCGAN generator 64x64, batch 16", "float32", "forward+backward"),
)


def page(text: str, folder: Path = RESULTS) -> str:
    """docs/benchmarks.md with everything between its markers made anew."""
    rows = all_rows(folder)
    parts = [_machine(folder), "## What was to be reached\n", *_targets(rows)]
    for suite in SHOWN:
        parts += _suite(suite, [row for row in rows if row["suite"] == suite])
    return between(text, "\n".join(parts), start=START, end=END)


def readme(text: str, folder: Path = RESULTS) -> str:
    """README.md with the table between its markers made anew."""
    rows = {(row["case"], row["dtype"], row["work"]): row for row in all_rows(folder) if row["threads"] == 1}
    lines = [
        "| work | upstroke | PyTorch contiguous | PyTorch's better layout | fastest other |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key in CHOSEN:
        if key in rows:
            lines.append(_readme_line(rows[key]))
    made = "\n".join([*lines, "", _count(list(rows.values()))])
    return between(text, made, start=START, end=END)


def write() -> None:
    """Write both."""
    PAGE.write_text(page(PAGE.read_text()))
    README.write_text(readme(README.read_text()))


def _machine(folder: Path) -> str:
    machine: Mapping[str, object] = {}
    for suite in SHOWN:
        machine = machine or load(suite, folder)[0]
    commits = sorted({str(row["commit"]) for row in all_rows(folder)})
    dates = sorted(str(row["date"])[:10] for row in all_rows(folder))
    lines = ["| measured on | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in machine.items()]
    lines.append(f"| commit | {', '.join(commits)} |")
    lines.append(f"| day | {' to '.join(sorted({dates[0], dates[-1]})) if dates else NOTHING} |")
    lines.append(f"| copy rate, read and written | {_copy_rate(all_rows(folder))} |")
    return "\n".join(lines) + "\n"


def _copy_rate(rows: Sequence[Row]) -> str:
    """Bytes read and written in a second by PyTorch's copy with one thread, of the largest maps."""
    single = [row for row in rows if row["threads"] == 1]
    if not single:
        return NOTHING
    largest = max(single, key=lambda row: row["bytes"])
    rates = {copy["outputs"]: largest["bytes"] / copy["ms"] / 1e6 for copy in largest["copy"]}
    return ", ".join(f"{rate:.0f} GB/s into {outputs} memory" for outputs, rate in rates.items())


def _targets(rows: Sequence[Row]) -> Iterator[str]:
    yield "| target | wanted | reached | median | least | where |"
    yield "| --- | --- | --- | ---: | ---: | --- |"
    for target in TARGETS:
        yield _target(target, rows)
    yield ""


def _target(target: Target, rows: Sequence[Row]) -> str:
    numbers = list(target.numbers(rows))
    if not numbers:
        return f"| {target.words} | {target.needed} | not measured | | | |"
    least = min(numbers, key=lambda one: one.value / one.needed)
    held = sum(one.value >= one.needed for one in numbers)
    word = f"yes, all {held}" if held == len(numbers) else f"**no**, {held} of {len(numbers)}"
    needed = f" (of {one_decimal(least.needed)})" if len({one.needed for one in numbers}) > 1 else ""
    middle = _number(statistics.median(one.value for one in numbers))
    cells = (target.words, target.needed, word, middle, f"{_number(least.value)}{needed}", least.where)
    return f"| {' | '.join(cells)} |"


def _suite(suite: str, rows: Sequence[Row]) -> Iterator[str]:
    yield f"## {TITLES[suite]}\n"
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        if row["work"] in WORKS:
            key = (str(row["work"]), str(row["dtype"]), int(str(row["threads"])))
            groups.setdefault(key, []).append(row)
    for (work, dtype, threads), group in sorted(groups.items(), key=lambda item: _order(item[0])):
        many = f", {threads} threads" if threads > 1 else ""
        yield f"### {WORKS[work].capitalize()}, {dtype}{many}\n"
        yield from _table(suite, group)
    yield from _remarks(rows)


def _remarks(rows: Sequence[Row]) -> Iterator[str]:
    """What the tables have no column for."""
    seconds = [each["seconds"] for row in rows for each in row["compile"]]
    if seconds:
        yield f"`torch.compile` took {min(seconds):.0f} to {max(seconds):.0f} s to compile a layer, apart.\n"
    wrong = [
        f"{each['who']} {each['layout']} ({_plain(row)}, off by {each['error']:g} of the largest value)"
        for row in rows
        for each in row["wrong"]
    ]
    if wrong:
        yield f"Wrong, so not timed: {'; '.join(wrong)}.\n"
    moved = [_plain(row) for row in rows if any(name.startswith("upstroke") for name in row["other layout"])]
    if moved:
        yield f"Given back in another layout than it came: {'; '.join(moved)}.\n"


def _plain(row: Row) -> str:
    """The row's name without the bars that would part a table's cells."""
    return str(row["row"]).replace(" | ", ", ")


def _order(key: tuple[str, str, int]) -> tuple[int, int, int]:
    work, dtype, threads = key
    return threads, list(WORKS).index(work), ["float32", "float64", "bfloat16"].index(dtype)


def _table(suite: str, rows: Sequence[Row]) -> Iterator[str]:
    """One line for each row and layout; a column that nobody fills is left out."""
    lines = [_cells(suite, one, first=place == 0) for row in rows for place, one in enumerate(shown(row))]
    head = [name for name in lines[0] if any(line[name] != NOTHING for line in lines)]
    yield f"| {' | '.join(head)} |"
    yield "| --- | --- |" + " ---: |" * (len(head) - 2)
    for line in lines:
        yield f"| {' | '.join(line[name] for name in head)} |"
    yield ""


def _cells(suite: str, one: Shown, *, first: bool) -> dict[str, str]:
    """What a line says, by column."""
    case = str(one.row["case"])
    cells = {
        "case": case if first else "",
        "layout": one.layout,
        "ms": f"{one.ms:.3g} ± {one.iqr:.2g}".replace(" ", SPACE),
        "× contiguous": _times(one.over_contiguous),
        "× better layout": _times(one.over_best),
        "× fastest other": _times(one.over_other, one.other_name),
        "× fresh": _times(one.fresh),
        "memory": _memory(one),
    }
    if suite == "depthwise":
        cells["copy rate"] = f"{100 * one.share:.0f}{SPACE}%"
    if suite == "separable":
        over = dense_over_separable(one.row, one.layout)
        cells["× our dense (saving)"] = f"{_times(over)} ({saving(CASE[case]):.1f})"
    return cells


def _times(ratio: float | None, name: str | None = None) -> str:
    """A ratio, with a word where it is lost."""
    if ratio is None:
        return NOTHING
    words = [_number(ratio)]
    if ratio < 1 / LEVEL:
        words.append("**slower**")
    if name is not None:
        words.append(name)
    return " ".join(words)


def _memory(one: Shown) -> str:
    """Our peak, with a word where it is above PyTorch's in the same layout."""
    if one.peak is None or one.peak_of_pytorch is None:
        return NOTHING
    more = one.peak > one.peak_of_pytorch + 2**20
    return f"{one.peak / 2**20:.1f} of {one.peak_of_pytorch / 2**20:.1f}" + (" **more**" if more else "")


def _readme_line(row: Row) -> str:
    best = min(shown(row), key=lambda one: one.ms)
    name = f"{row['case']}, {WORKS[str(row['work'])]}, {row['dtype']}"

    def against(ms: float | None, who: str | None = None) -> str:
        if ms is None:
            return NOTHING
        return f"{ms:.3g} ms{f' {who}' if who else ''}, {_times(ms / best.ms)}×".replace(
            " **slower**×", "× **slower**"
        )

    return (
        f"| {name} | {best.ms:.3g} ms | {against(best.contiguous)} | {against(best.best)} | "
        f"{against(best.other, best.other_name)} |"
    )


def _count(rows: Sequence[Row]) -> str:
    """How many rows are lost, over all that were measured with one thread."""
    ratios = [one.over_best for row in rows if row["work"] in WORKS for one in shown(row)]
    known = [ratio for ratio in ratios if ratio is not None]
    slower = sum(ratio < 1 / LEVEL for ratio in known)
    return (
        "One thread, outputs in reused memory, our better layout. Of all "
        f"{len(known)} measured pairs of row and layout, {slower} are slower than PyTorch's better layout by "
        "more than 5 %; [all of them](docs/benchmarks.md), with the machine."
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 20 else one_decimal(value) if value >= 10 else f"{value:.2f}"


def one_decimal(value: float) -> str:
    """A number with one decimal."""
    return f"{value:.1f}"


if __name__ == "__main__":
    write()
