"""The rows of evidence/results/generate.json become the tables of generators."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evidence.markdown import NOTHING, shown, spread, table

Rows = Sequence[Mapping[str, Any]]
PERIODS = (2, 4, 8)
KINDS = ("level", "detail")


def grids_table(rows: Rows) -> str:
    """Grids of single pictures beside what noise has, at first and after training; and those of all."""
    ways = _ways(rows)
    lines = [
        [name, *_grids(found, "start", "{:.3g}"), *_grids(found, "grids", "{:.2f}"), *_shared(found)]
        for name, found in ways.items()
    ]
    for row in next(iter(ways.values()), [])[:1]:
        own = [f"{_of(row['grids'], period=period)['real']:.2f}" for period in PERIODS]
        marks = [f"{_of(row['marks'], period=2, kind=kind)['real']:.1e}" for kind in KINDS]
        lines.append(["real faces", *([NOTHING] * len(PERIODS)), *own, *marks])
    heads = [f"{part}, {period}" for part in ("start", "trained") for period in PERIODS]
    return table("|".join(["way", *heads, *(f"shared {kind}" for kind in KINDS)]), lines, words=1)


def ways_table(rows: Rows) -> str:
    """How near samples come to real pictures, and what it takes."""
    cost = next((row["ways"] for row in rows if row["row"] == "cost"), {})
    lines = [
        [
            name,
            f"{found[0]['upsampling']:,}",
            spread(found, "kid", "{:.4f}"),
            spread(found, "high_db", "{:+.1f}"),
            spread(found, "detector", "{:.3f}"),
            spread(found, "diversity", "{:.2f}"),
            spread(found, "cpu_seconds", "{:.0f}"),
            shown(cost.get(name, {}).get("upsampling"), "{:,}"),
            shown(_milliseconds(cost.get(name)), "{:.0f}"),
        ]
        for name, found in _ways(rows).items()
    ]
    head = (
        "way|parameters|KID|high frequencies, dB|detector|diversity|CPU seconds|parameters, width 64|"
        "ms per step, width 64"
    )
    return table(head, lines, words=1)


def reached_table(rows: Rows) -> str:
    """What twenty minutes of a processor reach."""
    lines = [
        [
            row["row"].split(", ")[1],
            f"{row['parameters']:,}",
            f"{row['steps']:,}",
            f"{row['cpu_seconds'] / 60:.1f}",
            f"{row['kid']:.4f}",
            f"{row['fid']:.3f}",
            f"{row['diversity']:.2f}",
            shown(row["nearest"], "{:.2f}"),
            f"{row['detector']:.3f}",
        ]
        for row in rows
        if row["row"].startswith("reached, ")
    ]
    head = "pictures|parameters|steps|CPU minutes|KID|FID|diversity|nearest|detector"
    return table(head, lines, words=1)


TABLES: dict[str, Callable[[Rows], str]] = {
    "grids": grids_table,
    "ways": ways_table,
    "reached": reached_table,
}


def _ways(rows: Rows) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of each way of upsampling, a row for each seed."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        kind, rest = row["row"].split(", ", 1) if ", " in row["row"] else (row["row"], "")
        if kind == "ways":
            found.setdefault(rest.rsplit(", ", 1)[0], []).append(row)
    return found


def _grids(found: Rows, part: str, form: str) -> list[str]:
    return [spread([_of(row[part], period=period) for row in found], "samples", form) for period in PERIODS]


def _shared(found: Rows) -> list[str]:
    return [
        spread([_of(row["marks"], period=2, kind=kind) for row in found], "samples", "{:.1e}")
        for kind in KINDS
    ]


def _of(parts: Rows, **wanted: int | str) -> Mapping[str, Any]:
    """The one part that is of this period, and of this kind."""
    (found,) = (each for each in parts if all(each[name] == value for name, value in wanted.items()))
    return found


def _milliseconds(cost: Mapping[str, Any] | None) -> float | None:
    return None if cost is None else 1000 * cost["seconds"]
