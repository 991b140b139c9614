"""Keep rows in files: of the run under way, row by row, and of finished runs, one file for each suite."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
SCHEMA = "upstroke.bench/2"

Row = Mapping[str, object]


class Unfinished:
    """The rows of a run under way; a run that is started again with the same settings goes on after them."""

    def __init__(self, settings: str, path: Path = RESULTS / "unfinished.jsonl") -> None:
        self.path = path
        self.settings = settings

    def rows(self) -> list[Row]:
        """Those measured with the same settings so far."""
        if not self.path.exists():
            return []
        lines = [json.loads(line) for line in self.path.read_text().splitlines() if line.endswith("}")]
        return [line["row"] for line in lines if line["settings"] == self.settings]

    def add(self, row: Row) -> None:
        """Write one row at once."""
        with self.path.open("a") as file:
            file.write(json.dumps({"settings": self.settings, "row": row}) + "\n")

    def forget(self) -> None:
        """The run is finished."""
        self.path.unlink(missing_ok=True)


def load(suite: str, folder: Path = RESULTS) -> tuple[Mapping[str, object], list[Row]]:
    """The machine, and the rows of a suite; nothing where it was never run."""
    path = folder / f"{suite}.json"
    if not path.exists():
        return {}, []
    found = json.loads(path.read_text())
    return found["machine"], found["rows"]


def save(
    suite: str,
    machine: Mapping[str, object],
    rows: Iterable[Row],
    *,
    order: Iterable[str],
    folder: Path = RESULTS,
) -> None:
    """Put rows in place of those of the same name, in the order of the cases; rows of no case go."""
    old_machine, old = load(suite, folder)
    # numbers of two machines are not mixed
    kept = {str(row["row"]): row for row in old} if _same(old_machine, machine) else {}
    kept |= {str(row["row"]): row for row in rows}
    ordered = [kept[name] for name in order if name in kept]
    lines = ",\n".join("  " + _row_text(row) for row in ordered)
    head = json.dumps({"schema": SCHEMA, "machine": machine}, indent=1).removesuffix("\n}")
    folder.mkdir(exist_ok=True)
    (folder / f"{suite}.json").write_text(f'{head},\n "rows": [\n{lines}\n ]\n}}\n')


def _same(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return one.get("processor") == other.get("processor") and one.get("torch") == other.get("torch")


def _row_text(row: Row) -> str:
    """A row with one line for each of its lists' entries, so that two runs can be compared by eye."""
    parts = []
    for name, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            entries = ",\n".join("    " + json.dumps(entry) for entry in value)
            parts.append(f'"{name}": [\n{entries}]')
        else:
            parts.append(f'"{name}": {json.dumps(value)}')
    return "{" + ",\n   ".join(parts) + "}"
