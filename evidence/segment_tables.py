"""The rows of evidence/results/segment.json become the three tables of segmentation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from evidence.markdown import NOTHING, shown, spread, table

NETWORKS = {"ours": "upstroke", "basic": "BasicUNet"}


def level_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Two networks of one size on the same batches: how well, how fast, in how much memory."""
    lines = []
    for data, seeds in _by(rows, "level").items():
        cost = next((row for row in rows if row["row"] == f"cost, {data}"), {})
        for which, name in NETWORKS.items():
            found = [row[which] for row in seeds]
            spent = cost.get(which, {})
            lines.append(
                [
                    data,
                    name,
                    f"{found[0]['parameters']:,}",
                    f"{found[0]['steps']:,}",
                    spread(found, "dice", "{:.4f}"),
                    spread(found, "unpadded", "{:.3f}"),
                    spread(found, "hausdorff95", "{:.2f}"),
                    shown(spent.get("seconds"), "{:.3f}"),
                    shown(spent.get("memory"), "{:.0f}"),
                ]
            )
    head = "data|network|parameters|steps|Dice|Dice unpadded|HD 95|s per step|memory, MiB"
    return table(head, lines, words=2)


def time_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What is reached in a given time."""
    lines = [
        [
            name,
            f"{found[0]['parameters']:,}",
            f"{found[0]['steps']:,}",
            spread(found, "cpu_seconds", "{:.0f}"),
            spread(found, "dice", "{:.3f}"),
            spread(found, "hausdorff95", "{:.2f}"),
            spread(found, "boundary", "{:.3f}"),
        ]
        for name, found in _by(rows, "time").items()
    ]
    return table("network|parameters|steps|CPU seconds|Dice|HD 95|boundary", lines, words=1)


def joins_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Maps that are joined where they belong, and others."""
    lines = []
    found = _by(rows, "joins")
    for name, seeds in found.items():
        data, way = name.rsplit(", ", 1)
        registered = {row["row"].rsplit(", ", 1)[1]: row for row in found.get(f"{data}, registered", ())}
        pairs = [(row, registered.get(row["row"].rsplit(", ", 1)[1])) for row in seeds]
        against = [{"dice": row["dice"] - other["dice"]} for row, other in pairs if other]
        lines.append(
            [
                data,
                way,
                f"{seeds[0]['drift'][0]:g}, {seeds[0]['drift'][-1]:g}",
                spread(seeds, "dice", "{:.4f}"),
                NOTHING if way == "registered" else spread(against, "dice", "{:+.4f}"),
                spread(seeds, "boundary", "{:.3f}"),
                spread(seeds, "cpu_seconds", "{:.0f}"),
            ]
        )
    head = "data|resize|drift, pixels|Dice|against registered, same seed|boundary|CPU seconds"
    return table(head, lines, words=2)


TABLES: dict[str, Callable[[Sequence[Mapping[str, Any]]], str]] = {
    "level": level_table,
    "time": time_table,
    "joins": joins_table,
}


def _by(rows: Iterable[Mapping[str, Any]], kind: str) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of a kind by what stands between it and the seed."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        first, rest = row["row"].split(", ", 1)
        if first == kind:
            found.setdefault(rest.rsplit(", ", 1)[0], []).append(row)
    return found
