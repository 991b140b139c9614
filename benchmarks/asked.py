"""Read from the command line which rows are to be measured, and how."""

import argparse
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["asked", "named"]

Each = TypeVar("Each")


def asked(module: str, doc: str | None, *, quick: str) -> argparse.Namespace:
    """What is asked: rows with these texts in their names (`only`), `quick` or not, or just the `list`."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=doc)
    parser.add_argument(
        "--only",
        metavar="TEXT",
        action="append",
        default=[],
        help="rows whose name holds this text; may be said several times, then all of them",
    )
    parser.add_argument("--quick", action="store_true", help=f"{quick}; writes nothing")
    parser.add_argument("--list", action="store_true", help="print the rows and measure nothing")
    return parser.parse_args()


def named(rows: Sequence[Each], only: Sequence[str], *, name: Callable[[Each], str] = str) -> list[Each]:
    """The rows whose names hold all these texts; none of them is a mistake.

    >>> named(["one | reused", "two | reused"], ["two"])
    ['two | reused']
    """
    chosen = [row for row in rows if all(part in name(row) for part in only)]
    if not chosen:
        msg = f"no row's name holds {' and '.join(map(repr, only))}; --list prints them all"
        raise SystemExit(msg)
    return chosen
