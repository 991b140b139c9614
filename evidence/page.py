"""The rows of evidence/results become the tables of docs/evidence.md."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.page import between

PAGE = Path(__file__).resolve().parent.parent / "docs" / "evidence.md"
START, END = "<!-- made by make evidence: {} -->", "<!-- until here: {} -->"
NOTHING = "–"


def page(text: str) -> str:
    """docs/evidence.md with everything between its markers made anew."""
    from evidence import downscale, generate, generate_tables, segment, segment_tables

    text = _between(text, "downscale", downscale_table(downscale.load()))
    programs = {"segment": (segment, segment_tables), "generate": (generate, generate_tables)}
    for program, (measured, tables) in programs.items():
        rows = measured.load()
        for name, table in tables.TABLES.items():
            text = _between(text, f"{program}, {name}", table(rows))
    return text


def _between(text: str, name: str, new: str) -> str:
    return between(text, new, start=START.format(name), end=END.format(name))


def downscale_table(rows: list[dict[str, Any]]) -> str:
    """Errors on the day that nothing was trained or chosen on."""
    cubic = next((row["ocean"] for row in rows if row["row"] == "cubic"), None)
    head = (
        "method",
        "open ocean, K",
        "against cubic",
        "coast, K",
        "total",
        "held out",
        "gate",
        "CPU minutes",
    )
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' + ' ---: |' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(_cells(row, cubic))} |" for row in rows]
    return "\n".join(lines)


def _cells(row: Mapping[str, Any], cubic: float | None) -> list[str]:
    against = None if cubic is None else row["ocean"] / cubic - 1
    return [
        row["row"],
        f"{row['ocean']:.4f}",
        NOTHING if against is None else f"{100 * against:+.1f} %",
        f"{row['coast']:.4f}",
        f"{row['total']:.6f}",
        _shown(row.get("held_out"), "{:.3f}"),
        _shown(row.get("gate"), "{:.2f}"),
        _shown(row.get("cpu_minutes"), "{:.1f}"),
    ]


def _shown(number: float | None, form: str) -> str:
    return NOTHING if number is None else form.format(number)


def write() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text()))
