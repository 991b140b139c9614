"""Rows of a table of comparisons are measured one by one, kept at once, and keyed by their settings."""

import argparse
import hashlib
import json
import multiprocessing
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from upstroke.errors import TrainingError

HERE = Path(__file__).resolve().parent
Measure = Callable[["Row", Path, Path], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table: its name, which table, and all numbers that it depends on."""

    name: str
    kind: str
    settings: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What must be the same for a row to be the same."""
        return json.dumps({"kind": self.kind, **self.settings}, sort_keys=True)

    @property
    def run(self) -> str:
        """The folder in which its networks are trained."""
        digest = hashlib.sha256(self.key.encode()).hexdigest()[:8]
        return f"{re.sub(r'[^A-Za-z0-9]+', '-', self.name)}-{digest}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """What the rows of a program are, how each kind is measured, and where results and networks are kept.

    Attributes:
        rows: makes them.
        measure: by kind.
        shortened: within which rows have so few steps, or their own where it is given None.
        results: the file.
        runs: the folder of networks under training.
        schema: of the file.
    """

    rows: Callable[[], Sequence[Row]]
    measure: Mapping[str, Measure]
    shortened: Callable[[int | None], AbstractContextManager[None]]
    results: Path
    runs: Path
    schema: str


def load(path: Path) -> list[dict[str, Any]]:
    """The rows that were measured."""
    found: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    return found


def save(found: list[dict[str, Any]], path: Path, *, schema: str) -> None:
    """Write the rows at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join("  " + json.dumps(each) for each in found)
    beside = path.with_suffix(".tmp")
    beside.write_text(f'{{"schema": "{schema}", "rows": [\n{lines}\n]}}\n')
    os.replace(beside, path)


def each_measured(
    measure: Mapping[str, Measure], wanted: Sequence[Row], *, jobs: int, runs: Path, data: Path
) -> Iterator[dict[str, Any] | TrainingError]:
    """Rows as they are ready; those of cost by themselves, the others so many at once.

    Where a training fails the reason comes in the row's place, and the others go on.
    """
    alone = [row for row in wanted if row.kind == "cost" or jobs == 1]
    for row in alone:
        yield _attempted(measure[row.kind], row, runs, data)
    if len(alone) < len(wanted):
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            rest = [row for row in wanted if row not in alone]
            yield from (
                done.result()
                for done in as_completed(
                    pool.submit(_attempted, measure[row.kind], row, runs, data) for row in rest
                )
            )


def _attempted(measure: Measure, row: Row, runs: Path, data: Path) -> dict[str, Any] | TrainingError:
    """A row, on one thread, or why there is none."""
    torch.set_num_threads(1)
    try:
        return {"row": row.name, "key": row.key, **measure(row, runs / row.run, data)}
    except TrainingError as error:
        return TrainingError(f"{row.name}: {error}")


def measure_all(
    measure: Mapping[str, Measure],
    rows: Sequence[Row],
    *,
    only: str,
    jobs: int,
    results: Path,
    runs: Path,
    schema: str,
) -> list[str]:
    """Measure every row that is not there yet; what could not be measured is told."""
    data = Path(os.environ.get("UPSTROKE_DATA", HERE.parent.parent / "shared" / "data"))
    known = {each["key"]: each for each in load(results)}
    wanted = [row for row in rows if row.key not in known and only in row.name]
    failed = []
    for done in each_measured(measure, wanted, jobs=jobs, runs=runs, data=data):
        if isinstance(done, TrainingError):
            failed.append(str(done))
            print(done, flush=True)
            continue
        known[done["key"]] = done
        print(done["row"], {name: value for name, value in done.items() if name != "key"}, flush=True)
        save([known[row.key] for row in rows if row.key in known], results, schema=schema)
    return failed


def main(
    table: Table, *, words: Sequence[str] | None, description: str | None, write: Callable[[], None]
) -> None:
    """Do what the command of a table was asked for: list rows, try them, or measure and write the page."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    parser.add_argument("--jobs", type=int, default=1, help="rows at once, each on one thread")
    parser.add_argument("--steps", type=int, help="try with so few steps, into the folder of --try")
    parser.add_argument("--try", dest="tried", type=Path, help="a folder for results that are no table's")
    asked = parser.parse_args(words)
    if (asked.steps is None) != (asked.tried is None):
        parser.error("--steps and --try go together: what is tried is no table's")
    if asked.list:
        print(*(row.name for row in table.rows()), sep="\n")
        return
    with table.shortened(asked.steps):
        failed = measure_all(
            table.measure,
            table.rows(),
            only=asked.only,
            jobs=asked.jobs,
            results=table.results if asked.tried is None else asked.tried / table.results.name,
            runs=table.runs if asked.tried is None else asked.tried / "runs",
            schema=table.schema,
        )
    if asked.tried is None:
        write()
    if failed:
        sys.exit("not measured:\n" + "\n".join(failed))
